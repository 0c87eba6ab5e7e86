"""NIfTI files written: masks and maps on the grid of their scan, and volumes.

A mask returns to exactly the grid of the NIfTI file that its scan came from. The
slices of a DICOM series may be unevenly spaced, which NIfTI cannot say: then slices are
repeated, and gaps left empty, on an even grid, so that the file shows every voxel in
its place and holds the same volume in ml.
"""

import dataclasses
import gzip
import os
import pathlib

import nibabel
import numpy as np

from ich_tf import files
from ich_tf.io.nifti.grids import RAS_TO_LPS
from ich_tf.volume import SourceGrid, Volume

AFFINE_TOLERANCE_MM = 0.01
"""How far two affines may move a corner of the volume apart and still be equal."""

_EVEN = 0.1  # of a step: slices this close to an even grid lie on it
_SAME_ML = 0.03
_FINEST = 10
_MAX_SLICES = 4096


def _grid_to_write(volume: Volume) -> SourceGrid:
    """The file's grid, else one from the affine with axes (x, y, z)."""
    if volume.source is not None:
        return volume.source
    affine = np.eye(4)[:, [2, 1, 0, 3]] if volume.affine is None else volume.affine
    in_file = RAS_TO_LPS @ affine[:, [2, 1, 0, 3]]
    flips = (False, False, False)
    return SourceGrid(volume.hu.shape[::-1], in_file, (2, 1, 0), flips)


def _evenly_spaced(volume: Volume, array: np.ndarray) -> tuple[Volume, np.ndarray]:
    """Array and volume on an even grid along z; as they are if they lie on one."""
    positions = volume.slice_positions_mm
    if volume.source is not None or positions is None or len(positions) < 2:
        return volume, array
    step, first = volume.spacing_mm[0], positions[0]
    if np.all(np.abs(positions - first - step * np.arange(len(array))) <= _EVEN * step):
        return volume, array
    finest = (np.ptp(positions) + step) / _MAX_SLICES
    cells = [_cells(volume, step / part) for part in range(1, _FINEST + 1)]
    usable = [c for c in cells if c.step_mm >= finest] or cells[:1]
    chosen = next((c for c in usable if c.error <= _SAME_ML), None)
    chosen = chosen or min(usable, key=lambda candidate: candidate.error)
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 0] * ((chosen.first_mm - first) / step)
    affine[:3, 0] *= chosen.step_mm / step
    filled = array[np.maximum(chosen.slices, 0)]
    filled[chosen.slices < 0] = 0
    even = Volume(
        # A view without memory of its own: only the shape is needed.
        np.broadcast_to(np.float32(0), filled.shape),
        (chosen.step_mm, *volume.spacing_mm[1:]),
        chosen.first_mm + chosen.step_mm * np.arange(len(filled)),
        affine,
    )
    return even, filled


@dataclasses.dataclass(frozen=True, eq=False)
class _Cells:
    """An even grid along z.

    Attributes:
        step_mm: Distance of its slices.
        first_mm: Position of the first.
        slices: (n,), the slice that fills each, -1 for none.
        error: Largest share by which a slice has more or less than its extent.
    """

    step_mm: float
    first_mm: float
    slices: np.ndarray
    error: float


def _cells(volume: Volume, step_mm: float) -> _Cells:
    """Fill an even grid with the slices that reach to its cells."""
    positions, extents = volume.slice_positions_mm, volume.slice_extents_mm
    halves = np.diff(positions) / 2
    below = np.concatenate([[extents[0] / 2], halves])
    above = np.concatenate([halves, [extents[-1] / 2]])
    # Next to a gap a slice reaches no further than on its other side.
    below, above = np.minimum(below, extents / 2), np.minimum(above, extents / 2)
    lost = extents - below - above
    below, above = below + lost / 2, above + lost / 2
    bottom, top = positions[0] - below[0], positions[-1] + above[-1]
    count = max(1, round((top - bottom) / step_mm))
    centers = bottom + step_mm * (np.arange(count) + 0.5)
    nearest = np.clip(np.searchsorted(positions - below, centers, "right") - 1, 0, None)
    inside = centers <= positions[nearest] + above[nearest]
    slices = np.where(inside, nearest, -1)
    filled = np.bincount(slices[inside], minlength=len(positions)) * step_mm
    error = float(np.max(np.abs(filled - extents) / extents))
    return _Cells(step_mm, float(centers[0]), slices, error)


