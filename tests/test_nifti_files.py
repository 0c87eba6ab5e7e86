"""NIfTI as other programs write it, and masks of unevenly spaced series."""

import gzip
import shutil

import dicom_files
import nibabel
import numpy as np
import pytest

from ich_tf.io import dicom, nifti, source
from ich_tf.prediction import inputs

AFFINE = np.array([[-0.5, 0, 0, 10], [0, -0.75, 0, 20], [0, 0, 5, -7], [0, 0, 0, 1.0]])
DATA = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)


def _image(data=DATA, kind=nibabel.Nifti1Image, affine=AFFINE):
    return kind(data, affine)


def _save(path, data=DATA, kind=nibabel.Nifti1Image, affine=AFFINE):
    _image(data, kind, affine).to_filename(path)
    return path


def _kinds(volume):
    return [note.kind for note in volume.notes]


EXPECTED = DATA.transpose(2, 1, 0).astype(np.float32)


@pytest.mark.parametrize("name", ["SCAN.NII.GZ", "Scan.Nii", "scan.nii.bak", "scan"])
def test_the_content_decides_not_the_name(tmp_path, name):
    ending = ".nii.gz" if name.lower().endswith(".gz") else ".nii"
    _save(tmp_path / f"x{ending}").rename(tmp_path / name)
    np.testing.assert_array_equal(inputs.read_any(tmp_path / name).volume.hu, EXPECTED)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("capitals", [False, True])
def test_pairs_are_read_by_either_file(tmp_path, ending, capitals):
    _save(tmp_path / f"scan.img{ending}", kind=nibabel.Nifti1Pair)
    if capitals:
        for path in list(tmp_path.iterdir()):
            path.rename(path.with_name(path.name.upper()))
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(inputs.read_any(path).volume.hu, EXPECTED)


def test_half_of_a_pair_is_refused_by_name(tmp_path):
    _save(tmp_path / "scan.img", kind=nibabel.Nifti1Pair)
    (tmp_path / "scan.img").unlink()
    with pytest.raises(ValueError, match=r"scan\.hdr: its voxels"):
        nifti.read(tmp_path / "scan.hdr")


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_big_endian_files_are_read(tmp_path, kind):
    image = _image(kind=kind)
    header = image.header.as_byteswapped(">")
    path = tmp_path / "scan.nii"
    kind(DATA, AFFINE, header).to_filename(path)
    np.testing.assert_array_equal(nifti.read(path).hu, EXPECTED)


def test_half_a_pair_is_named_with_what_is_missing(tmp_path):
    nibabel.Nifti1Pair(DATA, AFFINE).to_filename(tmp_path / "scan.img")
    (tmp_path / "scan.hdr").rename(tmp_path / "other.hdr")
    with pytest.raises(ValueError, match=r"scan\.img.*\.hdr, is not there"):
        inputs.read_any(tmp_path / "scan.img")
    with pytest.raises(ValueError, match=r"other\.hdr.*\.img"):
        inputs.read_any(tmp_path / "other.hdr")


@pytest.mark.parametrize(
    ("count", "percent"), [(1, "0.00025%"), (393216, "100%"), (391250, "99.5%")]
)
def test_a_share_is_never_zero_and_has_no_large_exponent(count, percent):
    assert f"({percent})" in source.share_text(count, 393216)


def _damage_checksum(content):
    return content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]


@pytest.mark.parametrize(
    "damage",
    [
        _damage_checksum,
        lambda content: content[:-4],
        lambda content: content[:-8],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    ],
)
def test_a_damaged_gzip_is_refused(tmp_path, damage):
    path = _save(tmp_path / "scan.nii.gz")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"scan\.nii\.gz: "):
        nifti.read(path)


def test_what_follows_a_gzip_is_noted_zeros_and_members_are_not(tmp_path):
    path = _save(tmp_path / "scan.nii.gz")
    content = path.read_bytes()
    path.write_bytes(content + b"backup tape 7")
    assert _kinds(nifti.read(path)) == ["values"]
    path.write_bytes(content + bytes(512))
    assert nifti.read(path).notes == ()
    plain = gzip.decompress(content)
    path.write_bytes(
        gzip.compress(plain[:400], mtime=0) + gzip.compress(plain[400:], mtime=0)
    )
    np.testing.assert_array_equal(nifti.read(path).hu, EXPECTED)


