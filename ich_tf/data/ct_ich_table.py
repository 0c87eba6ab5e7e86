"""The diagnosis table of ct-ich, read and written for both layouts."""

import csv
import io
import pathlib
from collections.abc import Iterator

import numpy as np

from ich_tf import files, labels

NIFTI, JPG = "1.3.1", "1.0"
TABLES = {
    NIFTI: "hemorrhage_diagnosis_raw_ct.csv",
    JPG: "hemorrhage_diagnosis.csv",
}
_COLUMNS = {
    "Intraventricular": "intraventricular",
    "Intraparenchymal": "intraparenchymal",
    "Subarachnoid": "subarachnoid",
    "Epidural": "epidural",
    "Subdural": "subdural",
}
_HEADER = (
    "PatientNumber",
    "SliceNumber",
    *_COLUMNS,
    "No_Hemorrhage",
    "Fracture_Yes_No",
)


def _row_labels(row: dict[str, str], where: str) -> np.ndarray:
    values = np.zeros(len(labels.CLASSES), np.uint8)
    for column, name in (*_COLUMNS.items(), ("No_Hemorrhage", labels.ANY)):
        if row[column] not in ("0", "1"):
            raise ValueError(f"{where}: {column} must be 0 or 1, not {row[column]!r}.")
        values[labels.index(name)] = int(row[column])
    values[labels.index(labels.ANY)] ^= 1
    return values


def read(path: pathlib.Path) -> dict[str, dict[int, np.ndarray]]:
    """Read a diagnosis table.

    Returns:
        Patient ("049") to slice number (from 1) to the six labels.

    Raises:
        ValueError: if a column is missing, a value is not 0 or 1 or a slice stands
            there twice; the message names the line.
    """
    try:
        # Tables of version 1.0 begin with a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no UTF-8 text.") from error
    table = {}
    reader = csv.DictReader(text.splitlines())
    missing = set(_HEADER[:-1]) - set(reader.fieldnames or ())
    if missing:
        raise ValueError(f"{path}: no column {', '.join(sorted(missing))}.")
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        try:
            patient = f"{int(row['PatientNumber']):03d}"
            number = int(row["SliceNumber"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: patient or slice is no number.") from error
        slices = table.setdefault(patient, {})
        if number in slices:
            raise ValueError(f"{where}: slice {number} stands there twice.")
        slices[number] = _row_labels(row, where)
    return table


def rows(patient: str, slice_labels: np.ndarray) -> Iterator[list[int]]:
    """Rows of one patient.

    Args:
        patient: "049", ...
        slice_labels: (z, 6), in the order of `labels.CLASSES`.

    Yields:
        Values in the order of the columns; fractures are unknown and written as 0.
    """
    order = [labels.index(name) for name in _COLUMNS.values()]
    for number, values in enumerate(slice_labels.astype(int), start=1):
        none = 1 - values[labels.index(labels.ANY)]
        yield [int(patient), number, *(values[i] for i in order), none, 0]


def write(folder: pathlib.Path, layout: str, diagnoses: list[list[int]]) -> None:
    """Write the diagnosis table and a demographics table without demographics.

    Args:
        folder: The data set's folder.
        layout: `NIFTI` or `JPG`; the latter's tables begin with a byte order mark.
        diagnoses: All `rows`.
    """
    encoding = "utf-8-sig" if layout == JPG else "utf-8"
    patients = dict.fromkeys(row[0] for row in diagnoses)
    for name, header, lines in (
        (TABLES[layout], _HEADER, diagnoses),
        (
            "patient_demographics.csv",
            ("Patient Number", "Age", "Gender"),
            [[patient, "", ""] for patient in patients],
        ),
    ):
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\r\n").writerows([header, *lines])
        files.write_bytes(folder / name, buffer.getvalue().encode(encoding))
