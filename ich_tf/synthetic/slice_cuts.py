"""Lesions in a stack of slices that repeat a real one, and the cut that it shows.

The points of the slice, and of the coarse stack about it, are those that the phantom's
painters rank; see `painting`.
"""

import dataclasses

import numpy as np

from ich_tf.synthetic import landmarks
from ich_tf.synthetic.phantom import fields, lesions

SMALLEST_MM2 = 15.0
"""A cut through a lesion that is smaller is not painted."""
_STACK_MM = np.arange(-40.0, 41.0, 5.0, dtype=np.float32)
_STACK_PIXELS = 5
# The inside of a skull is about a ball: this far from the slice it ends.
_HEAD_MM = 72.0
# Nothing larger lies along the falx.
_FALX_ML = 12.0


@dataclasses.dataclass(frozen=True, eq=False)
class SlicePoints:
    """Points of a slice, or of the coarse stack about it, as the painters take them."""

    xyz: tuple[np.ndarray, np.ndarray, np.ndarray]
    depth: np.ndarray
    ventricle: np.ndarray
    sulcus: np.ndarray
    clear: np.ndarray
    shifted: tuple[np.ndarray, np.ndarray, np.ndarray]

    @property
    def wobble(self) -> np.ndarray:
        """Noise of 16 mm at the points, deviation 1."""
        return fields.lesion_noise()[0].at(self.shifted)

    @property
    def slow(self) -> np.ndarray:
        """Noise of 28 mm at the points, deviation 1."""
        return fields.lesion_noise()[1].at(self.shifted)


def points_at(anatomy: landmarks.Landmarks, where, height_mm, offset) -> SlicePoints:
    """The points of the grid in `where`, `height_mm` (array or number) above."""
    x, y, depth, ventricle, sulcus = (
        np.broadcast_to(values[where], np.broadcast(values[where], height_mm).shape)
        for values in (
            anatomy.x,
            anatomy.y,
            anatomy.depth,
            anatomy.ventricle,
            anatomy.sulcus,
        )
    )
    height = np.broadcast_to(np.float32(height_mm), x.shape)
    return SlicePoints(
        (x, y, height),
        depth,
        ventricle,
        sulcus,
        np.broadcast_to(anatomy.clear[where], x.shape),
        tuple(p + o for p, o in zip((x, y, height), offset, strict=True)),
    )


def _stack(anatomy: landmarks.Landmarks, middle_mm: float, offset) -> SlicePoints:
    """The coarse stack: the slice repeated, within a skull that narrows, (z, n)."""
    coarse = np.zeros(anatomy.depth.shape, bool)
    coarse[::_STACK_PIXELS, ::_STACK_PIXELS] = True
    where = coarse & (anatomy.depth > 0)
    rise = _STACK_MM[:, None]
    points = points_at(anatomy, where, np.float32(middle_mm) + rise, offset)
    narrower = _HEAD_MM * (1 - np.sqrt(1 - (rise / (1.15 * _HEAD_MM)) ** 2))
    depth = points.depth - narrower
    # Ventricles and fissures reach a few slices up and down.
    away = np.maximum(np.abs(rise) - 12.0, 0) * np.float32(0.5)
    return dataclasses.replace(
        points,
        depth=depth,
        clear=points.clear & (depth > 0),
        ventricle=points.ventricle + away,
    )


def lesion(name: str, volume_ml: float, points: SlicePoints, seed):
    """A lesion at points and the center of a mass; equal seeds make equal lesions."""
    rng = np.random.default_rng(seed)
    if name == "intraparenchymal":
        return lesions.intraparenchymal(points.xyz, points.depth, rng, points.wobble)
    if name == "intraventricular":
        spread = lesions.intraventricular(
            points.xyz, points.ventricle, rng, points.wobble
        )
    elif name == "subarachnoid":
        spread = lesions.subarachnoid(
            points.xyz, points.depth, points.sulcus, rng, points.wobble
        )
    elif name == "subdural" and volume_ml > _FALX_ML:
        spread = lesions.subdural(points.xyz, points.depth, rng, falx_share=0.0)
    else:
        painter = {"epidural": lesions.epidural, "subdural": lesions.subdural}[name]
        spread = painter(points.xyz, points.depth, rng)
    return spread, None


def cut(name, volume_ml, anatomy, middle_mm, seed, rng):
    """Where the slice cuts a lesion of a volume.

    Returns:
        Height of the slice in the head and reach of the lesion, both in mm, and the
        offset of its noise; None if the slice cuts it nowhere.
    """
    offset = np.random.default_rng([*seed, 1]).uniform(0, 300, 3).astype(np.float32)
    stack = _stack(anatomy, middle_mm, offset)
    spread, _ = lesion(name, volume_ml, stack, seed)
    pixel_mm2 = (_STACK_PIXELS * anatomy.pixel_mm) ** 2
    reach = spread.reach_mm(volume_ml, pixel_mm2 * 5.0 / 1000, stack.clear)
    if not np.isfinite(reach):
        return None
    area = np.count_nonzero((spread.level(reach) < 0) & stack.clear, axis=1) * pixel_mm2
    share = (area >= SMALLEST_MM2) * np.exp(-np.abs(_STACK_MM) / 20.0)
    if not share.any():
        return None
    layer = rng.choice(len(share), p=share / share.sum())
    return middle_mm + float(_STACK_MM[layer]), reach, offset
