"""What resembles blood in a whole head CT but is not, painted onto real scans."""

import dataclasses

import numpy as np

from ich_tf.synthetic import landmarks, mimics
from ich_tf.synthetic.phantom import fields, physics
from ich_tf.synthetic.skull_mimics import SOFT_TISSUE_HU, Operation, Strip

_DENSE_HU = 70.0
_BELOW_WINDOW_HU = -300.0
# (x, y, z, radius) along the end of the basilar artery, and along both middle cerebral
# arteries from their origins outwards.
_ARTERIES_MM = (
    ((0, -2, -22, 0), (0, -4, -12, 0)),
    ((5, -15, -13, 0), (22, -14, -9, 0), (36, -12, -3, 0)),
    ((-5, -15, -13, 0), (-22, -14, -9, 0), (-36, -12, -3, 0)),
)


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
        arteries: (shift to the back, shift upwards, half width, HU) of dense arteries
            of the base, or None.
        band: (y, half width, HU) of a bright band between the petrous bones, or None.
        strips: Along the inner table.
        operation: A missing bone flap or a craniotomy, often with air, or None.
        skull: (thickness mm, HU of what is outside) of a thin skull, as an infant's,
            or None.
        share: Share of the slices that get other mimics.
    """

    scanner: physics.ScannerPlan
    effects: tuple[bool, bool, bool, bool]
    sinus: tuple[float, ...] | None
    torcula: tuple[float, ...] | None
    tent: tuple[float, ...] | None
    plexus: tuple[tuple[float, ...], ...]
    arteries: tuple[float, ...] | None
    band: tuple[float, ...] | None
    strips: tuple[Strip, ...]
    operation: Operation | None
    skull: tuple[float, float] | None
    share: float


def draw_scan(rng) -> ScanMimics:
    """Draw the mimics of a scan."""
    chances = rng.random(13)
    limits = (
        mimics.CUPPING_SHARE,
        2 * mimics.STREAK_SHARE,
        0.15,
        mimics.NOISE_SHARE,
    )
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
    arteries = (*rng.normal(0, 3.0, 2), rng.uniform(0.7, 1.9), rng.uniform(46, 74))
    strips = tuple(Strip.draw(rng) for _ in range(rng.integers(1, 6)))
    operation = Operation.draw(rng)
    skull = rng.uniform(1.5, 3.5), rng.uniform(*SOFT_TISSUE_HU)
    return ScanMimics(
        scanner=physics.ScannerPlan.draw(rng),
        effects=effects,
        sinus=(*sinus, rng.uniform(46, 64)) if chances[4] < 0.3 else None,
        torcula=(*torcula, rng.uniform(46, 66)) if chances[5] < 0.3 else None,
        tent=(*tent, rng.uniform(42, 58)) if chances[6] < 0.35 else None,
        plexus=glomus if chances[7] < 0.3 else (),
        arteries=arteries if chances[8] < 0.3 else None,
        band=band if chances[9] < 0.25 else None,
        strips=strips if chances[10] < 0.45 else (),
        operation=operation if chances[11] < 0.1 else None,
        skull=skull if chances[12] < 0.07 else None,
        share=rng.uniform(0.0, 0.6),
    )


def before(hu, anatomy: landmarks.Landmarks, height_mm: float, drawn: ScanMimics, seed):
    """Paint a scan's mimics of blood into one of its slices.

    Args:
        hu: (GRID, GRID), Hounsfield units.
        anatomy: Its landmarks.
        height_mm: Its height.
        drawn: The scan's.
        seed: Seed of the slice.
    """
    rng = np.random.default_rng([*seed, 11])
    if drawn.skull is not None:
        thick, tissue_hu = drawn.skull
        hu = _without_bone(hu, anatomy.depth + np.float32(thick), tissue_hu, rng)
    if drawn.operation is not None:
        gap = drawn.operation.gap(anatomy, height_mm)
        hu = _without_bone(hu, gap, drawn.operation.tissue_hu, rng)
    for level, density in _vessels(anatomy, height_mm, drawn):
        if np.any(level < 0):
            hu = mimics.mix(hu, level, density, 1.5, anatomy)
    if rng.random() < drawn.share:
        hu = mimics.before_blood(hu, anatomy, rng)
    return hu


def after(
    hu, anatomy: landmarks.Landmarks, height_mm: float, drawn: ScanMimics, seed
) -> tuple[np.ndarray, np.ndarray]:
    """Let air into a slice that holds the blood, and disturb it as its scanner does.

    Args:
        hu: (GRID, GRID), Hounsfield units.
        anatomy: Its landmarks.
        height_mm: Its height.
        drawn: The scan's.
        seed: Seed of the slice.

    Returns:
        Hounsfield units, and where there is air, (GRID, GRID), bool.
    """
    rng = np.random.default_rng([*seed, 12])
    air = np.zeros(hu.shape, bool)
    if drawn.operation is not None:
        bubbles = drawn.operation.bubbles(anatomy, height_mm)
        hu, air = _aired(hu, bubbles, drawn.operation.rim_hu), bubbles < 0
    for strip in drawn.strips:
        hu = hu + strip.rise(anatomy, height_mm)
    if drawn.band is not None and rng.random() < 0.5:
        middle, half, rise = drawn.band
        share = np.exp(-(((anatomy.y - middle) / half) ** 2) - (anatomy.x / 45) ** 4)
        hu = hu + share * fields.cover(-anatomy.depth, 2.0) * np.float32(rise)
    return mimics.disturbed(hu, anatomy, drawn.scanner, drawn.effects, rng), air


def _without_bone(hu, level, tissue_hu: float, rng) -> np.ndarray:
    """Soft tissue takes the place of bone where the level is below 0."""
    tissue = tissue_hu + rng.normal(0, 4, hu.shape)
    share = fields.cover(level, 1.0) * (hu > _DENSE_HU)
    return fields.blend(hu, tissue.astype(np.float32), share)


def _aired(hu, level, rim_hu: float) -> np.ndarray:
    """Air where the level is below 0, within a rim that a sharp kernel brightens."""
    if not np.any(level < 0):
        return hu
    rim = np.exp(-(((level - 1.5) / 0.8) ** 2)) * np.float32(rim_hu)
    return fields.blend(hu + rim, _BELOW_WINDOW_HU, fields.cover(level, 1.5))


def _vessels(anatomy: landmarks.Landmarks, height_mm: float, drawn: ScanMimics):
    """Distance to, and density of, sinuses, tentorium, plexus and arteries."""
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
    if drawn.arteries is not None:
        back, up, half, density = drawn.arteries
        away = _to_arteries(anatomy, height_mm - up, back) - half
        # Only where they lie in fluid.
        yield np.maximum(away, anatomy.sulcus - 2.0), density


def _to_arteries(anatomy: landmarks.Landmarks, height_mm: float, back: float):
    """Distance to the arteries of the base, shifted to the back, mm."""
    height = np.full_like(anatomy.x, height_mm)
    points = anatomy.x, anatomy.y - np.float32(back), height
    return np.min([fields.tube(points, path) for path in _ARTERIES_MM], axis=0)
