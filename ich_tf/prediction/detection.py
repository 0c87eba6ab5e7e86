"""How well shipped segmentation weights detect hemorrhage, judged by labels alone.

Many public data sets have labels of slices but no masks. A slice's score is compared
with its label: the largest connected area that the network marks, and, by class, the
mean of its highest probabilities.
"""

import os
import pathlib
from collections.abc import Callable

import numpy as np

from ich_tf import files, owned_folder
from ich_tf.data import ct_ich_release
from ich_tf.metrics import detection, evaluation
from ich_tf.prediction import classify, figures, real_heads
from ich_tf.volume import Case

JUDGES = (
    *("049", "050", "052", "066", "071", "073", "075", "076", "077", "081"),
    *("087", "091", "092", "094"),
)
"""Patients of ct-ich with hemorrhage who neither train nor calibrate anything. They
choose the operating point, by halves."""
WRITER = "detection"
USUAL_FIELD_MM = 240.0
"""Width of a slice whose spacing is unknown."""
SHOWN = 10
"""Slices of each kind in the picture."""


def detect(
    dataset,
    out: str | os.PathLike,
    *,
    weights_name: str = real_heads.DEFAULT_WEIGHTS,
    weights_dir: str | os.PathLike | None = None,
    say: Callable[[str], None],
) -> dict:
    """Predict all cases that the weights have not seen, and score them.

    On ct-ich, `judges` scores the patients of `JUDGES` and those without hemorrhage.

    Args:
        dataset: Has labels of slices; its cases are patients.
        out: Folder for `detection.json` and `detection.png`: slices with
            hemorrhage of which the most and the least was found, and slices without
            hemorrhage in which the most was found.
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
    network = real_heads.load(weights_dir, weights_name)
    entry = network.entry
    identity = dataset.fingerprint()["identity"]
    # Names of real patients; the phantom's heads have the same ones in this layout.
    seen = set() if identity == "phantom" else set(entry.get("seen", ()))
    names = [name for name in dataset.case_ids() if name not in seen]
    published = published_scans(identity)
    cases, kept, unreadable = {}, [], {}
    for number, name in enumerate(names, 1):
        try:
            case = dataset.load(name)
        except ValueError as error:
            say(f"left out: {error}")
            unreadable[name] = str(error)
            continue
        if case.labels is None:
            raise ValueError(f"Case {name} has no labels to compare predictions with.")
        cases[name], marked = record(network, case, published.get(name))
        kept = _most_telling(kept, name, case, marked, cases[name])
        if number % 10 == 0:
            say(f"detection: case {number} of {len(names)}")
    if not cases:
        raise ValueError(f"{dataset.root}: no case is left to predict.")
    found = {
        "data": identity,
        "unreadable": unreadable,
        "left_out": [name for name in dataset.case_ids() if name in seen],
        **evaluation.detection(cases),
        **detection.score(cases),
        "judges": judges(cases, identity),
        "cases": cases,
        "weights": classify.provenance(entry),
    }
    with owned_folder.replacing(out, WRITER) as folder:
        _draw(folder / "detection.png", kept)
        files.write_json(folder / "detection.json", found)
    return found


def published_scans(identity: str) -> dict[str, ct_ich_release.PublishedScan]:
    """Published facts of a data set's patients; empty for other data than ct-ich."""
    real = identity.startswith("ct-ich")
    return ct_ich_release.published_scans() if real else {}


def record(
    network: real_heads.Network,
    case: Case,
    published: ct_ich_release.PublishedScan | None = None,
) -> tuple[dict, np.ndarray]:
    """Answer a case with labels.

    Args:
        network: The network.
        case: The case.
        published: Facts of its patient, from `published_scans`.

    Returns:
        Its record for `metrics.detection`, with `truth` and `largest` as
        `evaluation.label_and_area` gives them; and the mask, (z, y, x), bool.
    """
    answer = network.segment(case)
    marked = network.marked(answer)
    probabilities = network.probabilities(answer)
    spacing_mm, width = case.volume.spacing_mm, marked.shape[2]
    side_mm = (USUAL_FIELD_MM / width,) * 2 if spacing_mm is None else spacing_mm[1:]
    made = {
        "truth": case.labels[:, -1].tolist(),
        "largest": evaluation.largest_areas(marked).tolist(),
        "labels": case.labels.tolist(),
        "scores": answer.scores.round(5).tolist(),
        "pixels": np.count_nonzero(marked, axis=(1, 2)).tolist(),
        "pixel_mm2": float(np.prod(side_mm)),
        "probabilities": probabilities and probabilities.slices.round(4).tolist(),
        "volume_ml": None,
    }
    if published is not None:
        made["volume_ml"] = {
            "truth": round(published.truth_ml, 3),
            "marked": round(published.marked_ml(sum(made["pixels"]), width), 3),
        }
    return made, marked


def judges(cases: dict[str, dict], identity: str) -> dict | None:
    """Scores of the judges of ct-ich and its patients without hemorrhage.

    Args:
        cases: Case id to its record, from `record`.
        identity: Identity of the data set.

    Returns:
        Scores as JSON; None for other data sets and without a judge.
    """
    if not identity.startswith("ct-ich"):
        return None
    judging = {
        name: found
        for name, found in cases.items()
        if name in JUDGES or not any(found["truth"])
    }
    if not any(any(found["truth"]) for found in judging.values()):
        return None
    return {**evaluation.detection(judging), **detection.score(judging)}


def _most_telling(
    kept: list, name: str, case, marked, one: dict, shown: int = SHOWN
) -> list:
    """The `shown` best and worst slices with hemorrhage, and the worst without."""
    for z, (truth, area) in enumerate(zip(one["truth"], one["largest"], strict=True)):
        picture = case.volume.hu[z], marked[z]
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
        if counts[row[0]] <= shown:
            chosen.append(row)
    return chosen


def _draw(path: pathlib.Path, kept: list) -> None:
    """Found, missed and false alarms, in rows."""
    order = ("found", "missed", "false alarm")
    rows = sorted(kept, key=lambda row: (order.index(row[0]), *row[1:4]))
    titles = [f"{kind}: {name}, {z + 1}" for kind, _, name, z, *_ in rows]
    hu, masks = (np.stack([row[k] for row in rows]) for k in (4, 5))
    figures.montage(path, hu, masks, columns=SHOWN // 2, titles=titles)
