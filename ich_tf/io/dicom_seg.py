"""A prediction as DICOM: a segmentation (SEG) and a structured report (SR) with ml.

Both refer to the images that the scan was read from, and copy the patient and the
study from them, as the standard requires.

Each subtype is a segment. It is coded as 3D Slicer codes intracranial hemorrhage: a
morphologically altered structure, hemorrhage, and where in the head it lies.

Reference:
    DICOM PS3.3, A.51 (segmentation); PS3.16, TID 1500 (measurement report) and TID 1411
    (volumetric ROI measurements).
"""

import contextlib
import dataclasses
import logging
import math
import os
import pathlib
import typing
import warnings
from collections.abc import Iterator

import numpy as np
import pydicom

from ich_tf import __version__, labels, packages
from ich_tf.volume import Volume

if typing.TYPE_CHECKING:
    import highdicom

NO_HIGHDICOM = f"DICOM SEG and SR need highdicom: {packages.command('dicom')}"
FILES = ("segmentation.dcm", "report.dcm")
SERIES_NUMBERS = {"SEG": 9001, "SR": 9002}
REQUIRED = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("FrameOfReferenceUID",),
)
"""What the images must have; all are UIDs."""
EMPTY_IF_ABSENT = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
    *("ReferringPhysicianName",),
)
"""Attributes that may be empty in DICOM, but not absent."""
REGIONS = {
    "epidural": ("71228", "FMA", "Cranial epidural space"),
    "intraparenchymal": ("836432005", "SCT", "Parenchyma of brain"),
    "intraventricular": ("279245009", "SCT", "Ventricular system of brain"),
    "subarachnoid": ("33930006", "SCT", "Cranial subarachnoid space"),
    "subdural": ("54214006", "SCT", "Subdural space"),
    labels.ANY: ("1101003", "SCT", "Cranial cavity"),
}
COLOURS = {
    "epidural": (255, 196, 0),
    "intraparenchymal": (255, 64, 48),
    "intraventricular": (64, 200, 255),
    "subarachnoid": (200, 110, 255),
    "subdural": (70, 220, 120),
    labels.ANY: (255, 64, 48),
}


class NoDicomOutput(ValueError):
    """The scan has no images that SEG and SR could refer to; the message says why."""


@dataclasses.dataclass(frozen=True)
class SegmentFacts:
    """One segment.

    Attributes:
        name: One of `labels.CLASSES`.
        volume_ml: Millilitres; None if unknown.
        probability: Probability of the class in the scan; None if unknown.
    """

    name: str
    volume_ml: float | None
    probability: float | None


def write(
    folder: str | os.PathLike,
    volume: Volume,
    segments: np.ndarray,
    findings: list[SegmentFacts],
) -> list[str]:
    """Write `segmentation.dcm` and `report.dcm`.

    Args:
        folder: Where to write; must exist.
        volume: The scan, from `dicom.read`.
        segments: (z, y, x), uint8, 0 or a position in `findings`, from 1.
        findings: One for each segment.

    Returns:
        Names of the files.

    Raises:
        NoDicomOutput: if the scan is no DICOM, its images lack what SEG needs, or
            highdicom is not installed.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise NoDicomOutput(NO_HIGHDICOM) from error
    images = read_images(volume)
    with _quiet_libraries():
        segmentation = _segmentation(images, volume, segments, findings)
        report = _report(images, segmentation, findings)
        for name, content in zip(FILES, (segmentation, report), strict=True):
            content.save_as(pathlib.Path(folder) / name)
    return list(FILES)


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Hold back what pydicom and highdicom say about values of the source images.

    These may break rules, and frames of a tilted series are not regularly spaced.
    """
    logger = logging.getLogger("highdicom")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with pydicom.config.disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def read_images(volume: Volume) -> list[pydicom.Dataset]:
    """Headers of the images that a scan was read from, each file once.

    Raises:
        NoDicomOutput: if the scan is no DICOM, or a header lacks what SEG needs.
    """
    paths = list(dict.fromkeys(path for path, _ in volume.slice_sources))
    if not paths or volume.affine is None:
        raise NoDicomOutput(
            "the scan is no DICOM series with a place in space; SEG refers to images"
        )
    images = []
    for path in paths:
        with _quiet_libraries():
            image = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            # Values are converted, and found wrong, when they are asked for.
            lacking = [name for name in REQUIRED if not _is_uid(image.get(name))]
        if lacking:
            raise NoDicomOutput(f"{path.name} lacks a valid {', '.join(lacking)}")
        for name in EMPTY_IF_ABSENT:
            if name not in image:
                setattr(image, name, "")
        if "DeidentificationMethod" in image and not image.DeidentificationMethod:
            # An empty one, which many anonymisers leave, is not valid in SEG.
            image.DeidentificationMethod = "not stated"
        images.append(image)
    return images


def _is_uid(value: object) -> bool:
    return bool(value) and pydicom.uid.UID(str(value)).is_valid


def frames_of(
    images: list[pydicom.Dataset], volume: Volume, segments: np.ndarray
) -> np.ndarray:
    """Segments as the images' own frames, rows and columns.

    Args:
        images: From `read_images`.
        volume: The scan.
        segments: (z, y, x), uint8.

    Returns:
        (frames, rows, columns), uint8: one frame for each single-frame image, or all
        frames of the one multi-frame image.
    """
    count = len(images)
    if count == 1:
        count = int(images[0].get("NumberOfFrames") or 1)
    order = {path: number for number, path in enumerate(_paths(volume))}
    turned = _to_file(images[0], volume, segments)
    frames = np.zeros((count, *turned.shape[1:]), np.uint8)
    for (path, frame), of_slice in zip(volume.slice_sources, turned, strict=True):
        frames[frame if len(images) == 1 else order[path]] = of_slice
    return frames


