"""Grids in space: from a file's axes to (z, y, x), and which transform is right."""

import dataclasses

import numpy as np
from nibabel import orientations

from ich_tf.io.nifti.content import NiftiContent
from ich_tf.io.source import InputError
from ich_tf.volume import Note, SourceGrid

SAME_SIZE = 0.01
"""Share by which two sizes of a voxel may differ; more changes millilitres."""
SAME_PLACE_MM = 0.1

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_GEOMETRY_FIELDS = (
    "qform_code sform_code quatern_b quatern_c quatern_d qoffset_x qoffset_y qoffset_z "
    "srow_x srow_y srow_z xyzt_units"
).split()


@dataclasses.dataclass(frozen=True, eq=False)
class NiftiGrid(SourceGrid):
    """The grid of a NIfTI file with the header fields that place it.

    Attributes:
        geometry: Both transforms (sform and qform) as stored, so that they return
            to a mask bit by bit.
    """

    geometry: dict = dataclasses.field(default_factory=dict)


def closest_grid(shape: tuple[int, int, int], affine: np.ndarray) -> SourceGrid:
    """Find the permutation and flips of axes that come closest to (z, y, x).

    Args:
        shape: Shape of the array in the file's order.
        affine: (4, 4), file indices to RAS millimetres; may be oblique or sheared.

    Returns:
        The grid whose `from_source` gives an array from foot to head, front to
        back and right to left.

    Raises:
        ValueError: if the affine is singular or not finite.
    """
    affine = np.asarray(affine, float)
    lengths = np.sqrt(np.sum(affine[:3, :3] ** 2, axis=0))
    if not np.all(np.isfinite(affine)) or np.any(lengths < 1e-6):
        raise ValueError(f"the affine is not usable: {affine.tolist()}")
    if abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
        raise ValueError(f"the affine is singular: {affine.tolist()}")
    world = orientations.io_orientation(affine)
    axes = tuple(int(np.flatnonzero(world[:, 0] == axis)[0]) for axis in (2, 1, 0))
    # LPS runs against RAS in x and y: there an axis is flipped if it is along RAS.
    flips = tuple(
        bool(world[axis, 1] != sign)
        for axis, sign in zip(axes, (1, -1, -1), strict=True)
    )
    return SourceGrid(tuple(int(size) for size in shape), affine, axes, flips)


def lps_affine(grid: SourceGrid) -> np.ndarray:
    """(4, 4), (z, y, x, 1) of the reoriented array to LPS millimetres."""
    to_file = np.zeros((4, 4))
    to_file[3, 3] = 1
    for axis, (file_axis, flip) in enumerate(zip(grid.axes, grid.flips, strict=True)):
        to_file[file_axis, axis] = -1 if flip else 1
        to_file[file_axis, 3] = grid.shape[file_axis] - 1 if flip else 0
    return RAS_TO_LPS @ grid.affine @ to_file


def place(affine: np.ndarray, slices: int) -> tuple[tuple, np.ndarray]:
    """Spacing and slice positions that follow from an affine.

    Args:
        affine: (4, 4), (z, y, x, 1) to LPS millimetres.
        slices: Number of slices.

    Returns:
        `spacing_mm` (z, y, x), z along the slice normal; and positions (z,) in mm.

    Raises:
        ValueError: if the slices do not advance along their normal, or lie so far away
            that their positions cannot be distinguished.
    """
    step, down, right = affine[:3, :3].T
    normal = np.cross(right, down)
    normal /= np.linalg.norm(normal)
    along = float(step @ normal)
    if along < 1e-6:
        raise ValueError(f"the affine is sheared beyond use: {affine.tolist()}")
    spacing = (along, float(np.linalg.norm(down)), float(np.linalg.norm(right)))
    positions = float(affine[:3, 3] @ normal) + along * np.arange(slices)
    if not np.all(np.isfinite(positions)) or np.any(np.diff(positions) <= 0):
        raise ValueError(f"the affine lies beyond use: {affine.tolist()}")
    return spacing, positions


