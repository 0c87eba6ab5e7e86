"""From single slices with a place in space to one volume.

Slices are sorted by their position along the slice normal. Gaps, uneven steps,
gantry tilt and repeated slices are reported in the volume's notes.
"""

import dataclasses
import math
import pathlib

import numpy as np

from ich_tf.io import nifti
from ich_tf.volume import GAP_FACTOR, Note, Volume

SAME_POSITION_MM = 0.01
UNEVEN_MM = 0.05
SHIFTED_MM = 1.0
TILT_DEGREES = 0.5


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
        number: Acquisition and instance number, for the order of two slices at the
            same position; smaller comes first.
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
    number: tuple[float, float] = (0.0, 0.0)

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
        for what, value, other, tolerance in (
            ("size", first.size, plane.size, 0),
            ("PixelSpacing", first.spacing, plane.spacing, 1e-3),
            ("orientation", first.orientation, plane.orientation, 2e-3),
        ):
            if value is None or other is None:
                alike = value is other
            else:
                alike = np.allclose(value, other, rtol=0, atol=tolerance)
            if not alike:
                raise ValueError(
                    f"the slices do not form one volume: {first.path} has {what} "
                    f"{value}, {plane.path} has {other}."
                )


def _without_geometry(
    planes: list[Plane], stack: np.ndarray, notes: list[Note]
) -> Volume:
    if len(planes) > 1:
        raise ValueError(
            f"{planes[0].path}: this and {len(planes) - 1} more slices have no "
            "complete geometry (Pixel Spacing, Image Position, Image Orientation), so "
            "they have no order. Read them one by one."
        )
    said = Note("geometry", "no complete geometry in the header: no spacing")
    return Volume(stack, None, None, None, notes=(*notes, said))


def _drop_repeated(
    planes: list[Plane], stack: np.ndarray, keep_all: bool
) -> tuple[list[Plane], np.ndarray, list[Note]]:
    """Sort along the normal and drop slices that repeat the position of another.

    Copies are dropped without loss. A position that was scanned twice, as where two
    blocks of a sequential scan meet, keeps the first scan.
    """
    normal = planes[0].normal
    along = np.array([plane.position @ normal for plane in planes])
    order = sorted(range(len(planes)), key=lambda i: (along[i], planes[i].number))
    kept, copies, again = [], [], []
    for index in order:
        if not kept or along[index] - along[kept[-1]] > SAME_POSITION_MM:
            kept.append(index)
        elif np.array_equal(stack[kept[-1]], stack[index]):
            copies.append((planes[index].path.name, planes[kept[-1]].path.name))
        elif keep_all:
            raise ValueError(
                f"{planes[kept[-1]].path} and {planes[index].path} lie at the same "
                "position with different pixels."
            )
        else:
            again.append((planes[index].path.name, planes[kept[-1]].path.name))
    if len(again) > len(kept):
        raise ValueError(
            f"{planes[0].path}: {len(planes)} images lie at {len(kept)} position(s): "
            "several time points, or positions that were removed. Export one scan with "
            "its positions as a series of its own."
        )
    if kept != list(range(len(planes))):
        stack = stack[kept]
    notes = [
        *_repeated_note(copies, "repeated slice left out: {0} is {1}"),
        *_repeated_note(
            again, "a position was scanned twice: {1} is kept, {0} is left out"
        ),
    ]
    return [planes[index] for index in kept], stack, notes


def _repeated_note(pairs: list[tuple[str, str]], text: str) -> list[Note]:
    """One note for all slices that were dropped for the same reason."""
    if not pairs:
        return []
    more = f", and {len(pairs) - 1} more likewise" if len(pairs) > 1 else ""
    dropped = tuple(name for name, _ in pairs)
    return [Note("repeated", text.format(*pairs[0]) + more, dropped)]


