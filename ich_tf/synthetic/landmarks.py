"""What a painter of lesions must know of a head CT slice, found in the slice itself.

All lengths are millimetres on a grid of `GRID` pixels a side. The skull is what is
as dense as bone, so slices in full Hounsfield units and slices saturated in a brain
window are treated alike.
"""

import dataclasses

import numpy as np

GRID = 256
BONE_HU = 95.0
USUAL_PIXEL_MM = 0.47
"""At 512 pixels; for slices without spacing."""

_SMALLEST_MM2 = 2500.0
_LARGEST_AIR_SHARE = 0.04
_LEAST_SOLIDITY = 0.86
_RING_GAP_MM = 9.0
# Area of the inside of an average adult skull where it is widest.
_USUAL_MM2 = 15500.0
_FAR_MM = 9.0
# A fissure that holds fluid and brain in equal parts has its edge so far away.
_SULCUS_MM = 6.0
_SPECK_MM2 = 16.0


@dataclasses.dataclass(frozen=True, eq=False)
class Landmarks:
    """The inside of the skull in one slice.

    Attributes:
        pixel_mm: Side of a pixel of the grid, in mm of an average adult head.
        depth: (GRID, GRID), depth beneath the inner table, negative outside.
        x: (GRID, GRID), position to the patient's left of the midline.
        y: (GRID, GRID), position to the back of the middle.
        ventricle: (GRID, GRID), distance to the ventricles, negative inside.
        sulcus: (GRID, GRID), distance to other cerebrospinal fluid, negative inside.
        clear: (GRID, GRID), whether a pixel is inside and holds no bone.
        brain_hu: Usual density of the brain.
    """

    pixel_mm: float
    depth: np.ndarray
    x: np.ndarray
    y: np.ndarray
    ventricle: np.ndarray
    sulcus: np.ndarray
    clear: np.ndarray
    brain_hu: float

    def area_mm2(self, mask: np.ndarray) -> float:
        """Area of a mask on the grid."""
        return float(np.count_nonzero(mask)) * self.pixel_mm**2


def find(hu: np.ndarray, pixel_mm: float | None = None) -> Landmarks | None:
    """Find the landmarks of a slice.

    Args:
        hu: (y, x), square, Hounsfield units, maybe saturated at 100 or above.
        pixel_mm: Side of a pixel; None if unknown.

    Returns:
        The landmarks; None where the slice shows no inside of a skull that a bony
        ring surrounds, as below the base, at the orbits and above the vertex.
    """
    import cv2

    small = cv2.resize(hu, (GRID, GRID), interpolation=cv2.INTER_AREA)
    if pixel_mm is None:
        pixel_mm = USUAL_PIXEL_MM * 512 / len(hu)
    pixel_mm *= len(hu) / GRID
    inside = _inside(small, pixel_mm)
    if inside is None:
        return None
    area = np.count_nonzero(inside) * pixel_mm**2
    pixel_mm *= float(np.clip(np.sqrt(_USUAL_MM2 / area), 0.9, 1.4))
    depth = -signed_distance(inside, pixel_mm)
    x, y = _axes(inside, pixel_mm)
    smooth = cv2.GaussianBlur(small, (0, 0), 1.0)
    clear = (depth > 0.5) & (small < BONE_HU)
    # A little above the median: part of the inside is fluid.
    brain_hu = float(np.percentile(smooth[(depth > 6) & clear], 58))
    ventricle, sulcus = _fluid(smooth, depth, x, y, brain_hu, pixel_mm)
    return Landmarks(pixel_mm, depth, x, y, ventricle, sulcus, clear, brain_hu)


def signed_distance(mask: np.ndarray, pixel_mm: float) -> np.ndarray:
    """Distance to a mask, negative inside, mm; smoothed over its steps of a pixel."""
    import cv2

    outside, within = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 3)
        for part in (~mask, mask)
    )
    if not mask.any():
        return np.full(mask.shape, _FAR_MM, np.float32)
    return cv2.GaussianBlur((outside - within) * np.float32(pixel_mm), (0, 0), 0.7)


