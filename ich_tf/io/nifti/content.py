"""The bytes of NIfTI files: single files and pairs, plain and compressed.

A file is known by its content, not by its name. A compressed file is read to its end,
so that its checksum is checked, and never beyond what its header announces.

Reference:
    NIfTI-1 data format, https://nifti.nimh.nih.gov/nifti-1; RFC 1952 (gzip).
"""

import dataclasses
import io
import logging
import math
import os
import pathlib
import zlib

import nibabel
import numpy as np

from ich_tf.io import source
from ich_tf.io.source import InputError

MAX_VOXELS = 2**28
"""Largest number of voxels read (1024 slices of 512x512)."""

MAX_FILE_BYTES = 2**31

_HEADERS = ((348, nibabel.Nifti1Header), (540, nibabel.Nifti2Header))
_PAIR_MAGICS = (b"ni1\0", b"ni2\0")
_MAGICS = (b"n+1\0", b"n+2\0", *_PAIR_MAGICS)
_MAX_OFFSET = 2**24
_CHUNK = 2**20
_SILENT = logging.Logger("what nibabel mends in headers", logging.CRITICAL + 1)


@dataclasses.dataclass(frozen=True, eq=False)
class NiftiContent:
    """A header that was checked, and where its voxels are.

    Attributes:
        path: The file that was named.
        header: nibabel's header. It has 1 where the file gives no size of a voxel.
        sizes_mm: (3,), sizes of a voxel as the file has them; 0, negative or not finite
            where there are none.
        shape: Shape of the three spatial axes.
        flat: Whether the file has two axes only.
        data: The file that holds the voxels.
    """

    path: pathlib.Path
    header: nibabel.Nifti1Header
    sizes_mm: np.ndarray
    shape: tuple[int, int, int]
    flat: bool
    data: pathlib.Path

    @property
    def voxel_bytes(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.header.get_data_dtype().itemsize

    @property
    def offset(self) -> int:
        """Where the voxels begin in `data`."""
        return int(self.header.get_data_offset())


def _start(path: pathlib.Path, count: int) -> bytes:
    """The first bytes of a file, decompressed if it is compressed."""
    start = source.read_start(path, max(count, 4096))
    if start[:2] != b"\x1f\x8b":
        return start[:count]
    try:
        return zlib.decompressobj(31).decompress(start, count)
    except zlib.error:
        return b""


def _magic(start: bytes) -> bytes:
    """The magic of a NIfTI header, empty without one."""
    for place in (344, 4):
        if start[place : place + 4] in _MAGICS:
            return start[place : place + 4]
    return b""


def is_nifti(path: str | os.PathLike) -> bool:
    """Whether a file is NIfTI by its content, or half of a pair.

    Raises:
        InputError: if it cannot be read.
    """
    path = pathlib.Path(path)
    return bool(_magic(_start(path, 348))) or (
        _endings(path.name)[0] == ".img" and _partner(path, ".hdr") is not None
    )


def scan_files(path: str | os.PathLike) -> tuple[pathlib.Path, ...]:
    """The files of a scan: one, or two for a pair, .hdr before .img.

    Args:
        path: Either file of a pair, or any other NIfTI file.

    Raises:
        InputError: if it cannot be read.
    """
    path = pathlib.Path(path)
    ending, magic = _endings(path.name)[0], _magic(_start(path, 348))
    # Without a magic of NIfTI it is a pair of Analyze 7.5.
    if magic in _PAIR_MAGICS or not magic and ending == ".hdr":
        data = _partner(path, ".img")
        return (path, data) if data else (path,)
    if not magic and ending == ".img":
        head = _partner(path, ".hdr")
        return (head, path) if head else (path,)
    return (path,)


def _endings(name: str) -> tuple[str, str]:
    """The ending of a name in small letters, and ".gz" or nothing after it."""
    lowered = name.lower()
    packed = ".gz" if lowered.endswith(".gz") else ""
    return os.path.splitext(lowered.removesuffix(".gz"))[1], packed


def _partner(path: pathlib.Path, ending: str) -> pathlib.Path | None:
    """The other file of a pair, whatever its capitals and compression."""
    stem = path.name.lower().removesuffix(".gz")[: -len(".img")]
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:
        return None
    for name in names:
        if name.lower() in (stem + ending, stem + ending + ".gz"):
            return path.parent / name
    return None


def open_file(path: str | os.PathLike) -> NiftiContent:
    """Check a file's header; no voxel is read yet.

    Raises:
        InputError: if it is no NIfTI file, or is not one volume of numbers within the
            limits; the message names the file.
    """
    path = pathlib.Path(path)
    try:
        source.check_file(path, MAX_FILE_BYTES)
    except InputError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise InputError(f"{path}: not a readable NIfTI file: {reason}") from error
    head, data = path, path
    if _endings(path.name)[0] == ".img" and not _magic(_start(path, 348)):
        head = _partner(path, ".hdr")
        if head is None:
            raise InputError(f"{path}: its header, the file .hdr, is not there.")
    start = _start(head, 540)
    magic = _magic(start)
    if not magic:
        raise InputError(f"{path}: {_not_nifti(head)}")
    if magic in _PAIR_MAGICS and data == head:
        data = _partner(path, ".img")
        if data is None:
            raise InputError(f"{path}: its voxels, the file .img, are not there.")
    header, sizes_mm = _header(path, start)
    shape, flat = _shape(path, header)
    content = NiftiContent(path, header, sizes_mm, shape, flat, data)
    _check(content)
    return content


def _not_nifti(path: pathlib.Path) -> str:
    name = source.name_format(path)
    return f"not a readable NIfTI file{f' but {name}' if name else ''}."


def _header(
    path: pathlib.Path, start: bytes
) -> tuple[nibabel.Nifti1Header, np.ndarray]:
    """The header as nibabel mends it, and the sizes of a voxel before it did."""
    size = 540 if start[4:8] in _MAGICS else 348
    kind = dict(_HEADERS)[size]
    if len(start) < size:
        raise InputError(f"{path}: truncated, its header is cut off.")
    try:
        header = kind.from_fileobj(io.BytesIO(start[:size]), check=False)
        sizes_mm = np.array(header["pixdim"][1:4], float)
        header.check_fix(_SILENT)
        return header, sizes_mm
    # nibabel raises every kind of exception on damaged headers.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not a readable NIfTI file ({reason}).") from error


def _shape(path, header) -> tuple[tuple[int, int, int], bool]:
    """The three spatial axes, and whether the file has only two."""
    try:
        full = tuple(int(size) for size in header.get_data_shape())
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: its shape is damaged.") from error
    flat = len(full) == 2
    shape = (*full, 1) if flat else full[:3]
    if len(shape) != 3 or any(size != 1 for size in full[3:]):
        raise InputError(
            f"{path}: needs one 3-D volume, its shape is {full}: several time points, "
            "or none. Write the wanted frame to a file of its own, with fslroi for one."
        )
    if min(shape) < 1:
        raise InputError(f"{path}: the volume is empty, its shape is {full}.")
    if math.prod(shape) > MAX_VOXELS:
        raise InputError(
            f"{path}: the header claims {full} voxels, more than the {MAX_VOXELS} read."
        )
    return shape, flat


def _check(content: NiftiContent) -> None:
    """Refuse voxels that are no numbers, lie beyond the file, or are not in mm."""
    path, header = content.path, content.header
    try:
        kind = header.get_data_dtype()
    # nibabel raises its own kinds of exception on unknown codes.
    except Exception as error:
        raise InputError(f"{path}: its data type is unknown.") from error
    if kind.fields is not None or kind.kind not in "iuf" or kind.itemsize > 8:
        raise InputError(f"{path}: voxels of type {kind} are not a CT or a mask.")
    offset = float(header["vox_offset"])
    if not 0 <= offset <= _MAX_OFFSET:
        raise InputError(f"{path}: the voxels would begin at byte {offset:g}.")
    size = source.check_file(content.data, MAX_FILE_BYTES)
    # No deflated file holds more than 1032 bytes for each of its own.
    packed = source.read_start(content.data, 2) == b"\x1f\x8b"
    if content.offset + content.voxel_bytes > size * (1032 if packed else 1):
        raise InputError(
            f"{path}: truncated, it is too small for {content.shape} voxels."
        )
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError as error:
        code = int(header["xyzt_units"])
        raise InputError(f"{path}: xyzt_units {code} names no unit.") from error
    if unit not in ("mm", "unknown"):
        raise InputError(f"{path}: lengths are in {unit}; millimetres are needed.")


def voxels(content: NiftiContent) -> tuple[np.ndarray, list[str]]:
    """The stored values in the file's order, and remarks about the file.

    Raises:
        InputError: if the file is truncated or its checksum is wrong.
    """
    start, end = content.offset, content.offset + content.voxel_bytes
    size = source.check_file(content.data, MAX_FILE_BYTES)
    try:
        with open(content.data, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if packed:
                data, remarks = _inflate(content, file, end)
                data = memoryview(data)[start:end]
            else:
                file.seek(start)
                data, remarks = file.read(min(content.voxel_bytes, size)), []
    except OSError as error:
        raise InputError(
            f"{content.path}: cannot be read ({error.strerror})."
        ) from error
    if len(data) < content.voxel_bytes:
        raise InputError(
            f"{content.path}: truncated, {len(data)} bytes of voxels instead of "
            f"{content.voxel_bytes}."
        )
    kind = content.header.get_data_dtype()
    return np.frombuffer(data, kind).reshape(content.shape, order="F"), remarks


def _inflate(content: NiftiContent, file, needed: int) -> tuple[bytearray, list[str]]:
    """Decompress a file to its end and check its checksums.

    Only the first `needed` bytes are kept.
    """
    path, kept, beyond = content.path, bytearray(), 0
    inflater, waiting = zlib.decompressobj(31), b""
    try:
        while True:
            waiting = waiting or file.read(_CHUNK)
            if not waiting:
                raise InputError(f"{path}: truncated, its compressed data have no end.")
            part = inflater.decompress(waiting, _CHUNK)
            waiting = inflater.unconsumed_tail
            kept += part[: max(needed - len(kept), 0)]
            beyond += len(part) if len(kept) >= needed else 0
            if beyond > _CHUNK + needed:
                raise InputError(f"{path}: holds far more than its header says.")
            if inflater.eof:
                rest = inflater.unused_data + file.read(_CHUNK)
                if not rest.startswith(b"\x1f\x8b"):
                    break
                inflater, waiting = zlib.decompressobj(31), rest
    except zlib.error as error:
        reason = "wrong checksum" if "check" in str(error) else "damaged"
        raise InputError(
            f"{path}: its compressed data are corrupt ({reason}). Copy the file again."
        ) from error
    if rest.strip(b"\0"):
        return kept, ["other bytes follow the end of the compressed data"]
    return kept, []
