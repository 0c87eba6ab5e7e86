"""The array contract: what every reader returns and everything else relies on.

Axis 0 goes from foot to head, axis 1 from front to back, axis 2 from the patient's
right to left, as radiologists look at a slice. World coordinates are LPS
millimetres (DICOM), so an upright head has an affine with positive entries.
"""

import dataclasses
import pathlib

import numpy as np

AIR_HU = -1000.0
"""Hounsfield units of air; outside a volume there is air."""

LOWEST_HU = -1024.0
"""Lowest value that scanners store; padding and anything lower is read as it."""

BODY_HU = -200.0
"""Between air and skin: voxels above it belong to the head."""

PHANTOM_MARKER = "ich_tf phantom"
"""How `Volume.origin` begins in every volume made by the phantom."""


@dataclasses.dataclass(frozen=True, eq=False)
class SourceGrid:
    """How a file's array became (z, y, x), so that writers can return to it.

    Attributes:
        shape: Shape of the three spatial axes in the file.
        affine: (4, 4), file indices (i, j, k, 1) to RAS millimetres, as stored.
        axes: File axes that became z, y and x.
        flips: Whether z, y and x run against their file axis.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def from_source(self, array: np.ndarray) -> np.ndarray:
        """Turn an array in the file's order into (z, y, x)."""
        turned = np.transpose(array, self.axes)
        return np.flip(turned, [axis for axis in range(3) if self.flips[axis]])

    def to_source(self, array: np.ndarray) -> np.ndarray:
        """Turn a (z, y, x) array into the file's order."""
        turned = np.flip(array, [axis for axis in range(3) if self.flips[axis]])
        return np.transpose(turned, np.argsort(self.axes))


NOTE_KINDS = (
    "missing slices",
    "uneven spacing",
    "left out",
    "repeated",
    "geometry",
    "values",
    "scan",
    "labels",
    "mask",
    "forced",
)
"""What a note is about; see `Note.kind`."""


@dataclasses.dataclass(frozen=True)
class Note:
    """One finding of a reader.

    Attributes:
        kind: One of `NOTE_KINDS`: "missing slices" (a gap, or an image of the scan
            that could not be read), "uneven spacing", "left out" (an object that is
            not part of the scan), "repeated" (a slice that is there twice),
            "geometry" (tilt, contradicting transforms, spacing given by hand),
            "values" (padding, background, windows), "scan" (contrast agent, thin
            slices), "labels", "mask", or "forced" (a check that the user overruled).
        text: The finding in plain English, without data of the patient.
        files: Names of the files of the scan that are not in the volume.
    """

    kind: str
    text: str
    files: tuple[str, ...] = ()

    def __post_init__(self):
        """Refuse an unknown kind; write names that are no UTF-8 so that all can show.

        Such a name, as the system gives it, cannot be written to a file or terminal.
        """
        shown = self.text.encode("utf-8", "backslashreplace").decode()
        object.__setattr__(self, "text", shown)
        if self.kind not in NOTE_KINDS:
            raise ValueError(f"Unknown kind of note {self.kind!r}. Known: {NOTE_KINDS}")

    def __str__(self) -> str:
        """The text."""
        return self.text


GAP_FACTOR = 1.5
"""A step wider than this many usual steps is a gap: slices are missing."""