def disc(width_mm: float, pixel_mm: float) -> np.ndarray:
    """A round kernel for morphology, uint8."""
    import cv2

    side = 2 * round(width_mm / pixel_mm / 2) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def _inside(small: np.ndarray, pixel_mm: float) -> np.ndarray | None:
    """The inside of the skull with all that lies in it; None where no skull is seen."""
    import cv2

    bone = (small >= BONE_HU).astype(np.uint8)
    ring = cv2.morphologyEx(bone, cv2.MORPH_CLOSE, disc(_RING_GAP_MM, pixel_mm))
    filled = cv2.copyMakeBorder(ring, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(filled, None, (0, 0), 2)
    hollow = (filled[1:-1, 1:-1] == 0).astype(np.uint8)
    hollow = cv2.morphologyEx(hollow, cv2.MORPH_OPEN, disc(5.0, pixel_mm))
    outlines, _ = cv2.findContours(hollow, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    outline = max(outlines, key=cv2.contourArea)
    area = cv2.contourArea(outline)
    hull = cv2.contourArea(cv2.convexHull(outline))
    if area * pixel_mm**2 < _SMALLEST_MM2 or area < _LEAST_SOLIDITY * hull:
        return None
    inside = np.zeros(small.shape, np.uint8)
    cv2.drawContours(inside, [outline], -1, 1, cv2.FILLED)
    inside = inside > 0
    air = np.mean(small[inside] < -15)
    return inside if air < _LARGEST_AIR_SHARE else None


def _axes(inside: np.ndarray, pixel_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along the head, whose midline is the axis of best symmetry."""
    import cv2

    coarse = cv2.resize(
        inside.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA
    )
    moments = cv2.moments(coarse)
    middle = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    best, turned = -1.0, 0.0
    for angle in range(-24, 25, 3):
        matrix = cv2.getRotationMatrix2D(middle, angle, 1.0)
        matrix[:, 2] += 31.5 - np.array(middle)
        upright = cv2.warpAffine(coarse, matrix, (64, 64))
        likeness = float(np.sum(upright * upright[:, ::-1]))
        if likeness - 0.02 * abs(angle) > best:
            best, turned = likeness - 0.02 * abs(angle), angle
    cosine, sine = np.cos(np.deg2rad(turned)), np.sin(np.deg2rad(turned))
    scale = len(inside) / 64
    row, column = np.mgrid[: len(inside), : len(inside)].astype(np.float32)
    across = (column - (middle[0] + 0.5) * scale + 0.5) * np.float32(pixel_mm)
    along = (row - (middle[1] + 0.5) * scale + 0.5) * np.float32(pixel_mm)
    x = np.float32(cosine) * across + np.float32(sine) * along
    return x, np.float32(cosine) * along - np.float32(sine) * across


def _fluid(smooth, depth, x, y, brain_hu, pixel_mm) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the ventricles and to all other cerebrospinal fluid."""
    import cv2

    darkest = np.percentile(smooth[depth > 3], 2)
    fluid_hu = np.clip(darkest, brain_hu - 32, brain_hu - 18)
    share = (brain_hu - smooth) / (brain_hu - fluid_hu)
    deep = ((share > 0.6) & (depth > 20)).astype(np.uint8)
    deep = cv2.morphologyEx(deep, cv2.MORPH_OPEN, disc(2.0, pixel_mm))
    _, parts, facts, _ = cv2.connectedComponentsWithStats(deep)
    large = np.flatnonzero(facts[:, cv2.CC_STAT_AREA] * pixel_mm**2 > 25)
    central = (np.abs(x) < 42) & (np.abs(y) < 62)
    within = [
        part for part in large[large > 0] if np.mean(central[parts == part]) > 0.7
    ]
    ventricle = signed_distance(np.isin(parts, within), pixel_mm)
    # Furrows are darker than what lies on both sides of them; noise is so everywhere.
    closed = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, disc(7.0, pixel_mm))
    furrow = closed - smooth
    furrow = (furrow - np.median(furrow[depth > 6])) / (brain_hu - fluid_hu)
    furrow[depth > 30] = 0
    furrow = cv2.GaussianBlur(furrow, (0, 0), 0.8)
    # White matter is darker than the median, too; deep there is little else.
    share = np.where(depth > 26, 2.0 * share - 1.2, 1.5 * share - 0.5)
    sulcus = _SULCUS_MM * (0.45 - np.maximum(furrow, share))
    sulcus = np.maximum(sulcus, 3.0 - ventricle).astype(np.float32)
    _, parts, facts, _ = cv2.connectedComponentsWithStats(
        (sulcus < 0.7).astype(np.uint8)
    )
    specks = facts[:, cv2.CC_STAT_AREA] * pixel_mm**2 < _SPECK_MM2
    return ventricle, np.where(specks[parts], _FAR_MM, sulcus).astype(np.float32)
