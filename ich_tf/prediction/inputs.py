"""One entry for every kind of input that `predict` takes."""

import dataclasses
import math
import os
import pathlib

import numpy as np

from ich_tf.data import ct_ich
from ich_tf.io import dicom, nifti
from ich_tf.volume import Case, Note, Volume


def read_any(
    path: str | os.PathLike,
    spacing_mm: tuple[float, float, float] | None = None,
    series_uid: str | None = None,
) -> Case:
    """Read a NIfTI file, a DICOM file or folder, or a ct-ich patient folder.

    What a folder is follows from its content: `brain/<n>.jpg` makes it a patient of
    the JPG layout, everything else is searched for DICOM.

    Args:
        path: The input.
        spacing_mm: (z, y, x) for an input that has no spacing of its own.
        series_uid: Which series of a DICOM folder with several; other inputs have none.

    Returns:
        A case without mask and labels, named after the file or folder.

    Raises:
        ValueError: if the input is none of these, is damaged, holds several CT
            series or not the one that is named, or has a spacing of its own and one is
            given.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise ValueError(f"{path}: there is no such file or folder.")
    volume = _read(path, series_uid)
    if spacing_mm is not None:
        volume = _with_spacing(path, volume, spacing_mm)
    name = path.resolve().name
    for suffix in (".gz", ".nii", ".dcm"):
        name = name.removesuffix(suffix)
    return Case(name, name, volume)


def _read(path: pathlib.Path, series_uid: str | None) -> Volume:
    is_patient = path.is_dir() and any((path / "brain").glob("*.jpg"))
    is_nifti = path.is_file() and path.name.endswith((".nii", ".nii.gz"))
    if series_uid is not None and (is_patient or is_nifti):
        raise ValueError(f"{path} is no DICOM: it has no series {series_uid}.")
    if is_patient:
        return ct_ich.read_patient_folder(path)
    if is_nifti:
        return nifti.read(path)
    if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
        raise ValueError(
            f"{path}: a single picture has no Hounsfield units. Give the patient's "
            "folder with `brain/<n>.jpg`, a NIfTI file, or a DICOM file or folder."
        )
    return dicom.read(path, series_uid=series_uid)


def _with_spacing(
    path: pathlib.Path, volume: Volume, spacing_mm: tuple[float, float, float]
) -> Volume:
    if volume.spacing_mm is not None and not math.isnan(volume.spacing_mm[0]):
        raise ValueError(
            f"{path}: has a spacing of its own, {volume.spacing_mm} mm (z, y, x); none "
            "may be given."
        )
    spacing = tuple(float(length) for length in spacing_mm)
    # Upright in LPS, with the centre of the volume at the origin.
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[3, 3] = 1
    affine[:3, 3] = -affine[:3, :3] @ (np.array(volume.hu.shape) - 1) / 2
    positions_mm = affine[2, 3] + spacing[0] * np.arange(len(volume.hu))
    return dataclasses.replace(
        volume,
        spacing_mm=spacing,
        slice_positions_mm=positions_mm,
        affine=affine,
        notes=(
            *volume.notes,
            Note("geometry", f"spacing given by hand: {spacing} mm (z, y, x)"),
        ),
    )
