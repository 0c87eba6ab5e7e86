"""The diagnosis table of ct-ich, read and written for both layouts."""

import csv
import io
import pathlib
from collections.abc import Iterator

import numpy as np

from ich_tf import files, labels
from ich_tf.io import table
from ich_tf.io.source import InputError

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
        try:
            value = table.whole(row[column])
        except ValueError:
            value = -1
        if value not in (0, 1):
            raise InputError(
                f"{where}: {column} must be 0 or 1, not {row[column][:40]!r}."
            )
        values[labels.index(name)] = value
    values[labels.index(labels.ANY)] ^= 1
    return values


def read(path: pathlib.Path) -> dict[str, dict[int, np.ndarray]]:
    """Read a diagnosis table.

    Returns:
        Patient ("049") to slice number (from 1) to the six labels.

    Raises:
        InputError: if a column is missing, a value is not 0 or 1 or a slice appears
            twice; the message names the line.
    """
    diagnoses = {}
    for line, row in table.read_rows(path, _HEADER[:-1]):
        where = f"{path}, line {line}"
        try:
            patient = f"{table.whole(row['PatientNumber']):03d}"
            number = table.whole(row["SliceNumber"])
        except ValueError as error:
            raise InputError(f"{where}: patient or slice is no number.") from error
        slices = diagnoses.setdefault(patient, {})
        values = _row_labels(row, where)
        if number in slices and not np.array_equal(slices[number], values):
            raise InputError(f"{where}: slice {number} appears twice.")
        slices[number] = values
    return diagnoses


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
