"""Confidence intervals of means, ratios and proportions; patients are resampled."""

import math
from collections.abc import Sequence

import numpy as np

from ich_tf.metrics.resampling import DEFAULT, Interval, Resampling

Terms = tuple[Sequence[float], Sequence[float]]
"""Numerators and denominators, one of each for a case; denominator 0 = undefined."""


def bootstrap_mean(
    values: Sequence[float],
    patients: Sequence[str] | None = None,
    resampling: Resampling = DEFAULT,
) -> Interval:
    """Mean with an expanded percentile interval, resampling patients.

    Args:
        values: One for each case; NaN = undefined, left out and counted.
        patients: The patient of each value; all values of a drawn patient are
            taken together. None: each value is a patient of its own.
        resampling: Draws of patients.
    """
    values = np.asarray(values, float)
    defined = ~np.isnan(values)
    return bootstrap_ratio(
        np.where(defined, values, 0.0), defined, patients, resampling
    )


def bootstrap_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    patients: Sequence[str] | None = None,
    resampling: Resampling = DEFAULT,
) -> Interval:
    """Sum of numerators over sum of denominators, resampling patients.

    Serves pooled scores (slice sensitivity, pooled Dice) and means alike, whose
    denominators are 1. Patients without a defined value are not drawn.

    Args:
        numerators: One for each case.
        denominators: One for each case, not negative; 0 = undefined.
        patients: The patient of each case; None: each case is a patient of its own.
        resampling: Draws of patients.

    Raises:
        ValueError: if the lengths differ.

    Reference:
        Efron, Tibshirani: An Introduction to the Bootstrap, 1993, chapter 13; the
        clusters are patients.
    """
    return _of_models([(numerators, denominators)], patients, resampling)


def bootstrap_ratio_difference(
    first: Terms,
    second: Terms,
    patients: Sequence[str] | None = None,
    resampling: Resampling = DEFAULT,
) -> Interval:
    """Ratio of `second` minus that of `first`, paired: both on the same draws.

    Args:
        first: Numerators and denominators of one model.
        second: Terms of the other for the same cases. A case that is undefined for
            one of them is left out of both.
        patients: The patient of each case; None: each case is a patient of its own.
        resampling: Draws of patients.

    Raises:
        ValueError: if the lengths differ.
    """
    return _of_models([first, second], patients, resampling)


def _of_models(
    models: Sequence[Terms], patients: Sequence[str] | None, resampling: Resampling
) -> Interval:
    """The ratio of one model, or that of the second minus that of the first."""
    terms = [np.asarray(values, float) for model in models for values in model]
    patients = np.arange(len(terms[0])) if patients is None else np.asarray(patients)
    lengths = [len(values) for values in (*terms, patients)]
    if len(set(lengths)) > 1:
        raise ValueError(
            "Values and patients must have the same length. Received: "
            f"{', '.join(map(str, lengths))}"
        )
    defined = np.logical_and.reduce([bottoms > 0 for bottoms in terms[1::2]])
    n, n_undefined = int(defined.sum()), int((~defined).sum())
    if n == 0:
        return Interval.undefined(n_undefined)
    names, owner = np.unique(patients[defined], return_inverse=True)
    sums = [np.bincount(owner, values[defined]) for values in terms]
    ratios = list(zip(sums[::2], sums[1::2], strict=True))
    mean = float(_last_minus_first([top.sum() / low.sum() for top, low in ratios]))
    if len(names) < 2:
        return Interval(mean, math.nan, math.nan, n, n_undefined)
    times = resampling.draw(len(names))
    drawn = _last_minus_first([(times @ top) / (times @ low) for top, low in ratios])
    return Interval(mean, *resampling.bounds(drawn, len(names)), n, n_undefined)


def _last_minus_first(ratios: list):
    return ratios[0] if len(ratios) == 1 else ratios[-1] - ratios[0]


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
