"""Files and folders that are complete or not there: made elsewhere, then renamed."""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from typing import Any

WRITING = ".writing-"
"""How the name of a folder begins in which `atomic` writes a file."""
PROCESS = uuid.uuid4().hex[:8]
"""Distinguishes this process from an earlier one of the same number."""
PARTIAL = ".partial"
"""How the name of a folder ends that is not complete."""


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a temporary path that becomes `path` if the block ends without error.

    The temporary name keeps the endings of `path`, which writers choose a format by.

    What a killed process left is removed by the next one that writes to the folder.

    Raises:
        OSError: if the block or the disk fails; the error names `path` where the system
            names the temporary file, or none, as for a full disk.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _writing(path.parent) as folder:
            partial = folder / path.name
            yield partial
            with open(partial, "rb") as written:
                os.fsync(written.fileno())
            os.replace(partial, path)
    except OSError as error:
        named = error.filename is not None and WRITING not in str(error.filename)
        if named or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextlib.contextmanager
def _writing(parent: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary folder; what killed processes left of theirs is removed."""
    _remove_writing(parent)
    prefix, ending = f"{WRITING}{PROCESS}-", partial_name("")
    with tempfile.TemporaryDirectory(ending, prefix, parent) as folder:
        yield pathlib.Path(folder)


# Once for each folder: thousands of files may be written to one.
@functools.cache
def _remove_writing(parent: pathlib.Path) -> None:
    remove_left(parent, WRITING, keep=f"{WRITING}{PROCESS}")


def link(source: pathlib.Path, path: pathlib.Path) -> None:
    """Give a complete file a second name, or copy it where links are unknown."""
    with _writing(path.parent) as folder:
        partial = folder / path.name
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)
        os.replace(partial, path)


def write_bytes(path: str | os.PathLike, content: bytes | memoryview) -> None:
    """Write a file atomically."""
    with atomic(path) as partial:
        partial.write_bytes(content)


def empty(folder: str | os.PathLike) -> None:
    """Remove everything in a folder, as far as the system allows."""
    for path in pathlib.Path(folder).iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def check_folder(path: str | os.PathLike) -> None:
    """Refuse a folder that could not be made or written, before long work.

    Raises:
        ValueError: if it, or what it should lie in, is a file or cannot be written.
    """
    path = pathlib.Path(path)
    candidates = (path, *path.absolute().parents)
    existing = next(candidate for candidate in candidates if candidate.exists())
    if not existing.is_dir():
        raise ValueError(f"{path} cannot be a folder: {existing} is a file.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be written: {existing} is read-only.")


@contextlib.contextmanager
def new_folder(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a temporary folder that becomes `folder` when the block succeeds.

    A failed block leaves nothing, a killed process only
    `<name>.<host>-<process>.partial`, which the next run on that host removes. Of two
    processes that write the same folder, the result of the first to finish stays.

    Args:
        folder: The folder to be; must not exist yet, or be empty.

    Raises:
        ValueError: if the folder already holds something.
    """
    folder = pathlib.Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"{folder} already exists and is not an empty folder. Name another folder "
            "or remove this one first."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_left(folder.parent, f"{folder.name}.")
    partial = folder.with_name(partial_name(folder.name))
    partial.mkdir()
    try:
        yield partial
        # An empty one has to go first on some systems.
        with contextlib.suppress(OSError):
            folder.rmdir()
        try:
            os.rename(partial, folder)
        except OSError:
            if not (folder.is_dir() and any(folder.iterdir())):
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def locked(
    folder: pathlib.Path, waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Let one process at a time into the block, where the system has such locks.

    The lock ends with the process, however that ends. Without a folder, or on a file
    system without locks, the block runs at once.

    Args:
        folder: The folder that is locked; no link.
        waiting: Called once if another process has the lock.
    """
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (ImportError, OSError):
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def partial_name(name: str) -> str:
    """The name of a folder while this process writes it: `<host>-<process>.partial`."""
    return f"{name}.{platform.node()}-{os.getpid()}{PARTIAL}"


def remove_left(folder: pathlib.Path, prefix: str, keep: str | None = None) -> None:
    """Remove what processes of this host that are gone left under `partial_name`.

    Args:
        folder: Where they wrote.
        prefix: How the names begin; with a final "." the whole name before the host.
        keep: How names begin that this process still writes; None if it writes none.
    """
    end = re.escape(f"{platform.node()}-") + r"(\d+)" + re.escape(PARTIAL)
    between = "" if prefix.endswith(".") else r".*\."
    left_here = re.compile(re.escape(prefix) + between + end).fullmatch
    for left in folder.iterdir():
        match = left_here(left.name)
        if not match or (keep and left.name.startswith(keep)):
            continue
        if not _is_running(int(match[1])):
            shutil.rmtree(left, ignore_errors=True)


def _is_running(number: int) -> bool:
    """Whether another process of this number lives."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return number != os.getpid()


def is_plain(name: str) -> bool:
    """Whether a name can only belong to a visible file within the folder."""
    if not name or name.startswith(".") or "\0" in name:
        return False
    return pathlib.PurePath(name).name == name


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: str | os.PathLike) -> None:
    """Wait until a file, or the names in a folder, are on the disk, where possible."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def json_bytes(content: Any) -> bytes:
    """JSON as a file holds it.

    Text that UTF-8 does not have (file names in another encoding) is escaped; the same
    text is read back.

    Raises:
        ValueError: if a number is NaN or infinite, which JSON does not have; use None.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write `json_bytes` atomically."""
    write_bytes(path, json_bytes(content))


def read_json(path: str | os.PathLike) -> Any:
    """Read JSON.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no regular file or not valid JSON; the message names it.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file.")
    try:
        return json.loads(
            path.read_text(encoding="utf-8"), parse_constant=_refuse_constant
        )
    except RecursionError as error:
        raise ValueError(f"{path} is not valid JSON: nested too deeply.") from error
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
