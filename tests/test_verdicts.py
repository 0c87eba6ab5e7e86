"""Verdicts of intervals drawn by hand, and intervals over seeds."""

import math

import numpy as np
import pytest

from ich_tf import labels
from ich_tf.evidence import verdicts
from ich_tf.metrics import auc_intervals, evaluation, intervals, seeds
from ich_tf.metrics.resampling import Interval


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.383, 0.483, "equivalent"),  # 0.433 - 0.05 and 0.433 + 0.05.
        (0.40, 0.45, "equivalent"),
        (0.382, 0.45, "undecided"),
        (0.40, 0.58, "undecided"),
        (0.484, 0.60, "better"),
        (0.483, 0.60, "undecided"),
        (0.10, 0.382, "worse"),
        (0.10, 0.383, "undecided"),
        (0.10, 0.90, "undecided"),
        (None, None, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_an_overlap_is_judged_by_its_difference(low, high, verdict):
    for column in ("dice", "jaccard", "sensitivity", "specificity"):
        decided = verdicts.decide(column, 0.433, low, high, digits=3)
        assert decided.name == verdict


def test_numbers_are_compared_at_the_printed_digits():
    """0.3826 prints as 0.383, which is 0.433 - 0.05; as a float it lies below."""
    assert verdicts.decide("dice", 0.433, 0.3826, 0.45, digits=3).name == "equivalent"
    assert verdicts.decide("dice", 0.433, 0.3826, 0.45).name == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.9750, 0.9840, "equivalent"),
        (0.9749, 0.9840, "undecided"),
        (0.9841, 0.9990, "better"),
        (0.9322, 0.9749, "worse"),
        (0.9322, 0.9750, "undecided"),
    ],
)
def test_an_area_is_judged_by_the_ratio_of_errors(low, high, verdict):
    """The error of 0.98 is 0.02; 0.8 of it is 0.016, 1.25 of it 0.025."""
    assert verdicts.decide("auc_scan", 0.98, low, high, digits=4).name == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.0583, 0.0711, "equivalent"),
        (0.0500, 0.0581, "better"),
        (0.0713, 0.0900, "worse"),
        (0.0600, 0.0800, "undecided"),
    ],
)
def test_a_loss_is_better_when_it_is_lower(low, high, verdict):
    """Nine tenths of 0.0647 are 0.0582, eleven tenths 0.0712."""
    decided = verdicts.decide("validation_loss", 0.0647, low, high, digits=4)
    assert decided.name == verdict


@pytest.mark.parametrize(
    ("gain_low", "names"),
    [
        (0.001, ("equivalent", "better", "worse")),
        (0.0, ("undecided", "undecided", "worse")),
    ],
)
def test_an_accuracy_must_exceed_the_trivial_one(gain_low, names):
    """The error of 0.9967 is 0.0033; 0.99588 to 0.99736 are equivalent."""
    bounds = ((0.9960, 0.9972), (0.9975, 0.9980), (0.9900, 0.9950))
    given = [
        verdicts.decide("accuracy_slice", 0.9967, *pair, digits=4, gain_low=gain_low)
        for pair in bounds
    ]
    assert tuple(verdict.name for verdict in given) == names
    assert [bool(verdict.reason) for verdict in given] == [
        name == "undecided" for name in names
    ]


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ValueError, match="peak_memory_gb.*no margin"):
        verdicts.decide("peak_memory_gb", 1.0, 0.9, 1.1)
    with pytest.raises(ValueError, match="gain_low"):
        verdicts.decide("accuracy_scan", 0.95, 0.94, 0.96)
    assert verdicts.margin("seconds_per_epoch") is None


