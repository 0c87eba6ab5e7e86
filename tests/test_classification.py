import json
import math

import numpy as np
import pytest

from ich_tf import labels
from ich_tf.metrics import auc_intervals, classification, intervals
from ich_tf.metrics.resampling import Resampling

ANY = labels.CLASSES.index("any")
EPIDURAL = labels.CLASSES.index("epidural")


def scans(**columns):
    """Scans whose classes all have the same values, from one list for each scan."""
    return {
        name: np.repeat(np.array(values)[:, np.newaxis], 6, axis=1)
        for name, values in columns.items()
    }


# Two scans with blood (three positive slices) and one without.
TRUTH = scans(a=[0, 1, 1], b=[0, 0], c=[1, 0])
PROBABILITY = scans(a=[0.2, 0.9, 0.4], b=[0.6, 0.1], c=[0.5, 0.3])


def scored(truth, probability, level, name="any"):
    """Scores of one class at one level."""
    units = classification.pool(truth, probability, level)
    column = labels.CLASSES.index(name)
    return classification.class_scores(
        units.truth[:, column], units.probability[:, column]
    )


def losses(truth, probability):
    """Mean cross-entropy and mean loss of the challenge, over slices."""
    units = classification.pool(truth, probability, "slice")
    return (
        float(classification.cross_entropy(units).mean()),
        float(classification.weighted_log_loss(units).mean()),
    )


def test_a_scan_has_the_maxima_of_its_slices():
    units = classification.pool(TRUTH, PROBABILITY, "scan")
    assert units.truth[:, ANY].tolist() == [True, False, True]
    assert units.probability[:, ANY].tolist() == [0.9, 0.6, 0.5]
    assert units.patients.tolist() == ["a", "b", "c"]


def test_slices_of_all_scans_are_pooled_with_their_patients():
    patients = {"a": "x", "b": "x", "c": "y"}
    units = classification.pool(TRUTH, PROBABILITY, "slice", patients)
    assert units.truth[:, ANY].tolist() == [False, True, True, *[False] * 2, True, 0]
    assert units.probability[:, ANY].tolist() == [0.2, 0.9, 0.4, 0.6, 0.1, 0.5, 0.3]
    assert "".join(units.patients) == "xxxxxyy"


def test_each_class_is_scored_for_itself():
    """Blood of one class in scan a only: the maxima are taken per class."""
    truth = {"a": np.zeros((2, 6), np.uint8), "b": np.zeros((1, 6), np.uint8)}
    truth["a"][0, [EPIDURAL, ANY]] = 1
    probability = {"a": np.full((2, 6), 0.1), "b": np.full((1, 6), 0.2)}
    probability["a"][1, ANY] = 0.7
    of_any = scored(truth, probability, "scan")
    of_epidural = scored(truth, probability, "scan", "epidural")
    assert (of_any["auc"], of_any["accuracy"]) == (1.0, 1.0)
    assert (of_epidural["auc"], of_epidural["accuracy"]) == (0.0, 0.5)
    assert scored(truth, probability, "slice")["auc"] == 0.0


def test_scores_drawn_by_hand():
    scan, pooled = (
        scored(TRUTH, PROBABILITY, level, "subdural") for level in ("scan", "slice")
    )
    # 0.9 > 0.6 is won, 0.5 < 0.6 is lost.
    assert scan["auc"] == 0.5
    assert [scan[key] for key in ("tp", "fp", "fn", "tn")] == [1, 1, 1, 0]
    assert (scan["n"], scan["positives"]) == (3, 2)
    assert scan["accuracy"] == pytest.approx(1 / 3)
    assert (scan["sensitivity"], scan["specificity"]) == (0.5, 0.0)
    # Of 3 x 4 pairs the positives lose two: 0.4 and 0.5 against 0.6.
    assert pooled["auc"] == pytest.approx(10 / 12)
    # A probability of exactly 0.5 is not above the threshold.
    assert [pooled[key] for key in ("tp", "fp", "fn", "tn")] == [1, 1, 2, 3]
    assert pooled["accuracy"] == pytest.approx(4 / 7)


