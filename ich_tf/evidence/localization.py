"""Figures 3-7, and what the report leaves to the eye: is the heat on the blood?"""

import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

import numpy as np

from ich_tf import files, labels, typed_json
from ich_tf.experiments import provenance, runner, trained_classifier
from ich_tf.experiments.result_types import Score
from ich_tf.metrics import display, evaluation, intervals, localization
from ich_tf.models import resnext
from ich_tf.prediction import classify, explain, figures
from ich_tf.synthetic import phantom
from ich_tf.volume import BODY_HU

FIRST_FIGURE = 3
FOLDER, MEASURED = "figures", "localization.json"
ADVICE = "Remove it; `ich-tf figures` with its profile makes it again."
# Of the heads that figures are drawn of; no profile trains on this seed.
SEED, HEADS = 7, 12


def draw_and_measure(
    network: classify.SliceNetwork,
    heads: Iterable[phantom.PhantomHead],
    out: str | os.PathLike,
    layer: str | None = None,
    made_for: dict | None = None,
) -> dict:
    """Explain every slice with blood of phantom heads, subtype by subtype.

    A slice with several subtypes counts for each of them, against the blood of that
    subtype alone. A figure shows the slice with the largest lesion, whatever its
    heatmap looks like.

    Args:
        network: From `classify.load` or `trained_classifier`.
        heads: Heads that the classifier was not trained on; taken one at a time.
        out: Folder for `figure-<3 to 7>-<subtype>.png` and `localization.json`.
        layer: The feature maps that Grad-CAM weighs; None takes
            `resnext.feature_map`.
        made_for: What decides whether the figures are up to date.

    Returns:
        The content of `localization.json`: `made_for`, `layer`, `heads`, and
        `subtypes`: each of
        `labels.SUBTYPES` to `slices`, `detected` (how many of them have a probability
        above 0.5), `figure` (None without a slice) and the mean over slices of each
        of `localization.MEASURES` and of `above_chance` (energy share less the chance
        level of the head) with a 95 % interval over heads; undefined is None.
    """
    layer = layer or resnext.feature_map(network.model)
    rows: dict[str, list[dict]] = {subtype: [] for subtype in labels.SUBTYPES}
    largest: dict[str, dict] = {}
    count = 0
    for head in heads:
        count += 1
        for subtype, row, panels in _explained(network, head, layer):
            rows[subtype].append(row)
            area = np.count_nonzero(panels["mask"])
            if subtype not in largest or area > largest[subtype]["area"]:
                largest[subtype] = {"area": area, "row": row, "panels": panels}
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "made_for": made_for,
        "layer": layer,
        "heads": count,
        "subtypes": {
            subtype: {
                **_summary(rows[subtype]),
                "figure": _draw(out, subtype, largest.get(subtype)),
            }
            for subtype in labels.SUBTYPES
        },
    }
    files.write_json(out / MEASURED, content)
    return content


class SubtypeMeasures(TypedDict):
    """Means over the slices of one subtype."""

    slices: int
    detected: int
    energy_share: Score
    pointing_game: Score
    chance_head: Score
    chance_image: Score
    above_chance: Score
    figure: str | None


class Measured(TypedDict):
    """The content of `localization.json`."""

    made_for: dict[str, Any]
    layer: str
    heads: int
    subtypes: dict[str, SubtypeMeasures]


def read(folder: pathlib.Path) -> Measured:
    """Read what `draw_and_measure` wrote.

    Args:
        folder: The folder of the figures.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged; the message names it.
    """
    content = typed_json.read(folder / MEASURED, Measured, ADVICE)
    check_figures(folder / MEASURED, content["subtypes"], ADVICE)
    return content


def check_figures(
    path: pathlib.Path, by_subtype: Mapping[str, Mapping], advice: str
) -> None:
    """Refuse entries for unknown subtypes, and figures outside the folder.

    Args:
        path: The file, for the message.
        by_subtype: Subtype to what the file says of it; `figure` is a file's name or
            None.
        advice: How the file is made again, for the message.

    Raises:
        ValueError: if it is damaged; the message names the file.
    """
    for subtype, said in by_subtype.items():
        if subtype not in labels.SUBTYPES:
            raise ValueError(f"{path} is damaged: no subtype {subtype!r}. {advice}")
        if not files.is_plain(said["figure"] or FOLDER):
            raise ValueError(
                f"{path} is damaged: {said['figure']!r} is no plain file name. {advice}"
            )


