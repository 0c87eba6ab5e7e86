"""The demo's tables in docs/demo.md, pasted by code between two markers."""

import os
import pathlib
from collections.abc import Iterable

from ich_tf import files, paths
from ich_tf.evidence import recorded, render, tables
from ich_tf.evidence.recorded import Recorded, RecordedCell, RecordedTable
from ich_tf.experiments.mask_results import LEARNED
from ich_tf.metrics import display

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
DOCS = paths.PROJECT / "docs"
PAGE = DOCS / "demo.md"


def update(
    results: str | os.PathLike,
    page: pathlib.Path = PAGE,
    record: pathlib.Path = recorded.RECORDED,
) -> None:
    """Record the demo's numbers and paste the report's own tables into docs/demo.md.

    Args:
        results: Folder of results.
        page: The page of the demo.
        record: The file of recorded numbers.

    Raises:
        ValueError: if no row was run on the phantom.
    """
    made = recorded.record(pathlib.Path(results), path=record)
    text = page.read_text(encoding="utf-8")
    first, rest = text.split(BEGIN)
    _, last = rest.split(END)
    shown = f"{BEGIN}\n{block(made)}{END}"
    files.write_bytes(page, (first + shown + last).encode())


def block(made: Recorded) -> str:
    """The page's block: the recorded tables with numbers of the report's own."""
    return render_recorded(
        {
            name: table
            for name, table in made.items()
            if tables.table(name).has_reported_numbers
        }
    )


def render_recorded(made: Recorded) -> str:
    """Recorded tables as Markdown."""
    lines = []
    for name, table in made.items():
        lines += [f"**{tables.table(name).caption}**", "", _table(name, table), ""]
    lines += _curves(made)
    cells = [cell for table in made.values() for cell in table["cells"]]
    verdicts = sorted({cell["verdict"] for cell in cells})
    versions = [of_run for table in made.values() for of_run in table["versions"]]
    lines.append(
        f"Verdicts: {', '.join(verdicts)} (the phantom is other data). Made at commit "
        f"{_listed(made, 'commits')} on {_listed(made, 'devices')} with Keras "
        f"{_distinct(of_run['keras'] for of_run in versions)} and TensorFlow "
        f"{_distinct(of_run['tensorflow'] for of_run in versions)}."
    )
    return "\n".join(lines) + "\n"


def _table(name: str, made: RecordedTable) -> str:
    digits = tables.table(name).digits
    columns = dict.fromkeys(cell["column"] for cell in made["cells"])
    header = ["Row"]
    for column in columns:
        header += [
            f"{render.heading(column)}: {kind}" for kind in ("reported", "phantom")
        ]
    rows: dict[str, list[str]] = {}
    for cell in made["cells"]:
        row = rows.setdefault(cell["row"], [cell["row"]])
        row += [display.number(cell["reported"], digits), _ours(cell, digits)]
    return render.markdown(*render.without_dashes(header, list(rows.values())))


def _ours(cell: RecordedCell, digits: int) -> str:
    if cell["verdict"] == "not run":
        return "not run"
    number = display.number(cell["ours"], digits)
    if cell["ours"] is None or cell["low"] is None or cell["high"] is None:
        return number
    low, high = (display.number(cell[end], digits) for end in ("low", "high"))
    return f"{number} [{low}, {high}]"


def _curves(made: Recorded) -> list[str]:
    """The learning curves as Markdown; a row in several tables is shown once."""
    curves, dice = {}, {}
    for table in made.values():
        curves.update(table.get("curves", {}))
        dice.update(table.get("dice", {}))
    if not curves:
        return []
    count = max(len(curve) for curve in curves.values())
    rows = []
    for title, curve in curves.items():
        cells = [f"{training:.3f}, {validation:.3f}" for training, validation in curve]
        score = display.number(dice.get(title), 3)
        rows.append([title, score, *cells, *[""] * (count - len(cells))])
    epochs = [f"epoch {number}" for number in range(1, count + 1)]
    header = ["Row", "Dice, heads with hemorrhage", *epochs]
    few = [f"{title} ({dice[title]:.3f})" for title in dice if dice[title] < LEARNED]
    lines = [
        "**Learning curves: soft Jaccard of training crops, of validation crops; and "
        "the mean Dice of held-out heads with hemorrhage**",
        "",
        render.markdown(header, rows),
        "",
    ]
    if dice:
        lines += [
            f"Not learned to segment (Dice below {LEARNED}), of these rows: "
            f"{'; '.join(few) or 'none'}.",
            "",
        ]
    return lines


def _listed(made: Recorded, name: str) -> str:
    return _distinct(value for table in made.values() for value in table[name])


def _distinct(values: Iterable[str]) -> str:
    """Each value once, in order."""
    return ", ".join(dict.fromkeys(values))
