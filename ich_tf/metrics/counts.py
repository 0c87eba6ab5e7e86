"""Pixel counts of each slice of each case, from which every score is computed."""

import numpy as np

from ich_tf.metrics.protocols import Protocol


def case_counts(
    truth: np.ndarray,
    prediction: np.ndarray,
    protocol: Protocol,
    slice_pixel_ml: np.ndarray | None = None,
    *,
    case_id: str,
    patient_id: str,
) -> dict:
    """Count the pixels of a case, slice by slice.

    Args:
        truth: (z, y, x), bool.
        prediction: (z, y, x), bool, from `binarise` under the same protocol.
        protocol: The rule that made the prediction; stored as `mask_rule`.
        slice_pixel_ml: (z,), millilitres of one pixel in each slice
            (`Volume.slice_pixel_ml`); None where the input has no spacing.
        case_id: Name of the scan.
        patient_id: Name of the patient. Protocols average the slices of a patient
            and exclude patients by number ("070").

    Returns:
        A JSON object: `case_id`, `patient_id`, `mask_rule`, `shape`; lists of one
        number a slice `tp`, `fp`, `fn`, `tn`; totals of the case `truth_pixels`,
        `predicted_pixels`, `truth_ml`, `predicted_ml` (None without spacing).

    Raises:
        ValueError: if the masks are not bool or their shapes differ.
    """
    _check_masks(case_id, truth, prediction)
    axes = (1, 2)
    tp = np.count_nonzero(truth & prediction, axis=axes)
    in_truth = np.count_nonzero(truth, axis=axes)
    predicted = np.count_nonzero(prediction, axis=axes)
    fp, fn = predicted - tp, in_truth - tp
    tn = truth[0].size - tp - fp - fn
    known = slice_pixel_ml is not None
    return {
        "case_id": case_id,
        "patient_id": patient_id,
        "mask_rule": protocol.scaled(max(truth.shape[1:])).mask_rule(),
        "shape": list(truth.shape),
        "tp": tp.tolist(),
        "fp": fp.tolist(),
        "fn": fn.tolist(),
        "tn": tn.tolist(),
        "truth_pixels": int(in_truth.sum()),
        "predicted_pixels": int(predicted.sum()),
        "truth_ml": float(in_truth @ slice_pixel_ml) if known else None,
        "predicted_ml": float(predicted @ slice_pixel_ml) if known else None,
    }


def _check_masks(case_id: str, truth: np.ndarray, prediction: np.ndarray) -> None:
    for name, mask in (("truth", truth), ("prediction", prediction)):
        if mask.dtype != bool or mask.ndim != 3:
            raise ValueError(
                f"Case {case_id}: `{name}` must be a bool (z, y, x) array. Received: "
                f"{mask.dtype} of shape {mask.shape}"
            )
    if truth.shape != prediction.shape:
        raise ValueError(
            f"Case {case_id}: the truth has shape {truth.shape}, the prediction "
            f"{prediction.shape}."
        )
