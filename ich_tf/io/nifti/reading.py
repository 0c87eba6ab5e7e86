"""NIfTI files read: volumes in HU, and masks on their grid.

Reading reorients by permuting and flipping axes only; nothing is resampled.
"""

import dataclasses
import math
import os
import pathlib

import numpy as np

from ich_tf.io.nifti import content as contents
from ich_tf.io.nifti.content import NiftiContent
from ich_tf.io.nifti.grids import file_grid, header_affine, lps_affine, place
from ich_tf.io.source import InputError, share_text
from ich_tf.volume import LOWEST_HU, Note, Volume

__all__ = [
    "Header",
    "count_mask_voxels",
    "read",
    "read_header",
    "read_mask",
]

PADDING_HU = -1200.0
"""No scanner stores a lower value but as padding."""

MAX_PADDINGS = 2
"""So many values below `PADDING_HU` are background: of the scanner, and of a program
that resampled the scan."""

SILENT_MM = 1e-3
"""How far a mask may lie off its volume without a note."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What a NIfTI header says, without the voxels.

    Attributes:
        slices: Number of slices from foot to head.
        origin: The description field, e.g. the phantom's marker.
    """

    slices: int
    origin: str


def _origin(content: NiftiContent) -> str:
    text = content.header["descrip"].tobytes().split(b"\0")[0]
    return text.decode("ascii", "replace").strip()


def _values(content: NiftiContent) -> tuple[np.ndarray, list[str]]:
    """The values in the file's order, float32, scaled; and remarks.

    scl_slope and scl_inter are applied; a slope that is 0 or not finite means none,
    as the standard says.
    """
    stored, remarks = contents.voxels(content)
    slope = float(content.header["scl_slope"])
    inter = float(content.header["scl_inter"])
    if not (math.isfinite(slope) and slope):
        slope, inter = 1.0, 0.0
    if not math.isfinite(inter):
        raise InputError(f"{content.path}: scl_inter must be a number, not {inter}.")
    with np.errstate(over="ignore", invalid="ignore"):
        if slope == 1 and inter == 0:
            return stored.astype(np.float32), remarks
        values = np.empty(stored.shape, np.float32, order="F")
        for index in range(stored.shape[2]):
            values[..., index] = stored[..., index] * slope + inter
    return values, remarks


def read_header(path: str | os.PathLike) -> Header:
    """Read what the header says; no voxel is read.

    Raises:
        InputError: if the file is no usable NIfTI file.
    """
    content = contents.open_file(path)
    affine, _ = header_affine(content)
    grid = file_grid(content, affine)
    return Header(content.shape[grid.axes[0]], _origin(content))


def read(path: str | os.PathLike, *, background: bool = True) -> Volume:
    """Read a CT volume, or any other map with its place.

    Background becomes air, as padding of DICOM does: what is no number, and one or two
    values below every Hounsfield unit (-32768). A note gives its share.

    Args:
        path: A .nii file, a .hdr/.img pair, or one of them compressed by gzip; 3-D,
            4-D with a single frame, or 2-D; at most `MAX_VOXELS` voxels.
        background: Whether background becomes air. False keeps every value, for files
            that hold no Hounsfield units.

    Returns:
        The volume; `source` is a `NiftiGrid`, `origin` the description field. A 2-D
        file without sform has no spacing in z (NaN).

    Raises:
        InputError: if the file is missing, truncated, corrupt, too large, not one
            volume, or its header contradicts itself; the message names the file.
    """
    content = contents.open_file(path)
    affine, notes = header_affine(content)
    grid = file_grid(content, affine)
    lps = lps_affine(grid)
    try:
        spacing_mm, positions_mm = place(lps, content.shape[grid.axes[0]])
    except ValueError as error:
        raise InputError(f"{content.path}: {error}") from error
    if content.flat and not int(content.header["sform_code"]):
        if grid.axes[0] != 2:
            raise InputError(f"{content.path}: a 2-D file that is no axial slice.")
        spacing_mm = (math.nan, *spacing_mm[1:])
        text = "a 2-D file: areas are known, volumes are not"
        notes.append(Note("geometry", text))
    values, remarks = _values(content)
    notes += [Note("values", remark) for remark in remarks]
    hu = np.ascontiguousarray(grid.from_source(values))
    del values
    if background:
        notes += _background_to_air(hu)
    return Volume(
        hu=hu,
        spacing_mm=spacing_mm,
        slice_positions_mm=positions_mm,
        affine=lps,
        source=grid,
        origin=_origin(content),
        notes=tuple(notes),
    )


