"""Masks drawn by hand, and the numbers that follow from them."""

import json
import math

import numpy as np
import pytest

from ich_tf import metrics

HSSAYENI = metrics.PROTOCOLS["hssayeni2020"]
PUBLISHED = metrics.PROTOCOLS["hssayeni2020_published"]
PER_VOLUME = metrics.PROTOCOLS["per_volume"]
POOLED = metrics.PROTOCOLS["pooled"]


def mask(slices, rows=(0, 0), columns=(0, 0), size=512):
    """A volume with one rectangle; `slices` is a count and the filled ones."""
    count, filled = slices
    drawn = np.zeros((count, size, size), bool)
    for index in filled:
        drawn[index, slice(*rows), slice(*columns)] = True
    return drawn


def counted(truth, prediction, protocol, patient="049", pixel_ml=None):
    return metrics.case_counts(
        truth,
        prediction,
        protocol,
        pixel_ml,
        case_id=f"case-{patient}",
        patient_id=patient,
    )


@pytest.fixture
def two_squares():
    """40x40 in slices 0 and 1; the prediction is shifted by half, misses slice 1,
    and has a false 30x30 in slice 2 of 4."""
    truth = mask((4, [0, 1]), (100, 140), (100, 140))
    prediction = mask((4, [0]), (100, 140), (120, 160))
    prediction |= mask((4, [2]), (300, 330), (300, 330))
    return truth, prediction


def test_counts_are_kept_for_each_slice(two_squares):
    counts = counted(*two_squares, PER_VOLUME, pixel_ml=np.full(4, 0.001))
    assert counts["tp"] == [800, 0, 0, 0]
    assert counts["fp"] == [800, 0, 900, 0]
    assert counts["fn"] == [800, 1600, 0, 0]
    assert counts["tn"] == [512**2 - 2400, 512**2 - 1600, 512**2 - 900, 512**2]
    assert (counts["truth_pixels"], counts["predicted_pixels"]) == (3200, 2500)
    assert counts["truth_ml"] == pytest.approx(3.2)
    assert counts["predicted_ml"] == pytest.approx(2.5)
    assert json.loads(json.dumps(counts, allow_nan=False)) == counts


def test_volumes_follow_uneven_slices(two_squares):
    pixel_ml = np.array([0.001, 0.003, 0.002, 0.001])
    counts = counted(*two_squares, PER_VOLUME, pixel_ml=pixel_ml)
    assert counts["truth_ml"] == pytest.approx(1.6 + 4.8)
    assert counts["predicted_ml"] == pytest.approx(1.6 + 1.8)
    scores = metrics.case_scores(counts, PER_VOLUME)
    assert scores["volume_error_ml"] == pytest.approx(-3.0)
    assert scores["absolute_volume_error_ml"] == pytest.approx(3.0)


def test_without_spacing_volumes_are_undefined(two_squares):
    counts = counted(*two_squares, PER_VOLUME)
    assert counts["truth_ml"] is None and counts["predicted_ml"] is None
    scores = metrics.case_scores(counts, PER_VOLUME)
    assert math.isnan(scores["volume_error_ml"])
    assert math.isnan(scores["false_positive_ml"])


def test_overlap_of_a_subject_is_the_mean_over_slices_with_truth(two_squares):
    scores = metrics.case_scores(counted(*two_squares, HSSAYENI), HSSAYENI)
    assert scores["dice"] == pytest.approx((1600 / 3200 + 0) / 2)
    assert scores["jaccard"] == pytest.approx((800 / 2400 + 0) / 2)


def test_overlap_of_a_volume_counts_all_voxels_together(two_squares):
    scores = metrics.case_scores(counted(*two_squares, PER_VOLUME), PER_VOLUME)
    assert scores["dice"] == pytest.approx(1600 / 5700)
    assert scores["jaccard"] == pytest.approx(800 / 4900)


ALIKE = metrics.PROTOCOLS["hssayeni2020_alike"]