def _spacing_notes(volume: Volume) -> list[Note]:
    """Report gaps and uneven steps between neighbouring slices."""
    steps = np.diff(volume.slice_positions_mm)
    if not steps.size:
        return []
    notes = []
    for index, (step, usual) in enumerate(
        zip(steps, volume.usual_step_mm, strict=True)
    ):
        if usual and step > GAP_FACTOR * usual:
            missing = max(1, round(step / usual) - 1)
            text = (
                f"missing slices: a gap of {step:.2f} mm after slice {index + 1} where "
                f"{usual:.2f} mm is usual, about {missing} slice(s)"
            )
            notes.append(Note("missing slices", text))
    median = float(np.median(steps))
    if np.ptp(steps) > max(UNEVEN_MM, 0.01 * median):
        off_mm = np.abs(np.cumsum(steps - median)).max()
        text = (
            f"uneven spacing: {steps.min():.2f} to {steps.max():.2f} mm between "
            f"slices; volumes in ml use the true steps, an even grid with the median "
            f"would be up to {off_mm:.1f} mm off (files of masks repeat slices instead)"
        )
        notes.append(Note("uneven spacing", text))
    return notes


def _shift_notes(planes: list[Plane]) -> list[Note]:
    """Report slices that lie to one side of the line from the first to the last."""
    if len(planes) < 3:
        return []
    normal, first = planes[0].normal, planes[0].position
    places = np.array([plane.position - first for plane in planes])
    along = places @ normal
    aside = places - np.outer(along / along[-1], places[-1])
    far_mm = np.linalg.norm(aside, axis=1)
    shifted = np.flatnonzero(far_mm > SHIFTED_MM)
    if not shifted.size:
        return []
    more = f" and {len(shifted) - 1} more slice(s)" if len(shifted) > 1 else ""
    text = (
        f"slice {shifted[0] + 1}{more} lies up to {far_mm.max():.1f} mm to one side of "
        "the others; the affine does not show it"
    )
    return [Note("geometry", text)]


def assemble(
    planes: list[Plane],
    stack: np.ndarray,
    notes: list[Note],
    *,
    origin: str,
    keep_all: bool = False,
) -> Volume:
    """Sort, stack and place slices.

    Args:
        planes: At least one slice; all of them alike (`check_alike`).
        stack: (slices, rows, columns), float32, the HU of each; not copied where
            the volume can have it as it is.
        notes: What was found so far.
        origin: What a file says about its making, such as the phantom's marker.
        keep_all: Whether a position that was scanned twice is an error; else the
            first scan is kept and a note names the other.

    Raises:
        ValueError: if slices have no order, or are no axial stack.
    """
    if not all(plane.placed for plane in planes):
        return _without_geometry(planes, stack, notes)
    planes, stack, repeated = _drop_repeated(planes, stack, keep_all)
    positions_mm = np.array([plane.position @ planes[0].normal for plane in planes])
    steps = np.diff(positions_mm)
    lps, tilt = _file_affine(planes, steps)
    shape = (len(planes), *planes[0].size)
    grid = nifti.closest_grid(shape, np.diag([-1, -1, 1, 1]) @ lps)
    if grid.axes[0] != 0 or grid.flips[0]:
        raise ValueError(
            f"{planes[0].path}: the slices are tilted by {tilt:.0f} degrees against "
            "their stack and cannot be read as axial slices."
        )
    affine = nifti.lps_affine(grid)
    spacing_mm, _ = nifti.place(affine, len(planes))
    unknown_thickness = not steps.size and not planes[0].thickness
    if unknown_thickness:
        spacing_mm = (math.nan, *spacing_mm[1:])
    volume = Volume(
        hu=np.ascontiguousarray(grid.from_source(stack)),
        spacing_mm=spacing_mm,
        slice_positions_mm=positions_mm,
        affine=affine,
        origin=origin,
        slice_thickness_mm=_thickness_mm(planes),
        slice_sources=tuple((plane.path, plane.frame) for plane in planes),
    )
    notes = [*notes, *repeated, *_spacing_notes(volume), *_shift_notes(planes)]
    if unknown_thickness:
        text = "one slice without Slice Thickness: areas are known, volumes are not"
        notes.append(Note("geometry", text))
    if tilt > TILT_DEGREES:
        text = (
            f"gantry tilt of {tilt:.1f} degrees, kept in the affine (of NIfTI files in "
            "the sform; programs that know right angles only refuse them)"
        )
        notes.append(Note("geometry", text))
    return dataclasses.replace(volume, notes=tuple(notes))


def _thickness_mm(planes: list[Plane]) -> np.ndarray:
    return np.array(
        [math.nan if plane.thickness is None else plane.thickness for plane in planes]
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
