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
    """Mean with an expanded percentile interval, resampling patients.

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
    times_drawn = draw_patients(len(names), resamples, seed)
    drawn = (times_drawn @ tops) / (times_drawn @ bottoms)
    return Interval(
        mean, *expanded_percentiles(drawn, len(names), confidence), n, n_undefined
    )


def bootstrap_ratio_difference(
    first: tuple[Sequence[float], Sequence[float]],
    second: tuple[Sequence[float], Sequence[float]],
    patients: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Ratio of `second` minus that of `first`, paired: both on the same draws.

    Args:
        first: Numerators and denominators of one model, as in `bootstrap_ratio`.
        second: Those of the other for the same cases. A case that is undefined for
            one of them is left out of both.
        patients: As in `bootstrap_mean`.
        confidence: As in `bootstrap_mean`.
        resamples: As in `bootstrap_mean`.
        seed: As in `bootstrap_mean`.

    Raises:
        ValueError: if the lengths differ.
    """
    terms = [np.asarray(values, float) for values in (*first, *second)]
    patients = np.arange(len(terms[0])) if patients is None else np.asarray(patients)
    lengths = [len(values) for values in (*terms, patients)]
    if len(set(lengths)) > 1:
        raise ValueError(
            "Values and patients must have the same length. Received: "
            f"{', '.join(map(str, lengths))}"
        )
    defined = (terms[1] > 0) & (terms[3] > 0)
    n, n_undefined = int(defined.sum()), int((~defined).sum())
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0, n_undefined)
    names, owner = np.unique(patients[defined], return_inverse=True)
    sums = np.array([np.bincount(owner, values[defined]) for values in terms])
    tops, bottoms = sums[::2], sums[1::2]
    ratios = tops.sum(axis=1) / bottoms.sum(axis=1)
    mean = float(ratios[1] - ratios[0])
    if len(names) < 2:
        return Interval(mean, math.nan, math.nan, n, n_undefined)
    times_drawn = draw_patients(len(names), resamples, seed)
    drawn = (times_drawn @ tops.T) / (times_drawn @ bottoms.T)
    bounds = expanded_percentiles(drawn[:, 1] - drawn[:, 0], len(names), confidence)
    return Interval(mean, *bounds, n, n_undefined)


def bootstrap_auc(
    truth: Sequence[bool],
    scores: Sequence[float],
    patients: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    folds: Sequence[int] | None = None,
) -> Interval:
    """Area under the ROC curve with its interval, resampling patients.

    Args:
        truth: (n,), whether each slice or scan is positive.
        scores: (n,), or (runs, n) for the mean AUC of several runs of one model.
        patients: As in `bootstrap_mean`; memory grows with the square of their
            number.
        confidence: As in `bootstrap_mean`.
        resamples: As in `bootstrap_mean`. Draws without a positive or without a
            negative are left out: an interval from few positive patients is rough.
        seed: As in `bootstrap_mean`.
        folds: (n,), which network scored each unit; None: one network. Networks of a
            cross-validation have scales of their own, so a positive is compared with
            the negatives of its own fold only.

    Returns:
        The interval of all n values; undefined if no positive can be compared with a
        negative.

    Raises:
        ValueError: if the lengths differ.

    Reference:
        Folds: Forman and Scholz, Apples-to-apples in cross-validation studies, SIGKDD
        Explorations 12(1):49-57, 2010, doi:10.1145/1882471.1882479. Theirs is the
        mean of the folds' AUCs; here each pair weighs the same, so that a fold with
        one positive does not count as much as one with many.
    """
    won, pairs = pairs_by_patient(truth, scores, patients, folds)
    return _of_pairs(won, pairs, len(truth), confidence, resamples, seed)


