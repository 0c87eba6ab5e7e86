"""DICOM CT: series in a folder, slices to one volume in HU, and slices written.

The only module that knows pydicom. Header limits are checked before any pixel is
decoded. Decisions a reader of the code should know:

- A slice is told from a localizer, a screen capture or a reformat by SOP class,
  photometric interpretation, the third value of Image Type and its geometry.
  DERIVED or SECONDARY in Image Type alone excludes nothing.
- Padding and everything below -1024 HU become air (-1024 HU).
- MONOCHROME1 changes the display, not the Hounsfield units: nothing is inverted.
- Slices are sorted by their position along the slice normal. A slice that repeats
  the position of another is dropped if its pixels are the same, else an error.
- A CT slice without complete geometry is read alone, as a volume without spacing;
  several of them have no order and are refused.

Reference:
    DICOM PS3.3, C.7.6.2 (image plane), C.8.2.1 (CT image), C.11.1 (modality LUT),
    C.7.5.1.1.2 (pixel padding value), C.7.6.16 (multi-frame functional groups).
"""

import collections
import contextlib
import dataclasses
import functools
import io
import math
import os
import pathlib
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pydicom
from pydicom import uid

from ich_tf import files
from ich_tf.io import nifti, stack
from ich_tf.io.stack import Plane
from ich_tf.volume import PHANTOM_MARKER, Note, Volume

MAX_FILE_BYTES = 2**29
MAX_ROWS_OR_COLUMNS = 4096
MAX_FRAMES = 4096
MAX_LISTED = 20
MAX_VOXELS = nifti.MAX_VOXELS
AIR_HU = -1024.0


_CLASSIC_CT = uid.CTImageStorage
_MULTIFRAME_CT = (uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage)
_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"  # all secondary capture classes begin so
_TISSUE_HU = (-500.0, 4000.0)
_HEADER_KEYWORDS = (
    "SOPClassUID SOPInstanceUID SeriesInstanceUID PatientID ImageType ImageComments "
    "Rows Columns NumberOfFrames BitsAllocated PhotometricInterpretation RescaleSlope "
    "RescaleIntercept ImagePositionPatient ImageOrientationPatient PixelSpacing "
    "SliceThickness SpacingBetweenSlices"
).split()
_HEADER_TAGS = [pydicom.tag.Tag(keyword) for keyword in _HEADER_KEYWORDS]
_NO_HU = "no Rescale Slope or Intercept, so there are no Hounsfield units."
_NO_PIXELS = "no pixel data."
_NO_SYNTAX = "no transfer syntax, so the pixels have no meaning."


@dataclasses.dataclass(frozen=True)
class Series:
    """Files of one series that are of one kind.

    Attributes:
        uid: Series Instance UID.
        kind: "ct" (axial slices), "reformat" (coronal or sagittal CT), "localizer",
            "secondary capture", "ct without geometry", "no image" or "not CT".
        description: Series Description.
        files: In the order of their names.
        slices: Number of slices (frames count one each).
    """

    uid: str
    kind: str
    description: str
    files: tuple[pathlib.Path, ...]
    slices: int


@dataclasses.dataclass(frozen=True, eq=False)
class SliceHeader:
    """What the header of a CT slice says of its scan and its place in it.

    Attributes:
        image_id: SOP Instance UID.
        series_id: Series Instance UID.
        patient_id: Patient ID.
        position: (3,), LPS millimetres of the first pixel.
        orientation: (6,), direction of a row, then of a column; None if unknown.
        origin: See `Volume.origin`.
    """

    image_id: str
    series_id: str
    patient_id: str
    position: np.ndarray
    orientation: np.ndarray | None
    origin: str


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[None]:
    """Turn whatever pydicom raises on a bad file into an error that names it."""
    try:
        # Values are checked where they are used; pydicom's warnings and log lines
        # would quote tags of the patient.
        with pydicom.config.disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except pydicom.errors.InvalidDicomError as error:
        raise ValueError(f"{path}: not a DICOM file (no DICM prefix).") from error
    # pydicom raises every kind of exception on damaged data; only its kind is told,
    # since its text may quote the header.
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(f"{path}: "):
            raise
        if isinstance(error, OSError) and error.strerror:
            raise ValueError(f"{path}: cannot be opened ({error.strerror}).") from error
        raise ValueError(
            f"{path}: truncated or damaged DICOM ({type(error).__name__})."
        ) from error


