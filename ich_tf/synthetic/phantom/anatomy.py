"""A head on the working grid: skull and brain put together, blood painted in."""

import dataclasses

import numpy as np

from ich_tf.synthetic.phantom import brain, lesions, skull
from ich_tf.synthetic.phantom.plan import SLICE_MM, HeadPlan

GRID = 256
_INSIDE_MARGIN_MM = 3.0
# A thick slice is the mean of three thin ones.
_THIN_SLICES_MM = (-SLICE_MM / 3, 0.0, SLICE_MM / 3)


@dataclasses.dataclass(frozen=True, eq=False)
class Anatomy:
    """A head on the working grid, before the scanner.

    Attributes:
        points: Canonical x, y, z of the voxels, (z, y, x) each, mm.
        spacing_mm: (z, y, x) of the grid.
        skull: Bone and what lies outside.
        where: Flat indices of the voxels inside the skull.
        depth: Depth of those beneath the inner table, mm.
        brain: Density and landmarks there, blood included.
        levels: For each subtype the distance to its blood there, mm.
    """

    points: tuple[np.ndarray, np.ndarray, np.ndarray]
    spacing_mm: tuple[float, float, float]
    skull: skull.Skull
    where: np.ndarray
    depth: np.ndarray
    brain: brain.BrainPoints
    levels: dict[str, np.ndarray]

    def volume(self, values: np.ndarray, fill: float) -> np.ndarray:
        """Put values of the inside points on the (z, y, x) grid."""
        grid = np.full(self.skull.inner.size, fill, np.float32)
        grid[self.where] = values
        return grid.reshape(self.skull.inner.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class _Inside:
    """The points inside the skull.

    Attributes:
        where: Flat indices on the grid.
        points: Canonical x, y, z, mm.
        depth: Depth beneath the inner table, mm.
        slope: Rise of the depth per mm of slice position.
        clear: Whether blood may be there: little bone in the voxel.
        voxel_ml: Volume of one voxel.
        wobble: Noise of about 16 mm, deviation 1.
        slow: Noise of about 28 mm, deviation 1.
    """

    where: np.ndarray
    points: tuple[np.ndarray, np.ndarray, np.ndarray]
    depth: np.ndarray
    slope: np.ndarray
    clear: np.ndarray
    voxel_ml: float
    wobble: np.ndarray
    slow: np.ndarray


def _rotation(angles_deg) -> np.ndarray:
    (cp, cr, cy), (sp, sr, sy) = (
        function(np.deg2rad(angles_deg)) for function in (np.cos, np.sin)
    )
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cr, 0, sr], [0, 1, 0], [-sr, 0, cr]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def slice_positions_mm(plan: HeadPlan) -> np.ndarray:
    """(z,) heights of the slices in the scanner; the brain stays in the stack."""
    top = (67.0 + 14.0 * np.clip((plan.slices - 24) / 20, 0, 1)) * plan.scale[2]
    # Fewer than 24 slices cannot hold the brain: they show its middle.
    top -= SLICE_MM / 2 * max(0, 24 - plan.slices)
    top += SLICE_MM * max(0, (plan.slices - 44) // 4)
    return top - SLICE_MM * np.arange(plan.slices)[::-1]


def canonical_points(plan: HeadPlan):
    """Canonical coordinates of the working grid and its spacing.

    Returns:
        x, y, z, each (z, y, x) float32 in mm; and the (z, y, x) spacing in mm.
    """
    pixel_mm = plan.pixel_mm * 512 / GRID
    steps = (np.arange(GRID) - (GRID - 1) / 2) * pixel_mm
    axes = (
        slice_positions_mm(plan),
        steps - plan.shift_mm[1],
        steps - plan.shift_mm[0],
    )
    z, y, x = np.meshgrid(
        *(axis.astype(np.float32) for axis in axes), indexing="ij", sparse=True
    )
    turned = _rotation(plan.angles_deg).astype(np.float32)
    points = tuple(
        (row[0] * x + row[1] * y + row[2] * z) / np.float32(scale)
        for row, scale in zip(turned, plan.scale, strict=True)
    )
    return points, (SLICE_MM, pixel_mm, pixel_mm)


def clear_of_bone(bone: skull.Skull) -> np.ndarray:
    """(z, y, x), distance to the voxels in the skull that hold little bone, mm."""
    return bone.inner + 0.35 * bone.inner_width


def _gather(points, spacing_mm, bone: skull.Skull, head: brain.BrainPlan) -> _Inside:
    where = np.flatnonzero(bone.inner < _INSIDE_MARGIN_MM)
    inside = tuple(p.reshape(-1)[where] for p in points)
    slope = np.zeros_like(bone.inner)
    if len(slope) > 1:
        slope = -np.gradient(bone.inner, spacing_mm[0], axis=0)
    return _Inside(
        where=where,
        points=inside,
        depth=-bone.inner.reshape(-1)[where],
        slope=slope.reshape(-1)[where],
        clear=clear_of_bone(bone).reshape(-1)[where] < 0,
        voxel_ml=float(np.prod(spacing_mm)) / 1000,
        wobble=head.folds.at([p * np.float32(1.3) for p in inside]),
        slow=head.broad.at([p * np.float32(2.0) for p in inside]),
    )


def _place_masses(inside: _Inside, plan: HeadPlan, rng):
    """Draw the hemorrhages that displace the brain, and the displacement.

    Returns:
        Spreads by subtype, and where the brain at each point came from: points
        and depth.
    """
    spreads = {}
    points, depth = inside.points, inside.depth
    for name, painter in (
        ("epidural", lesions.epidural),
        ("subdural", lesions.subdural),
    ):
        if name not in plan.lesion_ml:
            continue
        spread = painter(inside.points, inside.depth, rng)
        reach = spread.reach_mm(plan.lesion_ml[name], inside.voxel_ml, inside.clear)
        points, depth = lesions.displace_by_lens(points, depth, spread, reach)
        spreads[name] = spread
    name = "intraparenchymal"
    if name in plan.lesion_ml:
        spreads[name], center = lesions.intraparenchymal(
            inside.points, inside.depth, rng, inside.wobble
        )
        points = lesions.displace_by_mass(points, center, plan.lesion_ml[name])
    return spreads, points, depth


def _shade(points, depth, inside: _Inside, plan: HeadPlan, head) -> brain.BrainPoints:
    """The brain, its density averaged over the thickness of a slice."""
    upwards = _rotation(plan.angles_deg)[:, 2] / plan.scale
    thin = []
    for offset in _THIN_SLICES_MM:
        shifted = tuple(
            p + np.float32(offset * step)
            for p, step in zip(points, upwards, strict=True)
        )
        deeper = depth + np.float32(offset) * inside.slope
        thin.append(brain.shade(shifted, deeper, head))
    mean = sum(layer.hu for layer in thin) / np.float32(len(thin))
    return dataclasses.replace(thin[1], hu=mean)


def _bleed(shaded: brain.BrainPoints, spreads, inside: _Inside, plan: HeadPlan, rng):
    """Paint the blood.

    Returns:
        Density with blood, and the distance to the blood of each subtype.
    """
    hu, levels = shaded.hu, {}
    taken = np.zeros(hu.shape, bool)
    for name, spread in spreads.items():
        volume = plan.lesion_ml[name]
        reach = spread.reach_mm(volume, inside.voxel_ml, inside.clear & ~taken)
        level = spread.level(reach)
        level = np.where(taken, np.maximum(level, 1.0), level)
        hu = lesions.stain(
            hu, level, name, volume, plan.age, rng, inside.wobble, inside.slow
        )
        taken |= level < 0
        levels[name] = level.astype(np.float32)
    return hu.astype(np.float32), levels


def build(plan: HeadPlan, rng) -> Anatomy:
    """Model a head with its hemorrhages on the working grid.

    Args:
        plan: What the head will be.
        rng: numpy Generator.
    """
    points, spacing_mm = canonical_points(plan)
    bone = skull.build(points, spacing_mm, rng)
    swelling = 1 + 0.02 * plan.lesion_ml.get("intraventricular", 0.0)
    head = brain.BrainPlan.draw(rng, plan.atrophy, swelling)
    inside = _gather(points, spacing_mm, bone, head)
    spreads, came_from, depth = _place_masses(inside, plan, rng)
    shaded = _shade(came_from, depth, inside, plan, head)
    if "intraventricular" in plan.lesion_ml:
        spreads["intraventricular"] = lesions.intraventricular(
            came_from, shaded.ventricle, rng, inside.wobble
        )
    if "subarachnoid" in plan.lesion_ml:
        spreads["subarachnoid"] = lesions.subarachnoid(
            came_from, inside.depth, shaded.sulcus, rng, inside.wobble
        )
    hu, levels = _bleed(shaded, spreads, inside, plan, rng)
    shaded = dataclasses.replace(shaded, hu=hu)
    return Anatomy(points, spacing_mm, bone, inside.where, inside.depth, shaded, levels)
