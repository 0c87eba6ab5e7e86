"""The checked entrance for files: what is opened, how large it may be, what it is.

Every reader goes through `check_file` before it opens a file, and every search for
files goes through `walk`. So a pipe, a device, a link to an endless file, a loop of
links or a folder without permission ends in an error or a note, never in a hang.
"""

import dataclasses
import os
import pathlib
import stat
import zlib

MAX_FILES = 200_000
"""Largest number of files that a folder is searched for."""

READ = (
    "ich_tf reads NIfTI (.nii, .nii.gz, .hdr with .img), DICOM files and folders, ZIP "
    "files of these, and a patient's folder of ct-ich (`Patients_CT/<patient>` with "
    "`brain/<n>.jpg`)"
)
_ANALYZE = "Analyze 7.5 (.hdr), which has no orientation; save it as .nii.gz"
_SYSTEM_FILES = (".ds_store", "thumbs.db", "desktop.ini")
_SYSTEM_FOLDERS = ("__MACOSX",)
_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class InputError(ValueError):
    """An input that cannot be read; the message names the file and the reason."""


@dataclasses.dataclass(frozen=True)
class Walk:
    """What a folder holds.

    Attributes:
        files: Regular files with content, each once, in the order of their paths.
        problems: Path to reason, for what could not be looked at: empty files, pipes,
            broken links, folders and files without permission.
    """

    files: tuple[pathlib.Path, ...]
    problems: dict[pathlib.Path, str]


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def check_file(path: str | os.PathLike, most_bytes: int) -> int:
    """Refuse what is no regular file of a reasonable size, before it is opened.

    Args:
        path: The file; links are followed.
        most_bytes: Largest size that is read.

    Returns:
        Its size in bytes, 1 or more.

    Raises:
        InputError: if it is absent, special, empty or too large.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = _reason(error) if isinstance(error, OSError) else "not a file name"
        raise InputError(f"{path}: cannot be opened ({reason}).") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is {_special(status.st_mode)}, not a file.")
    if status.st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes).")
    if status.st_size > most_bytes:
        raise InputError(
            f"{path}: has {status.st_size} bytes, more than the {most_bytes} read."
        )
    return status.st_size


def read_bytes(path: str | os.PathLike, most_bytes: int) -> bytes:
    """The content of a checked file.

    Raises:
        InputError: see `check_file`; also if the file cannot be read.
    """
    size = check_file(path, most_bytes)
    try:
        with open(path, "rb") as file:
            # A file that grows meanwhile is read up to the size that was checked.
            return file.read(size)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({_reason(error)}).") from error


def read_start(path: str | os.PathLike, count: int) -> bytes:
    """The first bytes of a file whose size does not matter.

    Raises:
        InputError: see `check_file`; also if the file cannot be read.
    """
    check_file(path, 2**63)
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({_reason(error)}).") from error


def read_text(path: str | os.PathLike, most_bytes: int) -> str:
    """The content of a text file, without a byte order mark.

    Raises:
        InputError: see `check_file`; also if the content is no UTF-8.
    """
    content = read_bytes(path, most_bytes)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{path}: is UTF-16 text; save it as UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text.") from error


def _special(mode: int) -> str:
    return next((name for test, name in _SPECIAL if test(mode)), "special")


def is_system_file(name: str) -> bool:
    """Whether a file is that macOS or Windows adds to the user's own."""
    return name.startswith("._") or name.lower() in _SYSTEM_FILES


