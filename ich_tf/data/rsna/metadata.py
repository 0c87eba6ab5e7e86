"""The metadata table that is shared with RSNA 2019: image, scan, place in the scan.

Burduja et al. published one with the columns ImageId, SeriesInstanceUID and
ImagePositionSpan; its order of scans decides the split of the report. Tables made
with other tools have the same facts under other names; see `COLUMNS`.

Reference:
    Burduja et al. 2020, doi:10.3390/s20195611, and its public code.
"""

import csv
import dataclasses
import itertools
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from ich_tf.io import source, table
from ich_tf.io.source import InputError

FILES = (
    "train_metadata_noidx.csv",
    "train_metadata.csv",
    "stage_2_train_metadata.csv",
)
TEST_FILES = tuple(name.replace("train", "test") for name in FILES)
COLUMNS = {
    "image": ("ImageId", "SOPInstanceUID", "Image", "ID"),
    "series": ("SeriesInstanceUID",),
    "position": (
        "ImagePositionPatient_2",
        "ImagePositionPatient2",
        "ImagePositionPatient",
        "ImagePositionSpan",
    ),
}
"""What is needed, and the columns that may hold it; the first that is there is read.

A position is a number that rises towards the head, or three numbers of which the last
one does.
"""
BLOCK_ROWS = 50_000
MAX_BYTES = 2**30
_MAX_HEADER = 10_000
_ALL_COLUMNS = tuple(name for names in COLUMNS.values() for name in names)


@dataclasses.dataclass(frozen=True, eq=False)
class Metadata:
    """The rows of a metadata table, in its order.

    Attributes:
        path: The file.
        images: (n,), names of the images as bytes, each once.
        series: (n,), Series Instance UIDs as bytes.
        positions: (n,), float64, rising towards the head.
    """

    path: pathlib.Path
    images: np.ndarray
    series: np.ndarray
    positions: np.ndarray


def find(folder: pathlib.Path, names: Sequence[str] = FILES) -> pathlib.Path | None:
    """The metadata table in a folder; None without a file of these names."""
    candidates = (folder / name for name in names)
    return next((path for path in candidates if path.is_file()), None)


def read(path: str | os.PathLike) -> Metadata:
    """Read a metadata table; rows that repeat another are dropped.

    Raises:
        ValueError: if a column is missing, a row is faulty or two rows contradict
            each other; the message names the file and the row.
    """
    path = pathlib.Path(path)
    source.check_file(path, MAX_BYTES)
    blocks = []
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            delimiter = table.delimiter_of(file.readline(_MAX_HEADER), _ALL_COLUMNS)
            file.seek(0)
            rows = csv.reader(file, delimiter=delimiter)
            chosen = _columns(path, next(rows, []))
            while block := list(itertools.islice(rows, BLOCK_ROWS)):
                first_line = rows.line_num - len(block) + 1
                if any(map(any, block)):
                    blocks.append(_block(path, block, chosen, first_line))
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: is not in UTF-8 ({error.reason}).") from error
        except csv.Error as error:
            raise InputError(f"{path}: line {rows.line_num}: {error}.") from error
    if not blocks:
        raise InputError(f"{path}: has no rows.")
    images, series, positions = map(np.concatenate, zip(*blocks, strict=True))
    _, first, row = np.unique(images, return_index=True, return_inverse=True)
    earlier = first[row]
    against = (series != series[earlier]) | (positions != positions[earlier])
    if against.any():
        image = images[np.flatnonzero(against)[0]].decode()
        raise InputError(f"{path}: two rows of {image} contradict each other.")
    once = np.sort(first)
    return Metadata(path, images[once], series[once], positions[once])


def _columns(path: pathlib.Path, header: list[str]) -> list[int]:
    """Where image, series and position are."""
    chosen = []
    header = [name.strip() for name in header]
    for what, names in COLUMNS.items():
        places = [header.index(name) for name in names if name in header]
        if not places:
            raise InputError(
                f"{path}: no column for the {what}; one of {', '.join(names)} is "
                f"needed. It has: {', '.join(header)[:300]}. Without this file the "
                "headers of all images are read instead."
            )
        chosen.append(places[0])
    return chosen


def _block(
    path: pathlib.Path, rows: list[list[str]], chosen: list[int], first_line: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, series and positions of some rows."""
    images, series, positions = [], [], []
    for line, row in enumerate(rows, first_line):
        if not any(row):
            continue
        image, scan, position = (
            row[column].strip() if column < len(row) else "" for column in chosen
        )
        height = _height(position)
        if not image or not scan or not np.isfinite(height):
            raise InputError(
                f"{path}: line {line} lacks an image, a series or a position along "
                "the body: a number, or three in ImagePositionPatient."
            )
        images.append(os.fsencode(re.sub(r"\.dcm$", "", image, flags=re.IGNORECASE)))
        series.append(os.fsencode(scan))
        positions.append(height)
    return np.array(images), np.array(series), np.array(positions, np.float64)


def _height(text: str) -> float:
    """The last of three numbers, or the number; NaN for anything else."""
    numbers = re.findall(r"[-+.\deE]+", text)
    try:
        return float(numbers[-1]) if len(numbers) in (1, 3) else np.nan
    except ValueError:
        return np.nan