def _check_inflated_size(path: pathlib.Path) -> None:
    """Refuse a deflated file that would inflate beyond the limit."""
    meta = pydicom.filereader.read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return
    # Preamble 128, prefix 4, group length element 12 bytes; then the group.
    start = 144 + int(meta.FileMetaInformationGroupLength)
    with open(path, "rb") as file:
        file.seek(start)
        inflated = zlib.decompressobj(-zlib.MAX_WBITS)
        size = len(inflated.decompress(file.read(), MAX_FILE_BYTES + 1))
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{path}: inflates to more than {MAX_FILE_BYTES} bytes.")


def _check_file_size(path: pathlib.Path) -> None:
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(
            f"{path}: has {size} bytes, more than the {MAX_FILE_BYTES} read."
        )
    if path.is_file() and size >= 132:
        _check_inflated_size(path)


def _load(path: pathlib.Path, *, pixels: bool) -> pydicom.FileDataset:
    with _reading(path):
        _check_file_size(path)
        return pydicom.dcmread(path, stop_before_pixels=not pixels)


def _sop_class(dataset: pydicom.FileDataset) -> str:
    # RSNA's anonymised files have the class in the file meta header only.
    value = dataset.get("SOPClassUID") or dataset.file_meta.get(
        "MediaStorageSOPClassUID"
    )
    return str(value or "")


def _finder(dataset: pydicom.FileDataset, frame: int) -> Callable:
    """Look a keyword up in the frame's functional groups, else in the data set."""
    groups = []
    if _sop_class(dataset) in _MULTIFRAME_CT:
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
        return _get(dataset, keyword)

    return find


def _get(dataset: pydicom.FileDataset, keyword: str):
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


def _numbers(path, find: Callable, keyword: str, count: int) -> np.ndarray | None:
    """`count` finite numbers of a tag; None if the tag is absent or empty."""
    try:
        value = find(keyword)
        if value is None or value == "":
            return None
        numbers = np.array(value, dtype=float, ndmin=1)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {keyword} is no number.") from error
    if numbers.size == 0:
        return None
    if numbers.shape != (count,) or not np.all(np.isfinite(numbers)):
        raise ValueError(
            f"{path}: {keyword} must be {count} finite number(s), not {numbers}."
        )
    return numbers


def _number(path, find: Callable, keyword: str) -> float | None:
    numbers = _numbers(path, find, keyword, 1)
    return None if numbers is None else float(numbers[0])


def _count(path, dataset, keyword: str, most: int) -> int:
    value = _number(path, functools.partial(_get, dataset), keyword)
    if value is None:
        raise ValueError(f"{path}: truncated or damaged, it has no {keyword}.")
    if not 1 <= value <= most or value != int(value):
        raise ValueError(f"{path}: {keyword} must be 1 to {most}, not {value}.")
    return int(value)


def _size(path: pathlib.Path, dataset) -> tuple[int, int, int]:
    """Frames, rows and columns, within the limits."""
    rows = _count(path, dataset, "Rows", MAX_ROWS_OR_COLUMNS)
    columns = _count(path, dataset, "Columns", MAX_ROWS_OR_COLUMNS)
    frames = 1
    if dataset.get("NumberOfFrames") is not None:
        frames = _count(path, dataset, "NumberOfFrames", MAX_FRAMES)
    if frames * rows * columns > MAX_VOXELS:
        raise ValueError(
            f"{path}: {frames} frames of {rows}x{columns} pixels are more than the "
            f"{MAX_VOXELS} voxels read."
        )
    return frames, rows, columns


def _plane(path: pathlib.Path, dataset, frame: int, size: tuple[int, int]) -> Plane:
    find = _finder(dataset, frame)
    orientation = _numbers(path, find, "ImageOrientationPatient", 6)
    if orientation is not None:
        lengths = np.linalg.norm(orientation.reshape(2, 3), axis=1)
        if np.any(np.abs(lengths - 1) > 0.01) or (
            abs(orientation[:3] @ orientation[3:]) > 0.01
        ):
            raise ValueError(
                f"{path}: ImageOrientationPatient must be two perpendicular unit "
                f"vectors, not {orientation}."
            )
    spacing = _numbers(path, find, "PixelSpacing", 2)
    if spacing is not None and np.any(spacing <= 0):
        raise ValueError(f"{path}: PixelSpacing must be positive, not {spacing}.")
    thickness = _number(path, find, "SliceThickness")
    if not thickness:
        thickness = _number(path, find, "SpacingBetweenSlices")
    slope = _number(path, find, "RescaleSlope")
    intercept = _number(path, find, "RescaleIntercept")
    return Plane(
        path=path,
        frame=frame,
        size=size,
        position=_numbers(path, find, "ImagePositionPatient", 3),
        orientation=orientation,
        spacing=spacing,
        thickness=abs(thickness) if thickness else None,
        slope=math.nan if slope is None else slope,
        intercept=math.nan if intercept is None else intercept,
        number=tuple(
            _number(path, find, keyword) or 0.0
            for keyword in ("AcquisitionNumber", "InstanceNumber")
        ),
    )