def test_equal_scores_count_half():
    scores = classification.class_scores(
        np.array([True, False, False]), np.array([0.3, 0.3, 0.2])
    )
    assert scores["auc"] == 0.75


def test_losses_drawn_by_hand():
    truth = {"a": np.array([[0, 0, 0, 0, 1, 1]])}
    probability = {"a": np.array([[0.5, 0.5, 0.5, 0.5, 0.25, 0.125]])}
    entropy, weighted = losses(truth, probability)
    two = math.log(2)
    assert entropy == pytest.approx((4 * two + 2 * two + 3 * two) / 6)
    assert weighted == pytest.approx((4 + 2 + 2 * 3) * two / 7)


def test_losses_are_means_over_slices_not_over_scans():
    truth = scans(a=[0, 0, 0], b=[1])
    probability = scans(a=[0.5, 0.5, 0.5], b=[0.25])
    assert losses(truth, probability)[0] == pytest.approx(5 / 4 * math.log(2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sure_error_costs_what_the_challenge_takes(dtype):
    certain = scans(a=[0.0, 1.0])
    wrong = {"a": certain["a"].astype(dtype)}
    entropy, _ = losses(scans(a=[1, 0]), wrong)
    assert entropy == pytest.approx(-math.log(1e-15), rel=1e-3)
    _, weighted = losses(scans(a=[0, 1]), wrong)
    assert weighted == pytest.approx(1e-15, rel=0.2)


def test_agrees_with_scikit_learn():
    from sklearn import calibration, metrics

    rng = np.random.default_rng(0)
    probability = rng.random(500)
    truth = rng.random(500) < probability**2
    scores = classification.class_scores(truth, probability)
    assert scores["auc"] == pytest.approx(metrics.roc_auc_score(truth, probability))
    units = classification.pool(
        {"all": np.repeat(truth[:, None], 6, 1)},
        {"all": np.repeat(probability[:, None], 6, 1)},
        "slice",
    )
    assert classification.cross_entropy(units).mean() == pytest.approx(
        metrics.log_loss(truth, probability)
    )
    share, mean = calibration.calibration_curve(truth, probability, n_bins=15)
    np.testing.assert_allclose(scores["reliability"]["share_positive"], share)
    np.testing.assert_allclose(scores["reliability"]["mean_probability"], mean)


def test_reliability_and_calibration_error_drawn_by_hand():
    probability = np.array([0.1, 0.2, 0.2, 0.9])
    truth = np.array([False, False, True, True])
    curve = classification.reliability(truth, probability, bins=2)
    assert curve["bin"] == [0, 1]
    assert curve["n"] == [3, 1]
    assert curve["mean_probability"] == pytest.approx([0.5 / 3, 0.9])
    assert curve["share_positive"] == pytest.approx([1 / 3, 1.0])
    error = classification.calibration_error(curve)
    assert error == pytest.approx(3 / 4 * (0.5 / 3) + 1 / 4 * 0.1)


def test_the_ends_of_the_scale_have_bins():
    curve = classification.reliability(np.array([False, True]), np.array([0.0, 1.0]))
    assert curve["bin"] == [0, 14]
    assert classification.calibration_error(curve) == 0.0


def test_what_is_undefined_is_nan():
    scan = scored(scans(a=[0, 0], b=[0]), scans(a=[0.2, 0.7], b=[0.1]), "scan")
    assert math.isnan(scan["auc"]) and math.isnan(scan["sensitivity"])
    assert scan["specificity"] == 0.5


def test_scores_are_plain_numbers():
    scores = scored(TRUTH, PROBABILITY, "slice")
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"b": None}, "Scan b: has no probability"),
        ({"b": np.zeros((3, 6))}, r"Scan b: labels are \(2, 6\), probabilities"),
        ({"b": np.full((2, 6), 1.5)}, "Scan b: probabilities must lie in"),
        ({"b": np.full((2, 6), np.nan)}, "Scan b: probabilities must lie in"),
        ({"d": np.zeros((2, 6))}, "Scan d: has no truth"),
    ],
)
def test_wrong_answers_are_named(change, reason):
    changed = {**PROBABILITY, **change}
    answers = {scan: answer for scan, answer in changed.items() if answer is not None}
    with pytest.raises(ValueError, match=reason):
        classification.pool(TRUTH, answers, "slice")


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        ({}, "no scan"),
        ({"a": np.zeros((0, 6))}, r"Scan a: labels must be \(z, 6\), not \(0, 6\)"),
        ({"a": np.zeros((2, 5))}, r"not \(2, 5\)"),
        ({"a": np.full((2, 6), 2)}, "labels must be 0 or 1"),
    ],
)
def test_wrong_labels_are_named(truth, reason):
    probability = {scan: np.zeros(np.shape(array)) for scan, array in truth.items()}
    with pytest.raises(ValueError, match=reason):
        classification.pool(truth, probability, "slice")


