import zlib

import dicom_files
import nibabel
import numpy as np
import pydicom
import pytest
from dicom_files import AXIAL, edit, kinds, series, write
from pydicom import uid

from ich_tf.io import dicom, nifti
from ich_tf.io.dicom import files as reader_files
from ich_tf.volume import Note


def test_slices_are_sorted_by_position_not_by_name(tmp_path):
    volume = dicom.read(series(tmp_path, [10.0, 0.0, 5.0]))
    np.testing.assert_array_equal(
        volume.hu[:, 0, 0], [dicom_files.stored(i)[0, 0] for i in (1, 2, 0)]
    )
    assert volume.spacing_mm == (5.0, 0.75, 0.5)
    assert volume.slice_positions_mm.tolist() == [0.0, 5.0, 10.0]
    np.testing.assert_allclose(
        volume.affine, [[0, 0, 0.5, -10], [0, 0.75, 0, -20], [5, 0, 0, 0], [0, 0, 0, 1]]
    )
    assert volume.notes == ()


def test_several_files_are_read_like_a_folder(tmp_path):
    series(tmp_path, [0.0, 5.0])
    from_files = dicom.read(sorted(tmp_path.iterdir()))
    np.testing.assert_array_equal(from_files.hu, dicom.read(tmp_path).hu)


def test_rescale_comes_before_anything_else(tmp_path):
    stored = np.array([[0, 1], [2, 3]], np.int16)
    path = write(tmp_path / "a.dcm", stored, RescaleSlope=2, RescaleIntercept=-1000)
    assert dicom.read(path).hu[0].tolist() == [[-1000, -998], [-996, -994]]


@pytest.mark.parametrize("missing", ["RescaleSlope", "RescaleIntercept"])
def test_without_rescale_there_are_no_hounsfield_units(tmp_path, missing):
    path = write(tmp_path / "a.dcm", **{missing: None})
    with pytest.raises(ValueError, match="a.dcm: no Rescale Slope or Intercept"):
        dicom.read(path)


def test_signed_and_unsigned_values(tmp_path):
    signed = np.array([[-1000, 40]], np.int16)
    unsigned = np.array([[24, 1064]], np.uint16)
    first = dicom.read(write(tmp_path / "a.dcm", signed))
    two = dicom.read(write(tmp_path / "b.dcm", unsigned, RescaleIntercept=-1024))
    assert first.hu[0].tolist() == two.hu[0].tolist() == [[-1000, 40]]


def test_bits_beyond_those_stored_do_not_count(tmp_path):
    # -1 in 12 bits, 16, and 16 with an overlay in the spare bits.
    stored = np.array([[0x0FFF, 0x0010, 0x7010]], np.int16)
    signed = dicom.read(write(tmp_path / "a.dcm", stored, BitsStored=12))
    assert signed.hu[0, 0].tolist() == [-1, 16, 16]
    header = {"BitsStored": 12, "RescaleIntercept": -1024}
    path = write(tmp_path / "b.dcm", stored.astype(np.uint16), **header)
    assert dicom.read(path).hu[0, 0].tolist() == [3071, -1008, -1008]


def test_the_rsna_quirk_is_undone_where_it_applies(tmp_path):
    # -1000, -4, 0, 40 and 3000 HU as 12-bit two's complement.
    stored = np.array([[3096, 4092, 0, 40, 3000]], np.uint16)
    path = write(tmp_path / "quirk.dcm", stored, BitsStored=12, RescaleIntercept=0)
    volume = dicom.read(path)
    assert volume.hu[0, 0].tolist() == [-1000, -4, 0, 40, 3000]
    assert kinds(volume) == ["values"]
    for header in (
        {"BitsStored": 12, "RescaleIntercept": -1024},
        {"BitsStored": 16, "RescaleIntercept": 0},
    ):
        hu = dicom.read(write(tmp_path / "plain.dcm", stored, **header)).hu
        assert hu[0, 0, 3] == 40 + header["RescaleIntercept"]


def test_padding_and_what_lies_below_air_become_air(tmp_path):
    stored = np.array([[-1500, -1400, -1024, 40]], np.int16)
    path = write(tmp_path / "a.dcm", stored, PixelPaddingValue=-1500)
    assert dicom.read(path).hu[0, 0].tolist() == [-1024, -1024, -1024, 40]


