"""Slices of the JPG layout of ct-ich: 650x650, 8 bit, brain window.

Deviation from the reference code: the 640-pixel interior is resampled to 512, so
that both layouts are cut into the same tiles.
"""

import io
import os
import pathlib

import numpy as np
from PIL import Image

from ich_tf.io import source
from ich_tf.io.source import InputError

SIDE = 650
BORDER = 5
INTERIOR = SIDE - 2 * BORDER
SIZE = 512
MAX_FILE_BYTES = 2**25
MASK_SUFFIX = "_HGE_Seg.jpg"
BRAIN_WINDOW = (-20.0, 100.0)
"""Level 40, width 120 (Hssayeni et al.); nominal, single patients differ."""

# Assumption: no source states the bone window; level 700, width 3200 is a usual one.
BONE_WINDOW = (-900.0, 2300.0)
_QUALITY = 95


def _open(path: pathlib.Path) -> tuple[np.ndarray, str]:
    """The 640-pixel interior, 0 to 255, and the comment of the file."""
    source.check_file(path, MAX_FILE_BYTES)
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            # Checked before a pixel is decoded.
            if image.size != (SIDE, SIDE):
                raise InputError(
                    f"{path}: must be {SIDE}x{SIDE} pixels, not "
                    f"{image.size[0]}x{image.size[1]}."
                )
            comment = image.info.get("comment", b"")
            pixels = np.asarray(image.convert("L"), np.float32)
    except InputError:
        raise
    # Pillow raises every kind of exception on damaged pictures.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: not a readable JPEG ({reason}).") from error
    interior = slice(BORDER, BORDER + INTERIOR)
    text = comment if isinstance(comment, str) else comment.decode("ascii", "replace")
    return pixels[interior, interior], text


def _resampled(image: np.ndarray, size: int) -> np.ndarray:
    """Square float image at another size; area-weighted when it shrinks."""
    way = Image.Resampling.BOX if size < len(image) else Image.Resampling.BILINEAR
    resized = Image.fromarray(np.ascontiguousarray(image, np.float32)).resize(
        (size, size), way
    )
    return np.asarray(resized, np.float32)


def read_slice(path: str | os.PathLike) -> tuple[np.ndarray, str]:
    """Read a slice of the folder `brain`.

    Returns:
        (512, 512) HU, saturated at -20 and 100; and the file's comment.

    Raises:
        ValueError: if the file is no JPEG of 650x650 pixels.
    """
    values, comment = _open(pathlib.Path(path))
    low, high = BRAIN_WINDOW
    return _resampled(values, SIZE) / 255 * (high - low) + low, comment


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """Read a mask `<n>_HGE_Seg.jpg`.

    Returns:
        (512, 512), uint8, 1 where more than half of the pixel is hemorrhage.

    Raises:
        ValueError: if the file is no JPEG of 650x650 pixels.
    """
    values, _ = _open(pathlib.Path(path))
    share = _resampled((values > 127).astype(np.float32), SIZE)
    return (share > 0.5).astype(np.uint8)


def _encode(interior: np.ndarray, origin: str) -> bytes:
    """JPEG of an interior of 640 pixels with values 0 to 255."""
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    inside = slice(BORDER, BORDER + INTERIOR)
    pixels[inside, inside] = np.rint(np.clip(interior, 0, 255))
    buffer = io.BytesIO()
    options = {"comment": origin.encode("ascii", "replace")} if origin else {}
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY, **options)
    return buffer.getvalue()


def encode_slice(hu: np.ndarray, window: tuple[float, float], origin: str) -> bytes:
    """JPEG of a slice.

    Args:
        hu: (side, side), Hounsfield units.
        window: (low, high) HU that become 0 and 255.
        origin: Goes to the comment of the file.

    Raises:
        ValueError: if the slice is not square.
    """
    if hu.ndim != 2 or hu.shape[0] != hu.shape[1]:
        raise ValueError(f"the JPG layout needs square slices, not {hu.shape}.")
    low, high = window
    values = (np.clip(hu, low, high) - low) / (high - low) * 255
    return _encode(_resampled(values, INTERIOR), origin)


def encode_mask(mask: np.ndarray, origin: str) -> bytes:
    """JPEG of a (side, side) mask, 0 and 255."""
    share = _resampled((mask > 0).astype(np.float32), INTERIOR)
    return _encode((share > 0.5) * 255.0, origin)
