"""Slices for the classifier as TFRecord shards, made with Apache Beam.

One shard holds the scans of one group (`preprocessing.records`), one record a slice:
its image as zlib-compressed bytes (a quarter of the raw size; against PNG a seventh
smaller, written 2.5 and read 2 times as fast), its labels, names and place. Shards are
what workers make: each is written elsewhere, then renamed, and counts as done with the
small JSON file that is written after it. So a run that was killed goes on where it
was, on any of Beam's runners, and memory holds one scan a worker.
"""

import contextlib
import dataclasses
import functools
import io
import json
import logging
import os
import pathlib
import shutil
import tempfile
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from ich_tf.labels import CLASSES
from ich_tf.preprocessing.classification import records

LOGGER = logging.getLogger(__name__)
PLAN = "plan.json"
# Beam's own default, DirectRunner, first downloads another runner's program.
LOCAL = (
    "--runner=FnApiRunner",
    "--direct_running_mode=multi_processing",
    "--direct_num_workers=0",
)
IN_PROCESS = ("--direct_running_mode=in_memory", "--direct_num_workers=1")
"""Options for a single shard, for which processes would only have to be started."""
_OPTIONS_FILE = "PIPELINE_OPTIONS_FILE"
_PARTIAL = ".partial-"
_POLL_SECONDS = 10


