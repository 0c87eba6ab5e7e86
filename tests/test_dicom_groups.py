"""Images of one Series Instance UID divided into stacks, and single images joined."""

import dicom_files
import numpy as np
import pytest
from dicom_files import kinds, series, write

from ich_tf.io import dicom

UID = dicom.make_uid("series")
THICK = range(0, 50, 5)
BETWEEN = np.arange(2, 47, 5.0)


def _cts(folder):
    return [found for found in dicom.find_series(folder) if found.kind == "ct"]


@pytest.mark.parametrize(
    ("positions", "header"),
    [
        (BETWEEN, {"ConvolutionKernel": "BONE"}),
        (BETWEEN, {"SliceThickness": 2.5}),
        (BETWEEN, {"PixelSpacing": [0.4, 0.4]}),
        (THICK, {"ContrastBolusAgent": "IODINE"}),
        (THICK, {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MIP"]}),
        (THICK, {"AcquisitionNumber": 2}),
        (THICK, {"TemporalPositionIdentifier": 2}),
        (THICK, {"KVP": 80}),
        (THICK, {"PatientID": "another"}),
        (range(60, 110, 5), {"PatientID": "another"}),
        (range(60, 110, 5), {"StudyInstanceUID": "1.2.9"}),
        (BETWEEN, {"FrameOfReferenceUID": "1.2.8"}),
        (BETWEEN, {"SeriesNumber": 2}),
        (BETWEEN, {"AcquisitionDate": "20200102"}),
        (BETWEEN, {}),  # A second scan that only rows of image numbers show.
        (THICK, {}),  # A second scan that only its images' UIDs distinguish.
        (THICK, {"ImageOrientationPatient": [0.9848, 0, 0.1736, 0, 1, 0]}),
    ],
)
def test_two_stacks_under_one_uid_are_never_interleaved(tmp_path, positions, header):
    both = {"AcquisitionNumber": 1, "KVP": 120, "ConvolutionKernel": "SOFT"}
    both |= {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}
    both |= {"FrameOfReferenceUID": "1.2.7", "SeriesNumber": 1}
    both |= {"AcquisitionDate": "20200101"}
    series(tmp_path / "a", THICK, **both)
    series(tmp_path / "b", positions, **{**both, **header})
    with pytest.raises(ValueError, match="2 CT series") as error:
        dicom.read(tmp_path)
    assert f"{UID}#1" in str(error.value) and f"{UID}#2" in str(error.value)
    first = dicom.read(tmp_path, series_uid=f"{UID}#1")
    second = dicom.read(tmp_path, series_uid=f"{UID}#2")
    assert (len(first.hu), len(second.hu)) == (10, len(positions))
    assert kinds(first) == ["left out"]
    assert [s.uid for s in dicom.select("x", dicom.find_series(tmp_path), "all")] == [
        f"{UID}#1",
        f"{UID}#2",
    ]


@pytest.mark.parametrize(
    "header",
    [
        {"SliceThickness": 10.0},
        {"ConvolutionKernel": "BONE"},
        {"AcquisitionNumber": 2},
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]},
    ],
)
def test_a_scan_that_changes_along_the_body_stays_one(tmp_path, header):
    series(tmp_path / "base", range(0, 30, 5))
    series(tmp_path / "vertex", range(30, 60, 5), **header)
    assert len(dicom.read(tmp_path).hu) == 12


@pytest.mark.parametrize("numbers", ["same", "none", "random", "twice", "odd first"])
def test_image_numbers_alone_never_divide_an_even_scan(tmp_path, numbers):
    series(tmp_path, range(0, 60, 5))
    random = np.random.default_rng(0).permutation(12)
    for index, path in enumerate(sorted(tmp_path.iterdir())):
        number = {
            "same": 1,
            "none": None,
            "random": int(random[index]) + 1,
            "twice": index % 6 + 1,
            "odd first": index // 2 + 1 + 6 * (index % 2),
        }[numbers]
        dicom_files.edit(path, InstanceNumber=number)
    assert len(dicom.read(tmp_path).hu) == 12


def test_two_slices_scanned_again_where_blocks_meet_are_repeated(tmp_path):
    series(tmp_path / "base", range(0, 30, 5), AcquisitionNumber=1)
    series(tmp_path / "vertex", range(20, 60, 5), AcquisitionNumber=2)
    volume = dicom.read(tmp_path)
    assert len(volume.hu) == 12
    (note,) = volume.notes
    assert (note.kind, note.files) == ("repeated", ("000.dcm", "001.dcm"))


def test_images_of_one_position_are_no_scan(tmp_path):
    series(tmp_path, [0.0] * 6, ImagePositionPatient=[0, 0, 0])
    with pytest.raises(ValueError, match=r"6 images lie at 1 position"):
        dicom.read(tmp_path)


def test_copies_of_all_slices_give_one_note(tmp_path):
    series(tmp_path / "a", range(0, 120, 5))
    for path in sorted((tmp_path / "a").iterdir()):
        (tmp_path / f"copy-{path.name}").write_bytes(path.read_bytes())
    volume = dicom.read(tmp_path)
    assert len(volume.hu) == 24
    assert kinds(volume) == ["repeated"]


@pytest.mark.parametrize(
    ("positions", "same_study", "joined"),
    [
        (range(0, 40, 5), True, True),
        ((0, 5, 10, 20, 25), True, True),
        (range(0, 40, 5), False, False),
        ((0, 0, 0, 0), True, False),  # Bolus tracking: one position again and again.
        ((0, 100, 200), True, False),
    ],
)
def test_series_of_one_image_each(tmp_path, positions, same_study, joined):
    for number, z in enumerate(positions):
        write(
            tmp_path / f"{number}.dcm",
            dicom_files.stored(number),
            z=float(z),
            SeriesInstanceUID=dicom.make_uid(f"own{number}"),
            StudyInstanceUID=dicom.make_uid("study" if same_study else f"s{number}"),
        )
    found = _cts(tmp_path)
    if not joined:
        assert len(found) == len(positions)
        return
    (only,) = found
    assert only.slices == len(positions)
    volume = dicom.read(tmp_path, series_uid=dicom.make_uid("own3"))
    assert "scan" in kinds(volume)
