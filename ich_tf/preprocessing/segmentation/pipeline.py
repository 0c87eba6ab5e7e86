"""Pipelines of crops: static shapes, bounded memory, repeatable.

Every batch is a pure function of the seed and the step, so a run that was killed can
resume at any step. `tensor_pipeline` does the same without Python.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ich_tf import arrays
from ich_tf.preprocessing import host_batches
from ich_tf.preprocessing.segmentation.slices import Slices

# Worker processes import this module, and do without TensorFlow.
if TYPE_CHECKING:
    import tensorflow as tf

Augment = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Crops:
    """All crops that training may draw, by slice and corner.

    Attributes:
        slices: The slices they are cut from.
        tile: Side of a crop in pixels.
        places: (n, 3), int32: slice, first row, first column.
        has_lesion: (n,), bool: whether a crop holds any hemorrhage.
    """

    slices: Slices
    tile: int
    places: np.ndarray
    has_lesion: np.ndarray

    def __len__(self) -> int:
        """Number of crops."""
        return len(self.places)

    @functools.cached_property
    def lesion_chances(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of crops with hemorrhage and their chances, equal for every case."""
        lesion = np.flatnonzero(self.has_lesion)
        cases = np.array(self.slices.case_ids)[self.places[lesion, 0]]
        _, owner, sizes = np.unique(cases, return_inverse=True, return_counts=True)
        chances = 1 / sizes[owner]
        return lesion, chances / chances.sum()


CROPS = ("all", "lesion", "hssayeni2020_jpg")
"""Rules for the crops of a slice, see `crops`."""


def crops(
    slices: Slices,
    corners: np.ndarray,
    tile: int,
    keep: str = "all",
    *,
    training: bool = True,
) -> Crops:
    """List the crops of every slice at the given corners.

    Args:
        slices: The slices.
        corners: (n, 2), first row and column of each tile (`TileGrid.positions`).
        tile: Side of a crop in pixels.
        keep: "all". "lesion": crops with blood only (the published code of [2] for
            NIfTI files; its network never sees a crop without blood).
            "hssayeni2020_jpg": for training the crops with blood of bleeding slices
            and all crops of slices without, for validation the crops with blood only
            (the published code of [2] for JPG files).
        training: Whether the crops train or validate.

    Raises:
        ValueError: if `keep` is unknown or nothing is left.

    Reference:
        Hssayeni et al. 2020, doi:10.3390/data5010014, and its two public codes.
    """
    if keep not in CROPS:
        raise ValueError(f"Unknown crops {keep!r}. Known: {', '.join(CROPS)}")
    places, has_lesion, bleeding = [], [], []
    for number, mask in enumerate(slices.mask):
        bleeding += [mask.any()] * len(corners)
        for row, column in corners:
            places.append((number, row, column))
            has_lesion.append(mask[row : row + tile, column : column + tile].any())
    places, has_lesion = np.array(places, np.int32), np.array(has_lesion, bool)
    kept = {
        "all": np.ones_like(has_lesion),
        "lesion": has_lesion,
        "hssayeni2020_jpg": has_lesion | (training & ~np.array(bleeding, bool)),
    }[keep]
    if not kept.any():
        part = "train on" if training else "validate with"
        raise ValueError(f"No crop is left to {part}: no slice holds hemorrhage.")
    return Crops(slices, tile, places[kept], has_lesion[kept])


def batch_indices(
    crops: Crops, step: int, batch: int, seed: int, lesion_share: float | None = None
) -> np.ndarray:
    """(batch,) indices into the crops for one step.

    Without `lesion_share`, each epoch is a new permutation of all crops (the last,
    incomplete batch is dropped). With it, that share of every batch is drawn from
    the crops with hemorrhage and the rest from those without; every case has the same
    chance to give a crop with hemorrhage, so that small lesions are seen as often as
    large ones.
    """
    if lesion_share is None:
        epoch, position = divmod(step, steps_per_epoch(crops, batch))
        order = _order(len(crops), seed, epoch)
        return np.resize(order, max(batch, len(crops)))[position * batch :][:batch]
    generator = np.random.default_rng([seed, step])
    lesion, chances = crops.lesion_chances
    other = np.flatnonzero(~crops.has_lesion)
    count = lesions_of_a_batch(crops, batch, lesion_share)
    picked = []
    if count:
        picked.append(generator.choice(lesion, count, p=chances))
    picked += [generator.choice(other, batch - count)] if count < batch else []
    return np.concatenate(picked)


