import dataclasses

import numpy as np
import pytest

from ich_tf.volume import Case, Note, SourceGrid, Volume


def _volume(positions=(0.0, 5.0, 10.0), spacing=(5.0, 0.5, 0.5)):
    hu = np.zeros((len(positions), 4, 4), np.float32)
    return Volume(hu, spacing, np.array(positions), np.eye(4))


def test_uneven_slices_reach_half_way_to_their_neighbours():
    volume = _volume(positions=(0.0, 2.0, 6.0, 7.0))
    np.testing.assert_allclose(volume.slice_extents_mm, [2.0, 3.0, 2.5, 1.0])
    np.testing.assert_allclose(
        volume.slice_pixel_ml, [0.0005, 0.00075, 0.000625, 0.00025]
    )


def test_a_single_slice_has_the_nominal_spacing():
    np.testing.assert_array_equal(_volume(positions=(3.0,)).slice_extents_mm, [5.0])


@pytest.mark.parametrize(
    ("positions", "thickness", "extents", "missing_mm"),
    [
        # A hole of 30 mm: the slices next to it stand for 5 mm each, 25 mm are missing.
        ((0, 5, 10, 40, 45, 50), None, [5, 5, 5, 5, 5, 5], 25),
        # One missing slice is shared by its neighbours.
        ((0, 5, 10, 20, 25, 30), None, [5, 5, 7.5, 7.5, 5, 5], 0),
        # A slice alone between two holes has its thickness, without one the median.
        ((0, 5, 10, 15, 45, 75), [4] * 6, [5, 5, 5, 5, 4, 4], 51.5),
        ((0, 5, 10, 15, 45, 75), None, [5, 5, 5, 5, 5, 5], 50),
        # Base 2.5 mm, vertex 5 mm: no hole, and no slice above its own thickness.
        (
            (0, 2.5, 5, 7.5, 12.5, 17.5),
            [2.5] * 4 + [5] * 2,
            [2.5] * 3 + [3.75, 5, 5],
            0,
        ),
        # Two slices with a thickness of 5 mm, 180 mm apart.
        ((0, 180), [5, 5], [5, 5], 175),
    ],
)
def test_no_slice_stands_for_a_hole(positions, thickness, extents, missing_mm):
    volume = dataclasses.replace(
        _volume(positions),
        slice_thickness_mm=None if thickness is None else np.array(thickness, float),
    )
    np.testing.assert_allclose(volume.slice_extents_mm, extents)
    np.testing.assert_allclose(volume.missing_mm, missing_mm)


def test_a_single_slice_of_unknown_thickness_has_no_ml():
    volume = _volume(positions=(3.0,), spacing=(np.nan, 0.5, 0.5))
    assert volume.slice_pixel_ml is None
    with pytest.raises(ValueError, match="three positive numbers"):
        _volume(spacing=(np.nan, 0.5, 0.5))


def test_a_note_has_a_known_kind():
    with pytest.raises(ValueError, match="Unknown kind"):
        Note("gossip", "text")


def test_without_spacing_there_is_no_volume_in_ml():
    volume = Volume(np.zeros((2, 4, 4), np.float32), None, None, None)
    assert volume.slice_extents_mm is None
    assert volume.slice_pixel_ml is None


def test_positions_must_increase():
    with pytest.raises(ValueError, match="must increase"):
        _volume(positions=(0.0, 5.0, 5.0))


def test_spacing_must_be_positive():
    with pytest.raises(ValueError, match="three positive numbers"):
        _volume(spacing=(5.0, 0.0, 0.5))


def test_spacing_alone_is_refused():
    with pytest.raises(ValueError, match="together"):
        Volume(np.zeros((2, 4, 4), np.float32), (5.0, 1.0, 1.0), None, None)


def test_an_empty_array_is_refused():
    with pytest.raises(ValueError, match="non-empty"):
        Volume(np.zeros((0, 4, 4), np.float32), None, None, None)


def test_source_grid_turns_an_array_there_and_back():
    grid = SourceGrid((2, 3, 4), np.eye(4), (2, 0, 1), (True, False, True))
    array = np.arange(24).reshape(2, 3, 4)
    turned = grid.from_source(array)
    assert turned.shape == (4, 2, 3)
    assert turned[0, 0, 0] == array[0, 2, 3]
    np.testing.assert_array_equal(grid.to_source(turned), array)


def test_a_mask_of_another_shape_or_type_is_refused():
    volume = _volume()
    with pytest.raises(ValueError, match=r"mask has shape \(3, 4, 5\)"):
        Case("a", "a", volume, mask=np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(ValueError, match="must be uint8, not bool"):
        Case("a", "a", volume, mask=np.zeros((3, 4, 4), bool))
    with pytest.raises(ValueError, match=r"labels must have shape \(3, 6\)"):
        Case("a", "a", volume, labels=np.zeros((3, 5), np.uint8))
