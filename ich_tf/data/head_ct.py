"""Whether a volume can be a head CT in Hounsfield units, by its content alone."""

import numpy as np
from scipy import ndimage

from ich_tf.data import open_skull
from ich_tf.data.problems import Problem
from ich_tf.io.source import share_text
from ich_tf.volume import BODY_HU, Volume

# What a slice through a brain looks like. On the real head series the largest slice
# has 120 to 210 cm2 inside the skull, 0.94 to 1.00 of it tissue; a chest slice has
# 6 cm2 and 0.39, slices of a head-shaped plastic phantom have none.
MIN_BRAIN_CM2 = 25.0
MAX_BRAIN_CM2 = 400.0
MIN_TISSUE_SHARE = 0.6
TISSUE_HU = (-10.0, 90.0)
MEDIAN_HU = (10.0, 65.0)
BONE_HU = 200.0
MIN_AIR_SHARE = 0.005
# Gaps in the ring of bone: none to speak of, then open sutures (infants) and bone
# flaps. Bone must still lie along most of the outline: 0.91 and more in an infant of
# ct-ich, 0.82 and less for ribs around a liver (20 mm of bone, 8 mm between).
GAPS_MM = (6.0, 24.0)
BESIDE_BONE_MM = 3.0
MIN_COVERED_SHARE = 0.86
DEEP_MM = 10.0
POSSIBLE_HU = (-8192.0, 32767.0)

# Noise makes 3x3 pixels differ: in the real series 0.00 to 0.03 of the brain is
# flatter than this, in a slice ruined by lossy coding more than half.
FLAT_HU = 1.5
MAX_FLAT_SHARE = 0.25

MAX_PIXEL_RATIO = 1.5
MAX_TRIED = 60
_NOMINAL_MM = (5.0, 0.45, 0.45)  # for areas in slices without spacing


def refuse_not_head_ct(volume: Volume) -> list[Problem]:
    """Say why a volume cannot be head CT in HU, by its content alone.

    One slice that shows brain inside a skull is enough, so low and high slices are no
    reason to refuse. A slice counts if the tissue that bone encloses has the area,
    the share of soft tissue and the median of brain, and the noise that every CT has.
    Where bone encloses no brain, three slices of a head with an open skull are enough
    (all slices of a smaller scan), see `open_skull`.

    Args:
        volume: Any volume; `hu_window` is respected.

    Returns:
        The reasons; an empty list if the volume may be head CT.
    """
    problem = _impossible_values(volume) or _not_axial(volume) or _no_brain(volume)
    return [] if problem is None else [problem]


def _impossible_values(volume: Volume) -> Problem | None:
    hu = volume.hu
    if not np.all(np.isfinite(hu)):
        share = share_text(int(np.count_nonzero(~np.isfinite(hu))), hu.size)
        return Problem("values", "", f"{share} of the voxels are no finite number")
    low, high = float(hu.min()), float(hu.max())
    if low < POSSIBLE_HU[0] or high > POSSIBLE_HU[1]:
        return Problem("values", "", f"{low:g} to {high:g} cannot be Hounsfield units")
    if volume.hu_window is not None:
        return None
    if np.mean(hu < BODY_HU) >= MIN_AIR_SHARE:
        return None
    reason = f"no air: the values run from {low:g} to {high:g}"
    if 0 <= low and high <= 255:
        reason += ", as in an 8-bit picture"
    elif low >= 0:
        reason += "; perhaps the rescale intercept (about -1024) was not applied"
    else:
        reason += "; perhaps they were clipped to a window"
    return Problem("values", "", f"not Hounsfield units, {reason}")


def _not_axial(volume: Volume) -> Problem | None:
    """Refuse pixels so far from square that the slices were cut another way."""
    if volume.spacing_mm is None:
        return None
    down, right = volume.spacing_mm[1:]
    if max(down, right) <= MAX_PIXEL_RATIO * min(down, right):
        return None
    message = (
        f"axial slices would have pixels of {down:.3g}x{right:.3g} mm: a coronal or "
        "sagittal scan; take the axial series"
    )
    return Problem("geometry", "", message)


def _no_brain(volume: Volume) -> Problem | None:
    """Search from the middle slice outwards for one that shows brain."""
    middle = len(volume.hu) // 2
    order = sorted(range(len(volume.hu)), key=lambda index: abs(index - middle))
    reasons = []
    for gap_mm in GAPS_MM:
        for index in order:
            reason = _why_no_brain(volume, volume.hu[index], gap_mm)
            if reason is None:
                return None
            reasons.append(reason)
    if _open_skull(volume, order):
        return None
    _, reason = max(reasons)
    return Problem("not head CT", "", f"no slice shows brain inside a skull: {reason}")


