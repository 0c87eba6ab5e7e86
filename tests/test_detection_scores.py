"""Scores of labelled slices by class: areas under curves, false area, calibration."""

import numpy as np
import pytest

from ich_tf import labels
from ich_tf.data import ct_ich_release
from ich_tf.metrics import detection

ANY = labels.index(labels.ANY)


def record(bleeds, scores, pixels, probabilities=None):
    """Slices with subdural blood or none; scores and probabilities of both classes."""
    rows = np.zeros((len(bleeds), 6), int)
    rows[:, [labels.index("subdural"), ANY]] = np.array(bleeds)[:, None]
    scored = np.zeros((len(bleeds), 6))
    scored[:, [labels.index("subdural"), ANY]] = np.array(scores)[:, None]
    calibrated = None
    if probabilities is not None:
        calibrated = np.zeros((len(bleeds), 6))
        calibrated[:, ANY] = probabilities
        calibrated = calibrated.tolist()
    return {
        "truth": list(bleeds),
        "labels": rows.tolist(),
        "scores": scored.tolist(),
        "pixels": list(pixels),
        "pixel_mm2": 0.5,
        "probabilities": calibrated,
        "volume_ml": None,
    }


@pytest.fixture
def cases():
    return {
        "a": record([1, 0], [0.9, 0.2], [40, 4], [0.8, 0.2]),
        "b": record([0, 0], [0.3, 0.1], [0, 8], [0.2, 0.05]),
        "c": record([1, 0], [0.25, 0.0], [2, 0], [0.6, 0.05]),
    }


def test_areas_under_curves_by_class(cases):
    scored = detection.auc_by_class(cases)
    # Positives 0.9, 0.25 against 0.2, 0.3, 0.1, 0: seven of eight pairs are won.
    assert scored["subdural"]["slice"]["mean"] == pytest.approx(7 / 8)
    # Sums of patients: 1.1 and 0.25 against 0.4: one of two pairs.
    assert scored[labels.ANY]["patient"]["mean"] == pytest.approx(1 / 2)
    assert scored["epidural"]["slice"]["mean"] is None


def test_false_area_is_of_clean_slices_alone(cases):
    # 4, 0, 8 and 0 pixels of half a square millimetre in four clean slices.
    assert detection.false_mm2(cases)["mean"] == pytest.approx(12 * 0.5 / 4)


def test_the_calibration_curve_compares_probability_and_share(cases):
    found = detection.calibration(cases)
    by_bin = {row["from"]: row for row in found["curve"]}
    assert by_bin[0.1]["mean"] == pytest.approx(0.2)
    assert by_bin[0.1]["share"]["mean"] == 0
    assert by_bin[0.7]["share"]["mean"] == 1
    # Distances 0.05 (2 slices), 0.2 (2), 0.4 (1) and 0.2 (1), of six slices.
    assert found["error"] == pytest.approx((0.1 + 0.4 + 0.4 + 0.2) / 6, abs=1e-4)


def test_without_probabilities_there_is_no_calibration(cases):
    cases["a"]["probabilities"] = None
    assert detection.calibration(cases) is None
    assert detection.score(cases)["calibration"] is None


def test_marked_volumes_are_compared_with_known_ones(cases):
    assert detection.volume(cases) is None
    cases["a"]["volume_ml"] = {"truth": 10.0, "marked": 6.0}
    cases["b"]["volume_ml"] = {"truth": 0.0, "marked": 1.0}  # It does not bleed.
    cases["c"]["volume_ml"] = {"truth": 2.0, "marked": 3.0}
    compared = detection.volume(cases)
    # (6 + 3) / (10 + 2), and (4 + 1) / 2.
    assert compared["share"]["mean"] == pytest.approx(0.75)
    assert compared["error_ml"]["mean"] == pytest.approx(2.5)
    assert list(compared["patients"]) == ["a", "c"]


def test_published_voxels_and_marked_pixels_have_one_unit():
    # Patient 049: 6178 voxels of 0.41210938 x 0.41210938 x 5 mm.
    scan = ct_ich_release.published_scans()["049"]
    assert scan.truth_ml == pytest.approx(6178 * 0.41210938**2 * 5 / 1000)
    # A slice of 256 pixels has four voxels in each pixel.
    assert scan.marked_ml(6178 // 2, 256) == pytest.approx(2 * scan.truth_ml)
