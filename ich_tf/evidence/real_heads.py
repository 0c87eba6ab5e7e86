"""The page about the network of real heads, made from what was measured with it."""

import os
import pathlib
from collections.abc import Sequence

import yaml

from ich_tf import files, labels
from ich_tf.evidence import real_heads_ablations, real_slices
from ich_tf.experiments.tasks.real_heads_shipping import MEASURED
from ich_tf.metrics import display
from ich_tf.models import weights

NAME = "real-heads"
FIGURE = "real-slices.png"

_FACTS = pathlib.Path(__file__).with_name("real_heads.yaml")
_WORK = """\
## Nearest published work

Hu et al. (Label-Free Liver Tumor Segmentation, CVPR 2023) paint tumors into healthy
livers by hand-made rules; a U-Net trained on them reaches a Dice of 0.573 on real
tumors, and 0.564 when trained on real tumors. SynthStroke (Chalcroft et al., MELBA
2025) draws strokes into label maps and renders whole heads of any contrast from them.
Here, as in the first, the head and its noise are real, and only the blood, its edema
and what it pushes aside are synthetic; a lesion has one of five subtypes, each with its
own anatomy and density, and scans without blood get mimics that the truth leaves out.
"""


def page(
    results: str | os.PathLike,
    recorded: pathlib.Path,
    weights_dir: str | os.PathLike | None = None,
) -> str:
    """The page as Markdown.

    Args:
        results: Folder of results, with the ablations that were run.
        recorded: The page as it is, whose ablations stay if none was run.
        weights_dir: Folder with the weights and what was measured with them.

    Raises:
        ValueError: if these weights or their measurements are not there.
    """
    ablations = real_heads_ablations.section(results, recorded)
    return render(read_measured(weights_dir), ablations)


def read_measured(weights_dir: str | os.PathLike | None = None) -> dict:
    """What was measured with the shipped network.

    Args:
        weights_dir: Folder with the weights.

    Raises:
        ValueError: if the weights or their measurements are not there.
    """
    _, entry = weights.shipped(NAME, weights_dir)
    path = weights.companion(entry, MEASURED, weights_dir)
    if path is None:
        raise ValueError(f"{NAME} has no {MEASURED} next to its weights.")
    return files.read_json(path)


def render(measured: dict, ablations: Sequence[str] = ()) -> str:
    """The page from the content of `measured.json` and a section of ablations."""
    facts = yaml.safe_load(_FACTS.read_text(encoding="utf-8"))
    lines = [
        "# One network for real heads",
        "",
        f"Made by `ich-tf tables --docs` from `weights/{NAME}.measured.json`. "
        "The shipped network has seen no real mask and no real slice with hemorrhage: "
        "hemorrhage is painted into whole scans of patients who have "
        "none (`ich_tf/synthetic/scan_painting.py`), and phantom heads are mixed in. "
        "Real slice labels calibrate one number, the probability of any hemorrhage in "
        "a slice, on patients who are not judges.",
        "",
        *_judged(measured),
        *_by_subtype(measured),
        *_calibration(measured),
        *_operating_point(measured),
        *_painted(measured),
        *ablations,
        *_tried(facts["tried"]),
        *facts["training"],
        "",
        *_figure(),
        _WORK,
        "## What is still wrong",
        "",
        *[f"- {fault}" for fault in facts["faults"]],
    ]
    return "\n".join(lines) + "\n"


def _judged(measured: dict) -> list[str]:
    old, new = measured["judges"]["before"], measured["judges"]["after"]
    rows = [
        ("AUC any, slices, highest probabilities", ("auc", "any", "slice")),
        ("AUC any, patients, sum over slices", ("auc", "any", "patient")),
        ("AUC any, slices, largest area", ("slice",)),
        ("AUC any, patients, largest area", ("patient",)),
        ("false mm2 in a clean slice", ("false_mm2",)),
        ("marked over true volume, all patients", ("volume", "share")),
        ("volume error per patient, ml", ("volume", "error_ml")),
    ]
    lines = [
        "## Before and after",
        "",
        f"{measured['judges']['data']}: the judges are the patients with "
        "hemorrhage who were used neither to train nor to calibrate, scored together "
        "with the 8 patients without hemorrhage who were not painted on. The "
        "true volumes are the published counts of mask voxels of ct-ich 1.3.1; the "
        "masks themselves were not available. "
        f"Before: `{measured['before']}`. Intervals are 95 %, from DeLong's "
        "method or resampled patients. Mimics were added after inspecting what earlier "
        "networks marked in these patients and in a series from another scanner, and "
        "both thresholds were chosen on these patients, so results on other patients "
        "may be worse.",
        "",
        "| | before | after |",
        "| --- | --- | --- |",
    ]
    for title, keys in rows:
        cells = [display.with_interval(_at(found, keys)) for found in (old, new)]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return [*lines, ""]


