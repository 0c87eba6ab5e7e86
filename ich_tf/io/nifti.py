"""NIfTI files: CT volumes in, masks and phantom volumes out.

Reading reorients by permuting and flipping axes only; nothing is resampled. Masks
are written back on the grid of the file they belong to.

Reference:
    NIfTI-1 data format, https://nifti.nimh.nih.gov/nifti-1
"""

import dataclasses
import gzip
import math
import os
import pathlib
import zlib

import nibabel
import numpy as np
from nibabel import orientations

from ich_tf import files
from ich_tf.volume import Note, SourceGrid, Volume

MAX_VOXELS = 2**28
"""Largest number of voxels read (1024 slices of 512x512)."""

AFFINE_TOLERANCE_MM = 0.01
"""How far two affines may move a corner of the volume apart and still be equal."""

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_GEOMETRY_FIELDS = (
    "qform_code sform_code quatern_b quatern_c quatern_d qoffset_x qoffset_y qoffset_z "
    "srow_x srow_y srow_z xyzt_units"
).split()
_READ_ERRORS = (
    nibabel.filebasedimages.ImageFileError,
    nibabel.spatialimages.HeaderDataError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    zlib.error,
)


@dataclasses.dataclass(frozen=True, eq=False)
class NiftiGrid(SourceGrid):
    """The grid of a NIfTI file with the header fields that place it.

    Attributes:
        geometry: Both transforms (sform and qform) as stored, so that they return
            to a mask bit by bit.
    """

    geometry: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Header:
    """What a NIfTI header says, without the voxels.

    Attributes:
        slices: Number of slices from foot to head.
        origin: The description field, e.g. the phantom's marker.
    """

    slices: int
    origin: str


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
    return _RAS_TO_LPS @ grid.affine @ to_file


def place(affine: np.ndarray, slices: int) -> tuple[tuple, np.ndarray]:
    """Spacing and slice positions that follow from an affine.

    Args:
        affine: (4, 4), (z, y, x, 1) to LPS millimetres.
        slices: Number of slices.

    Returns:
        `spacing_mm` (z, y, x), z along the slice normal; and positions (z,) in mm.

    Raises:
        ValueError: if the slices do not advance along their normal.
    """
    step, down, right = affine[:3, :3].T
    normal = np.cross(right, down)
    normal /= np.linalg.norm(normal)
    along = float(step @ normal)
    if along < 1e-6:
        raise ValueError(f"the affine is sheared beyond use: {affine.tolist()}")
    spacing = (along, float(np.linalg.norm(down)), float(np.linalg.norm(right)))
    return spacing, float(affine[:3, 3] @ normal) + along * np.arange(slices)


def _open(path: pathlib.Path) -> tuple[nibabel.Nifti1Image, tuple[int, int, int]]:
    """Open a file and check its header; no voxel is read yet."""
    try:
        image = nibabel.load(path)
    except _READ_ERRORS as error:
        raise ValueError(f"{path}: not a readable NIfTI file ({error}).") from error
    if not isinstance(image, nibabel.Nifti1Image | nibabel.Nifti2Image):
        raise ValueError(f"{path}: not a NIfTI file (.nii or .nii.gz).")
    full_shape = tuple(int(size) for size in image.shape)
    shape = (*full_shape, 1)[:3] if len(full_shape) == 2 else full_shape[:3]
    if len(shape) != 3 or any(size != 1 for size in full_shape[3:]):
        raise ValueError(
            f"{path}: needs one 3-D volume, its shape is {full_shape}. Write "
            "the wanted frame to a file of its own."
        )
    if min(shape) < 1:
        raise ValueError(f"{path}: the volume is empty, its shape is {full_shape}.")
    if math.prod(shape) > MAX_VOXELS:
        raise ValueError(
            f"{path}: the header claims {full_shape} voxels, more than the "
            f"{MAX_VOXELS} that are read."
        )
    kind = image.get_data_dtype()
    if _needed_bytes(shape, kind) > path.stat().st_size * _largest_ratio(path):
        raise ValueError(f"{path}: truncated, it is too small for {full_shape} voxels.")
    if kind.fields is not None or kind.kind not in "iuf":
        raise ValueError(f"{path}: voxels of type {kind} are not a CT or a mask.")
    try:
        unit = image.header.get_xyzt_units()[0]
    except KeyError as error:
        code = int(image.header["xyzt_units"])
        raise ValueError(f"{path}: xyzt_units {code} names no unit.") from error
    if unit not in ("mm", "unknown"):
        raise ValueError(f"{path}: lengths are in {unit}; millimetres are needed.")
    return image, shape


def _needed_bytes(shape: tuple[int, int, int], kind: np.dtype) -> int:
    return math.prod(shape) * kind.itemsize


def _largest_ratio(path: pathlib.Path) -> int:
    """No deflated file holds more bytes than this for each of its own."""
    return 1032 if path.name.endswith(".gz") else 1


def _voxels(path: pathlib.Path, image, shape: tuple[int, int, int]) -> np.ndarray:
    try:
        array = image.get_fdata(caching="unchanged", dtype=np.float32)
    except _READ_ERRORS as error:
        raise ValueError(
            f"{path}: the voxels cannot be read, the file is truncated or corrupt "
            f"({error})."
        ) from error
    return np.reshape(np.asarray(array, np.float32), shape)