def _kind(path: pathlib.Path, dataset) -> tuple[str, Plane | None]:
    """What a file is, see `Series.kind`; and its (first) plane if it is a CT slice."""
    sop_class = _sop_class(dataset)
    is_ct = sop_class == _CLASSIC_CT or sop_class in _MULTIFRAME_CT
    if "Rows" not in dataset or "Columns" not in dataset:
        if is_ct:
            raise ValueError(f"{path}: a CT image without Rows: the file is truncated.")
        return "no image", None
    colour = str(dataset.get("PhotometricInterpretation", "")).strip()
    if sop_class.startswith(_CAPTURES) or (
        is_ct and colour not in ("MONOCHROME1", "MONOCHROME2")
    ):
        return "secondary capture", None
    if not is_ct:
        return "not CT", None
    find = _finder(dataset, 0)
    image_type = find("FrameType") or find("ImageType") or ()
    values = [image_type] if isinstance(image_type, str) else list(image_type)
    if len(values) > 2 and values[2].strip().upper() == "LOCALIZER":
        return "localizer", None
    plane = _plane(path, dataset, 0, _size(path, dataset)[1:])
    if not plane.placed:
        return "ct without geometry", plane
    axial = np.argmax(np.abs(plane.normal)) == 2
    return ("ct" if axial else "reformat"), plane


def read_header(path: str | os.PathLike) -> SliceHeader:
    """Read what places a CT slice in its scan; the pixels are not read.

    That uncompressed pixels are all there follows from the size of the file.

    Raises:
        ValueError: if the file is damaged or truncated, has no pixel data, or is not
            one CT slice with a position, a rescaling, a series and a patient.
    """
    path = pathlib.Path(path)
    with _reading(path), open(path, "rb") as file:
        _check_file_size(path)
        dataset = pydicom.dcmread(
            file, stop_before_pixels=True, specific_tags=_HEADER_TAGS
        )
        kind, plane = _kind(path, dataset)
        if plane is None:
            raise ValueError(f"{path}: {kind}, not a CT slice.")
        ids = [
            str(dataset.get(keyword) or "").strip()
            for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "PatientID")
        ]
        if dataset.get("NumberOfFrames", 1) != 1 or plane.position is None:
            raise ValueError(f"{path}: not one slice with an Image Position.")
        if not all(ids):
            raise ValueError(f"{path}: no UID of image or series, or no Patient ID.")
        if not math.isfinite(plane.slope + plane.intercept):
            raise ValueError(f"{path}: {_NO_HU}")
        left = path.stat().st_size - file.tell()
        _check_pixel_bytes(path, dataset, plane.size, left)
        origin = _marker(dataset)
    return SliceHeader(*ids, plane.position, plane.orientation, origin)


