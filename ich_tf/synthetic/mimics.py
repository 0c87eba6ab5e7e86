"""What looks like blood in a head CT slice but is none, painted onto real slices."""

import numpy as np

from ich_tf.synthetic import landmarks
from ich_tf.synthetic.phantom import fields, physics

_CALCIFIED_SHARE = 0.25
_BONE_SHARE = 0.25
_BASE_SHARE = 0.15
_MIDLINE_SHARE = 0.15
_MOTION_SHARE = 0.06
_STREAK_SHARE = 0.12
_CUPPING_SHARE = 0.3
_NOISE_SHARE = 0.25


def before_blood(hu, found: landmarks.Landmarks, rng) -> np.ndarray:
    """Calcifications, a dense midline, bone that fills part of the slice's thickness.

    Args:
        hu: (y, x), Hounsfield units.
        found: Its landmarks.
        rng: numpy Generator.
    """
    if rng.random() < _CALCIFIED_SHARE:
        hu = _mix(hu, _calcifications(found, rng), rng.uniform(70, 260), 1.4, found)
    if rng.random() < _BONE_SHARE:
        hu = _mix(hu, _bone(found, rng), rng.uniform(60, 110), rng.uniform(4, 9), found)
    if rng.random() < _BASE_SHARE:
        hu = _mix(hu, _base(found, rng), rng.uniform(50, 110), rng.uniform(3, 9), found)
    if rng.random() < _MIDLINE_SHARE:
        hu = _mix(hu, _midline(found, rng), rng.uniform(48, 68), 1.5, found)
    return hu


def after_blood(hu, found: landmarks.Landmarks, rng) -> np.ndarray:
    """Motion, streaks, cupping and noise of the scanner.

    Args:
        hu: (y, x), Hounsfield units.
        found: Its landmarks.
        rng: numpy Generator.
    """
    import cv2

    size = len(hu)
    plan = physics.ScannerPlan.draw(rng)
    draws = rng.random(4)
    inside = 0.0
    if draws[:2].min() < max(_CUPPING_SHARE, _STREAK_SHARE):
        inside = cv2.resize(fields.cover(-found.depth, 2.0), (size, size))
    if draws[0] < _CUPPING_SHARE:
        rise = np.exp(-np.maximum(found.depth, 0) / 7.0) * np.float32(plan.cupping_hu)
        hu = hu + cv2.resize(rise, (size, size)) * inside
    if draws[1] < _STREAK_SHARE:
        turn = rng.uniform(-20, 20)
        x, y = found.x[::2, ::2], found.y[::2, ::2] + np.float32(turn)
        streaks = physics.petrous_streaks(rng, x, y, plan.streak_hu)
        hu = hu + cv2.resize(streaks, (size, size)) * inside
    if draws[2] < _MOTION_SHARE:
        pixel_mm = found.pixel_mm * landmarks.GRID / size
        hu = physics.move(hu, rng.uniform(1, 4) / pixel_mm, rng)
    if draws[3] < _NOISE_SHARE:
        hu = hu + physics.noise(rng, size, plan) * np.float32(rng.uniform(0.2, 0.8))
    return hu


def _mix(hu, level, density, width_mm, found: landmarks.Landmarks) -> np.ndarray:
    """Paint a solid of one density where its level is below 0."""
    import cv2

    share = fields.cover(level, width_mm) * fields.cover(-found.depth, 2.0)
    if not share.any():
        return hu
    share = cv2.resize(share.astype(np.float32), hu.shape[::-1])
    return fields.blend(hu, np.maximum(hu, np.float32(density)), share)


def _calcifications(found: landmarks.Landmarks, rng) -> np.ndarray:
    """Distance to some small stones: deep, in the plexus, in falx and tentorium."""
    places = [
        (0.0, rng.uniform(18, 30)),
        (rng.choice([-1, 1]) * rng.uniform(17, 27), rng.uniform(30, 48)),
        (rng.choice([-1, 1]) * rng.uniform(17, 23), rng.uniform(-10, 3)),
        (rng.normal(0, 1.0), rng.choice([-1, 1]) * rng.uniform(40, 75)),
        (rng.uniform(-50, 50), rng.uniform(-50, 60)),
    ]
    level = np.full(found.depth.shape, 9.0, np.float32)
    for place in rng.permutation(len(places))[: rng.integers(1, 4)]:
        x, y = places[place]
        along = rng.uniform(2, 7) if place == 3 else 1.0
        away = np.hypot(found.x - x, (found.y - y) / along)
        level = np.minimum(level, away - np.float32(rng.uniform(0.3, 1.9)))
    return level


def _bone(found: landmarks.Landmarks, rng) -> np.ndarray:
    """Distance to a patch of the inner table that leans into the slice."""
    angle = rng.uniform(-np.pi, np.pi)
    turned = np.arctan2(found.x, -found.y) - angle
    aside = np.abs(np.arctan2(np.sin(turned), np.cos(turned)))
    thick = rng.uniform(1.0, 4.0) * np.clip(1.2 - aside / rng.uniform(0.2, 0.9), 0, 1)
    return (found.depth - thick).astype(np.float32)


def _base(found: landmarks.Landmarks, rng) -> np.ndarray:
    """Distance to the tips of orbital roofs or petrous ridges beneath the slice."""
    x, y = ((14, 34), (-62, -38)) if rng.random() < 0.6 else ((36, 56), (-8, 24))
    level = np.full(found.depth.shape, 99.0, np.float32)
    for side in rng.permutation((-1, 1))[: rng.integers(1, 3)]:
        across = (found.x - np.float32(side * rng.uniform(*x))) / rng.uniform(0.7, 1.6)
        along = (found.y - np.float32(rng.uniform(*y))) / rng.uniform(0.7, 1.6)
        away = np.hypot(across, along) - np.float32(rng.uniform(1.0, 9.0))
        level = np.minimum(level, away)
    return np.maximum(level, found.depth - np.float32(rng.uniform(5, 16)))


def _midline(found: landmarks.Landmarks, rng) -> np.ndarray:
    """Distance to a dense falx, and to a sinus with dense blood where it ends."""
    bend = np.float32(rng.normal(0, 1.5)) * np.cos(found.y / np.float32(40))
    falx = np.abs(found.x - bend) - np.float32(rng.uniform(0.2, 1.3))
    falx = np.maximum(falx, np.float32(rng.uniform(10, 40)) - np.abs(found.y))
    if rng.random() < 0.5:
        return falx
    wide = np.maximum(np.float32(rng.uniform(3, 6)) - found.depth / 2, -1)
    sinus = np.maximum(np.abs(found.x - bend) - wide, 20 - found.y)
    return np.minimum(falx, sinus)
