"""Measure the road from a DICOM file to the classifier's input against that of [1].

`python benchmarks/classification_input.py [--scans 24] [--workers 2]` writes phantom
heads in the layout of RSNA 2019 to a temporary folder and reads them by turns: as this
project does for training, and one slice after the other in one process as the
published code of [1] does it. Only the ratio of the two counts.

The target is set against [1]'s way in a process that has held large arrays before, for
which the C library keeps their memory; in a process of its own, where each large array
is new memory, it takes longer. Processor time is told for what runs in one process: it
suffers less from other work on the machine. With `--shards`, preparing them (Apache
Beam) and reading them back is measured, too.

Exits with 1 if the target is missed (--no-check only prints).
"""

import argparse
import concurrent.futures
import functools
import multiprocessing
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import pydicom

from ich_tf import data
from ich_tf.preprocessing import windows
from ich_tf.preprocessing.classification import images, records
from ich_tf.synthetic import phantom, rsna_writer

TARGET = 4.0
SIZE = 256
SEED = 20190211
AS_IN_1 = "as [1]: a slice at a time, one process"
NAME = "this project, {} process(es)"


def write_heads(folder: pathlib.Path, scans: int, slices: int) -> None:
    """Write phantom heads in the layout of RSNA 2019."""
    heads = (
        phantom.generate(SEED, index, slices=slices, bleeding=True).case
        for index in range(scans)
    )
    rsna_writer.write_layout(heads, folder)


def one_slice(path: pathlib.Path) -> np.ndarray:
    """A file as input of the network by the steps of [1], written from its facts.

    Returns:
        (256, 256, 3), float32, less the mean and by the standard deviation.
    """
    file = pydicom.dcmread(path)
    stored = file.pixel_array
    intercept = float(file.RescaleIntercept)
    if file.BitsStored == 12 and not file.PixelRepresentation and intercept > -100:
        stored = stored + 1000
        stored[stored >= 4096] = stored[stored >= 4096] - 4096
        intercept = -1000.0
    hu = stored * float(file.RescaleSlope) + intercept
    shown = []
    for window in windows.WINDOWS["classification"].values():
        low, high = window.bounds_hu
        shown.append((np.clip(hu, low, high) - low) / (high - low))
    image = np.stack(shown, axis=-1)
    image = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    return normalised(image)


def normalised(image: np.ndarray) -> np.ndarray:
    """Less the mean and by the standard deviation of the report, float32."""
    mean, deviation = np.array(images.MEAN), np.array(images.STANDARD_DEVIATION)
    return ((image - mean) / deviation).astype(np.float32)


def read_as_in_1(paths: list[pathlib.Path]) -> int:
    """Read all files, one after the other; return their number."""
    return len([one_slice(path).shape for path in paths])


def read_in_own_process(pool, paths: list[pathlib.Path]) -> int:
    """`read_as_in_1` in the one process of a pool."""
    return pool.submit(read_as_in_1, paths).result()


def read_as_here(source: records.Scans) -> int:
    """Read all scans as training does; the network's first layer normalises."""
    return sum(
        len(np.divide(scan.images, 255, dtype=np.float32))
        for number in range(len(source.groups))
        for scan in source.read(number)
    )


def difference(dataset, paths: dict[str, pathlib.Path]) -> float:
    """Largest difference of the two, of 1 between black and white, in one scan."""
    deviation = np.array(images.STANDARD_DEVIATION)
    scan = records.load_scan(
        dataset,
        dataset.case_ids()[0],
        functools.partial(records.volume_images, size=SIZE),
    )
    ours = normalised(scan.images / 255)
    theirs = np.stack([one_slice(paths[name]) for name in scan.image_ids])
    return float(np.abs((ours - theirs) * deviation).max())


def seconds_of(work) -> tuple[float, float]:
    """Wall seconds of a call, and processor seconds of this process."""
    began, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - busy


def measure(root: pathlib.Path, workers: int, rounds: int) -> bool:
    """Both ways by turns; the first round warms up and is not counted."""
    open_dataset = functools.partial(data.open_dataset, "rsna", root)
    dataset = open_dataset()
    paths = {path.stem: path for path in sorted(root.rglob("*.dcm"))}
    groups = records.list_groups(dataset, dataset.case_ids())
    ways = {AS_IN_1: functools.partial(read_as_in_1, list(paths.values()))}
    own = concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn")
    )
    ways["the same, a process of its own"] = functools.partial(
        read_in_own_process, own, list(paths.values())
    )
    sources = {
        count: records.Scans(open_dataset, groups, SIZE, workers=count)
        for count in dict.fromkeys((1, workers))
    }
    for count, source in sources.items():
        ways[NAME.format(count)] = functools.partial(read_as_here, source)
    in_process = [name for name in ways if name in (AS_IN_1, NAME.format(1))]
    seconds = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            spent = seconds_of(way)
            if turn:
                seconds[name].append(spent)
    own.shutdown()
    for source in sources.values():
        source.close()
    print(f"{len(paths)} files of 512x512; median of {rounds} rounds.\n")
    print("| way | files/s | ratio | processor ms/file |\n| --- | --- | --- | --- |")
    middle = [np.median(spent, axis=0) for spent in seconds.values()]
    slow = middle[0][0]
    for name, (spent, busy) in zip(ways, middle, strict=True):
        here = f"{1000 * busy / len(paths):.2f}" if name in in_process else ""
        print(f"| {name} | {len(paths) / spent:.0f} | {slow / spent:.2f} | {here} |")
    print(
        f"\nLargest difference: {difference(dataset, paths):.5f} of the grey scale "
        f"(1/510 = {1 / 510:.5f}). Load of the machine: {os.getloadavg()[0]:.1f}."
    )
    ratio = slow / middle[-1][0]
    print(f"{ratio:.2f}x, target {TARGET}x: {'ok' if ratio >= TARGET else 'MISSED'}")
    return ratio >= TARGET


def shards(root: pathlib.Path, out: pathlib.Path, batch: int = 32) -> None:
    """Print what preparing shards and reading them back takes."""
    from ich_tf.preprocessing.classification import image_pipeline, prepare

    open_dataset = functools.partial(data.open_dataset, "rsna", root)
    began = time.perf_counter()
    index = prepare.run(open_dataset, out, size=SIZE)
    spent = time.perf_counter() - began
    stored = sum(shard["bytes"] for shard in index["shards"])
    print(
        f"\nprepare: {index['slices']} slices in {spent:.1f} s (starting workers "
        f"included), {stored / index['slices'] / 1000:.1f} kB a slice"
    )
    source = records.Shards(out)
    steps = image_pipeline.steps_per_epoch(source, batch)
    for _ in range(2):
        batches = image_pipeline.training_batches(
            source, batch=batch, first_step=0, last_step=steps, seed=0
        )
        spent, _ = seconds_of(lambda stream=batches: [None for _ in stream])
    print(f"training batches from shards: {steps * batch / spent:.0f} slices/s")


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=24, help="phantom heads")
    parser.add_argument("--slices", type=int, default=32, help="slices of each")
    parser.add_argument("--workers", type=int, default=2, help="processes that read")
    parser.add_argument("--rounds", type=int, default=5, help="counted turns of each")
    parser.add_argument("--shards", action="store_true", help="measure shards, too")
    parser.add_argument("--no-check", action="store_true", help="only print")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "rsna"
        write_heads(root, options.scans, options.slices)
        reached = measure(root, options.workers, options.rounds)
        if options.shards:
            shards(root, pathlib.Path(folder) / "shards")
    if not (reached or options.no_check):
        sys.exit(1)


if __name__ == "__main__":
    main()