@pytest.mark.parametrize(
    ("column", "first", "bounds", "verdict"),
    [
        ("dice", 0.40, (-0.05, 0.05), "equivalent"),
        ("dice", 0.40, (0.01, 0.04), "equivalent"),
        ("dice", 0.40, (0.01, 0.09), "undecided"),
        ("dice", 0.40, (0.06, 0.09), "better"),
        ("dice", 0.40, (-0.20, -0.06), "worse"),
        # The error 0.10 may become 0.08 to 0.125: a difference of +0.02 to -0.025.
        ("auc_slice", 0.90, (-0.024, 0.019), "equivalent"),
        ("auc_slice", 0.90, (0.021, 0.030), "better"),
        ("auc_slice", 0.90, (-0.040, -0.026), "worse"),
        ("validation_loss", 0.10, (-0.03, -0.02), "better"),
        ("validation_loss", 0.10, (0.02, 0.03), "worse"),
        ("dice", 0.40, (math.nan, math.nan), "undecided"),
    ],
)
def test_two_models_are_judged_by_their_paired_difference(
    column, first, bounds, verdict
):
    difference = Interval(sum(bounds) / 2, *bounds, 35, 0)
    assert verdicts.decide_pair(column, first, difference).name == verdict


def predictions(probability_of_any):
    """Four scans of two slices; the second slice of the first two scans bleeds."""
    scans = {}
    for number in range(4):
        truth = np.zeros((2, 6), int)
        truth[1, labels.index("any")] = number < 2
        probability = np.full((2, 6), 0.1)
        probability[:, labels.index("any")] = probability_of_any(truth[:, -1])
        scans[f"scan{number}"] = {
            "patient": f"patient{number}",
            "truth": truth.tolist(),
            "probability": probability.tolist(),
        }
    return scans


def test_a_trivial_classifier_is_never_equivalent():
    """It misses 2 of 8 slices: its accuracy is 6/8 and its gain exactly 0."""
    scores = evaluation.score_slices(predictions(lambda truth: 0.0 * truth))["any"]
    assert scores["accuracy_slice"]["mean"] == 6 / 8
    assert scores["trivial_accuracy_slice"]["mean"] == 6 / 8
    assert scores["trivial_accuracy_scan"]["mean"] == 2 / 4
    gain = scores["accuracy_gain_slice"]
    assert (gain["mean"], gain["low"], gain["high"]) == (0, 0, 0)
    verdict = verdicts.decide("accuracy_slice", 0.75, 0.74, 0.76, gain_low=gain["low"])
    assert verdict.name == "undecided"


def test_the_gain_of_a_perfect_classifier_is_what_the_trivial_one_misses():
    scores = evaluation.score_slices(predictions(lambda truth: 0.9 * truth))["any"]
    assert scores["accuracy_gain_slice"]["mean"] == pytest.approx(2 / 8)
    assert scores["accuracy_gain_scan"]["mean"] == pytest.approx(2 / 4)


def test_the_validation_loss_weighs_scans_alike():
    """A scan of 1 slice at p = 1/2 and one of 3 at p = 1/4, all without hemorrhage.

    By slices it would be (ln 2 + 3 ln 4/3) / 4.
    """
    scans = {
        name: {
            "patient": name,
            "truth": np.zeros((slices, 6), int).tolist(),
            "probability": np.full((slices, 6), probability).tolist(),
        }
        for name, slices, probability in (("a", 1, 0.5), ("b", 3, 0.25))
    }
    losses, patients = evaluation.scan_losses(scans)
    assert losses == pytest.approx([math.log(2), math.log(4 / 3)])
    assert patients == ["a", "b"]
    mean = evaluation.score_slices(scans)["all"]["validation_loss"]["mean"]
    assert mean == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)


