"""How blood pushes the brain of one slice aside, and the noise that stays in place."""

import dataclasses
import functools

import numpy as np

from ich_tf.synthetic import landmarks
from ich_tf.synthetic.phantom import fields, lesions

TISSUE_HU = 85.0
"""Denser pixels are partly bone."""

_RIM_MM = 4.5
_LEAST_PUSH_MM = 0.3
# How far beyond the blood at the bone the brain gives way.
_PUSH_MM = 40.0


def on_grid(values, where, fill: float = 0.0) -> np.ndarray:
    """Values of some pixels as an image, float32; `fill` elsewhere."""
    grid = np.full(where.shape, fill, np.float32)
    grid[where] = values
    return grid


def enlarged(image: np.ndarray, size: int) -> np.ndarray:
    """A picture of the grid at the side of a slice."""
    import cv2

    return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)


def displacement(points, spread, reach, center, volume_ml):
    """How far (x, y; mm) off the brain at each point lay before; None if there."""
    if center is not None:
        came_from = lesions.displace_by_mass(points.xyz, center, volume_ml)
    elif spread.lateral_mm2 is not None:
        came_from, _ = lesions.displace_by_lens(points.xyz, points.depth, spread, reach)
    else:
        return None
    across, along = (c - p for c, p in zip(came_from[:2], points.xyz[:2], strict=True))
    # What lay right beneath the bone is bright with it: it does not come along, and
    # where no blood came between, the brain stays at the bone.
    level = np.maximum(spread.level(reach), 0)
    most = np.maximum(points.depth - _RIM_MM, 0)
    share = np.minimum(1.0, most / (np.hypot(across, along) + 1e-3))
    if center is None:
        share = share * np.exp(-level / _PUSH_MM)
    return across * share, along * share


@functools.cache
def _pixels(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of each pixel, float32."""
    row, column = np.mgrid[:size, :size].astype(np.float32)
    return column, row


def push(hu, grain, anatomy, field, where):
    """Move the brain, in the slice and in its landmarks."""
    import cv2

    if field is None:
        return hu, anatomy
    steps = _steps(anatomy, field, where)
    far_mm = np.hypot(*steps) * anatomy.pixel_mm
    if far_mm.max() < _LEAST_PUSH_MM:
        return hu, anatomy
    size = len(hu)
    box = box_of((far_mm > 0.1) & (anatomy.depth > 0), size)

    def moved(image, box, how=cv2.INTER_LINEAR):
        scale = np.float32(len(image) / len(where))
        column, row = (
            place[box] + scale * enlarged(step, len(image))[box]
            for place, step in zip(_pixels(len(image)), steps, strict=True)
        )
        return cv2.remap(image, column, row, how, borderMode=cv2.BORDER_REPLICATE)

    depth, part = enlarged(anatomy.depth, size), hu[box]
    # What moves in from beneath the bone nobody has seen.
    beneath = (depth < _RIM_MM - 1) | ((depth < 6.0) & (hu > TISSUE_HU))
    tissue = np.where(beneath, anatomy.brain_hu + grain, hu)
    depth = depth[box]
    share = enlarged(np.clip(2 * far_mm, 0, 1), size)[box] * (depth > 0.5)
    pushed = fields.blend(part, moved(tissue, box, cv2.INTER_CUBIC), share)
    hu = hu.copy()
    hu[box] = np.where(depth < 1.5, np.maximum(part, pushed), pushed)
    whole = (slice(None), slice(None))
    return hu, dataclasses.replace(
        anatomy,
        ventricle=moved(anatomy.ventricle, whole),
        sulcus=moved(anatomy.sulcus, whole),
    )


def _steps(anatomy, field, where) -> list[np.ndarray]:
    """A displacement along the head's axes as columns and rows of the grid."""
    import cv2

    across, along = (
        (anatomy.x[0, 1] - anatomy.x[0, 0], anatomy.y[0, 1] - anatomy.y[0, 0]),
        (anatomy.x[1, 0] - anatomy.x[0, 0], anatomy.y[1, 0] - anatomy.y[0, 0]),
    )
    edge = np.clip(anatomy.depth[where] / 2.0, 0, 1) / np.float32(anatomy.pixel_mm**2)
    steps = [
        on_grid(edge * (field[0] * x + field[1] * y), where) for x, y in (across, along)
    ]
    return [cv2.GaussianBlur(step, (0, 0), 1.5) for step in steps]


def grain_of(hu, anatomy) -> np.ndarray:
    """The noise of a slice, (y, x), Hounsfield units."""
    import cv2

    sigma = 0.9 / (anatomy.pixel_mm * landmarks.GRID / len(hu))
    grain = np.clip(hu - cv2.GaussianBlur(hu, (7, 7), sigma), -10, 10)
    # Next to bone it is the edge of the bone.
    return grain * enlarged(np.clip(anatomy.depth / 3 - 0.7, 0, 1), len(hu))


def box_of(mask: np.ndarray, size: int) -> tuple[slice, slice]:
    """Rows and columns of a slice that hold a mask on the grid."""
    scale = size / len(mask)
    slices = []
    for axis in (1, 0):
        taken = np.flatnonzero(mask.any(axis=axis))
        slices.append(
            slice(int(taken[0] * scale), int(np.ceil((taken[-1] + 1) * scale)))
        )
    return tuple(slices)
