"""Stored values of a DICOM file become Hounsfield units.

Decisions a reader of the code should know:

- Padding and everything below -1024 HU become air (-1024 HU).
- MONOCHROME1 changes the display, not the Hounsfield units: nothing is inverted.
- Bits beyond Bits Stored are not part of a value, in compressed data too.

Reference:
    DICOM PS3.3, C.11.1 (modality LUT), C.7.5.1.1.2 (pixel padding value), C.7.6.3
    (image pixel).
"""

import math
import os
import pathlib

import numpy as np
from pydicom import uid

from ich_tf.io.dicom import codecs, files, headers
from ich_tf.io.source import InputError
from ich_tf.io.stack import Plane
from ich_tf.volume import LOWEST_HU

# Padding between these is also a value of tissue, up to the second one for certain.
_TISSUE_HU = (-500.0, 1500.0, 4000.0)


def read_slice(path: str | os.PathLike) -> tuple[Plane, np.ndarray, list[str]]:
    """Read one slice: its place, its HU (rows, columns), and notes.

    Raises:
        InputError: if the file does not hold one readable slice; the message names it.
    """
    planes, hu, notes = read_file(pathlib.Path(path))
    if len(planes) > 1:
        raise InputError(f"{path}: holds {len(planes)} slices, not one.")
    return planes[0], hu[0], notes


def read_file(
    path: pathlib.Path, plane: Plane | None = None
) -> tuple[list[Plane], np.ndarray, list[str]]:
    """Planes, HU (frames, rows, columns) and notes of one file.

    Args:
        path: The file.
        plane: Its first plane, if the header has been read before.

    Raises:
        InputError: if the file does not hold readable slices; the message names it.
    """
    dataset, _ = files.read_dataset(path, pixels=True)
    with files.reading(path):
        frames, rows, columns = headers.size_of(path, dataset)
        if frames > 1 and headers.sop_class(dataset) == headers.CLASSIC_CT:
            raise InputError(
                f"{path}: {frames} frames in a single-frame CT image have no positions."
            )
        planes = [
            plane
            if plane is not None and plane.frame == frame
            else headers.plane_of(path, dataset, frame, (rows, columns))
            for frame in range(frames)
        ]
        stored, notes = _decode(path, dataset, (frames, rows, columns))
        if not all(math.isfinite(plane.slope + plane.intercept) for plane in planes):
            raise InputError(f"{path}: {headers.NO_HU}")
        padded, padding_notes = _padding(path, dataset, stored, planes[0])
        hu = np.empty(stored.shape, np.float32)
        for frame, plane in enumerate(planes):
            notes += _rescale(dataset, plane, stored[frame], hu[frame])
    if padded is not None:
        hu[padded] = LOWEST_HU
    # NumPy's clip between two numbers is three times as fast as its maximum.
    return planes, np.clip(hu, LOWEST_HU, np.inf, out=hu), notes + padding_notes


def _rescale(dataset, plane: Plane, stored: np.ndarray, hu: np.ndarray) -> list[str]:
    """Write the HU of one frame; return notes."""
    if _is_rsna_quirk(dataset, plane):
        unsigned = stored.astype(np.uint16, copy=False)
        wrapped = (unsigned + np.uint16(1000)) & np.uint16(4095)
        np.subtract(wrapped, np.float32(1000), out=hu)
        return ["12-bit values wrapped back (RSNA quirk)"]
    if plane.slope == 1 and plane.intercept.is_integer() and abs(plane.intercept) < 2e6:
        # Whole numbers are exact in float32, and twice as fast.
        np.add(stored, np.float32(plane.intercept), out=hu)
    else:
        hu[:] = np.clip(stored * plane.slope + plane.intercept, -1e9, 1e9)
    return []


def _is_rsna_quirk(dataset, plane: Plane) -> bool:
    """Signed 12-bit values stored as unsigned, with an intercept near 0."""
    return (
        headers.get(dataset, "BitsStored") == 12
        and headers.get(dataset, "PixelRepresentation") == 0
        and plane.intercept > -100
        and plane.slope == 1
    )


def _decode(path, dataset, shape: tuple[int, int, int]) -> tuple[np.ndarray, list[str]]:
    """Stored values (frames, rows, columns), and notes."""
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise InputError(f"{path}: pixels are floating-point numbers; not read.")
    if "PixelData" not in dataset or not dataset.get("PixelData"):
        raise InputError(f"{path}: {headers.NO_PIXELS}")
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise InputError(f"{path}: {files.NO_SYNTAX}")
    if headers.get(dataset, "SamplesPerPixel") not in (None, 1):
        raise InputError(f"{path}: a colour image has no Hounsfield units.")
    notes = []
    if not syntax.is_encapsulated:
        available = len(dataset.PixelData)
        expected = headers.check_length(path, dataset, math.prod(shape), available)
        if available > expected + 1:
            notes.append("more pixel data than the header claims")
            dataset.PixelData = dataset.PixelData[: expected + expected % 2]
    if _is_plain(dataset, syntax):
        return _plain_values(dataset)[: math.prod(shape)].reshape(shape), notes
    if syntax.is_encapsulated:
        _high_bit_shift(path, dataset, 16, allowed=0)
        stored = codecs.decode(path, syntax, math.prod(shape))
    elif syntax.is_little_endian and headers.get(dataset, "BitsAllocated") == 16:
        # pydicom would clear the upper bits, in which the values may be.
        stored = _words(dataset)[: math.prod(shape)]
    else:
        stored = dataset.pixel_array
    if stored.size != math.prod(shape) or stored.dtype.kind not in "iu":
        raise InputError(f"{path}: decoded to {stored.shape}, not to {shape} pixels.")
    return _stored_bits(path, dataset, stored.reshape(shape)), notes


