"""From single slices with a place in space to one volume.

Slices are sorted by their position along the slice normal. Gaps, uneven steps,
gantry tilt and repeated slices are reported in the volume's notes.
"""

import dataclasses
import math
import pathlib

import numpy as np

from ich_tf.io import nifti
from ich_tf.volume import Volume

SAME_POSITION_MM = 0.01
UNEVEN_MM = 0.05
SHIFTED_MM = 1.0
TILT_DEGREES = 0.5
GAP_FACTOR = 1.5


@dataclasses.dataclass(frozen=True, eq=False)
class Plane:
    """One slice: where it is and how its stored values become HU.

    Attributes:
        path: The file.
        frame: Number of the frame in the file, from 0.
        size: Rows and columns.
        position: (3,), LPS millimetres of the first pixel; None if unknown.
        orientation: (6,), direction of a row, then of a column; None if unknown.
        spacing: (2,), distance of rows and of columns in mm; None if unknown.
        thickness: Slice thickness in mm; None if unknown.
        slope: HU per stored unit, NaN if the header has none.
        intercept: HU of the stored value 0, NaN if the header has none.
    """

    path: pathlib.Path
    frame: int
    size: tuple[int, int]
    position: np.ndarray | None
    orientation: np.ndarray | None
    spacing: np.ndarray | None
    thickness: float | None
    slope: float
    intercept: float

    @property
    def normal(self) -> np.ndarray:
        """Unit normal of the slice, towards the head."""
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        return normal * (-1 if normal[2] < 0 else 1) / np.linalg.norm(normal)

    @property
    def placed(self) -> bool:
        """Whether the header says where the slice is."""
        place = (self.position, self.orientation, self.spacing)
        return all(part is not None for part in place)


def check_alike(planes: list[Plane]) -> None:
    """Refuse slices that do not form one volume.

    Raises:
        ValueError: if size, pixel spacing or orientation differ; names both files.
    """
    first = planes[0]
    for plane in planes[1:]:
        for what, one, other, tolerance in (
            ("size", first.size, plane.size, 0),
            ("PixelSpacing", first.spacing, plane.spacing, 1e-3),
            ("orientation", first.orientation, plane.orientation, 2e-3),
        ):
            if one is None or other is None:
                alike = one is other
            else:
                alike = np.allclose(one, other, rtol=0, atol=tolerance)
            if not alike:
                raise ValueError(
                    f"the slices do not form one volume: {first.path} has {what} "
                    f"{one}, {plane.path} has {other}."
                )


def _without_geometry(
    planes: list[Plane], stack: np.ndarray, notes: list[str]
) -> Volume:
    if len(planes) > 1:
        raise ValueError(
            f"{planes[0].path} and {len(planes) - 1} more slices have no complete "
            "geometry (Pixel Spacing, Image Position, Image Orientation), so they have "
            "no order. Read them one by one."
        )
    notes = [*notes, "no complete geometry in the header: no spacing"]
    return Volume(stack, None, None, None, notes=tuple(notes))


def _drop_repeated(
    planes: list[Plane], stack: np.ndarray, notes: list[str]
) -> tuple[list[Plane], np.ndarray]:
    """Sort along the normal and drop slices that repeat another."""
    normal = planes[0].normal
    along = np.array([plane.position @ normal for plane in planes])
    kept = []
    for index in np.argsort(along, kind="stable"):
        if not kept or along[index] - along[kept[-1]] > SAME_POSITION_MM:
            kept.append(index)
            continue
        one, other = planes[kept[-1]].path, planes[index].path
        if not np.array_equal(stack[kept[-1]], stack[index]):
            raise ValueError(
                f"{one} and {other} lie at the same position with different pixels. "
                "Move one of the two reconstructions to a folder of its own."
            )
        notes.append(f"repeated slice left out: {other.name} is {one.name}")
    if kept != list(range(len(planes))):
        stack = stack[kept]
    return [planes[index] for index in kept], stack


