"""The scanner: an anatomy becomes slices in Hounsfield units and their truth."""

import numpy as np

from ich_tf import labels
from ich_tf.synthetic.phantom import brain, fields, physics
from ich_tf.synthetic.phantom.anatomy import GRID, Anatomy, clear_of_bone
from ich_tf.volume import LOWEST_HU

_PETROUS_MM = (-42.0, -16.0)


def enlarge(image: np.ndarray, size: int, cubic: bool = False) -> np.ndarray:
    """Bring a (y, x) image of the working grid to (size, size)."""
    import cv2

    if image.shape == (size, size):
        return image
    how = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=how)


def image(anatomy: Anatomy, size: int, rng) -> tuple[np.ndarray, np.ndarray]:
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
    clear = clear_of_bone(anatomy.skull)
    holder = _head_holder(anatomy, rng)
    count = len(inside_hu)
    hu = np.empty((count, size, size), np.float32)
    subtypes = np.zeros((count, size, size), np.uint8)
    for index in range(count):
        subtypes[index] = _slice_subtypes(levels, clear[index], index, size)
        attenuation, inside, bone = _slice_hu(
            anatomy, inside_hu[index], holder, index, size
        )
        hu[index] = _disturb(anatomy, attenuation, inside, bone, index, size, rng, plan)
    return hu, subtypes


def _head_holder(anatomy: Anatomy, rng) -> np.ndarray:
    steps = (np.arange(GRID) - (GRID - 1) / 2) * anatomy.spacing_mm[1]
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return physics.holder(x, y, int(rng.integers(3))).astype(np.float32)


def _slice_subtypes(levels, clear, index: int, size: int) -> np.ndarray:
    subtypes = np.zeros((size, size), np.uint8)
    nearest = np.zeros((size, size), np.float32)
    bleeding = {k: v[index] for k, v in levels.items() if v[index].min() < 0}
    if not bleeding:
        return subtypes
    cavity = enlarge(clear, size) < 0
    for name, level in bleeding.items():
        level = enlarge(np.clip(level, -2, 2), size)
        better = (level < nearest) & cavity
        subtypes[better] = labels.SUBTYPES.index(name) + 1
        nearest[better] = level[better]
    return subtypes


def _slice_hu(anatomy: Anatomy, inside_hu, holder, index: int, size: int):
    """Attenuation of one slice, and the shares of brain and bone in its pixels."""
    import cv2

    skull = anatomy.skull
    inside, shell = (
        fields.cover(enlarge(level[index], size), enlarge(width[index], size))
        for level, width in (
            (skull.inner, skull.inner_width),
            (skull.outer, skull.outer_width),
        )
    )
    outside = skull.outside_hu[index]
    outside = np.where(outside < -900, outside + holder, outside)
    hu = enlarge(outside, size, cubic=True)
    hu = fields.blend(hu, enlarge(skull.bone_hu[index], size), shell)
    hu = fields.blend(hu, enlarge(inside_hu, size, cubic=True), inside)
    hu = cv2.GaussianBlur(hu, (0, 0), 0.62 * size / 512)
    return hu, inside, shell * (1 - inside)


def _disturb(anatomy, hu, inside, bone, index, size, rng, plan: physics.ScannerPlan):
    """Beam hardening, streaks, metal, motion, noise and rounding of one slice."""
    slices = len(anatomy.skull.inner)
    pixel_mm = anatomy.spacing_mm[1] * GRID / size
    x, y, z = (p[index] for p in anatomy.points)
    hu = hu + physics.beam_hardening(bone, inside, pixel_mm, plan)
    if _PETROUS_MM[0] < z[GRID // 2, GRID // 2] < _PETROUS_MM[1]:
        streaks = physics.petrous_streaks(rng, x, y, plan.streak_hu)
        hu += enlarge(streaks, size) * inside
    if plan.metal and index == int(plan.metal[0] * slices):
        star = physics.metal_star(rng, x - plan.metal[2], y - plan.metal[1])
        hu += enlarge(star, size)
    if plan.motion and abs(index - plan.motion[0] * slices) < 1.0:
        hu = physics.move(hu, plan.motion[1] / pixel_mm, rng)
    strength = 0.75 + 0.25 * inside + 0.5 * (bone.mean() + inside.mean())
    hu += physics.noise(rng, size, plan) * strength
    return np.clip(np.rint(hu), LOWEST_HU, physics.HIGHEST_HU)