def _background_to_air(hu: np.ndarray) -> list[Note]:
    """Replace what stands for "nothing here" in place; return notes."""
    notes = []
    nothing = np.isnan(hu) | np.isneginf(hu)
    count = int(np.count_nonzero(nothing))
    if count and count < hu.size:
        hu[nothing] = LOWEST_HU
        share = share_text(count, hu.size)
        notes.append(Note("values", f"{share} voxels without a value became air"))
    below = hu < PADDING_HU
    paddings = _distinct(hu[below], MAX_PADDINGS)
    # More values down there are no background but another unit.
    if paddings and not below.all():
        hu[below] = LOWEST_HU
        share = share_text(int(np.count_nonzero(below)), hu.size)
        values = " and ".join(f"{value:g}" for value in paddings)
        text = f"background: {share} voxels of {values} became air"
        notes.append(Note("values", text))
    return notes


def _distinct(values: np.ndarray, most: int) -> list[float]:
    """The values that occur, in order; none if they are more than `most`."""
    distinct = []
    while values.size and len(distinct) <= most:
        distinct.append(float(values.min()))
        values = values[values > distinct[-1]]
    return distinct if len(distinct) <= most else []


def read_mask(
    path: str | os.PathLike, volume: Volume, notes: list[Note] | None = None
) -> np.ndarray:
    """Read a mask that lies on the same grid as a volume.

    Args:
        path: A NIfTI file with the values 0 and 255 or 0 and 1; values close to them,
            as lossy coding leaves them, are rounded.
        volume: The volume, as `read` returned it.
        notes: Where findings about the mask are added.

    Returns:
        (z, y, x), uint8, 1 = hemorrhage.

    Raises:
        InputError: if the file is unreadable, on another grid, or holds other values.
    """
    content = contents.open_file(path)
    if volume.source is None:
        raise InputError(f"{path}: the volume does not come from a NIfTI file.")
    if content.shape != volume.source.shape:
        raise InputError(
            f"{path}: the mask has shape {content.shape}, its volume "
            f"{volume.source.shape}."
        )
    remarks_of_file = [] if notes is None else notes
    remarks_of_file += _place_notes(content, header_affine(content)[0], volume)
    values, remarks = _values(content)
    remarks_of_file += [Note("mask", f"mask: {remark}") for remark in remarks]
    mask, value_notes = _binary(content.path, values)
    remarks_of_file += value_notes
    return np.ascontiguousarray(volume.source.from_source(mask))


def _place_notes(
    content: NiftiContent, affine: np.ndarray, volume: Volume
) -> list[Note]:
    """Refuse a mask that lies half a pixel or more off its volume."""
    shape = content.shape
    corners = np.array([[0, 0, 0, 1], *(np.diag(shape) @ np.eye(3, 4)), [*shape, 1]])
    corners[:, 3] = 1
    apart_mm = np.abs(corners @ (affine - volume.source.affine).T).max()
    smallest_mm = np.linalg.norm(volume.source.affine[:3, :3], axis=0).min()
    if not apart_mm < smallest_mm / 2:
        raise InputError(
            f"{content.path}: the mask lies up to {apart_mm:.3g} mm away from its "
            f"volume. Mask affine: {affine.tolist()}; volume affine: "
            f"{volume.source.affine.tolist()}"
        )
    if apart_mm <= SILENT_MM:
        return []
    text = f"the mask lies up to {apart_mm:.2g} mm off its volume; read as it is"
    return [Note("mask", text)]


def _binary(path: pathlib.Path, values: np.ndarray) -> tuple[np.ndarray, list[Note]]:
    """uint8 mask of values near 0 and near 1, or near 0 and near 255; and notes."""
    rounded = np.rint(np.nan_to_num(values, nan=0.0, posinf=1e9, neginf=-1e9))
    mask = (rounded == 1) | (rounded == 255)
    if np.all(mask | (rounded == 0)):
        return mask.astype(np.uint8), []
    high, low = rounded >= 250, (rounded >= 0) & (rounded <= 5)
    if not np.all(low | high & (rounded <= 255)) or not high.any():
        samples = np.unique(rounded)[:5].tolist()
        raise InputError(
            f"{path}: a mask holds 0 and 255, or 0 and 1. Found: {samples}"
        )
    odd = int(np.count_nonzero((rounded != 0) & (rounded != 255)))
    share = share_text(odd, rounded.size)
    text = f"mask: {share} voxels are close to 0 or 255, not equal; rounded"
    return high.astype(np.uint8), [Note("mask", text)]


def count_mask_voxels(path: str | os.PathLike) -> int:
    """Number of voxels above 0 in a mask file; above 5 where values reach to 255.

    Raises:
        InputError: if the file is unreadable.
    """
    values, _ = _values(contents.open_file(path))
    return int(np.count_nonzero(values > (5 if np.max(values) >= 250 else 0.5)))
