"""Many scans with one network: a folder of results for each, and one table of all."""

import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable, Sequence

from ich_tf import labels, owned_folder
from ich_tf.models import weights
from ich_tf.prediction import inputs, saving
from ich_tf.prediction.predict import DEFAULT_WEIGHTS, Predictor, check_thresholds
from ich_tf.prediction.result import Prediction
from ich_tf.prediction.scans import Scan

TABLE = "scans.csv"
WRITER = "predict, table"
PREDICTED, KEPT, FAILED = "predicted", "kept", "failed"
COLUMNS = (
    *("scan", "status", "folder", "slices", "volume_ml"),
    *(f"{name}_ml" for name in labels.SUBTYPES),
    *(f"{name}_probability" for name in labels.CLASSES),
    *("lesions", "out_of_distribution", "contradictions", "seconds", "reason"),
)
NO_DICOM = "no DICOM file written"
NOT_HEAD_CT, NOT_READ = "not a head CT", "cannot be read or written"
"""What a table without names says instead of a message, which names files."""


@dataclasses.dataclass(frozen=True)
class PredictionSettings:
    """What applies to every scan.

    Attributes:
        weights_name: Name of the network's weights in the manifest.
        weights_dir: Folder of the weights; default `paths.weights()`.
        threshold: In [0, 1); None takes the one chosen for the weights.
        slice_threshold: In [0, 1]; None takes the one chosen for the weights.
        spacing_mm: (z, y, x), for files without spacing.
        force: Whether scans that do not look like head CT are read with a note.
        dicom: Whether to write DICOM SEG and SR, too.
        anonymous: Whether scans are named scan-001, ... in the table, on the terminal
            and as folders.
        resume: Whether to keep results of an earlier call with the same files and
            settings.
    """

    weights_name: str = DEFAULT_WEIGHTS
    weights_dir: str | os.PathLike | None = None
    threshold: float | None = None
    slice_threshold: float | None = None
    spacing_mm: tuple[float, float, float] | None = None
    force: bool = False
    dicom: bool = False
    anonymous: bool = False
    resume: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one scan.

    Attributes:
        scan: Its name in the table.
        status: `PREDICTED`, `KEPT` (from an earlier call) or `FAILED`.
        folder: Folder of its results, below the common folder; empty if it failed.
        numbers: The content of `prediction.json`; None if it failed.
        seconds: Reading, predicting and writing.
        reason: Why it failed, or why no DICOM file was written.
    """

    scan: str
    status: str
    folder: str
    numbers: saving.Numbers | None
    seconds: float
    reason: str = ""

    @property
    def contradictions(self) -> int:
        """Number of contradictions in the scan and its slices."""
        if self.numbers is None:
            return 0
        return sum(map(len, self.numbers["contradictions"].values()))

    @property
    def remarks(self) -> list[str]:
        """Warnings and notes, counted; the scan's page has their texts."""
        numbers = self.numbers
        if numbers is None:
            return []
        beyond = numbers["out_of_distribution"]["scan"]
        counts = {
            "contradiction": self.contradictions,
            "unmarked slice": len(numbers.get("unmarked_slices", [])),
            "note": len(numbers.get("notes", [])),
        }
        missing_mm = numbers.get("missing_mm") or 0
        return [
            *(["out of distribution"] if beyond else []),
            *([f"{missing_mm:.0f} mm without slices"] if missing_mm else []),
            *(
                f"{count} {name}{'s' if count > 1 else ''}"
                for name, count in counts.items()
                if count
            ),
        ]

    def row(self) -> list:
        """The cells of `COLUMNS`; None where nothing is known."""
        numbers = self.numbers
        if numbers is None:
            unknown = [None] * (len(COLUMNS) - 5)
            start = [self.scan, self.status, self.folder]
            return [*start, *unknown, round(self.seconds, 2), self.reason]
        subtypes = {} if "reason" in numbers["subtypes"] else numbers["subtypes"]
        of_scan = numbers["probabilities"]["scan"]
        return [
            *(self.scan, self.status, self.folder),
            *(numbers["slices"], numbers["volume_ml"]),
            *(subtypes.get(name, {}).get("volume_ml") for name in labels.SUBTYPES),
            *(of_scan.get(name) for name in labels.CLASSES),
            len(numbers["lesions"]),
            numbers["out_of_distribution"]["scan"],
            self.contradictions,
            round(self.seconds, 2),
            self.reason,
        ]


