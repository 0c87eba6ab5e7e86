"""Brain, cerebrospinal fluid, dura and mimics of blood, point by point."""

import dataclasses

import numpy as np

from ich_tf.synthetic.phantom import fields

GRAY_HU = 39.0
WHITE_HU = 29.5
CSF_HU = 7.0
_CHUNK = 30000


@dataclasses.dataclass(frozen=True, eq=False)
class BrainPlan:
    """What makes one brain differ from another.

    Attributes:
        atrophy: From 0 to 1.
        ventricles: Size of the ventricles against average.
        folds: Noise whose zero surfaces are the sulci.
        folia: Fine noise for the cerebellum.
        broad: Slow noise for warps and densities.
        dura_hu: Density of falx and tentorium.
        sinus_hu: Density of the venous sinuses.
        calcified: Radii (mm) of pineal gland, choroid plexus and pallidum.
    """

    atrophy: float
    ventricles: float
    folds: fields.BandNoise
    folia: fields.BandNoise
    broad: fields.BandNoise
    dura_hu: float
    sinus_hu: float
    calcified: tuple[float, float, float]

    @classmethod
    def draw(cls, rng, atrophy: float, swelling: float = 1.0):
        """Draw a brain; `swelling` widens its ventricles."""
        pineal = rng.uniform(1.5, 3.5) * (rng.random() < 0.6)
        plexus = rng.uniform(1.5, 4.5) * (rng.random() < 0.25 + 0.45 * atrophy)
        pallidum = rng.uniform(1.0, 3.0) * (rng.random() < 0.15)
        return cls(
            atrophy=atrophy,
            ventricles=swelling * (0.62 + 0.62 * atrophy + rng.normal(0, 0.07)),
            folds=fields.BandNoise.draw(rng, 21.0, side=56),
            folia=fields.BandNoise.draw(rng, 7.0, spread=0.2),
            broad=fields.BandNoise.draw(rng, 55.0, side=32, spread=0.4),
            dura_hu=rng.uniform(46, 66),
            sinus_hu=rng.uniform(50, 66),
            calcified=(pineal, plexus, pallidum),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class BrainPoints:
    """The brain at some points (arrays of one length).

    Attributes:
        hu: Density.
        ventricle: Distance to the ventricles, negative inside, mm.
        sulcus: Distance to sulci, fissures and cisterns, negative inside, mm.
        infratentorial: 1 below the tentorium and behind the petrous ridges.
    """

    hu: np.ndarray
    ventricle: np.ndarray
    sulcus: np.ndarray
    infratentorial: np.ndarray


def ventricle_level(points, size: float) -> np.ndarray:
    """Distance to lateral, third and fourth ventricles, negative inside, mm."""
    x, y, z = points
    side = (np.abs(x), y, z)
    paths = [
        [
            (13, -41, 8, 2.6),
            (8.5, -30, 10, 4.6),
            (4.5, -16, 12, 4.0),
            (7, 6, 15, 4.3),
            (14, 25, 14.5, 5.4),
            (22, 39, 10, 7.0),
            (22, 52, 7, 4.4),
            (19, 65, 5, 2.2),
        ],
        [(23, 39, 8, 5.0), (34, 24, 1, 3.0), (32, 2, -4, 2.2)],
    ]
    # The lateral ventricles are taller than wide: their chains are drawn with the
    # height about the foramen of Monro pressed together.
    side = (side[0], y, 9 + 0.55 * (z - 9))
    level = np.full(x.shape, 1e3, np.float32)
    for path in paths:
        scaled = [(*p[:3], p[3] * size) for p in path]
        level = np.minimum(level, fields.tube(side, scaled))
    level = np.maximum(level, 1.0 - side[0])
    third = fields.ellipsoid(points, (0, 2, -1), (1.3 + 2.2 * size, 15, 8))
    fourth = fields.ellipsoid(points, (0, 37, -30), (8.5, 3.5 + 2 * size, 9))
    return np.minimum(level, np.minimum(third, fourth))


def _cistern_level(points, size: float) -> np.ndarray:
    """Distance to the basal cisterns, negative inside, mm."""
    x, y, z = points
    side = (np.abs(x), y, z)
    radius = np.hypot(x, y + 6)
    angle = np.arctan2(x, -(y + 6))
    star = radius - (9.0 + 2 * size) * (0.72 + 0.36 * np.cos(5 * angle))
    star = np.maximum(0.7 * star, np.abs(z + 13) - 6)
    midbrain = np.hypot(x / 18, (y - 13) / 16) - 0.12 * np.cos(
        4 * np.arctan2(x, y - 13)
    )
    ring = np.abs(midbrain - 1.1) * 16 - 0.5 - 1.0 * size
    ring = np.maximum(ring, np.maximum(np.abs(z + 9) - 8, 7 - y))
    quadrigeminal = fields.ellipsoid(points, (0, 30, -1), (8 + 3 * size, 2 + size, 6))
    prepontine = fields.ellipsoid(points, (0, 5, -30), (15, 2.0 + size, 14))
    angle_cistern = fields.ellipsoid(side, (22, 14, -32), (8, 3.0, 6))
    magna = fields.ellipsoid(points, (0, 64, -54), (13, 5 + 3 * size, 7))
    velum = fields.ellipsoid(points, (0, 28, 9), (4 + size, 5, 3))
    level = star
    for part in (ring, quadrigeminal, prepontine, angle_cistern, magna, velum):
        level = np.minimum(level, part)
    return level


def _sylvian_level(points, size: float) -> np.ndarray:
    """Distance to stem, insular part and lateral cleft of the Sylvian fissure, mm."""
    x, y, z = points
    side = np.abs(x)
    stem = fields.tube(
        (side, y, z), [(9, -11, -13, 1.5), (28, -15, -11, 1.2), (40, -17, -6, 1.5)]
    )
    insula = np.abs(side - 40 + 0.012 * (y + 5) ** 2) - 0.3 - 0.8 * size
    insula = np.maximum(insula, np.maximum(np.abs(y + 5) - 19, np.abs(z - 6) - 15))
    cleft = np.abs(y + 12 - 0.9 * z - 0.15 * (side - 40)) * 0.75 - 0.3 - 0.8 * size
    cleft = np.maximum(cleft, np.maximum(38 - side, np.abs(z - 6) - 18))
    return np.minimum(stem, np.minimum(insula, cleft))


def _tentorium(points):
    """Height above the tentorium (mm) and the share of points it roofs over."""
    x, y, z = points
    side = np.abs(x)
    roof = 5.0 - 0.32 * side - 0.38 * np.maximum(y - 34, 0)
    behind = y - (1.0 + 0.58 * np.maximum(side - 12, 0))
    # Midbrain and thalami pass through the notch of the tentorium.
    notch = np.maximum(1.0 - np.hypot(x / 24, (y - 14) / 24), 0) * 24
    below = np.maximum(np.maximum(z - roof, -behind), np.minimum(notch, z + 20))
    return z - roof, behind, fields.cover(below, 1.5)


def _folded_cortex(points, depth, plan: BrainPlan):
    """Gray and white matter and the distance to the sulci of the hemispheres."""
    x, y, z = points
    radius = np.sqrt(x * x + y * y + z * z) + 5.0
    pull = 0.30 + 44.0 / radius
    fold = plan.folds.at([p * pull for p in points])
    slow = plan.broad.at(points)
    reach = 20.0 + 5.0 * slow
    gap = 0.5 + 2.6 * plan.atrophy**1.5 * (1 + 0.5 * slow) + 0.012 * np.maximum(-y, 0)
    below = depth - gap
    from_fold = np.abs(fold) * 3.0
    taper = np.clip(1.15 - below / reach, 0.0, 1.0)
    sulcus = from_fold - (0.35 + 1.15 * plan.atrophy + 0.25 * slow) * taper
    sulcus = np.where(taper > 0, sulcus, 9.0)
    ribbon = np.minimum(from_fold + 6 * np.clip(below / reach - 1.0, 0, 2), below)
    gray = fields.cover(ribbon - 3.4 - 0.4 * slow, 1.6)
    return gray, np.minimum(sulcus, below), slow


def _deep_gray(points):
    x, y, z = points
    side = (np.abs(x), y, z)
    caudate = fields.ellipsoid(side, (14.5, -24, 9), (5.5, 10, 9))
    lentiform = fields.ellipsoid(side, (25, -6, 3), (6.5, 16, 10))
    thalamus = fields.ellipsoid(side, (11, 12, 5), (8.5, 13, 9))
    return np.minimum(caudate, np.minimum(lentiform, thalamus))


def _midline(points, plan: BrainPlan):
    """Distances to the interhemispheric fissure and to the falx within it, mm."""
    x, y, z = points
    callosum = np.hypot((y + 2) / 42, (z - 5) / 24) - 1.0
    present = np.maximum(-callosum * 25, -(z + 16) + 0 * y)
    wander = 0.8 * plan.broad.at((y * 0 + 3.0, y, z))
    off = np.abs(x + wander)
    fissure = off - 0.5 - 1.3 * plan.atrophy * np.clip(0.6 - y / 70, 0.2, 1.6)
    return np.maximum(fissure, present), np.maximum(off - 0.65, present - 4)


def shade(points, depth, plan: BrainPlan) -> BrainPoints:
    """Density and landmarks at points inside the skull.

    Args:
        points: Canonical x, y, z, arrays of one length, mm; displaced by lesions.
        depth: Distance beneath the inner table, mm, positive inside.
        plan: The brain.
    """
    # Chunks that fit the processor's cache.
    starts = range(0, len(depth), _CHUNK)
    parts = [
        _shade_some(
            tuple(p[k : k + _CHUNK] for p in points), depth[k : k + _CHUNK], plan
        )
        for k in starts
    ]
    names = [field.name for field in dataclasses.fields(BrainPoints)]
    return BrainPoints(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in names)
    )


