"""The label table of RSNA 2019: six rows for each image, pivoted to columns.

`stage_2_train.csv` has the columns `ID,Label`, where an ID is an image's name and a
class, `ID_<hex>_<class>`; a few rows are repeated. It is read in blocks, so that its
4.5 million rows need little memory.
"""

import csv
import dataclasses
import itertools
import os
import pathlib
import re

import numpy as np

from ich_tf import labels
from ich_tf.io import source, table
from ich_tf.io.source import InputError

HEADER = ("ID", "Label")
UNKNOWN = 255
BLOCK_ROWS = 200_000
MAX_ID_BYTES = 96
MAX_BYTES = 2**31
_MAX_HEADER = 10_000

_ROW = re.compile(rb"[^,\s]+_(%s),[01]" % "|".join(labels.CLASSES).encode())
_SORTED_CLASSES = np.sort(np.array(labels.CLASSES, np.bytes_))
_CLASS_OF_SORTED = np.array(
    [labels.index(name.decode()) for name in _SORTED_CLASSES], np.int64
)


@dataclasses.dataclass(frozen=True, eq=False)
class LabelTable:
    """Labels by image.

    Attributes:
        path: The file.
        images: (n,), names of the images as bytes, sorted.
        values: (n, 6), uint8, in the order of `labels.CLASSES`; `UNKNOWN` where a row
            is absent.
        repeated_rows: Number of rows that said again what another row says.
    """

    path: pathlib.Path
    images: np.ndarray
    values: np.ndarray
    repeated_rows: int

    def rows_of(self, images: np.ndarray) -> np.ndarray:
        """Row of each image, -1 where the table has none."""
        if not len(self.images):
            return np.full(len(images), -1)
        rows = np.searchsorted(self.images, images)
        rows = np.minimum(rows, len(self.images) - 1)
        return np.where(self.images[rows] == images, rows, -1)

    def faults(self) -> dict[str, np.ndarray]:
        """(n,) masks of the images whose labels cannot be used, by reason."""
        subtypes = self.values[:, : len(labels.SUBTYPES)].max(axis=1, initial=0)
        incomplete = (self.values == UNKNOWN).any(axis=1)
        contradicts = subtypes != self.values[:, labels.index(labels.ANY)]
        return {
            "not all six classes have a label": incomplete,
            "the label `any` contradicts the subtypes": contradicts & ~incomplete,
        }


def read(path: str | os.PathLike, block_rows: int = BLOCK_ROWS) -> LabelTable:
    """Read the label table.

    Args:
        path: The table.
        block_rows: Rows that are parsed together; bounds the memory.

    Raises:
        ValueError: if a row is not `<image>_<class>,<0 or 1>`, or two rows contradict
            each other; the message names the file and the row.
    """
    path = pathlib.Path(path)
    source.check_file(path, MAX_BYTES)
    names, cells, values = [], [], []
    offset = 0
    with open(path, "rb") as file:
        dialect = _dialect(path, file.readline(_MAX_HEADER))
        first_line = 2
        while lines := list(itertools.islice(file, block_rows)):
            if not any(map(bytes.strip, lines)):
                first_line += len(lines)
                continue
            images, classes, block_values = _block(path, lines, first_line, dialect)
            # The six rows of an image usually follow each other: one name is kept.
            starts = np.flatnonzero(np.concatenate([[True], images[1:] != images[:-1]]))
            run = np.repeat(np.arange(len(starts)), np.diff([*starts, len(images)]))
            names.append(images[starts])
            cell = (offset + run) * len(labels.CLASSES) + classes
            cells.append(cell.astype(np.int32))
            values.append(block_values)
            offset += len(starts)
            first_line += len(lines)
    if not names:
        raise InputError(f"{path}: has no rows.")
    return _pivot(path, *map(np.concatenate, (names, cells, values)))


