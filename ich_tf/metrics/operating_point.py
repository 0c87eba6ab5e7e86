"""Two thresholds that make a mask of probabilities, and how they are chosen.

A pixel is marked above `threshold`, but only in slices whose calibrated probability of
any hemorrhage reaches `slice_threshold`: pixels that a network doubts as a whole slice
are mostly calcifications and bone.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ich_tf.metrics import evaluation, intervals

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Candidates for a pixel."""
SLICE_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Candidates for a slice."""


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """When a pixel is marked.

    Attributes:
        threshold: Above this probability of the pixel, in [0, 1).
        slice_threshold: If the slice's probability is not below this, in [0, 1].
    """

    threshold: float = 0.5
    slice_threshold: float = 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class ScanCounts:
    """What one scan contributes to the choice.

    Attributes:
        patient: Name, a whole number as text.
        bleeds: (z,), bool, whether each slice truly has hemorrhage.
        probability: (z,), calibrated, of any hemorrhage.
        pixels: Each of `THRESHOLDS` to the pixels above it in each slice, (z,).
        pixel_ml: Volume that a pixel stands for.
        truth_ml: True volume of the hemorrhage; None if unknown.
    """

    patient: str
    bleeds: np.ndarray
    probability: np.ndarray
    pixels: dict[float, np.ndarray]
    pixel_ml: float
    truth_ml: float | None

    def error_ml(self, point: OperatingPoint) -> float | None:
        """Marked minus true volume without its sign; None if the truth is unknown."""
        if self.truth_ml is None:
            return None
        marked = self.pixels[point.threshold][self.probability >= point.slice_threshold]
        return abs(float(marked.sum()) * self.pixel_ml - self.truth_ml)


def choose(scans: Sequence[ScanCounts]) -> OperatingPoint:
    """The operating point that serves some scans best.

    The slice threshold has the largest sum of sensitivity and specificity by slice
    (Youden 1950, Index for rating diagnostic tests). The threshold then has the
    smallest mean error of the volume. The lower candidate wins a tie.

    Raises:
        ValueError: if no slice bleeds, none is free of hemorrhage, or no volume is
            known.
    """
    if not _is_mixed(scans):
        raise ValueError("An operating point needs slices with and without hemorrhage.")
    bleeds = np.concatenate([scan.bleeds for scan in scans])
    probability = np.concatenate([scan.probability for scan in scans])

    def youden(limit: float) -> float:
        positive = probability >= limit
        return positive[bleeds].mean() - positive[~bleeds].mean()

    limit = max(SLICE_THRESHOLDS, key=youden)
    known = [scan for scan in scans if scan.truth_ml is not None]
    if not known:
        raise ValueError("An operating point needs scans whose volume is known.")

    def error_ml(threshold: float) -> float:
        point = OperatingPoint(threshold, limit)
        return float(np.mean([scan.error_ml(point) for scan in known]))

    return OperatingPoint(min(THRESHOLDS, key=error_ml), limit)


def score(scans: Sequence[ScanCounts], point: OperatingPoint) -> dict:
    """How an operating point serves some scans, as JSON.

    Returns:
        `sensitivity` and `specificity`, of slices with a pixel marked; and `error_ml`
        of a scan's volume. Intervals resample scans.
    """
    rows = {"sensitivity": ([], []), "specificity": ([], [])}
    for scan in scans:
        loud = scan.probability >= point.slice_threshold
        marked = loud & (scan.pixels[point.threshold] > 0)
        for bleeds, right in zip(scan.bleeds, marked == scan.bleeds, strict=True):
            values, owners = rows["sensitivity" if bleeds else "specificity"]
            values.append(float(right))
            owners.append(scan.patient)
    errors = [scan.error_ml(point) for scan in scans]
    known = [error for error in errors if error is not None]
    return {
        **{
            name: evaluation.as_json(intervals.bootstrap_mean(*columns))
            for name, columns in rows.items()
        },
        "error_ml": evaluation.as_json(intervals.bootstrap_mean(known)),
    }


def report(scans: Sequence[ScanCounts]) -> dict:
    """The choice on all scans, and what each half's choice does to the other half.

    Args:
        scans: Patients of odd and of even numbers.

    Returns:
        `all`, `odd` and `even`: each with `threshold` and `slice_threshold`; the
        halves also with the `score` on the other half, or None where a half lacks
        slices with or without hemorrhage.

    Raises:
        ValueError: see `choose`.
    """
    halves: dict[str, list[ScanCounts]] = {"odd": [], "even": []}
    for scan in scans:
        halves["odd" if int(scan.patient) % 2 else "even"].append(scan)
    report: dict[str, dict | None] = {"all": dataclasses.asdict(choose(scans))}
    for name, other in (("odd", "even"), ("even", "odd")):
        report[name] = None
        if _is_mixed(halves[name]) and _is_mixed(halves[other]):
            point = choose(halves[name])
            scored = score(halves[other], point)
            report[name] = {**dataclasses.asdict(point), "score": scored}
    return report


def _is_mixed(scans: Sequence[ScanCounts]) -> bool:
    """Whether some slices bleed and some do not."""
    return len({bool(bleeds) for scan in scans for bleeds in scan.bleeds}) == 2