def _shade_some(points, depth, plan: BrainPlan) -> BrainPoints:
    blend, cover = fields.blend, fields.cover
    x, y, z = points
    gray, sulcus, slow = _folded_cortex(points, depth, plan)
    ventricle = ventricle_level(points, plan.ventricles)
    aged = np.exp(-np.maximum(ventricle, 0) / 7.0) * 6.0 * plan.atrophy
    hu = WHITE_HU + 0.7 * slow - aged
    hu = blend(
        hu, GRAY_HU + 0.5 * slow, np.maximum(gray, cover(_deep_gray(points), 2.5))
    )
    above_tent, behind, infra = _tentorium(points)
    fissure, falx = _midline(points, plan)
    sulcus = np.minimum(
        sulcus, np.minimum(fissure, _sylvian_level(points, plan.atrophy))
    )
    folia = plan.folia.at((x * 0.6, y * 0.8, z * 1.3))
    core = cover(14.0 + 3 * slow - depth, 8.0)
    small_brain = GRAY_HU - 1.5 - 5.0 * core + 0.9 * folia
    stem = np.minimum(
        fields.ellipsoid(points, (0, 13, -8), (17, 14, 14)),
        fields.tube(
            points,
            [(0, 19, -26, 14), (0, 26, -50, 9), (0, 33, -70, 7), (0, 33, -240, 6.5)],
        ),
    )
    small_brain = blend(small_brain, 33.0, cover(stem, 2.0))
    hu = blend(hu, small_brain, np.maximum(infra, cover(stem, 2.0)))
    outer = np.where(infra > 0.5, depth - 1.0 - 1.5 * plan.atrophy, sulcus)
    outer = np.where(stem < 1.0, np.maximum(outer, 0.5), outer)
    canal = np.where((z < -58) & (stem > 0), -stem, 9.0)
    sulcus = np.minimum(np.minimum(outer, canal), _cistern_level(points, plan.atrophy))
    hu = blend(hu, CSF_HU, np.maximum(cover(sulcus, 1.3), cover(ventricle, 1.3)))
    hu = _dura(points, depth, hu, plan, falx, above_tent, behind)
    return BrainPoints(_calcifications(points, hu, plan), ventricle, sulcus, infra)


