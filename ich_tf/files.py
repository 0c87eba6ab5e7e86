"""Files and folders that are complete or not there: made elsewhere, then renamed."""

import contextlib
import json
import os
import pathlib
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

PARTIAL = ".partial"
"""How the name of a folder ends that is not complete."""


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a temporary path that becomes `path` if the block ends without error.

    The temporary name keeps the endings of `path`, which writers choose a format by.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        partial = pathlib.Path(folder) / path.name
        yield partial
        with open(partial, "rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)


def link(source: pathlib.Path, path: pathlib.Path) -> None:
    """Give a complete file a second name, or copy it where links are unknown."""
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        partial = pathlib.Path(folder) / path.name
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)
        os.replace(partial, path)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file atomically."""
    with atomic(path) as partial:
        partial.write_bytes(content)


def check_folder(path: str | os.PathLike) -> None:
    """Refuse a folder that could not be made or written, before long work.

    Raises:
        ValueError: if it, or what it should lie in, is a file or cannot be written.
    """
    path = pathlib.Path(path)
    there = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not there.is_dir():
        raise ValueError(f"{path} cannot be a folder: {there} is a file.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be written: {there} forbids it.")


@contextlib.contextmanager
def new_folder(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a temporary folder that becomes `folder` when the block succeeds.

    A failed block leaves nothing, a killed process only
    `<name>.<host>-<process>.partial`, which the next run on that host removes. Two
    processes do not disturb each other: the second to finish gives way to what it
    finds.

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
    own = f"{folder.name}.{platform.node()}-"
    left_here = re.compile(re.escape(own) + r"(\d+)" + re.escape(PARTIAL)).fullmatch
    for left in folder.parent.iterdir():
        found = left_here(left.name)
        if found and not _is_running(int(found[1])):
            shutil.rmtree(left, ignore_errors=True)
    partial = folder.with_name(f"{own}{os.getpid()}{PARTIAL}")
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


def _is_running(number: int) -> bool:
    """Whether another process of this number lives."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return number != os.getpid()


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write JSON atomically; NaN is refused, since JSON has none (use None)."""
    with atomic(path) as partial:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | os.PathLike) -> Any:
    """Read JSON.

    Raises:
        ValueError: if the file is not valid JSON; the message names it.
    """
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
