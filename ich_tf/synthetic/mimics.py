"""What looks like blood in a head CT slice but is not, painted onto real slices."""

import numpy as np

from ich_tf.synthetic import landmarks
from ich_tf.synthetic.phantom import fields, physics

_CALCIFIED_SHARE = 0.25
_BONE_SHARE = 0.25
_BASE_SHARE = 0.15
_MIDLINE_SHARE = 0.15
_MOTION_SHARE = 0.06
STREAK_SHARE = 0.12
CUPPING_SHARE = 0.3
NOISE_SHARE = 0.25
"""How often a slice shows streaks, a rise of density towards the skull, and noise."""


def before_blood(hu, anatomy: landmarks.Landmarks, rng) -> np.ndarray:
    """Calcifications, a dense midline, bone that fills part of the slice's thickness.

    Args:
        hu: (y, x), Hounsfield units.
        anatomy: Its landmarks.
        rng: numpy Generator.
    """
    if rng.random() < _CALCIFIED_SHARE:
        hu = mix(hu, _calcifications(anatomy, rng), rng.uniform(70, 260), 1.4, anatomy)
    if rng.random() < _BONE_SHARE:
        hu = mix(
            hu, _bone(anatomy, rng), rng.uniform(60, 110), rng.uniform(4, 9), anatomy
        )
    if rng.random() < _BASE_SHARE:
        hu = mix(
            hu, _base(anatomy, rng), rng.uniform(50, 110), rng.uniform(3, 9), anatomy
        )
    if rng.random() < _MIDLINE_SHARE:
        hu = mix(hu, _midline(anatomy, rng), rng.uniform(48, 68), 1.5, anatomy)
    return hu


def after_blood(hu, anatomy: landmarks.Landmarks, rng) -> np.ndarray:
    """Motion, streaks, cupping and noise of the scanner.

    Args:
        hu: (y, x), Hounsfield units.
        anatomy: Its landmarks.
        rng: numpy Generator.
    """
    plan = physics.ScannerPlan.draw(rng)
    limits = (CUPPING_SHARE, STREAK_SHARE, _MOTION_SHARE, NOISE_SHARE)
    effects = tuple(rng.random(len(limits)) < limits)
    return disturbed(hu, anatomy, plan, effects, rng)


def disturbed(hu, anatomy: landmarks.Landmarks, plan, effects, rng) -> np.ndarray:
    """Cupping, streaks, motion and noise, where `effects` has them."""
    cupping, streaked, moves, noisy = effects
    size = len(hu)
    if cupping or streaked:
        inside = to_size(fields.cover(-anatomy.depth, 2.0), size)
    if cupping:
        rise = np.exp(-np.maximum(anatomy.depth, 0) / 7.0) * np.float32(plan.cupping_hu)
        hu = hu + to_size(rise, size) * inside
    if streaked:
        turn = rng.uniform(-20, 20)
        x, y = anatomy.x[::2, ::2], anatomy.y[::2, ::2] + np.float32(turn)
        streaks = physics.petrous_streaks(rng, x, y, plan.streak_hu)
        hu = hu + to_size(streaks, size) * inside
    if moves:
        pixel_mm = anatomy.pixel_mm * landmarks.GRID / size
        hu = physics.move(hu, rng.uniform(1, 4) / pixel_mm, rng)
    if noisy:
        hu = hu + physics.noise(rng, size, plan) * np.float32(rng.uniform(0.2, 0.8))
    return hu


def mix(hu, level, density, width_mm, anatomy: landmarks.Landmarks) -> np.ndarray:
    """Paint a solid of one density where its level is below 0."""
    import cv2

    share = fields.cover(level, width_mm) * fields.cover(-anatomy.depth, 2.0)
    if not share.any():
        return hu
    share = cv2.resize(share.astype(np.float32), hu.shape[::-1])
    return fields.blend(hu, np.maximum(hu, np.float32(density)), share)


def _calcifications(anatomy: landmarks.Landmarks, rng) -> np.ndarray:
    """Distance to some small stones: deep, in the plexus, in falx and tentorium."""
    places = [
        (0.0, rng.uniform(18, 30)),
        (rng.choice([-1, 1]) * rng.uniform(17, 27), rng.uniform(30, 48)),
        (rng.choice([-1, 1]) * rng.uniform(17, 23), rng.uniform(-10, 3)),
        (rng.normal(0, 1.0), rng.choice([-1, 1]) * rng.uniform(40, 75)),
        (rng.uniform(-50, 50), rng.uniform(-50, 60)),
    ]
    level = np.full(anatomy.depth.shape, 9.0, np.float32)
    for place in rng.permutation(len(places))[: rng.integers(1, 4)]:
        x, y = places[place]
        along = rng.uniform(2, 7) if place == 3 else 1.0
        away = np.hypot(anatomy.x - x, (anatomy.y - y) / along)
        level = np.minimum(level, away - np.float32(rng.uniform(0.3, 1.9)))
    return level


def _bone(anatomy: landmarks.Landmarks, rng) -> np.ndarray:
    """Distance to a patch of the inner table that leans into the slice."""
    angle = rng.uniform(-np.pi, np.pi)
    turned = np.arctan2(anatomy.x, -anatomy.y) - angle
    aside = np.abs(np.arctan2(np.sin(turned), np.cos(turned)))
    thick = rng.uniform(1.0, 4.0) * np.clip(1.2 - aside / rng.uniform(0.2, 0.9), 0, 1)
    return (anatomy.depth - thick).astype(np.float32)


def _base(anatomy: landmarks.Landmarks, rng) -> np.ndarray:
    """Distance to the tips of orbital roofs or petrous ridges beneath the slice."""
    x, y = ((14, 34), (-62, -38)) if rng.random() < 0.6 else ((36, 56), (-8, 24))
    level = np.full(anatomy.depth.shape, 99.0, np.float32)
    for side in rng.permutation((-1, 1))[: rng.integers(1, 3)]:
        across = (anatomy.x - np.float32(side * rng.uniform(*x))) / rng.uniform(
            0.7, 1.6
        )
        along = (anatomy.y - np.float32(rng.uniform(*y))) / rng.uniform(0.7, 1.6)
        away = np.hypot(across, along) - np.float32(rng.uniform(1.0, 9.0))
        level = np.minimum(level, away)
    return np.maximum(level, anatomy.depth - np.float32(rng.uniform(5, 16)))


def _midline(anatomy: landmarks.Landmarks, rng) -> np.ndarray:
    """Distance to a dense falx, and to a sinus with dense blood where it ends."""
    bend = np.float32(rng.normal(0, 1.5)) * np.cos(anatomy.y / np.float32(40))
    falx = np.abs(anatomy.x - bend) - np.float32(rng.uniform(0.2, 1.3))
    falx = np.maximum(falx, np.float32(rng.uniform(10, 40)) - np.abs(anatomy.y))
    if rng.random() < 0.5:
        return falx
    wide = np.maximum(np.float32(rng.uniform(3, 6)) - anatomy.depth / 2, -1)
    sinus = np.maximum(np.abs(anatomy.x - bend) - wide, 20 - anatomy.y)
    return np.minimum(falx, sinus)


def to_size(image: np.ndarray, size: int) -> np.ndarray:
    """Resize a square image to `size` pixels a side."""
    import cv2

    return cv2.resize(image.astype(np.float32), (size, size))
