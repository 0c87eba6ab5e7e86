"""The skull: vault, base and the bone between its tables.

Canonical head coordinates, mm: x to the patient's left, y to the back, z up; the
origin lies near the third ventricle of an adult of average size.
"""

import dataclasses
import functools

import numpy as np

from ich_tf.synthetic.phantom import face, fields
from ich_tf.synthetic.phantom.face import CANAL
from ich_tf.volume import AIR_HU


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
    return radius * (1.0 - 1.0 / np.maximum(gauge, 0.05)) + 1.6 * noise * np.clip(
        1.6 - z / 45, 0.15, 1.0
    )


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
    height = np.maximum(height, -63 + 50 * lesser_wing)
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


def _edge(level, spacing_mm, sharpness_mm=1.0):
    """Turn a level into a distance and give the edge's width in a thick slice."""
    along_z = np.gradient(level, spacing_mm[0], axis=0) if len(level) > 1 else 0 * level
    along_y = np.gradient(level, spacing_mm[1], axis=1)
    along_x = np.gradient(level, spacing_mm[2], axis=2)
    slope = np.sqrt(along_z**2 + along_y**2 + along_x**2)
    slope = np.clip(slope, 0.5, 3.0)
    # Far from the surface the level itself is the better distance.
    slope = 1.0 + (slope - 1.0) / (1.0 + (level / 5.0) ** 2)
    share_z = np.minimum(np.abs(along_z) / slope, 1.0)
    return level / slope, sharpness_mm + (spacing_mm[0] - sharpness_mm) * share_z


@dataclasses.dataclass(frozen=True, eq=False)
class _Textures:
    """Noise that makes one skull differ from another, (z, y, x) each.

    Attributes:
        broad: Waves of 130 mm, for size and shape.
        fine: Waves of 60 mm, for thickness.
        wavy: Waves of 26 mm, for the base and for muscles.
        cells: Waves of 7 mm, for air cells and diploe.
        bone_mm: Thickness of the vault against average.
        scalp_mm: Thickness of the scalp.
    """

    broad: np.ndarray
    fine: np.ndarray
    wavy: np.ndarray
    cells: np.ndarray
    bone_mm: float
    scalp_mm: float

    @classmethod
    def draw(cls, points, spacing_mm, rng):
        """Draw the noise for a grid of canonical points."""
        shape = points[0].shape
        wavy = fields.BandNoise.draw(rng, 26.0, side=32, spread=0.4)
        cells = fields.BandNoise.draw(rng, 7.0, spread=0.4)
        return cls(
            broad=fields.smooth_volume(rng, shape, spacing_mm, 130.0),
            fine=fields.smooth_volume(rng, shape, spacing_mm, 60.0),
            wavy=_texture(wavy, points),
            cells=_texture(cells, points),
            bone_mm=rng.normal(0, 0.7),
            scalp_mm=5.5 + rng.normal(0, 0.8),
        )

    def part(self, chunk: slice):
        """The same for some of the slices."""
        arrays = {
            name: getattr(self, name)[chunk]
            for name in ("broad", "fine", "wavy", "cells")
        }
        return dataclasses.replace(self, **arrays)


def _levels(points, textures: _Textures):
    """Levels of inner table, outer side of the bone and skin, negative inside."""
    x, y, z = points
    wavy, cells = textures.wavy, textures.cells
    vault = _vault(points, textures.broad)
    rough = (x + 1.5 * wavy, y - 1.2 * wavy + 0.5 * cells, z)
    floor = _sample(_base_relief(), rough)
    canal = np.sqrt((x - CANAL[0]) ** 2 + (y - CANAL[1]) ** 2) - 13.5
    inside = _rounded_max(vault, floor - z, 3.0)
    inside = np.minimum(inside, np.maximum(canal, z + 48))
    thickness = 6.2 + 2.2 * (y / 86) ** 2 + 0.9 * textures.fine + textures.bone_mm
    outside = vault - np.maximum(thickness, 2.5)
    below = floor - _sample(_base_thickness(), rough) - 1.5 * wavy - z
    shell = _rounded_max(outside, below, 1.0)
    skin = outside - np.maximum(textures.scalp_mm + textures.broad, 3.0)
    return inside, shell, skin


def _bone(points, inner, outer, textures: _Textures) -> np.ndarray:
    """Density of bone: two dense tables, diploe between, air cells."""
    depth = np.clip(np.minimum(-outer, inner), 0, 4)
    hu = 1250.0 - 520.0 * np.clip(depth - 1.4, 0, 1)
    hu = hu + 90 * textures.fine + 60 * textures.cells
    side = (np.abs(points[0]), points[1], points[2])
    mastoid = fields.ellipsoid(side, (59, 30, -34), (13, 15, 18))
    cell = np.maximum(mastoid, 1.0 - 2.6 * textures.cells)
    hu = fields.blend(hu, AIR_HU + 150, fields.cover(cell, 1.5))
    frontal = fields.ellipsoid(side, (9, -90, -4), (11, 5, 12))
    return fields.blend(hu, AIR_HU, fields.cover(frontal, 1.5))


def build(points, spacing_mm, rng) -> Skull:
    """Model skull, face and scalp.

    Args:
        points: Canonical x, y, z of the voxels, (z, y, x) arrays, mm.
        spacing_mm: (z, y, x) of the grid.
        rng: numpy Generator.
    """
    textures = _Textures.draw(points, spacing_mm, rng)
    # A few slices at a time stay in the processor's cache: three times faster.
    chunks = [slice(k, k + 2) for k in range(0, len(points[0]), 2)]
    inner, outer, skin, bone, outside = (np.empty_like(points[0]) for _ in range(5))
    for chunk in chunks:
        part = tuple(p[chunk] for p in points)
        inner[chunk], outer[chunk], skin[chunk] = _levels(part, textures.part(chunk))
    inner, inner_width = _edge(inner, spacing_mm)
    outer, outer_width = _edge(outer, spacing_mm)
    for chunk in chunks:
        part, noise = tuple(p[chunk] for p in points), textures.part(chunk)
        bone[chunk] = _bone(part, inner[chunk], outer[chunk], noise)
        outside[chunk] = face.soft_tissue(
            part, skin[chunk], noise.broad, noise.wavy, noise.cells
        )
    return Skull(inner, inner_width, outer, outer_width, bone, outside)
