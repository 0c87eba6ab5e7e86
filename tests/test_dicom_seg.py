"""SEG and SR of a prediction, read back by highdicom and by SimpleITK."""

import logging
import shutil
import subprocess

import numpy as np
import pytest

from ich_tf import labels
from ich_tf.io import dicom
from ich_tf.volume import Volume

highdicom = pytest.importorskip("highdicom", reason="needs ich_tf[dicom]")
from ich_tf.io import dicom_seg  # noqa: E402

ROWS, COLUMNS, SLICES = 12, 16, 5
TILT = np.deg2rad(18.5)
# Directions of a row and a column; the last as a scanner that turned the head.
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "tilted": (1, 0, 0, 0, float(np.cos(TILT)), -float(np.sin(TILT))),
    "turned": (-1, 0, 0, 0, -1, 0),
}
FINDINGS = [
    dicom_seg.SegmentFacts(name, 1.5 * number, 0.1 * number)
    for number, name in enumerate(labels.SUBTYPES)
]


def write_series(folder, orientation, **changed):
    study, frame, series = (dicom.make_uid(name) for name in ("st", "fr", "se"))
    for z in range(SLICES):
        header = {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
            "SOPInstanceUID": dicom.make_uid("image", str(z)),
            "StudyInstanceUID": study,
            "SeriesInstanceUID": series,
            "FrameOfReferenceUID": frame,
            "Modality": "CT",
            "PatientID": "P1",
            "PatientName": "Doe^Jane",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "InstanceNumber": SLICES - z,
            "ImagePositionPatient": [-8.0, -6.0, 5.0 * z],
            "ImageOrientationPatient": list(orientation),
            "PixelSpacing": [0.5, 0.75],
            "SliceThickness": 5.0,
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
            **changed,
        }
        header = {name: value for name, value in header.items() if value is not None}
        stored = np.full((ROWS, COLUMNS), 1064, np.uint16)
        dicom.write_slice(folder / f"{9 - z}.dcm", stored, header)


@pytest.fixture(params=ORIENTATIONS)
def volume(request, tmp_path):
    write_series(tmp_path, ORIENTATIONS[request.param])
    return dicom.read(tmp_path)


def drawn(volume):
    """An epidural box and a subdural pixel, in slices 2 and 4."""
    segments = np.zeros(volume.hu.shape, np.uint8)
    segments[1, 2:5, 3:9] = 1
    segments[3, 9, 2] = 5
    return segments


def places_of(volume, mask):
    """The LPS millimetres of a mask's voxels, sorted."""
    indices = np.column_stack([*np.nonzero(mask), np.ones(mask.sum())])
    return sorted(map(tuple, (indices @ volume.affine.T)[:, :3].round(2)))


def test_each_voxel_comes_back_at_its_place(volume, tmp_path):
    segments = drawn(volume)
    assert dicom_seg.write(tmp_path, volume, segments, FINDINGS) == [
        "segmentation.dcm",
        "report.dcm",
    ]
    segmentation = highdicom.seg.segread(tmp_path / "segmentation.dcm")
    for number in (1, 5):
        places = []
        of_segment = segmentation.get_pixels_by_source_instance(
            [dicom.make_uid("image", str(z)) for z in range(SLICES)],
            segment_numbers=[number],
            assert_missing_frames_are_empty=True,
        )[..., 0]
        for z, row, column in np.argwhere(of_segment):
            along_row, along_column = orientation_of(volume).reshape(2, 3)
            place = np.array([-8.0, -6.0, 5.0 * z])
            place = place + column * 0.75 * along_row + row * 0.5 * along_column
            places.append(tuple(place.round(2)))
        assert sorted(places) == places_of(volume, segments == number)


def orientation_of(volume):
    (image, *_) = dicom_seg.read_images(volume)
    return np.array(image.ImageOrientationPatient, float)


def test_an_independent_reader_sees_the_same_pixels(volume, tmp_path):
    import SimpleITK

    dicom_seg.write(tmp_path, volume, drawn(volume), FINDINGS)
    path = str(tmp_path / "segmentation.dcm")
    pixels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    # One frame for each slice of each segment that is not empty.
    assert sorted((frame > 0).sum() for frame in pixels) == [1, 18]


