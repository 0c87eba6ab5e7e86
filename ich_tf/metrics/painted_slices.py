"""Scores of painted and labelled slices, by kind of lesion and by size."""

import numpy as np

from ich_tf import labels
from ich_tf.metrics import evaluation, intervals

SIZES_MM2 = (100.0, 400.0, 1600.0)
"""Borders between the sizes of painted lesions."""
DENSITIES_HU = (40.0, 55.0)
"""Borders between the mean densities of painted blood, where rows hold them."""


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
        "false_mm2": false_mm2([row for row in painted_rows if not row["truth"]]),
        "labelled": {"data": identity, **evaluation.detection(labelled)},
    }


def dice_by_kind(rows: list[dict]) -> dict[str, dict]:
    """Mean Dice of slices by subtype, size and density, as JSON.

    A subtype takes slices with it alone.
    """
    return {
        name: _mean(
            [2 * row["both"] / (row["truth"] + row["predicted"]) for row in group],
            group,
        )
        for name, group in _by_kind(rows).items()
    }


def boundary_by_kind(rows: list[dict]) -> dict[str, dict]:
    """Mean distance of the outlines in mm, as `dice_by_kind`.

    Slices in which nothing was marked have no distance and are left out.
    """
    marked = [row for row in rows if row["boundary_mm"] is not None]
    return {
        name: _mean([row["boundary_mm"] for row in group], group)
        for name, group in _by_kind(marked).items()
    }


def _mean(values: list[float], rows: list[dict]) -> dict:
    patients = [row["patient"] for row in rows]
    return evaluation.as_json(intervals.bootstrap_mean(values, patients))


def _by_kind(rows: list[dict]) -> dict[str, list[dict]]:
    """Slices by subtype, size and density; kinds without a slice are left out."""
    names = ("under 100", "100 to 400", "400 to 1600", "over 1600")
    densities = ("under 40", "40 to 55", "over 55")
    groups: dict[str, list[dict]] = {"all": rows}
    for k, subtype in enumerate(labels.SUBTYPES):
        groups[subtype] = [
            row for row in rows if row["labels"][k] and sum(row["labels"][:-1]) == 1
        ]
    for number, name in enumerate(names):
        groups[f"{name} mm2"] = [
            row for row in rows if np.digitize(row["area_mm2"], SIZES_MM2) == number
        ]
    for number, name in enumerate(densities):
        groups[f"{name} HU"] = [
            row
            for row in rows
            if row.get("density_hu") is not None
            and np.digitize(row["density_hu"], DENSITIES_HU) == number
        ]
    return {name: group for name, group in groups.items() if group}


def false_mm2(rows: list[dict]) -> dict:
    """Mean area that is predicted in slices without blood."""
    return _mean([row["predicted_mm2"] for row in rows], rows)


def subtype_confusion(rows: list[dict]) -> dict[str, dict[str, int]]:
    """Pixels of each painted subtype: all, found, and found as that subtype."""
    confusion = {}
    for k, subtype in enumerate(labels.SUBTYPES):
        alone = [
            row for row in rows if row["labels"][k] and sum(row["labels"][:-1]) == 1
        ]
        confusion[subtype] = {
            "pixels": sum(row["truth"] for row in alone),
            "found": sum(row["both"] for row in alone),
            "right_subtype": sum(row["right_subtype"] for row in alone),
        }
    return confusion
