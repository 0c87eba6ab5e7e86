"""What DICOM headers say: numbers, the place of a slice, and what an object is.

Decisions a reader of the code should know:

- A slice is distinguished from a localizer, a screen capture or a reformat by SOP
  class, photometric interpretation, the third value of Image Type and its geometry.
  DERIVED or SECONDARY in Image Type alone excludes nothing.
- Direction vectors are normalised: headers round them.

Reference:
    DICOM PS3.3, C.7.6.2 (image plane), C.8.2.1 (CT image), C.7.6.16 (multi-frame
    functional groups).
"""

import contextlib
import functools
import math
import pathlib
from collections.abc import Callable

import numpy as np
import pydicom
from pydicom import uid

from ich_tf.io import nifti
from ich_tf.io.source import InputError
from ich_tf.io.stack import Plane
from ich_tf.volume import PHANTOM_MARKER

MAX_ROWS_OR_COLUMNS = 4096
MAX_FRAMES = 4096
MAX_VOXELS = nifti.MAX_VOXELS
NO_HU = "no Rescale Slope or Intercept, so there are no Hounsfield units."
NO_PIXELS = "no pixel data."
CLASSIC_CT = uid.CTImageStorage

_MULTIFRAME_CT = (uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage)
_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"  # all secondary capture classes begin so
_OTHER_UNITS = ("OD", "MGML", "MG/ML", "Z_EFF", "ED", "EDW", "PCT")
"""Rescale Types that are no Hounsfield units, as of spectral CT; PS3.3 C.11.1.1.2."""
_SCREENS = ("SCREEN SAVE", "SCREENSAVE", "SCREEN_SAVE", "SCREEN", "DOSE INFO", "DOSE")


def sop_class(dataset: pydicom.FileDataset) -> str:
    """The SOP class; RSNA's anonymised files have it in the meta header only."""
    value = dataset.get("SOPClassUID") or dataset.file_meta.get(
        "MediaStorageSOPClassUID"
    )
    return str(value or "")


def finder(dataset: pydicom.FileDataset, frame: int) -> Callable:
    """Look a keyword up in the frame's functional groups, else in the data set."""
    groups = []
    if sop_class(dataset) in _MULTIFRAME_CT:
        shared = dataset.get("SharedFunctionalGroupsSequence") or []
        frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
        for owner in [*list(frames)[frame : frame + 1], *list(shared)[:1]]:
            groups += [
                element.value[0]
                for element in owner
                if element.VR == "SQ" and element.value
            ]

    def find(keyword: str):
        for group in groups:
            if keyword in group:
                return group.get(keyword)
        return get(dataset, keyword)

    return find


def get(dataset: pydicom.FileDataset, keyword: str):
    """`dataset.get(keyword)`, but decimal numbers come as floats and ten times faster.

    To convert some 20 numbers took as long as all the rest of reading a slice.
    """
    element = dataset.get_item(keyword)
    if isinstance(element, pydicom.dataelem.RawDataElement) and element.value:
        if element.VR == "DS":
            with contextlib.suppress(ValueError):
                return [float(part) for part in element.value.split(b"\\")]
        if element.VR == "US" and len(element.value) == 2:
            return int.from_bytes(
                element.value, "little" if element.is_little_endian else "big"
            )
    return dataset.get(keyword)


def text(dataset: pydicom.FileDataset, keyword: str) -> str:
    """A text without blanks around it; empty if it is absent or damaged."""
    try:
        value = dataset.get(keyword)
        return "" if value is None else str(value).strip().strip("\0")
    # A damaged element raises whatever its conversion raises.
    except Exception:
        return ""


def numbers(path, find: Callable, keyword: str, count: int) -> np.ndarray | None:
    """`count` finite numbers of a tag; None if the tag is absent or empty."""
    try:
        value = find(keyword)
        if value is None or isinstance(value, str) and not value.strip():
            return None
        values = np.array(value, dtype=float, ndmin=1)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: {keyword} is no number.") from error
    if values.size == 0:
        return None
    if values.shape != (count,) or not np.all(np.isfinite(values)):
        raise InputError(
            f"{path}: {keyword} must be {count} finite number(s), not {values}."
        )
    return values


def number(path, find: Callable, keyword: str) -> float | None:
    """One finite number of a tag; None if the tag is absent or empty."""
    values = numbers(path, find, keyword, 1)
    return None if values is None else float(values[0])


def integer(path, dataset, keyword: str, low: int, high: int) -> int:
    """A whole number of a tag, within limits."""
    value = number(path, functools.partial(get, dataset), keyword)
    if value is None:
        raise InputError(f"{path}: truncated or damaged, it has no {keyword}.")
    if not low <= value <= high or value != int(value):
        raise InputError(f"{path}: {keyword} must be {low} to {high}, not {value:g}.")
    return int(value)


def size_of(path: pathlib.Path, dataset) -> tuple[int, int, int]:
    """Frames, rows and columns, within the limits."""
    rows = integer(path, dataset, "Rows", 1, MAX_ROWS_OR_COLUMNS)
    columns = integer(path, dataset, "Columns", 1, MAX_ROWS_OR_COLUMNS)
    frames = 1
    if "NumberOfFrames" in dataset and text(dataset, "NumberOfFrames"):
        frames = integer(path, dataset, "NumberOfFrames", 1, MAX_FRAMES)
    if frames * rows * columns > MAX_VOXELS:
        raise InputError(
            f"{path}: {frames} frames of {rows}x{columns} pixels are more than the "
            f"{MAX_VOXELS} voxels read."
        )
    return frames, rows, columns