def test_an_unknown_level_is_named():
    with pytest.raises(ValueError, match="'patient'. Known: scan, slice"):
        classification.pool(TRUTH, PROBABILITY, "patient")


def made_up(patients, slices, runs, rng):
    """Truth and scores in which the second of two models is the better one."""
    owner = np.repeat(np.arange(patients), slices)
    truth = rng.random(len(owner)) < np.where(owner % 3 == 0, 0.4, 0.02)
    first = truth + rng.normal(0, 1.0, (runs, len(owner)))
    second = truth + rng.normal(0, 0.5, (runs, len(owner)))
    return truth, first, second, owner


def test_auc_is_that_of_scikit_learn_and_its_draws_are_too():
    """Each draw repeats the slices of the drawn patients, ties included."""
    from scipy import stats
    from sklearn import metrics

    rng = np.random.default_rng(1)
    truth, first, _, owner = made_up(12, 8, 1, rng)
    scores = np.round(first[0], 1)
    interval = auc_intervals.bootstrap_auc(
        truth, scores, owner, resampling=Resampling(50, seed=5)
    )
    assert interval.mean == pytest.approx(metrics.roc_auc_score(truth, scores))
    drawn = np.random.default_rng(5).multinomial(12, np.full(12, 1 / 12), size=50)
    expected = [
        metrics.roc_auc_score(truth, scores, sample_weight=times[owner])
        for times in drawn
    ]
    # The expanded percentiles of Hesterberg 2015 for 12 patients.
    tail = stats.norm.cdf(np.sqrt(12 / 11) * stats.t.ppf(0.025, 11))
    low, high = np.quantile(expected, [tail, 1 - tail])
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert (interval.n, interval.n_undefined) == (96, 0)


def test_the_better_model_is_found_in_the_mean_of_runs():
    rng = np.random.default_rng(2)
    truth, first, second, owner = made_up(60, 10, 3, rng)
    interval = auc_intervals.bootstrap_auc_difference(truth, first, second, owner)
    assert 0 < interval.low < interval.mean < interval.high
    means = [
        np.mean([auc_intervals.bootstrap_auc(truth, run, owner).mean for run in runs])
        for runs in (first, second)
    ]
    assert interval.mean == pytest.approx(means[1] - means[0])
    swapped = auc_intervals.bootstrap_auc_difference(truth, second, first, owner)
    assert swapped[:3] == pytest.approx((-interval.mean, -interval.high, -interval.low))


def test_a_model_does_not_differ_from_itself():
    truth, first, _, owner = made_up(20, 5, 1, np.random.default_rng(3))
    interval = auc_intervals.bootstrap_auc_difference(truth, first, first[0], owner)
    assert interval[:3] == (0.0, 0.0, 0.0)


