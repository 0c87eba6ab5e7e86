"""How well a heatmap points at a lesion, compared with chance."""

import math

import numpy as np

MEASURES = ("energy_share", "pointing_game", "chance_head", "chance_image")


def slice_measures(
    heatmap: np.ndarray, lesion: np.ndarray, head: np.ndarray | None = None
) -> dict[str, float]:
    """Measures of one slice.

    Args:
        heatmap: (h, w), not negative; its scale does not matter.
        lesion: (h, w), bool.
        head: (h, w), bool, pixels of the head; None if unknown.

    Returns:
        `energy_share`: sum of the heatmap inside the lesion over its whole sum.
        `pointing_game`: 1.0 if the heatmap's maximum lies inside the lesion, else
        0.0; of tied maxima the share inside, the expectation of drawing one.
        `chance_image`: area of the lesion over that of the image, which both
        measures have in the mean if the heatmap knows nothing.
        `chance_head`: area of the lesion over that of the head (with the lesion),
        the same for a heatmap that knows where the head is; NaN without `head`.
        All are NaN if the lesion is empty; a heatmap that is 0 everywhere has no
        energy to share (NaN) and points nowhere (ties: the chance of the image).

    Raises:
        ValueError: if the arrays differ in shape, `lesion` or `head` is not bool,
            or the heatmap holds negative or undefined values.

    Reference:
        Pointing game: Zhang et al., Top-Down Neural Attention by Excitation
        Backprop, IJCV 126, 2018, doi:10.1007/s11263-017-1059-x (here without its
        tolerance of 15 pixels). Energy: Wang et al., Score-CAM, CVPRW 2020,
        arXiv:1910.01279, section 4.3 (there of a bounding box).
    """
    _check(heatmap, lesion, head)
    if not lesion.any():
        return dict.fromkeys(MEASURES, math.nan)
    energy = float(heatmap.sum(dtype=np.float64))
    inside = float(heatmap[lesion].sum(dtype=np.float64))
    return {
        "energy_share": inside / energy if energy else math.nan,
        "pointing_game": float(lesion[heatmap == heatmap.max()].mean()),
        "chance_head": math.nan
        if head is None
        else float(lesion.sum() / (head | lesion).sum()),
        "chance_image": float(lesion.mean()),
    }


def _check(heatmap, lesion, head) -> None:
    for name, mask in (("lesion", lesion), ("head", head)):
        if mask is None:
            continue
        if mask.dtype != bool:
            raise ValueError(f"`{name}` must be bool. Received: {mask.dtype}")
        if mask.shape != heatmap.shape:
            raise ValueError(
                f"`{name}` must have the shape of the heatmap, {heatmap.shape}. "
                f"Received: {mask.shape}"
            )
    if not np.all(heatmap >= 0):
        raise ValueError("`heatmap` must not be negative or NaN anywhere.")
