"""Heads whose skull is open in part are accepted; trunks, limbs and objects are not."""

import numpy as np
import pytest

from ich_tf.data import checks
from ich_tf.io import nifti
from ich_tf.prediction import inputs
from ich_tf.volume import Volume

SIDE, PIXEL_MM = 160, 1.5


def _coordinates():
    y, x = (np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2) * PIXEL_MM
    return y, x, np.degrees(np.arctan2(y, x)) % 360


def _head(opened=(), brain_hu=33.0, bone_hu=1000.0, scale=1.0):
    """Scalp, skull and brain of 88x70 mm semi-axes; bone is gone between angles."""
    y, x, angle = _coordinates()
    radius = np.hypot(y / 1.2, x) / scale
    hu = np.full((SIDE, SIDE), -1000.0)
    hu[radius < 74] = 20.0
    hu[radius < 70] = bone_hu
    hu[radius < 64] = brain_hu
    for low, high in opened:
        hu[(angle >= low) & (angle < high) & (radius >= 64) & (radius < 70)] = 40.0
    return hu


def _trunk(width=170.0, ribs=True, organs=55.0, fat=-100.0):
    """Skin, fat, ribs, organs with fat between them, and a spine."""
    y, x, angle = _coordinates()
    radius = np.hypot(y * 1.4, x) / width * 100
    hu = np.full((SIDE, SIDE), -1000.0)
    hu[radius < 65] = fat
    hu[radius < 58] = 50.0
    if ribs:
        hu[(radius > 52) & (radius < 56) & (angle % 24 < 14)] = 600.0
    hu[radius < 50] = np.where((x // 14 + y // 14) % 3 < 1, fat, organs)[radius < 50]
    hu[np.hypot(y - 40, x) < 16] = 500.0
    return hu


def _limb():
    y, x, _ = _coordinates()
    radius = np.hypot(y, x)
    hu = np.full((SIDE, SIDE), -1000.0)
    hu[radius < 75] = -90.0
    hu[radius < 65] = 55.0
    hu[radius < 16] = 1200.0
    return hu


def _cylinder(wall_hu, inside_hu):
    y, x, _ = _coordinates()
    radius = np.hypot(y, x)
    hu = np.full((SIDE, SIDE), -1000.0)
    hu[radius < 80] = wall_hu
    hu[radius < 72] = inside_hu
    return hu


def _volume(slices, seed=0):
    hu = np.stack(slices) + np.random.default_rng(seed).normal(0, 5, (1, SIDE, SIDE))
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = (5, PIXEL_MM, PIXEL_MM)
    affine[3, 3] = 1
    positions = 5.0 * np.arange(len(slices))
    spacing = (5.0, PIXEL_MM, PIXEL_MM)
    return Volume(hu.astype(np.float32), spacing, positions, affine)


@pytest.mark.parametrize(
    "opened",
    [
        [(240, 360)],  # one side, 120 degrees
        [(200, 340)],  # both frontal bones
        [(130, 230), (310, 360), (0, 50)],  # both sides
        [(100, 300)],  # more than half
    ],
)
@pytest.mark.parametrize("count", [1, 4])
def test_heads_after_craniectomy_are_accepted(opened, count):
    assert checks.refuse_not_head_ct(_volume([_head(opened)] * count)) == []


def test_the_head_of_an_infant_with_thin_bone_is_accepted():
    slices = [_head([(60, 120)], bone_hu=350.0, scale=0.75)] * 3
    assert checks.refuse_not_head_ct(_volume(slices)) == []


@pytest.mark.parametrize(
    "drawn",
    [
        _trunk(),
        _trunk(ribs=False),
        _trunk(width=110.0),
        _limb(),
        _cylinder(120.0, 0.0),
        _cylinder(900.0, 0.0),
        _cylinder(-50.0, 40.0),
        _head([(0, 360)]),  # no bone at all
        _head([(k, k + 24) for k in range(0, 360, 30)]),  # short arcs
        _head([(100, 300)], brain_hu=-80.0),
        _head([(100, 300)], scale=0.35),  # too small
    ],
)
def test_what_is_no_head_is_refused(drawn):
    (problem,) = checks.refuse_not_head_ct(_volume([drawn] * 3))
    assert problem.kind == "not head CT"


def test_a_single_such_slice_of_a_trunk_is_not_enough():
    slices = [_trunk()] * 4 + [_head([(100, 300)])] + [_trunk()] * 4
    assert checks.refuse_not_head_ct(_volume(slices)) != []


def test_a_refused_scan_is_read_by_force_with_a_note(tmp_path):
    path = tmp_path / "trunk.nii.gz"
    nifti.write(path, _volume([_trunk()] * 3))
    with pytest.raises(inputs.NotHeadCT, match=r"trunk\.nii\.gz is refused"):
        inputs.read(path)
    notes = inputs.read(path, force=True).volume.notes
    assert [note.kind for note in notes] == ["forced"]
    nifti.write(path, _volume([_head()] * 3))
    assert inputs.read(path, force=True).volume.notes == ()
