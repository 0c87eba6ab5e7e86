import importlib.util
import math
import pathlib
import statistics

import numpy as np
import pytest

from ich_tf.metrics import auc_intervals, intervals
from ich_tf.metrics.resampling import Resampling

NAN = float("nan")
PROJECT = pathlib.Path(__file__).resolve().parent.parent

# Two classifiers on seven positives and eight negatives, with ties.
TRUTH = np.arange(15) < 7
FIRST = [
    0.9,
    0.8,
    0.75,
    0.6,
    0.55,
    0.4,
    0.3,
    *(0.7, 0.5, 0.5, 0.35, 0.3, 0.2, 0.15, 0.1),
]
SECOND = [
    *(0.95, 0.5, 0.85, 0.65, 0.4, 0.45, 0.6),
    *(0.55, 0.6, 0.3, 0.45, 0.25, 0.3, 0.05, 0.2),
]


def test_undefined_values_are_left_out_and_counted():
    interval = intervals.bootstrap_mean([0.2, NAN, 0.4, 0.6, NAN])
    assert interval.mean == pytest.approx(0.4)
    assert (interval.n, interval.n_undefined) == (3, 2)
    assert 0.2 <= interval.low < 0.4 < interval.high <= 0.6


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).random(20)
    first = intervals.bootstrap_mean(values, resampling=Resampling(seed=3))
    assert first == intervals.bootstrap_mean(values, resampling=Resampling(seed=3))
    assert first != intervals.bootstrap_mean(values, resampling=Resampling(seed=4))


def test_agrees_with_scipys_percentile_bootstrap():
    """Percentiles of the draws, as far out as Student's t lies beyond the normal."""
    from scipy import stats

    values = np.random.default_rng(1).random(40)
    ours = intervals.bootstrap_mean(values, resampling=Resampling(20000))
    tail = stats.norm.cdf(np.sqrt(40 / 39) * stats.t(39).ppf(0.025))
    theirs = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=1 - 2 * tail,
        method="percentile",
        n_resamples=20000,
        rng=0,
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.003)
    assert ours.high == pytest.approx(theirs.high, abs=0.003)
    plain = np.quantile(
        np.random.default_rng(0).choice(values, (20000, 40)).mean(1), 0.025
    )
    assert ours.low < plain - 0.001


def test_cases_of_a_patient_are_drawn_together():
    """Twins add no information: the interval is that of the single cases."""
    values = np.random.default_rng(2).random(10)
    names = [f"{number:03}" for number in range(10)]
    once = intervals.bootstrap_mean(values, names)
    twice = intervals.bootstrap_mean(np.repeat(values, 2), np.repeat(names, 2))
    assert twice[:3] == pytest.approx(once[:3])
    assert twice.n == 20
    apart = intervals.bootstrap_mean(np.repeat(values, 2))
    assert apart.high - apart.low < 0.8 * (twice.high - twice.low)


def test_a_higher_confidence_is_wider():
    values = np.random.default_rng(3).random(30)
    wide, narrow = (
        intervals.bootstrap_mean(values, resampling=Resampling(confidence=level))
        for level in (0.99, 0.8)
    )
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(
    ("values", "patients"),
    [([0.3], None), ([0.3, NAN], None), ([0.2, 0.4], ["a", "a"])],
)
def test_one_patient_has_a_mean_but_no_interval(values, patients):
    interval = intervals.bootstrap_mean(values, patients)
    assert interval.mean == pytest.approx(0.3)
    assert math.isnan(interval.low) and math.isnan(interval.high)


@pytest.mark.parametrize("values", [[], [NAN, NAN]])
def test_nothing_defined_is_nan(values):
    interval = intervals.bootstrap_mean(values)
    assert np.isnan(interval[:3]).all()
    assert (interval.n, interval.n_undefined) == (0, len(values))


def test_a_ratio_weighs_by_its_denominators():
    interval = intervals.bootstrap_ratio([9, 0, 0], [10, 30, 0], ["a", "b", "c"])
    assert interval.mean == pytest.approx(9 / 40)
    assert (interval.low, interval.high) == (0, 0.9)
    assert (interval.n, interval.n_undefined) == (2, 1)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="3, 3, 2"):
        intervals.bootstrap_mean([1, 2, 3], ["a", "b"])


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.277533),
        (8, 10, 0.490162, 0.943318),
        (10, 10, 0.722467, 1.0),
        (50, 100, 0.403832, 0.596168),
    ],
)
def test_wilson(successes, n, low, high):
    assert intervals.wilson(successes, n) == pytest.approx((low, high), abs=1e-6)


def test_wilson_without_trials_is_undefined():
    assert np.isnan(intervals.wilson(0, 0)).all()
    with pytest.raises(ValueError, match="successes=3, n=2"):
        intervals.wilson(3, 2)


def deviation_of(interval):
    """What DeLong's interval on the logit scale was made of."""
    low, mean, high = interval.low, interval.mean, interval.high
    spread = (math.log(high / (1 - high)) - math.log(low / (1 - low))) / 2
    return spread * mean * (1 - mean) / statistics.NormalDist().inv_cdf(0.975)


