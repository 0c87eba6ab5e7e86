"""One call from a scan to a prediction; `Predictor` is for many scans."""

import dataclasses
import os

import numpy as np

from ich_tf import labels
from ich_tf.prediction import classify, inputs, real_heads
from ich_tf.prediction.real_heads import DEFAULT_WEIGHTS
from ich_tf.prediction.result import Prediction
from ich_tf.volume import Case, Volume

__all__ = ["DEFAULT_WEIGHTS", "Predictor", "check_thresholds", "predict"]


def predict(
    source: str | os.PathLike | Volume,
    *,
    weights_name: str = DEFAULT_WEIGHTS,
    weights_dir: str | os.PathLike | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    series_uid: str | None = None,
    force: bool = False,
    threshold: float | None = None,
    slice_threshold: float | None = None,
) -> Prediction:
    """Segment and classify one scan. Nothing is written; see `Prediction.save`.

    Args:
        source: A NIfTI file, a DICOM file or folder, a ct-ich patient folder, or a
            volume in Hounsfield units.
        weights_name: Name of the network's weights in the manifest.
        weights_dir: Folder of the weights; default `paths.weights()`.
        spacing_mm: (z, y, x), for a file without spacing.
        series_uid: Which series of a DICOM folder that has several.
        force: Whether a scan that does not look like head CT is read with a note.
        threshold: A voxel is hemorrhage above this probability, in [0, 1); None takes
            the threshold that was chosen for the weights.
        slice_threshold: No voxel is hemorrhage in a slice whose calibrated probability
            is below this, in [0, 1]; None takes the one chosen for the weights.

    Raises:
        inputs.NotHeadCT: if the content cannot be a head CT; the message says why.
        ValueError: if the input cannot be read, or the weights are absent or damaged.

    Example:
        >>> prediction = predict("scan.nii.gz")
        >>> prediction.volume_ml
        40.8
        >>> prediction.save("out")
    """
    check_thresholds(threshold, slice_threshold)
    volume = source
    if not isinstance(source, Volume):
        volume = inputs.read(source, spacing_mm, series_uid, force=force).volume
    predictor = Predictor(weights_name, weights_dir, threshold, slice_threshold)
    return predictor(volume)


def check_thresholds(threshold: float | None, slice_threshold: float | None) -> None:
    """Refuse a threshold outside [0, 1) and a slice threshold outside [0, 1]."""
    if threshold is not None and not 0 <= threshold < 1:
        raise ValueError(f"`threshold` must lie in [0, 1). Received: {threshold}")
    if slice_threshold is not None and not 0 <= slice_threshold <= 1:
        raise ValueError(
            f"`slice_threshold` must lie in [0, 1]. Received: {slice_threshold}"
        )


class Predictor:
    """A network, built once, that predicts many scans.

    Attributes:
        network: From `real_heads.load`.
        operating_point: When a voxel is hemorrhage.
    """

    def __init__(
        self,
        weights_name: str = DEFAULT_WEIGHTS,
        weights_dir: str | os.PathLike | None = None,
        threshold: float | None = None,
        slice_threshold: float | None = None,
    ):
        """Load the weights.

        Args:
            weights_name: Name of the network's weights in the manifest.
            weights_dir: Folder of the weights; default `paths.weights()`.
            threshold: In [0, 1); None takes the one that was chosen for the weights.
            slice_threshold: In [0, 1]; None takes the one chosen for the weights.

        Raises:
            ValueError: if the weights are absent or damaged.
        """
        check_thresholds(threshold, slice_threshold)
        self.network = real_heads.load(weights_dir, weights_name)
        given = {"threshold": threshold, "slice_threshold": slice_threshold}
        self.operating_point = dataclasses.replace(
            self.network.operating_point,
            **{name: value for name, value in given.items() if value is not None},
        )

    def __call__(self, volume: Volume) -> Prediction:
        """Predict one scan.

        Raises:
            ValueError: if the scan has lost values that the network needs.
        """
        network, point = self.network, self.operating_point
        # A case without truth; its ids are used nowhere.
        answer = network.segment(Case("scan", "scan", volume))
        knows = answer.knows_subtypes
        classes = labels.CLASSES if knows else (labels.ANY,)
        columns = [labels.index(name) for name in classes]
        calibrated = network.probabilities(answer)
        of_slices, of_scan = answer.scores, answer.scores.max(axis=0)
        if calibrated is not None:
            of_slices, of_scan = calibrated.slices, calibrated.scan
        return Prediction(
            volume=volume,
            probability=answer.hemorrhage,
            mask=network.marked(answer, point).astype(np.uint8),
            subtypes=network.label_map(answer, point) if knows else None,
            threshold=point.threshold,
            slice_threshold=point.slice_threshold,
            classes=classes,
            slice_probability=of_slices[:, columns],
            scan_probability=of_scan[columns],
            calibrated=calibrated is not None,
            ood_slices=_out_of_distribution(network, answer),
            weights=classify.provenance(network.entry),
        )


def _out_of_distribution(
    network: real_heads.Network, answer: real_heads.Segmentation
) -> np.ndarray | None:
    """(z,), bool, or None where the weights have no statistics."""
    if network.likeness is None or answer.features is None:
        return None
    return network.likeness.out_of_distribution(answer.features)
