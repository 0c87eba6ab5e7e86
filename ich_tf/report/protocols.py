"""The protocol figure: how far one prediction moves by convention alone."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

from ich_tf import files, owned_folder
from ich_tf.evidence import protocols as protocol_sweep
from ich_tf.evidence.protocols import EMPTY, UNITS, Convention
from ich_tf.experiments import runner

WRITER = "protocols"
NUMBERS = "protocols.json"
FIGURE = "protocols.png"
COLOURS = {"skip": "#1b6ca8", "nan": "#e07b00", "zero": "#5b5b5b", "one": "#2a9d4b"}
MEANING = {
    "skip": "units without truth skipped",
    "nan": "skipped only if predicted empty too, else 0",
    "zero": "empty against empty is 0",
    "one": "empty against empty is 1",
    "–": "pooled: no units",
}


def write(
    run: runner.Run,
    say: Callable[[str], None],
    out: str | os.PathLike | None = None,
) -> tuple[list[Convention], pathlib.Path]:
    """Sweep a finished run; write `protocols.json` and `protocols.png`.

    Args:
        run: The run, finished.
        say: Takes a line of progress.
        out: Folder for both files; None takes the run's own.

    Returns:
        The conventions and the figure's path.

    Raises:
        ValueError: if a file of probabilities is missing, or `out` holds files of
            these names that `protocols` did not write.
    """
    if out is None:
        return _write(run, run.folder, say), run.folder / FIGURE
    owned_folder.check(out, WRITER, (NUMBERS, FIGURE))
    with owned_folder.replacing(out, WRITER) as folder:
        conventions = _write(run, folder, say)
    return conventions, pathlib.Path(out) / FIGURE


def _write(
    run: runner.Run, folder: pathlib.Path, say: Callable[[str], None]
) -> list[Convention]:
    conventions = protocol_sweep.sweep(run, say)
    rows = [dataclasses.asdict(convention) for convention in conventions]
    files.write_json(folder / NUMBERS, rows)
    identity = run.fingerprint["identity"]
    reported = conventions[0].distance is not None and run.experiment.reported
    line = next(iter(reported.values()))["dice"] if reported else None
    title = f"{run.experiment.title}: {identity}"
    draw(conventions, folder / FIGURE, title, line)
    return conventions


def draw(
    conventions: Sequence[Convention],
    path: str | os.PathLike,
    title: str,
    reported: float | None = None,
) -> None:
    """Draw Dice under each convention, a row for each unit.

    Args:
        conventions: From `protocol_sweep.sweep`.
        path: The PNG file.
        title: Above the figure.
        reported: The report's Dice, drawn as a line; None on other data.
    """
    from matplotlib import figure
    from matplotlib.backends import backend_agg

    picture = figure.Figure(figsize=(7.5, 4.2), layout="constrained")
    backend_agg.FigureCanvasAgg(picture)
    axes = picture.add_subplot()
    for empty in (*EMPTY, "–"):
        places = [
            (one.scores["dice"], _height(one))
            for one in conventions
            if one.empty == empty and one.scores["dice"] is not None
        ]
        if places:
            axes.scatter(
                *zip(*places, strict=True),
                s=22,
                alpha=0.7,
                linewidths=0,
                color=COLOURS.get(empty, "#8a3ffc"),
                label=MEANING[empty],
            )
    published = [one for one in conventions if one.is_published]
    if published and published[0].scores["dice"] is not None:
        axes.scatter(
            [published[0].scores["dice"]],
            [_height(published[0])],
            s=90,
            facecolors="none",
            edgecolors="black",
            label="as [2]",
        )
    if reported is not None:
        axes.axvline(reported, color="black", linestyle=":", label="the report")
    axes.set_yticks(range(len(UNITS)), UNITS)
    axes.set_ylim(-0.6, len(UNITS) - 0.4)
    axes.set_xlim(0, 1)
    axes.set_xlabel("Dice of one and the same prediction")
    axes.set_ylabel("averaged over")
    axes.set_title(title, fontsize=10)
    picture.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    with files.atomic(path) as partial:
        picture.savefig(partial, dpi=130)


def _height(one: Convention) -> float:
    """The unit's row, apart by threshold and post-processing."""
    threshold = protocol_sweep.THRESHOLDS.index(one.threshold) - 1
    return UNITS.index(one.unit) + 0.2 * threshold + 0.07 * one.post_processing
