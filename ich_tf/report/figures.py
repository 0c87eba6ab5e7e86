"""Pictures of slices with masks, as a radiologist looks at them."""

import os

import numpy as np
from PIL import Image, ImageDraw

from ich_tf import files

COLOUR = np.array([255, 64, 48], np.float32)
CELL = 256


def gray(hu: np.ndarray, level: float = 40, width: float = 80) -> np.ndarray:
    """A slice or slices in a display window.

    Args:
        hu: Any shape, Hounsfield units.
        level: Centre of the window.
        width: Width of the window.

    Returns:
        The same shape, uint8.
    """
    scaled = (hu - (level - width / 2)) / width
    return (np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def overlay(hu: np.ndarray, mask: np.ndarray, **window: float) -> np.ndarray:
    """A slice with the outline of a mask.

    Args:
        hu: (h, w), Hounsfield units.
        mask: (h, w), non-zero is hemorrhage.
        **window: `level` and `width` of the display window.

    Returns:
        (h, w, 3), uint8.
    """
    from scipy import ndimage

    picture = np.repeat(gray(hu, **window)[..., np.newaxis], 3, axis=-1)
    mask = np.asarray(mask, bool)
    outline = ndimage.binary_dilation(mask) & ~mask
    picture[outline] = COLOUR
    tinted = 0.75 * picture[mask] + 0.25 * COLOUR
    picture[mask] = tinted.astype(np.uint8)
    return picture


def montage(
    path: str | os.PathLike, hu: np.ndarray, mask: np.ndarray, columns: int = 6
) -> None:
    """Write all slices with the outline of a mask as one picture.

    Args:
        path: The PNG file.
        hu: (z, h, w), Hounsfield units.
        mask: (z, h, w).
        columns: Slices beside each other.
    """
    rows = -(-len(hu) // columns)
    sheet = Image.new("RGB", (columns * CELL, rows * CELL))
    draw = ImageDraw.Draw(sheet)
    for number in range(len(hu)):
        picture = Image.fromarray(overlay(hu[number], mask[number]))
        picture.thumbnail((CELL, CELL))
        corner = (number % columns * CELL, number // columns * CELL)
        sheet.paste(picture, corner)
        draw.text((corner[0] + 6, corner[1] + 4), str(number + 1), fill="yellow")
    with files.atomic(path) as partial:
        sheet.save(partial)


def slice_overlays(
    folder: str | os.PathLike, hu: np.ndarray, mask: np.ndarray
) -> list[str]:
    """Write a picture of each slice that has a mask; return the file names."""
    names = []
    for number in np.flatnonzero(np.any(mask, axis=(1, 2))):
        name = f"slice-{number + 1:03d}.png"
        with files.atomic(os.path.join(folder, name)) as partial:
            Image.fromarray(overlay(hu[number], mask[number])).save(partial)
        names.append(name)
    return names
