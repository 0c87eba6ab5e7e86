"""Files and folders that are complete or not there: made elsewhere, then renamed."""

import contextlib
import json
import os
import pathlib
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


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file atomically."""
    with atomic(path) as partial:
        partial.write_bytes(content)


@contextlib.contextmanager
def new_folder(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a temporary folder that becomes `folder` when the block succeeds.

    A failed block leaves nothing, a killed process only `<name>.partial`, which the
    next run replaces.

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
    partial = folder.with_name(folder.name + PARTIAL)
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    try:
        yield partial
        if folder.exists():
            folder.rmdir()
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
