"""What our own JSON files hold: results, folds, and what they are made of."""

from typing import Any, NotRequired, TypedDict


class Score(TypedDict):
    """A mean with its 95 % interval; None where undefined."""

    mean: float | None
    low: float | None
    high: float | None
    n: int | None
    n_undefined: int | None


class CaseFacts(TypedDict):
    """What the fingerprint of a data set says about one case."""

    slices: int
    mask_voxels: int | None
    crc32: str


class Fingerprint(TypedDict):
    """What the data are, see `Dataset.fingerprint`."""

    identity: str
    cases: dict[str, CaseFacts]
    slices: int


class Parts(TypedDict):
    """Case ids of one fold."""

    train: list[str]
    validation: list[str]
    test: list[str]


class Specification(TypedDict):
    """Everything that decides the numbers."""

    experiment: dict[str, Any]
    profile: dict[str, Any]
    data: str
    precision: str
    seed: int


class Epoch(TypedDict):
    """Metrics of one epoch, of which `loss` and others are not required."""

    epoch: int
    seconds: NotRequired[float]
    loss: NotRequired[float]


class Counts(TypedDict):
    """Pixels of one case under one protocol, see `metrics.case_counts`."""

    case_id: str
    patient_id: str
    shape: list[int]
    tp: list[int]
    fp: list[int]
    fn: list[int]
    tn: list[int]
    truth_pixels: int
    predicted_pixels: int
    truth_ml: float | None
    predicted_ml: float | None


class ScanPrediction(TypedDict):
    """Truth and probability of each slice and class of one scan."""

    fold: NotRequired[int]
    patient: str
    truth: list[list[int]]
    probability: list[list[float]]


class UnreadFiles(TypedDict):
    """What no network saw, see `slice_data.left_out`."""

    images: dict[str, int]
    scans: int
    slices: int
    scan_ids: list[str]
    named: list[str]


class FoldLeakage(TypedDict):
    """Overlap of patients between training and held-out scans of one fold."""

    held_out_scans: int


class PaintedSlice(TypedDict):
    """Labels, pixels and areas of one painted slice."""

    patient: str
    labels: list[int]
    truth: int
    predicted: int
    both: int
    area_mm2: float
    predicted_mm2: float


class LabelledScan(TypedDict):
    """Truth and largest predicted area of each slice of one scan."""

    truth: list[int]
    largest: list[int]


class PaintedEvidence(TypedDict):
    """What the scores of a painted row are computed from."""

    painted: list[PaintedSlice]
    labelled: dict[str, LabelledScan]


class LabelledScores(TypedDict):
    """Area under the ROC curve of the largest predicted area."""

    data: str
    slice: Score
    patient: Score


class FoldFile(TypedDict):
    """What every kind of experiment keeps of a finished fold."""

    spec: Specification
    fold: Parts
    init: str
    history: list[Epoch]
    seconds: dict[str, float]
    peak_memory_gb: float | None
    device: str
    versions: dict[str, str]
    commit: str | None


class MaskFold(FoldFile):
    """A fold of a row that predicts masks."""

    counts: dict[str, dict[str, Counts]]


class PaintedFold(MaskFold):
    """A fold of a row that is trained on painted slices."""

    painted: list[PaintedSlice]
    labelled: dict[str, LabelledScan]


class SliceFold(FoldFile):
    """A fold of a classifier."""

    predictions: dict[str, ScanPrediction]
