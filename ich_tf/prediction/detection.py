"""How well shipped segmentation weights tell slices with hemorrhage, from labels alone.

Public data sets with labels but no masks are many. The largest area that a network
predicts in a slice is held against the slice's label.
"""

import os
import pathlib
from collections.abc import Callable

import numpy as np

from ich_tf import files, owned_folder
from ich_tf.metrics import evaluation
from ich_tf.models import manifest, weights
from ich_tf.prediction import classify, figures, predict

WRITER = "detection"
SHOWN = 10
"""Slices of each kind in the picture."""


def detect(
    dataset,
    out: str | os.PathLike,
    *,
    weights_name: str = predict.DEFAULT_WEIGHTS,
    weights_dir: str | os.PathLike | None = None,
    say: Callable[[str], None],
) -> dict:
    """Predict all cases that the weights have not seen, and score them.

    Args:
        dataset: Has labels of slices; its cases are patients.
        out: Folder for `detection.json` and `detection.png`: the slices with the most
            found where there is hemorrhage, where there is none, and those with
            hemorrhage in which least was found.
        weights_name: Name in the manifest of the segmentation's weights.
        weights_dir: Folder of the weights.
        say: Takes a line of progress.

    Returns:
        The content of `detection.json`.

    Raises:
        ValueError: if a case has no labels or no case can be read, or the weights are
            absent or damaged. Nothing is written then.
    """
    owned_folder.check(out, WRITER, ("detection.json", "detection.png"))
    model, entry = weights.load_for(weights_name, manifest.Segmentation, weights_dir)
    identity = dataset.fingerprint()["identity"]
    # Names of real patients; the phantom's heads have the same ones in this layout.
    seen = set() if identity == "phantom" else set(entry.get("seen", ()))
    names = [name for name in dataset.case_ids() if name not in seen]
    cases, kept, unreadable = {}, [], {}
    for number, name in enumerate(names, 1):
        try:
            case = dataset.load(name)
        except ValueError as error:
            say(f"left out: {error}")
            unreadable[name] = str(error)
            continue
        if case.labels is None:
            raise ValueError(f"Case {name} has no labels to hold a prediction against.")
        probability = predict.segment_case(model, entry["preprocessing"], case)
        cases[name] = evaluation.label_and_area(case, probability)
        kept = _most_telling(kept, name, case, probability, cases[name])
        if number % 10 == 0:
            say(f"detection: case {number} of {len(names)}")
    if not cases:
        raise ValueError(f"{dataset.root}: no case is left to predict.")
    found = {
        "data": identity,
        "unreadable": unreadable,
        "left_out": [name for name in dataset.case_ids() if name in seen],
        **evaluation.detection(cases),
        "cases": cases,
        "weights": classify.provenance(entry),
    }
    with owned_folder.replacing(out, WRITER) as folder:
        _draw(folder / "detection.png", kept)
        files.write_json(folder / "detection.json", found)
    return found


def _most_telling(kept: list, name: str, case, probability, one: dict) -> list:
    """The `SHOWN` best and worst slices with hemorrhage, and the worst without."""
    for z, (truth, area) in enumerate(zip(one["truth"], one["largest"], strict=True)):
        picture = case.volume.hu[z], probability[z] > 0.5
        if truth:
            kept.append(("found", -area, name, z, *picture))
            kept.append(("missed", area, name, z, *picture))
        else:
            kept.append(("false alarm", -area, name, z, *picture))
    kept.sort(key=lambda row: row[:4])
    counts: dict[str, int] = {}
    chosen = []
    for row in kept:
        counts[row[0]] = counts.get(row[0], 0) + 1
        if counts[row[0]] <= SHOWN:
            chosen.append(row)
    return chosen


def _draw(path: pathlib.Path, kept: list) -> None:
    """Found, missed and false alarms, in rows."""
    order = ("found", "missed", "false alarm")
    rows = sorted(kept, key=lambda row: (order.index(row[0]), *row[1:4]))
    titles = [f"{kind}: {name}, {z + 1}" for kind, _, name, z, *_ in rows]
    hu, masks = (np.stack([row[k] for row in rows]) for k in (4, 5))
    figures.montage(path, hu, masks, columns=SHOWN // 2, titles=titles)