def test_a_range_of_padding_values(tmp_path):
    stored = np.array([[5000, 5001, 5002, 40]], np.int16)
    path = write(
        tmp_path / "a.dcm", stored, PixelPaddingValue=5001, PixelPaddingRangeLimit=5000
    )
    assert dicom.read(path).hu[0, 0].tolist() == [-1024, -1024, 5002, 40]


def test_padding_among_tissue_is_left_and_reported(tmp_path):
    path = write(tmp_path / "a.dcm", PixelPaddingValue=0)
    stored = dicom_files.stored()
    stored[0, 0] = 0
    write(path, stored, PixelPaddingValue=0)
    volume = dicom.read(path)
    np.testing.assert_array_equal(volume.hu[0], stored)
    assert kinds(volume) == ["values"]


def test_monochrome1_does_not_change_hounsfield_units(tmp_path):
    path = write(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(dicom.read(path).hu[0], dicom_files.stored())


def test_gaps_are_reported(tmp_path):
    volume = dicom.read(series(tmp_path, [0.0, 5.0, 10.0, 25.0, 30.0]))
    assert volume.notes[0] == Note(
        "missing slices",
        "missing slices: a gap of 15.00 mm after slice 3 where 5.00 mm is usual, "
        "about 2 slice(s)",
    )
    assert kinds(volume) == ["missing slices", "uneven spacing"]
    # Two slices are missing: 10 mm that no slice stands for.
    assert volume.slice_extents_mm.tolist() == [5.0] * 5
    assert volume.missing_mm == 10.0
    assert volume.slice_positions_mm.tolist() == [0.0, 5.0, 10.0, 25.0, 30.0]


def test_slices_further_apart_than_they_are_thick_are_no_gap(tmp_path):
    assert dicom.read(series(tmp_path, [0.0, 10.0, 20.0])).notes == ()


def test_float_noise_in_positions_is_not_reported(tmp_path):
    assert dicom.read(series(tmp_path, [0.0, 5.0002, 10.0001, 14.9998])).notes == ()


def test_a_repeated_slice_is_dropped_and_reported(tmp_path):
    series(tmp_path, [0.0, 5.0])
    write(tmp_path / "copy.dcm", dicom_files.stored(1), z=5.0, InstanceNumber=3)
    volume = dicom.read(tmp_path)
    assert volume.hu.shape == (2, 6, 8)
    (note,) = volume.notes
    assert (note.kind, note.files) == ("repeated", ("copy.dcm",))


def test_of_two_scans_of_one_position_the_first_is_kept(tmp_path):
    series(tmp_path, [0.0, 5.0, 10.0])
    write(tmp_path / "0-again.dcm", dicom_files.stored(9), z=5.0, AcquisitionNumber=2)
    volume = dicom.read(tmp_path)
    np.testing.assert_array_equal(volume.hu[1], dicom_files.stored(1))
    (note,) = volume.notes
    assert (note.kind, note.files) == ("repeated", ("0-again.dcm",))


def test_gantry_tilt_is_kept_in_the_affine(tmp_path):
    angle = np.deg2rad(20)
    tilted = [1, 0, 0, 0, np.cos(angle), -np.sin(angle)]
    volume = dicom.read(
        series(tmp_path, [0.0, 5.0, 10.0], ImageOrientationPatient=tilted)
    )
    np.testing.assert_allclose(volume.affine[:3, 0], [0, 0, 5.0], atol=1e-9)
    np.testing.assert_allclose(volume.spacing_mm[0], 5 * np.cos(angle))
    np.testing.assert_allclose(np.diff(volume.slice_positions_mm), 5 * np.cos(angle))
    assert kinds(volume) == ["geometry"]
    nifti.write_mask(tmp_path / "mask.nii.gz", np.zeros(volume.hu.shape), volume)
    image = nibabel.load(tmp_path / "mask.nii.gz")
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (0, 1)
    corner = image.get_sform() @ [*(np.array(image.shape) - 1), 1]
    last = volume.affine @ [*(np.array(volume.hu.shape) - 1), 1]
    np.testing.assert_allclose(corner[:3], [-last[0], -last[1], last[2]], atol=1e-3)
    zooms = image.header.get_zooms()
    np.testing.assert_allclose(zooms, volume.spacing_mm[::-1], rtol=1e-5)


def test_a_slice_out_of_line_is_reported(tmp_path):
    series(tmp_path, [0.0, 5.0, 10.0, 15.0])
    edit(tmp_path / "002.dcm", ImagePositionPatient=[-7.0, -24.0, 10.0])
    (note,) = dicom.read(tmp_path).notes
    assert note.kind == "geometry"
    assert note.text.startswith("slice 3 lies up to 5.0 mm to one side")


@pytest.mark.parametrize(
    "orientation, turn",
    [
        ((-1, 0, 0, 0, -1, 0), lambda image: image[::-1, ::-1]),
        ((0, 1, 0, -1, 0, 0), lambda image: image.T[:, ::-1]),
        ((-1, 0, 0, 0, 1, 0), lambda image: image[:, ::-1]),
    ],
)
def test_other_positions_of_the_patient_are_turned(tmp_path, orientation, turn):
    folder = series(
        tmp_path, [0.0, 5.0], ImageOrientationPatient=[float(v) for v in orientation]
    )
    volume = dicom.read(folder)
    np.testing.assert_array_equal(volume.hu[1], turn(dicom_files.stored(1)))
    assert volume.slice_positions_mm.tolist() == [0.0, 5.0]
    assert np.all(volume.affine[[2, 1, 0], [0, 1, 2]] > 0)


def test_kinds_of_a_mixed_folder(tmp_path):
    series(tmp_path / "ct", [0.0, 5.0], ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    others = {
        "localizer": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        "secondary capture": {"SOPClassUID": uid.SecondaryCaptureImageStorage},
        "reformat": {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
        "ct without geometry": {"ImagePositionPatient": None},
        "not CT": {"SOPClassUID": uid.MRImageStorage},
    }
    for kind, header in others.items():
        write(
            tmp_path / f"{kind}.dcm", SeriesInstanceUID=dicom.make_uid(kind), **header
        )
    (tmp_path / "LICENSE").write_text("no image")
    by_kind = {series.kind: series for series in dicom.find_series(tmp_path)}
    assert set(by_kind) == {"ct", *others}
    assert by_kind["ct"].slices == 2
    volume = dicom.read(tmp_path)
    assert volume.hu.shape == (2, 6, 8)
    assert kinds(volume) == ["left out"] * 5
    with pytest.raises(ValueError, match="no axial CT series. Found:\n  localizer"):
        dicom.read(tmp_path / "localizer.dcm")


def test_a_localizer_within_the_series_is_left_out(tmp_path):
    series(tmp_path, [0.0, 5.0])
    write(tmp_path / "s.dcm", z=2.0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    volume = dicom.read(tmp_path)
    assert volume.hu.shape == (2, 6, 8)
    assert volume.notes == (Note("left out", "left out: localizer: s.dcm"),)


def test_several_ct_series_must_be_chosen_from(tmp_path):
    thin = dicom.make_uid("thin")
    series(tmp_path / "thick", [0.0, 5.0])
    series(tmp_path / "thin", [0.0, 1.0, 2.0], SeriesInstanceUID=thin)
    with pytest.raises(ValueError, match="2 CT series") as error:
        dicom.read(tmp_path)
    assert thin in str(error.value)
    volume = dicom.read(tmp_path, series_uid=thin)
    assert volume.hu.shape == (3, 6, 8)
    assert kinds(volume) == ["left out"]
    with pytest.raises(ValueError, match="no axial CT series 1.2.3"):
        dicom.read(tmp_path, series_uid="1.2.3")


def test_slices_that_differ_do_not_form_a_volume(tmp_path):
    series(tmp_path, [0.0, 5.0])
    write(tmp_path / "2.dcm", dicom_files.stored(size=(6, 9)), z=10.0)
    uid_of_all = dicom.make_uid("series")
    with pytest.raises(ValueError, match="2 CT series") as error:
        dicom.read(tmp_path)
    assert f"{uid_of_all}#1" in str(error.value)
    assert dicom.read(tmp_path, series_uid=f"{uid_of_all}#1").hu.shape == (2, 6, 8)
    assert dicom.read(tmp_path, series_uid=f"{uid_of_all}#2").hu.shape == (1, 6, 9)
    write(tmp_path / "2.dcm", z=10.0, PixelSpacing=[0.75, 0.6])
    with pytest.raises(ValueError, match="2 CT series"):
        dicom.read(tmp_path)


def test_a_slice_without_geometry_has_no_spacing(tmp_path):
    path = write(tmp_path / "a.dcm", PixelSpacing=None)
    volume = dicom.read(path)
    assert volume.spacing_mm is None
    assert kinds(volume) == ["geometry"]
    write(tmp_path / "b.dcm", dicom_files.stored(1), PixelSpacing=None)
    with pytest.raises(ValueError, match="have no order|no complete geometry"):
        dicom.read(tmp_path)


def test_a_single_slice_is_as_thick_as_it_says(tmp_path):
    assert dicom.read(write(tmp_path / "a.dcm")).spacing_mm == (5.0, 0.75, 0.5)
    path = write(tmp_path / "b.dcm", SliceThickness=None, SpacingBetweenSlices=3)
    assert dicom.read(path).spacing_mm == (3.0, 0.75, 0.5)
    volume = dicom.read(write(tmp_path / "c.dcm", SliceThickness=None))
    # Pixels keep their size, so areas are known and volumes are not.
    assert np.isnan(volume.spacing_mm[0])
    assert volume.spacing_mm[1:] == (0.75, 0.5)
    assert volume.slice_pixel_ml is None
    assert kinds(volume) == ["geometry"]


def _enhanced(path, frames, kind="AXIAL"):
    """An enhanced multi-frame CT whose frames run from head to foot."""
    write(path, SOPClassUID=uid.EnhancedCTImageStorage)
    dataset = pydicom.dcmread(path)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(dataset, keyword)
    del dataset.RescaleSlope, dataset.RescaleIntercept

    def group(**fields):
        item = pydicom.Dataset()
        for keyword, value in fields.items():
            setattr(item, keyword, value)
        return pydicom.Sequence([item])

    dataset.SharedFunctionalGroupsSequence = group(
        PixelMeasuresSequence=group(PixelSpacing=[0.75, 0.5], SliceThickness=4),
        PlaneOrientationSequence=group(ImageOrientationPatient=list(AXIAL)),
        PixelValueTransformationSequence=group(RescaleSlope=1, RescaleIntercept=-1024),
        CTImageFrameTypeSequence=group(FrameType=["ORIGINAL", "PRIMARY", kind]),
        DerivationImageSequence=pydicom.Sequence(),  # No item, as many scanners write.
    )
    dataset.PerFrameFunctionalGroupsSequence = pydicom.Sequence(
        group(
            PlanePositionSequence=group(ImagePositionPatient=[-10, -20, -4.0 * index])
        )[0]
        for index in range(len(frames))
    )
    dataset.NumberOfFrames = len(frames)
    dataset.PixelData = np.stack(frames).tobytes()
    dataset.save_as(path)
    return path


def test_enhanced_multiframe_ct(tmp_path):
    frames = [dicom_files.stored(index) for index in range(3)]
    path = _enhanced(tmp_path / "a.dcm", frames)
    volume = dicom.read(path)
    np.testing.assert_array_equal(volume.hu, np.stack(frames[::-1]) - 1024)
    assert volume.spacing_mm == (4.0, 0.75, 0.5)
    assert dicom.find_series(tmp_path)[0].slices == 3
    _enhanced(path, frames, kind="LOCALIZER")
    assert dicom.find_series(tmp_path)[0].kind == "localizer"


def test_frames_without_positions_are_refused(tmp_path):
    path = edit(write(tmp_path / "a.dcm"), NumberOfFrames=2)
    with pytest.raises(ValueError, match="2 frames in a single-frame CT"):
        dicom.read(path)


@pytest.mark.parametrize(
    "header, message",
    [
        ({"Rows": 60000}, "Rows must be 1 to 4096, not 60000"),
        ({"NumberOfFrames": 10**6}, "NumberOfFrames must be 1 to 4096"),
        ({"Rows": 4096, "Columns": 4096, "NumberOfFrames": 4096}, "voxels read"),
        ({"Rows": 7}, "truncated, 96 bytes of pixel data instead of 112"),
        ({"PixelSpacing": [0, 0.5]}, "PixelSpacing must be positive"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "two perpendicular"),
        ({"ImagePositionPatient": [0, 0]}, "ImagePositionPatient must be 3"),
    ],
)
def test_bad_headers_are_refused_by_name(tmp_path, header, message):
    path = edit(write(tmp_path / "bad.dcm"), **header)
    with pytest.raises(ValueError, match=f"bad.dcm: .*{message}"):
        dicom.read(path)


def test_a_series_beyond_the_limit_is_refused(tmp_path):
    # 17 slices of 4096x4096 pixels are more than 2**28 voxels.
    series(tmp_path, range(17))
    for path in tmp_path.iterdir():
        edit(path, Rows=4096, Columns=4096)
    with pytest.raises(ValueError, match="17 slices are more than the 268435456"):
        dicom.read(tmp_path)


def test_more_pixel_data_than_expected_is_noted(tmp_path):
    path = edit(write(tmp_path / "a.dcm"), Rows=5)
    volume = dicom.read(path)
    np.testing.assert_array_equal(volume.hu[0], dicom_files.stored()[:5])
    assert kinds(volume) == ["values"]


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"<html>" * 100)
    with pytest.raises(ValueError, match="a.dcm: not a DICOM file"):
        dicom.read(tmp_path / "a.dcm")
    with pytest.raises(ValueError, match="b.dcm: cannot be opened"):
        dicom.read(tmp_path / "b.dcm")
    with pytest.raises(ValueError, match="no readable DICOM file"):
        dicom.read(tmp_path)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.99])
def test_truncated_files_are_refused(tmp_path, keep):
    path = write(tmp_path / "a.dcm")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match="a.dcm"):
        dicom.read(path)


