import cv2
import numpy as np
import pytest

from ich_tf.preprocessing import windows
from ich_tf.preprocessing.classification import images
from ich_tf.preprocessing.windows import Window


@pytest.mark.parametrize(
    ("hu", "expected"),
    [(-1000, 0.0), (0, 0.0), (20, 0.25), (40, 0.5), (80, 1.0), (3000, 1.0)],
)
def test_brain_window_40_80(hu, expected):
    scaled = windows.apply(np.array([hu], np.float32), [Window(40, 80)])
    np.testing.assert_array_equal(scaled, [[expected]])


def test_the_windows_of_the_report():
    bounds = {
        task: [window.bounds_hu for window in named.values()]
        for task, named in windows.WINDOWS.items()
    }
    assert bounds == {
        "segmentation": [(-20, 100), (-20, 180), (-150, 230)],
        "classification": [(0, 80), (-20, 180), (-150, 230)],
    }


def test_integers_and_the_input_stay_as_they_are():
    hu = np.array([[-20, 40], [100, 2000]], np.int16)
    scaled = windows.apply(hu, [Window(40, 120), Window(40, 380)])
    np.testing.assert_array_equal(hu, [[-20, 40], [100, 2000]])
    assert scaled.dtype == np.float32 and scaled.shape == (2, 2, 2)
    np.testing.assert_array_equal(scaled[..., 0], [[0, 0.5], [1, 1]])
    np.testing.assert_allclose(scaled[..., 1], [[130 / 380, 0.5], [250 / 380, 1]])


def test_approach_1_copies_one_window():
    hu = np.array([[[-20, 10, 40, 100]]], np.float32)
    single = windows.channels(hu, "approach1", 1)
    three = windows.channels(hu, "approach1", 3)
    np.testing.assert_array_equal(single[..., 0], [[[0, 0.25, 0.5, 1]]])
    np.testing.assert_array_equal(three, np.repeat(single, 3, axis=-1))


def test_approach_2_has_brain_subdural_and_soft_tissue():
    hu = np.array([40.0, 80.0], np.float32)
    np.testing.assert_allclose(
        windows.channels(hu, "approach2", 3),
        [[0.5, 0.3, 0.5], [100 / 120, 0.5, 230 / 380]],
        rtol=1e-6,
    )


def test_approach_2_needs_three_channels():
    with pytest.raises(ValueError, match="3 channels.*takes 1.*approach1"):
        windows.channels(np.zeros((1, 1)), "approach2", 1)


@pytest.mark.parametrize("size", [32, 24, 64, 48])
def test_images_as_bytes_are_the_exact_ones_within_half_a_step(size):
    hu = np.random.default_rng(0).normal(40, 120, (2, 64, 64)).astype(np.float32)
    exact = np.stack(
        [
            cv2.resize(windows.apply(plane, images.WINDOWS, np.float64), (size, size))
            for plane in hu
        ]
    )
    shown = images.slice_images(hu, size)
    np.testing.assert_allclose(shown, exact, atol=1e-6)
    stored = images.slice_images(hu, size, dtype=np.uint8)
    assert stored.dtype == np.uint8 and stored.min() == 0 and stored.max() == 255
    assert np.abs(stored / 255 - exact).max() <= 1 / 510 + 1e-6


def test_an_unknown_approach_lists_the_known_ones():
    with pytest.raises(ValueError, match="'approach3'. Known: approach1, approach2"):
        windows.channels(np.zeros((1, 1)), "approach3", 3)


def test_only_approach_2_refuses_the_brain_window_jpg():
    brain_jpg = (-20.0, 100.0)
    windows.check_window(brain_jpg, windows.APPROACHES["approach1"])
    windows.check_window(None, windows.APPROACHES["approach2"])
    with pytest.raises(
        ValueError,
        match="level 80 and width 200 needs -20 to 180 HU.*saturated at -20 and 100 HU",
    ) as refused:
        windows.check_window(brain_jpg, windows.APPROACHES["approach2"])
    # Users of `predict` and `explain` know no approaches.
    assert "approach" not in str(refused.value)
    for remedy in ("DICOM", "NIfTI", "-20 to 100 HU"):
        assert remedy in str(refused.value)


def test_a_window_saturated_below_is_refused_too():
    with pytest.raises(ValueError, match="saturated at 0 and 100 HU"):
        windows.check_window((0, 100), windows.APPROACHES["approach1"])


def test_unscaled_windows_keep_hounsfield_units():
    """Of the audit: each window cuts, none divides."""
    hu = np.array([-500.0, 40.0, 500.0])
    channels = windows.channels(hu, "approach2_hu", 3)
    assert channels.tolist() == [[-20, -20, -150], [40, 40, 40], [100, 180, 230]]
