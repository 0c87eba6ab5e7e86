import dataclasses
import gzip
import itertools
import struct

import nibabel
import numpy as np
import pytest
from nibabel import orientations

from ich_tf.io import nifti
from ich_tf.volume import Volume

ALL_ORIENTATIONS = [
    "".join(codes)
    for axes in itertools.permutations(("RL", "AP", "IS"))
    for codes in itertools.product(*axes)
]


def _affine(codes, voxel_mm=(0.5, 0.75, 5.0), tilt_degrees=0.0):
    """RAS affine of an array whose axes run towards `codes`."""
    letters = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    for axis, code in enumerate(codes):
        sign = 1 if code in "RAS" else -1
        affine[letters[code], axis] = sign * voxel_mm[axis]
    angle = np.deg2rad(tilt_degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, 3] = (10.0, -20.0, 30.0)
    return turn @ affine


def _save(path, array, affine, **header):
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def _ramp(shape=(3, 4, 5)):
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def _patch(path, offset, form, *values):
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, offset, *values)
    path.write_bytes(content)


def test_there_are_48_orientations():
    assert len(set(ALL_ORIENTATIONS)) == 48


@pytest.mark.parametrize("tilt_degrees", [0.0, 18.5])
@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
def test_every_orientation_reads_as_lps_and_returns(tmp_path, codes, tilt_degrees):
    stored = _ramp()
    affine = _affine(codes, tilt_degrees=tilt_degrees)
    path = _save(tmp_path / "ct.nii", stored, affine)
    volume = nifti.read(path)

    # The same turn by another road: nibabel's orientation transform to (L, P, S).
    transform = orientations.ornt_transform(
        orientations.io_orientation(affine), orientations.axcodes2ornt("LPS")
    )
    expected = orientations.apply_orientation(stored, transform).transpose(2, 1, 0)
    np.testing.assert_array_equal(volume.hu, expected)
    # Each voxel keeps its place in the world.
    for index in ((0, 0, 0), tuple(size - 1 for size in volume.hu.shape), (1, 2, 1)):
        source = np.argwhere(stored == volume.hu[index])[0]
        ras = affine @ [*source, 1]
        lps = volume.affine @ [*index, 1]
        np.testing.assert_allclose(lps, ras * [-1, -1, 1, 1], atol=1e-4)
    assert np.all(volume.affine[[2, 1, 0], [0, 1, 2]] > 0)

    mask = (volume.hu > 20).astype(np.uint8)
    nifti.write_mask(tmp_path / "mask.nii.gz", mask, volume)
    written = nibabel.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), stored > 20)
    np.testing.assert_array_equal(written.affine, nibabel.load(path).affine)
    np.testing.assert_array_equal(
        nifti.read_mask(tmp_path / "mask.nii.gz", volume), mask
    )


def test_spacing_is_z_y_x(tmp_path):
    volume = nifti.read(_save(tmp_path / "ct.nii", _ramp(), _affine("LPS")))
    assert volume.hu.shape == (5, 4, 3)
    np.testing.assert_allclose(volume.spacing_mm, (5.0, 0.75, 0.5))
    np.testing.assert_allclose(np.diff(volume.slice_positions_mm), 5.0)


def test_gantry_tilt_is_a_shear_and_the_spacing_runs_along_the_normal(tmp_path):
    affine = _affine("LPS")
    affine[1, 2] = 5.0 * np.tan(np.deg2rad(20))
    volume = nifti.read(_save(tmp_path / "ct.nii", _ramp(), affine))
    np.testing.assert_allclose(volume.spacing_mm[0], 5.0, rtol=1e-5)
    np.testing.assert_allclose(volume.affine[:3, 0], [0, -1.8198512, 5.0], rtol=1e-5)


def test_sform_and_qform_both_return_with_the_mask(tmp_path):
    image = nibabel.Nifti1Image(_ramp(), None)
    image.set_sform(_affine("RPI", tilt_degrees=11), code=2)
    image.set_qform(_affine("LAS", tilt_degrees=-7), code=3)
    nibabel.save(image, tmp_path / "ct.nii")
    volume = nifti.read(tmp_path / "ct.nii")
    nifti.write_mask(tmp_path / "mask.nii", np.ones(volume.hu.shape, np.uint8), volume)
    source = nibabel.load(tmp_path / "ct.nii").header
    mask = nibabel.load(tmp_path / "mask.nii").header
    for name in ("qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x"):
        np.testing.assert_array_equal(mask[name], source[name])
    np.testing.assert_array_equal(mask["pixdim"][:4], source["pixdim"][:4])


