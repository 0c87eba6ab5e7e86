"""DICOM files opened: size and kind checked, damage turned into a named error.

Files without the 128 bytes of preamble are read where they begin with tags of
DICOM. Deflated files are inflated here, up to a limit, and never by pydicom.
"""

import contextlib
import io
import logging
import os
import pathlib
import re
import struct
import warnings
import zlib
from collections.abc import Iterator

import pydicom
from pydicom import uid

from ich_tf.io import source
from ich_tf.io.source import InputError

MAX_FILE_BYTES = 2**29
NO_SYNTAX = "no transfer syntax, so the pixels have no meaning."

_DEFLATED = str(uid.DeflatedExplicitVRLittleEndian).encode()
_PREFIX = b"\0" * 128 + b"DICM"
_VALUE_TYPES = re.compile(
    rb"AE|AS|AT|CS|DA|DS|DT|FD|FL|IS|LO|LT|OB|OD|OF|OL|OV|OW|PN|SH|SL|SQ|SS|ST|SV|TM|"
    rb"UC|UI|UL|UN|UR|US|UT|UV"
)
_LONG_TYPES = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR")
_LONG_TYPES += (b"UT", b"UV", b"SV")
_LENGTH_TAG, _SYNTAX_TAG = b"\x02\x00\x00\x00", b"\x02\x00\x10\x00"
_FIRST_GROUPS = (2, 8)
_HEADER_BYTES = 2**14


