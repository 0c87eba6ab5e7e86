"""docs/synthetic.md: how far synthetic hemorrhage carries on real slices."""

import os
import pathlib
from typing import TypedDict

import numpy as np

from ich_tf import typed_json
from ich_tf.evidence import compare, render
from ich_tf.evidence.classification_page import CLASSIFIERS
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG
from ich_tf.experiments.result_types import LabelledScan
from ich_tf.experiments.rows import painted
from ich_tf.experiments.rows import shipped as shipped_rows
from ich_tf.metrics import display, evaluation

PRETRAINED = "ct-ich-slices/resnext-painted"
SHIPPED = "shipped/unetplusplus-painted"
ADVICE = "Run `ich-tf detection` again."
INGREDIENTS = "## One ingredient less"
NETWORK = "## The network that `real-heads` starts from"


def page(results: str | os.PathLike, profile: str = "demo") -> str:
    """How far synthetic hemorrhage carries, on data that was not synthetic.

    Args:
        results: Folder of results: the rows of `painted`, the network that is shipped
            (profile "shipped"), and `detection/<weights>/detection.json`.
        profile: Name of the profile of the rows.

    Returns:
        Markdown.

    Raises:
        ValueError: if no row was run, or the shipped network's result is missing; the
            message says how to make it.
    """
    results = pathlib.Path(results)
    shipped = stored.load_result(results, "shipped", CATALOG.row(SHIPPED))
    if shipped is None:
        raise ValueError(
            f"{SHIPPED} was not run. Run "
            f"{stored.command(SHIPPED, 'shipped', options='--ct-ich DIR')}."
        )
    labelled = shipped.slices["labelled"]
    bleeding = sum(any(case["truth"]) for case in labelled.values())
    lines = [
        "# How far synthetic hemorrhage carries",
        "",
        "Made by `ich-tf tables --docs` from result files. No network here "
        "has seen a real mask, or a real slice with hemorrhage: hemorrhage is painted "
        "onto slices of patients who have none (`ich_tf/synthetic/painting.py`), and "
        "phantom heads are mixed in.",
        "",
        f"Judged on {shipped.labelled['data']} (doi:10.13026/w8q8-ky94, CC BY 4.0) "
        f"by the labels of its slices: all {bleeding} patients with hemorrhage, and "
        f"{len(labelled) - bleeding} patients without, whose slices were not "
        "painted on for training. The paint was improved after inspecting what earlier "
        "weights missed in these patients, so results on other patients may be worse. "
        "A slice's score is the largest connected area that the network finds in it; "
        "a patient's score is the largest of its slices' scores. Dice is measured on "
        "painted slices of held-out patients and, by volume, on held-out phantom "
        "heads; false mm2 is the mean area found in painted slices without blood, "
        "which show only mimics. Intervals are 95 %, from resampled patients or "
        "DeLong's method.",
        "",
        "[Real heads](real-heads.md) is about the network behind `predict`: subtypes, "
        "whole painted scans, other mimics, and the nearest published work.",
        "",
        INGREDIENTS,
        "",
        "Small networks, trained briefly and in the same way; they show what each "
        "ingredient is worth, not the best attainable result.",
        "",
        _painted_table([row.id for row in painted.ROWS], results, profile),
        "",
        NETWORK,
        "",
        _painted_table([SHIPPED], results, "shipped"),
        "",
        render.markdown(
            ["painted slices with", "Dice"],
            [
                [kind, display.with_interval(score)]
                for kind, score in shipped.painted.items()
            ],
        ),
    ]
    lines += ["", *_before_and_after(results), *_pretrained(results, profile)]
    return "\n".join(lines) + "\n"


def ingredients(results: str | os.PathLike, recorded: pathlib.Path) -> str:
    """What each ingredient of the paint is worth, as Markdown.

    Args:
        results: Folder of results: the rows of `painted` at demo scale.
        recorded: The page that `synthetic` made, shown where no row was run.
    """
    results, names = pathlib.Path(results), [row.id for row in painted.ROWS]
    if any(stored.load_result(results, "demo", CATALOG.row(name)) for name in names):
        return _painted_table(names, results, "demo")
    section = render.recorded_section(recorded, INGREDIENTS)
    command = "`ich-tf reproduce painted --ct-ich DIR`"
    said = f"No row was run here: these are recorded. {command} makes them."
    return f"{section}\n\n{said}"