def test_slope_and_intercept(tmp_path):
    path = _save(tmp_path / "ct.nii", _ramp(), _affine("LPS"))
    _patch(path, 112, "<ff", 2.5, -1024.0)
    assert nifti.read(path).hu[0, 0, :2].tolist() == [-1024.0, -974.0]


@pytest.mark.parametrize("slope", [0.0, float("nan")])
def test_slope_zero_or_nan_means_none(tmp_path, slope):
    path = _save(tmp_path / "ct.nii", _ramp(), _affine("LPS"))
    _patch(path, 112, "<ff", slope, float("nan"))
    assert nifti.read(path).hu[0, 0, :2].tolist() == [0.0, 20.0]


def test_without_orientation_the_reader_says_so(tmp_path):
    path = _save(tmp_path / "ct.nii", _ramp(), _affine("LPS"))
    _patch(path, 252, "<hh", 0, 0)
    volume = nifti.read(path)
    assert [note.kind for note in volume.notes] == ["geometry"]
    np.testing.assert_allclose(volume.spacing_mm, (5.0, 0.75, 0.5))


def test_a_single_frame_in_4d_is_read_and_several_are_not(tmp_path):
    single = _save(tmp_path / "one.nii", _ramp()[..., None], _affine("LPS"))
    assert nifti.read(single).hu.shape == (5, 4, 3)
    two = np.stack([_ramp(), _ramp()], axis=-1)
    path = _save(tmp_path / "two.nii", two, _affine("LPS"))
    with pytest.raises(ValueError, match=r"two.nii: needs one 3-D volume"):
        nifti.read(path)


def test_giant_dimensions_are_refused_before_reading(tmp_path):
    path = _save(tmp_path / "ct.nii", _ramp(), _affine("LPS"))
    _patch(path, 42, "<hhh", 32000, 32000, 32000)
    with pytest.raises(ValueError, match="ct.nii: the header claims"):
        nifti.read(path)


def test_a_small_file_that_claims_many_voxels_is_refused(tmp_path):
    path = _save(tmp_path / "ct.nii.gz", _ramp(), _affine("LPS"))
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<hhh", content, 42, 1000, 1000, 200)
    path.write_bytes(gzip.compress(content, mtime=0))
    with pytest.raises(ValueError, match="ct.nii.gz: truncated, it is too small for"):
        nifti.read(path)


@pytest.mark.parametrize("dimensions", [(0, 4, 5), (-3, 4, 5)])
def test_dimensions_below_one_are_refused(tmp_path, dimensions):
    path = _save(tmp_path / "ct.nii", _ramp(), _affine("LPS"))
    _patch(path, 42, "<hhh", *dimensions)
    with pytest.raises(ValueError, match="ct.nii: "):
        nifti.read(path)


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_truncated_files_are_refused(tmp_path, name):
    path = _save(tmp_path / name, _ramp((40, 40, 40)), _affine("LPS"))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=f"{name}: (truncated|the voxels cannot be)"):
        nifti.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"<html>no</html>", gzip.compress(b"no", mtime=0)]
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / ("ct.nii.gz" if content[:2] == b"\x1f\x8b" else "ct.nii")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a readable NIfTI file"):
        nifti.read(path)
    with pytest.raises(ValueError, match="absent.nii: not a readable NIfTI file"):
        nifti.read(tmp_path / "absent.nii")


def test_colour_and_singular_files_are_refused(tmp_path):
    colour = np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = _save(tmp_path / "colour.nii", colour, _affine("LPS"))
    with pytest.raises(ValueError, match="are not a CT or a mask"):
        nifti.read(path)
    path = _save(tmp_path / "flat.nii", _ramp(), _affine("LPS"))
    _patch(path, 280, "<4f", *[0.0] * 4)
    with pytest.raises(ValueError, match="flat.nii: the affine is not usable|singular"):
        nifti.read(path)


def test_a_mask_elsewhere_is_refused_with_both_values(tmp_path):
    volume = nifti.read(_save(tmp_path / "ct.nii", _ramp(), _affine("LPS")))
    moved = _affine("LPS")
    moved[0, 3] += 2.0
    path = _save(tmp_path / "mask.nii", _ramp() * 0, moved)
    with pytest.raises(ValueError, match=r"2 mm away.*12.0.*10.0"):
        nifti.read_mask(path, volume)
    path = _save(tmp_path / "small.nii", _ramp((3, 4, 4)), _affine("LPS"))
    with pytest.raises(ValueError, match=r"\(3, 4, 4\), its volume \(3, 4, 5\)"):
        nifti.read_mask(path, volume)


