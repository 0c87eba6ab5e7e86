"""The few file operations that writing shards needs, on this machine or elsewhere."""

import dataclasses
import io
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterable
from typing import BinaryIO, Protocol

from ich_tf import files

PARTIAL = ".partial-"
"""How the name of a file begins that is not complete."""


class Folder(Protocol):
    """What writing shards needs of a file system; names are relative to the folder."""

    def make(self) -> None:
        """Create the folder if it is absent."""

    def write(self, name: str, content: bytes | BinaryIO) -> None:
        """Write a file under another name, then rename it."""

    def read_json(self, name: str) -> dict:
        """Read a JSON file."""

    def sizes(self, pattern: str) -> dict[str, int]:
        """Name and bytes of each file that matches a pattern such as `*.json`."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove files."""


@dataclasses.dataclass(frozen=True)
class LocalFolder:
    """A folder of this machine.

    Attributes:
        path: The folder.
    """

    path: pathlib.Path

    def make(self) -> None:
        """Create the folder if it is absent."""
        self.path.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, content: bytes | BinaryIO) -> None:
        """Write a file under another name, then rename it."""
        source = io.BytesIO(content) if isinstance(content, bytes) else content
        partial = self.path / f"{PARTIAL}{uuid.uuid4().hex}"
        try:
            with open(partial, "wb") as target:
                shutil.copyfileobj(source, target)
            os.replace(partial, self.path / name)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def read_json(self, name: str) -> dict:
        """Read a JSON file."""
        return files.read_json(self.path / name)

    def sizes(self, pattern: str) -> dict[str, int]:
        """Name and bytes of each file that matches a pattern such as `*.json`."""
        return {path.name: path.stat().st_size for path in self.path.glob(pattern)}

    def remove(self, names: Iterable[str]) -> None:
        """Remove files."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)
