"""Patches of whole volumes: where they are drawn, and cut out of stored slices.

Every batch is a pure function of the seed and the step, as in `pipeline`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from ich_tf import arrays
from ich_tf.preprocessing.segmentation.slices import Slices
from ich_tf.volume import AIR_HU


@dataclasses.dataclass(frozen=True, eq=False)
class Volumes:
    """The volumes whose slices all lie in `slices`, one after the other.

    Attributes:
        slices: The slices, memory-mapped.
        first: (n + 1,), the first slice of each volume and the end of the last.
        bleeding: (n,), bool: whether a volume holds any hemorrhage.
    """

    slices: Slices
    first: np.ndarray
    bleeding: np.ndarray

    def __len__(self) -> int:
        """Number of volumes."""
        return len(self.bleeding)

    def mask(self, number: int) -> np.ndarray:
        """(z, h, w), uint8, the mask of one volume."""
        return self.slices.mask[self.first[number] : self.first[number + 1]]


def volumes(slices: Slices) -> Volumes:
    """Find the volumes in stored slices.

    Args:
        slices: All slices of each case (`slices.all_slices`).
    """
    ids = np.array(slices.case_ids)
    starts = np.flatnonzero(ids[1:] != ids[:-1]) + 1
    first = np.array([0, *starts, len(ids)])
    bleeding = [slices.mask[a:b].any() for a, b in zip(first, first[1:], strict=False)]
    return Volumes(slices, first, np.array(bleeding, bool))


def draw(
    source: Volumes,
    patch: tuple[int, int, int],
    generator: np.random.Generator,
    lesion: bool,
) -> tuple[int, np.ndarray]:
    """Choose a patch: any, or one that holds a random voxel of hemorrhage.

    Every volume, or every volume with hemorrhage, has the same chance, so that small
    lesions are seen as often as large ones. Without any hemorrhage, `lesion` is
    ignored. An axis on which the patch is not smaller than the volume starts at 0.

    Args:
        source: The volumes.
        patch: (depth, height, width).
        generator: Decides.
        lesion: Whether the patch must hold hemorrhage.

    Returns:
        The volume's number and the patch's first (z, y, x).
    """
    candidates = np.flatnonzero(source.bleeding)
    lesion = lesion and len(candidates) > 0
    number = generator.choice(candidates) if lesion else generator.integers(len(source))
    mask = source.mask(number)
    size, last = np.array(patch), np.maximum(np.array(mask.shape) - patch, 0)
    low, high = np.zeros(3, int), last
    if lesion:
        place = generator.choice(np.flatnonzero(mask))
        voxel = np.array(np.unravel_index(place, mask.shape))
        low = np.clip(voxel - size + 1, 0, last)
        high = np.minimum(voxel, last)
    return int(number), generator.integers(low, high + 1)


def cut(
    source: Volumes, number: int, corner: np.ndarray, patch: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Hounsfield units and mask of a patch; what lies outside the volume is air.

    Returns:
        Two arrays of the patch's shape, float32 and uint8.
    """
    begin, end = source.first[number], source.first[number + 1]
    z, y, x = (int(value) for value in corner)
    depth, height, width = patch
    part = (
        slice(begin + z, min(begin + z + depth, end)),
        slice(y, y + height),
        slice(x, x + width),
    )
    hu = np.full(patch, AIR_HU, np.float32)
    mask = np.zeros(patch, np.uint8)
    patch_hu = source.slices.hu[part]
    inside = tuple(slice(0, length) for length in patch_hu.shape)
    hu[inside], mask[inside] = patch_hu, source.slices.mask[part]
    return hu, mask


def batch(
    source: Volumes,
    patch: tuple[int, int, int],
    to_channels: Callable[[np.ndarray], np.ndarray],
    *,
    size: int,
    step: int,
    seed: int,
    lesion_share: float,
    augment: Callable | None = None,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The batch of one step.

    Args:
        source: The volumes.
        patch: (depth, height, width).
        to_channels: HU to float32 (..., channels) in [0, 1].
        size: Patches of a batch.
        step: Number of the step.
        seed: Seed of the run.
        lesion_share: Chance of each patch to be drawn around hemorrhage.
        augment: Changes image and mask together, given a seed.
        out: Where to write the batch; None takes new memory.

    Returns:
        Images (size, depth, height, width, channels) and masks (..., 1), float32.

    Raises:
        ValueError: if `out` has other shapes.
    """
    generator = np.random.default_rng([seed, step])
    for number in range(size):
        lesion = bool(generator.random() < lesion_share)
        hu, mask = cut(source, *draw(source, patch, generator, lesion), patch)
        image = to_channels(hu)
        change = int(generator.integers(2**31))
        if augment is not None:
            image, mask = augment(image, mask, change)
        if out is None:
            out = arrays.new_batch((size, *patch), image.shape[-1])
        arrays.put(out[0][number], image)
        arrays.put(out[1][number], mask[..., np.newaxis])
    return out


@dataclasses.dataclass(frozen=True, eq=False)
class PatchBatches:
    """Makes the batch of a step, in any thread or process.

    The attributes are the arguments of `batch`.
    """

    source: Volumes
    patch: tuple[int, int, int]
    to_channels: Callable[[np.ndarray], np.ndarray]
    size: int
    seed: int
    lesion_share: float
    augment: Callable | None = None

    def __call__(self, step: int, out: tuple[np.ndarray, np.ndarray]) -> None:
        """Write images and masks."""
        batch(
            self.source,
            self.patch,
            self.to_channels,
            size=self.size,
            step=step,
            seed=self.seed,
            lesion_share=self.lesion_share,
            augment=self.augment,
            out=out,
        )
