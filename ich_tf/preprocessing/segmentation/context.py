"""Images of one slice with its neighbours, cut to the head.

A network that sees one slice cannot distinguish a vessel, which neighbouring slices
continue elsewhere, from blood. Its images have the neighbours as further channels.
"""

import numpy as np

PIXEL_MM = 0.9375
"""Side of a pixel where the spacing is known: 240 mm over 256 pixels."""
STEP_MM = 5.0
"""Distance of the neighbours where the spacing is known."""
MULTIPLE = 16
"""Sides of the cut images are multiples of this."""

HEAD_HU = 0.0
"""Pixels above this belong to the head."""
MARGIN = 6
"""Pixels around the head; rows and columns with no more dense pixels are air."""
SMALLEST_SIDE = 64


def neighbours(images: np.ndarray, count: int, step: int = 1) -> np.ndarray:
    """Put each slice's neighbours into its channels.

    Args:
        images: (z, h, w), one value per pixel, from foot to head.
        count: Number of channels, odd; the slice itself is in the middle.
        step: Slices from one channel to the next.

    Returns:
        (z, h, w, count); beyond the ends of the scan the last slice is repeated.

    Raises:
        ValueError: if `count` is not odd.
    """
    if count < 1 or count % 2 == 0:
        raise ValueError(f"`count` must be odd. Received: {count}")
    depth = len(images)
    offsets = step * (np.arange(count) - count // 2)
    places = np.clip(np.arange(depth)[:, None] + offsets, 0, depth - 1)
    return np.moveaxis(images[places], 1, -1)


def step_of(spacing_mm: tuple[float, float, float] | None) -> int:
    """Slices to the neighbour that lies about `STEP_MM` away; 1 without spacing."""
    if spacing_mm is None:
        return 1
    return max(1, round(STEP_MM / spacing_mm[0]))


def side_of(
    height: int, width: int, spacing_mm: tuple[float, float, float] | None, size: int
) -> int:
    """Pixels of a square slice's side at the size the network knows.

    Args:
        height: Height of the slice, pixels.
        width: Width of the slice, pixels.
        spacing_mm: (z, y, x), millimetres, or None.
        size: The side without spacing, pixels.

    Returns:
        `size` without spacing, else the field of view over `PIXEL_MM`; between half
        of `size` and twice it.
    """
    if spacing_mm is None:
        return size
    side = max(height * spacing_mm[1], width * spacing_mm[2]) / PIXEL_MM
    return int(np.clip(round(side), size // 2, 2 * size))


def head_box(hu: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold the head in all slices, with a margin.

    Args:
        hu: (z, side, side), Hounsfield units.

    Returns:
        Rows and columns. Their lengths are multiples of `MULTIPLE`, and may exceed the
        picture: `cut` fills with air.
    """
    # A head holder is thin: in most of its rows it covers few pixels.
    dense = np.any(hu > HEAD_HU, axis=0)
    return tuple(_span(dense.sum(axis=axis) > MARGIN) for axis in (1, 0))


def _span(taken: np.ndarray) -> slice:
    places = np.flatnonzero(taken)
    if not places.size:
        places = np.array([0, len(taken) - 1])
    first, last = places[0] - MARGIN, places[-1] + 1 + MARGIN
    first, last = max(0, first), min(len(taken), last)
    length = max(last - first, SMALLEST_SIDE)
    length = -(-length // MULTIPLE) * MULTIPLE
    first = max(0, min(first, len(taken) - length))
    return slice(int(first), int(first + length))


def cut(images: np.ndarray, box: tuple[slice, slice], fill: float) -> np.ndarray:
    """Cut a box out of (z, h, w) slices; what lies beyond them is `fill`."""
    crop = np.full(
        (len(images), *(part.stop - part.start for part in box)), fill, images.dtype
    )
    inside = images[:, box[0], box[1]]
    crop[:, : inside.shape[1], : inside.shape[2]] = inside
    return crop


def paste(
    answers: np.ndarray, box: tuple[slice, slice], side: int, fill: np.ndarray
) -> np.ndarray:
    """Put answers for a box back into whole slices.

    Args:
        answers: (z, rows, columns, classes).
        box: From `head_box`.
        side: Side of the whole slices.
        fill: (classes,), the answer outside the box.

    Returns:
        (z, side, side, classes).
    """
    whole = np.empty((len(answers), side, side, answers.shape[-1]), answers.dtype)
    whole[:] = fill
    rows, columns = (min(side, part.stop) - part.start for part in box)
    whole[:, box[0], box[1]] = answers[:, :rows, :columns]
    return whole
