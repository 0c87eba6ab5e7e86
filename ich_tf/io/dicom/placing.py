"""The header that places a CT slice in its scan, read without its pixels."""

import dataclasses
import math
import os
import pathlib

import numpy as np
import pydicom

from ich_tf.io.dicom import files, headers
from ich_tf.io.source import InputError

MAX_ID_LENGTH = 128

PLACING_TAGS = [
    pydicom.tag.Tag(keyword)
    for keyword in (
        "SOPClassUID SOPInstanceUID SeriesInstanceUID PatientID ImageType "
        "ImageComments Modality Rows Columns NumberOfFrames BitsAllocated "
        "PhotometricInterpretation RescaleSlope RescaleIntercept RescaleType "
        "ImagePositionPatient "
        "ImageOrientationPatient PixelSpacing SliceThickness SpacingBetweenSlices "
        "SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"
    ).split()
]


@dataclasses.dataclass(frozen=True, eq=False)
class SliceHeader:
    """What the header of a CT slice says about its scan and its place in it.

    Attributes:
        image_id: SOP Instance UID.
        series_id: Series Instance UID.
        patient_id: Patient ID.
        position: (3,), LPS millimetres of the first pixel.
        orientation: (6,), direction of a row, then of a column; None if unknown.
        origin: What the file says about its making, such as the phantom's marker.
    """

    image_id: str
    series_id: str
    patient_id: str
    position: np.ndarray
    orientation: np.ndarray | None
    origin: str


def read_header(path: str | os.PathLike) -> SliceHeader:
    """Read what places a CT slice in its scan; the pixels are not read.

    That uncompressed pixels are complete follows from the size of the file.

    Raises:
        InputError: if the file is damaged or truncated, has no pixel data, or is not
            one CT slice with a position, a rescaling, a series and a patient.
    """
    path = pathlib.Path(path)
    dataset, left = files.read_dataset(path, pixels=False, tags=PLACING_TAGS)
    with files.reading(path):
        kind, plane, fault = headers.kind_of(path, dataset)
        if fault:
            raise InputError(fault)
        if plane is None:
            raise InputError(f"{path}: {kind}, not a CT slice.")
        ids = [
            headers.text(dataset, keyword)
            for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "PatientID")
        ]
        frames = headers.text(dataset, "NumberOfFrames")
        if frames not in ("", "1") or plane.position is None:
            raise InputError(f"{path}: not one slice with an Image Position.")
        if any(len(identifier) > MAX_ID_LENGTH for identifier in ids):
            raise InputError(f"{path}: a UID or the Patient ID is damaged.")
        if not all(ids):
            raise InputError(f"{path}: no UID of image or series, or no Patient ID.")
        if not math.isfinite(plane.slope + plane.intercept):
            raise InputError(f"{path}: {headers.NO_HU}")
        _check_pixel_bytes(path, dataset, plane.size, left)
        origin = headers.marker(dataset)
    return SliceHeader(*ids, plane.position, plane.orientation, origin)


def _check_pixel_bytes(path, dataset, size: tuple[int, int], left: int | None) -> None:
    """Refuse a file that ends before its pixels do; `left`: bytes from their tag on."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise InputError(f"{path}: {files.NO_SYNTAX}")
    if left is None:
        return
    # Tag and length; explicit syntaxes also have the type.
    available = left - (8 if syntax.is_implicit_VR else 12)
    if available <= 0:
        raise InputError(f"{path}: {headers.NO_PIXELS}")
    if not syntax.is_encapsulated:
        headers.check_length(path, dataset, math.prod(size), available)
