"""A prediction as files: masks, pictures, tables, numbers and a page."""

import concurrent.futures
import csv
import io
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np

from ich_tf import files, labels, owned_folder, parallel, typed_json
from ich_tf.io import dicom_seg, nifti
from ich_tf.prediction import figures, scan_page
from ich_tf.prediction.result import Prediction
from ich_tf.prediction.written import MASK, NIFTI, SUBTYPES, UNCERTAINTY
from ich_tf.preprocessing.segmentation import slices

WRITER = "predict"
RESULT = "prediction.json"
LABEL_TABLE = "subtypes.txt"
PROBABILITIES, LESIONS = "probabilities.csv", "lesions.csv"
PAGE = "report.html"
CERTAIN = 1e-4
"""Distance from 0 or 1 within which a probability counts as certain."""
ADVICE = "Predict the scan again."
SCAN_ROW = "scan"
"""Name of the last row of `probabilities.csv`; the others are numbers of slices."""
PATTERNS = (
    *(*NIFTI, LABEL_TABLE, PROBABILITIES, LESIONS, PAGE, RESULT),
    *("overview.png", "uncertainty.png", "slice-*.png"),
    *dicom_seg.FILES,
)
"""Names of the files that `save` may write."""


class Subtype(TypedDict):
    """What `prediction.json` says about one subtype."""

    volume_ml: float | None


class NoSubtypes(TypedDict):
    """What it says where the network has no subtypes."""

    reason: str


class OfScan(TypedDict):
    """Class to probability in the scan; weights may have only any hemorrhage."""

    any: float


class ScanProbabilities(TypedDict):
    """Probabilities in the scan; the slices' are not read back."""

    scan: OfScan


class OutOfDistribution(TypedDict):
    """Whether the scan is out of distribution; None where it is unknown."""

    scan: bool | None


class DicomOutput(TypedDict):
    """The DICOM files that were written, or why there are none."""

    files: NotRequired[list[str]]
    reason: NotRequired[str]


class Numbers(TypedDict):
    """What a table of scans takes from `prediction.json`, which holds more."""

    slices: int
    volume_ml: float | None
    subtypes: NoSubtypes | dict[str, Subtype]
    lesions: list[Any]
    probabilities: ScanProbabilities
    out_of_distribution: OutOfDistribution
    contradictions: dict[str, list[Any]]
    notes: NotRequired[list[str]]
    unmarked_slices: NotRequired[list[int]]
    missing_mm: NotRequired[float | None]
    made_with: NotRequired[dict[str, Any]]
    dicom: NotRequired[DicomOutput]


def read(folder: str | os.PathLike) -> Numbers:
    """Read the `prediction.json` that `save` wrote to a folder.

    Raises:
        FileNotFoundError: if there is no result.
        ValueError: if it is damaged; the message names it.
    """
    return typed_json.read(pathlib.Path(folder) / RESULT, Numbers, ADVICE)


def check(folder: str | os.PathLike) -> None:
    """Refuse, before the network runs, a folder that `save` could not write.

    Raises:
        ValueError: if it cannot be made or written, or holds a file of such a name
            that no earlier prediction wrote there.
    """
    owned_folder.check(folder, WRITER, PATTERNS)


def save(
    prediction: Prediction,
    folder: str | os.PathLike,
    *,
    title: str = scan_page.TITLE,
    dicom: bool = False,
    more: Mapping[str, object] | None = None,
) -> list[str]:
    """Write a prediction; files of an earlier one in the folder are replaced together.

    Args:
        prediction: Prediction of one scan.
        folder: Where to write; is made where it does not exist.
        title: Heading of the page.
        dicom: Whether DICOM SEG and SR are written too. They name the patient, as the
            images that they refer to do. Where the images lack what SEG needs, the
            reason is in `prediction.json` under `dicom`.
        more: Further entries of `prediction.json`.

    Returns:
        Names of the files.

    Raises:
        ValueError: if the folder cannot be written, or holds a file of the same name
            that no earlier prediction wrote there. Nothing changes then.
    """
    with owned_folder.replacing(folder, WRITER) as made:
        unsure = uncertainty(prediction.probability)
        # Compression of pictures and maps takes most of the time, outside of Python.
        with concurrent.futures.ThreadPoolExecutor(parallel.cores()) as pool:
            jobs = [
                pool.submit(_write_pictures, prediction, unsure, made),
                pool.submit(_write_page, prediction, title, made),
                pool.submit(_write_maps, prediction, unsure, made),
            ]
            _write_tables(prediction, made)
            pictures, *_ = [job.result() for job in jobs]
        content = {**prediction.as_dict(), "pictures": pictures, **(more or {})}
        if dicom:
            content["dicom"] = write_dicom(prediction, made)
        files.write_json(made / RESULT, content)
        return sorted(path.name for path in made.iterdir())


