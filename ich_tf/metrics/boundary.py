"""Distance between the outlines of two masks."""

import numpy as np


def mean_distance_mm(
    truth: np.ndarray, predicted: np.ndarray, pixel_mm: float
) -> float | None:
    """Average symmetric distance of two outlines in a slice.

    Args:
        truth: (y, x), bool.
        predicted: (y, x), bool.
        pixel_mm: Side of a pixel.

    Returns:
        The mean over the pixels of both outlines of the distance to the other outline,
        in mm; None if a mask is empty.

    Reference:
        Heimann et al. 2009, Comparison and evaluation of methods for liver
        segmentation from CT datasets, IEEE Trans. Med. Imaging 28(8).
    """
    if not truth.any() or not predicted.any():
        return None
    outlines = [_outline(truth), _outline(predicted)]
    distances = np.concatenate(
        [_distance_to(other)[own] for own, other in (outlines, reversed(outlines))]
    )
    return float(distances.mean() * pixel_mm)


def _outline(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return mask & ~ndimage.binary_erosion(mask)


def _distance_to(outline: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return ndimage.distance_transform_edt(~outline)
