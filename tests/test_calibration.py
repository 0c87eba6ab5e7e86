"""From pixel probabilities to probabilities of slices and scans."""

import numpy as np
import pytest

from ich_tf import labels
from ich_tf.prediction import calibration


def answers(share):
    """A slice of 20 x 20 pixels, 120 of which are subdural with a probability."""
    made = np.zeros((1, 20, 20, 6), np.float32)
    made[..., 0] = 1
    made[0, :6, :, 0], made[0, :6, :, 5] = 1 - share, share
    return made


def test_the_score_is_the_mean_of_the_highest_probabilities():
    scored = calibration.scores(np.concatenate([answers(0.0), answers(0.8)]))
    assert scored.shape == (2, 6)
    # 60 of the 120 pixels are the highest.
    np.testing.assert_allclose(scored[1], [0, 0, 0, 0, 0.8, 0.8], atol=1e-6)
    np.testing.assert_allclose(scored[0], 0, atol=1e-6)


def test_no_subtype_is_more_probable_than_any_hemorrhage():
    lines = np.tile([1.0, 0.0], (6, 1))
    lines[4] = 3.0, 4.0
    made = calibration.Calibration(lines, lines)
    of_slices, of_scan = made.probabilities(calibration.scores(answers(0.6)))
    subdural, bleeding = labels.index("subdural"), labels.index(labels.ANY)
    # Log-odds of 0.6 are unchanged by the line (1, 0).
    assert of_slices[0, bleeding] == pytest.approx(0.6, abs=1e-4)
    assert of_slices[0, subdural] == of_slices[0, bleeding]
    # The logarithm of the sum, log 0.6, as log-odds: 0.6 / 1.6.
    assert of_scan[bleeding] == pytest.approx(0.375, abs=1e-4)


def test_a_fitted_line_gives_the_shares_it_saw():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 2, 4000)
    truth = rng.random(4000) < 1 / (1 + np.exp(-(1.5 * values - 0.5)))
    slope, intercept = calibration.fit_line(values, truth)
    assert slope == pytest.approx(1.5, abs=0.15)
    assert intercept == pytest.approx(-0.5, abs=0.15)


def test_truth_of_one_kind_gives_its_share():
    # 3 of 3 are false: odds of one more of each, 1 to 4.
    slope, intercept = calibration.fit_line(np.arange(3.0), np.zeros(3, bool))
    assert slope == 0 and intercept == pytest.approx(np.log(1 / 4))


def test_a_file_returns_what_was_saved_and_damage_is_named(tmp_path):
    path = tmp_path / "calibration.json"
    made = calibration.Calibration(np.full((6, 2), 0.5), np.full((6, 2), 0.25))
    calibration.save(path, made, "painted scans")
    read = calibration.load(path)
    np.testing.assert_array_equal(read.slices, made.slices)
    np.testing.assert_array_equal(read.scan, made.scan)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="calibration.json"):
        calibration.load(path)