def of_run(
    run: runner.Run, say: Callable[[str], None], heads: int = HEADS
) -> pathlib.Path:
    """Draw Figures 3-7 with the trained slice network of a run, on new phantom heads.

    Args:
        run: Finished, of a slice network.
        say: Takes a line of progress.
        heads: Number of bleeding phantom heads, of a seed that no run trains on.

    Returns:
        The folder with the figures and `localization.json`.
    """
    out = run.folder / FOLDER
    made_for = {
        "run": provenance.digest(run.spec),
        "heads": heads,
        "cells": resnext.CELLS,
    }
    path = out / MEASURED
    if path.is_file() and read(out)["made_for"] == made_for:
        return out
    say(f"figures 3-7: Grad-CAM on {heads} phantom heads")
    what = {"slices": 24, "size": 128, **run.profile.phantom}
    dataset = phantom.PhantomDataset(
        heads, SEED, slices=what["slices"], size=what["size"], bleeding_share=1.0
    )
    network = trained_classifier.of_run(run)
    made = map(dataset.load_head, dataset.case_ids())
    draw_and_measure(network, made, out, made_for=made_for)
    return out


def describe(content: dict) -> str:
    """The measures of `localization.json` as lines of text."""
    lines = []
    for subtype, measured in content["subtypes"].items():
        if not measured["slices"]:
            lines.append(f"{labels.SHORT[subtype]}: no slice")
            continue
        share, pointing, chance = (
            display.number(measured[name]["mean"])
            for name in ("energy_share", "pointing_game", "chance_head")
        )
        lines.append(
            f"{labels.SHORT[subtype]}: {measured['slices']} slices; energy on the "
            f"lesion {share}, pointing game {pointing}, chance {chance}"
        )
    return "\n".join(lines)


def head_pixels(hu: np.ndarray) -> np.ndarray:
    """The head in a slice: the largest connected part that is not air, holes filled.

    Args:
        hu: (h, w), Hounsfield units.

    Returns:
        (h, w), bool; the holder of the head is left out where it does not touch.
    """
    from scipy import ndimage

    parts, count = ndimage.label(hu > BODY_HU)
    if not count:
        return np.zeros(hu.shape, bool)
    sizes = np.bincount(parts.ravel())[1:]
    return ndimage.binary_fill_holes(parts == sizes.argmax() + 1)


def _explained(network, head, layer):
    """Give subtype, row of measures and what a figure shows, slice by slice."""
    if not head.subtypes.any():
        return
    volume = head.case.volume
    _, answers = classify.slice_answers(network, volume)
    for k, subtype in enumerate(labels.SUBTYPES):
        lesion = head.subtypes == k + 1
        chosen = np.flatnonzero(lesion.any(axis=(1, 2)))
        if not len(chosen):
            continue
        heat = explain.slice_heatmaps(network, volume, k, chosen, layer)
        for z, heatmap in zip(chosen, heat, strict=True):
            hu, mask = volume.hu[z], lesion[z]
            row = {
                "head": head.case.case_id,
                "slice": int(z),
                "probability": float(answers[z, k]),
                **localization.slice_measures(heatmap, mask, head_pixels(hu)),
            }
            row["above_chance"] = row["energy_share"] - row["chance_head"]
            yield subtype, row, {"hu": hu, "heatmap": heatmap, "mask": mask}


def _summary(rows: list[dict]) -> dict:
    owners = [row["head"] for row in rows]
    summary = {
        "slices": len(rows),
        "detected": sum(row["probability"] > 0.5 for row in rows),
    }
    for measure in (*localization.MEASURES, "above_chance"):
        interval = intervals.bootstrap_mean([row[measure] for row in rows], owners)
        summary[measure] = evaluation.as_json(interval)
    return summary


def _draw(out: pathlib.Path, subtype: str, chosen: dict | None) -> str | None:
    if chosen is None:
        return None
    short, row = labels.SHORT[subtype], chosen["row"]
    number = FIRST_FIGURE + labels.SUBTYPES.index(subtype)
    name = f"figure-{number}-{short}.png"
    title = (
        f"Figure {number}, {short}: {row['head']}, slice {row['slice'] + 1}, "
        f"p = {row['probability']:.2f}"
    )
    figures.draw_explanation(out / name, title=title, **chosen["panels"])
    return name
