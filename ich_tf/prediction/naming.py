"""Which subtype a marked voxel has, decided with the marked voxels around it.

Voxel by voxel the most probable subtype changes within one collection. Probabilities
are therefore averaged over the marked neighbourhood, with a Gaussian whose standard
deviation is a thirty-second of the slice's width (7.5 mm of a field of view of 240 mm)
and one slice. In held-out painted scans, earlier weights named 0.72 of the found voxels
correctly, instead of 0.63 voxel by voxel. In 145 real slices of judges, 0.49 instead of
0.45 of the voxels that the present weights mark have a subtype that the slice's labels
allow. Wider Gaussians gained no more on real slices.
"""

import numpy as np

from ich_tf.prediction import lesions

_WIDTH_SHARE = 1 / 32
_SLICES = 1.0
_COARSE = 128
"""Pixels a side of the grid that is smoothed."""


def name_voxels(marked: np.ndarray, subtypes: np.ndarray) -> np.ndarray:
    """The most probable subtype of each marked voxel's neighbourhood.

    Args:
        marked: (z, y, x), bool.
        subtypes: (z, y, x, classes), float32: probabilities, the background first.

    Returns:
        (z, y, x), uint8: 0 where nothing is marked, else from 1 in the order of the
        classes.
    """
    from scipy import ndimage

    names = np.zeros(marked.shape, np.uint8)
    if not marked.any():
        return names
    side = max(marked.shape[1:])
    box = lesions.smallest_box(marked)
    inside, probabilities = marked[box], subtypes[box][..., 1:]
    height, width = inside.shape[1:]
    scale = min(1.0, _COARSE / side)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    coarse = [
        _resize(of_slice * where[..., np.newaxis], size)
        for of_slice, where in zip(probabilities, inside, strict=True)
    ]
    sigma = side * scale * _WIDTH_SHARE
    around = ndimage.gaussian_filter(
        np.stack(coarse), (_SLICES, sigma, sigma, 0), mode="constant"
    )
    for named, where, smooth in zip(names[box], inside, around, strict=True):
        whole = _resize(smooth, (width, height))
        named[where] = 1 + np.argmax(whole[where], axis=-1)
    return names


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (y, x, channels) to a width and height, by averaging where it shrinks."""
    import cv2

    shrinks = size[0] < image.shape[1] or size[1] < image.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    # By channel: OpenCV averages four at most.
    channels = [
        cv2.resize(channel, size, interpolation=how)
        for channel in np.moveaxis(image, -1, 0)
    ]
    return np.stack(channels, axis=-1)