def _directions(path, find: Callable) -> np.ndarray | None:
    """(6,), unit vectors at right angles along a row and a column."""
    orientation = numbers(path, find, "ImageOrientationPatient", 6)
    if orientation is None:
        return None
    row, column = orientation.reshape(2, 3)
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    if np.any(np.abs(lengths - 1) > 0.01) or abs(row @ column) > 0.01:
        raise InputError(
            f"{path}: ImageOrientationPatient must be two perpendicular unit "
            f"vectors, not {orientation}."
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    return np.concatenate([row, column / np.linalg.norm(column)])


def plane_of(path: pathlib.Path, dataset, frame: int, size: tuple[int, int]) -> Plane:
    """The place of a frame, and how its stored values become HU.

    Raises:
        InputError: if what the header says cannot be used.
    """
    find = finder(dataset, frame)
    spacing = numbers(path, find, "PixelSpacing", 2)
    if spacing is not None and np.any(spacing <= 0):
        raise InputError(f"{path}: PixelSpacing must be positive, not {spacing}.")
    thickness = number(path, find, "SliceThickness")
    if not thickness:
        thickness = number(path, find, "SpacingBetweenSlices")
    slope = number(path, find, "RescaleSlope")
    intercept = number(path, find, "RescaleIntercept")
    return Plane(
        path=path,
        frame=frame,
        size=size,
        position=numbers(path, find, "ImagePositionPatient", 3),
        orientation=_directions(path, find),
        spacing=spacing,
        thickness=abs(thickness) if thickness else None,
        slope=math.nan if slope is None else slope,
        intercept=math.nan if intercept is None else intercept,
    )


def image_type(dataset) -> tuple[str, ...]:
    """The values of Frame Type or Image Type in capitals."""
    find = finder(dataset, 0)
    value = find("FrameType") or find("ImageType") or ()
    values = [value] if isinstance(value, str) else list(value)
    return tuple(str(part).strip().upper() for part in values)


def _unit(dataset) -> str:
    """Rescale Type in capitals; empty if it is absent or damaged."""
    try:
        return str(finder(dataset, 0)("RescaleType") or "").strip().upper()
    # A damaged element raises whatever its conversion raises.
    except Exception:
        return ""


def kind_of(path: pathlib.Path, dataset) -> tuple[str, Plane | None, str]:
    """What a file is, see `Series.kind`; its first plane; and what is wrong with it.

    Only objects that claim to be CT slices are looked at closely: what another object
    lacks is no fault.

    Raises:
        InputError: if it is a CT image that was cut off.
    """
    of_class = sop_class(dataset)
    is_ct = of_class == CLASSIC_CT or of_class in _MULTIFRAME_CT
    if not of_class:
        is_ct = text(dataset, "Modality").upper() == "CT"
    if "Rows" not in dataset or "Columns" not in dataset:
        if is_ct:
            raise InputError(f"{path}: a CT image without Rows: the file is truncated.")
        return "no image", None, ""
    colour = text(dataset, "PhotometricInterpretation")
    if of_class.startswith(_CAPTURES) or (
        is_ct and colour not in ("MONOCHROME1", "MONOCHROME2")
    ):
        return "secondary capture", None, ""
    if not is_ct:
        return "not CT", None, ""
    types = image_type(dataset)
    if len(types) > 2 and types[2] == "LOCALIZER":
        return "localizer", None, ""
    unit = _unit(dataset)
    if unit in _OTHER_UNITS:
        return "not CT", None, f"{path}: values in {unit}, not in Hounsfield units."
    try:
        frames, *size = size_of(path, dataset)
        if frames > 1 and of_class not in _MULTIFRAME_CT:
            raise InputError(
                f"{path}: {frames} frames in a single-frame CT image have no positions."
            )
        plane = plane_of(path, dataset, 0, tuple(size))
    except InputError as error:
        if any(part in _SCREENS for part in types):
            return "secondary capture", None, ""
        return "faulty geometry", None, str(error)
    if not plane.placed:
        return "ct without geometry", plane, ""
    if any(part in _SCREENS for part in types):
        return "secondary capture", plane, ""
    axial = np.argmax(np.abs(plane.normal)) == 2
    return ("ct" if axial else "reformat"), plane, ""


def check_length(path: pathlib.Path, dataset, pixels: int, available: int) -> int:
    """The bytes that uncompressed pixels must have; fewer are an error."""
    expected = pixels * integer(path, dataset, "BitsAllocated", 1, 64) // 8
    if available < expected:
        raise InputError(
            f"{path}: truncated, {available} bytes of pixel data instead of {expected}."
        )
    return expected


def marker(dataset) -> str:
    """The phantom's marker, if the file has it.

    Other text in Image Comments is passed over: it may name the patient.
    """
    comments = text(dataset, "ImageComments")
    return comments if comments.startswith(PHANTOM_MARKER) else ""
