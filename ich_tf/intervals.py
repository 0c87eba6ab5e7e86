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
    times_drawn = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=resamples
    )
    drawn = (times_drawn @ tops) / (times_drawn @ bottoms)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(mean, float(low), float(high), n, n_undefined)


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
