"""Volumes as PNG data addresses that the viewer's script takes apart."""

import base64
import io
import math

import numpy as np
from PIL import Image

HU_OFFSET = 32768
"""Hounsfield units are coded as HU + 32768 = red * 256 + green."""

COMPRESSION = 2
"""Of PNG, in a third of the default's time: a page of 30 slices grows by a fifth."""


def columns(count: int) -> int:
    """Slices side by side in a sheet of so many.

    Browsers limit the sides of a picture, so the sheet is nearly square.
    """
    return math.ceil(math.sqrt(count))


def sheet(volume: np.ndarray) -> str:
    """All slices as one picture, row by row from the top left.

    Args:
        volume: (z, h, w) or (z, h, w, 3), uint8.

    Returns:
        A PNG data address. Places of the last row without a slice are 0.
    """
    depth, height, width, *colours = volume.shape
    across = columns(depth)
    down = -(-depth // across)
    padded = np.zeros((down * across, height, width, *colours), np.uint8)
    padded[:depth] = volume
    rows = padded.reshape(down, across, height, width, *colours).swapaxes(1, 2)
    return address(rows.reshape(down * height, across * width, *colours))


def hu_sheet(hu: np.ndarray) -> str:
    """Hounsfield units of all slices as one picture, exact to whole units.

    Args:
        hu: (z, h, w), Hounsfield units.
    """
    values = np.clip(np.rint(hu) + HU_OFFSET, 0, 65535).astype(np.uint16)
    channels = [values >> 8, values & 255, np.zeros_like(values)]
    return sheet(np.stack(channels, axis=-1).astype(np.uint8))


def address(picture: np.ndarray) -> str:
    """A picture as a PNG data address.

    Args:
        picture: (h, w) or (h, w, 3), uint8.
    """
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG", compress_level=COMPRESSION)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