def _open_skull(volume: Volume, order: list[int]) -> bool:
    """Whether enough slices show brain in a skull that bone closes only in part."""
    needed = min(open_skull.SLICES, len(volume.hu))
    tried = order[:: max(1, len(order) // MAX_TRIED)]
    shown = 0
    for left, index in zip(range(len(tried), 0, -1), tried, strict=True):
        if shown + left < needed:
            break
        shown += _shows_open_skull(volume, volume.hu[index])
        if shown == needed:
            return True
    return False


def _shows_open_skull(volume: Volume, hu: np.ndarray) -> bool:
    window = volume.hu_window
    body = hu > (open_skull.BODY_HU if window is None else window[0] + 4)
    pixel_mm = tuple((volume.spacing_mm or _NOMINAL_MM)[1:])
    head = open_skull.find_head(hu, _bone(volume, hu), body, pixel_mm)
    if open_skull.why_not(hu, head, TISSUE_HU, MEDIAN_HU):
        return False
    return _flat_share(hu, head.inside) <= MAX_FLAT_SHARE


def _bone(volume: Volume, hu: np.ndarray) -> np.ndarray:
    """Where bone is; in a brain window what is saturated, to within JPEG's noise."""
    window = volume.hu_window
    return hu > (BONE_HU if window is None else window[1] - 4)


def _flat_share(hu: np.ndarray, where: np.ndarray) -> float:
    """Share of some pixels whose surroundings have no noise."""
    spread = ndimage.maximum_filter(hu, 3) - ndimage.minimum_filter(hu, 3)
    values = spread[where]
    return float(np.mean(values < FLAT_HU)) if values.size else 0.0


def _inside_bone(
    volume: Volume, hu: np.ndarray, gap_mm: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """What bone encloses in a slice, gaps bridged.

    Returns:
        The region, 2 mm away from bone; the distance of each pixel to bone in mm;
        and the share of the region's outline that bone borders, 0 to 1.
    """
    spacing_mm = (volume.spacing_mm or _NOMINAL_MM)[1:]
    bone = _bone(volume, hu)
    if not bone.any():
        return bone, np.full(hu.shape, np.inf), 0.0
    reach_mm = gap_mm / 2
    distance_mm = ndimage.distance_transform_edt(~bone, sampling=spacing_mm)
    grown = distance_mm <= reach_mm
    core = ndimage.binary_fill_holes(grown) & ~grown
    if not core.any():
        return core, distance_mm, 0.0
    back_mm = ndimage.distance_transform_edt(~core, sampling=spacing_mm)
    region = (back_mm < reach_mm) & ~bone
    outline = region & ~ndimage.binary_erosion(region)
    beside_mm = max(BESIDE_BONE_MM, 1.1 * max(spacing_mm))
    covered = float(np.mean(distance_mm[outline] < beside_mm))
    return region & (distance_mm > 2), distance_mm, covered


def _why_no_brain(
    volume: Volume, hu: np.ndarray, gap_mm: float
) -> tuple[float, str] | None:
    """None if a slice shows brain, else the area inside bone in cm2 and a reason."""
    inside, distance_mm, covered = _inside_bone(volume, hu, gap_mm)
    _, height_mm, width_mm = volume.spacing_mm or _NOMINAL_MM
    area_cm2 = float(inside.sum() * height_mm * width_mm / 100)
    if not MIN_BRAIN_CM2 <= area_cm2 <= MAX_BRAIN_CM2:
        return area_cm2, f"bone encloses {area_cm2:.0f} cm2 at most"
    if covered < MIN_COVERED_SHARE:
        return area_cm2, f"bone covers only {covered:.0%} of the outline"
    values = hu[inside]
    share = float(np.mean((values > TISSUE_HU[0]) & (values <= TISSUE_HU[1])))
    if share < MIN_TISSUE_SHARE:
        return area_cm2, f"only {share:.0%} of what bone encloses is soft tissue"
    median = float(np.median(values))
    if not MEDIAN_HU[0] <= median <= MEDIAN_HU[1]:
        return area_cm2, f"what bone encloses has a median of {median:.0f} HU"
    flat = _flat_share(hu, inside & (distance_mm > DEEP_MM))
    if flat > MAX_FLAT_SHARE:
        return area_cm2, (
            f"{flat:.0%} of the brain has no noise at all, so its values were not "
            "measured (lossy coding?)"
        )
    return None