def run(
    open_dataset: Callable[[], object],
    folder: str | os.PathLike,
    *,
    size: int = 256,
    case_ids: Iterable[str] | None = None,
    scans_per_shard: int = records.SCANS_PER_GROUP,
    seed: int = 0,
    to_images: Callable[..., np.ndarray] | None = None,
    options: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """Write the slices of a data set as shards; make only those that are missing.

    Args:
        open_dataset: Opens the data set, in every worker anew; picklable, e.g.
            `functools.partial(data.open_dataset, "rsna", root)`.
        folder: Where shards and `index.json` go: a folder, or any address that Beam
            can write to.
        size: Side of the images in pixels.
        case_ids: The scans, e.g. of one part of a split; None for all.
        scans_per_shard: Most scans of a shard.
        seed: Of the order of scans.
        to_images: See `records.load_scan`, picklable; None for
            `records.volume_images`.
        options: Flags for Beam, e.g. `--runner=DataflowRunner`; by default processes
            on this machine, one for each core, and this one for a single shard.
        progress: Called now and then with the number of shards that are done and that
            there will be; None logs it.

    Returns:
        What `index.json` says: "shards" with their scans, slices and positive labels,
        totals, "left_out" scans and "left_out_slices" of other scans with reasons,
        "problems" and "fingerprint" of the data.

    Raises:
        ValueError: if the folder holds another preparation, or no scan is readable.
    """
    folder, dataset = str(folder), open_dataset()
    case_ids = tuple(dataset.case_ids() if case_ids is None else case_ids)
    groups = records.group_case_ids(case_ids, scans_per_shard, seed)
    to_images = to_images or functools.partial(records.volume_images, size=size)
    plan = {
        "format": records.FORMAT,
        "size": size,
        "images": _described(to_images),
        "order": zlib.crc32(json.dumps(groups).encode()),
        "data": getattr(dataset, "name", type(dataset).__name__),
        "fingerprint": dataset.fingerprint() if hasattr(dataset, "fingerprint") else {},
    }
    _keep_plan(folder, plan)
    shards = {
        f"shard-{number:05d}-of-{len(groups):05d}": group
        for number, group in enumerate(groups)
    }
    done = _done(folder)
    work = [(name, group) for name, group in shards.items() if name not in done]
    LOGGER.info("%d of %d shards are to be made", len(work), len(shards))
    if work:
        write = _WriteShard(open_dataset, folder, to_images)
        with _watched(folder, len(shards), progress or _log_progress()):
            _run_pipeline(work, write, options)
        done = _done(folder)
    index = _index(plan, [done[name] for name in shards], dataset)
    _write(folder, records.INDEX, json.dumps(index, indent=1).encode())
    return index


def _described(function: Callable) -> str:
    """A name that is the same in every process, arguments included."""
    if isinstance(function, functools.partial):
        inner = _described(function.func)
        return f"{inner} {[*function.args, *sorted(function.keywords.items())]}"
    return f"{function.__module__}.{function.__qualname__}"


def _run_pipeline(
    work: list[tuple[str, tuple[str, ...]]], write: beam.DoFn, options: Sequence[str]
) -> None:
    local = LOCAL if len(work) > 1 else (*LOCAL, *IN_PROCESS)
    with (
        _quiet(),
        beam.Pipeline(options=PipelineOptions([*local, *options])) as pipeline,
    ):
        _ = (
            pipeline
            | "Shards to make" >> beam.Create(work)
            | "Spread over workers" >> beam.Reshuffle()
            | "Write" >> beam.ParDo(write)
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


class _WriteShard(beam.DoFn):
    """Reads the scans of a shard one after the other and writes their slices."""

    def __init__(self, open_dataset: Callable, folder: str, to_images: Callable):
        super().__init__()
        self._open, self._folder, self._to_images = open_dataset, folder, to_images
        self._dataset = None

    def setup(self):
        """Open the data set once a worker."""
        self._dataset = self._open()

    def process(self, element):
        """Write one shard, then the file that says it is complete."""
        name, case_ids = element
        facts = {
            "file": f"{name}.tfrecord",
            "case_ids": [],
            "counts": [],
            "positive": [0] * len(CLASSES),
            "left_out": [],
            "left_out_slices": [],
        }
        with tempfile.TemporaryDirectory() as scratch:
            local = pathlib.Path(scratch) / facts["file"]
            with tf.io.TFRecordWriter(str(local)) as writer:
                for case_id in case_ids:
                    self._write_scan(writer, case_id, facts)
            facts["bytes"] = local.stat().st_size
            with open(local, "rb") as source:
                _write(self._folder, facts["file"], source)
        _write(self._folder, f"{name}.json", json.dumps(facts).encode())

    def _write_scan(self, writer, case_id: str, facts: dict) -> None:
        try:
            scan = records.load_scan(self._dataset, case_id, self._to_images)
        except ValueError as error:
            LOGGER.warning("Scan %s is left out: %s", case_id, error)
            facts["left_out"].append({"case_id": case_id, "reason": str(error)})
            return
        facts["left_out_slices"] += [
            {"case_id": case_id, "reason": note} for note in scan.left_out
        ]
        for place in range(len(scan.labels)):
            writer.write(_record(scan, place))
        facts["case_ids"].append(case_id)
        facts["counts"].append(len(scan.labels))
        positive = scan.labels.sum(axis=0, dtype=int).tolist()
        facts["positive"] = [
            sum(pair) for pair in zip(facts["positive"], positive, strict=True)
        ]


def _record(scan: records.Scan, place: int) -> bytes:
    """A slice as a serialized tf.train.Example."""

    def texts(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def numbers(values: Iterable[int]) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = {
        "image": texts(zlib.compress(scan.images[place].tobytes(), level=1)),
        "labels": numbers(scan.labels[place].tolist()),
        "image_id": texts(scan.image_ids[place].encode()),
        "case_id": texts(scan.case_id.encode()),
        "place": numbers([place]),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def _write(folder: str, name: str, content: bytes | BinaryIO) -> None:
    """Write a file beside its name, then rename it."""
    partial = FileSystems.join(folder, f"{_PARTIAL}{uuid.uuid4().hex}")
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    with FileSystems.create(partial) as target:
        shutil.copyfileobj(source, target)
    FileSystems.rename([partial], [FileSystems.join(folder, name)])


def _read_json(path: str) -> dict:
    with FileSystems.open(path) as file:
        return json.loads(file.read())


def _listed(folder: str, pattern: str) -> dict[str, int]:
    """Path and bytes of the files that match."""
    (found,) = FileSystems.match([FileSystems.join(folder, pattern)])
    return {file.path: file.size_in_bytes for file in found.metadata_list}


def _keep_plan(folder: str, plan: dict) -> None:
    """Start the folder with its plan, or check that it was started with the same one.

    Raises:
        ValueError: if it holds another preparation.
    """
    path = FileSystems.join(folder, PLAN)
    if not FileSystems.exists(folder):
        FileSystems.mkdirs(folder)
    if not FileSystems.exists(path):
        _write(folder, PLAN, json.dumps(plan).encode())
        return
    left = [*_listed(folder, f"{_PARTIAL}*")]
    if left:
        FileSystems.delete(left)
    found = _read_json(path)
    differing = sorted(key for key in plan if found.get(key) != plan[key])
    if differing:
        raise ValueError(
            f"{folder} holds another preparation: it differs in "
            f"{', '.join(differing)}. Name another folder or remove this one."
        )


def _done(folder: str) -> dict[str, dict]:
    """What complete shards hold, by name; a shard of another length is none."""
    sizes = _listed(folder, "shard-*.tfrecord")
    done = {}
    for path in _listed(folder, "shard-*.json"):
        facts = _read_json(path)
        if sizes.get(FileSystems.join(folder, facts["file"])) == facts["bytes"]:
            done[pathlib.PurePath(facts["file"]).stem] = facts
    return done


def _index(plan: dict, shards: list[dict], dataset) -> dict:
    """What `index.json` says.

    Raises:
        ValueError: if no scan could be read.
    """
    left_out, slices = (
        [left for shard in shards for left in shard[key]]
        for key in ("left_out", "left_out_slices")
    )
    scans = sum(len(shard["case_ids"]) for shard in shards)
    if not scans:
        raise ValueError(
            f"No scan of {plan['data']} could be read. The first reason: "
            f"{left_out[0]['reason']}"
        )
    problems = dataset.problems() if hasattr(dataset, "problems") else ()
    LOGGER.info(
        "%d scans prepared; left out: %d scans, %d slices of others",
        scans,
        len(left_out),
        len(slices),
    )
    return {
        **plan,
        "scans": scans,
        "slices": sum(sum(shard["counts"]) for shard in shards),
        "positive": np.sum([shard["positive"] for shard in shards], axis=0).tolist(),
        "left_out": left_out,
        "left_out_slices": slices,
        "problems": [dataclasses.asdict(problem) for problem in problems],
        "shards": [
            {key: shard[key] for key in ("file", "bytes", "case_ids", "counts")}
            for shard in shards
        ],
    }


@contextlib.contextmanager
def _watched(
    folder: str, total: int, progress: Callable[[int, int], None]
) -> Iterator[None]:
    """Tell about the shards that appear while the block runs, and at its end."""
    finished = threading.Event()

    def tell():
        progress(len(_listed(folder, "shard-*.json")), total)

    def watch():
        while not finished.wait(_POLL_SECONDS):
            tell()

    tell()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()
        tell()


def _log_progress() -> Callable[[int, int], None]:
    """Log how far it is and, once a shard was made, how long the rest will take."""
    began, before = time.monotonic(), []

    def log(done: int, total: int) -> None:
        before.append(done)
        made, seconds = done - before[0], time.monotonic() - began
        left = f", about {seconds / made * (total - done) / 60:.0f} min" if made else ""
        LOGGER.info("%d of %d shards%s", done, total, left)

    return log
