"""The truth of painted blood, drawn as a radiologist would."""

import numpy as np

from ich_tf.synthetic import landmarks
from ich_tf.synthetic.landmarks import Landmarks

WIDER_PIXELS = 0.7
"""The truth reaches so far beyond the blood, pixels of the grid."""

_SPECK_MM2 = 10.0
_LARGEST_HOLE_MM2 = {"subarachnoid": 60.0}
_USUAL_HOLE_MM2 = 250.0


def outline(
    subtype: str, level: np.ndarray, anatomy: Landmarks, strength: float = 1.0
) -> np.ndarray:
    """The truth of one lesion in one slice, as a radiologist would draw it.

    Args:
        subtype: A name of `labels.SUBTYPES`.
        level: (GRID, GRID), distance to the blood, negative inside, mm.
        anatomy: The slice's landmarks.
        strength: Share of blood; faint subarachnoid blood is outlined over
            neighbouring sulci.

    Returns:
        (GRID, GRID), bool.
    """
    import cv2

    inside = (anatomy.depth > 0) & anatomy.clear
    drawn = (level < WIDER_PIXELS * anatomy.pixel_mm) & inside
    mask = drawn.astype(np.uint8)
    if subtype == "subarachnoid":
        width_mm = 6.0 if strength < 0.85 else 4.0
        kernel = landmarks.disc(width_mm, anatomy.pixel_mm)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
        mask = _without_specks(mask, _SPECK_MM2 / anatomy.pixel_mm**2)
    largest = _LARGEST_HOLE_MM2.get(subtype, _USUAL_HOLE_MM2) / anatomy.pixel_mm**2
    return _filled(mask, largest) & inside


def _without_specks(mask: np.ndarray, smallest: float) -> np.ndarray:
    """A mask without parts of fewer than `smallest` pixels."""
    import cv2

    _, parts, facts, _ = cv2.connectedComponentsWithStats(mask)
    kept = facts[:, cv2.CC_STAT_AREA] >= smallest
    kept[0] = False
    return kept[parts].astype(np.uint8)


def _filled(mask: np.ndarray, largest: float) -> np.ndarray:
    """A mask without holes of up to `largest` pixels."""
    import cv2

    _, parts, facts, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    holes = facts[:, cv2.CC_STAT_AREA] <= largest
    holes[0] = False
    return (mask > 0) | holes[parts]
