"""Measure how fast hemorrhage is painted onto slices, on one core.

`python benchmarks/painting.py [--ct-ich DIR]` paints slices of 512x512 pixels: of
phantom heads that do not bleed, in a brain window, or of the patients of ct-ich 1.0 who
have no hemorrhage. Slices without the inside of a skull are not counted. Processor time
counts, with OpenCV on one thread.

Exits with 1 if the target is missed (--no-check only prints).
"""

import argparse
import os
import pathlib
import sys
import time

import cv2
import numpy as np

from ich_tf import datasets
from ich_tf.synthetic import landmarks, painting, phantom

TARGET = 50
WINDOW = (-20.0, 100.0)


def phantom_slices(heads: int) -> list[np.ndarray]:
    """Slices of heads that do not bleed, saturated in the brain window."""
    cases = [phantom.generate(0, k, bleeding=False).case for k in range(heads)]
    return [np.clip(hu, *WINDOW) for case in cases for hu in case.volume.hu]


def normal_slices(root: pathlib.Path, patients: int) -> list[np.ndarray]:
    """Slices of the first patients of ct-ich without hemorrhage."""
    dataset, slices = datasets.open_dataset("ct-ich", root), []
    for case_id in dataset.case_ids():
        case = dataset.load(case_id)
        if not case.labels.any():
            slices.append(case.volume.hu)
        if len(slices) == patients:
            break
    return list(np.concatenate(slices))


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ct-ich", type=pathlib.Path, help="folder of ct-ich 1.0-1.2")
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-check", action="store_true", help="only print")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.ct_ich:
        slices = normal_slices(options.ct_ich, options.heads)
    else:
        slices = phantom_slices(options.heads)
    usable = [hu for hu in slices if landmarks.find(hu) is not None]
    print(f"{len(usable)} of {len(slices)} slices of {usable[0].shape} are painted on.")
    speeds = []
    for turn in range(options.rounds):
        began, blood = time.process_time(), 0
        for number, hu in enumerate(usable):
            seed = turn * len(usable) + number
            blood += painting.paint(hu, seed, hu_window=WINDOW).mask.any()
        speeds.append(len(usable) / (time.process_time() - began))
        print(f"{speeds[-1]:.0f} slices/s, blood in {blood / len(usable):.0%}")
    speed, load = max(speeds), os.getloadavg()[0]
    reached = "ok" if speed >= TARGET else "MISSED"
    print(
        f"best {speed:.0f} slices/s a core, target {TARGET}: {reached}. "
        f"Load of the machine: {load:.1f}."
    )
    if speed < TARGET and not options.no_check:
        sys.exit(1)


if __name__ == "__main__":
    main()
