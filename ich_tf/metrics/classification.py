"""Scores of slice classification at scan and slice level, as [1] takes them.

[1] is Burduja et al. 2020, doi:10.3390/s20195611. A scan's label and probability of a
class are the maxima over its slices; at slice level the slices of all scans are
pooled. A score that is undefined is NaN, never 0 or 1.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ich_tf import labels

LEVELS = ("scan", "slice")
THRESHOLD = 0.5
"""A slice or scan is predicted positive above this probability."""
CLIP = 1e-15
"""Losses take probabilities clipped to [CLIP, 1 - CLIP], as the challenge does."""
BINS = 15
"""Bins of equal width on [0, 1] for calibration, as in Guo et al. 2017."""
CHALLENGE_WEIGHTS = np.where(np.array(labels.CLASSES) == labels.ANY, 2.0, 1.0)


class Pooled(NamedTuple):
    """The units of one level: scans, or the slices of all scans.

    Attributes:
        truth: (n, 6), bool.
        probability: (n, 6), float64.
        patients: (n,), the patient of each unit.
        folds: (n,), the fold whose network predicted each unit.
    """

    truth: np.ndarray
    probability: np.ndarray
    patients: np.ndarray
    folds: np.ndarray


def pool(
    truth: Mapping[str, np.ndarray],
    probability: Mapping[str, np.ndarray],
    level: str,
    patients: Mapping[str, str] | None = None,
    folds: Mapping[str, int] | None = None,
) -> Pooled:
    """Bring scans to one level; the units keep the order of `truth`.

    Args:
        truth: Scan to (z, 6), 0 or 1, in the order of `labels.CLASSES`.
        probability: The same scans to (z, 6), in [0, 1].
        level: "scan": maxima over the slices of a scan; "slice": all slices.
        patients: Scan to patient; None: each scan is a patient of its own.
        folds: Scan to fold; None: one network predicted all scans.

    Raises:
        ValueError: if the level is unknown or a scan's arrays do not fit.
    """
    if level not in LEVELS:
        raise ValueError(f"Unknown level {level!r}. Known: {', '.join(LEVELS)}.")
    _check(truth, probability)
    reduce = _maximum if level == "scan" else np.asarray
    truths = [reduce(truth[scan]) for scan in truth]
    predictions = [reduce(probability[scan]) for scan in truth]
    owners = [scan if patients is None else patients[scan] for scan in truth]
    numbers = [0 if folds is None else folds[scan] for scan in truth]
    lengths = [len(units) for units in truths]
    return Pooled(
        np.concatenate(truths).astype(bool),
        np.concatenate(predictions).astype(np.float64),
        np.repeat(owners, lengths),
        np.repeat(numbers, lengths),
    )


def cross_entropy(units: Pooled) -> np.ndarray:
    """Binary cross-entropy of each unit and class, natural logarithm.

    Returns:
        (n, 6); its mean is the validation loss of the report.
    """
    clipped = np.clip(units.probability, CLIP, 1 - CLIP)
    return -np.where(units.truth, np.log(clipped), np.log1p(-clipped))


def weighted_log_loss(units: Pooled) -> np.ndarray:
    """The RSNA 2019 challenge's loss of each unit: weight 2 for any, 1 else.

    Returns:
        (n,); its mean over slices is the challenge's score.
    """
    return cross_entropy(units) @ (CHALLENGE_WEIGHTS / CHALLENGE_WEIGHTS.sum())


def class_scores(truth: np.ndarray, probability: np.ndarray) -> dict:
    """Scores of one class.

    Args:
        truth: (n,), bool, n > 0.
        probability: (n,), in [0, 1].

    Returns:
        `n`, `positives`, the counts `tp`, `fp`, `fn`, `tn` above `THRESHOLD`, `auc`
        (ties count half), `accuracy`, `sensitivity`, `specificity`,
        `calibration_error` and `reliability` (see `reliability`). NaN: AUC with one
        class only, sensitivity without positives, specificity without negatives.
    """
    from sklearn import metrics

    predicted = probability > THRESHOLD
    tp, fp = int(np.sum(truth & predicted)), int(np.sum(~truth & predicted))
    fn, tn = int(np.sum(truth & ~predicted)), int(np.sum(~truth & ~predicted))
    curve = reliability(truth, probability)
    both = tp + fn > 0 and fp + tn > 0
    return {
        "n": len(truth),
        "positives": tp + fn,
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
        "auc": float(metrics.roc_auc_score(truth, probability)) if both else math.nan,
        "accuracy": (tp + tn) / len(truth),
        "sensitivity": tp / (tp + fn) if tp + fn else math.nan,
        "specificity": tn / (fp + tn) if fp + tn else math.nan,
        "calibration_error": calibration_error(curve),
        "reliability": curve,
    }


def reliability(truth: np.ndarray, probability: np.ndarray, bins: int = BINS) -> dict:
    """The reliability curve of one class.

    Args:
        truth: (n,), bool.
        probability: (n,), in [0, 1].
        bins: Number of bins of equal width; a value on an edge belongs below it.

    Returns:
        Lists with one entry for each bin that is not empty: `bin` (its number),
        `n`, `mean_probability` and `share_positive`.
    """
    edges = np.linspace(0, 1, bins + 1)
    number = np.searchsorted(edges[1:-1], probability)
    counts = np.bincount(number, minlength=bins)
    filled = np.flatnonzero(counts)
    sums = (np.bincount(number, what, bins)[filled] for what in (probability, truth))
    mean_probability, share_positive = (total / counts[filled] for total in sums)
    return {
        "bin": filled.tolist(),
        "n": counts[filled].tolist(),
        "mean_probability": mean_probability.tolist(),
        "share_positive": share_positive.tolist(),
    }


def calibration_error(curve: dict) -> float:
    """Expected calibration error: mean distance of the curve from the diagonal.

    Args:
        curve: From `reliability`; bins weigh by their number of units. Where a class
            is rare nearly all units lie in the lowest bin.

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017,
        arXiv:1706.04599, equation 3.
    """
    distance = np.subtract(curve["mean_probability"], curve["share_positive"])
    return float(np.average(np.abs(distance), weights=curve["n"]))


def _maximum(slices: np.ndarray) -> np.ndarray:
    return np.max(slices, axis=0, keepdims=True)


def _check(truth: Mapping, probability: Mapping) -> None:
    if not truth:
        raise ValueError("There is no scan to score.")
    if truth.keys() != probability.keys():
        scan = min(truth.keys() ^ probability.keys())
        absent = "truth" if scan in probability else "probability"
        raise ValueError(f"Scan {scan}: has no {absent}.")
    for scan, labelled in truth.items():
        prediction = np.asarray(probability[scan])
        shape = np.shape(labelled)
        if len(shape) != 2 or shape[0] == 0 or shape[1] != len(labels.CLASSES):
            raise ValueError(f"Scan {scan}: labels must be (z, 6), not {shape}.")
        if prediction.shape != shape:
            raise ValueError(
                f"Scan {scan}: labels are {shape}, probabilities {prediction.shape}."
            )
        if not np.isin(labelled, (0, 1)).all():
            raise ValueError(f"Scan {scan}: labels must be 0 or 1.")
        if not np.all((prediction >= 0) & (prediction <= 1)):
            raise ValueError(f"Scan {scan}: probabilities must lie in [0, 1].")
