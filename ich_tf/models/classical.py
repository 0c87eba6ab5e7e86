"""Segmentation of hemorrhage without networks, as the report's related work does it.

Each method is its core idea on scikit-image and scikit-learn, not a copy of a paper's
whole system; what is left out is stated. All work slice by slice inside the skull, on
Hounsfield units at whatever size the slices have.
"""

import functools
from collections.abc import Callable

import numpy as np

from ich_tf.models import contours
from ich_tf.volume import AIR_HU

BONE_HU = 150.0
BLOOD_HU = (50.0, 95.0)
"""Acute blood lies in this range; brain below, calcification and bone above."""
SMALLEST_SHARE = 2e-4
"""Share of a slice that a lesion covers at least, about 50 pixels of 512 x 512."""


def intracranial(hu: np.ndarray) -> np.ndarray:
    """What bone encloses in each slice.

    Subdural and epidural blood lies against the bone, so the rim is kept but for a
    width of 2 pixels in 512, where a pixel holds bone and brain.

    Args:
        hu: (z, y, x), Hounsfield units.

    Returns:
        (z, y, x), bool.
    """
    from scipy import ndimage

    gap, rim = max(1, hu.shape[1] // 64), hu.shape[1] // 256
    inside = np.zeros(hu.shape, bool)
    for index, image in enumerate(hu):
        bone = image > BONE_HU
        closed = ndimage.binary_closing(np.pad(bone, gap), iterations=gap)
        filled = ndimage.binary_fill_holes(closed)[gap:-gap, gap:-gap]
        inside[index] = filled & ~bone
        if rim:
            inside[index] = ndimage.binary_erosion(inside[index], iterations=rim)
    return inside


def hu_threshold(hu: np.ndarray) -> np.ndarray:
    """Smoothed values within the range of blood, as [6] thresholds.

    Args:
        hu: (z, y, x), Hounsfield units.

    Returns:
        (z, y, x), bool.
    """
    smooth = _smooth(hu, intracranial(hu))
    low, high = BLOOD_HU
    return _cleaned((smooth > low) & (smooth < high))


def fuzzy_c_means(
    values: np.ndarray, clusters: int, iterations: int = 100, fuzziness: float = 2.0
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Fuzzy clusters of numbers.

    Args:
        values: (n,), at least two different ones.
        clusters: Number of clusters.
        iterations: At most.
        fuzziness: Exponent m > 1.

    Returns:
        Ascending centres (clusters,), and a function from any array of values to its
        memberships (..., clusters), which sum to 1.

    Reference:
        Bezdek, Pattern Recognition with Fuzzy Objective Function Algorithms, 1981.
    """
    levels, counts = np.unique(np.rint(values), return_counts=True)
    centres = np.quantile(values, (np.arange(clusters) + 0.5) / clusters)
    centres = centres + np.arange(clusters) * 1e-3

    def membership(points, of):
        distance = np.abs(points[..., np.newaxis] - of) + 1e-6
        closeness = distance ** (-2 / (fuzziness - 1))
        return closeness / closeness.sum(axis=-1, keepdims=True)

    for _ in range(iterations):
        weights = counts[:, np.newaxis] * membership(levels, centres) ** fuzziness
        moved = (weights * levels[:, np.newaxis]).sum(axis=0) / weights.sum(axis=0)
        settled = np.abs(moved - centres).max() < 1e-3
        centres = moved
        if settled:
            break
    centres = np.sort(centres)
    return centres, functools.partial(membership, of=centres)


def brightest_cluster(hu: np.ndarray, clusters: int = 4) -> np.ndarray:
    """Membership in the brightest cluster of the brain, 0 outside.

    Returns:
        (z, y, x), float64, in [0, 1]; all 0 where there is no brain, or where the
        brightest cluster is no brighter than brain is.
    """
    inside = intracranial(hu)
    smooth, blood = _smooth(hu, inside), np.zeros(hu.shape)
    low, high = BLOOD_HU
    brain = inside & (smooth > 0) & (smooth < high)
    values = smooth[brain]
    if np.unique(np.rint(values)).size <= clusters:
        return blood
    _, membership = fuzzy_c_means(values, clusters)
    bright = membership(smooth[brain])[:, -1]
    blood[brain] = np.where(values > low - 5, bright, 0)
    return blood


def fcm_active_contour(hu: np.ndarray) -> np.ndarray:
    """Fuzzy c-means, then a region-based active contour from it, as [20].

    Returns:
        (z, y, x), bool.
    """
    from skimage import segmentation

    start, inside = brightest_cluster(hu) > 0.5, intracranial(hu)
    smooth, blood = _smooth(hu, inside), np.zeros(hu.shape, bool)
    for index in np.flatnonzero(start.any(axis=(1, 2))):
        image = _on_brain(smooth[index], inside[index])
        blood[index] = segmentation.morphological_chan_vese(
            image, num_iter=10, init_level_set=start[index], lambda1=1, lambda2=2
        )
    return _cleaned(blood & _near(start) & inside & (smooth > BLOOD_HU[0] - 5))


def fcm_wavelet(hu: np.ndarray) -> np.ndarray:
    """Fuzzy c-means, its membership denoised in the Haar wavelet domain, as [24].

    Returns:
        (z, y, x), bool.
    """
    return _cleaned(haar_denoised(brightest_cluster(hu), 0.25) > 0.5)


def haar_denoised(images: np.ndarray, threshold: float, levels: int = 2) -> np.ndarray:
    """Images without their small Haar wavelet coefficients (soft threshold).

    Args:
        images: (z, y, x) with sides that 2**levels divides.
        threshold: Step between neighbouring pixels that is still taken for noise, in
            the images' unit.
        levels: Levels of the transform.

    Raises:
        ValueError: if a side does not divide.

    Reference:
        Donoho, IEEE Transactions on Information Theory 41(3):613-627, 1995,
        doi:10.1109/18.382009.
    """
    if images.shape[1] % 2**levels or images.shape[2] % 2**levels:
        raise ValueError(
            f"Sides must be multiples of {2**levels}. Received: {images.shape}"
        )
    import pywt

    mean, *details = pywt.wavedec2(images, "haar", level=levels, axes=(1, 2))
    kept = [mean]
    for level, bands in zip(range(levels, 0, -1), details, strict=True):
        # A step of this size in one pixel is a coefficient of 2**level / 4 of it.
        limit = threshold * 2**level / 4
        kept.append(tuple(pywt.threshold(band, limit, "soft") for band in bands))
    return pywt.waverec2(kept, "haar", axes=(1, 2))


def chan_vese(hu: np.ndarray) -> np.ndarray:
    """Chan-Vese's active contour from seeds of bright pixels, as [21].

    The autoencoder that chooses slices in [21] is left out: seeds choose them.

    Returns:
        (z, y, x), bool.
    """
    from skimage import segmentation

    inside, smooth, seeds = _seeded(hu)
    low, high = BLOOD_HU
    blood = np.zeros(hu.shape, bool)
    for index in np.flatnonzero(seeds.any(axis=(1, 2))):
        image = _on_brain(smooth[index], inside[index])
        start = np.where(seeds[index], 1.0, -1.0)
        mask = segmentation.chan_vese(
            image / high, mu=0.05, max_num_iter=60, init_level_set=start
        )
        # Its sign is arbitrary: blood is the brighter side.
        if mask.any() and not mask.all() and image[mask].mean() < image[~mask].mean():
            mask = ~mask
        blood[index] = mask
    return _cleaned(blood & _near(seeds) & inside & (smooth > low - 5))


def level_set(hu: np.ndarray, steps: int = 40) -> np.ndarray:
    """Distance-regularised level set evolution from bright seeds, as [16] and [25].

    Returns:
        (z, y, x), bool.
    """
    inside, smooth, seeds = _seeded(hu)
    low, high = BLOOD_HU
    blood = np.zeros(hu.shape, bool)
    for index in np.flatnonzero(seeds.any(axis=(1, 2))):
        image = _on_brain(smooth[index], inside[index])
        blood[index] = contours.drlse(image, seeds[index], steps)
    return _cleaned(blood & inside & (smooth > low - 5) & (smooth < high))


def _seeded(hu: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The inside of the skull, its smoothed values and seeds as dense as blood."""
    inside = intracranial(hu)
    smooth = _smooth(hu, inside)
    low, high = BLOOD_HU
    return inside, smooth, _cleaned((smooth > low) & (smooth < high))


METHODS = {
    "hu_threshold": hu_threshold,
    "fcm_active_contour": fcm_active_contour,
    "fcm_wavelet": fcm_wavelet,
    "chan_vese": chan_vese,
    "level_set": level_set,
}


def _smooth(hu: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Smooth within the skull alone: bone adds nothing to brain; air outside."""
    from scipy import ndimage

    sigma = (0, hu.shape[1] / 200, hu.shape[1] / 200)
    weight = ndimage.gaussian_filter(inside.astype(np.float64), sigma)
    total = ndimage.gaussian_filter(np.where(inside, hu, 0.0), sigma)
    smooth = np.full(hu.shape, AIR_HU)
    np.divide(total, weight, out=smooth, where=inside)
    return smooth


def _on_brain(smooth: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """A slice with brain's median beyond the skull, so that only blood stands out."""
    return np.clip(np.where(inside, smooth, np.median(smooth[inside])), 0, BLOOD_HU[1])


def _near(mask: np.ndarray) -> np.ndarray:
    """What lies within a sixteenth of the slice's side of the mask."""
    from scipy import ndimage

    reach = max(1, mask.shape[1] // 16)
    return np.stack(
        [
            ndimage.binary_dilation(plane, iterations=reach) if plane.any() else plane
            for plane in mask
        ]
    )


def _cleaned(mask: np.ndarray) -> np.ndarray:
    """Without specks, slice by slice."""
    from scipy import ndimage

    smallest = max(2, round(SMALLEST_SHARE * mask[0].size))
    kept = np.zeros(mask.shape, bool)
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        parts, _ = ndimage.label(mask[index])
        sizes = np.bincount(parts.ravel())
        kept[index] = (sizes >= smallest)[parts] & mask[index]
    return kept