def _check_pixel_bytes(path, dataset, size: tuple[int, int], left: int) -> None:
    """Refuse a file that ends before its pixels do; `left`: bytes from their tag on."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise ValueError(f"{path}: {_NO_SYNTAX}")
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        return
    # Tag and length; explicit syntaxes also say the type.
    found = left - (8 if syntax.is_implicit_VR else 12)
    if found <= 0:
        raise ValueError(f"{path}: {_NO_PIXELS}")
    if not syntax.is_encapsulated:
        _check_length(path, dataset, math.prod(size), found)


def _check_length(path: pathlib.Path, dataset, pixels: int, found: int) -> int:
    """The bytes that uncompressed pixels must have; fewer are an error."""
    expected = pixels * int(_get(dataset, "BitsAllocated") or 0) // 8
    if found < expected:
        raise ValueError(
            f"{path}: truncated, {found} bytes of pixel data instead of {expected}."
        )
    return expected


def _group(paths: Iterable[pathlib.Path]) -> list[Series]:
    found = collections.defaultdict(list)
    for path in paths:
        dataset = _load(path, pixels=False)
        with _reading(path):
            kind, _ = _kind(path, dataset)
            key = (str(dataset.get("SeriesInstanceUID") or ""), kind)
            is_image = kind not in ("no image", "not CT")
            frames = _size(path, dataset)[0] if is_image else 0
            text = str(dataset.get("SeriesDescription") or "").strip()
            found[key].append((path, frames, text))
    return [
        Series(
            series_uid,
            kind,
            next((text for _, _, text in members if text), ""),
            tuple(path for path, _, _ in members),
            sum(frames for _, frames, _ in members),
        )
        for (series_uid, kind), members in sorted(found.items())
    ]


def _is_dicom(path: pathlib.Path) -> bool:
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def find_series(folder: str | os.PathLike) -> list[Series]:
    """List what a folder and its subfolders hold; only headers are read.

    Files without the DICM prefix are no DICOM and are passed over.

    Args:
        folder: Any folder, e.g. a hospital's export.

    Returns:
        One entry for each series and kind, sorted by UID; empty without DICOM.

    Raises:
        ValueError: if the folder is missing or a DICOM file in it is damaged.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return _group(path for path in paths if _is_dicom(path))


def _name_files(names: list[str]) -> str:
    more = f" and {len(names) - 1} more file(s)" if len(names) > 1 else ""
    return f"{names[0]}{more}"


def _describe(series: Series) -> str:
    # Free text and UIDs of the header stay out of messages: they may name a patient.
    return f"{series.kind}: {_name_files([path.name for path in series.files])}"


def _describe_with_uid(series: Series) -> str:
    return f"{series.uid}: {_describe(series)}"


def _list(lines: list[str]) -> str:
    more = len(lines) - MAX_LISTED
    shown = [*lines[:MAX_LISTED], *([f"and {more} more"] if more > 0 else [])]
    return "\n".join(f"  {line}" for line in shown)


def _left_out(found: list[Series], chosen: Series) -> list[Note]:
    others = [series for series in found if series is not chosen]
    notes = [f"left out: {_describe(o)}" for o in others if o.kind != chosen.kind]
    alike = sum(series.kind == chosen.kind for series in others)
    notes = [*notes, *([f"left out: {alike} other CT series"] if alike else [])]
    return [Note("left out", text) for text in notes]


def _choose(source: str, found: list[Series], series_uid: str | None) -> Series:
    if not found:
        raise ValueError(
            f"{source}: no DICOM file. A scan is a NIfTI file (.nii or .nii.gz), a "
            "DICOM file or folder, or a patient's folder of ct-ich "
            "(`Patients_CT/<patient>`)."
        )
    usable = [series for series in found if series.kind == "ct"]
    if not usable and len(found) == 1 and found[0].kind == "ct without geometry":
        usable = found
    if series_uid is not None:
        usable = [series for series in usable if series.uid == series_uid]
    if not usable:
        wanted = f" {series_uid}" if series_uid else ""
        # To choose by UID one must see the UIDs.
        describe = _describe_with_uid if series_uid else _describe
        listing = _list([describe(series) for series in found])
        raise ValueError(f"{source}: no axial CT series{wanted}. Found:\n{listing}")
    if len(usable) > 1:
        choices = _list([_describe_with_uid(other) for other in usable])
        raise ValueError(
            f"{source}: {len(usable)} CT series; choose one with `--series UID` "
            f"(`series_uid`):\n{choices}"
        )
    return usable[0]


def read(
    source: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    series_uid: str | None = None,
) -> Volume:
    """Read one CT series as a volume in Hounsfield units.

    Args:
        source: A file, a folder (searched with its subfolders) or several files.
        series_uid: The Series Instance UID, where there are several CT series.

    Returns:
        The volume. Its `notes` tell of gantry tilt, gaps, uneven spacing, repeated
        slices, corrected values and of what was left out. `spacing_mm` is None for
        a single slice whose header lacks geometry.

    Raises:
        ValueError: if there is not exactly one CT series, if a file is damaged, too
            large or of a transfer syntax that cannot be decoded, or if the slices
            do not form one volume. The message names the file.
    """
    if isinstance(source, str | os.PathLike):
        name, path = str(source), pathlib.Path(source)
        found = find_series(path) if path.is_dir() else _group([path])
    else:
        paths = [pathlib.Path(path) for path in source]
        name = f"{len(paths)} files"
        found = _group(paths)
    chosen = _choose(name, found, series_uid)
    notes = _left_out(found, chosen)
    remarks = collections.defaultdict(list)
    planes, stacks = [], []
    for path in chosen.files:
        of_file, hu, found_notes = _read_file(path)
        stack.check_alike([*planes[:1], *of_file])
        if chosen.slices * hu[0].size > MAX_VOXELS:
            raise ValueError(
                f"{name}: {chosen.slices} slices are more than the {MAX_VOXELS} voxels "
                "read."
            )
        planes += of_file
        stacks += list(hu)
        for remark in dict.fromkeys(found_notes):
            remarks[remark].append(path.name)
    notes += [
        Note("values", f"{_name_files(names)}: {remark}")
        for remark, names in remarks.items()
    ]
    return stack.assemble(
        planes, np.stack(stacks), notes, origin=_origin(planes[0].path)
    )


