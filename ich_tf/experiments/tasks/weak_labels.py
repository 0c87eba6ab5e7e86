"""Real slices with hemorrhage as training data, without their masks.

Weights trained without real masks outline them, and labels of slices decide which
subtypes are kept: what self-training calls a noisy student.

Reference:
    Xie et al. 2020, Self-training with Noisy Student (arXiv:1911.04252).
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ich_tf.experiments.runner import Run
from ich_tf.models import weights
from ich_tf.prediction import detection, real_heads
from ich_tf.preprocessing.segmentation import slices
from ich_tf.synthetic import landmarks
from ich_tf.synthetic.painted_scans import Head

SHARE = 0.25
"""Share of the training crops that come from these scans."""
THRESHOLD = 0.5
LEAST_PIXELS = 60
"""Marked in every slice with hemorrhage, the most probable ones."""


def patients(run: Run) -> list[str]:
    """Patients with hemorrhage whose slices train this row; judges are left out."""
    if run.experiment.weak_labels_by is None:
        return []
    return [
        name
        for name, labels in zip(
            run.dataset.case_ids(), run.dataset.scan_labels(), strict=True
        )
        if name not in detection.JUDGES and labels.any()
    ]


def marked_by(run: Run) -> list:
    """What decides the marks: checksum of the weights, threshold, least pixels.

    Raises:
        ValueError: if the weights are not there.
    """
    _, entry = weights.shipped(run.experiment.weak_labels_by, run.folders.weights)
    return [entry["sha256"], THRESHOLD, LEAST_PIXELS]


def marked_heads(run: Run, names: Sequence[str]) -> Iterator[Head]:
    """Scans with the subtypes that the row's weights mark in them.

    Args:
        run: The run; its row names the weights.
        names: From `patients`.
    """
    marker = real_heads.load(run.folders.weights, run.experiment.weak_labels_by)
    for name in names:
        case = run.dataset.load(name)
        small = slices.at_size(case, landmarks.GRID)
        answer = marker.segment(small)
        yield name, small.volume.hu, allowed_subtypes(answer.subtypes, case.labels)


def allowed_subtypes(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The most probable subtype of each pixel that its slice's labels allow.

    Args:
        probabilities: (z, y, x, 6), of background and the subtypes.
        labels: (z, 6), of the slices, in the order of `labels.CLASSES`.

    Returns:
        (z, y, x), uint8: 0, or 1 to 5 where the allowed subtypes together are probable
        and at the `LEAST_PIXELS` most probable pixels of a slice with hemorrhage.
    """
    allowed = np.asarray(labels)[:, np.newaxis, np.newaxis, :-1]
    shares = probabilities[..., 1:] * allowed
    together = shares.sum(axis=-1)
    by_slice = together.reshape(len(together), -1)
    least = min(LEAST_PIXELS, by_slice.shape[1])
    lowest = np.partition(by_slice, -least, axis=1)[:, -least]
    limits = np.minimum(lowest, THRESHOLD)[:, np.newaxis, np.newaxis]
    marked = (together >= limits) & (together > 0)
    return np.where(marked, 1 + shares.argmax(axis=-1), 0).astype(np.uint8)
