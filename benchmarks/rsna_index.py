"""Measure the index of RSNA 2019: headers per second, and the scale of the real one.

    python benchmarks/rsna_index.py             both
    python benchmarks/rsna_index.py headers     files/s, extrapolated to all files
    python benchmarks/rsna_index.py scale       tables of the real size, without files

The files are noise in the data set's layout. They lie in the page cache, so what is
measured is the processor's work; a disk adds to it one read of each file's beginning.
"""

import argparse
import os
import pathlib
import resource
import tempfile
import time

import numpy as np

from ich_tf import labels
from ich_tf.data.rsna import headers as rsna_headers
from ich_tf.data.rsna import index as rsna_index
from ich_tf.data.rsna import labels as rsna_labels
from ich_tf.synthetic import rsna_writer
from ich_tf.volume import Case, Volume

FILES = 752_803
SCANS = 21_744
SLICES = 40


def noise(count: int):
    """Yield scans of 40 slices without any hemorrhage."""
    rng = np.random.default_rng(0)
    positions_mm = 5.0 * np.arange(SLICES)
    affine = np.diag([5.0, 0.5, 0.5, 1.0])[[2, 1, 0, 3]]
    for number in range(count):
        hu = rng.integers(-1000, 3000, (SLICES, 64, 64)).astype(np.float32)
        volume = Volume(hu, (5.0, 0.5, 0.5), positions_mm, affine)
        values = np.zeros((SLICES, 6), np.uint8)
        yield Case(f"{number}", f"{number}", volume, None, values)


def seconds(function, *args, **kwargs) -> tuple[float, float]:
    """Seconds that a call takes, and of processor time with its processes."""
    before, start = os.times(), time.perf_counter()
    function(*args, **kwargs)
    took, after = time.perf_counter() - start, os.times()
    return took, sum(after[:4]) - sum(before[:4])


def headers(scans: int, workers: int) -> None:
    """Print headers per second with one process and with several."""
    rsna_headers.CHUNK_FILES = 250
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name) / "rsna"
        rsna_writer.write_layout(noise(scans), root)
        folder, count = root / rsna_writer.IMAGES, scans * SLICES
        for path in folder.iterdir():
            path.read_bytes()
        print(f"{count} files; processes, files/s, minutes for {FILES} files, and the")
        print("same per second of processor time:")
        for number in (1, workers):
            file = root / f"{number}.npz"
            both = seconds(rsna_index.open_index, folder, file=file, workers=number)
            cells = [f"{count / s:8.0f} {FILES * s / count / 60:6.1f}" for s in both]
            print(f"  {number}{''.join(cells)}")
        took, _ = seconds(rsna_index.open_index, folder, file=file)
        print(f"opened again in {took:.2f} s")


def columns_of_real_size() -> dict[str, np.ndarray]:
    """Columns as from the headers of all files, in the order of their names."""
    rng = np.random.default_rng(0)
    names = np.unique(rng.integers(0, 16**9, FILES + 1000))[:FILES]
    scan = rng.integers(0, SCANS, FILES)
    texts = np.array([f"ID_{number:010x}" for number in range(SCANS)], np.bytes_)
    return {
        "images": np.array([b"ID_%09x" % number for number in names]),
        "series": texts[scan],
        "patients": texts[scan // 2 * 2],
        "origins": np.zeros(FILES, "S1"),
        "positions": rng.normal(size=(FILES, 3)),
        "orientations": np.tile([1.0, 0, 0, 0, 1, 0], (FILES, 1)),
        "file_bytes": np.full(FILES, 525_000),
        "problem_images": np.zeros(0, "S1"),
        "problem_reasons": np.zeros(0, "S1"),
    }


def peak_mb() -> float:
    """Most memory that the process had so far, megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def scale() -> None:
    """Print time and memory of the tables at their real size."""
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name) / "stage_2_train.csv"
        columns = columns_of_real_size()
        with open(path, "w", encoding="ascii") as file:
            file.write("ID,Label\n")
            for image in np.random.default_rng(1).permutation(columns["images"]):
                text = image.decode()
                file.writelines(f"{text}_{label},0\n" for label in labels.CLASSES)
        start = peak_mb()
        took, busy = seconds(rsna_index.in_scans, columns)
        index = rsna_index.HeaderIndex(**rsna_index.in_scans(columns))
        print(
            f"{FILES} slices into {len(index.series)} scans: {took:.1f} s ({busy:.1f})"
        )
        del columns
        took, busy = seconds(rsna_labels.read, path)
        print(f"{6 * FILES} rows of labels: {took:.1f} s ({busy:.1f} of the processor)")
        print(f"memory: {start:.0f} MB with the raw columns, peak {peak_mb():.0f} MB")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("headers", "scale"))
    parser.add_argument("--scans", type=int, default=50, help="of 40 slices each")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if options.what != "scale":
        headers(options.scans, options.workers)
    if options.what != "headers":
        scale()


if __name__ == "__main__":
    main()
