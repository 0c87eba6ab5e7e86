"""Shards on a cluster: the same writer on any of Apache Beam's runners.

Needs the extra `ich_tf[beam]`.
"""

import contextlib
import dataclasses
import io
import json
import logging
import os
import pathlib
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

import apache_beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from ich_tf.preprocessing.classification.shard_folder import PARTIAL

# Beam's own default, DirectRunner, first downloads another runner's program.
LOCAL = ("--runner=FnApiRunner",)
_OPTIONS_FILE = "PIPELINE_OPTIONS_FILE"


@dataclasses.dataclass(frozen=True)
class BeamFolder:
    """A `shard_folder.Folder` in any file system that Beam knows.

    Attributes:
        address: The folder.
    """

    address: str

    def _path(self, name: str) -> str:
        return FileSystems.join(self.address, name)

    def make(self) -> None:
        """Create the folder if it is absent."""
        if not FileSystems.exists(self.address):
            FileSystems.mkdirs(self.address)

    def write(self, name: str, content: bytes | BinaryIO) -> None:
        """Write a file under another name, then rename it."""
        partial = self._path(f"{PARTIAL}{uuid.uuid4().hex}")
        source = io.BytesIO(content) if isinstance(content, bytes) else content
        with FileSystems.create(partial) as target:
            shutil.copyfileobj(source, target)
        FileSystems.rename([partial], [self._path(name)])

    def read_json(self, name: str) -> dict:
        """Read a JSON file."""
        with FileSystems.open(self._path(name)) as file:
            content = file.read()
        try:
            return json.loads(content)
        except ValueError as error:
            path = self._path(name)
            raise ValueError(f"{path} is not valid JSON: {error}") from error

    def sizes(self, pattern: str) -> dict[str, int]:
        """Name and bytes of each file that matches a pattern such as `*.json`."""
        (matched,) = FileSystems.match([self._path(pattern)])
        return {
            FileSystems.split(file.path)[1]: file.size_in_bytes
            for file in matched.metadata_list
        }

    def remove(self, names: Iterable[str]) -> None:
        """Remove files."""
        paths = [self._path(name) for name in names]
        if paths:
            FileSystems.delete(paths)


class _WriteShard(apache_beam.DoFn):
    """Opens the data set once for each worker and writes shards."""

    def __init__(self, write: Callable, open_dataset: Callable[[], object]):
        super().__init__()
        self._write, self._open = write, open_dataset
        self._dataset = None

    def setup(self):
        """Open the data set."""
        self._dataset = self._open()

    def process(self, element):
        """Write one shard."""
        self._write(self._dataset, element)


def run(
    options: Sequence[str],
    write: Callable,
    work: Sequence[tuple[str, tuple[str, ...]]],
    open_dataset: Callable[[], object],
) -> None:
    """Have the workers of a pipeline write shards.

    Args:
        options: Flags for Beam.
        write: Takes the data set and a shard.
        work: Shards: names and scans.
        open_dataset: Opens the data set, once for each worker; picklable.
    """
    flags = PipelineOptions([*LOCAL, *options])
    with _quiet(), apache_beam.Pipeline(options=flags) as pipeline:
        _ = (
            pipeline
            | "Shards to make" >> apache_beam.Create(work)
            | "Spread over workers" >> apache_beam.Reshuffle()
            | "Write" >> apache_beam.ParDo(_WriteShard(write, open_dataset))
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Beam from reporting each of its own steps; what fails is raised.

    Beam gives the options of a pipeline to no worker process on this machine, but the
    workers read this file.
    """
    beams = logging.getLogger("apache_beam")
    level = beams.level
    given = os.environ.get(_OPTIONS_FILE)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "options.json"
        path.write_text('{"default_sdk_harness_log_level": "ERROR"}')
        os.environ.setdefault(_OPTIONS_FILE, str(path))
        beams.setLevel(logging.ERROR)
        try:
            yield
        finally:
            beams.setLevel(level)
            if given is None:
                del os.environ[_OPTIONS_FILE]