# Two usual steps: one slice is missing, whose neighbours share its place.
_WIDE_FACTOR = 2.01


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """A CT volume in Hounsfield units and its place in the world.

    Attributes:
        hu: (z, y, x), float32, Hounsfield units.
        spacing_mm: (z, y, x) in millimetres: the nominal distance of the slices
            along their normal, of rows and of columns. None where the input has no
            spacing (JPG); then positions and affine are None too. A single slice of
            unknown thickness has NaN for z, and an affine with a z step of 1 mm.
        slice_positions_mm: (z,), strictly increasing positions along the slice
            normal; their steps may be uneven.
        affine: (4, 4), (z, y, x, 1) to LPS millimetres. A gantry tilt appears as
            a z step that is not parallel to the normal.
        source: The grid of the file, None if there is no NIfTI to return to.
        hu_window: (low, high) if the values were saturated there (JPG), else None.
        origin: What a file says about its making, e.g. the phantom's marker.
        notes: Findings of the reader: gaps, duplicates, uneven spacing, ...
        slice_thickness_mm: (z,), the thickness that the header gives each slice, NaN
            where it gives none; None where nothing is known.
        slice_sources: File of each slice and its frame in the file, from 0; empty
            where slices are not images of a DICOM series.
    """

    hu: np.ndarray
    spacing_mm: tuple[float, float, float] | None
    slice_positions_mm: np.ndarray | None
    affine: np.ndarray | None
    source: SourceGrid | None = None
    hu_window: tuple[float, float] | None = None
    origin: str = ""
    notes: tuple[Note, ...] = ()
    slice_thickness_mm: np.ndarray | None = None
    slice_sources: tuple[tuple[pathlib.Path, int], ...] = ()

    def __post_init__(self):
        """Refuse what breaks the contract."""
        if self.hu.ndim != 3 or 0 in self.hu.shape:
            raise ValueError(
                f"`hu` must be a non-empty (z, y, x) array. Received: {self.hu.shape}"
            )
        thickness_mm = self.slice_thickness_mm
        if thickness_mm is not None and np.shape(thickness_mm) != self.hu.shape[:1]:
            raise ValueError(
                "`slice_thickness_mm` must have a value for each slice. Received: "
                f"{np.shape(thickness_mm)} for hu of shape {self.hu.shape}"
            )
        place = (self.spacing_mm, self.slice_positions_mm, self.affine)
        if all(part is None for part in place):
            return
        if any(part is None for part in place):
            raise ValueError(
                "`spacing_mm`, `slice_positions_mm` and `affine` are given together "
                "or not at all."
            )
        spacing = np.asarray(self.spacing_mm, float)
        known = np.isfinite(spacing) & (spacing > 0)
        if len(self.hu) == 1 and spacing.shape == (3,) and np.isnan(spacing[0]):
            known[0] = True
        if spacing.shape != (3,) or not known.all():
            raise ValueError(
                "`spacing_mm` must be three positive numbers (z, y, x). "
                f"Received: spacing_mm={self.spacing_mm}"
            )
        positions = np.asarray(self.slice_positions_mm, float)
        if positions.shape != self.hu.shape[:1] or np.any(np.diff(positions) <= 0):
            raise ValueError(
                "`slice_positions_mm` must increase, one for each slice. Received: "
                f"{positions.shape} for hu of shape {self.hu.shape}"
            )
        if np.shape(self.affine) != (4, 4) or not np.all(np.isfinite(self.affine)):
            raise ValueError(
                f"`affine` must be a finite (4, 4) matrix. Received: {self.affine}"
            )

    @property
    def usual_step_mm(self) -> np.ndarray | None:
        """(z - 1,), the larger of the median step and the thickness of both slices.

        0 where nothing is known: one step has no median.
        """
        if self.slice_positions_mm is None:
            return None
        steps = np.diff(self.slice_positions_mm)
        median = float(np.median(steps)) if len(steps) > 1 else 0.0
        thickness = self._thickness_or_0
        return np.maximum(median, np.maximum(thickness[:-1], thickness[1:]))

    @property
    def _thickness_or_0(self) -> np.ndarray:
        if self.slice_thickness_mm is None:
            return np.zeros(len(self.hu))
        return np.nan_to_num(np.asarray(self.slice_thickness_mm, float))

    @property
    def missing_mm(self) -> float:
        """Length along the slice normal, between first and last, that no slice covers.

        It is not part of any volume in millilitres.
        """
        extents = self.slice_extents_mm
        if extents is None:
            return 0.0
        covered = extents.sum() - (extents[0] + extents[-1]) / 2
        missing = np.ptp(self.slice_positions_mm) - covered
        return float(missing) if missing > 0.01 * extents.min() else 0.0

    @property
    def slice_extents_mm(self) -> np.ndarray | None:
        """(z,), the thickness each slice stands for, from its neighbours.

        A slice reaches half-way to each neighbour, but not into a gap of more than
        one slice: there, and at an end of the stack, it reaches as far outwards as
        inwards. A slice between two such gaps has its own thickness, or the median
        step. No slice stands for more than the larger of its own thickness and
        `GAP_FACTOR` times the median step. A single slice has the nominal spacing;
        None if that is unknown.
        """
        if self.slice_positions_mm is None or np.isnan(self.spacing_mm[0]):
            return None
        if len(self.slice_positions_mm) == 1:
            return np.array([self.spacing_mm[0]])
        steps, usual = np.diff(self.slice_positions_mm), self.usual_step_mm
        median, thickness = float(np.median(steps)), self._thickness_or_0
        wide = (usual > 0) & (steps > _WIDE_FACTOR * usual)
        before = np.concatenate([[np.nan], np.where(wide, np.nan, steps)])
        after = np.append(before[1:], np.nan)
        reach = np.stack([before, after])
        known = np.isfinite(reach)
        alone = np.where(thickness > 0, thickness, median)
        shared = np.where(known, reach, 0).sum(axis=0) / np.maximum(
            known.sum(axis=0), 1
        )
        extents = np.where(known.any(axis=0), shared, alone)
        return np.minimum(extents, np.maximum(thickness, GAP_FACTOR * median))

    @property
    def slice_pixel_ml(self) -> np.ndarray | None:
        """(z,), millilitres of one pixel in each slice; None without spacing."""
        extents = self.slice_extents_mm
        if extents is None:
            return None
        return extents * self.spacing_mm[1] * self.spacing_mm[2] / 1000.0


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One head CT with what is known about it.

    Attributes:
        case_id: Name of the scan, unique in its data set.
        patient_id: Name of the patient; splits never divide a patient.
        volume: The scan.
        mask: (z, y, x), uint8, 1 = hemorrhage; None if there is none.
        labels: (z, 6), uint8, in the order of `labels.CLASSES`; None if unknown.
    """

    case_id: str
    patient_id: str
    volume: Volume
    mask: np.ndarray | None = None
    labels: np.ndarray | None = None

    def __post_init__(self):
        """Refuse a mask or labels that do not fit the volume."""
        shape = self.volume.hu.shape
        if self.mask is not None and self.mask.shape != shape:
            raise ValueError(
                f"Case {self.case_id}: the mask has shape {self.mask.shape}, the "
                f"volume {shape}."
            )
        if self.mask is not None and self.mask.dtype != np.uint8:
            raise ValueError(
                f"Case {self.case_id}: the mask must be uint8, not {self.mask.dtype}."
            )
        if self.labels is not None and self.labels.shape != (shape[0], 6):
            raise ValueError(
                f"Case {self.case_id}: labels must have shape ({shape[0]}, 6). "
                f"Received: {self.labels.shape}"
            )
