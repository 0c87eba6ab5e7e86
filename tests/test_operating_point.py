"""The choice of two thresholds, on scans small enough to work out by hand."""

import dataclasses

import numpy as np
import pytest

from ich_tf.metrics import operating_point
from ich_tf.metrics.operating_point import OperatingPoint, ScanCounts


def scan(patient, truth_ml, of_low, of_high):
    """Slices with probabilities 0.15, 0.25 and 0.9; the last one bleeds.

    Thresholds up to 0.5 mark `of_low` pixels of each slice, the others `of_high`.
    """
    pixels = {
        threshold: np.array(of_low if threshold <= 0.5 else of_high)
        for threshold in operating_point.THRESHOLDS
    }
    bleeds = np.array([False, False, True])
    probability = np.array([0.15, 0.25, 0.9])
    return ScanCounts(patient, bleeds, probability, pixels, 0.01, truth_ml)


def test_a_slice_threshold_separates_and_a_threshold_fits_the_volume():
    # From 0.3 on no clean slice is positive, and the bleeding one always is: 0.3 is
    # the lowest with sensitivity and specificity 1. Then 300 pixels are 3 ml, 100 are
    # 1 ml: the truth of 1.2 ml takes the lowest threshold that marks 100.
    scans = [scan("1", 1.2, [50, 60, 300], [5, 6, 100])]
    assert operating_point.choose(scans) == OperatingPoint(0.6, 0.3)
    scans = [scan("1", 2.9, [50, 60, 300], [5, 6, 100])]
    assert operating_point.choose(scans) == OperatingPoint(0.3, 0.3)


def test_a_missed_slice_counts_as_much_as_all_clean_ones():
    # Bleeding slices at 0.15 and 0.9, a clean one at 0.25. Sensitivity plus
    # specificity - 1: 0 up to 0.1, -0.5 at 0.2, 0.5 at 0.3 and above.
    one = scan("1", 1.0, [1, 1, 1], [1, 1, 1])
    one = dataclasses.replace(one, bleeds=np.array([True, False, True]))
    assert operating_point.choose([one]).slice_threshold == 0.3


def test_pixels_of_quiet_slices_do_not_count():
    given = scan("1", 1.0, [50, 60, 70], [0, 0, 0])
    assert given.error_ml(OperatingPoint(0.5, 0.2)) == pytest.approx(0.3)  # 1.3 - 1
    assert given.error_ml(OperatingPoint(0.5, 0.3)) == pytest.approx(0.3)  # 1 - 0.7
    assert given.error_ml(OperatingPoint(0.7, 0.3)) == pytest.approx(1.0)
    unknown = dataclasses.replace(given, truth_ml=None)
    assert unknown.error_ml(OperatingPoint(0.5, 0.2)) is None


def test_each_half_is_scored_by_the_choice_of_the_other():
    odd = scan("1", 3.0, [50, 60, 300], [5, 6, 100])  # takes 0.3
    even = scan("2", 1.0, [50, 60, 300], [5, 6, 100])  # takes 0.6
    report = operating_point.report([odd, even])
    assert (report["odd"]["threshold"], report["even"]["threshold"]) == (0.3, 0.6)
    assert report["odd"]["score"]["error_ml"]["mean"] == pytest.approx(2.0)
    assert report["even"]["score"]["error_ml"]["mean"] == pytest.approx(2.0)
    assert report["odd"]["score"]["sensitivity"]["mean"] == 1.0
    assert report["odd"]["score"]["specificity"]["mean"] == 1.0
    alone = operating_point.report([odd])
    assert alone["odd"] is alone["even"] is None


def test_slices_of_one_kind_choose_nothing():
    clean = dataclasses.replace(
        scan("1", 0.0, [0, 0, 0], [0, 0, 0]), bleeds=np.zeros(3, bool)
    )
    with pytest.raises(ValueError, match="with and without"):
        operating_point.choose([clean])
