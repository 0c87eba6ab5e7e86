"""Series of a folder: stacks under one UID, UIDs for each slice, what is left out."""

import os
import socket

import dicom_files
import numpy as np
import pydicom
import pytest
from dicom_files import kinds, series, write
from pydicom import uid

from ich_tf.io import dicom


def _cts(folder):
    return [series for series in dicom.find_series(folder) if series.kind == "ct"]


def test_a_listing_has_what_one_chooses_by_and_nothing_of_the_patient(tmp_path):
    header = {"PatientName": "Doe^Jane", "PatientBirthDate": "19700102"}
    header |= {"ConvolutionKernel": "H30", "ContrastBolusAgent": "IODINE"}
    for number in range(26):
        series(
            tmp_path / str(number),
            [0, 5],
            SeriesInstanceUID=dicom.make_uid(str(number)),
            SeriesDescription=("Head 5.0", "DOE head", "of 02.01.1970")[number % 3],
            **header,
        )
    with pytest.raises(ValueError, match="26 CT series") as error:
        dicom.read(tmp_path)
    message = str(error.value)
    assert all(dicom.make_uid(str(number)) in message for number in range(26))
    assert "doe" not in message.lower() and "1970" not in message
    first = next(s for s in _cts(tmp_path) if s.uid == dicom.make_uid("0"))
    assert (first.description, first.kernel, first.contrast) == (
        "Head 5.0",
        "H30",
        True,
    )
    assert (first.thickness_mm, first.matrix, first.orientation, first.slices) == (
        (5.0,),
        (6, 8),
        "axial",
        2,
    )
    assert "Head 5.0" in dicom.describe(first)


def test_the_largest_series_can_be_chosen(tmp_path):
    series(tmp_path / "a", [0, 5])
    series(tmp_path / "b", [0, 5, 10], SeriesInstanceUID=dicom.make_uid("b"))
    volume = dicom.read(tmp_path, series_uid="largest")
    assert len(volume.hu) == 3


@pytest.mark.parametrize(
    "header",
    [
        {"SOPClassUID": uid.SecondaryCaptureImageStorage, "Rows": 5000},
        {"SOPClassUID": uid.EncapsulatedPDFStorage, "Rows": None},
        {"SOPClassUID": uid.MRImageStorage, "PixelSpacing": [0, 0]},
        {"ImageType": ["DERIVED", "SECONDARY", "MPR"], "PixelSpacing": [0, 0]},
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"], "Rows": 9000},
        {"ImageOrientationPatient": [0.0] * 6},
        {"ImageOrientationPatient": [0.7, 0.7, 0, 0, 0, 0.5]},
        {"NumberOfFrames": 360},
        {"PhotometricInterpretation": "RGB"},
        {"ImagePositionPatient": None},
        {"RescaleType": "MGML"},
    ],
)
def test_an_object_that_is_not_the_scan_is_left_out(tmp_path, header):
    series(tmp_path / "scan", [0, 5, 10])
    other = {"SeriesInstanceUID": dicom.make_uid("other")}
    path = write(tmp_path / "other.dcm", **other)
    dataset = pydicom.dcmread(path)
    for keyword, value in header.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    pydicom.dcmwrite(path, dataset)
    for wanted in (None, dicom.make_uid("series")):
        volume = dicom.read(tmp_path, series_uid=wanted)
        assert len(volume.hu) == 3
        assert kinds(volume) == ["left out"]


def _without_preamble(path):
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    return content[start:]


def _without_first_bytes(path):
    return path.read_bytes()[132:]


@pytest.mark.parametrize("cut", [_without_preamble, _without_first_bytes])
def test_slices_without_preamble_are_read(tmp_path, cut):
    series(tmp_path, [0, 5, 10, 15])
    for number in (1, 3):
        path = tmp_path / f"{number:03d}.dcm"
        path.write_bytes(cut(path))
    volume = dicom.read(tmp_path)
    assert len(volume.hu) == 4
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.hu[3], dicom_files.stored(3))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"<html>not found</html>"),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.symlink_to("/nowhere")),
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    ],
)
def test_a_slice_that_cannot_be_read_is_named(tmp_path, spoil):
    series(tmp_path, [0, 5, 10, 15])
    spoil(tmp_path / "003.dcm")
    volume = dicom.read(tmp_path)
    assert len(volume.hu) == 3
    (note,) = volume.notes
    assert (note.kind, note.files) == ("missing slices", ("003.dcm",))


def test_links_are_followed_and_loops_are_not(tmp_path):
    series(tmp_path / "store", [0, 5, 10])
    study = tmp_path / "study"
    study.mkdir()
    (study / "series").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "back").symlink_to(study)
    (study / "again.dcm").symlink_to(tmp_path / "store" / "001.dcm")
    volume = dicom.read(study)
    assert len(volume.hu) == 3
    assert volume.notes == ()


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path, kind):
    path = tmp_path / "x.dcm"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.fspath(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(ValueError, match=r"x\.dcm"):
        dicom.read(path)


def test_a_name_that_is_no_utf8_can_be_shown(tmp_path):
    series(tmp_path, [0, 5])
    path = os.fsencode(tmp_path) + b"/\xff\xfe.dcm"
    with open(path, "wb"):
        pass
    (note,) = dicom.read(tmp_path).notes
    assert note.text.encode("utf-8")


@pytest.mark.parametrize("digits", [2, 3])
def test_rounded_directions_are_normalized(tmp_path, digits):
    # cos and sin of 18.5 degrees, rounded: 0.95 and 0.32 have the length 1.0025.
    angle = np.deg2rad(18.5)
    down = [
        0,
        round(float(np.cos(angle)), digits),
        round(-float(np.sin(angle)), digits),
    ]
    series(tmp_path, [0, 5, 10], ImageOrientationPatient=[1, 0, 0, *down])
    volume = dicom.read(tmp_path)
    np.testing.assert_allclose(volume.spacing_mm[1:], (0.75, 0.5), rtol=1e-9)


def test_contrast_agent_is_noted(tmp_path):
    volume = dicom.read(series(tmp_path, [0, 5], ContrastBolusAgent="IODINE"))
    assert kinds(volume) == ["scan"]


def test_a_table_of_contents_is_no_scan(tmp_path):
    path = write(tmp_path / "DICOMDIR", SOPClassUID="1.2.840.10008.1.3.10")
    dataset = pydicom.dcmread(path)
    del dataset.Rows, dataset.Columns, dataset.PixelData
    pydicom.dcmwrite(path, dataset)
    with pytest.raises(ValueError, match="Give its folder"):
        dicom.read(path)
