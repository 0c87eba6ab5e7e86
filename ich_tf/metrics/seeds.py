"""Intervals of a row's number over patients and seeds of training.

A row that was trained with several seeds has a number for each of them on the same
patients. Patients are resampled together for all seeds; the seeds are resampled too. A
few seeds say little about how much training varies, so their spread is widened by
Student's quantile. With a single seed the interval is that of its patients alone.
"""

import math
from collections.abc import Sequence

import numpy as np

from ich_tf.metrics import auc_intervals, intervals
from ich_tf.metrics.resampling import DEFAULT, Interval, Resampling


def bootstrap_ratio(
    runs: Sequence[tuple[Sequence[float], Sequence[float]]],
    patients: Sequence[str],
    resampling: Resampling = DEFAULT,
) -> Interval:
    """Mean over seeds of a sum of numerators over a sum of denominators.

    Args:
        runs: For each seed numerators and denominators, one for each case; 0 as a
            denominator is undefined. A case that is undefined in one seed is left out
            of all.
        patients: The patient of each case.
        resampling: Draws of patients; their seed draws the runs too.

    Raises:
        ValueError: if the lengths differ.
    """
    if len(runs) == 1:
        return intervals.bootstrap_ratio(*runs[0], patients, resampling)
    tops, bottoms = np.asarray(runs, float).swapaxes(0, 1)
    patients = np.asarray(patients)
    if tops.shape[1] != len(patients):
        raise ValueError(
            "Values and patients must have the same length. Received: "
            f"{tops.shape[1]}, {len(patients)}"
        )
    defined = (bottoms > 0).all(axis=0)
    n, n_undefined = int(defined.sum()), int((~defined).sum())
    if n == 0:
        return Interval.undefined(n_undefined)
    names, owner = np.unique(patients[defined], return_inverse=True)
    tops, bottoms = (
        np.array([np.bincount(owner, run[defined]) for run in part])
        for part in (tops, bottoms)
    )
    mean = float((tops.sum(axis=1) / bottoms.sum(axis=1)).mean())
    if len(names) < 2:
        return Interval(mean, math.nan, math.nan, n, n_undefined)
    times = resampling.draw(len(names))
    drawn = _mean_of_drawn_seeds((times @ tops.T) / (times @ bottoms.T), resampling)
    bounds = resampling.bounds(drawn, len(names))
    return Interval(mean, *bounds, n, n_undefined)