def _dura(points, depth, hu, plan, falx, above_tent, behind):
    """Falx, tentorium, venous sinuses and arteries at the base."""
    x, y, z = points
    blend, cover = fields.blend, fields.cover
    hu = blend(hu, plan.dura_hu, 0.75 * cover(falx, 1.0))
    incisura = np.hypot(x / 19, (y - 14) / 20) - 1.0
    sheet = np.maximum(np.abs(above_tent) - 0.7, np.maximum(-behind, -incisura * 18))
    hu = blend(hu, plan.dura_hu, 0.7 * cover(sheet, 1.0))
    sagittal = np.abs(x) - 4.5 * (1.0 - depth / 8.0)
    sagittal = np.maximum(sagittal, np.where((y > 0) | (z > 25), -1, 9.0) + 0 * x)
    sagittal = np.maximum(sagittal, -above_tent)
    transverse = np.hypot(np.maximum(depth - 2, 0), above_tent) - 3.6
    transverse = np.maximum(transverse, 30 - y)
    straight = fields.tube(points, [(0, 34, 5, 1.8), (0, 82, -13, 2.6)])
    veins = np.minimum(np.minimum(sagittal, transverse), straight)
    hu = blend(hu, plan.sinus_hu, cover(veins, 1.4))
    side = (np.abs(x), y, z)
    arteries = np.minimum(
        fields.tube(
            side, [(6, -10, -14, 1.4), (20, -14, -12, 1.4), (36, -16, -8, 1.0)]
        ),
        fields.tube(side, [(0.5, 4, -34, 1.6), (0.5, 2, -16, 1.7)]),
    )
    return blend(hu, 47.0, 0.9 * cover(arteries, 1.2))


def _calcifications(points, hu, plan):
    x, y, z = points
    side = (np.abs(x), y, z)
    pineal, plexus, pallidum = plan.calcified
    for size, where, place, density in (
        (pineal, points, (0, 25, 3), 160.0),
        (plexus, side, (24, 43, 10), 190.0),
        (pallidum, side, (20, -5, 2), 85.0),
    ):
        if size:
            level = fields.ellipsoid(where, place, (size, 1.3 * size, 1.5 * size))
            hu = fields.blend(hu, density, fields.cover(level, 1.4))
    return hu