def _grid(path: pathlib.Path, image, shape: tuple[int, int, int]) -> NiftiGrid:
    try:
        grid = closest_grid(shape, image.affine)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    geometry = {name: image.header[name].copy() for name in _GEOMETRY_FIELDS}
    geometry["pixdim"] = image.header["pixdim"][:4].copy()
    return NiftiGrid(grid.shape, grid.affine, grid.axes, grid.flips, geometry)


def _origin(image) -> str:
    text = image.header["descrip"].tobytes().split(b"\0")[0]
    return text.decode("ascii", "replace").strip()


def read_header(path: str | os.PathLike) -> Header:
    """Read what the header says; no voxel is read.

    Raises:
        ValueError: if the file is no usable NIfTI file.
    """
    path = pathlib.Path(path)
    image, shape = _open(path)
    return Header(shape[_grid(path, image, shape).axes[0]], _origin(image))


def read(path: str | os.PathLike) -> Volume:
    """Read a CT volume.

    scl_slope and scl_inter are applied; a slope that is 0 or NaN means none, as
    the standard says. The best transform of the header is used: sform, else qform,
    else the voxel sizes, which is noted.

    Args:
        path: A .nii or .nii.gz file, 3-D or 4-D with a single frame, at most
            `MAX_VOXELS` voxels.

    Returns:
        The volume; `source` is a `NiftiGrid`, `origin` the description field.

    Raises:
        ValueError: if the file is missing, truncated, corrupt, too large or not one
            3-D volume; the message names the file.
    """
    path = pathlib.Path(path)
    image, shape = _open(path)
    grid = _grid(path, image, shape)
    affine = lps_affine(grid)
    try:
        spacing_mm, positions_mm = place(affine, shape[grid.axes[0]])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    notes = ()
    if not int(image.header["sform_code"]) and not int(image.header["qform_code"]):
        notes = (
            Note(
                "geometry",
                "no orientation in the header: left and right, and front and back, are "
                "not certain",
            ),
        )
    hu = grid.from_source(_voxels(path, image, shape))
    return Volume(
        hu=np.ascontiguousarray(hu),
        spacing_mm=spacing_mm,
        slice_positions_mm=positions_mm,
        affine=affine,
        source=grid,
        origin=_origin(image),
        notes=notes,
    )


def read_mask(path: str | os.PathLike, volume: Volume) -> np.ndarray:
    """Read a mask that lies on the same grid as a volume.

    Args:
        path: A NIfTI file with the values 0 and 255 or 0 and 1.
        volume: The volume, as `read` returned it.

    Returns:
        (z, y, x), uint8, 1 = hemorrhage.

    Raises:
        ValueError: if the file is unreadable, on another grid, or holds other values.
    """
    path = pathlib.Path(path)
    image, shape = _open(path)
    if volume.source is None:
        raise ValueError(f"{path}: the volume does not come from a NIfTI file.")
    if shape != volume.source.shape:
        raise ValueError(
            f"{path}: the mask has shape {shape}, its volume {volume.source.shape}."
        )
    corners = np.array([[0, 0, 0, 1], *(np.diag(shape) @ np.eye(3, 4)), [*shape, 1]])
    corners[:, 3] = 1
    apart_mm = np.abs(corners @ (image.affine - volume.source.affine).T).max()
    if not apart_mm <= AFFINE_TOLERANCE_MM:
        raise ValueError(
            f"{path}: the mask lies up to {apart_mm:.3g} mm away from its volume. Mask "
            f"affine: {image.affine.tolist()}; volume affine: "
            f"{volume.source.affine.tolist()}"
        )
    values = _voxels(path, image, shape)
    rounded = np.rint(values)
    mask = (rounded == 1) | (rounded == 255)
    if not np.all(mask | (rounded == 0)):
        found = np.unique(rounded)[:5].tolist()
        raise ValueError(f"{path}: a mask holds 0 and 255, or 0 and 1. Found: {found}")
    mask = mask.astype(np.uint8)
    return np.ascontiguousarray(volume.source.from_source(mask))


def _grid_to_write(volume: Volume) -> SourceGrid:
    """The file's grid, else one from the affine with axes (x, y, z)."""
    if volume.source is not None:
        return volume.source
    affine = np.eye(4)[:, [2, 1, 0, 3]] if volume.affine is None else volume.affine
    in_file = _RAS_TO_LPS @ affine[:, [2, 1, 0, 3]]
    flips = (False, False, False)
    return SourceGrid(volume.hu.shape[::-1], in_file, (2, 1, 0), flips)


def _write(path, array: np.ndarray, volume: Volume, origin: str) -> None:
    path = pathlib.Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"{path}: the name must end in .nii or .nii.gz.")
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
            # A gantry tilt: the qform knows right angles only and would show the
            # voxels elsewhere.
            image.set_qform(None, code=0)
            image.header["pixdim"][1:4] = volume.spacing_mm[::-1]
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

    Shape, sform and qform are those of the input file. For a volume from DICOM the
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
        path: As in `write_mask`.
        values: (z, y, x), uint8.
        volume: As in `write_mask`.
        origin: As in `write_mask`.

    Raises:
        ValueError: if the shapes differ.
    """
    if values.shape != volume.hu.shape:
        raise ValueError(
            f"{path}: the mask has shape {values.shape}, the volume {volume.hu.shape}."
        )
    _write(path, values, volume, origin)


def count_mask_voxels(path: str | os.PathLike) -> int:
    """Number of voxels above 0 in a mask file.

    Raises:
        ValueError: if the file is unreadable.
    """
    path = pathlib.Path(path)
    image, shape = _open(path)
    return int(np.count_nonzero(_voxels(path, image, shape) > 0.5))
