"""Figures 3-7 on real slices: what a slice network sees in held-out scans.

Labels of slices say which subtype is there, but not where: whether the heat is on the
blood is measured on the phantom (`localization`).
"""

import pathlib
from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np
from PIL import Image

from ich_tf import files, labels, paths, typed_json
from ich_tf.evidence import localization
from ich_tf.experiments import provenance, runner, trained_classifier
from ich_tf.experiments.slice_results import SliceResult
from ich_tf.models import resnext
from ich_tf.prediction import classify, explain, figures

FOLDER, CHOSEN = paths.FIGURES[0], "chosen.json"
ADVICE = (
    "Remove it; `ich-tf figures --run ROW --rsna DIR` with its profile makes it again."
)
TABLE1 = "Table I's slice network"
SHOWN = 3
"""Slices in a figure."""


class Chosen(TypedDict):
    """A slice of a figure.

    Attributes:
        case_id: The scan.
        z: Index of the slice, from the foot.
        probability: Probability of the subtype, by the slice network.
    """

    case_id: str
    z: int
    probability: float


class Figure(TypedDict):
    """A figure's file, None without a slice, and its slices."""

    figure: str | None
    slices: list[Chosen]


class HeldOutFigures(TypedDict):
    """The content of `chosen.json`."""

    made_for: dict[str, Any]
    data: str
    subtypes: dict[str, Figure]


def read(folder: pathlib.Path) -> HeldOutFigures:
    """Read what `of_run` wrote.

    Args:
        folder: The folder of the figures.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged; the message names it.
    """
    content = typed_json.read(folder / CHOSEN, HeldOutFigures, ADVICE)
    localization.check_figures(folder / CHOSEN, content["subtypes"], ADVICE)
    return content


def choose(result: SliceResult, shown: int = SHOWN) -> dict[str, list[Chosen]]:
    """The slices with the highest probability of each subtype that they do show.

    A scan gives its best slice only, so that a figure has several patients' scans.

    Args:
        result: Result of a slice network.
        shown: Number of slices, at most.

    Returns:
        Each of `labels.SUBTYPES` to slices in falling order of probability; none where
        no held-out slice shows the subtype.
    """
    chosen = {}
    for k, subtype in enumerate(labels.SUBTYPES):
        best = []
        for case_id, scan in result.predictions.items():
            truth = np.array(scan["truth"])[:, k] > 0
            answers = np.where(truth, np.array(scan["probability"])[:, k], -1.0)
            if truth.any():
                z = int(answers.argmax())
                best.append(Chosen(case_id=case_id, z=z, probability=float(answers[z])))
        chosen[subtype] = sorted(best, key=lambda of: -of["probability"])[:shown]
    return chosen


def of_run(
    run: runner.Run, say: Callable[[str], None], shown: int = SHOWN
) -> pathlib.Path:
    """Draw Figures 3-7 from the held-out scans of a run, at the slices' own size.

    Args:
        run: Finished, of a slice network.
        say: Takes a line of progress.
        shown: Slices in a figure.

    Returns:
        The folder with `figure-<3 to 7>-<subtype>.png` and `chosen.json`, which names
        the slices of each figure.

    Raises:
        ValueError: if the run is not finished, or a scan has other labels than it had.
    """
    out = run.folder / FOLDER
    made_for = {
        "run": provenance.digest(run.spec),
        "shown": shown,
        "cells": resnext.CELLS,
        "panels": list(figures.PANELS),
    }
    path = out / CHOSEN
    if path.is_file() and read(out)["made_for"] == made_for:
        return out
    network = trained_classifier.of_run(run)
    result = runner.load(run)
    say(f"figures 3-7: Grad-CAM on held-out scans of the {result.identity}")
    out.mkdir(parents=True, exist_ok=True)
    subtypes: dict[str, Figure] = {}
    for subtype, slices in choose(result, shown).items():
        pictures = [_picture(run, result, network, subtype, of) for of in slices]
        subtypes[subtype] = {
            "figure": _write(out, subtype, pictures),
            "slices": slices,
        }
    content = HeldOutFigures(made_for=made_for, data=result.identity, subtypes=subtypes)
    files.write_json(path, content)
    return out


