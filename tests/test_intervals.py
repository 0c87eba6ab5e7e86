import math

import numpy as np
import pytest

from ich_tf import intervals

NAN = float("nan")


def test_undefined_values_are_left_out_and_counted():
    interval = intervals.bootstrap_mean([0.2, NAN, 0.4, 0.6, NAN])
    assert interval.mean == pytest.approx(0.4)
    assert (interval.n, interval.n_undefined) == (3, 2)
    assert 0.2 <= interval.low < 0.4 < interval.high <= 0.6


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).random(20)
    first = intervals.bootstrap_mean(values, seed=3)
    assert first == intervals.bootstrap_mean(values, seed=3)
    assert first != intervals.bootstrap_mean(values, seed=4)


def test_agrees_with_scipys_percentile_bootstrap():
    from scipy import stats

    values = np.random.default_rng(1).random(40)
    ours = intervals.bootstrap_mean(values, resamples=20000)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20000, rng=0
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.003)
    assert ours.high == pytest.approx(theirs.high, abs=0.003)


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
        intervals.bootstrap_mean(values, confidence=level) for level in (0.99, 0.8)
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


def test_wilson_equals_scipys():
    from scipy import stats

    theirs = stats.binomtest(7, 23).proportion_ci(0.9, method="wilson")
    assert intervals.wilson(7, 23, 0.9) == pytest.approx(tuple(theirs))


def test_wilson_without_trials_is_undefined():
    assert np.isnan(intervals.wilson(0, 0)).all()
    with pytest.raises(ValueError, match="successes=3, n=2"):
        intervals.wilson(3, 2)
