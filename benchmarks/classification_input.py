"""Measure the input of training: augmented crops and classifier images a second.

`python benchmarks/classification_input.py [--seconds 2] [--rounds 5]` makes batches
from synthetic slices. Each way takes its turn within one run:

- the same images one after the other here and by `albumentations.Compose`, the way of
  the first version, in seconds of the processor;
- whole batches as training gets them by the caller alone, by two threads and by two
  processes, in seconds of the clock, and the processor time of a batch by the caller
  alone and by both processes with what the caller does for them. The latter suffers
  less from other work on the machine; "free cores" is what two cores without other work
  could reach by it;
- two callers at once that share nothing, against one: what two processes can give at
  most on this machine.

Exits with 1 if a target is missed (--no-check only prints): one thread at least 1.3
times as fast as `Compose`, two processes at least 1.9 times as fast as the caller
alone. Ratios of the clock are medians of the rounds; processor times the least of them.
"""

import argparse
import functools
import multiprocessing
import os
import pathlib
import random
import sys
import time
import zlib
from collections.abc import Callable, Iterator

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations
import cv2
import numpy as np

from ich_tf.preprocessing import augment, batch_workers, windows
from ich_tf.preprocessing.classification import image_batches
from ich_tf.preprocessing.segmentation import pipeline, slices, tiles

FASTER_THAN_COMPOSE, TWO_PROCESSES = 1.3, 1.9
WARM_UP = 30  # Until both workers have seen all shared memory.
BATCH, TILE, SIZE, SLICES = 32, 128, 256, 8


def composed_hssayeni2020() -> Callable:
    """The augmentation of [2] by `albumentations.Compose`."""
    whole = albumentations.Compose(
        [
            albumentations.Affine(
                rotate=(-20, 20),
                translate_percent={"x": (-0.1, 0.1), "y": (-0.1, 0.1)},
                shear={"x": (-0.1, 0.1), "y": (0.0, 0.0)},
                scale={"x": (1 / 1.2, 1 / 0.8), "y": (1 / 1.2, 1 / 0.8)},
                border_mode=cv2.BORDER_REPLICATE,
                p=1.0,
            )
        ]
    )

    def change(image, mask, seed):
        whole.set_random_state(np.random.default_rng(seed), random.Random(seed))
        changed = whole(image=image, mask=mask)
        return changed["image"], changed["mask"]

    return change


def composed_burduja2020() -> Callable:
    """The augmentation of [1] by `albumentations.Compose`."""
    whole = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Affine(
                translate_percent={"x": (-0.0625, 0.0625), "y": (-0.0625, 0.0625)},
                scale=(0.9, 1.1),
                keep_ratio=True,
                rotate=(-45, 45),
                border_mode=cv2.BORDER_REFLECT_101,
                p=0.5,
            ),
            albumentations.RandomBrightnessContrast(0.2, 0.2, p=0.5),
        ]
    )

    def change(image, seed):
        whole.set_random_state(np.random.default_rng(seed), random.Random(seed))
        return whole(image=image)["image"]

    return change


def stored_crops() -> pipeline.Crops:
    """Crops of slices in memory."""
    generator = np.random.default_rng(0)
    hu = generator.normal(30, 20, (SLICES, 512, 512)).astype(np.float32)
    mask = (hu > 60).astype(np.uint8)
    stored = slices.Slices(hu, mask, ("a",) * SLICES, tuple(range(SLICES)))
    corners = tiles.TileGrid(512, 512, TILE, 64).positions
    return pipeline.crops(stored, corners, TILE)


def crops_by(change: Callable) -> Callable[[int], object]:
    """From a step to a batch of augmented crops."""
    load = pipeline.TrainingCrops(stored_crops(), CHANNELS, BATCH, 0, None, change)
    out = batch_workers.new_arrays(SPECS["crops"])
    return lambda step: load(step, out)


def images_by(change: Callable) -> Callable[[int], object]:
    """From a step to a batch of augmented classifier images, decompressed before."""
    stored = np.random.default_rng(0).integers(0, 255, (BATCH, SIZE, SIZE, 3), np.uint8)
    made = np.empty(stored.shape, np.float32)

    def load(step):
        for number, image in enumerate(stored):
            np.divide(image, np.float32(255), out=made[number])
            made[number] = change(made[number], BATCH * step + number)

    return load


CHANNELS = functools.partial(windows.channels, approach="approach1", count=3)
SPECS = {
    "crops": (
        ((BATCH, TILE, TILE, 3), np.float32),
        ((BATCH, TILE, TILE, 1), np.float32),
    ),
    "images": (((BATCH, SIZE, SIZE, 3), np.float32), ((BATCH, 6), np.float32)),
}
WAYS = {
    "crops": (crops_by, composed_hssayeni2020, augment.augmenter("hssayeni2020")),
    "images": (images_by, composed_burduja2020, augment.image_augmenter("burduja2020")),
}