def write_dicom(prediction: Prediction, folder: pathlib.Path) -> DicomOutput:
    """Write SEG and SR.

    Returns:
        Under `files` their names, or under `reason` why there are none.
    """
    names = labels.SUBTYPES if prediction.subtypes is not None else (labels.ANY,)
    segments = prediction.mask if prediction.subtypes is None else prediction.subtypes
    ml = {labels.ANY: prediction.volume_ml, **prediction.subtype_ml}
    probability = dict(
        zip(prediction.classes, map(float, prediction.scan_probability), strict=True)
    )
    findings = [
        dicom_seg.SegmentFacts(name, ml[name], probability.get(name)) for name in names
    ]
    try:
        written = dicom_seg.write(folder, prediction.volume, segments, findings)
    except dicom_seg.NoDicomOutput as error:
        return {"reason": str(error)}
    return {"files": written}


def uncertainty(probability: np.ndarray) -> np.ndarray:
    """Entropy of each probability in bits: 1 where it is 1/2.

    Within `CERTAIN` of 0 or 1, where it would be below 0.0015, it is 0.
    """
    bits = np.zeros(probability.shape, np.float32)
    unsure = (probability > CERTAIN) & (probability < 1 - CERTAIN)
    inside = probability[unsure]
    bits[unsure] = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    return bits


def _write_pictures(
    prediction: Prediction, unsure: np.ndarray, folder: pathlib.Path
) -> list[str]:
    hu, mask = prediction.volume.hu, prediction.mask
    figures.montage(folder / "overview.png", hu, mask)
    # Small slices take a quarter of the time to colour.
    small = (slices.at_most(volume, figures.CELL) for volume in (hu, unsure))
    figures.montage(folder / "uncertainty.png", *small, draw_slice=figures.heat)
    overlays = figures.slice_overlays(folder, hu, mask)
    return ["overview.png", "uncertainty.png", *overlays]


def _write_page(prediction: Prediction, title: str, folder: pathlib.Path) -> None:
    (folder / PAGE).write_bytes(scan_page.render(prediction, title))


def _write_maps(
    prediction: Prediction, unsure: np.ndarray, folder: pathlib.Path
) -> None:
    volume = prediction.volume
    nifti.write_mask(folder / MASK, prediction.mask, volume)
    percent = np.rint(100 * unsure).astype(np.uint8)
    nifti.write_map(folder / UNCERTAINTY, percent, volume)
    if prediction.subtypes is not None:
        nifti.write_map(folder / SUBTYPES, prediction.subtypes, volume)
        lines = ("0 background", *map("{} {}".format, range(1, 6), labels.SUBTYPES))
        files.write_bytes(folder / LABEL_TABLE, ("\n".join(lines) + "\n").encode())


def _write_tables(prediction: Prediction, folder: pathlib.Path) -> None:
    numbers = [*map(str, range(1, len(prediction.slice_pixels) + 1)), SCAN_ROW]
    rows = [*prediction.slice_probability, prediction.scan_probability]
    files.write_bytes(
        folder / PROBABILITIES,
        table(
            ("slice", *prediction.classes),
            (
                (number, *(f"{value:.4f}" for value in row))
                for number, row in zip(numbers, rows, strict=True)
            ),
        ),
    )
    header = ("number", "subtype", "volume_ml", "pixels", "first_slice", "last_slice")
    header = (*header, "mean_hu", "deviation_hu")
    lesions = (
        [getattr(lesion, name) for name in header] for lesion in prediction.lesions
    )
    files.write_bytes(folder / LESIONS, table(header, lesions))


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """A CSV table in UTF-8; None becomes an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
