"""Cases written in the layout of the RSNA 2019 challenge.

Files look like the published anonymised ones: identifiers `ID_<hex>`, no SOP class
and no slice thickness in the header, positions but no order in the names, three
kinds of stored values, and a label table with a few repeated rows.

Reference:
    Flanders et al. 2020, doi:10.1148/ryai.2020190211 (the data set).
"""

import csv
import hashlib
import io
import os
import pathlib
from collections.abc import Iterable

import numpy as np

from ich_tf import files, labels
from ich_tf.io import dicom
from ich_tf.volume import LOWEST_HU, Case, Volume

IMAGES = "stage_2_train"
LABELS = "stage_2_train.csv"
REPEATED_IMAGES = 4
PADDING = -2000

_KINDS = ("signed", "unsigned", "quirk")


def identifier(digits: int, *parts: object) -> str:
    """An ID as RSNA 2019 has them, "ID_" and digits, that follows from the parts."""
    text = "\0".join(str(part) for part in parts)
    return "ID_" + hashlib.sha256(text.encode()).hexdigest()[:digits]


def _stored(hu: np.ndarray, kind: str) -> tuple[np.ndarray, dict[str, object]]:
    """Stored values of a slice, and the header that goes with them.

    Args:
        hu: (rows, columns), Hounsfield units.
        kind: "signed": 16 bit, air below -1023 HU becomes padding. "unsigned": 12
            bit, -1024 to 3071 HU. "quirk": -1000 to 3095 HU as 12-bit two's
            complement that the header calls unsigned.
    """
    whole = np.rint(hu).astype(np.int32)
    if kind == "signed":
        values = np.where(whole <= LOWEST_HU, PADDING, whole + 1024)
        header = {"RescaleIntercept": -1024, "PixelPaddingValue": PADDING}
        return np.clip(values, -32768, 32767).astype(np.int16), header
    if kind == "unsigned":
        values = np.clip(whole + 1024, 0, 4095)
        return values.astype(np.uint16), {"RescaleIntercept": -1024, "BitsStored": 12}
    values = np.clip(whole, -1000, 3095) % 4096
    return values.astype(np.uint16), {"RescaleIntercept": 0, "BitsStored": 12}


def _geometry(volume: Volume, index: int) -> dict[str, object]:
    """Header fields that place a slice."""
    step, down, right = volume.affine[:3, :3].T
    travel = volume.slice_positions_mm[index] - volume.slice_positions_mm[0]
    position = volume.affine[:3, 3] + step * (travel / volume.spacing_mm[0])
    directions = [*(right / np.linalg.norm(right)), *(down / np.linalg.norm(down))]
    return {
        "ImagePositionPatient": [round(float(value), 6) for value in position],
        "ImageOrientationPatient": [round(float(value), 6) for value in directions],
        "PixelSpacing": [round(float(value), 6) for value in volume.spacing_mm[1:]],
    }


def _write_series(folder: pathlib.Path, case: Case, kind: str) -> list[str]:
    """Write the slices of a case; returns their identifiers."""
    volume = case.volume
    key = (volume.origin, case.case_id)
    names = []
    for index, hu in enumerate(volume.hu):
        stored, values = _stored(hu, kind)
        name = identifier(12, *key, index)
        header = {
            "SOPInstanceUID": name,
            "Modality": "CT",
            "PatientID": identifier(
                8, volume.origin.split(" index")[0], case.patient_id
            ),
            "StudyInstanceUID": identifier(10, *key, "study"),
            "SeriesInstanceUID": identifier(10, *key, "series"),
            "StudyID": "",
            **_geometry(volume, index),
            "WindowCenter": 40,
            "WindowWidth": 80,
            "RescaleSlope": 1,
            **values,
        }
        if volume.origin:
            header["ImageComments"] = volume.origin
        dicom.write_slice(folder / f"{name}.dcm", stored, header)
        names.append(name)
    return names


def write_layout(cases: Iterable[Case], out: str | os.PathLike) -> None:
    """Write cases as the training part of the RSNA 2019 challenge.

    One series for each case; cases with the same patient id become series of one
    patient. The way values are stored changes from series to series: signed 16 bit
    with padding, unsigned 12 bit, and the 12-bit quirk (which holds no value below
    -1000 HU). A killed run leaves `<out>.partial` only. The same cases give the same
    bytes.

    Args:
        cases: With labels and spacing; consumed one at a time.
        out: A folder that does not exist yet, or is empty.

    Raises:
        ValueError: if `out` is in use, or a case lacks labels or spacing.
    """
    rows = {}
    with files.new_folder(out) as folder:
        (folder / IMAGES).mkdir()
        for number, case in enumerate(cases):
            if case.labels is None or case.volume.affine is None:
                raise ValueError(f"Case {case.case_id}: needs labels and spacing.")
            kind = _KINDS[number % len(_KINDS)]
            names = _write_series(folder / IMAGES, case, kind)
            if not rows.keys().isdisjoint(names):
                raise ValueError(f"Case {case.case_id}: was written already.")
            rows.update(zip(names, case.labels.tolist(), strict=True))
        files.write_bytes(folder / LABELS, _table(rows))


def _table(rows: dict[str, list[int]]) -> bytes:
    """The label table: six rows for each image, some images twice."""
    names = sorted(rows)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("ID", "Label"))
    for name in [*names, *names[:: max(1, len(names) // REPEATED_IMAGES)]]:
        for label, value in zip(labels.CLASSES, rows[name], strict=True):
            writer.writerow((f"{name}_{label}", value))
    return buffer.getvalue().encode()