def _at(found: dict, keys: tuple[str, ...]) -> dict:
    for key in keys:
        found = found[key]
    return found


def _by_subtype(measured: dict) -> list[str]:
    new = measured["judges"]["after"]["auc"]
    lines = [
        "| AUC of judges, after | slices | patients |",
        "| --- | --- | --- |",
    ]
    for label in labels.CLASSES:
        cells = [
            display.with_interval(new[label][unit]) for unit in ("slice", "patient")
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return [*lines, ""]


def _calibration(measured: dict) -> list[str]:
    found = measured["judges"]["after"]["calibration"]
    lines = [
        "## Calibration",
        "",
        "For any hemorrhage in a slice, on the same patients; fitted on real slices of "
        "other patients. The calibration of subtypes and scans is fitted on painted "
        "scans, for lack of real patients. Expected calibration error "
        f"{found['error']:.3f}, Brier score "
        f"{display.with_interval(found['brier'])}.",
        "",
        "| predicted probability | mean | share with hemorrhage |",
        "| --- | --- | --- |",
    ]
    for row in found["curve"]:
        lines.append(
            f"| {row['from']:.1f} to {row['to']:.1f} | {row['mean']:.3f} | "
            f"{display.with_interval(row['share'])} |"
        )
    return [*lines, ""]


def _operating_point(measured: dict) -> list[str]:
    points = measured["operating_point"]
    lines = [
        "## Operating point",
        "",
        f"A pixel is marked above a probability of {measured['threshold']}, in slices "
        "whose calibrated probability of any hemorrhage is at least "
        f"{measured['slice_threshold']}. The slice threshold is the one with the "
        "largest sum of sensitivity and specificity by slice, the threshold the one "
        "with the smallest mean error of the volume. Thresholds chosen on one half "
        "of the patients are scored on the other half:",
        "",
        "| chosen on | threshold | slice threshold | sensitivity of slices | "
        "specificity of slices | error of the volume, ml |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for title, choices in points.items():
        for part, point in (choices or {}).items():
            if point is None:
                continue
            scored = point.get("score", {})
            cells = [
                display.with_interval(scored[name]) if name in scored else "–"
                for name in ("sensitivity", "specificity", "error_ml")
            ]
            lines.append(
                f"| {title}, {part} numbers | {point['threshold']} | "
                f"{point['slice_threshold']} | {' | '.join(cells)} |"
            )
    return [*lines, ""]


def _painted(measured: dict) -> list[str]:
    lines = [
        "## Painted scans of held-out patients",
        "",
        "Dice of slices at the operating point. In painted slices without "
        "blood, which show only mimics, "
        f"{display.with_interval(measured['painted']['false_mm2'])} mm2 are marked.",
        "",
        "| painted slices with | Dice | distance of the outlines, mm |",
        "| --- | --- | --- |",
    ]
    distances = measured["painted"]["boundary_mm"]
    for kind, dice in measured["painted"]["dice"].items():
        away = distances.get(kind)
        cells = display.with_interval(dice), away and display.with_interval(away)
        lines.append(f"| {kind} | {cells[0]} | {cells[1] or 'nothing marked'} |")
    lines += [
        "",
        "| subtype | share of its pixels found | "
        "share of those with the right subtype |",
        "| --- | --- | --- |",
    ]
    for subtype, found in measured["painted"]["subtypes"].items():
        share = found["found"] / max(found["pixels"], 1)
        right = found["right_subtype"] / max(found["found"], 1)
        lines.append(f"| {subtype} | {share:.2f} | {right:.2f} |")
    return [*lines, ""]


def _tried(rows: list[dict]) -> list[str]:
    lines = [
        "## What was tried",
        "",
        "Measured by the maintainers on 26 real slices with masks that are not part "
        "of this project, before this network was trained. Each row keeps the changes "
        "of the rows above it. False pixels are out of 65,536 in a clean slice; the "
        "AUC is by slice, for fold 0 and for 200 slices from another source.",
        "",
        "| change | Dice by slice | pooled | false pixels | AUC |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| {row['change']} | {row['dice']:.2f} | {row['pooled']:.2f} | "
            f"{row['false_pixels']} | {row['auc']} |"
        )
    return [*lines, ""]


def _figure() -> list[str]:
    return [
        "## Real slices",
        "",
        f"![Ten real slices with outlines]({FIGURE})",
        "",
        real_slices.CAPTION,
        "",
    ]
