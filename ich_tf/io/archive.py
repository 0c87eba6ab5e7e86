"""ZIP archives unpacked to a folder, within limits that a hostile one cannot exceed."""

import dataclasses
import errno
import os
import pathlib
import shutil
import stat
import time
import zipfile
import zlib

MAX_RATIO = 200
"""Of unpacked to packed size; what compresses better is a bomb. Air compresses well:
an all-air slice of 512 x 512 pixels reaches about 500, a whole scan less than 20."""
SMALL_BYTES = 16 * 2**20
"""Files of fewer bytes may have any ratio."""
_BLOCK = 2**20


@dataclasses.dataclass(frozen=True)
class Limits:
    """The most that is unpacked of an archive.

    Attributes:
        files: Number of files.
        bytes: Bytes of all files together, unpacked.
    """

    files: int = 20_000
    bytes: int = 8 * 2**30


LIMITS = Limits()


def is_archive(path: str | os.PathLike) -> bool:
    """Whether a path is a file that begins as a ZIP archive does."""
    path = pathlib.Path(path)
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def unpack(
    path: str | os.PathLike,
    folder: str | os.PathLike,
    limits: Limits = LIMITS,
) -> int:
    """Unpack all files of an archive.

    Folders of the archive are kept. A file's content counts, not the size that the
    archive states.

    Args:
        path: The archive.
        folder: An empty folder.
        limits: The most that is unpacked.

    Returns:
        The number of files.

    Raises:
        ValueError: if the archive is damaged, encrypted or empty, if a name leads out
            of the folder or names a link, or if the files are too many, too large or
            compressed too well. The message names the archive; the folder may hold a
            part of the files then.
    """
    path, root = pathlib.Path(path), pathlib.Path(folder).resolve()
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            _check(path, members, limits)
            left = limits.bytes
            for member in members:
                target = _target(path, root, member)
                target.parent.mkdir(parents=True, exist_ok=True)
                left -= _write(path, archive, member, target, left, limits)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        reason = "is encrypted" if "encrypted" in str(error) else "is damaged"
        raise ValueError(f"{path}: the ZIP archive {reason}.") from error
    except (zipfile.LargeZipFile, UnicodeError, zlib.error) as error:
        raise ValueError(f"{path}: the ZIP archive is damaged.") from error
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST):
            raise
        raise ValueError(
            f"{path}: the ZIP archive holds names that no folder here can hold."
        ) from error
    return len(members)


def _check(path: pathlib.Path, members: list[zipfile.ZipInfo], limits: Limits) -> None:
    if not members:
        raise ValueError(f"{path}: the ZIP archive is empty.")
    if len(members) > limits.files:
        raise ValueError(
            f"{path}: the ZIP archive has {len(members)} files, more than the "
            f"{limits.files} that are unpacked."
        )
    total = sum(member.file_size for member in members)
    if total > limits.bytes:
        raise _too_large(path, limits)
    for member in members:
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(f"{path}: the ZIP archive holds a link; pack the files.")


def _too_large(path: pathlib.Path, limits: Limits) -> ValueError:
    return ValueError(
        f"{path}: the ZIP archive holds more than the {limits.bytes} bytes that are "
        "unpacked."
    )


def _target(
    path: pathlib.Path, root: pathlib.Path, member: zipfile.ZipInfo
) -> pathlib.Path:
    """Where a member goes; within `root` whatever its name says."""
    name = member.filename.replace("\\", "/")
    target = (root / name).resolve()
    if not target.is_relative_to(root) or target == root or "\0" in name:
        raise ValueError(f"{path}: a name in the ZIP archive leads out of its folder.")
    return target


def _write(
    path: pathlib.Path,
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    target: pathlib.Path,
    most_bytes: int,
    limits: Limits,
) -> int:
    """Unpack one file; the bytes written."""
    if target.exists():
        raise ValueError(f"{path}: the ZIP archive holds a name twice.")
    written = 0
    with archive.open(member) as packed, open(target, "xb") as file:
        while block := packed.read(_BLOCK):
            written += len(block)
            if written > most_bytes:
                raise _too_large(path, limits)
            ratio = written / max(1, member.compress_size)
            if written > SMALL_BYTES and ratio > MAX_RATIO:
                raise ValueError(
                    f"{path}: a file in the ZIP archive unpacks to more than "
                    f"{MAX_RATIO} times its size."
                )
            if shutil.disk_usage(target.parent).free < 2 * _BLOCK:
                raise OSError(f"{path}: no space left in {target.parent}")
            file.write(block)
    _keep_time(target, member)
    return written


def _keep_time(target: pathlib.Path, member: zipfile.ZipInfo) -> None:
    """Give a file its time in the archive, so that it counts as the same next time."""
    try:
        seconds = time.mktime((*member.date_time, 0, 0, -1))
        os.utime(target, (seconds, seconds))
    except (ValueError, OverflowError):
        os.utime(target, (0, 0))