@pytest.mark.parametrize(
    ("pixels", "protocol", "sensitivity", "specificity"),
    [
        (1, HSSAYENI, 1 / 2, 1 / 2),
        (2, HSSAYENI, 1 / 3, 0),
        (400, HSSAYENI, 1 / 3, 0),
        (2, PUBLISHED, 1 / 3, 1 / 3),
        (400, ALIKE, 1 / 2, 1 / 2),
        (401, ALIKE, 1 / 3, 0),
    ],
)
def test_limits_of_detection_in_truth(
    two_squares, pixels, protocol, sensitivity, specificity
):
    """Slice 3 gets a few true pixels, slices 0 to 2 hold 1600, 1600 and none.

    [2]'s masks of truth hold 0 and 255 and its predictions 0 and 1, both with more than
    400 asked for: 1 x 255 is too little, 2 x 255 = 510 is enough. Predicted are slices
    0 (1600 pixels) and 2 (900). If slice 3 is positive, 1 of 3 positive slices is
    predicted and the only negative one, slice 2, too; if not, it is 1 of 2 and 1 of 2.
    """
    truth, prediction = two_squares
    truth[3].flat[:pixels] = True
    scores = metrics.case_scores(counted(truth, prediction, protocol), protocol)
    assert scores["sensitivity"] == pytest.approx(sensitivity)
    assert scores["specificity"] == pytest.approx(specificity)


@pytest.mark.parametrize("protocol", [HSSAYENI, PUBLISHED, ALIKE])
@pytest.mark.parametrize(("pixels", "sensitivity"), [(400, 1 / 2), (401, 1)])
def test_limit_of_detection_in_the_prediction(protocol, pixels, sensitivity):
    """Two true slices, predicted with 1600 and with 400 (too few) or 401 pixels."""
    truth = mask((2, [0, 1]), (100, 140), (100, 140))
    prediction = mask((2, [0]), (100, 140), (100, 140))
    prediction[1].flat[:pixels] = True
    scores = metrics.case_scores(counted(truth, prediction, protocol), protocol)
    assert scores["sensitivity"] == sensitivity


def test_detection_counts_every_pixel_elsewhere(two_squares):
    truth, prediction = two_squares
    truth[3, 0, 0] = True
    scores = metrics.case_scores(counted(truth, prediction, PER_VOLUME), PER_VOLUME)
    assert scores["sensitivity"] == pytest.approx(1 / 3)
    assert scores["specificity"] == 0


def test_published_specificity_repeats_the_sensitivity(two_squares):
    scores = metrics.case_scores(counted(*two_squares, PUBLISHED), PUBLISHED)
    assert scores["sensitivity"] == scores["specificity"] == 1 / 2
    honest = metrics.case_scores(counted(*two_squares, HSSAYENI), HSSAYENI)
    assert honest["specificity"] == 1 / 2
    truth, prediction = two_squares
    prediction[2] = False
    scores = metrics.case_scores(counted(truth, prediction, PUBLISHED), PUBLISHED)
    assert (scores["sensitivity"], scores["specificity"]) == (1 / 2, 1 / 2)
    honest = metrics.case_scores(counted(truth, prediction, HSSAYENI), HSSAYENI)
    assert (honest["sensitivity"], honest["specificity"]) == (1 / 2, 1)


EMPTY = ((2, []),)
SQUARE = ((2, [0]), (10, 50), (10, 50))


@pytest.mark.parametrize(
    ("protocol", "truth", "prediction", "expected"),
    [
        ("hssayeni2020", EMPTY, EMPTY, math.nan),
        ("hssayeni2020", EMPTY, SQUARE, math.nan),
        ("hssayeni2020", SQUARE, EMPTY, 0.0),
        ("hssayeni2020", SQUARE, SQUARE, 1.0),
        ("per_volume", EMPTY, EMPTY, math.nan),
        ("per_volume", EMPTY, SQUARE, 0.0),
        ("per_volume", SQUARE, EMPTY, 0.0),
        ("per_volume", SQUARE, SQUARE, 1.0),
        ("pooled", EMPTY, EMPTY, math.nan),
        ("pooled", EMPTY, SQUARE, 0.0),
    ],
)
def test_empty_masks_by_protocol(protocol, truth, prediction, expected):
    protocol = metrics.protocol(protocol)
    counts = counted(mask(*truth), mask(*prediction), protocol)
    scores = metrics.case_scores(counts, protocol)
    for name in ("dice", "jaccard"):
        assert scores[name] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("protocol", [PER_VOLUME, POOLED, HSSAYENI])
