"""A real head CT without hemorrhage, as the painter of whole scans sees it."""

import dataclasses

import numpy as np

from ich_tf.synthetic import landmarks
from ich_tf.synthetic.landmarks import Landmarks

USUAL_STEP_MM = 5.0
"""Distance of neighbouring slices if it is unknown."""

# Height above the middle of the head where its cross-section is largest.
_WIDEST_MM = 12.0
_USUAL_MM2 = 15500.0
_STACK_PIXELS = 5


@dataclasses.dataclass(frozen=True, eq=False)
class HeadSlices:
    """The slices of a head with their landmarks.

    Attributes:
        hu: (z, side, side), float32, Hounsfield units.
        marks: Landmarks of each slice; None where no inside of a skull is found.
        heights_mm: (z,), height of each slice above the middle of an average head.
        step_mm: Distance of neighbouring slices, mm of an average head.
        hu_window: `Volume.hu_window`.
    """

    hu: np.ndarray
    marks: tuple[Landmarks | None, ...]
    heights_mm: np.ndarray
    step_mm: float
    hu_window: tuple[float, float] | None

    @property
    def usable(self) -> list[int]:
        """The z indices of the slices that can be painted on."""
        return [z for z, anatomy in enumerate(self.marks) if anatomy is not None]


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """Points inside the skull; all arrays have one shape.

    Attributes:
        xyz: Position to the left, to the back and upwards, mm.
        depth: Depth beneath the inner table, mm.
        ventricle: Distance to the ventricles, negative inside, mm.
        sulcus: Distance to other cerebrospinal fluid, negative inside, mm.
        clear: Whether a point holds no bone.
    """

    xyz: tuple[np.ndarray, np.ndarray, np.ndarray]
    depth: np.ndarray
    ventricle: np.ndarray
    sulcus: np.ndarray
    clear: np.ndarray


def survey(
    hu: np.ndarray,
    spacing_mm: tuple[float, float, float] | None,
    hu_window: tuple[float, float] | None,
) -> HeadSlices | None:
    """Find the landmarks of a scan.

    Args:
        hu: (z, side, side), Hounsfield units.
        spacing_mm: (z, y, x), or None if unknown.
        hu_window: `Volume.hu_window`.

    Returns:
        The scan; None if fewer than three slices can be painted on.
    """
    pixel_mm = None if spacing_mm is None else spacing_mm[1]
    marks = [landmarks.find(image, pixel_mm) for image in hu]
    if sum(anatomy is not None for anatomy in marks) < 3:
        return None
    if pixel_mm is None:
        pixel_mm = landmarks.USUAL_PIXEL_MM * 512 / hu.shape[1]
    grid_mm = pixel_mm * hu.shape[1] / landmarks.GRID
    areas = np.array(
        [
            0 if anatomy is None else np.count_nonzero(anatomy.depth > 0)
            for anatomy in marks
        ]
    )
    scale = float(np.clip(np.sqrt(_USUAL_MM2 / (areas.max() * grid_mm**2)), 0.8, 1.4))
    marks = [anatomy and scaled(anatomy, scale * grid_mm) for anatomy in marks]
    step_mm = USUAL_STEP_MM if spacing_mm is None else spacing_mm[0] * scale
    smooth = np.convolve(areas, np.ones(3) / 3, mode="same")
    heights = _WIDEST_MM + step_mm * (np.arange(len(hu)) - int(np.argmax(smooth)))
    return HeadSlices(
        hu.astype(np.float32),
        tuple(marks),
        heights.astype(np.float32),
        step_mm,
        hu_window,
    )


def scaled(anatomy: Landmarks, pixel_mm: float) -> Landmarks:
    """The landmarks with all lengths for pixels of another size."""
    factor = np.float32(pixel_mm / anatomy.pixel_mm)
    return dataclasses.replace(
        anatomy,
        pixel_mm=pixel_mm,
        **{
            name: getattr(anatomy, name) * factor
            for name in ("depth", "x", "y", "ventricle", "sulcus")
        },
    )


def points_at(anatomy: Landmarks, where: np.ndarray, height_mm: float) -> Points:
    """The points of one slice.

    Args:
        anatomy: The slice's landmarks.
        where: (GRID, GRID), bool: which points.
        height_mm: The slice's height.
    """
    x, y, depth, ventricle, sulcus, clear = (
        values[where]
        for values in (
            anatomy.x,
            anatomy.y,
            anatomy.depth,
            anatomy.ventricle,
            anatomy.sulcus,
            anatomy.clear,
        )
    )
    height = np.full(x.shape, height_mm, np.float32)
    return Points((x, y, height), depth, ventricle, sulcus, clear)


def coarse_points(scan: HeadSlices) -> tuple[Points, float]:
    """Points of all slices, every fifth of each row, and the ml each stands for."""
    coarse = np.zeros((landmarks.GRID, landmarks.GRID), bool)
    coarse[::_STACK_PIXELS, ::_STACK_PIXELS] = True
    parts = [
        points_at(scan.marks[z], coarse & (scan.marks[z].depth > 0), height)
        for z, height in enumerate(scan.heights_mm)
        if scan.marks[z] is not None
    ]
    joined = Points(
        tuple(np.concatenate([part.xyz[axis] for part in parts]) for axis in range(3)),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("depth", "ventricle", "sulcus", "clear")
        ),
    )
    pixel_mm = scan.marks[scan.usable[0]].pixel_mm
    return joined, (_STACK_PIXELS * pixel_mm) ** 2 * scan.step_mm / 1000