@dataclasses.dataclass(frozen=True)
class _Dialect:
    """How a table was saved.

    Attributes:
        delimiter: Between columns.
        columns: Where ID and Label are.
    """

    delimiter: str
    columns: tuple[int, int]

    def plain(self, lines: list[bytes]) -> list[bytes]:
        """Lines as `<ID>,<Label>`; a line that is no row stays as it is."""
        written = []
        for line in lines:
            text = line.decode("utf-8", "replace")
            cells = next(csv.reader([text], delimiter=self.delimiter), [])
            try:
                name, label = (cells[column].strip() for column in self.columns)
                written.append(f"{name},{table.whole(label)}".encode())
            except (IndexError, ValueError):
                written.append(line)
        return written


def _dialect(path: pathlib.Path, first: bytes) -> _Dialect:
    """The dialect of a table from its first line."""
    header = first.decode("utf-8-sig", "replace").strip()
    delimiter = table.delimiter_of(header, HEADER)
    names = [name.strip().strip('"').strip() for name in header.split(delimiter)]
    if not set(HEADER) <= set(names):
        raise InputError(
            f"{path}: must begin with ID,Label, not {header[:80]!r}: six rows for each "
            "image are needed, `<image>_<class>,<0 or 1>`."
        )
    return _Dialect(delimiter, tuple(names.index(name) for name in HEADER))


def _load(lines: list[bytes]) -> np.ndarray:
    row_type = [("id", f"S{MAX_ID_BYTES}"), ("label", "u1")]
    return np.loadtxt(lines, row_type, comments=None, delimiter=",", ndmin=1)


def _block(
    path: pathlib.Path, lines: list[bytes], first_line: int, dialect: _Dialect
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image names, class numbers and labels of some lines."""
    filled = [line for line in map(bytes.strip, lines) if line]
    try:
        if dialect != _PLAIN or b'"' in filled[0]:
            filled = dialect.plain(filled)
        try:
            rows = _load(filled)
        except ValueError:
            # Labels like "1.0", or quotes further down.
            rows = _load(dialect.plain(filled))
    except (ValueError, csv.Error) as error:
        raise _fault(path, lines, first_line) from error
    images, _, classes = np.strings.rpartition(rows["id"], b"_")
    position = np.searchsorted(_SORTED_CLASSES, classes)
    position = np.minimum(position, len(labels.CLASSES) - 1)
    known = _SORTED_CLASSES[position] == classes
    if len(rows) != len(filled) or not known.all() or rows["label"].max() > 1:
        raise _fault(path, lines, first_line)
    if not np.strings.str_len(images).all():
        raise _fault(path, lines, first_line)
    # A copy, so that the block itself is not kept.
    return images, _CLASS_OF_SORTED[position], rows["label"].copy()


_PLAIN = _Dialect(",", (0, 1))


def _fault(path: pathlib.Path, lines: list[bytes], first_line: int) -> InputError:
    """The error that names the first line which is no row."""
    for number, line in enumerate(lines, first_line):
        text = line.strip()
        if text and (not _ROW.fullmatch(text) or len(text) > MAX_ID_BYTES):
            return InputError(
                f"{path}: line {number} is {line[:80]!r}, not <image>_<class>,<0 or "
                f"1> with one of the classes {', '.join(labels.CLASSES)}."
            )
    return InputError(f"{path}: lines {first_line} and following cannot be read.")


def _pivot(
    path: pathlib.Path, names: np.ndarray, cells: np.ndarray, values: np.ndarray
) -> LabelTable:
    """One row for each image from `cells`, 6 * position in `names` + class."""
    images, row_of_name = np.unique(names, return_inverse=True)
    count = len(labels.CLASSES)
    row_of_name = row_of_name.astype(np.int32)
    cells = row_of_name[cells // count] * count + cells % count
    table = np.full(len(images) * count, UNKNOWN, np.uint8)
    table[cells] = values
    against = np.flatnonzero(table[cells] != values)
    if against.size:
        image, number = divmod(int(cells[against[0]]), count)
        raise InputError(
            f"{path}: {images[image].decode()}_{labels.CLASSES[number]} is labelled "
            "both 0 and 1."
        )
    repeated = len(cells) - np.count_nonzero(table != UNKNOWN)
    return LabelTable(path, images, table.reshape(-1, count), int(repeated))