def test_float_noise_in_the_affine_of_a_mask_is_no_error(tmp_path):
    volume = nifti.read(_save(tmp_path / "ct.nii", _ramp(), _affine("LPS")))
    noisy = _affine("LPS") * (1 + 1e-6)
    path = _save(tmp_path / "mask.nii", (_ramp() > 5).astype(np.uint8), noisy)
    assert nifti.read_mask(path, volume).sum() == 54


def test_a_mask_with_other_values_is_refused(tmp_path):
    volume = nifti.read(_save(tmp_path / "ct.nii", _ramp(), _affine("LPS")))
    path = _save(tmp_path / "mask.nii", _ramp(), _affine("LPS"))
    with pytest.raises(ValueError, match=r"0 and 255, or 0 and 1. Found: \[0.0, 1.0"):
        nifti.read_mask(path, volume)


def _phantom(spacing_mm=(5.0, 0.5, 0.4)):
    hu = np.random.default_rng(1).integers(-1024, 2000, (4, 6, 8)).astype(np.float32)
    affine = np.diag([*spacing_mm, 1.0])[[2, 1, 0, 3]]
    positions = np.arange(4) * spacing_mm[0]
    return Volume(hu, spacing_mm, positions, affine, origin="ich_tf phantom seed 1")


def test_a_written_volume_comes_back_with_its_origin_and_the_same_bytes(tmp_path):
    volume = _phantom()
    for name in ("one.nii.gz", "two.nii.gz"):
        nifti.write(tmp_path / name, volume)
    first = (tmp_path / "one.nii.gz").read_bytes()
    assert first == (tmp_path / "two.nii.gz").read_bytes()
    back = nifti.read(tmp_path / "one.nii.gz")
    np.testing.assert_array_equal(back.hu, volume.hu)
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-5)
    np.testing.assert_allclose(back.spacing_mm, volume.spacing_mm, rtol=1e-6)
    assert back.origin == "ich_tf phantom seed 1"
    assert nifti.read_header(tmp_path / "one.nii.gz").origin == back.origin
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "one.nii.gz",
        "two.nii.gz",
    ]


def test_a_mask_without_spacing_says_that_its_place_is_unknown(tmp_path):
    volume = Volume(np.zeros((2, 3, 4), np.float32), None, None, None)
    mask = np.zeros(volume.hu.shape, np.uint8)
    mask[1, 2, 3] = 1
    nifti.write_mask(tmp_path / "mask.nii", mask, volume)
    header = nibabel.load(tmp_path / "mask.nii").header
    assert int(header["sform_code"]) == int(header["qform_code"]) == 0
    assert header["pixdim"][1:4].tolist() == [1, 1, 1]
    stored = np.asarray(nibabel.load(tmp_path / "mask.nii").dataobj)
    assert np.argwhere(stored).tolist() == [[3, 2, 1]]


def test_what_cannot_be_written_is_an_error(tmp_path):
    volume = _phantom()
    without_place = Volume(volume.hu, None, None, None)
    with pytest.raises(ValueError, match="without spacing"):
        nifti.write(tmp_path / "ct.nii", without_place)
    with pytest.raises(ValueError, match="int16"):
        nifti.write(
            tmp_path / "ct.nii", dataclasses.replace(volume, hu=volume.hu + 40000)
        )
    with pytest.raises(ValueError, match="must end in .nii"):
        nifti.write(tmp_path / "ct.mha", volume)
    with pytest.raises(ValueError, match=r"shape \(1, 1, 1\), the volume \(4, 6, 8\)"):
        nifti.write_mask(tmp_path / "ct.nii", np.zeros((1, 1, 1), np.uint8), volume)
    assert not list(tmp_path.iterdir())


def test_an_unknown_unit_is_refused_by_name(tmp_path):
    path = tmp_path / "ct.nii"
    image = nibabel.Nifti1Image(np.zeros((4, 4, 2), np.int16), np.eye(4))
    image.header["xyzt_units"] = 5
    nibabel.save(image, path)
    with pytest.raises(ValueError, match=r"ct.nii: xyzt_units 5 names no unit"):
        nifti.read(path)
