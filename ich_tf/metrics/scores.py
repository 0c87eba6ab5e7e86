"""Overlap, detection and volume scores from stored counts.

A metric maps the counts of a case to a numerator and a denominator. Their ratio is
the case's score, NaN where the denominator is 0; a summary is the sum of all
numerators over the sum of all denominators, so a mean of cases has denominators of
1 and a pooled score has sizes.
"""

import math
from collections.abc import Sequence

import numpy as np

from ich_tf.metrics.protocols import Protocol

# The published loop over 75 subjects ends at index 74, and indices start at patient 49.
# These subjects are numbered with a gap, which distinguishes them from the 82.
_LAST_SCORED_PATIENT = 123
_NOT_OF_THE_75 = range(59, 66)


def jaccard(counts: dict, protocol: Protocol) -> tuple[float, float]:
    """TP / (TP + FP + FN); in every unit J = D / (2 - D)."""
    return _overlap(counts, protocol, 1)


def dice(counts: dict, protocol: Protocol) -> tuple[float, float]:
    """2 TP / (2 TP + FP + FN)."""
    return _overlap(counts, protocol, 2)


def bleeding_dice(counts: dict, protocol: Protocol) -> tuple[float, float]:
    """Dice of cases with truth only: a false alarm in another case is not a 0."""
    if not any(counts["tp"]) and not any(counts["fn"]):
        return 0.0, 0.0
    return dice(counts, protocol)


def _overlap(counts: dict, protocol: Protocol, weight: int) -> tuple[float, float]:
    tp, fp, fn = (np.asarray(counts[name]) for name in ("tp", "fp", "fn"))
    if protocol.unit not in ("subject", "slice"):
        tp, fp, fn = (pixels.sum(keepdims=True) for pixels in (tp, fp, fn))
    hit, whole = weight * tp, weight * tp + fp + fn
    if protocol.unit == "pooled":
        return float(hit[0]), float(whole[0])
    counted = {"skip": tp + fn > 0, "nan": whole > 0}.get(
        protocol.empty, np.ones(len(tp), bool)
    )
    if not np.any(counted):
        return 0.0, 0.0
    values = np.full(len(tp), float(protocol.empty == "one"))
    np.divide(hit, whole, out=values, where=whole > 0)
    if protocol.unit == "slice":
        return float(values[counted].sum()), float(counted.sum())
    return float(np.mean(values[counted])), 1.0


def sensitivity(counts: dict, protocol: Protocol) -> tuple[float, float]:
    """Share of the slices positive in truth that are predicted positive."""
    in_truth, predicted = _positive_slices(counts, protocol)
    return float(np.sum(in_truth & predicted)), float(np.sum(in_truth))


def specificity(counts: dict, protocol: Protocol) -> tuple[float, float]:
    """Share of the slices negative in truth that are predicted negative."""
    if protocol.published_bugs:
        return sensitivity(counts, protocol)
    in_truth, predicted = _positive_slices(counts, protocol)
    return float(np.sum(~in_truth & ~predicted)), float(np.sum(~in_truth))