def test_the_report_holds_millilitres_and_refers_to_segments(volume, tmp_path):
    dicom_seg.write(tmp_path, volume, drawn(volume), FINDINGS)
    report = highdicom.sr.srread(tmp_path / "report.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == len(FINDINGS)
    told = {}
    for group in groups:
        (site,) = group.finding_sites
        volume_ml, probability = group.get_measurements()
        assert volume_ml.unit.value == "ml"
        told[site.value.meaning] = (volume_ml.value, probability.value)
    assert told["Subdural space"] == (6.0, pytest.approx(0.4))
    assert groups[4].referenced_segment.referenced_segment_numbers == [5]
    assert (report.PatientID, str(report.PatientName)) == ("P1", "Doe^Jane")


def test_an_empty_mask_is_a_segmentation_too(volume, tmp_path):
    dicom_seg.write(tmp_path, volume, 0 * drawn(volume), FINDINGS)
    segmentation = highdicom.seg.segread(tmp_path / "segmentation.dcm")
    assert segmentation.number_of_segments == len(FINDINGS)
    assert not segmentation.pixel_array.any()


def test_files_without_a_frame_of_reference_are_refused_by_name(tmp_path):
    write_series(tmp_path, ORIENTATIONS["axial"], FrameOfReferenceUID=None)
    volume = dicom.read(tmp_path)
    with pytest.raises(dicom_seg.NoDicomOutput, match="dcm lacks .*FrameOfReference"):
        dicom_seg.write(tmp_path, volume, drawn(volume), FINDINGS)
    assert not (tmp_path / "segmentation.dcm").exists()


def test_libraries_say_nothing_about_the_images(tmp_path, caplog, recwarn):
    # An identifier that is none, then a tilted series.
    write_series(tmp_path, ORIENTATIONS["tilted"], FrameOfReferenceUID="1.2.a")
    volume = dicom.read(tmp_path)
    recwarn.clear()
    with caplog.at_level(logging.INFO), pytest.raises(dicom_seg.NoDicomOutput):
        dicom_seg.write(tmp_path, volume, drawn(volume), FINDINGS)
    write_series(tmp_path, ORIENTATIONS["tilted"])
    volume = dicom.read(tmp_path)
    recwarn.clear()
    with caplog.at_level(logging.INFO):
        dicom_seg.write(tmp_path, volume, drawn(volume), FINDINGS)
    assert [record.name for record in caplog.records] == []
    assert [str(warning.message) for warning in recwarn] == []


def test_a_volume_that_is_no_dicom_is_refused(volume, tmp_path):
    other = Volume(volume.hu, None, None, None)
    with pytest.raises(dicom_seg.NoDicomOutput, match="no DICOM"):
        dicom_seg.write(tmp_path, other, drawn(volume), FINDINGS)


needs_validator = pytest.mark.skipif(
    shutil.which("dciodvfy") is None,
    reason="no dciodvfy on this machine (Debian: apt-get install dicom3tools)",
)


@needs_validator
def test_the_validator_finds_no_error(volume, tmp_path):
    for name in dicom_seg.write(tmp_path, volume, drawn(volume), FINDINGS):
        assert faults(tmp_path / name) == []


def faults(path):
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


def segmented_series(shared, folder):
    """Write a segmentation of a real tilted series; returns its (z, y, x)."""
    volume = dicom.read(shared / "data" / "head-ct-dicom" / "ge-series")
    segments = np.zeros(volume.hu.shape, np.uint8)
    segments[3:9, 100:140, 90:200] = 2
    dicom_seg.write(folder, volume, segments, FINDINGS)
    return segments


@pytest.mark.real_data
def test_a_real_tilted_series_comes_back(shared, tmp_path):
    segments = segmented_series(shared, tmp_path)
    segmentation = highdicom.seg.segread(tmp_path / "segmentation.dcm")
    assert segmentation.pixel_array.sum() == (segments == 2).sum() == 6 * 40 * 110


@needs_validator
@pytest.mark.real_data
def test_the_validator_finds_no_error_in_a_tilted_series(shared, tmp_path):
    segmented_series(shared, tmp_path)
    assert faults(tmp_path / "segmentation.dcm") == []
    assert faults(tmp_path / "report.dcm") == []