def test_a_bomb_is_refused_before_it_inflates(tmp_path):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(_image().to_bytes() + bytes(2**24), mtime=0))
    with pytest.raises(ValueError, match="far more than its header"):
        nifti.read(path)


def _with_sform(path, sform, qform=AFFINE, pixdim=None):
    image = _image()
    image.set_qform(qform, 1)
    image.set_sform(sform, 2)
    image.header["pixdim"][1:4] = (0.5, 0.75, 5) if pixdim is None else pixdim
    image.to_filename(path)
    return path


@pytest.mark.parametrize(
    "scale", [(1, 1, 0.2), (2, 1, 1), (1.05, 1, 1), (10, 10, 10), (2, 1.333, 0.2)]
)
def test_transforms_that_contradict_each_other_about_ml_are_refused(tmp_path, scale):
    path = _with_sform(tmp_path / "scan.nii", AFFINE @ np.diag([*scale, 1]))
    with pytest.raises(ValueError, match=r"scan\.nii: its header contradicts itself"):
        nifti.read(path)


def _moved(mm):
    return AFFINE + np.array([[0, 0, 0, mm], *np.zeros((3, 4))])


@pytest.mark.parametrize(
    ("sform", "noted"),
    [
        (AFFINE, False),
        (_moved(0.01), False),
        (_moved(30.0), True),
        (np.diag([-1.0, 1, 1, 1]) @ AFFINE, True),  # left for right
        (AFFINE @ np.diag([1.002, 1, 1, 1]), False),  # rounded
        (np.diag([1.0, -1, -1, 1]) @ AFFINE, True),  # turned about the x axis
    ],
)
def test_transforms_that_differ_in_place_are_noted(tmp_path, sform, noted):
    volume = nifti.read(_with_sform(tmp_path / "scan.nii", sform))
    assert _kinds(volume) == (["geometry"] if noted else [])
    np.testing.assert_allclose(np.prod(volume.spacing_mm), 0.5 * 0.75 * 5, rtol=0.01)


@pytest.mark.parametrize("sizes", [(0, 0, 0), (0.5, 0.75, 0), (np.nan, 0.75, 5)])
@pytest.mark.parametrize("qform_code", [0, 1])
def test_voxel_sizes_that_nobody_gave_are_not_invented(tmp_path, sizes, qform_code):
    path = _with_sform(tmp_path / "scan.nii", AFFINE, pixdim=sizes)
    # The sform needs no voxel sizes.
    np.testing.assert_allclose(nifti.read(path).spacing_mm, (5.0, 0.75, 0.5))
    content = bytearray(path.read_bytes())
    content[252:256] = qform_code, 0, 0, 0
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"scan\.nii: .*no voxel sizes"):
        nifti.read(path)


def test_a_flat_file_has_no_thickness_of_its_own(tmp_path):
    image = nibabel.Nifti1Image(DATA[:, :, 0], None)
    image.header.set_zooms((0.5, 0.75))
    image.to_filename(tmp_path / "flat.nii")
    volume = nifti.read(tmp_path / "flat.nii")
    assert np.isnan(volume.spacing_mm[0])
    assert volume.spacing_mm[1:] == (0.75, 0.5)
    assert volume.slice_pixel_ml is None
    case = inputs.read_any(tmp_path / "flat.nii", (5.0, 0.75, 0.5))
    np.testing.assert_allclose(case.volume.slice_pixel_ml, 0.5 * 0.75 * 5 / 1000)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"NRRD0004\ntype: short\n", "NRRD"),
        (
            b"ObjectType = Image\nDimSize = 1 1 1\nElementType = MET_SHORT\n",
            "MetaImage",
        ),
        (b"PK\x03\x04" + bytes(99), "ZIP"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(99), "7-Zip"),
        (b"\x93NUMPY" + bytes(99), "NumPy"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "PNG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<!DOCTYPE html>", "web page"),
        (gzip.compress(b"\x00\x00\x00\x01" + bytes(99), mtime=0), "MGH"),
        (b"just words", "text"),
        (bytes(257) + b"ustar" + bytes(99), "TAR"),
    ],
)
def test_other_formats_are_named(tmp_path, content, name):
    path = tmp_path / "scan.dat"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=name) as error:
        inputs.read_any(path)
    assert "scan.dat" in str(error.value) and ".nii.gz" in str(error.value)