def figures_and_captions(
    run_folder: pathlib.Path,
) -> tuple[str, dict[pathlib.Path, str]]:
    """Figures 3-7: which network and data they are of, and each with its caption.

    Of held-out scans where there are any, with those that the same network draws of
    the phantom; else of the network of `predict`; else of the phantom only.

    Args:
        run_folder: `Run.folder` of Table I's slice network.

    Returns:
        Sentences, "" if nothing was drawn; and picture to caption.

    Raises:
        ValueError: if a file of the figures is damaged.
    """
    text, pictures = "", captions(run_folder)
    own, of_predict = (
        run_folder / name for name in (localization.FOLDER, localization.OF_PREDICT)
    )
    if pictures:
        text = (
            f"Real slices: Grad-CAM by {TABLE1} on held-out slices of the "
            f"{read(run_folder / FOLDER)['data']}, those with the highest probability "
            "of a subtype that they do show, each from another scan. "
        )
    elif (of_predict / localization.MEASURED).is_file():
        own = of_predict
        text = "No slice of RSNA 2019 was drawn; these show the network of `predict`. "
    if (own / localization.MEASURED).is_file():
        measured = localization.read(own)
        name = measured.get("network", TABLE1)
        source = f"{measured.get('shows', 'Grad-CAM')} by {name}"
        text += (
            f"Phantom: {source}, on heads that it was not trained on, the largest "
            "lesion of each subtype, whatever the heatmap looks like. The blood is "
            "outlined."
        )
        lines = localization.describe(measured).splitlines()
        figures_of = (of["figure"] for of in measured["subtypes"].values())
        for figure, line in zip(figures_of, lines, strict=True):
            if figure:
                pictures[own / figure] = f"{line}. Phantom, {source}"
    return text.strip(), pictures


def describe(content: HeldOutFigures) -> str:
    """The content of `chosen.json` as a line for each subtype."""
    lines = []
    for subtype, figure in content["subtypes"].items():
        probabilities = [f"{of['probability']:.2f}" for of in figure["slices"]]
        text = f"probability {', '.join(probabilities)} in held-out slices of the "
        text += content["data"]
        if not probabilities:
            text = "no held-out slice"
        lines.append(f"{labels.SHORT[subtype]}: {text}")
    return "\n".join(lines)


def captions(run_folder: pathlib.Path) -> dict[pathlib.Path, str]:
    """Each figure of held-out slices and its line; empty if none was drawn."""
    folder = run_folder / FOLDER
    if not (folder / CHOSEN).is_file():
        return {}
    content = read(folder)
    lines = describe(content).splitlines()
    names = [figure["figure"] for figure in content["subtypes"].values()]
    return {
        folder / name: f"{line}, Grad-CAM by {TABLE1}"
        for name, line in zip(names, lines, strict=True)
        if name
    }


def _picture(
    run: runner.Run,
    result: SliceResult,
    network: classify.SliceNetwork,
    subtype: str,
    of: Chosen,
) -> Image.Image:
    """Heatmap, overlay and slice of one slice, with a title that names no patient."""
    case_id, z = of["case_id"], of["z"]
    case = run.dataset.load(case_id)
    if case.labels.tolist() != result.predictions[case_id]["truth"]:
        raise ValueError(
            f"{run.dataset.root}: scan {case_id} has other labels or slices than "
            f"when {run.experiment.id} was run. Run it again with --fresh."
        )
    k = labels.CLASSES.index(subtype)
    (heat,) = explain.slice_heatmaps(network, case.volume, k, np.array([z]))
    title = (
        f"Figure {_number(subtype)}, {labels.SHORT[subtype]}: slice {z + 1} of "
        f"{len(case.volume.hu)}, p = {of['probability']:.2f}"
    )
    return figures.explained(case.volume.hu[z], heat, title, shows="Grad-CAM")


def _write(out: pathlib.Path, subtype: str, pictures: list[Image.Image]) -> str | None:
    if not pictures:
        return None
    name = f"figure-{_number(subtype)}-{labels.SHORT[subtype]}.png"
    with files.atomic(out / name) as partial:
        figures.stacked(pictures).save(partial)
    return name


def _number(subtype: str) -> int:
    return localization.FIRST_FIGURE + labels.SUBTYPES.index(subtype)