def _positive_slices(counts: dict, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    tp, fp, fn = (np.asarray(counts[name]) for name in ("tp", "fp", "fn"))
    rule = protocol.scaled(max(counts["shape"][1:]))
    return (
        tp + fn > rule.truth_detection_pixels,
        tp + fp > rule.predicted_detection_pixels,
    )


def volume_error_ml(counts: dict, protocol: Protocol) -> tuple[float, float]:
    """Predicted minus true volume in millilitres; undefined without spacing."""
    if counts["truth_ml"] is None:
        return 0.0, 0.0
    return counts["predicted_ml"] - counts["truth_ml"], 1.0


def absolute_volume_error_ml(counts: dict, protocol: Protocol) -> tuple[float, float]:
    """Distance of predicted and true volume in millilitres."""
    error, known = volume_error_ml(counts, protocol)
    return abs(error), known


def false_positive_ml(counts: dict, protocol: Protocol) -> tuple[float, float]:
    """Predicted millilitres of a case without truth; undefined for other cases."""
    if counts["truth_pixels"]:
        return 0.0, 0.0
    return volume_error_ml(counts, protocol)


METRICS = {
    "jaccard": jaccard,
    "dice": dice,
    "bleeding_dice": bleeding_dice,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "volume_error_ml": volume_error_ml,
    "absolute_volume_error_ml": absolute_volume_error_ml,
    "false_positive_ml": false_positive_ml,
}
_OVERLAPS = ("jaccard", "dice", "bleeding_dice")
_OF_ALL_SLICES = ("sensitivity", "specificity")


def case_scores(counts: dict, protocol: Protocol) -> dict[str, float]:
    """Every metric of one case, NaN where it is undefined.

    Raises:
        ValueError: if the counts come from a mask that another protocol made.
    """
    _check_mask_rule(counts, protocol)
    return {name: _ratio(*metric(counts, protocol)) for name, metric in METRICS.items()}


def terms(
    cases: Sequence[dict], protocol: Protocol, name: str, ct_ich: bool = True
) -> tuple[list[float], list[float], list[str]]:
    """Numerators and denominators of a summary: their sums' ratio is the score.

    Each denominator is 1 for a mean, the size of the part for a pooled score, and 0
    for an undefined part. Resampling patients over these terms gives the interval.

    Args:
        cases: From `case_counts`.
        protocol: The convention.
        name: A name in `METRICS`.
        ct_ich: Whether the patients belong to ct-ich, so that the protocol's
            excluded patient numbers apply; False for any other data.

    Returns:
        Numerators, denominators and patient names, one for each case, or for each
        patient where the protocol averages over subjects.

    Raises:
        ValueError: if the metric is unknown or the counts come from a mask that
            another protocol made.
    """
    if name not in METRICS:
        raise ValueError(f"Unknown metric {name!r}. Known: {', '.join(METRICS)}.")
    for counts in cases:
        _check_mask_rule(counts, protocol)
    if name not in _OF_ALL_SLICES and ct_ich:
        cases = kept(cases, protocol)
    if name in _OVERLAPS and protocol.unit == "subject":
        cases = _joined_by_patient(cases)
    pairs = [METRICS[name](counts, protocol) for counts in cases]
    return (
        [numerator for numerator, _ in pairs],
        [denominator for _, denominator in pairs],
        [counts["patient_id"] for counts in cases],
    )


def excluded(cases: Sequence[dict], protocol: Protocol) -> list[str]:
    """The ct-ich cases that count for slice detection only.

    Args:
        cases: From `case_counts`, of all patients evaluated.
        protocol: The convention.

    Returns:
        Their case ids.
    """
    numbers = {
        counts["case_id"]: int(counts["patient_id"])
        for counts in cases
        if counts["patient_id"].isdigit()
    }
    last = math.inf
    if protocol.published_bugs and not set(_NOT_OF_THE_75) & set(numbers.values()):
        last = _LAST_SCORED_PATIENT
    return [
        case_id
        for case_id, number in numbers.items()
        if number in protocol.excluded_patients or number > last
    ]


def kept(cases: Sequence[dict], protocol: Protocol) -> list[dict]:
    """The ct-ich cases that count for every score: without the `excluded` ones."""
    out = excluded(cases, protocol)
    return [counts for counts in cases if counts["case_id"] not in out]


def summarise(cases: Sequence[dict], protocol: Protocol, ct_ich: bool = True) -> dict:
    """Every metric over all cases.

    Args:
        cases: From `case_counts`.
        protocol: The convention.
        ct_ich: Whether the patients belong to ct-ich (see `terms`).

    Returns:
        `protocol`, `cases` (their number), `excluded` (case names) and for each
        metric `mean` (NaN if nothing is defined), `n` and `n_undefined`, the numbers
        of units averaged and left out as undefined.
    """
    out = excluded(cases, protocol) if ct_ich else []
    summary = {"protocol": protocol.name, "cases": len(cases), "excluded": out}
    for name in METRICS:
        numerators, denominators, _ = terms(cases, protocol, name, ct_ich)
        defined = sum(denominator > 0 for denominator in denominators)
        summary[name] = {
            "mean": _ratio(sum(numerators), sum(denominators)),
            "n": defined,
            "n_undefined": len(denominators) - defined,
        }
    return summary


def _joined_by_patient(cases: Sequence[dict]) -> list[dict]:
    """One entry for each patient, holding the slices of all their cases."""
    patients: dict[str, dict] = {}
    for counts in cases:
        joined = patients.setdefault(
            counts["patient_id"],
            {"patient_id": counts["patient_id"], "tp": [], "fp": [], "fn": []},
        )
        for name in ("tp", "fp", "fn"):
            joined[name] = joined[name] + counts[name]
    return list(patients.values())


def _check_mask_rule(counts: dict, protocol: Protocol) -> None:
    expected = protocol.scaled(max(counts["shape"][1:])).mask_rule()
    if counts["mask_rule"] != expected:
        raise ValueError(
            f"Case {counts['case_id']}: protocol {protocol.name} makes its masks by "
            f"{expected}, but these counts were taken under {counts['mask_rule']}. "
            "Count again from the probabilities."
        )


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan
