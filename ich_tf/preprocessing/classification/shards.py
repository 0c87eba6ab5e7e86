"""Write the classifier's slices as TFRecord shards.

One shard holds the scans of one group (`records`), one record a slice: its image as
zlib-compressed bytes (a quarter of the raw size; against PNG a seventh smaller, written
2.5 and read 2 times as fast), its labels, names and place. A shard is written under
another name, then renamed, and is complete once its small JSON file exists. A run that
was killed therefore resumes, and memory holds one scan for each process.

Worker processes of this machine write the shards. With flags for Apache Beam a cluster
does (`beam`); the bytes are the same.
"""

import contextlib
import dataclasses
import functools
import json
import logging
import os
import pathlib
import re
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ich_tf import packages, parallel
from ich_tf.preprocessing.classification import records, shard_index, shard_writer
from ich_tf.preprocessing.classification.shard_folder import (
    PARTIAL,
    Folder,
    LocalFolder,
)

LOGGER = logging.getLogger(__name__)
PLAN = "plan.json"
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
    workers: int | None = None,
    options: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """Write the slices of a data set as shards; make only those that are missing.

    Args:
        open_dataset: Opens the data set, once in each process; picklable, e.g.
            `functools.partial(datasets.open_dataset, "rsna", root)`.
        folder: Where shards and `index.json` go: a folder; with `options` any address
            that Beam can write to.
        size: Side of the images in pixels.
        case_ids: The scans, e.g. one part of a split; None for all.
        scans_per_shard: Most scans of a shard.
        seed: Seed of the order of scans.
        to_images: Makes the images of a volume (`records.load_scan`), picklable; None
            for `records.volume_images`.
        workers: Processes on this machine; None for one a core, but no more than
            there are shards.
        options: Flags for Apache Beam, e.g. `--runner=DataflowRunner`; without any,
            this machine writes the shards.
        progress: Called now and then with the number of complete shards and the number
            there will be; None logs it.

    Returns:
        The content of `index.json`: "shards" with their scans, slices and positive
        labels, totals, "left_out" scans and "left_out_slices" of other scans with
        reasons, "problems" and "fingerprint" of the data.

    Raises:
        ValueError: if the folder holds another preparation, if no scan is readable, or
            if `options` are given without Apache Beam.
        OSError: if the folder cannot be written.
    """
    place, write_missing = _place(folder, workers, options)
    dataset = open_dataset()
    case_ids = tuple(dataset.case_ids() if case_ids is None else case_ids)
    groups = records.group_case_ids(case_ids, scans_per_shard, seed)
    to_images = to_images or functools.partial(records.volume_images, size=size)
    plan = {
        "format": records.FORMAT,
        "size": size,
        "images": _described(to_images),
        "order": zlib.crc32(json.dumps(groups).encode()),
        "data": dataset.name,
        "fingerprint": dataset.fingerprint(),
    }
    _keep_plan(place, plan, folder)
    shards = {
        f"shard-{number:05d}-of-{len(groups):05d}": group
        for number, group in enumerate(groups)
    }
    complete = _complete(place)
    work = [(name, group) for name, group in shards.items() if name not in complete]
    LOGGER.info("%d of %d shards are missing", len(work), len(shards))
    if work:
        write = functools.partial(write_shard, place, to_images)
        with _watched(place, len(shards), progress or _log_progress()):
            write_missing(write, work, open_dataset)
        complete = _complete(place)
    index = _index(plan, [complete[name] for name in shards], dataset)
    place.write(records.INDEX, json.dumps(index, indent=1).encode())
    return index


def _place(
    folder: str | os.PathLike, workers: int | None, options: Sequence[str]
) -> tuple[Folder, Callable]:
    """The file system, and what has shards written: processes, or a cluster."""
    if not options:
        return LocalFolder(pathlib.Path(folder)), functools.partial(_local, workers)
    try:
        from ich_tf.preprocessing.classification import beam
    except ImportError as error:
        raise ValueError(
            f"Flags for Apache Beam need the package: {packages.command('beam')} "
            f"({error}). Without flags this machine writes the shards."
        ) from error
    return beam.BeamFolder(str(folder)), functools.partial(beam.run, options)


def _local(
    workers: int | None,
    write: Callable,
    work: Sequence[tuple[str, tuple[str, ...]]],
    open_dataset: Callable[[], object],
) -> None:
    count = min(parallel.cores(), len(work)) if workers is None else workers
    for _ in parallel.ordered_map(write, work, workers=count, setup=open_dataset):
        pass


def write_shard(
    place: Folder,
    to_images: Callable[..., np.ndarray],
    dataset,
    shard: tuple[str, tuple[str, ...]],
) -> None:
    """Write one shard, then the file that says it is complete.

    Args:
        place: Where it goes.
        to_images: Makes the images of a volume.
        dataset: The data set.
        shard: Name without ending, and the scans.
    """
    name, case_ids = shard
    with tempfile.TemporaryDirectory() as scratch:
        local = pathlib.Path(scratch) / f"{name}.tfrecord"
        facts = shard_writer.write(local, dataset, case_ids, to_images)
        with open(local, "rb") as source:
            place.write(facts["file"], source)
    place.write(f"{name}.json", json.dumps(facts).encode())


def _described(function: Callable) -> str:
    """A name that is the same in every process, arguments included."""
    if isinstance(function, functools.partial):
        inner = _described(function.func)
        return f"{inner} {[*function.args, *sorted(function.keywords.items())]}"
    return f"{function.__module__}.{function.__qualname__}"


def _without_module(described: str) -> str:
    """Functions move between modules; the images they make do not change with that."""
    return re.sub(r"^[\w.]+\.", "", described)


def _keep_plan(place: Folder, plan: dict, folder: str | os.PathLike) -> None:
    """Start the folder with its plan, or check that it was started with the same one.

    Raises:
        ValueError: if it holds another preparation.
    """
    place.make()
    if not place.sizes(PLAN):
        place.write(PLAN, json.dumps(plan).encode())
        return
    place.remove(place.sizes(f"{PARTIAL}*"))
    stored = shard_index.plan(place.read_json(PLAN), os.path.join(folder, PLAN))
    stored["images"] = _without_module(stored["images"])
    wanted = {**plan, "images": _without_module(plan["images"])}
    differing = sorted(key for key in wanted if stored.get(key) != wanted[key])
    if differing:
        raise ValueError(
            f"{folder} holds another preparation: it differs in "
            f"{', '.join(differing)}. Name another folder or remove this one."
        )


def _complete(place: Folder) -> dict[str, dict]:
    """What complete shards hold, by name.

    One of another length, or with damaged facts, is not complete and is made again.
    """
    sizes = place.sizes("shard-*.tfrecord")
    complete = {}
    for name in place.sizes("shard-*.json"):
        try:
            facts = shard_index.facts(place.read_json(name), name)
        except ValueError as error:
            LOGGER.warning("%s The shard is made again.", error)
            continue
        if sizes.get(facts["file"]) == facts["bytes"]:
            complete[pathlib.PurePath(facts["file"]).stem] = facts
    return complete


def _index(plan: dict, shards: list[dict], dataset) -> dict:
    """The content of `index.json`.

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
    problems = dataset.problems()
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
    place: Folder, total: int, progress: Callable[[int, int], None]
) -> Iterator[None]:
    """Report the number of complete shards while the block runs, and at its end."""
    finished = threading.Event()

    def report():
        progress(len(place.sizes("shard-*.json")), total)

    def watch():
        while not finished.wait(_POLL_SECONDS):
            report()

    report()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()
        report()


def _log_progress() -> Callable[[int, int], None]:
    """Log the progress and, once a shard is complete, the time that is left."""
    began, before = time.monotonic(), []

    def log(complete: int, total: int) -> None:
        before.append(complete)
        made, seconds = complete - before[0], time.monotonic() - began
        left = total - complete
        rest = f", about {seconds / made * left / 60:.0f} min" if made else ""
        LOGGER.info("%d of %d shards%s", complete, total, rest)

    return log