def read_slice(path: str | os.PathLike) -> tuple[Plane, np.ndarray, list[str]]:
    """Read one slice: its place, its HU (rows, columns), and notes.

    Raises:
        ValueError: if the file does not hold one readable slice; the message names it.
    """
    planes, hu, notes = _read_file(pathlib.Path(path))
    if len(planes) > 1:
        raise ValueError(f"{path}: holds {len(planes)} slices, not one.")
    return planes[0], hu[0], notes


def _read_file(path: pathlib.Path) -> tuple[list[Plane], np.ndarray, list[str]]:
    """Planes, HU (frames, rows, columns) and notes of one file."""
    dataset = _load(path, pixels=True)
    with _reading(path):
        frames, rows, columns = _size(path, dataset)
        if frames > 1 and _sop_class(dataset) == _CLASSIC_CT:
            raise ValueError(
                f"{path}: {frames} frames in a single-frame CT image have no positions."
            )
        planes = [_plane(path, dataset, i, (rows, columns)) for i in range(frames)]
    stored, notes = _decode(path, dataset, (frames, rows, columns))
    if not all(math.isfinite(plane.slope + plane.intercept) for plane in planes):
        raise ValueError(f"{path}: {_NO_HU}")
    padded, padding_notes = _padding(path, dataset, stored, planes[0])
    hu = np.empty(stored.shape, np.float32)
    for frame, plane in enumerate(planes):
        if _is_rsna_quirk(dataset, plane):
            wrapped = (stored[frame] + np.uint16(1000)) & np.uint16(4095)
            np.subtract(wrapped, np.float32(1000), out=hu[frame])
            notes.append("12-bit values wrapped back (RSNA quirk)")
        elif plane.slope == 1 and plane.intercept.is_integer():
            # Whole numbers are exact in float32, and twice as fast.
            np.add(stored[frame], np.float32(plane.intercept), out=hu[frame])
        else:
            hu[frame] = stored[frame] * plane.slope + plane.intercept
    if padded is not None:
        hu[padded] = AIR_HU
    # NumPy's clip between two numbers is three times as fast as its maximum.
    return planes, np.clip(hu, AIR_HU, np.inf, out=hu), notes + padding_notes


def _is_rsna_quirk(dataset, plane: Plane) -> bool:
    """Signed 12-bit values stored as unsigned, with an intercept near 0."""
    return (
        _get(dataset, "BitsStored") == 12
        and _get(dataset, "PixelRepresentation") == 0
        and plane.intercept > -100
        and plane.slope == 1
    )


def _decode(path, dataset, shape: tuple[int, int, int]) -> tuple[np.ndarray, list[str]]:
    """Stored values (frames, rows, columns), and notes."""
    if not dataset.get("PixelData"):
        raise ValueError(f"{path}: {_NO_PIXELS}")
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise ValueError(f"{path}: {_NO_SYNTAX}")
    notes = []
    if not syntax.is_encapsulated:
        found = len(dataset.PixelData)
        expected = _check_length(path, dataset, math.prod(shape), found)
        if found > expected + 1:
            notes.append("more pixel data than the header says")
            dataset.PixelData = dataset.PixelData[: expected + expected % 2]
    if _is_plain(dataset, syntax):
        return _plain_values(dataset)[: math.prod(shape)].reshape(shape), notes
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = dataset.pixel_array
    # Decoder plugins raise every kind of exception on damaged or foreign data.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{path}: pixel data in the transfer syntax '{syntax.name}' ({syntax}) "
            f"cannot be decoded: {reason}"
        ) from error
    if stored.size != math.prod(shape):
        raise ValueError(f"{path}: decoded to {stored.shape}, not to {shape} pixels.")
    return stored.reshape(shape), notes