def detected(
    results: str | os.PathLike,
) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """What `detection` found, as `plots.roc_curves` takes it.

    Args:
        results: Folder of results, with `detection/<weights>/detection.json`.

    Returns:
        "slice" and "patient" to the weights' name to truth (n,) and largest area (n,),
        of the patients that none of the weights has seen. Empty if nothing was run.
    """
    curves = {}
    for name, cases in _detections(results).items():
        truth = [np.array(case["truth"], bool) for case in cases.values()]
        areas = [np.array(case["largest"]) for case in cases.values()]
        units = {
            "slice": (np.concatenate(truth), np.concatenate(areas)),
            "patient": (
                np.array([flags.any() for flags in truth]),
                np.array([largest.max() for largest in areas]),
            ),
        }
        for unit, answer in units.items():
            curves.setdefault(unit, {})[name] = answer
    return curves


class Detection(TypedDict):
    """What `detection.json` says about each case."""

    cases: dict[str, LabelledScan]


def _detections(results: str | os.PathLike) -> dict[str, dict]:
    """Cases of each `detection.json`: those that are in all of them."""
    detections = {
        path.parent.name: typed_json.read(path, Detection, ADVICE)["cases"]
        for path in sorted(
            (pathlib.Path(results) / "detection").glob("*/detection.json")
        )
    }
    common = (
        sorted(set.intersection(*map(set, detections.values()))) if detections else []
    )
    return {
        name: {case: cases[case] for case in common}
        for name, cases in detections.items()
    }


def _painted_table(names, results: pathlib.Path, profile: str) -> str:
    header = ["trained on", "AUC, slices", "AUC, patients", "Dice, painted"]
    header += ["painted, false mm2 a slice", "Dice, phantom", "phantom, false ml"]
    rows = []
    for name in names:
        result = stored.load_result(results, profile, CATALOG.row(name))
        if result is None:
            rows.append([name, "not run", *[""] * 5])
            continue
        volume = result.summary["per_volume"]
        scores = (
            result.labelled["slice"],
            result.labelled["patient"],
            result.painted["all"],
            result.false_mm2,
            volume["bleeding_dice"],
            volume["false_positive_ml"],
        )
        rows.append([result.title, *map(display.with_interval, scores)])
    return render.markdown(header, rows)


def _before_and_after(results: pathlib.Path) -> list[str]:
    """What `detection` found with each of the shipped weights."""
    detections = _detections(results)
    if not detections:
        return []
    count = len(next(iter(detections.values())))
    scores = {name: evaluation.detection(cases) for name, cases in detections.items()}
    rows = [
        [name, *(display.with_interval(score[unit]) for unit in ("slice", "patient"))]
        for name, score in scores.items()
    ]
    return [
        "## Weights trained on the phantom alone, and these",
        "",
        "`ich-tf detection --ct-ich DIR --weights NAME --out "
        f"results/detection/NAME`; the {count} patients that none of them has "
        "seen, at the pixel size of their slices. They differ in more than the paint: "
        f"{_recipe(shipped_rows.SEGMENTATION)} for the phantom's, "
        f"{_recipe(painted.SHIPPED)} for the others, which start from the "
        "phantom's weights of that time (`begins_with` in the manifest). The rows "
        "above differ only in what they name.",
        "",
        render.markdown(["weights", "AUC, slices", "AUC, patients"], rows),
    ]


def _recipe(scale) -> str:
    return (
        f"augmentation '{scale.augmentation}', tiles of {scale.tile} and "
        f"{scale.epochs} epochs of {scale.steps_per_epoch} steps"
    )


def _pretrained(results: pathlib.Path, profile: str) -> list[str]:
    """Whether painted slices help a classifier of real ones; empty if not run."""
    if not stored.load_result(results, profile, CATALOG.row(PRETRAINED)):
        return []
    return [
        "",
        "## A classifier that first learns from painted slices",
        "",
        "It is then trained on the real labels, as the other row is from the start. "
        "Five folds by patient; each fold paints only its own training patients.",
        "",
        compare.render(CLASSIFIERS.real_slices, PRETRAINED, results, profile),
    ]
