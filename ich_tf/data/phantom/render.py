"""From a plan to a head: anatomy, lesions, slices at full resolution."""

import dataclasses

import numpy as np

from ich_tf import labels
from ich_tf.data.phantom import brain, fields, lesions, physics, skull
from ich_tf.data.phantom.plan import SLICE_MM, HeadPlan

_GRID = 256
_INSIDE_MARGIN_MM = 3.0
_SUB_SLICES_MM = (-SLICE_MM / 3, 0.0, SLICE_MM / 3)


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


def _rotation(angles_deg) -> np.ndarray:
    pitch, roll, yaw = np.deg2rad(angles_deg)
    about_x = [
        [1, 0, 0],
        [0, np.cos(pitch), -np.sin(pitch)],
        [0, np.sin(pitch), np.cos(pitch)],
    ]
    about_y = [
        [np.cos(roll), 0, np.sin(roll)],
        [0, 1, 0],
        [-np.sin(roll), 0, np.cos(roll)],
    ]
    about_z = [[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_y) @ np.array(about_x)


def slice_positions_mm(plan: HeadPlan) -> np.ndarray:
    """(z,) heights of the slices in the scanner; the brain stays in the stack."""
    top = (67.0 + 14.0 * np.clip((plan.slices - 24) / 20, 0, 1)) * plan.scale[2]
    if plan.slices > 44:
        top += SLICE_MM * ((plan.slices - 44) // 4)
    return top - SLICE_MM * np.arange(plan.slices)[::-1]


def canonical_points(plan: HeadPlan, grid: int = _GRID):
    """Canonical coordinates of the working grid and its spacing.

    Returns:
        x, y, z, each (z, y, x) float32 in mm; and the (z, y, x) spacing in mm.
    """
    pixel_mm = plan.pixel_mm * 512 / grid
    steps = (np.arange(grid) - (grid - 1) / 2) * pixel_mm
    z, y, x = (
        axis.astype(np.float32)
        for axis in np.meshgrid(
            slice_positions_mm(plan),
            steps - plan.shift_mm[1],
            steps - plan.shift_mm[0],
            indexing="ij",
            sparse=True,
        )
    )
    turned = _rotation(plan.angles_deg).astype(np.float32)
    points = tuple(
        (row[0] * x + row[1] * y + row[2] * z) / np.float32(scale)
        for row, scale in zip(turned, plan.scale, strict=True)
    )
    return points, (SLICE_MM, pixel_mm, pixel_mm)


def build_anatomy(plan: HeadPlan, rng) -> Anatomy:
    """Model a head with its lesions on the working grid."""
    points, spacing_mm = canonical_points(plan)
    bone = skull.build(points, spacing_mm, rng)
    where = np.flatnonzero(bone.inner < _INSIDE_MARGIN_MM)
    inside = tuple(p.reshape(-1)[where] for p in points)
    depth = -bone.inner.reshape(-1)[where]
    along_z = np.gradient(bone.inner, SLICE_MM, axis=0) if plan.slices > 1 else 0
    slope = np.broadcast_to(along_z, bone.inner.shape).reshape(-1)[where]
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    volumes = dict(plan.lesion_ml)
    head = brain.BrainPlan.draw(rng, plan.atrophy)
    clear = _clear_of_bone(bone).reshape(-1)[where] < 0
    swell = 1 + 0.02 * volumes.get("intraventricular", 0.0)
    head = dataclasses.replace(head, ventricles=head.ventricles * swell)
    wobble = head.folds.at([p * np.float32(1.3) for p in inside])
    spreads, reaches = {}, {}
    moved, moved_depth = inside, depth
    for name in ("epidural", "subdural"):
        if name in volumes:
            spreads[name] = getattr(lesions, name)(inside, depth, rng)
            reaches[name] = spreads[name].reach_mm(volumes[name], voxel_ml, clear)
            moved, moved_depth = lesions.displace_by_lens(
                moved, moved_depth, spreads[name], reaches[name]
            )
    if "intraparenchymal" in volumes:
        spread, center = lesions.intraparenchymal(inside, depth, rng, wobble)
        spreads["intraparenchymal"] = spread
        moved = lesions.displace_by_mass(moved, center, volumes["intraparenchymal"])
    sub = _rotation(plan.angles_deg)[:, 2] / plan.scale
    shaded = []
    for offset in _SUB_SLICES_MM:
        shifted = tuple(
            p + np.float32(offset * s) for p, s in zip(moved, sub, strict=True)
        )
        shaded.append(
            brain.shade(shifted, moved_depth - np.float32(offset) * slope, head)
        )
    middle = shaded[1]
    if "intraventricular" in volumes:
        spreads["intraventricular"] = lesions.intraventricular(
            moved, middle.ventricle, rng, wobble
        )
    if "subarachnoid" in volumes:
        spreads["subarachnoid"] = lesions.subarachnoid(
            moved, depth, middle.sulcus, rng, wobble
        )
    hu = sum(part.hu for part in shaded) / np.float32(len(shaded))
    slow = head.broad.at([p * np.float32(2.0) for p in inside])
    levels = {}
    taken = np.zeros(len(where), bool)
    for name in (
        "epidural",
        "subdural",
        "intraparenchymal",
        "intraventricular",
        "subarachnoid",
    ):
        if name not in spreads:
            continue
        free = clear & ~taken
        reach = spreads[name].reach_mm(volumes[name], voxel_ml, free)
        level = spreads[name].level(reach)
        level = np.where(taken, np.maximum(level, 1.0), level)
        if name == "intraparenchymal":
            hu = lesions.edema(hu, level, min(1 + volumes[name] ** (1 / 3) * 2, 9))
        blood = lesions.density_hu(rng, name, plan.subacute, wobble, slow)
        hu = fields.blend(hu, blood, fields.cover(level, 1.5))
        taken |= level < 0
        levels[name] = level.astype(np.float32)
    return Anatomy(
        points,
        spacing_mm,
        bone,
        where,
        depth,
        dataclasses.replace(middle, hu=hu.astype(np.float32)),
        levels,
    )


def _enlarge(image: np.ndarray, size: int, cubic: bool = False) -> np.ndarray:
    import cv2

    if image.shape == (size, size):
        return image
    how = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=how)


def _head_holder(anatomy: Anatomy, rng) -> np.ndarray:
    steps = (np.arange(_GRID) - (_GRID - 1) / 2) * anatomy.spacing_mm[1]
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return physics.holder(x, y, int(rng.integers(3))).astype(np.float32)


def scan(anatomy: Anatomy, size: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Image a head.

    Args:
        anatomy: The head.
        size: Rows and columns.
        rng: numpy Generator.

    Returns:
        (z, y, x) HU, float32 with whole numbers, and the (z, y, x) uint8 subtypes.
    """
    plan = physics.ScannerPlan.draw(rng)
    inside_hu = anatomy.volume(anatomy.brain.hu, brain.CSF_HU)
    levels = {k: anatomy.volume(v, 2.0) for k, v in anatomy.levels.items()}
    rest = _head_holder(anatomy, rng)
    count = len(inside_hu)
    hu = np.empty((count, size, size), np.float32)
    subtypes = np.zeros((count, size, size), np.uint8)
    for index in range(count):
        subtypes[index] = _slice_subtypes(anatomy, levels, index, size)
        hu[index] = _slice_hu(anatomy, inside_hu[index], rest, index, size, rng, plan)
    return hu, subtypes


def _clear_of_bone(bone: skull.Skull) -> np.ndarray:
    """Distance to the voxels inside the skull that hold little bone, mm."""
    return bone.inner + 0.35 * bone.inner_width


def _slice_subtypes(anatomy, levels, index, size):
    found = np.zeros((size, size), np.uint8)
    nearest = np.zeros((size, size), np.float32)
    cavity = None
    for name, level in levels.items():
        if level[index].min() >= 0:
            continue
        if cavity is None:
            cavity = _enlarge(_clear_of_bone(anatomy.skull)[index], size) < 0
        level = _enlarge(np.clip(level[index], -2, 2), size)
        better = (level < nearest) & cavity
        found[better] = labels.SUBTYPES.index(name) + 1
        nearest[better] = level[better]
    return found


def _slice_hu(anatomy, inside_hu, rest, index, size, rng, plan):
    import cv2

    bone = anatomy.skull
    pixel_mm = anatomy.spacing_mm[1] * _GRID / size
    inside = fields.cover(
        _enlarge(bone.inner[index], size), _enlarge(bone.inner_width[index], size)
    )
    shell = fields.cover(
        _enlarge(bone.outer[index], size), _enlarge(bone.outer_width[index], size)
    )
    outside = bone.outside_hu[index]
    outside = np.where(outside < -900, np.maximum(outside, outside + rest), outside)
    hu = _enlarge(outside, size, cubic=True)
    hu = fields.blend(hu, _enlarge(bone.bone_hu[index], size), shell)
    hu = fields.blend(hu, _enlarge(inside_hu, size, cubic=True), inside)
    hu = cv2.GaussianBlur(hu, (0, 0), 0.62 * size / 512)
    hu = hu + physics.beam_hardening(shell * (1 - inside), inside, pixel_mm, plan)
    middle = anatomy.points[2][index, _GRID // 2 + 20, _GRID // 2]
    if -42 < middle < -16:
        x, y = (p[index] for p in anatomy.points[:2])
        hu += (
            _enlarge(physics.petrous_streaks(rng, x, y, plan.streak_hu), size) * inside
        )
    if plan.metal and index == int(plan.metal[0] * len(bone.inner)):
        x, y = (p[index] for p in anatomy.points[:2])
        hu += _enlarge(
            physics.metal_star(rng, x - plan.metal[2], y - plan.metal[1]), size
        )
    if plan.motion and abs(index - plan.motion[0] * len(bone.inner)) < 1.0:
        hu = physics.move(hu, plan.motion[1] / pixel_mm, rng)
    dense = 0.75 + 0.25 * inside + 0.5 * shell.mean()
    hu += physics.noise(rng, size, plan) * dense
    return np.clip(np.rint(hu), physics.LOWEST_HU, physics.HIGHEST_HU)
