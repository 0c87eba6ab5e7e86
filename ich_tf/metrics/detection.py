"""How well a network's scores separate labelled slices and scans, by class.

Case id to a record as JSON: `labels` (z, 6), `scores` (z, 6) in the order of
`labels.CLASSES`, `pixels` (z) that were marked, `pixel_mm2`, and `probabilities`
(z, 6) or None where the network has no calibration; `volume_ml`, `truth` and `marked`,
or None where the true volume is unknown. A case is a patient.
"""

import numpy as np

from ich_tf import labels
from ich_tf.metrics import auc_intervals, evaluation, intervals

BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Borders of predicted probabilities in a calibration curve."""


def auc_by_class(cases: dict[str, dict]) -> dict[str, dict]:
    """Areas under the ROC curves of the scores.

    The score of a patient is the sum over the slices.

    Args:
        cases: Records.

    Returns:
        Class to "slice" and "patient" to an interval as JSON.
    """
    names = list(cases)
    truth = [np.array(cases[name]["labels"], bool) for name in names]
    scores = [np.array(cases[name]["scores"], float) for name in names]
    owners = [name for name, rows in zip(names, truth, strict=True) for _ in rows]
    found = {}
    for k, label in enumerate(labels.CLASSES):
        by_slice = auc_intervals.delong_auc(
            np.concatenate([rows[:, k] for rows in truth]),
            np.concatenate([rows[:, k] for rows in scores]),
            owners,
        )
        by_patient = auc_intervals.delong_auc(
            [bool(rows[:, k].any()) for rows in truth],
            [float(rows[:, k].sum()) for rows in scores],
        )
        found[label] = {
            "slice": evaluation.as_json(by_slice),
            "patient": evaluation.as_json(by_patient),
        }
    return found


def false_mm2(cases: dict[str, dict]) -> dict:
    """Mean area that is marked in slices labelled free of hemorrhage, as JSON."""
    areas, owners = [], []
    for name, record in cases.items():
        clean = ~np.array(record["labels"], bool)[:, -1]
        marked = np.array(record["pixels"])[clean] * record["pixel_mm2"]
        areas += marked.tolist()
        owners += [name] * len(marked)
    return evaluation.as_json(intervals.bootstrap_mean(areas, owners))


def volume(cases: dict[str, dict]) -> dict | None:
    """How the marked volumes agree with the published ones.

    Args:
        cases: Records.

    Returns:
        `share`, the marked over the true volume, summed over the patients with
        hemorrhage; `error_ml`, the mean difference without its sign; and `patients`,
        case id to both volumes. None if the true volume of no such patient is known.
    """
    known = {
        name: record["volume_ml"]
        for name, record in cases.items()
        if record["volume_ml"] is not None and record["volume_ml"]["truth"] > 0
    }
    if not known:
        return None
    marked = [volumes["marked"] for volumes in known.values()]
    truth = [volumes["truth"] for volumes in known.values()]
    errors = np.abs(np.subtract(marked, truth))
    return {
        "share": evaluation.as_json(intervals.bootstrap_ratio(marked, truth)),
        "error_ml": evaluation.as_json(intervals.bootstrap_mean(errors)),
        "patients": known,
    }


def calibration(cases: dict[str, dict]) -> dict | None:
    """How often slices with a given probability of any hemorrhage show it.

    Args:
        cases: Records.

    Returns:
        `curve`, one row for each pair of `BINS` that holds slices: `from`, `to`,
        `mean` of the probabilities, `share` of bleeding slices as an interval;
        `error`, the mean distance of the two, weighted by slices; and `brier`. None
        if a record has no probabilities.
    """
    if any(record["probabilities"] is None for record in cases.values()):
        return None
    truth, predicted, owners = [], [], []
    for name, record in cases.items():
        truth += [bool(row[-1]) for row in record["labels"]]
        predicted += [row[-1] for row in record["probabilities"]]
        owners += [name] * len(record["labels"])
    truth, predicted = np.array(truth, float), np.array(predicted, float)
    owners = np.array(owners)
    place = np.clip(np.digitize(predicted, BINS) - 1, 0, len(BINS) - 2)
    curve, error = [], 0.0
    for k, (low, high) in enumerate(zip(BINS[:-1], BINS[1:], strict=True)):
        taken = place == k
        if not taken.any():
            continue
        mean = float(predicted[taken].mean())
        share = intervals.bootstrap_mean(truth[taken], owners[taken])
        error += float(taken.mean()) * abs(mean - share.mean)
        curve.append(
            {
                "from": low,
                "to": high,
                "mean": round(mean, 4),
                "share": evaluation.as_json(share),
            }
        )
    brier = intervals.bootstrap_mean((predicted - truth) ** 2, owners)
    return {
        "curve": curve,
        "error": round(error, 4),
        "brier": evaluation.as_json(brier),
    }


def score(cases: dict[str, dict]) -> dict:
    """`auc`, `false_mm2`, `volume` and `calibration` of some records."""
    return {
        "patients": len(cases),
        "auc": auc_by_class(cases),
        "false_mm2": false_mm2(cases),
        "volume": volume(cases),
        "calibration": calibration(cases),
    }