def _paths(volume: Volume) -> list[pathlib.Path]:
    return list(dict.fromkeys(path for path, _ in volume.slice_sources))


def _to_file(
    image: pydicom.Dataset, volume: Volume, segments: np.ndarray
) -> np.ndarray:
    """(z, rows, columns), as the rows and columns lie in the file."""
    along_row, along_column = _orientation(image).reshape(2, 3)
    y, x = volume.affine[:3, 1], volume.affine[:3, 2]
    if abs(along_column @ y) < abs(along_column @ x) * math.hypot(*y) / math.hypot(*x):
        segments, y, x = np.swapaxes(segments, 1, 2), x, y
    steps = [-1 if along_column @ y < 0 else 1, -1 if along_row @ x < 0 else 1]
    return segments[:, :: steps[0], :: steps[1]]


def _orientation(image: pydicom.Dataset) -> np.ndarray:
    """(6,), direction of a row, then of a column; the same for all frames."""
    shared = image.get("SharedFunctionalGroupsSequence") or [image]
    per_frame = image.get("PerFrameFunctionalGroupsSequence") or [image]
    for owner in (image, shared[0], per_frame[0]):
        groups = owner.get("PlaneOrientationSequence") or [owner]
        if "ImageOrientationPatient" in groups[0]:
            return np.array(groups[0].ImageOrientationPatient, float)
    raise NoDicomOutput("the images have no Image Orientation (Patient)")


def _codes(name: str):
    from pydicom.sr.coding import Code

    category = Code("49755003", "SCT", "Morphologically Altered Structure")
    return category, Code("50960005", "SCT", "Hemorrhage"), Code(*REGIONS[name])


def _segmentation(
    images, volume: Volume, segments: np.ndarray, findings: list[SegmentFacts]
) -> "highdicom.seg.Segmentation":
    import highdicom
    from pydicom.sr.codedict import codes

    algorithm = highdicom.AlgorithmIdentificationSequence(
        "ich_tf", codes.DCM.ArtificialIntelligence, __version__
    )
    descriptions = []
    for number, finding in enumerate(findings, start=1):
        category, kind, region = _codes(finding.name)
        descriptions.append(
            highdicom.seg.SegmentDescription(
                number,
                f"{finding.name} hemorrhage",
                category,
                kind,
                highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm,
                tracking_uid=highdicom.UID(),
                tracking_id=f"{finding.name} hemorrhage",
                anatomic_regions=[region],
                display_color=highdicom.color.CIELabColor.from_rgb(
                    *COLOURS[finding.name]
                ),
            )
        )
    return highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=frames_of(images, volume, segments),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        omit_empty_frames=bool(segments.any()),
        content_label="HEMORRHAGE",
        content_description="Predicted intracranial hemorrhage, research use only",
        content_creator_name="ich_tf",
        **_identity("SEG"),
        series_description="Predicted hemorrhage",
    )


def _identity(kind: str) -> dict:
    import highdicom

    return {
        "series_instance_uid": highdicom.UID(),
        "series_number": SERIES_NUMBERS[kind],
        "sop_instance_uid": highdicom.UID(),
        "instance_number": 1,
        "manufacturer": "ich_tf",
        "manufacturer_model_name": "ich_tf",
        "software_versions": __version__,
        "device_serial_number": "1",
    }


def _report(
    images, segmentation, findings: list[SegmentFacts]
) -> "highdicom.sr.Comprehensive3DSR":
    import highdicom
    from pydicom.sr.codedict import codes

    device = highdicom.sr.DeviceObserverIdentifyingAttributes(
        uid=highdicom.UID(), name="ich_tf", model_name=__version__
    )
    observer = highdicom.sr.ObserverContext(codes.DCM.Device, device)
    content = highdicom.sr.MeasurementReport(
        highdicom.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.SCT.ComputedTomographyOfHead,
        imaging_measurements=[
            _measurements(images, segmentation, number, finding)
            for number, finding in enumerate(findings, start=1)
        ],
        title=codes.DCM.ImagingMeasurementReport,
    )
    return highdicom.sr.Comprehensive3DSR(
        evidence=[*images, segmentation],
        content=content[0],
        **_identity("SR"),
        series_description="Predicted hemorrhage, millilitres",
    )


def _measurements(images, segmentation, number: int, finding: SegmentFacts):
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    description = segmentation.SegmentSequence[number - 1]
    _, kind, region = _codes(finding.name)
    measured = []
    if finding.volume_ml is not None:
        measured.append(
            highdicom.sr.Measurement(
                codes.SCT.Volume, finding.volume_ml, Code("ml", "UCUM", "milliliter")
            )
        )
    if finding.probability is not None:
        measured.append(
            highdicom.sr.Measurement(
                codes.DCM.Probability,
                finding.probability,
                codes.UCUM.NoUnits,
            )
        )
    segment = highdicom.sr.ReferencedSegment(
        segmentation.SOPClassUID,
        segmentation.SOPInstanceUID,
        number,
        source_series=highdicom.sr.SourceSeriesForSegmentation(
            images[0].SeriesInstanceUID
        ),
    )
    return highdicom.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=highdicom.sr.TrackingIdentifier(
            uid=description.TrackingUID, identifier=description.TrackingID
        ),
        referenced_segment=segment,
        finding_type=kind,
        finding_sites=[highdicom.sr.FindingSite(region)],
        measurements=measured,
    )
