"""Slices as the classifier sees them: three windows, one size, channels in [0, 1]."""

from collections.abc import Sequence

import numpy as np

from ich_tf.preprocessing import windows

# Of the training images, section III-B-2 of the report; the network's first layer
# subtracts and divides by them.
MEAN = (0.1738, 0.1433, 0.1970)
STANDARD_DEVIATION = (0.3161, 0.2850, 0.3111)


WINDOWS = tuple(windows.WINDOWS["classification"].values())


def slice_images(
    hu: np.ndarray, size: int, shown: Sequence[windows.Window] = WINDOWS
) -> np.ndarray:
    """Slices through three windows, resized bilinearly.

    Args:
        hu: (z, y, x), Hounsfield units.
        size: Side of the images in pixels.
        shown: The window of each channel: brain, subdural, soft tissue.

    Returns:
        (z, size, size, 3), float32, in [0, 1].

    Reference:
        The 2021 report, section III-B-2: windows first, linear interpolation after.
    """
    import cv2

    made = np.empty((len(hu), size, size, len(shown)), np.float32)
    # One window of one slice at a time stays in the processor's cache.
    for image, plane in zip(made, hu, strict=True):
        for channel, window in enumerate(shown):
            scaled = windows.apply(plane, (window,))[..., 0]
            if scaled.shape != (size, size):
                scaled = cv2.resize(
                    scaled, (size, size), interpolation=cv2.INTER_LINEAR
                )
            image[..., channel] = scaled
    return made


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as uint8 from 0 to 255, at most 1/510 off."""
    return np.rint(images * 255).astype(np.uint8)
