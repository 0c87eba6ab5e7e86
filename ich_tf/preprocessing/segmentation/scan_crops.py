"""Training crops of painted scans: three neighbouring slices and their subtypes.

A batch is a function of the seed and the step, so a resumed training sees the batches
that it would have seen.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

Augment = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class CropSource:
    """Scans that crops are drawn from.

    Attributes:
        scans: From `synthetic.painted_scans`: `images`, `subtypes`, `bounds`.
        bleeding: Slices with hemorrhage, by subtype: (n,) numbers each.
        clean: Slices of the inside of the skull without.
    """

    scans: object
    bleeding: tuple[np.ndarray, ...]
    clean: np.ndarray


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How batches are drawn.

    Attributes:
        crop: Side in pixels.
        batch: Crops of a batch.
        channels: Neighbouring slices, odd.
        bleeding_share: Share of the crops that show hemorrhage; subtypes equally often.
        alone_share: Share of the crops whose channels all hold the middle slice, as for
            a slice without neighbours.
    """

    crop: int
    batch: int
    channels: int = 3
    bleeding_share: float = 0.65
    alone_share: float = 0.15


def source(scans, classes: int = 5, least_pixels: int = 12) -> CropSource:
    """Sort the slices of stored scans.

    Args:
        scans: The scans.
        classes: Number of subtypes.
        least_pixels: A slice with fewer pixels of a subtype does not count as one
            with it.
    """
    bleeding = [[] for _ in range(classes)]
    clean = []
    for number in range(len(scans.subtypes)):
        counts = np.bincount(scans.subtypes[number].ravel(), minlength=classes + 1)
        for k in np.flatnonzero(counts[1:] >= least_pixels):
            bleeding[k].append(number)
        if counts[1:].sum() == 0:
            clean.append(number)
    return CropSource(
        scans,
        tuple(np.array(numbers, int) for numbers in bleeding),
        np.array(clean, int),
    )


def batches(
    main: CropSource,
    others: Sequence[tuple[CropSource, float]],
    recipe: Recipe,
    augment: Augment | None,
    seed: int,
    first_step: int,
    last_step: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the batches of some steps.

    Args:
        main: Where crops come from.
        others: Further sources, each with its share of the crops.
        recipe: How they are drawn.
        augment: What changes an image with its truth; None for nothing.
        seed: Seed of the draws.
        first_step: The first of the steps.
        last_step: The one after the last.

    Yields:
        Images (batch, crop, crop, channels), float32 in [0, 1], and subtypes (batch,
        crop, crop, 1), float32: 0, or 1 to 5.
    """
    for step in range(first_step, last_step):
        rng = np.random.default_rng([seed, step])
        samples = [
            _sample(main, others, recipe, augment, rng) for _ in range(recipe.batch)
        ]
        images, truths = zip(*samples, strict=True)
        yield np.stack(images), np.stack(truths)[..., np.newaxis].astype(np.float32)


def _sample(main, others, recipe: Recipe, augment, rng):
    chosen = _chosen(main, others, rng.random()) if others else main
    subtype = None
    if rng.random() < recipe.bleeding_share:
        subtype = int(rng.integers(len(chosen.bleeding)))
    pool = chosen.clean if subtype is None else chosen.bleeding[subtype]
    if not pool.size:
        pool = np.arange(len(chosen.scans.images))
    number = int(rng.choice(pool))
    row, column = _corner(chosen.scans.subtypes[number], subtype, recipe.crop, rng)
    image, truth = crop(chosen.scans, number, row, column, recipe.crop, recipe.channels)
    if rng.random() < recipe.alone_share:
        image[...] = image[..., recipe.channels // 2, np.newaxis]
    if augment is not None:
        image, truth = augment(image, truth, int(rng.integers(2**31)))
    return image, truth


def _chosen(main, others, place: float):
    """The source that a place in [0, 1) falls to; the main one has what is left."""
    for other, share in others:
        if place < share:
            return other
        place -= share
    return main


def _corner(truth: np.ndarray, subtype: int | None, side: int, rng):
    """First row and column of a crop that shows some of the subtype."""
    room = truth.shape[0] - side
    if subtype is not None:
        rows, columns = np.nonzero(truth == subtype + 1)
        if rows.size:
            place = rng.integers(rows.size)
            inset = rng.integers(side // 6, side - side // 6, 2)
            corner = np.array([rows[place], columns[place]]) - inset
            return np.clip(corner, 0, room)
    return rng.integers(0, room + 1, 2)


def crop(scans, number: int, row: int, column: int, side: int, channels: int):
    """One crop with its neighbours.

    Returns:
        Image (side, side, channels), float32 in [0, 1], and subtypes (side, side).
    """
    first, last = scans.bounds(number)
    offsets = np.arange(channels) - channels // 2
    window = slice(row, row + side), slice(column, column + side)
    places = np.clip(number + offsets, first, last)
    image = np.stack([scans.images[place][window] for place in places], axis=-1)
    truth = np.array(scans.subtypes[number][window])
    return image.astype(np.float32) / 255, truth
