"""Small tables of text (CSV), however a spreadsheet saved them."""

import csv
import os
import re
from collections.abc import Iterator, Sequence

from ich_tf.io import source
from ich_tf.io.source import InputError

MAX_BYTES = 2**26
DELIMITERS = (",", ";", "\t")

_WHOLE = re.compile(r"[+-]?\d{1,15}([.,]0*)?")


def whole(text: str) -> int:
    """A whole number, as "49", " 49 ", "49.0" or "49,0".

    Raises:
        ValueError: if it is no whole number.
    """
    text = text.strip()
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no whole number.")
    return int(re.split("[.,]", text)[0])


def delimiter_of(header: str, needed: Sequence[str]) -> str:
    """The delimiter by which a header has most of the columns that are needed."""

    def known(delimiter: str) -> int:
        return len(set(_names(header, delimiter)) & set(needed))

    return max(DELIMITERS, key=known)


def _names(header: str, delimiter: str) -> list[str]:
    return [name.strip().strip('"').strip() for name in header.split(delimiter)]


def read_rows(
    path: str | os.PathLike, needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows of a table; empty ones are passed over.

    A byte order mark, any line ends, quotes, and commas, semicolons or tabs between
    the columns are understood.

    Args:
        path: The file, UTF-8.
        needed: Columns that must be there.

    Yields:
        Number of the line, and column to text without blanks around it; columns that a
        row lacks are empty.

    Raises:
        InputError: if the file cannot be read or a column is missing; the message names
            the file and the line.
    """
    text = source.read_text(path, MAX_BYTES)
    lines = text.splitlines()
    header = next((line for line in lines if line.strip()), "")
    delimiter = delimiter_of(header, needed)
    reader = csv.reader(lines, delimiter=delimiter)
    names = None
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if names is None:
                names = cells
                _check_columns(path, names, needed)
                continue
            cells += [""] * (len(names) - len(cells))
            yield reader.line_num, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: {error}.") from error
    if names is None:
        raise InputError(f"{path}: has no rows.")


def _check_columns(path, names: list[str], needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in names]
    if missing:
        shown = ", ".join(names)[:300]
        raise InputError(
            f"{path}: no column {', '.join(sorted(missing))}. It has: {shown}"
        )
