"""What looks like blood in a head CT slice but is not, painted onto real slices."""

import dataclasses

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


def before_blood(hu, anatomy: landmarks.Landmarks, rng) -> np.ndarray:
    """Calcifications, a dense midline, bone that fills part of the slice's thickness.

    Args:
        hu: (y, x), Hounsfield units.
        anatomy: Its landmarks.
        rng: numpy Generator.
    """
    if rng.random() < _CALCIFIED_SHARE:
        hu = _mix(hu, _calcifications(anatomy, rng), rng.uniform(70, 260), 1.4, anatomy)
    if rng.random() < _BONE_SHARE:
        hu = _mix(
            hu, _bone(anatomy, rng), rng.uniform(60, 110), rng.uniform(4, 9), anatomy
        )
    if rng.random() < _BASE_SHARE:
        hu = _mix(
            hu, _base(anatomy, rng), rng.uniform(50, 110), rng.uniform(3, 9), anatomy
        )
    if rng.random() < _MIDLINE_SHARE:
        hu = _mix(hu, _midline(anatomy, rng), rng.uniform(48, 68), 1.5, anatomy)
    return hu


def after_blood(hu, anatomy: landmarks.Landmarks, rng) -> np.ndarray:
    """Motion, streaks, cupping and noise of the scanner.

    Args:
        hu: (y, x), Hounsfield units.
        anatomy: Its landmarks.
        rng: numpy Generator.
    """
    plan = physics.ScannerPlan.draw(rng)
    limits = (_CUPPING_SHARE, _STREAK_SHARE, _MOTION_SHARE, _NOISE_SHARE)
    effects = tuple(rng.random(len(limits)) < limits)
    return _disturbed(hu, anatomy, plan, effects, rng)


def _disturbed(hu, anatomy: landmarks.Landmarks, plan, effects, rng) -> np.ndarray:
    """Cupping, streaks, motion and noise, where `effects` has them."""
    cupping, streaked, moves, noisy = effects
    size = len(hu)
    if cupping or streaked:
        inside = _to_size(fields.cover(-anatomy.depth, 2.0), size)
    if cupping:
        rise = np.exp(-np.maximum(anatomy.depth, 0) / 7.0) * np.float32(plan.cupping_hu)
        hu = hu + _to_size(rise, size) * inside
    if streaked:
        turn = rng.uniform(-20, 20)
        x, y = anatomy.x[::2, ::2], anatomy.y[::2, ::2] + np.float32(turn)
        streaks = physics.petrous_streaks(rng, x, y, plan.streak_hu)
        hu = hu + _to_size(streaks, size) * inside
    if moves:
        pixel_mm = anatomy.pixel_mm * landmarks.GRID / size
        hu = physics.move(hu, rng.uniform(1, 4) / pixel_mm, rng)
    if noisy:
        hu = hu + physics.noise(rng, size, plan) * np.float32(rng.uniform(0.2, 0.8))
    return hu


def _mix(hu, level, density, width_mm, anatomy: landmarks.Landmarks) -> np.ndarray:
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


@dataclasses.dataclass(frozen=True, eq=False)
class ScanMimics:
    """What resembles blood in a whole scan, and how its scanner disturbs it.

    Attributes:
        scanner: Strength of noise, cupping and streaks.
        effects: Whether there are cupping, streaks, motion and noise.
        sinus: (half width, lower end, slope, HU) of a dense straight sinus, or None.
        torcula: (side, half width, HU) of a dense transverse sinus, or None.
        tent: (apex, slope, half width, HU) of a dense tentorium, or None.
        plexus: (x, y, z, radius, HU) of dense choroid plexus.
        band: (y, half width, HU) of a bright band between the petrous bones, or None.
        share: Of the slices that get other mimics.
    """

    scanner: physics.ScannerPlan
    effects: tuple[bool, bool, bool, bool]
    sinus: tuple[float, ...] | None
    torcula: tuple[float, ...] | None
    tent: tuple[float, ...] | None
    plexus: tuple[tuple[float, ...], ...]
    band: tuple[float, ...] | None
    share: float