def _is_plain(dataset, syntax: uid.UID) -> bool:
    """Whether the pixel data are 16-bit values one after the other, as mostly."""
    facts = ("SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit")
    samples, allocated, stored, high = (
        headers.get(dataset, keyword) for keyword in facts
    )
    return (
        not syntax.is_encapsulated
        and syntax.is_little_endian
        and (samples, allocated) == (1, 16)
        and stored in range(1, 17)
        and high == stored - 1
        and headers.get(dataset, "PixelRepresentation") in (0, 1)
    )


def _plain_values(dataset) -> np.ndarray:
    """The values of a file for which `_is_plain` holds, without pydicom's decoder.

    The decoder takes longer than all the rest of reading a slice.
    """
    values = _words(dataset)
    unused = 16 - headers.get(dataset, "BitsStored")
    return (values << unused) >> unused if unused else values


def _words(dataset) -> np.ndarray:
    """The 16-bit words of uncompressed pixel data."""
    kind = "<i2" if headers.get(dataset, "PixelRepresentation") else "<u2"
    content = dataset.PixelData
    return np.frombuffer(content, kind, len(content) // 2)


def _high_bit_shift(path, dataset, width: int, allowed: int | None = None) -> int:
    """How many bits lie below the values.

    Raises:
        InputError: if Bits Stored and High Bit fit no word of this width, or it is
            more than `allowed`.
    """
    bits = headers.integer(path, dataset, "BitsStored", 1, width)
    high = headers.number(path, dataset.get, "HighBit")
    shift = 0 if high is None else int(high) + 1 - bits
    most = width - bits if allowed is None else allowed
    if not 0 <= shift <= most:
        raise InputError(
            f"{path}: HighBit {high:g} does not fit BitsStored {bits}; it should be "
            f"{bits - 1}. Have the series exported again."
        )
    return shift


def _stored_bits(path, dataset, values: np.ndarray) -> np.ndarray:
    """Decoded values without the bits, e.g. overlays, beyond Bits Stored.

    Raises:
        InputError: if Bits Stored and High Bit do not say where the values are.
    """
    shift = _high_bit_shift(path, dataset, 8 * values.dtype.itemsize)
    bits = int(headers.get(dataset, "BitsStored"))
    if shift:
        # Some writers fill the upper bits, some only claim so.
        if not np.any(values & (2**shift - 1)):
            values = values >> shift
        elif np.any(_cut(values, bits) != values):
            raise InputError(
                f"{path}: HighBit {bits + shift - 1} contradicts BitsStored {bits} "
                "and the pixels fit neither. Have the series exported again."
            )
    return _cut(values, bits)


def _cut(values: np.ndarray, bits: int) -> np.ndarray:
    """The lowest bits of values, with their sign."""
    unused = 8 * values.dtype.itemsize - bits
    return (values << unused) >> unused if unused else values


def _padding(
    path, dataset, stored, plane: Plane
) -> tuple[np.ndarray | None, list[str]]:
    """Where a slice is padded with what is not air anyway; PS3.3 C.7.5.1.1.2."""
    first = headers.number(path, dataset.get, "PixelPaddingValue")
    if first is None:
        return None, []
    last = headers.number(path, dataset.get, "PixelPaddingRangeLimit")
    period = 2 ** headers.integer(path, dataset, "BitsAllocated", 1, 64)
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
    if np.all(in_hu <= LOWEST_HU):
        return None, []
    padded = (stored >= low) & (stored <= high)
    if not padded.any():
        return None, []
    lowest, certain, highest = _TISSUE_HU
    if np.any((in_hu > lowest) & (in_hu < certain)):
        # Seen in the wild: padding 0 with intercept 0 is also the value of water.
        return None, [
            f"padding lies among tissue ({in_hu[0]:g} HU) and was not replaced"
        ]
    if np.any((in_hu >= certain) & (in_hu < highest)):
        # 4095, the largest value of 12 bits, is also metal: only what touches the
        # border of the slice is padding.
        padded = _touching_border(padded)
    return padded, []


def _touching_border(mask: np.ndarray) -> np.ndarray:
    """(frames, rows, columns): the connected parts that touch a slice's border."""
    from scipy import ndimage

    touching = np.zeros_like(mask)
    for frame, part in enumerate(mask):
        regions, _ = ndimage.label(part)
        border = (regions[0], regions[-1], regions[:, 0], regions[:, -1])
        numbers = np.setdiff1d(np.concatenate(border), [0])
        touching[frame] = np.isin(regions, numbers)
    return touching