@pytest.mark.parametrize("seed", range(5))
def test_jaccard_is_dice_over_two_minus_dice(protocol, seed):
    generator = np.random.default_rng(seed)
    truth, prediction = generator.random((2, 1, 32, 32)) > generator.random()
    scores = metrics.case_scores(counted(truth, prediction, protocol), protocol)
    assert 0 < scores["dice"] < 1
    assert scores["jaccard"] == pytest.approx(scores["dice"] / (2 - scores["dice"]))


class TestSummary:
    """Three heads: half overlap, nothing found, a false alarm; one empty head."""

    def cases(self, protocol, patients=("049", "050", "051", "052")):
        square = mask((2, [0]), (0, 40), (0, 40))
        shifted = mask((2, [0]), (0, 40), (20, 60))
        small = mask((2, [0]), (0, 30), (0, 30))
        nothing = mask((2, []))
        pairs = [(square, shifted), (small, nothing), (nothing, small)]
        pairs.append((nothing, nothing))
        return [
            counted(truth, prediction, protocol, patient, np.full(2, 0.01))
            for (truth, prediction), patient in zip(pairs, patients, strict=True)
        ]

    def test_hssayeni_averages_subjects_with_truth(self):
        summary = metrics.summarise(self.cases(HSSAYENI), HSSAYENI)
        assert summary["dice"] == {"mean": 0.25, "n": 2, "n_undefined": 2}
        assert summary["jaccard"]["mean"] == pytest.approx(1 / 6)
        assert summary["sensitivity"] == {"mean": 0.5, "n": 2, "n_undefined": 2}
        assert summary["specificity"]["mean"] == pytest.approx(5 / 6)

    def test_per_volume_averages_volumes(self):
        summary = metrics.summarise(self.cases(PER_VOLUME), PER_VOLUME)
        assert summary["dice"]["mean"] == pytest.approx(0.5 / 3)
        assert (summary["dice"]["n"], summary["dice"]["n_undefined"]) == (3, 1)
        assert summary["bleeding_dice"] == {"mean": 0.25, "n": 2, "n_undefined": 2}
        assert summary["false_positive_ml"] == {
            "mean": pytest.approx(4.5),
            "n": 2,
            "n_undefined": 2,
        }
        assert summary["volume_error_ml"]["mean"] == pytest.approx(0)
        assert summary["absolute_volume_error_ml"]["mean"] == pytest.approx(4.5)

    def test_pooled_counts_all_voxels(self):
        summary = metrics.summarise(self.cases(POOLED), POOLED)
        assert summary["dice"]["mean"] == pytest.approx(1600 / (3200 + 1800))
        assert summary["jaccard"]["mean"] == pytest.approx(800 / (2400 + 1800))

    def test_nothing_defined_is_nan(self):
        summary = metrics.summarise(self.cases(HSSAYENI)[3:], HSSAYENI)
        assert math.isnan(summary["dice"]["mean"])
        assert (summary["dice"]["n"], summary["dice"]["n_undefined"]) == (0, 1)

    def test_patient_70_counts_in_slice_detection_only(self):
        cases = self.cases(HSSAYENI, ("070", "050", "051", "052"))
        summary = metrics.summarise(cases, HSSAYENI)
        assert summary["excluded"] == ["case-070"]
        assert summary["dice"] == {"mean": 0.0, "n": 1, "n_undefined": 2}
        assert summary["sensitivity"]["mean"] == 0.5

    def test_other_data_has_no_excluded_patients(self):
        cases = self.cases(HSSAYENI, ("070", "050", "051", "052"))
        summary = metrics.summarise(cases, HSSAYENI, ct_ich=False)
        assert (summary["excluded"], summary["dice"]["mean"]) == ([], 0.25)
        cases = self.cases(PER_VOLUME, ("070", "050", "051", "052"))
        assert metrics.summarise(cases, PER_VOLUME)["dice"]["n"] == 3

    def test_published_code_never_scores_the_last_patients(self):
        cases = self.cases(PUBLISHED, ("124", "123", "051", "phantom-130"))
        summary = metrics.summarise(cases, PUBLISHED)
        assert summary["excluded"] == ["case-124"]
        assert summary["dice"] == {"mean": 0.0, "n": 1, "n_undefined": 2}
        cases = self.cases(HSSAYENI, ("124", "123", "051", "130"))
        assert metrics.summarise(cases, HSSAYENI)["excluded"] == []

    def test_with_82_subjects_it_scores_all(self):
        """They have the numbers 59 to 65, which the 75 of 1.3.1 leave out."""
        cases = self.cases(PUBLISHED, ("124", "060", "051", "130"))
        assert metrics.summarise(cases, PUBLISHED)["excluded"] == []

    def test_slices_of_one_subject_are_averaged_first(self):
        cases = self.cases(HSSAYENI, ("049", "049", "051", "052"))
        more = self.cases(HSSAYENI, ("053", "054", "055", "056"))[:1]
        summary = metrics.summarise(cases + more, HSSAYENI)
        assert summary["dice"]["mean"] == pytest.approx((0.25 + 0.5) / 2)
        assert summary["dice"]["n"] == 2

    def test_terms_are_what_a_summary_sums(self):
        tops, bottoms, patients = metrics.terms(
            self.cases(POOLED), POOLED, "sensitivity"
        )
        assert (tops, bottoms) == ([1, 0, 0, 0], [1, 1, 0, 0])
        assert patients == ["049", "050", "051", "052"]


