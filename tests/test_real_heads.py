"""One network answers mask, subtypes, probabilities and out-of-distribution checks."""

import dataclasses

import numpy as np
import pytest
from small_network import bright
from small_network import with_subtypes as network

from ich_tf import labels
from ich_tf.metrics.operating_point import OperatingPoint
from ich_tf.models import shipping
from ich_tf.prediction import calibration, real_heads
from ich_tf.volume import Case, Volume

NAME = "small"


@pytest.fixture
def case():
    """Three slices of 64 x 48 pixels; the middle one has a bright square."""
    hu = np.full((3, 64, 48), -20.0, np.float32)
    hu[:, 8:56, 8:40] = 30
    hu[1, 24:40, 16:32] = 90
    return Case("a", "a", Volume(hu, None, None, None))


@pytest.mark.parametrize("head_box", [False, True])
def test_probabilities_of_voxels_sum_to_one_on_the_cases_own_grid(case, head_box):
    answer = network(head_box=head_box).segment(case)
    assert answer.subtypes.shape == (3, 64, 48, 6)
    np.testing.assert_allclose(answer.subtypes.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(answer.hemorrhage, 1 - answer.subtypes[..., 0])
    inside, outside = answer.hemorrhage[1, 28, 24], answer.hemorrhage[1, 12, 12]
    assert inside > outside


@pytest.mark.parametrize(("height", "width"), [(32, 24), (64, 64), (100, 80)])
def test_a_scan_may_have_fewer_pixels_than_the_network_sees(height, width):
    hu = np.full((2, height, width), 30.0, np.float32)
    hu[0, height // 4 : height // 2, width // 4 : width // 2] = 90
    answer = network().segment(Case("a", "a", Volume(hu, None, None, None)))
    assert answer.subtypes.shape == (2, height, width, 6)
    np.testing.assert_allclose(answer.subtypes.sum(axis=-1), 1, atol=1e-5)
    middle = answer.hemorrhage[0, 3 * height // 8, 3 * width // 8]
    assert middle > answer.hemorrhage[0, 3 * height // 4, 3 * width // 4]


def test_a_label_map_names_the_most_probable_subtype(case):
    answer = network().segment(case)
    answer.subtypes[1, 30, 30] = 0.1, 0, 0, 0, 0, 0.9
    mapped = network().label_map(answer, OperatingPoint(0.5))
    assert mapped.shape == (3, 64, 48) and mapped.dtype == np.uint8
    assert mapped[1, 30, 30] == labels.SUBTYPES.index("subdural") + 1


def test_a_network_of_one_class_shares_it_among_the_subtypes(case):
    answer = network("sigmoid", 1).segment(case)
    assert not answer.knows_subtypes
    share = answer.hemorrhage[..., np.newaxis] / 5
    np.testing.assert_allclose(
        answer.subtypes[..., 1:], np.repeat(share, 5, axis=-1), atol=1e-6
    )


def test_probabilities_come_from_the_scores(case):
    made = network()
    answer = made.segment(case)
    found = made.probabilities(answer)
    assert found.slices.shape == (3, 6) and found.scan.shape == (6,)
    # Lines of slope 1 and intercept 0 leave the score of any hemorrhage as it is.
    np.testing.assert_allclose(found.slices[:, -1], answer.scores[:, -1], atol=1e-4)


def test_a_slice_below_the_slice_threshold_has_no_mask(case):
    made = network()
    answer = made.segment(case)
    answer.subtypes[...] = 1, 0, 0, 0, 0, 0
    answer.subtypes[:2, 30, 30] = 0, 1, 0, 0, 0, 0
    # Lines of slope 1 and intercept 0: the probability is the score.
    answer.scores[...] = np.array([0.19, 0.2, 0.9])[:, np.newaxis]
    marked = made.marked(answer, OperatingPoint(0.5, 0.2))
    assert np.argwhere(marked).tolist() == [[1, 30, 30]]
    everything = made.marked(answer, OperatingPoint(0.5, 0.0))
    assert np.argwhere(everything).tolist() == [[0, 30, 30], [1, 30, 30]]
    without = dataclasses.replace(made, calibration=None)
    np.testing.assert_array_equal(
        without.marked(answer, OperatingPoint(0.5, 0.2)), everything
    )


def test_the_operating_point_is_that_of_the_manifest():
    made = network()
    assert made.operating_point == OperatingPoint(0.5, 0.0)
    chosen = {**made.entry["preprocessing"], "threshold": 0.4, "slice_threshold": 0.3}
    entry = {**made.entry, "preprocessing": chosen}
    changed = dataclasses.replace(made, entry=entry)
    assert changed.operating_point == OperatingPoint(0.4, 0.3)


def test_shipped_weights_are_loaded_with_what_lies_beside_them(case, tmp_path):
    model, arguments = bright("subtypes", 3)
    entry = {
        "build": {"name": "unetplusplus", "kwargs": arguments},
        "preprocessing": network().entry["preprocessing"],
        "trained_on": "nothing",
        "metric": "none",
    }
    lines = np.tile([2.0, 1.0], (6, 1))
    fitted = calibration.Calibration(lines, lines)

    def write(path):
        calibration.save(path, fitted, "nothing")

    shipping.ship(model, NAME, tmp_path, entry, {real_heads.CALIBRATION: write})
    loaded = real_heads.load(tmp_path, NAME)
    assert loaded.knows_subtypes and loaded.likeness is None
    np.testing.assert_array_equal(loaded.calibration.slices, lines)
    np.testing.assert_allclose(
        loaded.segment(case).hemorrhage, network().segment(case).hemorrhage, atol=1e-5
    )
