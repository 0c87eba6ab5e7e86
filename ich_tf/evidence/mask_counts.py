"""Pixel counts of a pair of mask files, or the fault that prevents them."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from ich_tf import metrics
from ich_tf.evidence.mask_files import Fault, Pair
from ich_tf.io import nifti
from ich_tf.metrics import Protocol
from ich_tf.volume import Volume

ANY = 0
"""Stands for every label together; a mask's own labels begin with 1."""
MAX_LABELS = 20
SPACING_TOLERANCE = 1e-3
"""Largest relative difference of two spacings that count as equal."""
PLACE_TOLERANCE = 0.1
"""Largest distance of corresponding corners, in units of the smallest spacing."""


class FaultyPair(ValueError):
    """Two masks that cannot be compared.

    Attributes:
        fault: Why.
    """

    def __init__(self, fault: Fault):
        super().__init__(f"{fault.case}: {fault.message}")
        self.fault = fault


@dataclasses.dataclass(frozen=True)
class PairCounts:
    """What is kept of a pair.

    Attributes:
        case: Its name.
        truth_labels: Label values of the true mask, without 0.
        predicted_labels: Labels of the predicted mask.
        counts: (label, number of the rule) to `metrics.case_counts`; `ANY` for all
            labels together, then each label of either mask.
    """

    case: str
    truth_labels: tuple[int, ...]
    predicted_labels: tuple[int, ...]
    counts: dict[tuple[int, int], dict]


def count(pair: Pair, rules: Sequence[Protocol], patient_id: str) -> PairCounts:
    """Read a pair and count its pixels.

    Args:
        pair: The files.
        rules: How predicted masks are closed and opened.
        patient_id: Name of the patient; protocols exclude ct-ich patients by number.

    Raises:
        FaultyPair: if a mask is unreadable or holds no labels, or if the two do not lie
            on the same grid. The axes of the files may be ordered and flipped in
            different ways.
    """
    (truth, place), (predicted, other) = (
        _labels(path, pair.case) for path in (pair.truth, pair.prediction)
    )
    _check_grids(pair.case, place, other)
    values = [
        tuple(int(v) for v in np.unique(mask) if v) for mask in (truth, predicted)
    ]
    counts = {
        (label, number): metrics.case_counts(
            _is(truth, label),
            metrics.binarise(_is(predicted, label).astype(np.float32), rule),
            rule,
            place.slice_pixel_ml,
            case_id=pair.case,
            patient_id=patient_id,
        )
        for label in (ANY, *sorted({*values[0], *values[1]}))
        for number, rule in enumerate(rules)
    }
    return PairCounts(pair.case, *values, counts)


def without_pixels(counts: dict) -> dict:
    """The counts of a case for a label that neither of its masks holds."""
    pixels = int(np.prod(counts["shape"][1:]))
    zeros = [0] * counts["shape"][0]
    known = counts["truth_ml"] is not None
    return {
        **counts,
        **{name: zeros for name in ("tp", "fp", "fn")},
        "tn": [pixels for _ in zeros],
        "truth_pixels": 0,
        "predicted_pixels": 0,
        "truth_ml": 0.0 if known else None,
        "predicted_ml": 0.0 if known else None,
    }


def _is(labels: np.ndarray, label: int) -> np.ndarray:
    return labels > 0 if label == ANY else labels == label


def _labels(path, case: str) -> tuple[np.ndarray, Volume]:
    """(z, y, x), uint16, and the grid it lies on."""
    try:
        volume = nifti.read(path, background=False)
    except (ValueError, OSError) as error:
        raise FaultyPair(Fault("unreadable", case, str(error))) from error
    problem = _no_labels(volume.hu)
    if problem:
        raise FaultyPair(Fault("labels", case, f"{path} holds {problem}"))
    return volume.hu.astype(np.uint16), volume


def _no_labels(values: np.ndarray) -> str | None:
    """Why values are no labels, or None."""
    if np.any(np.isnan(values)):
        return "NaN, which is no label."
    if np.any(np.isinf(values)):
        return "infinite values."
    low, high = values.min(), values.max()
    if low < 0:
        return f"values down to {low:g}. Is it a scan? A mask begins at 0."
    if np.any(values != np.rint(values)):
        inside = (
            " Is it a probability? Apply your threshold first." if high <= 1 else ""
        )
        return f"values between whole numbers.{inside}"
    if high > np.iinfo(np.uint16).max or len(np.unique(values)) > MAX_LABELS + 1:
        return f"more than {MAX_LABELS} labels. Is it a scan?"
    return None


def _check_grids(case: str, truth: Volume, predicted: Volume) -> None:
    for kind, message in _differences(truth, predicted):
        raise FaultyPair(Fault(kind, case, message))


def _differences(truth: Volume, predicted: Volume) -> Iterator[tuple[str, str]]:
    """Kind and description of each difference, the gravest first."""
    shapes = [volume.hu.shape for volume in (predicted, truth)]
    if shapes[0] != shapes[1]:
        shown = " and ".join("x".join(map(str, shape)) for shape in shapes)
        yield "shape", f"the predicted and the true mask have {shown} voxels (z, y, x)"
        return
    if truth.affine is None or predicted.affine is None:
        return
    spacings = [np.asarray(volume.spacing_mm) for volume in (predicted, truth)]
    if not np.allclose(*spacings, rtol=SPACING_TOLERANCE, atol=0):
        shown = " and ".join(f"{spacing.round(4).tolist()}" for spacing in spacings)
        yield "spacing", f"the predicted and the true mask have spacings {shown} mm"
    last = np.array(truth.hu.shape) - 1
    corners = np.array(
        [[0, 0, 0, 1], [*last, 1], [last[0], 0, 0, 1], [0, last[1], 0, 1]]
    )
    apart = np.abs(corners @ (truth.affine - predicted.affine).T).max()
    if apart > PLACE_TOLERANCE * spacings[1].min():
        yield (
            "affine",
            f"the predicted mask lies up to {apart:.3g} mm away from the true one",
        )