class TestBinarise:
    def test_threshold_is_above_one_half(self):
        probability = np.array([[[0.5, 0.51], [0.49, 1.0]]], np.float32)
        mask = metrics.binarise(probability, PER_VOLUME)
        assert mask.tolist() == [[[False, True], [False, True]]]

    def test_published_threshold_is_129_of_255(self):
        probability = np.zeros((1, 512, 512), np.float32)
        probability[0, :100, :100] = 128 / 255
        probability[0, 200:300, 200:300] = 129 / 255
        honest = metrics.binarise(probability, HSSAYENI)
        published = metrics.binarise(probability, PUBLISHED)
        assert honest[0, 50, 50] and honest[0, 250, 250]
        assert not published[0, 50, 50] and published[0, 250, 250]

    def square(self, rows, columns):
        return mask((1, [0]), rows, columns).astype(np.float32)

    def test_closing_fills_gaps_up_to_9_pixels(self):
        left, near, far = (
            self.square((100, 120), columns)
            for columns in ((100, 120), (129, 149), (130, 150))
        )
        assert metrics.binarise(left + near, HSSAYENI)[0, 110, 100:149].all()
        apart = metrics.binarise(left + far, HSSAYENI)
        np.testing.assert_array_equal(apart, left + far > 0.5)

    def test_opening_removes_what_is_narrower_than_5_pixels(self):
        thin = metrics.binarise(self.square((100, 104), (100, 150)), HSSAYENI)
        thick = self.square((100, 105), (100, 150))
        assert not thin.any()
        np.testing.assert_array_equal(metrics.binarise(thick, HSSAYENI), thick > 0.5)

    def test_closing_neither_moves_nor_cuts_at_the_border(self):
        for place in ((0, 20), (492, 512), (250, 270)):
            square = self.square(place, place)
            mask = metrics.binarise(square, HSSAYENI)
            np.testing.assert_array_equal(mask, square > 0.5)

    def test_published_closing_moves_by_a_pixel(self):
        mask = metrics.binarise(self.square((100, 120), (200, 220)), PUBLISHED)
        expected = self.square((101, 121), (201, 221)) > 0.5
        np.testing.assert_array_equal(mask, expected)

    def test_published_closing_is_opencvs(self):
        import cv2

        noise = np.random.default_rng(0).random((1, 128, 128)) > 0.9
        shape = dict(kernel=np.ones((10, 10), np.uint8))
        expected = cv2.morphologyEx(noise[0].astype(np.uint8), cv2.MORPH_CLOSE, **shape)
        shape = dict(kernel=np.ones((5, 5), np.uint8))
        expected = cv2.morphologyEx(expected, cv2.MORPH_OPEN, **shape)
        mask = metrics.binarise(
            np.pad(noise, ((0, 0), (192, 192), (192, 192))).astype(np.float32),
            PUBLISHED,
        )
        inside = (slice(202, 310), slice(202, 310))
        np.testing.assert_array_equal(mask[0][inside], expected[10:118, 10:118])

    def test_closing_is_the_morphological_one(self):
        from scipy import ndimage

        noise = np.random.default_rng(0).random((1, 512, 512)) > 0.95
        expected = ndimage.binary_opening(
            ndimage.binary_closing(noise[0], np.ones((10, 10))), np.ones((5, 5))
        )
        mask = metrics.binarise(noise.astype(np.float32), HSSAYENI)[0]
        inside = (slice(20, -20), slice(20, -20))
        np.testing.assert_array_equal(mask[inside], expected[inside])
        assert 0.1 < mask.mean() < 0.9

    def test_lengths_scale_with_the_slice(self):
        half = HSSAYENI.scaled(256)
        assert (half.closing, half.opening) == (5, 3)
        assert half.scaled(256) == half
        quarter = HSSAYENI.scaled(128)
        assert (quarter.closing, quarter.opening) == (3, 1)
        assert PER_VOLUME.scaled(64).closing == 0
        small = np.zeros((1, 256, 256), np.float32)
        small[0, 10:40, 10:40] = small[0, 10:40, 44:60] = 1
        assert metrics.binarise(small, HSSAYENI)[0, 20, 10:60].all()

    @pytest.mark.parametrize(
        ("size", "truth", "predicted"), [(512, 1, 400), (256, 0, 100), (64, 0, 6)]
    )
    def test_limits_of_detection_scale_with_the_area(self, size, truth, predicted):
        """400 / 4 = 100 and 400 / 64 = 6.25; 1 / 4 of a pixel rounds to none."""
        rule = HSSAYENI.scaled(size)
        assert rule.truth_detection_pixels == truth
        assert rule.predicted_detection_pixels == predicted
        assert ALIKE.scaled(size).truth_detection_pixels == predicted

    @pytest.mark.parametrize(
        "probability",
        [np.full((1, 2, 2), 1.5), np.full((1, 2, 2), np.nan), np.full((1, 2, 2), -0.1)],
    )
    def test_what_is_no_probability_is_refused(self, probability):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            metrics.binarise(probability, PER_VOLUME)

    def test_bytes_are_refused(self):
        with pytest.raises(ValueError, match="divide bytes by 255.*uint8"):
            metrics.binarise(np.zeros((1, 2, 2), np.uint8), PER_VOLUME)


