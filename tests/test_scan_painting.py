"""Whole phantom heads that do not bleed, painted as real ones are."""

import dataclasses

import numpy as np
import pytest

from ich_tf import labels
from ich_tf.synthetic import (
    kinds,
    landmarks,
    outlines,
    painted_scans,
    scan_painting,
    scans,
)
from ich_tf.synthetic.phantom import head as heads
from ich_tf.synthetic.phantom import plan as planning

SIZE = 256
WINDOW = (-20.0, 100.0)


@pytest.fixture(scope="module")
def scan():
    """A head without blood, windowed as the JPG layout is."""
    plan = planning.draw_plan(5, 3, 14, bleeding=False)
    _, hu, _ = heads.render(plan, 5, 3, SIZE)
    return scans.survey(np.clip(hu, *WINDOW), None, WINDOW)


def paint(scan, kind, seed=1, **arguments):
    return scan_painting.paint(
        scan, seed, wanted=(kind,), with_mimics=False, **arguments
    )


def test_slices_of_a_scan_have_one_scale_and_rising_heights(scan):
    assert len(scan.usable) >= 8
    assert {scan.marks[z].pixel_mm for z in scan.usable} == {
        scan.marks[scan.usable[0]].pixel_mm
    }
    np.testing.assert_allclose(np.diff(scan.heights_mm), scan.step_mm)


def test_a_scan_without_the_inside_of_a_skull_is_refused():
    assert scans.survey(np.zeros((4, SIZE, SIZE), np.float32), None, WINDOW) is None


@pytest.mark.parametrize("kind", ["epidural", "mass", "thin", "settled"])
def test_a_lesion_is_one_solid_through_neighbouring_slices(scan, kind):
    made = paint(scan, kind)
    number = labels.SUBTYPES.index(kinds.KINDS[kind][0]) + 1
    assert set(np.unique(made.subtypes)) == {0, number}
    taken = np.flatnonzero(made.subtypes.any(axis=(1, 2)))
    assert len(taken) >= 2
    if kind in ("epidural", "mass"):
        # The largest cut overlaps with the cuts of its neighbours.
        areas = (made.subtypes > 0).sum(axis=(1, 2))
        largest = int(np.argmax(areas))
        neighbour = max(
            (z for z in (largest - 1, largest + 1)), key=lambda z: int(areas[z])
        )
        assert np.any((made.subtypes[largest] > 0) & (made.subtypes[neighbour] > 0))


def test_labels_follow_the_truth(scan):
    made = paint(scan, "mass")
    k = labels.SUBTYPES.index("intraparenchymal")
    np.testing.assert_array_equal(
        made.labels[:, k], made.subtypes.any(axis=(1, 2)).astype(np.uint8)
    )
    np.testing.assert_array_equal(made.labels[:, k], made.labels[:, -1])


def test_equal_seeds_give_equal_bytes_and_the_scan_stays_as_it_is(scan):
    before = scan.hu.copy()
    first, second = (scan_painting.paint(scan, 9) for _ in range(2))
    assert first.hu.tobytes() == second.hu.tobytes()
    assert first.subtypes.tobytes() == second.subtypes.tobytes()
    assert first.hu.min() >= WINDOW[0] and first.hu.max() <= WINDOW[1]
    np.testing.assert_array_equal(scan.hu, before)


def test_mimics_are_painted_but_are_not_in_the_truth(scan):
    made = scan_painting.paint(scan, 3, wanted=())
    assert not made.subtypes.any()
    assert np.any(made.hu != np.clip(scan.hu, *WINDOW))


def _marks(side=landmarks.GRID):
    flat = np.zeros((side, side), np.float32)
    return landmarks.Landmarks(1.0, flat + 20, flat, flat, flat, flat, flat == 0, 33.0)


def test_the_outline_is_wider_than_the_blood_and_has_no_holes():
    row, column = np.mgrid[:256, :256].astype(np.float32)
    radius = np.hypot(row - 128, column - 128)
    ring = np.maximum(radius - 20, 5 - radius)  # mm, a hole of radius 5
    drawn = outlines.outline("intraparenchymal", ring, _marks())
    # 0.7 pixels wider: all pixels within 20.7, none beyond.
    np.testing.assert_array_equal(drawn, radius < 20.7)


def test_an_outline_stays_within_the_skull():
    level = np.full((256, 256), -5.0, np.float32)
    marks = dataclasses.replace(_marks(), depth=np.full((256, 256), -1.0, np.float32))
    assert not outlines.outline("epidural", level, marks).any()


def test_stored_scans_keep_their_bounds(tmp_path):
    hu = np.full((3, 8, 8), 40.0, np.float32)
    truth = np.zeros((3, 8, 8), np.uint8)
    truth[1, 2, 2] = 5
    made = [("first", hu, truth), ("second", hu[:2], truth[:2])]
    stored = painted_scans.store(tmp_path / "scans", iter(made))
    assert stored.names == ("first", "second") and stored.starts == (0, 3, 5)
    assert [stored.bounds(n) for n in (0, 2, 3)] == [(0, 2), (0, 2), (3, 4)]
    # (40 + 20) / 120 of 255.
    assert np.all(stored.images == round(60 / 120 * 255))
    assert stored.subtypes[1, 2, 2] == 5
    with pytest.raises(ValueError, match="no scan"):
        painted_scans.store(tmp_path / "none", iter([]))