def header_affine(content: NiftiContent) -> tuple[np.ndarray, list[Note]]:
    """The transform that counts, file indices to RAS mm, and what speaks against it.

    The sform counts, else the qform, else the voxel sizes.

    Raises:
        InputError: if no transform can be used, or the sform and the voxel sizes of
            the header give voxels of different volumes.
    """
    header, path = content.header, content.path
    try:
        sform, sform_code = header.get_sform(coded=True)
        qform, qform_code = header.get_qform(coded=True)
        base = header.get_base_affine()
    # nibabel raises its own kinds of exception on damaged transforms.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: its transforms cannot be used ({reason})."
        ) from error
    if not sform_code:
        _check_sizes(content)
    if not sform_code and not qform_code:
        text = (
            "no orientation in the header: left and right, front and back, head and "
            "foot are not certain"
        )
        if np.all(content.sizes_mm == 1):
            text += "; voxels of 1x1x1 mm, as in headers that nobody filled in"
        return base, [Note("geometry", text)]
    if not sform_code:
        return qform, []
    if not _usable(sform):
        raise InputError(f"{path}: the affine is not usable: {sform.tolist()}")
    notes = _contradictions(content, sform)
    if qform is not None and _usable(qform):
        notes += _places(content, sform, qform)
    return sform, notes


def _usable(affine: np.ndarray) -> bool:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(
        np.all(np.isfinite(affine))
        and np.all(lengths > 1e-6)
        and abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-3
    )


def _check_sizes(content: NiftiContent) -> None:
    """Refuse a file whose grid would have a size of 1 mm that nobody gave.

    The thickness of a 2-D file is never known.

    Raises:
        InputError: if a voxel size is 0 or no number.
    """
    sizes = content.sizes_mm[: 2 if content.flat else 3]
    if not np.all(np.isfinite(sizes) & (sizes != 0)):
        raise InputError(
            f"{content.path}: its header has no transform and no voxel sizes (pixdim "
            f"{_mm(content.sizes_mm)}), so no ml could be known. Convert the scan from "
            "DICOM again."
        )


def _contradictions(content: NiftiContent, sform: np.ndarray) -> list[Note]:
    """Notes where the voxel sizes of the header are not the sform's.

    A sheared sform (gantry tilt) has sizes along its edges and along their normals;
    writers use both.
    """
    count = 2 if content.flat else 3
    sizes = np.abs(content.sizes_mm[:count])
    if not np.all(np.isfinite(sizes) & (sizes > 0)):
        return []
    edges = np.linalg.norm(sform[:3, :3], axis=0)[:count]
    if np.all(np.abs(sizes / edges - 1) <= SAME_SIZE):
        return []
    volumes = [float(np.prod(edges))]
    if count == 3:
        volumes.append(abs(float(np.linalg.det(sform[:3, :3]))))
    both = f"{_mm(sizes)} mm in pixdim, {_mm(edges)} mm in the sform"
    if all(abs(np.prod(sizes) / volume - 1) > 2 * SAME_SIZE for volume in volumes):
        factor = volumes[-1] / np.prod(sizes)
        raise InputError(
            f"{content.path}: its header contradicts itself: voxels measure {both}, so "
            f"every ml would be {max(factor, 1 / factor):.3g} times as large by one as "
            "by the other. Correct the header, or convert the scan from DICOM again."
        )
    return [Note("geometry", f"voxels measure {both}; the sform counts")]


def _mm(sizes: np.ndarray) -> str:
    return "x".join(f"{size:.4g}" for size in sizes)


def _places(content: NiftiContent, sform: np.ndarray, qform: np.ndarray) -> list[Note]:
    """Notes where sform and qform place the scan differently."""
    last = np.array(content.shape) - 1
    corners = np.array(
        [[x, y, z, 1] for x in (0, last[0]) for y in (0, last[1]) for z in (0, last[2])]
    )
    apart_mm = np.linalg.norm(corners @ (sform - qform)[:3].T, axis=1).max()
    if apart_mm <= SAME_PLACE_MM:
        return []
    mirrored = np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0
    turned = orientations.aff2axcodes(sform) != orientations.aff2axcodes(qform)
    text = (
        f"sform and qform place voxels up to {apart_mm:.1f} mm apart; the sform counts"
    )
    if mirrored:
        text += "; they contradict each other about sides, so left may be right"
    elif turned:
        text += "; they turn the head differently"
    return [Note("geometry", text)]


def file_grid(content: NiftiContent, affine: np.ndarray) -> NiftiGrid:
    """The grid of a file.

    Raises:
        InputError: if the affine cannot be used.
    """
    try:
        grid = closest_grid(content.shape, affine)
    except ValueError as error:
        raise InputError(f"{content.path}: {error}") from error
    header = content.header
    geometry = {name: header[name].copy() for name in _GEOMETRY_FIELDS}
    geometry["pixdim"] = header["pixdim"][:4].copy()
    return NiftiGrid(grid.shape, grid.affine, grid.axes, grid.flips, geometry)