def test_masks_must_be_bool_and_alike():
    good = mask((2, [0]), (0, 4), (0, 4))
    with pytest.raises(
        ValueError, match="Case case-049: `truth` must be a bool.*uint8"
    ):
        counted(good.astype(np.uint8), good, PER_VOLUME)
    with pytest.raises(ValueError, match="`prediction` must be a bool"):
        counted(good, good[0], PER_VOLUME)
    with pytest.raises(ValueError, match=r"\(2, 512, 512\), the prediction \(1, 512"):
        counted(good, good[:1], PER_VOLUME)


def test_counts_of_another_rule_are_refused(two_squares):
    counts = counted(*two_squares, PER_VOLUME)
    assert metrics.case_scores(counts, POOLED)["dice"] == pytest.approx(1600 / 5700)
    with pytest.raises(
        ValueError, match="hssayeni2020 makes its masks by.*Count again"
    ):
        metrics.summarise([counts], HSSAYENI)


def test_unknown_names_list_the_known_ones(two_squares):
    with pytest.raises(
        ValueError, match="'nnunet'. Known: hssayeni2020, hssayeni2020_"
    ):
        metrics.protocol("nnunet")
    with pytest.raises(ValueError, match="'iou'. Known: jaccard, dice"):
        metrics.terms([counted(*two_squares, POOLED)], POOLED, "iou")


def test_protocols_know_their_names():
    assert [protocol.name for protocol in metrics.PROTOCOLS.values()] == list(
        metrics.PROTOCOLS
    )


@pytest.mark.parametrize(
    ("empty", "dice"),
    [("skip", 1 / 4), ("nan", 1 / 6), ("zero", 1 / 8), ("one", 3 / 8)],
)
@pytest.mark.parametrize("unit", ["slice", "subject"])
def test_slices_without_truth_count_as_the_protocol_says(
    two_squares, unit, empty, dice
):
    """Dice of the four slices: 1/2, 0, 0 (a false alarm) and empty against empty."""
    protocol = metrics.Protocol("", "", unit=unit, empty=empty)
    counts = counted(*two_squares, protocol)
    assert metrics.case_scores(counts, protocol)["dice"] == pytest.approx(dice)
    score = metrics.summarise([counts], protocol)["dice"]
    assert score["mean"] == pytest.approx(dice)