def _write(path, array: np.ndarray, volume: Volume, origin: str) -> None:
    path = pathlib.Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"{path}: the name must end in .nii or .nii.gz.")
    volume, array = _evenly_spaced(volume, array)
    grid = _grid_to_write(volume)
    # Code 0 says that the place in space is unknown, 1 that it is the scanner's.
    code = 0 if volume.affine is None else 1
    image = nibabel.Nifti1Image(grid.to_source(array), grid.affine)
    geometry = dict(getattr(grid, "geometry", {}))
    if geometry:
        image.header["pixdim"][:4] = geometry.pop("pixdim")
        for name, value in geometry.items():
            image.header[name] = value
    else:
        image.set_sform(grid.affine, code=code)
        image.set_qform(grid.affine, code=code)
        apart = np.abs(image.get_qform() - grid.affine) @ [*grid.shape, 1]
        if apart.max() > AFFINE_TOLERANCE_MM:
            # A gantry tilt: the qform has right angles only and would show the
            # voxels elsewhere.
            image.set_qform(None, code=0)
            image.header["pixdim"][1:4] = np.nan_to_num(volume.spacing_mm[::-1], nan=1)
        image.header.set_xyzt_units("mm" if code else "unknown")
    if len(origin.encode("ascii", "replace")) > 79:
        raise ValueError(f"{path}: `origin` may have 79 characters: {origin!r}")
    image.header["descrip"] = origin.encode("ascii", "replace")
    content = image.to_bytes()
    if path.name.endswith(".gz"):
        content = gzip.compress(content, compresslevel=6, mtime=0)
    files.write_bytes(path, content)


def write(path: str | os.PathLike, volume: Volume) -> None:
    """Write a CT volume as int16; the same volume gives the same bytes.

    `volume.origin` goes to the description field, from where `read` takes it.

    Args:
        path: A name that ends in .nii or .nii.gz; the folder must exist.
        volume: Values are rounded to whole HU and must fit into int16.

    Raises:
        ValueError: if the volume has no spacing or values no int16 can hold.
    """
    hu = np.rint(volume.hu)
    if not (np.all(np.isfinite(hu)) and hu.min() >= -32768 and hu.max() <= 32767):
        raise ValueError(f"{path}: the volume holds values that int16 cannot hold.")
    if volume.affine is None:
        raise ValueError(f"{path}: a volume without spacing is not written as NIfTI.")
    _write(path, hu.astype(np.int16), volume, volume.origin)


def write_mask(
    path: str | os.PathLike,
    mask: np.ndarray,
    volume: Volume,
    *,
    value: int = 1,
    origin: str = "",
) -> None:
    """Write a mask on exactly the grid of the file its volume came from.

    Shape, sform and qform are taken from the input file. For a volume from DICOM the
    grid is `volume.affine`, in RAS; without spacing (JPG) voxels have the length 1
    and both transform codes are 0, unknown.

    Args:
        path: A name that ends in .nii or .nii.gz; the folder must exist.
        mask: (z, y, x), 0 or 1.
        volume: The volume that the mask belongs to.
        value: What stands for 1 in the file; ct-ich has 255.
        origin: Goes to the description field.

    Raises:
        ValueError: if the shapes differ.
    """
    values = (np.asarray(mask) > 0).astype(np.uint8) * np.uint8(value)
    write_map(path, values, volume, origin=origin)


def write_map(
    path: str | os.PathLike, values: np.ndarray, volume: Volume, *, origin: str = ""
) -> None:
    """Write a number for each voxel on the grid of the volume's file.

    Args:
        path: A name that ends in .nii or .nii.gz; the folder must exist.
        values: (z, y, x), uint8.
        volume: The volume that the values belong to.
        origin: Goes to the description field.

    Raises:
        ValueError: if the shapes differ.
    """
    if values.shape != volume.hu.shape:
        raise ValueError(
            f"{path}: the mask has shape {values.shape}, the volume {volume.hu.shape}."
        )
    _write(path, values, volume, origin)
