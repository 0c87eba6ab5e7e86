"""The figure of conventions: how far one prediction moves by convention alone."""

import os
from collections.abc import Sequence

from ich_tf import files
from ich_tf.evidence.conventions import EMPTY, THRESHOLDS, UNITS, Convention
from ich_tf.report import plots

COLOURS = {"skip": "#1b6ca8", "nan": "#e07b00", "zero": "#5b5b5b", "one": "#2a9d4b"}
MEANING = {
    "skip": "units without truth skipped",
    "nan": "skipped only if predicted empty too, else 0",
    "zero": "empty against empty is 0",
    "one": "empty against empty is 1",
    "–": "pooled: no units",
}


def draw(
    conventions: Sequence[Convention],
    path: str | os.PathLike,
    title: str,
    reported: float | None = None,
) -> None:
    """Draw Dice under each convention, a row for each unit.

    Args:
        conventions: From `evidence.conventions.score`.
        path: The PNG file.
        title: Above the figure.
        reported: A printed Dice, drawn as a line; None without one.
    """
    from matplotlib import figure
    from matplotlib.backends import backend_agg

    picture = figure.Figure(figsize=(7.5, 4.2), layout="constrained")
    backend_agg.FigureCanvasAgg(picture)
    axes = picture.add_subplot()
    for empty in (*EMPTY, "–"):
        places = [
            (each.scores["dice"], _height(each))
            for each in conventions
            if each.empty == empty and each.scores["dice"] is not None
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
    published = [each for each in conventions if each.is_published]
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
        axes.axvline(reported, color="black", linestyle=":", label="reported")
    # Finished masks of whole slices have no crops.
    lowest = min(UNITS.index(each.unit) for each in conventions)
    axes.set_yticks(range(lowest, len(UNITS)), UNITS[lowest:])
    axes.set_ylim(lowest - 0.6, len(UNITS) - 0.4)
    axes.set_xlim(0, 1)
    axes.set_xlabel("Dice of the same prediction")
    axes.set_ylabel("averaged over")
    axes.set_title(title, fontsize=10)
    picture.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    files.write_bytes(path, plots.png(picture, 130))


def _height(each: Convention) -> float:
    """The unit's row, apart by threshold and post-processing."""
    threshold = THRESHOLDS.index(each.threshold) - 1
    return UNITS.index(each.unit) + 0.2 * threshold + 0.07 * each.post_processing
