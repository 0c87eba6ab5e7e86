"""Batches of whole scans for the sequence model, in NumPy.

Scans of like length share a batch, so that little is padded. Every batch is a pure
function of the seed and the step: a run that was killed resumes with what it would
have seen.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

# Padded lengths are multiples of this: few shapes to compile for, and none that an
# accelerator would pad further.
MULTIPLE = 8

Inputs = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Scans:
    """What the slice model says of every slice of many scans.

    Attributes:
        features: (n, features), float32, may be memory-mapped; the slices of a scan
            follow each other, foot to head.
        probabilities: (n, classes), float32.
        lengths: (scans,), number of slices of each.
        labels: (n, classes), 0 or 1; None if unknown.
    """

    features: np.ndarray
    probabilities: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray | None = None

    def __post_init__(self):
        """Refuse arrays that do not fit each other.

        Raises:
            ValueError: if a scan has no slice or the arrays have other lengths.
        """
        if not len(self.lengths) or np.min(self.lengths) < 1:
            raise ValueError(
                "`lengths` must hold one scan or more, each with a slice or more. "
                f"Received: {self.lengths}"
            )
        counts = {
            "lengths": int(np.sum(self.lengths)),
            "features": len(self.features),
            "probabilities": len(self.probabilities),
        }
        if self.labels is not None:
            counts["labels"] = len(self.labels)
        if len(set(counts.values())) > 1:
            raise ValueError(f"Arrays of unequal numbers of slices: {counts}.")

    def __len__(self) -> int:
        """Number of scans."""
        return len(self.lengths)

    def rows(self, scan: int) -> slice:
        """The slices of a scan within the arrays."""
        end = int(np.sum(self.lengths[: scan + 1]))
        return slice(end - int(self.lengths[scan]), end)


def steps_per_epoch(scans: Scans, batch: int) -> int:
    """Batches that hold every scan once; the last one may have fillers."""
    return -(-len(scans) // batch)


def epoch_batches(
    lengths: np.ndarray, batch: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Indices of the scans of each batch of an epoch.

    Every scan is in one batch, with others of similar padded length; which ones, and
    the order of the batches, change with the epoch. One batch has the remaining scans.

    Args:
        lengths: (scans,), number of slices of each.
        batch: Scans of a batch.
        seed: Seed of all epochs.
        epoch: From 0.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    padded = -(-np.asarray(lengths)[order] // MULTIPLE)
    order = order[np.argsort(padded, kind="stable")]
    groups = [order[first : first + batch] for first in range(0, len(order), batch)]
    return [groups[number] for number in generator.permutation(len(groups))]


def scan_batch(
    scans: Scans, indices: np.ndarray, batch: int
) -> tuple[Inputs, np.ndarray | None, np.ndarray]:
    """Pad scans on the right to one batch.

    Args:
        scans: The scans.
        indices: Which of them, `batch` or fewer. Fewer: the first is repeated, with
            weight 0, so that batches have one size and no row without slices.
        batch: Rows of the batch.

    Returns:
        Inputs of the sequence model; labels (batch, slices, classes), float32, or None;
        weights (batch, slices), float32: 1 / (slices of the scan) at its slices, 0 at
        padding and fillers. `slices` is the smallest multiple of `MULTIPLE` that holds
        the longest scan.
    """
    filled = np.concatenate([indices, np.repeat(indices[:1], batch - len(indices))])
    lengths = np.asarray(scans.lengths)[filled]
    slices = -(-int(lengths.max()) // MULTIPLE) * MULTIPLE
    places = [scans.rows(scan) for scan in filled]

    def padded(values: np.ndarray) -> np.ndarray:
        block = np.zeros((batch, slices, values.shape[1]), np.float32)
        for row, place in zip(block, places, strict=True):
            row[: place.stop - place.start] = values[place]
        return block

    mask = np.arange(slices) < lengths[:, np.newaxis]
    weights = mask / lengths[:, np.newaxis].astype(np.float32)
    weights[len(indices) :] = 0
    inputs = {
        "features": padded(scans.features),
        "probabilities": padded(scans.probabilities),
        "mask": mask,
    }
    labels = None if scans.labels is None else padded(scans.labels)
    return inputs, labels, weights.astype(np.float32)


def training_batches(
    scans: Scans, *, batch: int, first_step: int, last_step: int, seed: int
) -> Iterator[tuple[Inputs, np.ndarray, np.ndarray]]:
    """Batches of steps `first_step` to `last_step` - 1, see `scan_batch`.

    Raises:
        ValueError: if the scans have no labels.
    """
    if scans.labels is None:
        raise ValueError("Scans without labels cannot be trained on.")
    steps, groups, current = steps_per_epoch(scans, batch), [], None
    for step in range(first_step, last_step):
        epoch, position = divmod(step, steps)
        if epoch != current:
            groups = epoch_batches(scans.lengths, batch, seed, epoch)
            current = epoch
        yield scan_batch(scans, groups[position], batch)


def by_scan(
    scans: Scans, batch: int, predict: Callable[[Inputs], np.ndarray]
) -> list[np.ndarray]:
    """Predict every scan, padded and batched, and take the padding off again.

    Args:
        scans: The scans.
        batch: Scans at a time.
        predict: From a batch's inputs to (batch, slices, classes), as a Keras model's
            `predict_on_batch`.

    Returns:
        (slices, classes) of each scan, in the order of the scans.
    """
    answers: list = [None] * len(scans)
    for indices in epoch_batches(scans.lengths, batch, 0, 0):
        inputs, _, _ = scan_batch(scans, indices, batch)
        outputs = np.asarray(predict(inputs))
        for index, output in zip(indices, outputs[: len(indices)], strict=True):
            answers[index] = output[: scans.lengths[index]]
    return answers