def compressed_images() -> Iterator[tuple]:
    """Batches of stored classifier images: a disc of noise, a third of its pixels."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    head = (np.hypot(rows, columns) < 0.4 * SIZE)[..., np.newaxis]
    noise = generator.integers(90, 130, (BATCH, SIZE, SIZE, 3))
    stored = [
        zlib.compress((image * head).astype(np.uint8).tobytes()) for image in noise
    ]
    for first in range(0, 10**9, BATCH):
        places = np.arange(first, first + BATCH)
        yield places, np.array(stored, object), np.zeros((BATCH, 6), np.float32)


def work(name: str) -> tuple:
    """What makes a batch, and its endless items."""
    *_, change = WAYS[name]
    if name == "images":
        return image_batches.AugmentedImages(change, 0), compressed_images()
    crops = stored_crops()
    load = pipeline.TrainingCrops(crops, CHANNELS, BATCH, 0, None, change)
    return load, iter(range(10**9))


def by_caller(load: Callable, items: Iterator, specs: tuple) -> Iterator[tuple]:
    """Batches one after the other, by the caller alone."""
    for item in items:
        arrays = batch_workers.new_arrays(specs)
        load(item, arrays)
        yield arrays


def processor_seconds() -> float:
    """Processor time of this process and of its workers."""
    spent = time.process_time()
    for worker in multiprocessing.active_children():
        status = pathlib.Path(f"/proc/{worker.pid}/stat").read_text()
        ticks = status.rpartition(")")[2].split()[11:13]
        spent += sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return spent


def rate(made: Iterator, seconds: float) -> tuple[float, float]:
    """Samples a second of the clock, and processor seconds of a sample."""
    for _ in range(WARM_UP):
        next(made)
    count, began, spent = 0, time.perf_counter(), processor_seconds()
    while time.perf_counter() - began < seconds:
        next(made)
        count += BATCH
    spent, passed = processor_seconds() - spent, time.perf_counter() - began
    made.close()
    return count / passed, spent / count


def augmented(load: Callable[[int], object], seconds: float) -> float:
    """Samples a second of the processor, made by one thread."""

    def made():
        for step in range(10**9):
            yield load(step)

    return 1 / rate(made(), seconds)[1]


def _count_alone(name: str, seconds: float, start, counts) -> None:
    """Send how many samples a second a caller makes, started together with another."""
    cv2.setNumThreads(0)
    made = by_caller(*work(name), SPECS[name])
    next(made)
    start.wait()
    counts.put(rate(made, seconds)[0])


def two_callers(name: str, seconds: float) -> float:
    """Samples a second of two processes that share nothing."""
    start, counts = multiprocessing.Barrier(2, timeout=60), multiprocessing.Queue()
    callers = [
        multiprocessing.Process(
            target=_count_alone, args=(name, seconds, start, counts)
        )
        for _ in range(2)
    ]
    for caller in callers:
        caller.start()
    total = sum(counts.get(timeout=60 + 10 * seconds) for _ in callers)
    for caller in callers:
        caller.join()
    return total


def workers(name: str, seconds: float) -> tuple[float, ...]:
    """One round.

    Returns:
        The caller's rate, the ratios of two threads, two processes and two callers to
        it, and processor seconds of a sample by the caller and by the processes.
    """
    specs = SPECS[name]
    alone, of_alone = rate(by_caller(*work(name), specs), seconds)
    threads, _ = rate(batch_workers.from_threads(*work(name), specs), seconds)
    made = batch_workers.from_processes(*work(name), specs, 2)
    processes, of_processes = rate(made, seconds)
    ratios = (threads / alone, processes / alone, two_callers(name, seconds) / alone)
    return alone, *ratios, of_alone, of_processes


def main() -> None:
    """Print all rates and hold them to the targets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of each measurement"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of the workers")
    parser.add_argument("--no-check", action="store_true", help="only print")
    options = parser.parse_args()
    cv2.setNumThreads(0)
    reached = True
    print("| input | Compose | here | ratio |\n| - | - | - | - |")
    for name, (make, compose, change) in WAYS.items():
        before, after = (
            augmented(make(way), options.seconds) for way in (compose(), change)
        )
        print(f"| {name}/s | {before:.0f} | {after:.0f} | {after / before:.2f} |")
        reached &= after / before >= FASTER_THAN_COMPOSE
    print(
        "\n| batches of | caller alone | two threads : it | two processes : it | "
        "two callers : it | processor, alone | processes | free cores |\n"
        "| - | - | - | - | - | - | - | - |"
    )
    for name in SPECS:
        rounds = np.array(
            [workers(name, options.seconds) for _ in range(options.rounds)]
        )
        alone, threads, processes, callers = np.median(rounds[:, :4], axis=0)
        of_alone, of_processes = 1000 * BATCH * rounds[:, 4:].min(axis=0)
        print(
            f"| {name} | {alone:.0f}/s | {threads:.2f} | {processes:.2f} | "
            f"{callers:.2f} | {of_alone:.1f} ms | {of_processes:.1f} ms | "
            f"{2 * of_alone / of_processes:.2f} |",
            flush=True,
        )
        reached &= processes >= TWO_PROCESSES
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}.")
    if not (reached or options.no_check):
        sys.exit(1)


if __name__ == "__main__":
    main()