class TestSeeds:
    patients = [f"{number:02d}" for number in range(20)]

    def runs(self, spread):
        """Dice of 20 patients, and the same moved up and down by a spread."""
        dice = np.random.default_rng(0).uniform(0.2, 0.6, 20)
        return [(dice + move, np.ones(20)) for move in (-spread, 0, spread)]

    def test_one_seed_has_the_interval_of_its_patients(self):
        (_, run, _) = self.runs(0.1)
        expected = intervals.bootstrap_ratio(*run, self.patients)
        assert seeds.bootstrap_ratio([run], self.patients) == expected

    def test_equal_seeds_add_nothing(self):
        runs = self.runs(0.0)
        single = intervals.bootstrap_ratio(*runs[0], self.patients)
        three = seeds.bootstrap_ratio(runs, self.patients)
        assert three == pytest.approx(single)

    def test_seeds_that_differ_widen_the_interval_around_their_mean(self):
        narrow, wide = (
            seeds.bootstrap_ratio(self.runs(spread), self.patients)
            for spread in (0.0, 0.1)
        )
        assert wide.mean == pytest.approx(narrow.mean)
        # The mean of three seeds at -0.1, 0 and 0.1 has a standard error of 0.1 / 3^0.5
        # = 0.058; with Student's 4.3 that is 0.25 on each side.
        assert 0.4 < wide.high - wide.low < 0.7
        assert narrow.high - narrow.low < 0.2

    def test_a_paired_difference_over_seeds(self):
        runs = self.runs(0.1)
        # The second model gains 0.02 with each seed, whatever the patients are.
        better = [(dice + 0.02, ones) for dice, ones in runs]
        interval = seeds.bootstrap_ratio_difference(runs, better, self.patients)
        assert interval[:3] == pytest.approx((0.02, 0.02, 0.02))
        # Paired with other seeds the gain varies by 0.1 as seeds do.
        shifted = [better[1], better[2], better[0]]
        interval = seeds.bootstrap_ratio_difference(runs, shifted, self.patients)
        assert interval.mean == pytest.approx(0.02)
        assert interval.low < -0.2 < 0.2 < interval.high
        single = seeds.bootstrap_ratio_difference(runs[:1], better[1:2], self.patients)
        assert single == intervals.bootstrap_ratio_difference(
            runs[0], better[1], self.patients
        )
        with pytest.raises(ValueError, match="3 and 2 seeds"):
            seeds.bootstrap_ratio_difference(runs, better[:2], self.patients)

    def test_a_paired_difference_of_areas_over_seeds(self):
        truth = [True, False] * 10
        scores = np.random.default_rng(1).normal(size=(2, 3, 20)) + truth
        interval = seeds.bootstrap_auc_difference(truth, *scores, self.patients)
        first, second = (seeds.bootstrap_auc(truth, of, self.patients) for of in scores)
        assert interval.mean == pytest.approx(second.mean - first.mean)
        assert interval.low < interval.mean < interval.high
        none = seeds.bootstrap_auc_difference(
            truth, scores[0], scores[0], self.patients
        )
        assert none[:3] == pytest.approx((0, 0, 0))
        with pytest.raises(ValueError, match="3 and 1 seeds"):
            seeds.bootstrap_auc_difference(
                truth, scores[0], scores[1][:1], self.patients
            )

    def test_areas_of_seeds_are_averaged(self):
        truth = [True, False] * 10
        scores = np.random.default_rng(1).normal(size=(3, 20)) + truth
        expected = np.mean(
            [
                auc_intervals.bootstrap_auc(truth, run, self.patients).mean
                for run in scores
            ]
        )
        interval = seeds.bootstrap_auc(truth, scores, self.patients)
        assert interval.mean == pytest.approx(expected)
        assert interval.low < interval.mean < interval.high
        alike = seeds.bootstrap_auc(truth, scores[:1].repeat(3, 0), self.patients)
        single = auc_intervals.bootstrap_auc(truth, scores[0], self.patients)
        assert alike == pytest.approx(single)

    def test_undefined_cases_are_left_out_of_all_seeds(self):
        runs = [([1.0, 0.5, 0.0], [1, 1, 0]), ([0.0, 0.5, 1.0], [1, 1, 1])]
        interval = seeds.bootstrap_ratio(runs, ["a", "b", "c"])
        assert (interval.mean, interval.n, interval.n_undefined) == (0.5, 2, 1)
