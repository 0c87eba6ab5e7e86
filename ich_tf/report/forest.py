"""Forest plots: each reported number with our number and its 95 % interval."""

import os
import pathlib
import typing
from collections.abc import Sequence

from ich_tf import owned_folder
from ich_tf.evidence import render, tables, verdicts
from ich_tf.evidence.table_cells import Cell
from ich_tf.report import plots

if typing.TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS, REPORTED, MARGIN = "#1f5fa8", "#d1495b", "#f3d9dc"
ROW_INCHES = 0.26
WRITER = "verify --plot"
NOT_COMPARED = ("not comparable", "not run")


def plot(cells: Sequence[Cell], title: str = "") -> "Figure | None":
    """Draw a table: a panel for each column, a line for each row.

    The reported number is a diamond within its margin of equivalence, ours a dot with
    its interval; hollow where the two cannot be compared. Rows and columns without any
    number are left out, and ours of a row that is the same training as another.

    Args:
        cells: The cells of one table.
        title: Above the figure.

    Returns:
        None if no cell holds a number.
    """
    numbered = [cell for cell in cells if _numbers(cell)]
    columns = list(dict.fromkeys(cell.column for cell in numbered))
    rows = list(dict.fromkeys(cell.row for cell in numbered))
    if not numbered:
        return None
    height = ROW_INCHES * len(rows) + 1.3
    figure, axes = plots.panels(len(columns), height, columns=len(columns))
    for axis, column in zip(axes, columns, strict=True):
        axis.set_title(render.heading(column), fontsize=8)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_yticks(range(len(rows)), rows if axis is axes[0] else [""] * len(rows))
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x", color="#dddddd", linewidth=0.5)
        axis.set_axisbelow(True)
        axis.use_sticky_edges = False
        for cell in numbered:
            if cell.column == column:
                _draw(axis, rows.index(cell.row), cell)
    _legend(figure, numbered)
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


def write(cells: Sequence[Cell], out: str | os.PathLike) -> list[pathlib.Path]:
    """Write a plot for each table that holds a number.

    Args:
        cells: The cells of one table or several.
        out: Folder for `forest-<table>.png`; plots of an earlier call are replaced.

    Returns:
        The files.

    Raises:
        ValueError: if no cell holds a number, or a file of such a name is foreign.
    """
    owned_folder.check(out, WRITER, ["forest-*.png"])
    figures = {}
    for table in dict.fromkeys(cell.table for cell in cells):
        caption = tables.table(table).caption
        figure = plot([cell for cell in cells if cell.table == table], caption)
        if figure is not None:
            figures[f"forest-{table}.png"] = figure
    if not figures:
        raise ValueError("No row holds a number. Run `ich-tf reproduce ROW` first.")
    with owned_folder.replacing(out, WRITER) as folder:
        for name, figure in figures.items():
            (folder / name).write_bytes(plots.png(figure, 150))
    return [pathlib.Path(out, name) for name in figures]


def _numbers(cell: Cell) -> list[float]:
    return [number for number in (cell.reported, cell.ours) if number is not None]


def _bounds(cell: Cell) -> tuple[float, float] | None:
    """The margin of equivalence around a reported number, if there is one."""
    margin = verdicts.margin(cell.column)
    if cell.reported is None or margin is None:
        return None
    return margin.bounds(cell.reported)


def _has_ours(cell: Cell) -> bool:
    return cell.ours is not None and not cell.same_training


def _is_compared(cell: Cell) -> bool:
    return cell.reported is not None and cell.verdict not in NOT_COMPARED


def _draw(axis: "Axes", place: int, cell: Cell) -> None:
    bounds = _bounds(cell)
    if bounds is not None:
        low, high = bounds
        axis.barh(place, high - low, left=low, height=0.7, color=MARGIN, zorder=1)
    if cell.reported is not None:
        axis.plot(cell.reported, place, "D", color=REPORTED, ms=4, zorder=3)
    if not _has_ours(cell):
        return
    if cell.low is not None and cell.high is not None:
        axis.hlines(place, cell.low, cell.high, color=OURS, linewidth=1.4, zorder=2)
    face = OURS if _is_compared(cell) else "white"
    axis.plot(cell.ours, place, "o", color=OURS, markerfacecolor=face, ms=5, zorder=4)


def _legend(figure: "Figure", cells: Sequence[Cell]) -> None:
    """Name what is drawn, and nothing else."""
    from matplotlib import lines, patches

    ours = [cell for cell in cells if _has_ours(cell)]
    reported = {"color": REPORTED, "marker": "D", "linestyle": "", "ms": 4}
    dot = {"color": OURS, "marker": "o", "ms": 5}
    known = {
        "reported": (
            any(cell.reported is not None for cell in cells),
            lines.Line2D([], [], **reported),
        ),
        "margin of equivalence": (
            any(_bounds(cell) is not None for cell in cells),
            patches.Patch(color=MARGIN),
        ),
        "ours, 95 % interval": (
            any(map(_is_compared, ours)),
            lines.Line2D([], [], **dot),
        ),
        "ours, 95 % interval, not compared": (
            not all(map(_is_compared, ours)),
            lines.Line2D([], [], markerfacecolor="white", **dot),
        ),
    }
    drawn = {text: handle for text, (is_drawn, handle) in known.items() if is_drawn}
    figure.legend(
        handles=list(drawn.values()),
        labels=list(drawn),
        loc="outside lower center",
        ncols=len(drawn),
        fontsize=7,
        frameon=False,
    )