def draw_scan(rng) -> ScanMimics:
    """Draw the mimics of a scan."""
    chances = rng.random(9)
    limits = (_CUPPING_SHARE, 2 * _STREAK_SHARE, 0.15, _NOISE_SHARE)
    effects = tuple(
        bool(chance < limit) for chance, limit in zip(chances, limits, strict=False)
    )
    sinus = rng.uniform(1.0, 2.6), rng.uniform(-4, 6), rng.uniform(0.1, 0.5)
    torcula = rng.choice([-1.0, 1.0]), rng.uniform(2.5, 5.5)
    tent = rng.uniform(4, 14), rng.uniform(0.5, 0.9), rng.uniform(0.4, 1.1)
    glomus = tuple(
        (
            side * rng.uniform(17, 27),
            rng.uniform(28, 44),
            rng.uniform(2, 16),
            rng.uniform(1.5, 4.0),
            rng.uniform(48, 110),
        )
        for side in (-1.0, 1.0)
    )
    band = rng.uniform(-2, 26), rng.uniform(3, 9), rng.uniform(4, 14)
    return ScanMimics(
        physics.ScannerPlan.draw(rng),
        effects,
        (*sinus, rng.uniform(46, 64)) if chances[4] < 0.3 else None,
        (*torcula, rng.uniform(46, 66)) if chances[5] < 0.3 else None,
        (*tent, rng.uniform(42, 58)) if chances[6] < 0.35 else None,
        glomus if chances[7] < 0.3 else (),
        band if chances[8] < 0.25 else None,
        rng.uniform(0.0, 0.6),
    )


def before(hu, anatomy: landmarks.Landmarks, height_mm: float, drawn: ScanMimics, seed):
    """Paint a scan's mimics of blood into one of its slices.

    Args:
        hu: (y, x), Hounsfield units.
        anatomy: Its landmarks.
        height_mm: Its height.
        drawn: The scan's.
        seed: Of the slice.
    """
    rng = np.random.default_rng([*seed, 11])
    for level, density in _veins(anatomy, height_mm, drawn):
        if np.any(level < 0):
            hu = _mix(hu, level, density, 1.5, anatomy)
    if rng.random() < drawn.share:
        hu = before_blood(hu, anatomy, rng)
    return hu


def _veins(anatomy: landmarks.Landmarks, height_mm: float, drawn: ScanMimics):
    """Distance to, and density of, sinuses, tentorium and plexus in a slice."""
    x, y = anatomy.x, anatomy.y
    if drawn.sinus is not None:
        half, low, slope, density = drawn.sinus
        across = np.abs(x) - half
        # It falls from the middle to the back.
        rise = np.abs(height_mm - (low + slope * (70 - y))) - 4.0
        level = np.maximum(np.maximum(across, rise), 22 - y)
        yield np.maximum(level, 3.0 - anatomy.depth), density
    if drawn.torcula is not None:
        side, half, density = drawn.torcula
        if -30 < height_mm < 8:
            level = np.maximum(anatomy.depth - half, 30 - y)
            yield np.maximum(level, -side * x - 6), density
    if drawn.tent is not None:
        apex, slope, half, density = drawn.tent
        along = np.hypot(x, 0.55 * np.maximum(y - 22, 0))
        sheet = np.abs(height_mm - (apex - slope * along)) / np.hypot(1.0, slope)
        yield np.maximum(sheet - half, 10 - y), density
    for px, py, pz, radius, density in drawn.plexus:
        away = np.sqrt((x - px) ** 2 + (y - py) ** 2 + (height_mm - pz) ** 2)
        yield np.maximum(away - radius, anatomy.ventricle - 1.0), density


def after(hu, anatomy: landmarks.Landmarks, drawn: ScanMimics, seed) -> np.ndarray:
    """Disturb a slice as the scan's scanner does.

    Args:
        hu: (y, x), Hounsfield units.
        anatomy: Its landmarks.
        drawn: The scan's.
        seed: Of the slice.
    """
    rng = np.random.default_rng([*seed, 12])
    if drawn.band is not None and rng.random() < 0.5:
        middle, half, rise = drawn.band
        share = np.exp(-(((anatomy.y - middle) / half) ** 2) - (anatomy.x / 45) ** 4)
        share = share * fields.cover(-anatomy.depth, 2.0) * np.float32(rise)
        hu = hu + _to_size(share, len(hu))
    return _disturbed(hu, anatomy, drawn.scanner, drawn.effects, rng)


def _to_size(image: np.ndarray, size: int) -> np.ndarray:
    import cv2

    return cv2.resize(image.astype(np.float32), (size, size))