def run(
    scans: Sequence[Scan],
    out: str | os.PathLike,
    settings: PredictionSettings,
    done: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Predict scans one after the other; a failed one does not end the rest.

    Args:
        scans: From `scans.find`.
        out: Folder for a folder of each scan, and for `scans.csv`, which is complete
            after each scan.
        settings: What applies to every scan.
        done: Takes each outcome.

    Returns:
        An outcome for each scan.

    Raises:
        ValueError: if `out` cannot be written, or the weights are absent or damaged.
    """
    check_thresholds(settings.threshold, settings.slice_threshold)
    out = pathlib.Path(out)
    owned_folder.check(out, WRITER, (TABLE,))
    _, entry = weights.shipped(settings.weights_name, settings.weights_dir)
    predictor = functools.cache(
        lambda: Predictor(
            settings.weights_name,
            settings.weights_dir,
            settings.threshold,
            settings.slice_threshold,
        )
    )
    outcomes: list[Outcome] = []
    for number, scan in enumerate(scans, start=1):
        name, folder = scan.name, scan.folder
        if settings.anonymous:
            name = f"scan-{number:03d}"
            folder = pathlib.PurePath(name)
        start = time.perf_counter()
        made = _outcome(scan, out / folder, settings, entry["sha256"], predictor)
        outcome = dataclasses.replace(
            made,
            scan=name,
            folder="" if made.status == FAILED else folder.as_posix(),
            seconds=time.perf_counter() - start,
        )
        outcomes.append(outcome)
        rows = [outcome.row() for outcome in outcomes]
        owned_folder.write_file(out / TABLE, WRITER, saving.table(COLUMNS, rows))
        done(outcome)
    return outcomes


def _outcome(
    scan: Scan,
    folder: pathlib.Path,
    settings: PredictionSettings,
    sha256: str,
    predictor: Callable[[], Predictor],
) -> Outcome:
    """Predict one scan, or keep what is there."""
    try:
        made_with = {
            "files": scan.digest,
            "weights_sha256": sha256,
            "threshold": settings.threshold,
            "slice_threshold": settings.slice_threshold,
            "spacing_mm": list(settings.spacing_mm) if settings.spacing_mm else None,
            "force": settings.force,
            "dicom": settings.dicom,
        }
        kept = _kept(folder, made_with) if settings.resume else None
        if kept is not None:
            return Outcome("", KEPT, "", kept, 0.0, _no_dicom(kept, settings))
        saving.check(folder)
        prediction = predictor()(scan.read(settings.spacing_mm, force=settings.force))
        prediction.save(folder, dicom=settings.dicom, more={"made_with": made_with})
        numbers = _numbers(prediction)
        if settings.dicom:
            numbers["dicom"] = saving.read(folder)["dicom"]
        return Outcome("", PREDICTED, "", numbers, 0.0, _no_dicom(numbers, settings))
    except (ValueError, OSError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        if settings.anonymous:
            refused = isinstance(error, inputs.NotHeadCT)
            reason = NOT_HEAD_CT if refused else NOT_READ
        return Outcome("", FAILED, "", None, 0.0, reason)


def _no_dicom(numbers: saving.Numbers, settings: PredictionSettings) -> str:
    """Why no DICOM file was written, if that was wanted; reasons may name files."""
    reason = numbers.get("dicom", {}).get("reason")
    if not settings.dicom or reason is None:
        return ""
    return NO_DICOM if settings.anonymous else f"{NO_DICOM}: {reason}"


def _numbers(prediction: Prediction) -> saving.Numbers:
    """What the table needs; arrays and slices would fill the memory."""
    content = prediction.as_dict()
    del content["probabilities"]["slices"]
    return {name: content[name] for name in content if not name.startswith("slice_")}


def _kept(folder: pathlib.Path, made_with: dict) -> saving.Numbers | None:
    """The numbers of an earlier call with the same files and settings."""
    try:
        unchanged = owned_folder.written(folder, saving.WRITER)
        if not {saving.RESULT, saving.MASK, saving.PAGE} <= set(unchanged):
            return None
        numbers = saving.read(folder)
    except (ValueError, OSError):
        return None
    return numbers if numbers.get("made_with") == made_with else None
