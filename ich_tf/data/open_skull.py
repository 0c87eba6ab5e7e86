"""Brain in a skull that bone closes only in part, as after a craniectomy.

Where a large part of the bone is gone, nothing encloses the brain. What remains is
compared with what is typical of a head: its size, bone along one or two long arcs of
the outline and almost none within, and inside tissue as dense as brain, with hardly
any fat or air. Ribs are many short arcs; a neck, a limb and a trunk have bone in the
middle, fat between their organs, or another size.
"""

import dataclasses

import numpy as np
from scipy import ndimage

ANGLES = 360
BODY_HU = -300.0
HEAD_CM2 = (60.0, 420.0)
HEAD_WIDTH_MM = (90.0, 260.0)
BONE_DEPTH_MM = 30.0
"""How far below the skin the skull may begin."""

SUTURE_DEGREES = 2
ARC_SHARE = 0.12
ARCS_SHARE = 0.40
"""The two longest arcs of bone, each and together, as shares of the outline."""

SCALP_MM = 12.0
MIN_TISSUE_SHARE = 0.80
MAX_FAT_SHARE = 0.08
FAT_HU = (-160.0, -25.0)
MAX_DEEP_BONE_SHARE = 0.05
SLICES = 3
"""How many slices must look like this; of a smaller scan, all of them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """The part of a slice that may be a head.

    Attributes:
        inside: (rows, columns), what lies deeper than the scalp and is no bone.
        bone_share: Share of bone deeper than the scalp and skull.
        arcs: Shares of the outline that the two longest arcs of bone cover.
        area_cm2: Area within the outline.
        width_mm: The larger of the extents from left to right and front to back.
    """

    inside: np.ndarray
    bone_share: float
    arcs: tuple[float, float]
    area_cm2: float
    width_mm: float


def find_head(
    hu: np.ndarray, bone: np.ndarray, body: np.ndarray, pixel_mm: tuple[float, float]
) -> Head | None:
    """The largest body of a slice, measured; None in a slice without one.

    Args:
        hu: (rows, columns), Hounsfield units.
        bone: (rows, columns), where bone is.
        body: (rows, columns), where no air is.
        pixel_mm: Distance of rows and of columns.
    """
    # Holders and tables touch the head by a thin line only.
    opened = ndimage.binary_opening(body, iterations=2)
    regions, count = ndimage.label(opened)
    if not count:
        return None
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    head = ndimage.binary_fill_holes(regions == sizes.argmax())
    rows, columns = np.nonzero(head)
    width_mm = max(np.ptp(rows) * pixel_mm[0], np.ptp(columns) * pixel_mm[1])
    depth_mm = ndimage.distance_transform_edt(head, sampling=pixel_mm)
    deep = depth_mm > SCALP_MM
    center = rows.mean() * pixel_mm[0], columns.mean() * pixel_mm[1]
    far = deep & (depth_mm > BONE_DEPTH_MM)
    return Head(
        inside=deep & ~bone,
        bone_share=float(bone[far].mean()) if far.any() else 0.0,
        arcs=_arcs(bone & head & (depth_mm < BONE_DEPTH_MM), center, pixel_mm),
        area_cm2=float(head.sum() * np.prod(pixel_mm) / 100),
        width_mm=float(width_mm),
    )


def _arcs(
    bone: np.ndarray, center: tuple[float, float], pixel_mm: tuple[float, float]
) -> tuple[float, float]:
    """Shares of the full turn that the two longest arcs of bone cover."""
    rows, columns = np.nonzero(bone)
    down = rows * pixel_mm[0] - center[0]
    right = columns * pixel_mm[1] - center[1]
    # A pixel covers all angles that it is seen under, so that no gap is of its size.
    half = np.rad2deg(max(pixel_mm) / 2 / np.maximum(np.hypot(down, right), 1.0))
    angle = np.rad2deg(np.arctan2(down, right))
    covered = np.zeros(ANGLES, bool)
    for shift in (-1.0, 0.0, 1.0):
        covered[np.round(angle + shift * half).astype(int) % ANGLES] = True
    if covered.all():
        return 1.0, 0.0
    start = int(np.flatnonzero(~covered)[0])
    turned = np.roll(covered, -start)
    closed = ndimage.binary_closing(
        np.pad(turned, SUTURE_DEGREES), np.ones(SUTURE_DEGREES + 1)
    )[SUTURE_DEGREES:-SUTURE_DEGREES]
    regions, _ = ndimage.label(closed)
    lengths = np.sort(np.bincount(regions)[1:])[::-1] / ANGLES
    first, second = [*lengths, 0.0, 0.0][:2]
    return float(first), float(second)


def why_not(hu: np.ndarray, head: Head | None, tissue: tuple, median: tuple) -> str:
    """Why a slice does not show brain in an open skull; empty if it does.

    Args:
        hu: (rows, columns), Hounsfield units.
        head: From `find_head`.
        tissue: Lowest and highest HU of soft tissue in a head.
        median: Lowest and highest median of a brain.
    """
    if head is None or not HEAD_CM2[0] <= head.area_cm2 <= HEAD_CM2[1]:
        area = 0 if head is None else head.area_cm2
        return f"the largest body has {area:.0f} cm2"
    if not HEAD_WIDTH_MM[0] <= head.width_mm <= HEAD_WIDTH_MM[1]:
        return f"the largest body is {head.width_mm:.0f} mm wide"
    long_arcs = [arc for arc in head.arcs if arc >= ARC_SHARE]
    if sum(long_arcs) < ARCS_SHARE:
        return f"long arcs of bone cover only {sum(long_arcs):.0%} of the outline"
    if head.bone_share > MAX_DEEP_BONE_SHARE:
        return f"{head.bone_share:.0%} of what lies deep is bone"
    values = hu[head.inside]
    share = float(np.mean((values > tissue[0]) & (values <= tissue[1])))
    if share < MIN_TISSUE_SHARE:
        return f"only {share:.0%} of what lies deep is soft tissue"
    fat = float(np.mean((values > FAT_HU[0]) & (values < FAT_HU[1])))
    if fat > MAX_FAT_SHARE:
        return f"{fat:.0%} of what lies deep is fat"
    middle = float(np.median(values))
    if not median[0] <= middle <= median[1]:
        return f"what lies deep has a median of {middle:.0f} HU"
    return ""
