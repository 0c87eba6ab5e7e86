"""Confidence intervals: patients resampled, and proportions."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean or ratio with its confidence interval.

    Attributes:
        mean: The estimate from all defined values; NaN if there are none.
        low: Lower bound; NaN with fewer than two patients.
        high: Upper bound; NaN with fewer than two patients.
        n: Number of defined values.
        n_undefined: Number of undefined values, which are left out.
    """

    mean: float
    low: float
    high: float
    n: int
    n_undefined: int


def bootstrap_mean(
    values: Sequence[float],
    patients: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean with a percentile interval, resampling patients.

    Args:
        values: One for each case; NaN = undefined, left out and counted.
        patients: The patient of each value; all values of a drawn patient are
            taken together. None: each value is a patient of its own.
        confidence: Probability that the interval covers, in (0, 1).
        resamples: Number of draws.
        seed: The same seed gives the same interval.
    """
    values = np.asarray(values, float)
    defined = ~np.isnan(values)
    return bootstrap_ratio(
        np.where(defined, values, 0.0), defined, patients, confidence, resamples, seed
    )


def bootstrap_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    patients: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Sum of numerators over sum of denominators, resampling patients.

    Serves pooled scores (slice sensitivity, pooled Dice) and means alike, whose
    denominators are 1. Patients without a defined value are not drawn.

    Args:
        numerators: One for each case.
        denominators: One for each case, not negative; 0 = undefined.
        patients: As in `bootstrap_mean`.
        confidence: As in `bootstrap_mean`.
        resamples: As in `bootstrap_mean`.
        seed: As in `bootstrap_mean`.

    Raises:
        ValueError: if the lengths differ.

    Reference:
        Efron, Tibshirani: An Introduction to the Bootstrap, 1993, chapter 13; the
        clusters are patients.
    """
    numerators = np.asarray(numerators, float)
    denominators = np.asarray(denominators, float)
    patients = np.arange(len(numerators)) if patients is None else np.asarray(patients)
    if not len(numerators) == len(denominators) == len(patients):
        raise ValueError(
            "Values and patients must have the same length. Received: "
            f"{len(numerators)}, {len(denominators)}, {len(patients)}"
        )
    defined = denominators > 0
    n, n_undefined = int(defined.sum()), int((~defined).sum())
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0, n_undefined)
    names, owner = np.unique(patients[defined], return_inverse=True)
    tops = np.bincount(owner, numerators[defined])
    bottoms = np.bincount(owner, denominators[defined])
    mean = float(tops.sum() / bottoms.sum())
    if len(names) < 2:
        return Interval(mean, math.nan, math.nan, n, n_undefined)
    times_drawn = _draw(len(names), resamples, seed)
    drawn = (times_drawn @ tops) / (times_drawn @ bottoms)
    return Interval(mean, *_percentiles(drawn, confidence), n, n_undefined)


def bootstrap_auc(
    truth: Sequence[bool],
    scores: Sequence[float],
    patients: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Area under the ROC curve with a percentile interval, resampling patients.

    Args:
        truth: (n,), whether each slice or scan is positive.
        scores: (n,), or (runs, n) for the mean AUC of several runs of one model.
        patients: As in `bootstrap_mean`; memory grows with the square of their
            number.
        confidence: As in `bootstrap_mean`.
        resamples: As in `bootstrap_mean`. Draws without a positive or without a
            negative are left out: an interval from few positive patients is rough.
        seed: As in `bootstrap_mean`.

    Returns:
        The interval of all n values; undefined if all of them are of one class.

    Raises:
        ValueError: if the lengths differ.
    """
    won, pairs = _pairs_by_patient(truth, scores, patients)
    return _of_pairs(won, pairs, len(truth), confidence, resamples, seed)


def bootstrap_auc_difference(
    truth: Sequence[bool],
    first: Sequence[float],
    second: Sequence[float],
    patients: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """AUC of `second` minus that of `first`, paired: both on the same draws.

    For a loss, `bootstrap_mean` of the differences of its values is the same.

    Args:
        truth: As in `bootstrap_auc`.
        first: Scores of one model, as in `bootstrap_auc`.
        second: Scores of the other, which may have another number of runs.
        patients: As in `bootstrap_auc`.
        confidence: As in `bootstrap_mean`.
        resamples: As in `bootstrap_auc`.
        seed: As in `bootstrap_mean`.

    Returns:
        As `bootstrap_auc`.

    Raises:
        ValueError: if the lengths differ.
    """
    won_first, pairs = _pairs_by_patient(truth, first, patients)
    won_second, _ = _pairs_by_patient(truth, second, patients)
    won = won_second - won_first
    return _of_pairs(won, pairs, len(truth), confidence, resamples, seed)


def _pairs_by_patient(truth, scores, patients) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a positive of patient p and a negative of patient q, as [p, q].

    Returns:
        How many the positive wins (ties count half), in the mean of all runs, and
        how many there are. The AUC of any draw of patients is a ratio of two
        quadratic forms in these.
    """
    truth, runs = np.asarray(truth, bool), np.atleast_2d(np.asarray(scores, float))
    patients = np.arange(len(truth)) if patients is None else np.asarray(patients)
    if not len(truth) == runs.shape[1] == len(patients):
        raise ValueError(
            "Truth, scores and patients must have the same length. Received: "
            f"{len(truth)}, {runs.shape[1]}, {len(patients)}"
        )
    names, owner = np.unique(patients, return_inverse=True)
    won = np.zeros((len(names), len(names)))
    for run in runs:
        above, below = run[truth], run[~truth]
        for q in range(len(names)):
            lower = np.sort(below[owner[~truth] == q])
            wins = sum(
                np.searchsorted(lower, above, side) for side in ("left", "right")
            )
            won[:, q] += np.bincount(owner[truth], wins / 2, len(names))
    positives, negatives = (
        np.bincount(owner[which], minlength=len(names)) for which in (truth, ~truth)
    )
    return won / len(runs), np.outer(positives, negatives).astype(float)


def _of_pairs(won, pairs, n, confidence, resamples, seed) -> Interval:
    if not pairs.any():
        return Interval(math.nan, math.nan, math.nan, 0, n)
    mean = float(won.sum() / pairs.sum())
    if len(pairs) < 2:
        return Interval(mean, math.nan, math.nan, n, 0)
    times_drawn = _draw(len(pairs), resamples, seed).astype(float)
    tops, bottoms = (
        np.einsum("rp,rp->r", times_drawn @ matrix, times_drawn)
        for matrix in (won, pairs)
    )
    drawn = tops[bottoms > 0] / bottoms[bottoms > 0]
    return Interval(mean, *_percentiles(drawn, confidence), n, 0)


def _draw(patients: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, patients), how often each patient is drawn."""
    return np.random.default_rng(seed).multinomial(
        patients, np.full(patients, 1 / patients), size=resamples
    )


def _percentiles(drawn: np.ndarray, confidence: float) -> tuple[float, float]:
    if not len(drawn):
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion.

    Args:
        successes: Between 0 and n.
        n: Number of independent trials; 0 gives NaN, NaN.
        confidence: Probability that the interval covers, in (0, 1).

    Returns:
        Lower and upper bound, in [0, 1].

    Raises:
        ValueError: if `successes` is not between 0 and `n`.

    Reference:
        Wilson, JASA 22(158):209-212, 1927, doi:10.1080/01621459.1927.10502953.
    """
    if not 0 <= successes <= n:
        raise ValueError(
            "`successes` must lie between 0 and `n`. Received: "
            f"successes={successes}, n={n}"
        )
    if n == 0:
        return math.nan, math.nan
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = share + z**2 / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