@functools.lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The crops of an epoch in their order; every step of the epoch takes its part."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def lesions_of_a_batch(crops: Crops, batch: int, lesion_share: float) -> int:
    """Number of crops with hemorrhage; all or none if there are no others."""
    if crops.has_lesion.all():
        return batch
    return round(batch * lesion_share) if crops.has_lesion.any() else 0


def steps_per_epoch(crops: Crops, batch: int) -> int:
    """Whole batches in one pass over the crops; one at least."""
    return max(1, len(crops) // batch)


def crop_batch(
    crops: Crops,
    indices: np.ndarray,
    to_channels: Callable[[np.ndarray], np.ndarray],
    augment: Augment | None = None,
    seeds: np.ndarray | None = None,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut, window and augment a batch of crops.

    Args:
        crops: The crops.
        indices: (batch,) which of them.
        to_channels: HU (h, w) to float32 (h, w, channels) in [0, 1].
        augment: Changes image and mask together, given a seed.
        seeds: (batch,) seeds of the augmentation.
        out: Where to write the batch; None takes new memory.

    Returns:
        Images (batch, tile, tile, channels) and masks (batch, tile, tile, 1), float32.

    Raises:
        ValueError: if `out` has other shapes.
    """
    for position, index in enumerate(indices):
        number, row, column = crops.places[index]
        window = (
            number,
            slice(row, row + crops.tile),
            slice(column, column + crops.tile),
        )
        image = to_channels(crops.slices.hu[window])
        mask = np.asarray(crops.slices.mask[window])
        if augment is not None:
            image, mask = augment(image, mask, int(seeds[position]))
        if out is None:
            shape = (len(indices), crops.tile, crops.tile)
            out = arrays.new_batch(shape, image.shape[-1])
        arrays.put(out[0][position], image)
        arrays.put(out[1][position], mask[..., np.newaxis])
    return out


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingCrops:
    """Makes the training batch of a step, in any thread or process.

    The attributes are the arguments of `training_batches`.
    """

    crops: Crops
    to_channels: Callable[[np.ndarray], np.ndarray]
    batch: int
    seed: int
    lesion_share: float | None
    augment: Augment | None

    def __call__(self, step: int, out: tuple[np.ndarray, np.ndarray]) -> None:
        """Write images and masks."""
        indices = batch_indices(
            self.crops, step, self.batch, self.seed, self.lesion_share
        )
        generator = np.random.default_rng([self.seed, 1, step])
        seeds = generator.integers(2**31, size=self.batch)
        crop_batch(self.crops, indices, self.to_channels, self.augment, seeds, out)


def training_batches(
    crops: Crops,
    to_channels: Callable[[np.ndarray], np.ndarray],
    *,
    channels: int,
    batch: int,
    first_step: int,
    last_step: int,
    seed: int,
    lesion_share: float | None = None,
    augment: Augment | None = None,
) -> "tf.data.Dataset":
    """Batches of steps `first_step` to `last_step` - 1 as a tf.data.Dataset."""
    load = TrainingCrops(crops, to_channels, batch, seed, lesion_share, augment)
    shape = (batch, crops.tile, crops.tile)
    return host_batches.of_steps(load, first_step, last_step, shape, channels)


def validation_batches(
    crops: Crops,
    to_channels: Callable[[np.ndarray], np.ndarray],
    *,
    channels: int,
    batch: int,
    limit: int | None = None,
) -> "tf.data.Dataset":
    """The crops in order, in whole batches; `limit` takes evenly spread ones.

    Crops that fill no whole batch at the end are left out.

    With fewer crops than a batch holds, the crops are repeated to fill one.

    Threads make the batches: without augmentation they are quick to make, and they are
    read again after every epoch.
    """
    chosen = spread(crops, batch, limit)

    def load(step, out):
        crop_batch(crops, chosen[step], to_channels, out=out)

    shape = (batch, crops.tile, crops.tile)
    return host_batches.of_steps(load, 0, len(chosen), shape, channels, threads=True)


def spread(crops: Crops, batch: int, limit: int | None) -> np.ndarray:
    """(batches, batch) indices of evenly spread crops."""
    count = min(limit or len(crops), len(crops))
    chosen = np.linspace(0, len(crops) - 1, count).astype(int)
    batches = max(1, count // batch)
    return np.resize(chosen, max(batch, count))[: batches * batch].reshape(-1, batch)
