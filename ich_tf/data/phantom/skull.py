"""Skull, face and scalp: everything outside the intracranial space.

Canonical head coordinates, mm: x to the patient's left, y to the back, z up; the
origin lies near the third ventricle of an adult of average size.
"""

import dataclasses
import functools

import numpy as np

from ich_tf.data.phantom import fields

AIR_HU = -1000.0
FAT_HU = -95.0
MUSCLE_HU = 56.0
FACE_TOP_MM = 22.0
_CANAL = (0.0, 33.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Skull:
    """The skull on a grid.

    Attributes:
        inner: (z, y, x), signed distance to the inner table, negative inside, mm.
        inner_width: (z, y, x), length of that edge over a thick slice, mm.
        outer: (z, y, x), signed distance to the outer side of the bone, mm.
        outer_width: (z, y, x), the same for the outer side.
        bone_hu: (z, y, x), what lies between: diploe and the two tables.
        outside_hu: (z, y, x), everything that is neither bone shell nor inside.
    """

    inner: np.ndarray
    inner_width: np.ndarray
    outer: np.ndarray
    outer_width: np.ndarray
    bone_hu: np.ndarray
    outside_hu: np.ndarray


def _vault(points, noise) -> np.ndarray:
    """Signed distance to the inner table above the base; egg-shaped, boxy."""
    x, y, z = points
    t = y * np.float32(1 / 86)
    half_width = 66.5 * (1.0 + 0.10 * t - 0.11 * t * t)
    u = x / half_width
    v = y * np.float32(1 / 85)
    w = z * np.where(z > 0, np.float32(1 / 73), np.float32(1 / 112))
    square = u * u + v * v + w * w + np.float32(1e-6)
    boxy = (u * u * v * v + w * w * (u * u + v * v)) / (square * square)
    gauge = np.sqrt(square) * (1.0 - 0.20 * boxy)
    radius = np.sqrt(x * x + y * y + z * z)
    return radius * (1.0 - 1.0 / np.maximum(gauge, 0.05)) + 1.6 * noise


@functools.cache
def _base_relief() -> np.ndarray:
    """(201, 201) height of the floor of the cranial cavity, 1 mm steps, by y and x."""
    import cv2

    y, x = np.mgrid[-100.0:101.0, -100.0:101.0].astype(np.float32)
    side = np.abs(x)
    ridge_front = -20.0 - 0.20 * np.maximum(side - 12, 0)
    ridge_back = 4.0 + 0.58 * np.maximum(side - 12, 0)
    front = y < ridge_front
    back = y > ridge_back
    middle = ~front & ~back
    bowl = ((side - 38) / 20) ** 2 + ((y + 6) / 24) ** 2
    height = (-39.0 + 9.0 * bowl).astype(np.float32)
    roof = 9 * np.exp(-(((side - 30) / 14) ** 2) - ((y + 50) / 22) ** 2)
    height = np.where(front, -20 + roof + 0.22 * np.maximum(-30 - y, 0), height)
    hollow = ((side - 14) / 50) ** 2 + ((y - 40) / 44) ** 2
    height = np.where(back, -63 + 42 * hollow, height)
    height[middle & (side < 13)] = -15.0
    clivus = back & (side < 16)
    height[clivus] = np.clip(-16 - 2.6 * (y[clivus] - 4), -60, -16)
    height = cv2.GaussianBlur(height, (0, 0), 2.5)
    lesser_wing = np.exp(-(((y - ridge_front) / 3.0) ** 2)) * (side > 9) * (side < 58)
    petrous = np.exp(-(((y - ridge_back) / 5.5) ** 2)) * (side > 12) * (side < 66)
    height = np.maximum(height, -37 + 24 * lesser_wing)
    height = np.maximum(height, -60 + (43 - 0.06 * side) * petrous)
    dorsum = np.exp(-(((y + 1.0) / 2.0) ** 2) - (x / 9) ** 4)
    height = np.maximum(height, -60 + 51 * dorsum)
    return cv2.GaussianBlur(height, (0, 0), 1.2)


@functools.cache
def _base_thickness() -> np.ndarray:
    """(201, 201) thickness of the bone beneath the floor, mm."""
    import cv2

    y, x = np.mgrid[-100.0:101.0, -100.0:101.0].astype(np.float32)
    side = np.abs(x)
    ridge_back = 4.0 + 0.58 * np.maximum(side - 12, 0)
    thickness = np.full(x.shape, 3.5, np.float32)
    thickness += 16 * np.exp(-(((y - ridge_back - 1) / 9) ** 2)) * (side > 10)
    thickness += 9 * np.exp(-((x / 15) ** 4) - ((y + 2) / 16) ** 4)
    return cv2.GaussianBlur(thickness, (0, 0), 2.0)


def _sample(chart: np.ndarray, points) -> np.ndarray:
    import cv2

    x, y, _ = points
    return np.stack(
        [
            cv2.remap(
                chart,
                u + 100,
                v + 100,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for u, v in zip(x, y, strict=True)
        ]
    )


def _texture(noise: fields.BandNoise, points) -> np.ndarray:
    """Noise on a grid, sampled at every other row and column for speed."""
    import cv2

    size = points[0].shape[:0:-1]
    sampled = noise.at([p[:, ::2, ::2] for p in points])
    return np.stack([cv2.resize(layer, size) for layer in sampled])


def _rounded_max(first, second, rounding_mm):
    gap = first - second
    return 0.5 * (first + second + np.sqrt(gap * gap + rounding_mm**2))


def _edge(level, spacing_mm, pixel_mm):
    """Turn a level into a distance and give the edge's width in a thick slice."""
    along_z = np.gradient(level, spacing_mm[0], axis=0) if len(level) > 1 else 0 * level
    along_y = np.gradient(level, spacing_mm[1], axis=1)
    along_x = np.gradient(level, spacing_mm[2], axis=2)
    slope = np.sqrt(along_z**2 + along_y**2 + along_x**2)
    slope = np.clip(slope, 0.5, 3.0)
    # Far from the surface the level itself is the better distance.
    slope = 1.0 + (slope - 1.0) / (1.0 + (level / 5.0) ** 2)
    share_z = np.minimum(np.abs(along_z) / slope, 1.0)
    return level / slope, pixel_mm + (spacing_mm[0] - pixel_mm) * share_z


def build(points, spacing_mm, rng) -> Skull:
    """Model skull, face and scalp.

    Args:
        points: Canonical x, y, z of the voxels, (z, y, x) arrays, mm.
        spacing_mm: (z, y, x) of the grid.
        rng: numpy Generator.
    """
    x, y, z = points
    shape = x.shape
    broad = fields.smooth_volume(rng, shape, spacing_mm, 130.0)
    fine = fields.smooth_volume(rng, shape, spacing_mm, 60.0)
    cells = _texture(fields.BandNoise.draw(rng, 7.0, spread=0.4), points)
    vault = _vault(points, broad)
    wavy = _texture(fields.BandNoise.draw(rng, 26.0, side=32, spread=0.4), points)
    rough = (x + 1.5 * wavy, y - 1.2 * wavy + 0.5 * cells, z)
    floor = _sample(_base_relief(), rough)
    canal = np.sqrt((x - _CANAL[0]) ** 2 + (y - _CANAL[1]) ** 2) - 13.5
    inside = _rounded_max(vault, floor - z, 3.0)
    inside = np.minimum(inside, np.maximum(canal, z + 48))
    thickness = 6.2 + 2.2 * (y / 86) ** 2 + 0.9 * fine + rng.normal(0, 0.7)
    below = floor - _sample(_base_thickness(), rough) - 1.5 * wavy - z
    shell = _rounded_max(vault - np.maximum(thickness, 2.5), below, 1.0)
    inner, inner_width = _edge(inside, spacing_mm, 1.0)
    outer, outer_width = _edge(shell, spacing_mm, 1.0)
    depth = np.clip(np.minimum(-outer, inner), 0, 4)
    bone = 1250.0 - 520.0 * np.clip(depth - 1.4, 0, 1) + 90 * fine + 60 * cells
    bone = _air_cells(points, bone, cells)
    scalp = 5.5 + 1.0 * broad + rng.normal(0, 0.8)
    skin = vault - np.maximum(thickness, 2.5) - np.maximum(scalp, 3.0)
    outside = _soft_tissue(points, skin, broad, wavy, cells)
    return Skull(inner, inner_width, outer, outer_width, bone, outside)


def _air_cells(points, bone, cells):
    """Mastoid cells and the frontal sinus, air within the bone."""
    side = (np.abs(points[0]), points[1], points[2])
    mastoid = fields.ellipsoid(side, (59, 30, -34), (13, 15, 18))
    cell = np.maximum(mastoid, 1.0 - 2.6 * cells)
    bone = fields.blend(bone, AIR_HU + 150, fields.cover(cell, 1.5))
    frontal = fields.ellipsoid(side, (9, -90, -4), (11, 5, 12))
    return fields.blend(bone, AIR_HU, fields.cover(frontal, 1.5))


def _soft_tissue(points, skin, broad, wavy, cells):
    """Scalp everywhere; face, orbits, sinuses and neck in the low slices."""
    low = np.flatnonzero(points[2].min(axis=(1, 2)) < FACE_TOP_MM)
    if len(low):
        part = tuple(p[low] for p in points)
        skin = skin.copy()
        skin[low] = np.minimum(
            _face_skin(part), skin[low] + 3 * np.clip((-part[2] - 45) / 10, 0, 20)
        )
    # Muscle bellies between thin planes of fat, more fat towards the vertex.
    thinner = np.clip(0.05 * points[2], 0.0, 3.0)
    planes = 0.9 + 1.1 * broad - 3.5 * np.abs(wavy + 0.2 * cells) + thinner
    muscle = fields.cover(planes, 1.2)
    deep = fields.blend(np.full(skin.shape, FAT_HU, np.float32), MUSCLE_HU, muscle)
    hu = fields.blend(deep, FAT_HU, fields.cover(-skin - 3.4, 1.5))
    hu = fields.blend(hu, 45.0, fields.cover(-skin - 1.7, 1.2))
    if len(low):
        hu[low] = _face(part, hu[low], skin[low], cells[low], wavy[low])
    return fields.blend(hu, AIR_HU, fields.cover(-skin, 1.2))


def _face_skin(points):
    x, y, z = points
    head = fields.ellipsoid(points, (0, -25, -55), (67, 73, 78))
    nose = fields.ellipsoid(points, (0, -96, -52), (13, 17, 20))
    neck = np.sqrt((x / 58) ** 2 + ((y - 28) / 62) ** 2)
    neck = np.maximum((neck - 1) * 58, z + 30)
    ear = fields.ellipsoid((np.abs(x), y, z), (80, 20, -32), (5, 15, 24))
    gap = np.maximum(28 - np.abs(head - neck), 0)
    throat = np.minimum(head, neck) - gap * gap / 112
    return np.minimum(np.minimum(throat, nose), ear)


def _face(points, hu, skin, cells, wavy):
    """Orbits, sinuses, nasal cavity, zygoma, jaw, pharynx and upper spine."""
    x, y, z = points
    side = (np.abs(x), y, z)
    blend, cover, ellipsoid = fields.blend, fields.cover, fields.ellipsoid
    # Walls first, cavities into them afterwards.
    zygoma = fields.tube(
        side, [(36, -88, -42, 5), (58, -66, -44, 6), (67, -35, -42, 3), (66, 5, -38, 4)]
    )
    jaw = fields.tube(side, [(50, 2, -44, 6), (50, -4, -75, 6), (40, -50, -112, 7)])
    arch = np.abs(np.hypot(x / 30, np.minimum(y + 52, 0) / 40) - 1) * 30 - 4.5
    arch = np.maximum(arch, np.maximum(np.abs(z + 93) - 17, y + 46))
    palate = ellipsoid(points, (0, -56, -84), (24, 24, 2))
    walls = np.minimum(np.minimum(zygoma, jaw), np.minimum(arch, palate))
    orbit = ellipsoid(side, (32, -60, -28), (19, 29, 18))
    antrum = ellipsoid(side, (29, -60, -58), (15, 19, 16))
    nasal = ellipsoid(points, (0, -60, -58), (15, 36, 26))
    ethmoid = ellipsoid(points, (0, -52, -30), (14, 32, 15))
    sphenoid = ellipsoid(points, (0, -12, -28), (13, 12, 10))
    for cavity, wall_mm in (
        (orbit, 2.6),
        (antrum, 2.2),
        (nasal, 2.0),
        (ethmoid, 2.0),
        (sphenoid, 3.5),
    ):
        walls = np.minimum(walls, cavity - wall_mm)
    walls = np.maximum(walls, skin + 3.0)
    hu = blend(hu, 950.0, cover(walls, 1.3))
    septa = np.minimum(1.2 - 2.0 * np.abs(cells), 1.0)
    septum = 1.0 - np.abs(x + 1.5 * wavy)
    for cavity, partition in (
        (antrum, -9.0),
        (nasal, np.maximum(septum, 2.0 - 4.0 * np.abs(wavy + 0.4 * cells - 0.6))),
        (ethmoid, septa),
        (sphenoid, septum - 0.2),
    ):
        partition = np.broadcast_to(np.float32(partition), cavity.shape)
        hu = blend(hu, AIR_HU, cover(np.maximum(cavity, partition), 1.4))
    hu = _eyes(side, hu, orbit)
    pharynx = ellipsoid(points, (0, -12, -95), (11, 7, 34))
    hu = blend(hu, AIR_HU, cover(pharynx, 1.5))
    ring = np.abs(np.hypot(x - _CANAL[0], y - _CANAL[1]) - 18.0) - 3.5
    body = np.hypot(x / 1.5, y - 12) - 8.0
    spine = np.maximum(np.minimum(ring, body), z + 64)
    spine = np.maximum(spine, 14.5 - np.hypot(x - _CANAL[0], y - _CANAL[1]))
    return blend(hu, 800.0, cover(spine, 1.5))


def _eyes(side, hu, orbit):
    """Fat, globe with wall and lens, optic nerve and eye muscles."""
    blend, cover = fields.blend, fields.cover
    fat = np.maximum(orbit, -(side[1] + 86))
    hu = blend(hu, FAT_HU + 15, cover(fat, 1.2))
    nerve = fields.tube(side, [(32, -62, -28, 2.2), (14, -32, -25, 2.0)])
    lateral = fields.tube(
        side, [(46, -66, -28, 1.8), (38, -48, -27, 2.4), (18, -33, -25, 2)]
    )
    medial = fields.tube(
        side, [(20, -66, -28, 1.8), (17, -48, -27, 2.2), (14, -33, -25, 2)]
    )
    cord = np.minimum(np.minimum(nerve, lateral), medial)
    hu = blend(hu, 42.0, cover(cord, 1.3))
    globe = fields.ellipsoid(side, (32, -75, -29), (12, 12, 12))
    hu = blend(hu, 45.0, cover(globe, 1.2))
    hu = blend(hu, 8.0, cover(globe + 1.6, 1.2))
    lens = fields.ellipsoid(side, (32, -84, -29), (4.5, 2.2, 4.5))
    return blend(hu, 80.0, cover(lens, 1.2))
