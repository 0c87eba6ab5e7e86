"""Scores of painted and labelled slices, by kind of lesion and by size."""

import numpy as np

from ich_tf import labels
from ich_tf.metrics import evaluation, intervals

SIZES_MM2 = (100.0, 400.0, 1600.0)
"""Borders between the sizes of painted lesions."""


def score_slices(
    painted_rows: list[dict], labelled: dict[str, dict], identity: str
) -> dict:
    """Scores of painted and labelled slices, as JSON.

    Args:
        painted_rows: For each painted slice `patient`, `labels`, `truth`, `predicted`
            and `both` in pixels, `area_mm2` and `predicted_mm2`.
        labelled: Case id to `evaluation.label_and_area`.
        identity: The data set of `labelled`.

    Returns:
        `painted`, from "all", a subtype or a size to the mean Dice of the slices with
        blood; `false_mm2`, the mean area predicted in painted slices without blood;
        `labelled`, "slice" and "patient" to the area under the ROC curve, and `data`.
    """
    return {
        "painted": dice_by_kind([row for row in painted_rows if row["truth"]]),
        "false_mm2": _false_mm2([row for row in painted_rows if not row["truth"]]),
        "labelled": {"data": identity, **evaluation.detection(labelled)},
    }


def dice_by_kind(rows: list[dict]) -> dict[str, dict]:
    """Mean Dice of slices by subtype and size; a subtype takes slices with it alone."""
    names = ("under 100", "100 to 400", "400 to 1600", "over 1600")
    groups: dict[str, list[dict]] = {"all": rows}
    for k, subtype in enumerate(labels.SUBTYPES):
        groups[subtype] = [
            row for row in rows if row["labels"][k] and sum(row["labels"][:-1]) == 1
        ]
    for number, name in enumerate(names):
        groups[f"{name} mm2"] = [
            row for row in rows if np.digitize(row["area_mm2"], SIZES_MM2) == number
        ]
    return {
        name: evaluation.as_json(
            intervals.bootstrap_mean(
                [2 * row["both"] / (row["truth"] + row["predicted"]) for row in group],
                [row["patient"] for row in group],
            )
        )
        for name, group in groups.items()
        if group
    }


def _false_mm2(rows: list[dict]) -> dict:
    """Mean area that is predicted in slices without blood."""
    areas = [row["predicted_mm2"] for row in rows]
    patients = [row["patient"] for row in rows]
    return evaluation.as_json(intervals.bootstrap_mean(areas, patients))
