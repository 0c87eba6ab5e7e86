"""Writing so that nothing half-written ever looks complete."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

PARTIAL = ".partial"
"""How the name of a file or folder ends that is not complete."""

PHANTOM_MARKER = "ich_tf phantom"
"""How `Volume.origin` begins in every file made from the phantom."""


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Write a file under a temporary name, then rename it.

    Args:
        path: The file; its folder must exist. An older file is replaced.
        content: Everything the file shall hold.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a temporary folder that becomes `folder` when the block succeeds.

    A killed process leaves only `<name>.partial`, which the next run replaces.

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
    yield partial
    if folder.exists():
        folder.rmdir()
    os.replace(partial, folder)