def test_a_deflated_bomb_is_refused_before_it_inflates(tmp_path):
    path = write(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    np.testing.assert_array_equal(dicom.read(path).hu[0], dicom_files.stored())
    content = bytearray(path.read_bytes())
    group_length = int(pydicom.filereader.read_file_meta_info(path)[0x00020000].value)
    content[140:144] = bytes(4)  # A false length of the group changes nothing.
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(b"\0" * 300_000) + packer.flush()
    path.write_bytes(content[: 144 + group_length] + bomb)
    with pytest.raises(ValueError, match="a.dcm: inflates to more than 200000 bytes"):
        reader_files.read_dataset(path, pixels=True, most_bytes=200_000)


def test_an_unknown_transfer_syntax_is_named(tmp_path):
    path = write(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = uid.MPEG2MPML
    dataset.PixelData = pydicom.encaps.encapsulate([b"no video"])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(path, dataset)
    with pytest.raises(
        ValueError, match=r"'MPEG2 .*\(1.2.840.10008.1.2.4.100\) cannot"
    ):
        dicom.read(path)


def test_no_tag_of_the_patient_reaches_a_message(tmp_path):
    secret = "<script>alert('Doe^Jane')</script>"
    header = {"SeriesDescription": secret, "ImageComments": secret}
    series(tmp_path / "one", [0.0, 5.0, 20.0, 25.0], PatientName=secret, **header)
    other = dicom.make_uid("other")
    series(tmp_path / "two", [0.0], SeriesInstanceUID=other, PatientID=secret, **header)
    with pytest.raises(ValueError) as error:
        dicom.read(tmp_path)
    volume = dicom.read(tmp_path, series_uid=other)
    assert "Doe" not in str(error.value)
    assert "Doe" not in " ".join([*map(str, volume.notes), volume.origin])


def test_the_marker_of_the_phantom_is_the_origin(tmp_path):
    path = write(tmp_path / "a.dcm", ImageComments="ich_tf phantom seed 3")
    assert dicom.read(path).origin == "ich_tf phantom seed 3"


def test_a_written_slice_has_the_same_bytes_every_time(tmp_path):
    first = write(tmp_path / "a" / "x.dcm").read_bytes()
    assert first == write(tmp_path / "b" / "x.dcm").read_bytes()
    with pytest.raises(ValueError, match="must be a 16-bit slice"):
        write(tmp_path / "c.dcm", dicom_files.stored().astype(np.float32))


def test_a_mask_for_a_dicom_series_lies_where_the_series_lies(tmp_path):
    volume = dicom.read(series(tmp_path / "ct", [0.0, 5.0]))
    mask = np.zeros(volume.hu.shape, np.uint8)
    mask[1, 2, 3] = 1
    nifti.write_mask(tmp_path / "mask.nii.gz", mask, volume)
    back = nifti.read(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-6)
    assert np.argwhere(back.hu).tolist() == [[1, 2, 3]]


# What each file of the shared folders is; the rest of a folder must be listed too.
NOT_CT = {
    "mixed-study/LICENSE": "not a DICOM file",
    "mixed-study/S1000-DIRFILE": "no image: S1000-DIRFILE",
    "mixed-study/S1000-I10": "localizer: S1000-I10",
    "mixed-study/S2010-DIRFILE": "no image: S2010-DIRFILE",
    "mixed-study/S4010-DIRFILE": "no image: S4010-DIRFILE",
    **{
        f"mixed-study/S4010-I{number}": f"secondary capture: S4010-I{number}"
        for number in (10, 20, 30, 40, 50)
    },
    "transfer-syntaxes/LICENSE": "not a DICOM file",
    "transfer-syntaxes/no-pixel-data.dcm": "no image: no-pixel-data.dcm",
    "transfer-syntaxes/no-pixel-spacing.dcm": "not CT: no-pixel-spacing.dcm",
    "head-ct-dicom/ge-series.LICENSE": "not a DICOM file",
    "head-ct-dicom/chronic-sdh/LICENSE": "not a DICOM file",
}
NOT_DECODED = {
    "1.2.840.10008.1.2.4.55": "Process 10 and 12",
    "1.2.840.10008.1.2.4.51": "Process 2 and 4",
    "1.2.840.10008.1.2.4.53": "Process 6 and 8",
}
# Largest difference to the original, in HU.
LOSSY = {
    "1.2.840.10008.1.2.4.91": 5,
    "1.2.840.10008.1.2.4.81": 1,
    "1.2.840.10008.1.2.4.50": 65,
}


@pytest.mark.real_data
def test_every_shared_file_ends_in_a_reading_or_a_clear_error(shared):
    data = shared / "data"
    read = 0
    for folder in ("head-ct-dicom", "mixed-study", "transfer-syntaxes"):
        for path in sorted(
            path for path in (data / folder).rglob("*") if path.is_file()
        ):
            name = str(path.relative_to(data))
            syntax = path.stem.rsplit("_", 1)[-1]
            expected = NOT_CT.get(name, NOT_DECODED.get(syntax))
            if expected is None:
                volume = dicom.read(path)
                assert volume.hu.shape == (1, 512, 512), name
                assert volume.spacing_mm is not None, name
                assert volume.hu.min() == -1024, name
                read += 1
                continue
            with pytest.raises(ValueError) as error:
                dicom.read(path)
            assert expected in str(error.value), name
            assert path.name in str(error.value), name
    assert read == 50


@pytest.mark.real_data
def test_transfer_syntaxes_agree(shared):
    folder = shared / "data" / "transfer-syntaxes"
    original = dicom.read(folder / "CTImage.dcm").hu
    compared = 0
    for path in sorted(folder.glob("CTImage.dcm_*")):
        syntax = path.stem.rsplit("_", 1)[-1]
        if syntax in NOT_DECODED:
            continue
        difference = np.abs(dicom.read(path).hu - original).max()
        assert difference <= LOSSY.get(syntax, 0), path.name
        compared += 1
    assert compared == 12


@pytest.mark.real_data
def test_the_ge_series(shared):
    volume = dicom.read(shared / "data" / "head-ct-dicom" / "ge-series")
    assert volume.hu.shape == (28, 512, 512)
    steps = np.diff(volume.slice_positions_mm)
    np.testing.assert_allclose(steps[[0, 13, 14]], [4.0, 1.08, 7.0], atol=0.01)
    np.testing.assert_allclose(volume.affine[:3, 0], [0, 0, 4.22], atol=1e-6)
    assert kinds(volume) == ["uneven spacing", "geometry"]


@pytest.mark.real_data
def test_the_mixed_study(shared):
    volume = dicom.read(shared / "data" / "mixed-study")
    assert volume.hu.shape == (5, 512, 512)
    assert kinds(volume) == ["left out"] * 3 + ["missing slices", "uneven spacing"]


@pytest.mark.real_data
def test_one_series_of_a_study_in_many_syntaxes(shared):
    with pytest.raises(ValueError, match="2 CT series; choose one"):
        dicom.read(shared / "data" / "transfer-syntaxes")


@pytest.mark.real_data
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.97, -20])
def test_truncated_compressed_files_are_refused(shared, tmp_path, keep):
    for path in sorted((shared / "data" / "transfer-syntaxes").glob("CT*")):
        content = path.read_bytes()
        cut = tmp_path / "cut.dcm"
        cut.write_bytes(content[: keep if keep < 0 else int(keep * len(content))])
        with pytest.raises(ValueError, match="cut.dcm"):
            dicom.read(cut)


@pytest.mark.real_data
def test_the_lossless_and_the_plain_slice_are_equal(shared):
    folder = shared / "data" / "head-ct-dicom" / "chronic-sdh"
    plain = dicom.read(folder / "uncompressed.dcm")
    packed = dicom.read(folder / "jpeg2000-lossless.dcm")
    np.testing.assert_array_equal(plain.hu, packed.hu)
    assert plain.spacing_mm == (5.0, 0.478516, 0.478516)


def test_pixels_that_were_emptied_are_none(tmp_path):
    path = write(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    dataset["PixelData"].value = None
    dataset.save_as(path)
    with pytest.raises(ValueError, match=r"a.dcm: no pixel data"):
        dicom.read(path)