def _is_plain(dataset, syntax: uid.UID) -> bool:
    """Whether the pixel data are 16-bit values one after the other, as mostly."""
    facts = ("SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit")
    samples, allocated, stored, high = (_get(dataset, keyword) for keyword in facts)
    return (
        not syntax.is_encapsulated
        and syntax.is_little_endian
        and (samples, allocated) == (1, 16)
        and stored in range(1, 17)
        and high == stored - 1
        and _get(dataset, "PixelRepresentation") in (0, 1)
    )


def _plain_values(dataset) -> np.ndarray:
    """The values of a file for which `_is_plain` holds, without pydicom's decoder.

    The decoder takes longer than all the rest of reading a slice.
    """
    kind = "<i2" if _get(dataset, "PixelRepresentation") else "<u2"
    content = dataset.PixelData
    values = np.frombuffer(content, kind, len(content) // 2)
    unused = 16 - _get(dataset, "BitsStored")
    return (values << unused) >> unused if unused else values


def _padding(
    path, dataset, stored, plane: Plane
) -> tuple[np.ndarray | None, list[str]]:
    """Where a slice is padded with what is not air anyway; PS3.3 C.7.5.1.1.2."""
    first = _number(path, dataset.get, "PixelPaddingValue")
    if first is None:
        return None, []
    last = _number(path, dataset.get, "PixelPaddingRangeLimit")
    period = 2 ** int(dataset.get("BitsAllocated", 16))
    signed = bool(dataset.get("PixelRepresentation"))
    limits = []
    for value in (first, first if last is None else last):
        if not signed and value < 0:
            value += period
        if signed and value >= period / 2:
            value -= period
        limits.append(value)
    low, high = sorted(limits)
    in_hu = np.array([low, high]) * plane.slope + plane.intercept
    if np.all(in_hu <= AIR_HU):
        return None, []
    padded = (stored >= low) & (stored <= high)
    if np.any((in_hu > _TISSUE_HU[0]) & (in_hu < _TISSUE_HU[1])) and padded.any():
        # Seen in the wild: padding 0 with intercept 0 is also the value of water.
        return None, [
            f"padding lies among tissue ({in_hu[0]:g} HU) and was not replaced"
        ]
    return padded, []


def _origin(path: pathlib.Path) -> str:
    """The phantom's marker, if the file carries it."""
    with _reading(path):
        return _marker(_load(path, pixels=False))


def _marker(dataset) -> str:
    # Other text in Image Comments is passed over: it may name the patient.
    comments = str(dataset.get("ImageComments") or "")
    return comments if comments.startswith(PHANTOM_MARKER) else ""


def make_uid(*parts: str) -> str:
    """A DICOM UID that depends on the given texts only."""
    return uid.generate_uid(entropy_srcs=["ich_tf", *parts])


def write_slice(
    path: str | os.PathLike, stored: np.ndarray, header: dict[str, object]
) -> None:
    """Write one CT slice, explicit VR little endian; same input, same bytes.

    Args:
        path: The file; its folder must exist.
        stored: (rows, columns), int16 or uint16, stored values before rescaling.
        header: DICOM keywords and values; `SOPInstanceUID` is needed. Rows, columns
            and pixel layout follow from `stored`; BitsStored may be given.

    Raises:
        ValueError: if `stored` is not a 16-bit slice.
    """
    if stored.ndim != 2 or stored.dtype not in (np.int16, np.uint16):
        raise ValueError(
            f"{path}: stored values must be a 16-bit slice. Received: {stored.dtype} "
            f"{stored.shape}"
        )
    bits = int(header.get("BitsStored", 16))
    fields = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.dtype == np.int16),
        **header,
        "PixelData": stored.astype(stored.dtype.newbyteorder("<")).tobytes(),
    }
    buffer = io.BytesIO()
    # RSNA's identifiers (ID_<hex>) are no UIDs, so values are not validated.
    with pydicom.config.disable_value_validation():
        dataset = pydicom.dataset.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = _CLASSIC_CT
        dataset.file_meta.MediaStorageSOPInstanceUID = header["SOPInstanceUID"]
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        for keyword, value in fields.items():
            setattr(dataset, keyword, value)
        dataset["PixelData"].VR = "OW"
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    files.write_bytes(path, buffer.getvalue())