def bootstrap_auc_difference(
    truth: Sequence[bool],
    first: Sequence[float],
    second: Sequence[float],
    patients: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    folds: Sequence[int] | None = None,
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
        folds: As in `bootstrap_auc`.

    Returns:
        As `bootstrap_auc`.

    Raises:
        ValueError: if the lengths differ.
    """
    won_first, pairs = pairs_by_patient(truth, first, patients, folds)
    won_second, _ = pairs_by_patient(truth, second, patients, folds)
    won = won_second - won_first
    return _of_pairs(won, pairs, len(truth), confidence, resamples, seed)


def delong_auc(
    truth: Sequence[bool],
    scores: Sequence[float],
    patients: Sequence[str] | None = None,
    confidence: float = 0.95,
    folds: Sequence[int] | None = None,
) -> Interval:
    """Area under the ROC curve with DeLong's interval on the logit scale.

    Several slices of a patient are no independent units; with `patients` the variance
    is Obuchowski's for clusters, which is DeLong's where each patient has one unit.
    An AUC of 1 or 0 has no variance, so its interval is a point. On the logit scale
    bounds stay within [0, 1]; without it they cover 92 % at 35 patients.

    Args:
        truth: As in `bootstrap_auc`.
        scores: As in `bootstrap_auc`.
        patients: As in `bootstrap_mean`.
        confidence: As in `bootstrap_mean`.
        folds: As in `bootstrap_auc`.

    Returns:
        As `bootstrap_auc`; bounds are NaN with fewer than two patients who have a
        positive, or a negative.

    Raises:
        ValueError: if the lengths differ.

    Reference:
        DeLong et al., Biometrics 44(3):837-845, 1988, doi:10.2307/2531595; Obuchowski,
        Biometrics 53(2):567-578, 1997, doi:10.2307/2533958. Logit: Pepe, The
        Statistical Evaluation of Medical Tests, 2003, section 5.2.
    """
    won, pairs = pairs_by_patient(truth, scores, patients, folds)
    mean, deviation = _closed_form(won, pairs)
    n = len(truth)
    if math.isnan(mean):
        return Interval(math.nan, math.nan, math.nan, 0, n)
    if math.isnan(deviation) or mean in (0, 1):
        bound = math.nan if math.isnan(deviation) else mean
        return Interval(mean, bound, bound, n, 0)
    centre = math.log(mean / (1 - mean))
    spread = _normal(confidence) * deviation / (mean * (1 - mean))
    low, high = (1 / (1 + math.exp(-centre + sign * spread)) for sign in (1, -1))
    return Interval(mean, low, high, n, 0)


def delong_auc_difference(
    truth: Sequence[bool],
    first: Sequence[float],
    second: Sequence[float],
    patients: Sequence[str] | None = None,
    confidence: float = 0.95,
    folds: Sequence[int] | None = None,
) -> Interval:
    """AUC of `second` minus that of `first` with DeLong's paired interval.

    Args:
        truth: As in `bootstrap_auc`.
        first: As in `bootstrap_auc_difference`.
        second: As in `bootstrap_auc_difference`.
        patients: As in `delong_auc`.
        confidence: As in `bootstrap_mean`.
        folds: As in `bootstrap_auc`.

    Raises:
        ValueError: if the lengths differ.
    """
    won_first, pairs = pairs_by_patient(truth, first, patients, folds)
    won_second, _ = pairs_by_patient(truth, second, patients, folds)
    mean, deviation = _closed_form(won_second - won_first, pairs)
    spread = _normal(confidence) * deviation
    known = not math.isnan(mean)
    n = len(truth) if known else 0
    return Interval(mean, mean - spread, mean + spread, n, 0 if known else len(truth))


def _closed_form(won, pairs) -> tuple[float, float]:
    """The ratio of all pairs and its standard deviation, NaN where undefined."""
    if not pairs.any():
        return math.nan, math.nan
    mean = float(won.sum() / pairs.sum())
    # What each patient's positives, and negatives, contribute beyond their share.
    beyond = (won - mean * pairs) / pairs.sum()
    above, below = beyond.sum(axis=1), beyond.sum(axis=0)
    owners = [np.count_nonzero(pairs.any(axis=axis)) for axis in (1, 0)]
    if min(owners) < 2:
        return mean, math.nan
    variance = (
        _of_sample(owners[0]) * (above @ above)
        + _of_sample(owners[1]) * (below @ below)
        + 2 * _of_sample(len(won)) * (above @ below)
    )
    return mean, math.sqrt(max(variance, 0.0))


def _of_sample(n: int) -> float:
    return n / (n - 1)


def _normal(confidence: float) -> float:
    return statistics.NormalDist().inv_cdf((1 + confidence) / 2)


def pairs_by_patient(
    truth, scores, patients, folds=None
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a positive of patient p and a negative of patient q, as [p, q].

    Returns:
        How many the positive wins (ties count half), in the mean of all runs, and
        how many there are. The AUC of any draw of patients is a ratio of two
        quadratic forms in these.
    """
    truth, runs = np.asarray(truth, bool), np.atleast_2d(np.asarray(scores, float))
    patients = np.arange(len(truth)) if patients is None else np.asarray(patients)
    folds = np.zeros(len(truth), int) if folds is None else np.asarray(folds)
    if not len(truth) == runs.shape[1] == len(patients) == len(folds):
        raise ValueError(
            "Truth, scores, patients and folds must have the same length. Received: "
            f"{len(truth)}, {runs.shape[1]}, {len(patients)}, {len(folds)}"
        )
    names, owner = np.unique(patients, return_inverse=True)
    won, pairs = np.zeros((2, len(names), len(names)))
    for fold in np.unique(folds):
        above, below = truth & (folds == fold), ~truth & (folds == fold)
        positives, negatives = (
            np.bincount(owner[which], minlength=len(names)) for which in (above, below)
        )
        pairs += np.outer(positives, negatives)
        for run in runs:
            higher, lower = run[above], run[below]
            for q in np.flatnonzero(negatives):
                of_q = np.sort(lower[owner[below] == q])
                wins = sum(
                    np.searchsorted(of_q, higher, side) for side in ("left", "right")
                )
                won[:, q] += np.bincount(owner[above], wins / 2, len(names))
    return won / len(runs), pairs


def _of_pairs(won, pairs, n, confidence, resamples, seed) -> Interval:
    if not pairs.any():
        return Interval(math.nan, math.nan, math.nan, 0, n)
    mean = float(won.sum() / pairs.sum())
    if len(pairs) < 2:
        return Interval(mean, math.nan, math.nan, n, 0)
    times_drawn = draw_patients(len(pairs), resamples, seed).astype(float)
    tops, bottoms = (
        np.einsum("rp,rp->r", times_drawn @ matrix, times_drawn)
        for matrix in (won, pairs)
    )
    drawn = tops[bottoms > 0] / bottoms[bottoms > 0]
    return Interval(mean, *expanded_percentiles(drawn, len(pairs), confidence), n, 0)


def draw_patients(patients: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, patients), how often each patient is drawn."""
    return np.random.default_rng(seed).multinomial(
        patients, np.full(patients, 1 / patients), size=resamples
    )


def expanded_percentiles(
    drawn: np.ndarray, patients: int, confidence: float
) -> tuple[float, float]:
    """Bounds of an expanded percentile interval.

    Plain percentiles of the draws are too narrow for few patients, as a normal
    interval is beside Student's: they cover 92 to 93 % at 35 patients
    (benchmarks/intervals.py). The tails are taken so much further out.

    Reference:
        Hesterberg, What Teachers Should Know about the Bootstrap, The American
        Statistician 69(4):371-386, 2015, arXiv:1411.5279: the expanded percentile
        interval.
    """
    from scipy import special

    if not len(drawn):
        return math.nan, math.nan
    quantile = special.stdtrit(patients - 1, (1 - confidence) / 2)
    tail = special.ndtr(math.sqrt(patients / (patients - 1)) * quantile)
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
    from scipy import stats

    interval = stats.binomtest(successes, n).proportion_ci(confidence, "wilson")
    return float(interval.low), float(interval.high)
