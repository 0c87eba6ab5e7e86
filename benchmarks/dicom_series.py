"""Measure how long a DICOM series of 300 slices takes to read.

`python benchmarks/dicom_series.py [--slices 300] [--rounds 5]` writes an uncompressed
series of noise and reads it. `--package FOLDER` reads it with the package of another
checkout by turns, so that two states of the reader are compared on the same machine at
the same time.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from ich_tf.io import dicom

SIDE = 512
READER = """
import resource, sys, time
try:
    from ich_tf.io import dicom
except ImportError:  # The room of older checkouts.
    from ich_tf.data import dicom
dicom.read(sys.argv[1])
for _ in range(int(sys.argv[2])):
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    dicom.read(sys.argv[1])
    after = resource.getrusage(resource.RUSAGE_SELF)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(time.perf_counter() - began, busy)
"""


def write_series(folder: pathlib.Path, slices: int) -> None:
    """Write a series of noise."""
    generator = np.random.default_rng(0)
    for number in range(slices):
        stored = generator.integers(0, 3000, (SIDE, SIDE)).astype(np.int16)
        header = {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
            "SOPInstanceUID": dicom.make_uid(str(number)),
            "SeriesInstanceUID": dicom.make_uid("series"),
            "StudyInstanceUID": dicom.make_uid("study"),
            "InstanceNumber": number + 1,
            "ImagePositionPatient": [-100.0, -100.0, 0.6 * number],
            "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            "PixelSpacing": [0.45, 0.45],
            "SliceThickness": 0.6,
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
        }
        dicom.write_slice(folder / f"{number:04d}.dcm", stored, header)


def seconds_of(package: pathlib.Path, folder: pathlib.Path, rounds: int) -> np.ndarray:
    """(rounds, 2) wall and processor seconds of reading, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    command = [sys.executable, "-c", READER, str(folder), str(rounds)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, cwd="/"
    )
    return np.array([line.split() for line in done.stdout.splitlines()], float)


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5, help="readings of each")
    parser.add_argument("--package", help="another checkout to compare with")
    options = parser.parse_args()
    packages = {"this checkout": pathlib.Path(__file__).resolve().parents[1]}
    if options.package:
        packages["the other"] = pathlib.Path(options.package).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        began = time.perf_counter()
        write_series(folder, options.slices)
        print(f"{options.slices} slices written in {time.perf_counter() - began:.1f} s")
        seconds = {package: [] for package in packages}
        for _ in range(2):
            for package, place in packages.items():
                seconds[package].append(seconds_of(place, folder, options.rounds))
    print("| reader | seconds | processor seconds | ms a slice |")
    print("| --- | --- | --- | --- |")
    for package, measured in seconds.items():
        wall, busy = np.min(np.concatenate(measured), axis=0)
        each = 1000 * busy / options.slices
        print(f"| {package} | {wall:.2f} | {busy:.2f} | {each:.2f} |")


if __name__ == "__main__":
    main()
