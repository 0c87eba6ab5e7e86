"""Measure the input of training: augmented crops and classifier images a second.

`python benchmarks/classification_input.py [--seconds 4]` makes batches from synthetic
slices in memory with one and with two threads, and the same images one after the other
by `albumentations.Compose`, the way of the first version. Seconds are of the clock for
threads and of the processor for one thread against `Compose`, which suffers less from
other work on the machine.

Exits with 1 if a target is missed (--no-check only prints): one thread at least 1.3
times as fast as `Compose`, two threads at least 1.9 times as fast as one.
"""

import argparse
import functools
import os
import random
import sys
import time
from collections.abc import Callable

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations
import cv2
import numpy as np

from ich_tf import parallel
from ich_tf.preprocessing import augment, windows
from ich_tf.preprocessing.segmentation import pipeline, slices, tiles

FASTER_THAN_COMPOSE, TWO_THREADS = 1.3, 1.9
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


def crop_batches() -> dict[str, Callable[[int], object]]:
    """From a step to a batch of augmented crops: this project's way and `Compose`."""
    generator = np.random.default_rng(0)
    hu = generator.normal(30, 20, (SLICES, 512, 512)).astype(np.float32)
    mask = (hu > 60).astype(np.uint8)
    stored = slices.Slices(hu, mask, ("a",) * SLICES, tuple(range(SLICES)))
    corners = tiles.TileGrid(512, 512, TILE, 64).positions
    crops = pipeline.crops(stored, corners, TILE)
    channels = functools.partial(windows.channels, approach="approach1", count=3)

    def batches(change):
        def load(step):
            indices = pipeline.batch_indices(crops, step, BATCH, 0)
            seeds = np.arange(BATCH) + BATCH * step
            return pipeline.crop_batch(crops, indices, channels, change, seeds)

        return load

    return {
        "here": batches(augment.augmenter("hssayeni2020")),
        "Compose": batches(composed_hssayeni2020()),
    }


def image_batches() -> dict[str, Callable[[int], object]]:
    """From a step to a batch of augmented classifier images: here and `Compose`."""
    stored = np.random.default_rng(0).integers(0, 255, (BATCH, SIZE, SIZE, 3), np.uint8)

    def batches(change):
        def load(step):
            made = np.empty(stored.shape, np.float32)
            for number, image in enumerate(stored):
                scaled = image.astype(np.float32)
                scaled /= 255
                made[number] = change(scaled, BATCH * step + number)
            return made

        return load

    return {
        "here": batches(augment.image_augmenter("burduja2020")),
        "Compose": batches(composed_burduja2020()),
    }


def rate(load: Callable, seconds: float, threads: int, clock: Callable) -> float:
    """Samples a second of a clock."""
    steps = iter(range(1_000_000))
    made = parallel.ordered_map(load, steps, workers=threads, threads=True)
    for _ in range(2):
        next(made)
    count, began, until = 0, clock(), time.monotonic() + seconds
    while time.monotonic() < until:
        next(made)
        count += BATCH
    spent = clock() - began
    made.close()
    return count / spent


def main() -> None:
    """Print both rates and hold them to the targets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="of each measurement"
    )
    parser.add_argument("--no-check", action="store_true", help="only print")
    options = parser.parse_args()
    cv2.setNumThreads(0)
    reached = True
    print(
        "| input | Compose | here | ratio | two threads : one |\n| - | - | - | - | - |"
    )
    for name, ways in (("crops", crop_batches()), ("images", image_batches())):
        before, after = (
            rate(ways[way], options.seconds, 1, time.process_time)
            for way in ("Compose", "here")
        )
        one_thread, two = (
            rate(ways["here"], options.seconds, threads, time.perf_counter)
            for threads in (1, 2)
        )
        print(
            f"| {name}/s | {before:.0f} | {after:.0f} | {after / before:.2f} | "
            f"{two / one_thread:.2f} |",
            flush=True,
        )
        reached &= (
            after / before >= FASTER_THAN_COMPOSE and two / one_thread >= TWO_THREADS
        )
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}.")
    if not (reached or options.no_check):
        sys.exit(1)


if __name__ == "__main__":
    main()