def test_scans_of_a_patient_are_drawn_together():
    """Twins add no information to an AUC either."""
    truth, first, _, _ = made_up(40, 1, 1, np.random.default_rng(4))
    names = np.arange(40)
    once = auc_intervals.bootstrap_auc(truth, first[0], names)
    twice = auc_intervals.bootstrap_auc(
        np.repeat(truth, 2), np.repeat(first[0], 2), np.repeat(names, 2)
    )
    assert twice[:3] == pytest.approx(once[:3])


def test_networks_of_two_folds_are_not_ranked_against_each_other():
    """Each fold ranks well on a scale of its own; pooled, they would seem by chance."""
    from sklearn import metrics

    truth, first, _, owner = made_up(40, 5, 1, np.random.default_rng(6))
    fold = (owner >= 20).astype(int)
    score = first[0] + 10 * fold
    interval = auc_intervals.bootstrap_auc(truth, score, owner, folds=fold)
    pairs = [np.sum(truth[fold == k]) * np.sum(~truth[fold == k]) for k in (0, 1)]
    each = [metrics.roc_auc_score(truth[fold == k], score[fold == k]) for k in (0, 1)]
    assert interval.mean == pytest.approx(np.average(each, weights=pairs))
    assert interval.mean > auc_intervals.bootstrap_auc(truth, score, owner).mean + 0.1
    assert interval.low < interval.mean < interval.high
    # The scale of a fold changes nothing, and DeLong's and a difference agree.
    assert auc_intervals.bootstrap_auc(truth, first[0], owner, folds=fold) == interval
    closed = auc_intervals.delong_auc(truth, score, owner, folds=fold)
    assert closed[:3] == pytest.approx(interval[:3], abs=0.03)
    for difference in (
        auc_intervals.bootstrap_auc_difference,
        auc_intervals.delong_auc_difference,
    ):
        same = difference(truth, score, first[0], owner, folds=fold)
        assert same[:3] == (0.0, 0.0, 0.0)


def test_losses_of_two_models_are_compared_by_their_means():
    worse = scans(a=[0.4, 0.5, 0.4], b=[0.6, 0.5], c=[0.5, 0.5])
    by_slice = [
        classification.weighted_log_loss(classification.pool(TRUTH, answers, "slice"))
        for answers in (worse, PROBABILITY)
    ]
    patients = classification.pool(TRUTH, PROBABILITY, "slice").patients
    interval = intervals.bootstrap_mean(by_slice[1] - by_slice[0], patients)
    difference = [losses(TRUTH, answers)[1] for answers in (worse, PROBABILITY)]
    assert interval.mean == pytest.approx(difference[1] - difference[0])
    assert interval.low <= interval.mean <= interval.high


@pytest.mark.parametrize(
    ("truth", "patients", "mean"),
    [([1, 1], ["a", "b"], math.nan), ([1, 0], ["a", "a"], 1.0), ([], [], math.nan)],
)
def test_without_both_classes_or_two_patients(truth, patients, mean):
    interval = auc_intervals.bootstrap_auc(
        truth, np.arange(len(truth), 0, -1), patients
    )
    assert interval.mean == pytest.approx(mean, nan_ok=True)
    assert math.isnan(interval.low) and math.isnan(interval.high)
    expected = (0, len(truth)) if math.isnan(mean) else (len(truth), 0)
    assert (interval.n, interval.n_undefined) == expected


def test_draws_without_a_positive_are_left_out():
    interval = auc_intervals.bootstrap_auc([1, 0, 0], [0.5, 0.4, 0.6], ["a", "b", "c"])
    assert (interval.mean, interval.low, interval.high) == (0.5, 0.0, 1.0)


def test_lengths_of_scores_must_agree():
    with pytest.raises(ValueError, match="Received: 2, 3, 2"):
        auc_intervals.bootstrap_auc([1, 0], [1, 2, 3], ["a", "b"])