def _spacing_notes(steps: np.ndarray, planes: list[Plane]) -> list[str]:
    """Report gaps and uneven steps between neighbouring slices."""
    if not steps.size:
        return []
    notes = []
    usual = float(np.median(steps)) if steps.size > 1 else 0.0
    for index, step in enumerate(steps):
        pair = [plane.thickness or 0.0 for plane in planes[index : index + 2]]
        expected = max(usual, *pair)
        if expected and step > GAP_FACTOR * expected:
            missing = max(1, round(step / expected) - 1)
            notes.append(
                f"missing slices: a gap of {step:.2f} mm after slice {index + 1} where "
                f"{expected:.2f} mm is usual, about {missing} slice(s)"
            )
    if np.ptp(steps) > max(UNEVEN_MM, 0.01 * usual):
        off_mm = np.abs(np.cumsum(steps - usual)).max()
        notes.append(
            f"uneven spacing: {steps.min():.2f} to {steps.max():.2f} mm between "
            f"slices, the affine has the median and is up to {off_mm:.1f} mm off; only "
            "volumes given in ml know the true steps"
        )
    return notes


def _shift_notes(planes: list[Plane]) -> list[str]:
    """Report slices that lie beside the line from the first to the last."""
    if len(planes) < 3:
        return []
    normal, first = planes[0].normal, planes[0].position
    places = np.array([plane.position - first for plane in planes])
    along = places @ normal
    beside = places - np.outer(along / along[-1], places[-1])
    far = np.linalg.norm(beside, axis=1)
    return [
        f"slice {number + 1} lies {far[number]:.1f} mm beside the line of the others; "
        "the affine does not know it"
        for number in np.flatnonzero(far > SHIFTED_MM)
    ]


def assemble(
    planes: list[Plane], stack: np.ndarray, notes: list[str], *, origin: str
) -> Volume:
    """Sort, stack and place slices.

    Args:
        planes: At least one slice; all of them alike (`check_alike`).
        stack: (slices, rows, columns), float32, the HU of each; not copied where
            the volume can have it as it is.
        notes: What was found so far.
        origin: See `Volume.origin`.

    Raises:
        ValueError: if slices have no order, or repeat a position with other pixels.
    """
    if not all(plane.placed for plane in planes):
        return _without_geometry(planes, stack, notes)
    notes = list(notes)
    planes, stack = _drop_repeated(planes, stack, notes)
    positions_mm = np.array([plane.position @ planes[0].normal for plane in planes])
    steps = np.diff(positions_mm)
    notes += [*_spacing_notes(steps, planes), *_shift_notes(planes)]
    if not steps.size and not planes[0].thickness:
        notes.append("one slice without Slice Thickness: no spacing")
    lps, tilt = _file_affine(planes, steps)
    if tilt > TILT_DEGREES:
        notes.append(
            f"gantry tilt of {tilt:.1f} degrees, kept in the affine (of NIfTI files in "
            "the sform; programs that know right angles only refuse them)"
        )
    shape = (len(planes), *planes[0].size)
    grid = nifti.closest_grid(shape, np.diag([-1, -1, 1, 1]) @ lps)
    if grid.axes[0] != 0 or grid.flips[0]:
        raise ValueError(
            f"{planes[0].path}: the slices are tilted by {tilt:.0f} degrees against "
            "their stack and cannot be read as axial slices."
        )
    hu = np.ascontiguousarray(grid.from_source(stack))
    if not steps.size and not planes[0].thickness:
        return Volume(hu, None, None, None, origin=origin, notes=tuple(notes))
    affine = nifti.lps_affine(grid)
    spacing_mm, _ = nifti.place(affine, len(planes))
    return Volume(
        hu, spacing_mm, positions_mm, affine, origin=origin, notes=tuple(notes)
    )


def _file_affine(planes: list[Plane], steps: np.ndarray) -> tuple[np.ndarray, float]:
    """(4, 4), (slice, row, column, 1) to LPS mm; and the tilt in degrees."""
    first, normal = planes[0], planes[0].normal
    step = normal * (first.thickness or 1.0)
    if steps.size:
        travel = planes[-1].position - first.position
        step = travel / (travel @ normal) * np.median(steps)
    tilt = math.degrees(math.acos(min(1.0, step @ normal / np.linalg.norm(step))))
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = first.orientation[3:] * first.spacing[0]
    affine[:3, 2] = first.orientation[:3] * first.spacing[1]
    affine[:3, 3] = first.position
    return affine, tilt