def bootstrap_ratio_difference(
    first: Sequence[tuple[Sequence[float], Sequence[float]]],
    second: Sequence[tuple[Sequence[float], Sequence[float]]],
    patients: Sequence[str],
    resampling: Resampling = DEFAULT,
) -> Interval:
    """Mean over seeds of the ratio of `second` minus that of `first`, paired.

    Args:
        first: One model's runs, as `bootstrap_ratio` takes them.
        second: The other's, with the same seeds in the same order. A case that is
            undefined in one run is left out of all.
        patients: The patient of each case.
        resampling: Draws of patients; their seed draws the seeds of training too.

    Raises:
        ValueError: if the numbers of runs or the lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"Runs of {len(first)} and {len(second)} seeds: no pairs.")
    if len(first) == 1:
        return intervals.bootstrap_ratio_difference(
            first[0], second[0], patients, resampling
        )
    terms = np.asarray([first, second], float)
    defined = (terms[:, :, 1] > 0).all(axis=(0, 1))
    n, n_undefined = int(defined.sum()), int((~defined).sum())
    if n == 0:
        return Interval.undefined(n_undefined)
    names, owner = np.unique(np.asarray(patients)[defined], return_inverse=True)
    # (models, seeds, tops and bottoms, patients)
    sums = np.apply_along_axis(
        lambda values: np.bincount(owner, values), -1, terms[..., defined]
    )
    ratios = sums[:, :, 0].sum(-1) / sums[:, :, 1].sum(-1)
    mean = float((ratios[1] - ratios[0]).mean())
    if len(names) < 2:
        return Interval(mean, math.nan, math.nan, n, n_undefined)
    times = resampling.draw(len(names))
    drawn = np.einsum("rp,msqp->qmrs", times, sums)
    difference = np.diff(drawn[0] / drawn[1], axis=0)[0]
    drawn = _mean_of_drawn_seeds(difference, resampling)
    return Interval(mean, *resampling.bounds(drawn, len(names)), n, n_undefined)


def bootstrap_auc(
    truth: Sequence[bool],
    runs: Sequence[Sequence[float]],
    patients: Sequence[str],
    folds: Sequence[int] | None = None,
    resampling: Resampling = DEFAULT,
) -> Interval:
    """Mean over seeds of the area under the ROC curve.

    Args:
        truth: (n,), whether each slice or scan is positive.
        runs: (seeds, n), scores.
        patients: (n,), the patient of each.
        folds: (n,), which network scored each; see `auc_intervals.bootstrap_auc`.
        resampling: Draws of patients; their seed draws the runs too.

    Raises:
        ValueError: if the lengths differ.
    """
    if len(runs) == 1:
        return auc_intervals.bootstrap_auc(truth, runs[0], patients, folds, resampling)
    won, pairs = _won_pairs(truth, runs, patients, folds)
    return _of_pairs(won, pairs, len(truth), resampling)


def bootstrap_auc_difference(
    truth: Sequence[bool],
    first: Sequence[Sequence[float]],
    second: Sequence[Sequence[float]],
    patients: Sequence[str],
    folds: Sequence[int] | None = None,
    resampling: Resampling = DEFAULT,
) -> Interval:
    """Mean over seeds of the AUC of `second` minus that of `first`, paired.

    Args:
        truth: (n,), whether each slice or scan is positive.
        first: (seeds, n), scores of one model.
        second: (seeds, n), scores of the other with the same seeds.
        patients: (n,), the patient of each.
        folds: (n,), which network scored each; see `auc_intervals.bootstrap_auc`.
        resampling: Draws of patients; their seed draws the seeds of training too.

    Raises:
        ValueError: if the numbers of runs or the lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"Runs of {len(first)} and {len(second)} seeds: no pairs.")
    if len(first) == 1:
        return auc_intervals.bootstrap_auc_difference(
            truth, first[0], second[0], patients, folds, resampling
        )
    won_first, pairs = _won_pairs(truth, first, patients, folds)
    won_second, _ = _won_pairs(truth, second, patients, folds)
    return _of_pairs(won_second - won_first, pairs, len(truth), resampling)


def _won_pairs(truth, runs, patients, folds) -> tuple[np.ndarray, np.ndarray]:
    """`auc_intervals.pairs_by_patient` of each run: (seeds, p, p) and (p, p)."""
    won, pairs = zip(
        *(auc_intervals.pairs_by_patient(truth, run, patients, folds) for run in runs),
        strict=True,
    )
    return np.array(won), pairs[0]


def _of_pairs(won, pairs, units: int, resampling: Resampling) -> Interval:
    """The interval of won pairs over all pairs, over patients and seeds."""
    if not pairs.any():
        return Interval.undefined(units)
    mean = float(np.mean([of_run.sum() for of_run in won]) / pairs.sum())
    if len(pairs) < 2:
        return Interval(mean, math.nan, math.nan, units, 0)
    times = resampling.draw(len(pairs)).astype(float)
    *tops, bottoms = (
        np.einsum("rp,rp->r", times @ matrix, times) for matrix in (*won, pairs)
    )
    kept = bottoms > 0
    areas = np.array([top[kept] / bottoms[kept] for top in tops]).T
    drawn = _mean_of_drawn_seeds(areas, resampling)
    bounds = resampling.bounds(drawn, len(pairs))
    return Interval(mean, *bounds, units, 0)


def _mean_of_drawn_seeds(values: np.ndarray, resampling: Resampling) -> np.ndarray:
    """(draws,) means over seeds that are drawn with replacement, widened.

    Args:
        values: (draws, seeds), the number of each seed on each draw of patients.
        resampling: The draws of patients.
    """
    from scipy import special

    draws, count = values.shape
    generator = np.random.default_rng([resampling.seed, count])
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=draws)
    mean = values.mean(axis=1)
    # A resampled mean of n values varies by (n - 1) / n too little, and Student's
    # quantile with n - 1 degrees of freedom is larger than the normal one.
    wider = math.sqrt(count / (count - 1))
    wider *= special.stdtrit(count - 1, 0.975) / special.ndtri(0.975)
    return mean + wider * ((drawn * values).sum(axis=1) / count - mean)
