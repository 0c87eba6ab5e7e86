"""Figures 3-7 on the phantom, and a measure of whether the heat is on the blood.

With RSNA 2019, Figures 3-7 are of Table I's slice network (`held_out_figures`), and it
is measured here on phantom heads. Without, they are of the network of `predict`.
"""

import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np

from ich_tf import files, labels, paths, typed_json
from ich_tf.experiments import provenance, runner, trained_classifier
from ich_tf.experiments.result_types import Score
from ich_tf.metrics import display, evaluation, intervals, localization
from ich_tf.models import manifest, resnext
from ich_tf.models import weights as model_weights
from ich_tf.prediction import explain, figures, real_heads
from ich_tf.synthetic import phantom
from ich_tf.volume import BODY_HU

FIRST_FIGURE = 3
_, OF_PREDICT, FOLDER = paths.FIGURES
MEASURED = "localization.json"
# Of the heads that figures are drawn of; no profile trains on this seed.
SEED, HEADS = 7, 12
SIZES = {"slices": 24, "size": 128}
"""Slices of a phantom head and pixels of a side, where a profile does not say."""


def draw_and_measure(
    explainer: explain.Explainer,
    heads: Iterable[phantom.PhantomHead],
    out: str | os.PathLike,
    made_for: dict | None = None,
) -> dict:
    """Explain every slice with blood of phantom heads, subtype by subtype.

    A slice with several subtypes counts for each of them, against the blood of that
    subtype alone. A figure shows the slice with the largest lesion, whatever its
    heatmap looks like.

    Args:
        explainer: The network and its heatmaps.
        heads: Heads that the network was not trained on; taken one at a time.
        out: Folder for `figure-<3 to 7>-<subtype>.png` and `localization.json`.
        made_for: What decides whether the figures are up to date.

    Returns:
        The content of `localization.json`: `made_for`, `network`, what its maps
        `shows`, `heads`, and `subtypes`: each of `labels.SUBTYPES` to `slices`,
        `detected` (how many of them have a probability above 0.5), `figure` (None
        without a slice) and the mean over slices of each of `localization.MEASURES`
        and of `above_chance` (energy share less the chance level of the head) with a
        95 % interval over heads; undefined is None.
    """
    rows: dict[str, list[dict]] = {subtype: [] for subtype in labels.SUBTYPES}
    largest: dict[str, dict] = {}
    count = 0
    for head in heads:
        count += 1
        for subtype, row, panels in _explained(explainer, head):
            rows[subtype].append(row)
            area = np.count_nonzero(panels["mask"])
            if subtype not in largest or area > largest[subtype]["area"]:
                largest[subtype] = {"area": area, "row": row, "panels": panels}
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "made_for": made_for,
        "network": explainer.name,
        "shows": explainer.shows,
        "heads": count,
        "subtypes": {
            subtype: {
                **_summary(rows[subtype]),
                "figure": _draw(out, subtype, largest.get(subtype), explainer.shows),
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
    """The content of `localization.json`; an earlier version names no network."""

    made_for: dict[str, Any]
    network: NotRequired[str]
    shows: NotRequired[str]
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
    of_row = "" if folder.name == OF_PREDICT else " --run ROW"
    advice = f"Remove it; `ich-tf figures{of_row}` with its profile makes it again."
    content = typed_json.read(folder / MEASURED, Measured, advice)
    check_figures(folder / MEASURED, content["subtypes"], advice)
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
    """Measure and draw the trained slice network of a run on new phantom heads.

    Args:
        run: Finished, of a slice network.
        say: Takes a line of progress.
        heads: Number of bleeding phantom heads, of a seed that no run trains on.

    Returns:
        The folder with the figures and `localization.json`.
    """
    made_for = {"run": provenance.digest(run.spec), "cells": resnext.CELLS}
    sizes = {name: run.profile.phantom.get(name, size) for name, size in SIZES.items()}
    return _unless_made(
        run.folder / FOLDER,
        made_for,
        lambda: explain.GradCam(trained_classifier.of_run(run)),
        {"cases": heads, **sizes},
        say,
    )


def of_predict(
    run_folder: pathlib.Path,
    weights: str | os.PathLike | None,
    say: Callable[[str], None],
    heads: int = HEADS,
) -> pathlib.Path:
    """Draw Figures 3-7 with the network of `predict`, on new phantom heads.

    Args:
        run_folder: `Run.folder` of Table I's slice network, which need not be there.
        weights: Folder of the shipped weights; None takes `paths.weights()`.
        say: Takes a line of progress.
        heads: Number of bleeding phantom heads, of a seed that no weights train on.

    Returns:
        The folder with the figures and `localization.json`.

    Raises:
        ValueError: if the weights are absent or damaged, or give no probabilities of
            subtypes.
    """
    name = real_heads.DEFAULT_WEIGHTS
    entry = model_weights.entry_for(name, manifest.Segmentation, weights)
    return _unless_made(
        run_folder / OF_PREDICT,
        {"weights": entry["sha256"]},
        lambda: explain.PixelProbabilities(real_heads.load(weights)),
        {"cases": heads, **SIZES, "size": entry["preprocessing"]["size"]},
        say,
    )


def _unless_made(
    out: pathlib.Path,
    made_for: dict,
    load: Callable[[], explain.Explainer],
    heads: dict[str, int],
    say: Callable[[str], None],
) -> pathlib.Path:
    """`draw_and_measure`, if the folder does not hold what it would make.

    `heads` has the arguments `cases`, `slices` and `size` of `PhantomDataset`.
    """
    made_for = {**made_for, "heads": heads, "panels": list(figures.PANELS)}
    if (out / MEASURED).is_file() and read(out)["made_for"] == made_for:
        return out
    explainer = load()
    say(
        f"figures 3-7: {explainer.shows} by {explainer.name} on {heads['cases']} "
        "phantom heads"
    )
    dataset = phantom.PhantomDataset(seed=SEED, bleeding_share=1.0, **heads)
    made = map(dataset.load_head, dataset.case_ids())
    draw_and_measure(explainer, made, out, made_for=made_for)
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


def _explained(explainer, head):
    """Give subtype, row of measures and what a figure shows, slice by slice."""
    shown = np.unique(head.subtypes[head.subtypes > 0]) - 1
    if not len(shown):
        return
    for k, answer in zip(shown, explainer.explain(head.case, shown), strict=True):
        subtype, lesion = labels.SUBTYPES[k], head.subtypes == k + 1
        chosen = np.flatnonzero(lesion.any(axis=(1, 2)))
        for z, heatmap in zip(chosen, answer.heatmaps(chosen), strict=True):
            hu, mask = head.case.volume.hu[z], lesion[z]
            row = {
                "head": head.case.case_id,
                "slice": int(z),
                "probability": float(answer.slice_probability[z]),
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


def _draw(
    out: pathlib.Path, subtype: str, chosen: dict | None, shows: str
) -> str | None:
    if chosen is None:
        return None
    short, row = labels.SHORT[subtype], chosen["row"]
    number = FIRST_FIGURE + labels.SUBTYPES.index(subtype)
    name = f"figure-{number}-{short}.png"
    title = (
        f"Figure {number}, {short}: {row['head']}, slice {row['slice'] + 1}, "
        f"p = {row['probability']:.2f}"
    )
    figures.draw_explanation(out / name, title=title, shows=shows, **chosen["panels"])
    return name
