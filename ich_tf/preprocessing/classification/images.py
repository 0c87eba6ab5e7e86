"""Slices as the classifier sees them: three windows, one size, channels in [0, 1]."""

from collections.abc import Sequence

import numpy as np

from ich_tf.preprocessing import windows
from ich_tf.preprocessing.augmentations import MEAN, STANDARD_DEVIATION

__all__ = ["MEAN", "STANDARD_DEVIATION", "WINDOWS", "slice_images"]

WINDOWS = tuple(windows.WINDOWS["classification"].values())


def slice_images(
    hu: np.ndarray,
    size: int,
    shown: Sequence[windows.Window] = WINDOWS,
    dtype: type[np.float32] | type[np.uint8] = np.float32,
) -> np.ndarray:
    """Slices through three windows, resized bilinearly.

    Args:
        hu: (z, y, x), Hounsfield units.
        size: Side of the images in pixels.
        shown: The window of each channel: brain, subdural, soft tissue.
        dtype: float32, or uint8 for what is stored.

    Returns:
        (z, size, size, 3), in [0, 1]; or 0 to 255, at most half a step off.

    Reference:
        The 2021 report, section III-B-2: windows first, linear interpolation after.
    """
    import cv2

    made = np.empty((len(hu), size, size, len(shown)), dtype)
    clipped = np.empty(hu.shape[1:], np.float32)
    for image, plane in zip(made, hu, strict=True):
        channels = []
        for window in shown:
            low, high = window.bounds_hu
            # Scaling commutes with the interpolation, clipping does not.
            np.clip(plane, low, high, out=clipped)
            channel = cv2.resize(clipped, (size, size), interpolation=cv2.INTER_LINEAR)
            if dtype == np.uint8:
                step = window.width / 255
                channel = cv2.convertScaleAbs(channel, None, 1 / step, -low / step)
            else:
                channel -= low
                channel /= window.width
            channels.append(channel)
        cv2.merge(channels, image)
    return made