@pytest.mark.parametrize(
    ("moved_mm", "kinds"), [(0.0, []), (0.01, ["mask"]), (0.1, ["mask"]), (0.4, None)]
)
def test_a_mask_slightly_off_its_volume_is_read_with_a_note(tmp_path, moved_mm, kinds):
    volume = nifti.read(_save(tmp_path / "scan.nii"))
    drawn = (DATA == 17).astype(np.uint8)
    path = _save(tmp_path / "mask.nii", drawn, affine=_moved(moved_mm))
    if kinds is None:
        with pytest.raises(ValueError, match="mm away from its volume"):
            nifti.read_mask(path, volume)
        return
    notes = []
    assert nifti.read_mask(path, volume, notes).sum() == 1
    assert [note.kind for note in notes] == kinds


@pytest.mark.parametrize(
    ("values", "voxels"),
    [([0, 255], 30), ([0, 254], 30), ([2, 252], 30), ([0, 1], 30), ([0, 128], None)],
)
def test_values_close_to_255_are_a_mask(tmp_path, values, voxels):
    volume = nifti.read(_save(tmp_path / "scan.nii"))
    drawn = np.array(values, np.uint8)[DATA % 2]
    path = _save(tmp_path / "mask.nii", drawn)
    if voxels is None:
        with pytest.raises(ValueError, match="0 and 255, or 0 and 1"):
            nifti.read_mask(path, volume)
        return
    notes = []
    assert nifti.read_mask(path, volume, notes).sum() == voxels
    assert nifti.count_mask_voxels(path) == voxels
    assert len(notes) == (values not in ([0, 255], [0, 1]))


@pytest.mark.parametrize(
    ("positions", "thickness"),
    [
        ([0, 5, 10, 190, 195, 200], 5),  # a hole
        ([0, 5, 10, 40, 45, 90, 95], 5),  # two holes
        ([0, 2.5, 5, 7.5, 12.5, 17.5, 22.5], None),  # thin base, thick vertex
        ([0, 4, 8, 9.08, 16, 23], None),
        ([0, 5, 10, 20, 25], 5),  # one slice is missing
    ],
)
@pytest.mark.parametrize("tilt_degrees", [0, 15])
def test_the_file_of_a_mask_has_the_ml_and_places_of_its_series(
    tmp_path, positions, thickness, tilt_degrees
):
    angle = np.deg2rad(tilt_degrees)
    turned = [1, 0, 0, 0, float(np.cos(angle)), -float(np.sin(angle))]
    header = {"ImageOrientationPatient": turned, "SliceThickness": thickness}
    volume = dicom.read(dicom_files.series(tmp_path / "ct", positions, **header))
    mask = np.zeros(volume.hu.shape, np.uint8)
    mask[:, 2, 3] = 1
    nifti.write_mask(tmp_path / "mask.nii.gz", mask, volume)
    image = nibabel.load(tmp_path / "mask.nii.gz")
    voxels = np.argwhere(np.asarray(image.dataobj))
    ml = len(voxels) * abs(np.linalg.det(image.affine[:3, :3])) / 1000
    assert ml == pytest.approx(
        (mask.sum(axis=(1, 2)) @ volume.slice_pixel_ml), rel=0.04
    )
    # Every slice is marked within half a slice of its own position.
    z = nibabel.affines.apply_affine(image.affine, voxels)[:, 2]
    from_file = np.abs(
        z[:, np.newaxis] - (np.array(positions) - 2 * 0.75 * np.sin(angle))
    )
    assert np.all(from_file.min(axis=1) <= 4.0)
    # The even grid has steps of at most 2.5 mm where slices are uneven.
    assert np.all(from_file.min(axis=0) <= 1.3)


def test_a_copy_next_to_the_scan_is_not_mixed_up(tmp_path):
    _save(tmp_path / "scan.nii")
    shutil.copy(tmp_path / "scan.nii", tmp_path / "scan.nii.bak")
    with pytest.raises(ValueError, match="2 NIfTI file"):
        inputs.read_any(tmp_path)


@pytest.mark.parametrize("mm", [1e30, 1e38, 3e18])
def test_a_scan_that_lies_beyond_all_reason_is_refused_by_name(tmp_path, mm):
    moved = AFFINE.copy()
    moved[2, 3] = mm
    with pytest.raises(ValueError, match=r"scan\.nii: .*beyond use"):
        nifti.read(_save(tmp_path / "scan.nii", affine=moved))