def walk(folder: str | os.PathLike) -> Walk:
    """Find the files of a folder and its subfolders.

    Links to folders are followed; a folder or file that is reached twice, by whatever
    links, counts once.

    Raises:
        InputError: if the folder cannot be listed, or holds more than `MAX_FILES`.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    regular, problems, seen = [], {}, set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            status = current.stat()
            names = sorted(os.listdir(current))
        except OSError as error:
            if current == folder:
                reason = _reason(error)
                raise InputError(f"{folder}: cannot be listed ({reason}).") from error
            problems[current] = f"the folder cannot be listed ({_reason(error)})"
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in names:
            _sort_in(current / name, regular, waiting, problems, seen)
        if len(regular) > MAX_FILES:
            raise InputError(
                f"{folder}: holds more than {MAX_FILES} files; name the scan's folder."
            )
    return Walk(tuple(sorted(regular)), problems)


def _sort_in(
    path: pathlib.Path, regular: list, waiting: list, problems: dict, seen: set
):
    """Put an entry of a folder to the files, folders or problems."""
    if is_system_file(path.name) or path.name in _SYSTEM_FOLDERS:
        return
    try:
        status = path.stat()
    except OSError as error:
        problems[path] = f"cannot be opened ({_reason(error)})"
        return
    if stat.S_ISDIR(status.st_mode):
        waiting.append(path)
    elif not stat.S_ISREG(status.st_mode):
        problems[path] = f"is {_special(status.st_mode)}, not a file"
    elif (status.st_dev, status.st_ino) not in seen:
        seen.add((status.st_dev, status.st_ino))
        if status.st_size == 0:
            problems[path] = "is empty (0 bytes)"
        else:
            regular.append(path)


# Magic bytes, where they are, and the name of the format: first what may hold a scan.
_SCAN_MAGIC = (
    (0, b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (0, b"Rar!", "a RAR archive; unpack it first"),
    (257, b"ustar", "a TAR archive; unpack it first"),
    (0, b"BZh", "a file compressed by bzip2; unpack it first"),
    (0, b"\xfd7zXZ", "a file compressed by xz; unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "a file compressed by zstd; unpack it first"),
    (0, b"NRRD0", "NRRD (.nrrd, .nhdr); save it as .nii.gz, with 3D Slicer for one"),
    (0, b"# vtk DataFile", "VTK; save it as .nii.gz"),
    (0, b"CDF", "NetCDF (MINC 1); convert it with mnc2nii"),
    (0, b"\x89HDF", "HDF5 (MINC 2 or weights); save a scan as .nii.gz"),
    (128, b"DICM", "DICOM; unpack it first"),
    (0, b"\x1f\x8b", "a file that gzip compressed once more; unpack it first"),
    (344, b"n+1\0", "NIfTI"),
    (4, b"n+2\0", "NIfTI"),
    (0, b"DICM", "DICOM that lost the first 128 bytes of its header"),
    (0, b"\x00\x00\x00\x01\x00\x00", "MGH (FreeSurfer); convert it with mri_convert"),
    (0, b"\x5c\x01\x00\x00", _ANALYZE),
    (0, b"\x00\x00\x01\x5c", _ANALYZE),
)
_OTHER_MAGIC = (
    (0, b"PK\x05\x06", "an empty ZIP archive"),
    (0, b"\x93NUMPY", "a NumPy array, which says nothing about its place"),
    (0, b"\x89PNG", "a PNG picture, which has no Hounsfield units"),
    (0, b"\xff\xd8\xff", "a JPEG picture, which has no Hounsfield units"),
    (0, b"GIF8", "a GIF picture, which has no Hounsfield units"),
    (0, b"BM", "a BMP picture, which has no Hounsfield units"),
    (0, b"II*\x00", "a TIFF picture, which has no Hounsfield units"),
    (0, b"MM\x00*", "a TIFF picture, which has no Hounsfield units"),
    (4, b"jP  ", "a JPEG 2000 picture, which has no Hounsfield units"),
    (0, b"%PDF", "a PDF document"),
)
_SCAN_ENDINGS = {
    (".mha", ".mhd"): "MetaImage (.mha, .mhd); save it as .nii.gz, with 3D Slicer",
    (".nrrd", ".nhdr"): "NRRD; save it as .nii.gz, with 3D Slicer for one",
    (".mgz", ".mgh"): "MGH (FreeSurfer); convert it with mri_convert",
    (".mnc",): "MINC; convert it with mnc2nii",
    (".img",): "the voxels of a pair, whose header, the file .hdr, is not there",
}
_OTHER_ENDINGS = {
    (".html", ".htm"): "a web page",
    (".txt", ".csv", ".json", ".xml", ".md"): "text",
}


def name_format(path: str | os.PathLike) -> str | None:
    """The format of a file that no reader takes, with advice; None if unknown.

    The content decides; the name only where the content has no mark of its own.

    Raises:
        InputError: see `check_file`.
    """
    return _name(pathlib.Path(path))[0]


def scan_format(path: str | os.PathLike) -> str | None:
    """`name_format` of a file that may hold a scan, None for every other format.

    Raises:
        InputError: see `check_file`.
    """
    name, scan = _name(pathlib.Path(path))
    return name if scan else None


def is_named_text(path: str | os.PathLike) -> bool:
    """Whether the name alone says text or a web page."""
    endings = {ending for known in _OTHER_ENDINGS for ending in known}
    return pathlib.Path(path).suffix.lower() in endings


def _name(path: pathlib.Path) -> tuple[str | None, bool]:
    """The name of a file's format, and whether it may hold a scan."""
    start = read_start(path, 4096)
    packed = start[:2] == b"\x1f\x8b"
    if packed:
        start = _unpacked(start)
    name, scan = _name_start(path, start)
    if packed:
        name = f"compressed by gzip: {name}" if name else "a file compressed by gzip"
    return name, scan


def _name_start(path: pathlib.Path, start: bytes) -> tuple[str | None, bool]:
    for known, scan in ((_SCAN_MAGIC, True), (_OTHER_MAGIC, False)):
        for offset, magic, name in known:
            if start[offset : offset + len(magic)] == magic:
                return name, scan
    if b"ElementType" in start and b"DimSize" in start:
        return _SCAN_ENDINGS[".mha", ".mhd"], True
    lowered = start[:512].lstrip().lower()
    if lowered.startswith((b"<!doctype html", b"<html")):
        return "a web page, not what was downloaded; look at it in a browser", False
    endings = {part.lower() for part in path.suffixes[-2:]}
    for known, scan in ((_SCAN_ENDINGS, True), (_OTHER_ENDINGS, False)):
        for listed, name in known.items():
            if endings & set(listed):
                return name, scan
    if start and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "text", False
    return None, False


def _unpacked(start: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(start, 4096)
    except zlib.error:
        return b""


def share_text(count: int, total: int) -> str:
    """How many of all, as a number and a percentage that is never rounded to 0.

    Args:
        count: 1 or more.
        total: `count` or more.
    """
    percent = 100 * count / total
    # Two digits, but no exponent: 99.5 would be 1e+02.
    shown = f"{percent:.3g}" if percent >= 99 else f"{percent:.2g}"
    return f"{count} of {total} ({shown}%)"