@pytest.mark.parametrize(
    ("scores", "auc", "variance"),
    [(FIRST, 0.8303571, 0.011919946694), (SECOND, 0.8571428, 0.009501792179)],
)
def test_delong_equals_the_package_confidenceinterval(scores, auc, variance):
    """Variances of `confidenceinterval` 1.0.5 (after Sun and Xu's fast algorithm)."""
    interval = auc_intervals.delong_auc(TRUTH, scores)
    assert interval.mean == pytest.approx(auc, abs=1e-6)
    assert deviation_of(interval) ** 2 == pytest.approx(variance, abs=1e-7)
    assert interval[3:] == (15, 0)


def test_delong_difference_equals_the_package_mlstatkit():
    """Variance of the difference by `MLstatkit` 0.1.91."""
    interval = auc_intervals.delong_auc_difference(TRUTH, FIRST, SECOND)
    assert interval.mean == pytest.approx(0.0267857143)
    spread = (interval.high - interval.low) / 2 / statistics.NormalDist().inv_cdf(0.975)
    assert spread**2 == pytest.approx(0.01199586977648)
    same = auc_intervals.delong_auc_difference(TRUTH, FIRST, FIRST)
    assert same[:3] == (0, 0, 0)


def test_delong_of_patients_is_obuchowskis_from_its_definition():
    """Loops over pairs and patients, as the paper writes the variance."""
    generator = np.random.default_rng(5)
    owner = np.repeat(np.arange(9), 4)
    truth = generator.random(36) < 0.4
    scores = np.round(generator.normal(size=36) + truth, 1)
    positive, negative = np.flatnonzero(truth), np.flatnonzero(~truth)
    m, n = len(positive), len(negative)
    kernel = {
        (i, k): (scores[i] > scores[k]) + (scores[i] == scores[k]) / 2
        for i in positive
        for k in negative
    }
    auc = sum(kernel.values()) / (m * n)
    tops, bottoms = [], []
    for patient in range(9):
        own = [i for i in positive if owner[i] == patient]
        tops.append(
            sum(kernel[i, k] for i in own for k in negative) / n - len(own) * auc
        )
        own = [k for k in negative if owner[k] == patient]
        bottoms.append(
            sum(kernel[i, k] for i in positive for k in own) / m - len(own) * auc
        )
    with_positive, with_negative = len(set(owner[truth])), len(set(owner[~truth]))
    s10 = with_positive / ((with_positive - 1) * m) * sum(x**2 for x in tops)
    s01 = with_negative / ((with_negative - 1) * n) * sum(x**2 for x in bottoms)
    s11 = 9 / 8 * sum(x * y for x, y in zip(tops, bottoms, strict=True))
    interval = auc_intervals.delong_auc(truth, scores, owner)
    assert interval.mean == pytest.approx(auc)
    variance = s10 / m + s01 / n + 2 * s11 / (m * n)
    assert deviation_of(interval) ** 2 == pytest.approx(variance)
    assert deviation_of(auc_intervals.delong_auc(truth, scores)) ** 2 != pytest.approx(
        variance
    )


def test_delong_where_little_is_known():
    assert auc_intervals.delong_auc([1, 1, 0, 0], [4, 3, 2, 1])[:3] == (1, 1, 1)
    alone = auc_intervals.delong_auc([1, 0, 0], [2, 3, 1])
    assert alone.mean == 0.5 and math.isnan(alone.low) and math.isnan(alone.high)
    none = auc_intervals.delong_auc([1, 1], [2, 3])
    assert np.isnan(none[:3]).all() and none[3:] == (0, 2)
    none = auc_intervals.delong_auc_difference([1, 1], [2, 3], [3, 2])
    assert np.isnan(none[:3]).all() and none[3:] == (0, 2)


def test_a_paired_difference_is_narrower_than_two_intervals():
    generator = np.random.default_rng(4)
    first = generator.random(30)
    second = first + 0.1 + generator.normal(0, 0.02, 30)
    ones = np.ones(30)
    interval = intervals.bootstrap_ratio_difference((first, ones), (second, ones))
    assert interval == pytest.approx(intervals.bootstrap_mean(second - first))
    alone = intervals.bootstrap_mean(first)
    assert interval.high - interval.low < 0.2 * (alone.high - alone.low)
    assert interval.low < 0.1 < interval.high


def test_a_difference_leaves_out_what_one_of_both_lacks():
    interval = intervals.bootstrap_ratio_difference(
        ([1, 2, 9], [4, 4, 9]), ([3, 4, 0], [4, 8, 0]), ["a", "b", "c"]
    )
    assert interval.mean == pytest.approx(7 / 12 - 3 / 8)
    assert interval[3:] == (2, 1)
    none = intervals.bootstrap_ratio_difference(([1], [1]), ([0], [0]))
    assert np.isnan(none[:3]).all() and none[3:] == (0, 1)
    with pytest.raises(ValueError, match="2, 2, 1, 1, 2"):
        intervals.bootstrap_ratio_difference(([1, 1], [1, 1]), ([1], [1]))


def benchmark():
    path = PROJECT / "benchmarks" / "intervals.py"
    spec = importlib.util.spec_from_file_location("benchmark_intervals", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["mean", "ratio", "delong", "proportion"])
def test_intervals_cover_the_truth(name):
    """A glance: 120 draws of 35 patients. The slow test and the benchmark say more."""
    simulation = benchmark()
    share = simulation.coverage(getattr(simulation, name), 35, 120)
    assert 0.9 <= share <= 0.99


@pytest.mark.slow
def test_coverage_at_35_patients():
    simulation = benchmark()
    for interval in simulation.INTERVALS:
        share = simulation.coverage(interval, 35, 1000)
        assert 0.93 <= share <= 0.97, interval.__doc__
