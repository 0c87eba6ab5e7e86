"""One call from a scan to a prediction; `Predictor` answers for many scans."""

import os

import numpy as np

from ich_tf import labels
from ich_tf.prediction import classify, inputs, real_heads
from ich_tf.prediction.real_heads import DEFAULT_WEIGHTS
from ich_tf.prediction.result import Prediction
from ich_tf.volume import Case, Volume

__all__ = ["DEFAULT_WEIGHTS", "Predictor", "check_threshold", "predict"]


def predict(
    source: str | os.PathLike | Volume,
    *,
    weights_name: str = DEFAULT_WEIGHTS,
    weights_dir: str | os.PathLike | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    series_uid: str | None = None,
    force: bool = False,
    threshold: float | None = None,
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

    Raises:
        inputs.NotHeadCT: if the content cannot be a head CT; the message says why.
        ValueError: if the input cannot be read, or the weights are absent or damaged.

    Example:
        >>> prediction = predict("scan.nii.gz")
        >>> prediction.volume_ml
        40.8
        >>> prediction.save("out")
    """
    check_threshold(threshold)
    volume = source
    if not isinstance(source, Volume):
        volume = inputs.read(source, spacing_mm, series_uid, force=force).volume
    return Predictor(weights_name, weights_dir, threshold)(volume)


def check_threshold(threshold: float | None) -> None:
    """Refuse a threshold outside [0, 1)."""
    if threshold is not None and not 0 <= threshold < 1:
        raise ValueError(f"`threshold` must lie in [0, 1). Received: {threshold}")


class Predictor:
    """A network, built once, that predicts many scans.

    Attributes:
        network: From `real_heads.load`.
        threshold: A voxel is hemorrhage above this probability.
    """

    def __init__(
        self,
        weights_name: str = DEFAULT_WEIGHTS,
        weights_dir: str | os.PathLike | None = None,
        threshold: float | None = None,
    ):
        """Load the weights.

        Args:
            weights_name: Name of the network's weights in the manifest.
            weights_dir: Folder of the weights; default `paths.weights()`.
            threshold: In [0, 1); None takes the one that was chosen for the weights.

        Raises:
            ValueError: if the weights are absent or damaged.
        """
        check_threshold(threshold)
        self.network = real_heads.load(weights_dir, weights_name)
        self.threshold = self.network.threshold if threshold is None else threshold

    def __call__(self, volume: Volume) -> Prediction:
        """Predict one scan.

        Raises:
            ValueError: if the scan has lost values that the network needs.
        """
        network = self.network
        # A case without truth; its ids are used nowhere.
        answer = network.segment(Case("scan", "scan", volume))
        probability = answer.hemorrhage
        knows = answer.knows_subtypes
        classes = labels.CLASSES if knows else (labels.ANY,)
        columns = [labels.index(name) for name in classes]
        calibrated = network.probabilities(answer)
        of_slices, of_scan = answer.scores, answer.scores.max(axis=0)
        if calibrated is not None:
            of_slices, of_scan = calibrated.slices, calibrated.scan
        return Prediction(
            volume=volume,
            probability=probability,
            mask=(probability > self.threshold).astype(np.uint8),
            subtypes=answer.label_map(self.threshold) if knows else None,
            threshold=self.threshold,
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