class _Bounded(io.BufferedReader):
    """A file whose reads never ask for more than it holds.

    A damaged length of 4 GB would otherwise be allocated before the file ends.
    """

    def __init__(self, path: pathlib.Path, size: int):
        super().__init__(open(path, "rb", buffering=0), 2 * _HEADER_BYTES)
        self._size = size

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and 0 <= size <= _HEADER_BYTES:
            return super().read(size)
        left = max(self._size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Turn whatever pydicom raises on a bad file into an `InputError` that names it."""
    log = logging.getLogger("pydicom")
    disabled = log.disabled
    try:
        # Values are checked where they are used; pydicom's warnings and log lines
        # would quote tags of the patient.
        log.disabled = True
        with pydicom.config.disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    # pydicom raises every kind of exception on damaged data; a message has only its
    # kind, since its text may quote the header.
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            reason = f"cannot be opened ({error.strerror})."
        else:
            reason = f"truncated or damaged DICOM ({type(error).__name__})."
        raise InputError(f"{path}: {reason}") from error
    finally:
        log.disabled = disabled


def starts_like_dicom(start: bytes) -> bool:
    """Whether a file is DICOM by its first bytes, with preamble or without.

    Without preamble the first two elements must be of the groups that a file begins
    with, in order, and fit a known type or a short length.
    """
    return start[128:132] == b"DICM" or _is_bare(start)


def _is_bare(start: bytes) -> bool:
    """Whether a file begins with DICOM elements; a preamble is missing."""
    for order in "<>":
        place, last = 0, (0, 0)
        for _ in range(2):
            if len(start) < place + 8:
                break
            group, element = struct.unpack_from(order + "HH", start, place)
            if group not in _FIRST_GROUPS or (group, element) <= last or element > 8192:
                break
            last = group, element
            size = _element_bytes(start, place, order)
            if size is None:
                break
            place += size
        else:
            return True
    return False


def _element_bytes(
    start: bytes, place: int, order: str, most: int = 1024
) -> int | None:
    """Bytes of an element, None if they are more than `most`, as in no first one."""
    if _VALUE_TYPES.fullmatch(start, place + 4, place + 6):
        if start[place + 4 : place + 6] in _LONG_TYPES:
            if len(start) < place + 12:
                return None
            length = struct.unpack_from(order + "I", start, place + 8)[0] + 12
        else:
            length = struct.unpack_from(order + "H", start, place + 6)[0] + 8
    else:
        length = struct.unpack_from(order + "I", start, place + 4)[0] + 8
    return length if length <= most else None


def read_dataset(
    path: pathlib.Path,
    *,
    pixels: bool,
    tags: list | None = None,
    most_bytes: int = MAX_FILE_BYTES,
) -> tuple[pydicom.FileDataset, int | None]:
    """Read a file, or its header.

    Args:
        path: The file.
        pixels: Whether to read on to the pixels and beyond.
        tags: The tags that are wanted; None for all.
        most_bytes: Largest file, and largest inflated content, that is read.

    Returns:
        The data set; and how many bytes follow the header, None where that cannot be
        known (deflated, or everything was read).

    Raises:
        InputError: if it is no DICOM file, or is damaged or too large.
    """
    with reading(path):
        size = source.check_file(path, most_bytes)
        with _Bounded(path, size) as file:
            start = file.read(_HEADER_BYTES)
            file.seek(0)
            if not starts_like_dicom(start):
                raise InputError(f"{path}: {_not_dicom(path)}")
            opened, inflated = file, False
            elements, end = _meta_elements(path, start)
            if any(e[:4] == _SYNTAX_TAG and _DEFLATED in e for e in elements):
                file.seek(end)
                content = _inflate(path, file.read(), most_bytes)
                opened, inflated = _plain_file(elements, content), True
            dataset = pydicom.dcmread(
                opened,
                stop_before_pixels=not pixels,
                specific_tags=tags,
                force=start[128:132] != b"DICM",
            )
            left = None if pixels or inflated else size - file.tell()
        if start[128:132] != b"DICM" and not dataset.file_meta.get("TransferSyntaxUID"):
            dataset.file_meta.TransferSyntaxUID = _guessed_syntax(dataset)
        _check_syntax(path, dataset)
        return dataset, left


def _check_syntax(path: pathlib.Path, dataset: pydicom.FileDataset) -> None:
    """Refuse an encoding that the standard does not list."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        return
    if not syntax:
        raise InputError(f"{path}: {NO_SYNTAX}")
    if syntax.type != "Transfer Syntax":
        # Damage may have put any text there.
        name = (
            syntax if re.fullmatch(r"[0-9.]{1,64}", syntax) else "without a valid UID"
        )
        raise InputError(
            f"{path}: its transfer syntax, {name}, is private or unknown. Convert the "
            "file first, for example with `gdcmconv --raw`."
        )


def _not_dicom(path: pathlib.Path) -> str:
    name = source.name_format(path)
    if name is None or name == "text":
        return "not a DICOM file (no DICM prefix)."
    return f"not a DICOM file but {name}."


def _guessed_syntax(dataset: pydicom.FileDataset) -> uid.UID:
    """The syntax of a file without meta header, as pydicom found it to be written."""
    implicit, little = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _meta_elements(path: pathlib.Path, start: bytes) -> tuple[list[bytes], int]:
    """The elements of the meta header, each with its tag; and where they end."""
    place, elements = (132 if start[128:132] == b"DICM" else 0), []
    while start[place : place + 2] == b"\x02\x00":
        size = None
        if len(start) >= place + 8:
            size = _element_bytes(start, place, "<", most=_HEADER_BYTES)
        if size is None or place + size > len(start):
            raise InputError(f"{path}: truncated or damaged DICOM (meta header).")
        elements.append(start[place : place + size])
        place += size
    return elements, place


def _inflate(path: pathlib.Path, packed: bytes, most_bytes: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflater.decompress(packed, most_bytes + 1)
    if len(content) > most_bytes:
        raise InputError(f"{path}: inflates to more than {most_bytes} bytes.")
    if not inflater.eof:
        raise InputError(f"{path}: truncated, its deflated content has no end.")
    return content


def _plain_file(elements: list[bytes], content: bytes) -> io.BytesIO:
    """A file in explicit VR little endian from a meta header and inflated content."""
    plain = str(uid.ExplicitVRLittleEndian).encode() + b"\0"
    syntax = _SYNTAX_TAG + b"UI" + struct.pack("<H", len(plain)) + plain
    others = [e for e in elements if e[:4] not in (_SYNTAX_TAG, _LENGTH_TAG)]
    return io.BytesIO(_PREFIX + b"".join(sorted([*others, syntax])) + content)


def looks_like_dicom(path: str | os.PathLike) -> bool:
    """Whether a file is DICOM by its first bytes.

    Raises:
        InputError: if it cannot be read.
    """
    return starts_like_dicom(source.read_start(path, 4096))
