"""The scan that a user gives: read in any known format, refused if not head CT."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Iterable

import numpy as np

from ich_tf.data import checks, ct_ich
from ich_tf.io import dicom, nifti, source
from ich_tf.volume import Case, Note, Volume

DISCLAIMER = "Research reproduction, not a medical device."
FORCE = "the option --force of `ich-tf predict` and `ich-tf explain`"
"""Named in full: the page of `ich-tf app` has no options."""
THIN_MM = 2.0
"""Slices closer than this differ from the 5 mm slices the networks were trained on."""


class NotHeadCT(ValueError):
    """The input cannot be a head CT in Hounsfield units."""


def read(
    path: str | os.PathLike,
    spacing_mm: tuple[float, float, float] | None = None,
    series_uid: str | None = None,
    *,
    force: bool = False,
) -> Case:
    """Read one scan and refuse it if it cannot be a head CT.

    Args:
        path: A NIfTI file, a DICOM file or folder, or a ct-ich patient folder.
        spacing_mm: (z, y, x), for inputs without.
        series_uid: Which series of a DICOM folder with several; see `dicom.read`.
        force: Whether a refused scan is read with a note instead.

    Raises:
        NotHeadCT: if the content cannot be a head CT; the message says why.
        ValueError: if the input cannot be read. Values that are no numbers are
            refused even with `force`.
    """
    case = read_any(path, spacing_mm, series_uid)
    volume = check(path, case.volume, force=force)
    return dataclasses.replace(case, volume=volume)


def check(path: str | os.PathLike, volume: Volume, *, force: bool = False) -> Volume:
    """Refuse a volume that cannot be a head CT.

    Args:
        path: Where it comes from, for the message.
        volume: In Hounsfield units.
        force: Whether a refused volume is given with a note instead.

    Raises:
        NotHeadCT: see `read`.
    """
    problems = checks.refuse_not_head_ct(volume)
    if not problems:
        return volume
    reasons = "; ".join(problem.message for problem in problems)
    if not np.all(np.isfinite(volume.hu)):
        raise NotHeadCT(f"{path} is refused: {reasons}.")
    if not force:
        raise NotHeadCT(
            f"{path} is refused: {reasons}. If it is a head CT, {FORCE} reads it."
        )
    note = Note(
        "forced", f"read by force, though it does not look like head CT: {reasons}"
    )
    return dataclasses.replace(volume, notes=(*volume.notes, note))


def read_any(
    path: str | os.PathLike,
    spacing_mm: tuple[float, float, float] | None = None,
    series_uid: str | None = None,
) -> Case:
    """Read a NIfTI file, a DICOM file or folder, or a ct-ich patient folder.

    What an input is follows from its content, never from its name. `brain/<n>.jpg`
    makes a folder a patient of the JPG layout, everything else is searched for DICOM.

    Args:
        path: The input.
        spacing_mm: (z, y, x) for an input that has no spacing of its own.
        series_uid: Which series of a DICOM folder with several; other inputs have none.

    Returns:
        A case without mask and labels, named after the file or folder.

    Raises:
        ValueError: if the input is of another kind, is damaged, holds several CT
            series or not the one that is named, or has a spacing of its own and one is
            given.
    """
    path = pathlib.Path(path)
    if not path.name or path.name == "..":
        path = path.resolve()
    if not path.exists():
        raise source.InputError(f"{path}: there is no such file or folder.")
    volume = prepared(path, _read(path, series_uid), spacing_mm)
    name = stem(path.resolve().name)
    return Case(name, name, volume)


def _read(path: pathlib.Path, series_uid: str | None) -> Volume:
    if path.is_dir():
        if ct_ich.is_patient_folder(path):
            _check_no_series(path, series_uid)
            return ct_ich.read_patient_folder(path)
        return _read_folder(path, series_uid)
    if nifti.is_nifti(path):
        _check_no_series(path, series_uid)
        return nifti.read(path)
    if dicom.looks_like_dicom(path):
        return dicom.read(path, series_uid=series_uid)
    name = source.name_format(path) or "a file of unknown kind"
    raise source.InputError(f"{path}: not a readable scan but {name}. {source.READ}.")


def _read_folder(path: pathlib.Path, series_uid: str | None) -> Volume:
    """A DICOM folder; without DICOM the error says what there is instead."""
    listed = dicom.find_series(path)
    if any(series.kind != "unreadable" for series in listed):
        return dicom.read_found(path, listed, series_uid)
    scans = nifti_scans(source.walk(path).files)
    if scans:
        names = ", ".join(str(file.relative_to(path)) for file in scans[:5])
        raise source.InputError(
            f"{path}: holds {len(scans)} NIfTI file(s) and no DICOM; name one of them: "
            f"{names}"
        )
    raise no_scan(path)


def no_scan(path: pathlib.Path) -> source.InputError:
    """The error about a folder without a scan; it says what the folder holds."""
    walked = source.walk(path)
    shown = [f"{p.relative_to(path)} {why}" for p, why in walked.problems.items()]
    for file in walked.files[:5]:
        below = file.relative_to(path)
        name = source.name_format(file) or "of an unknown format"
        if any(part.startswith(".") for part in below.parts[:-1]):
            name = "in a hidden folder"
        shown.append(f"{below} is {name}")
    instead = f" It holds {len(walked.files)} other file(s)"
    listing = f": {'; '.join(shown[:5])}" if shown else ""
    return source.InputError(
        f"{path}: no DICOM file and no NIfTI. {source.READ}.{instead}{listing}."
    )


def nifti_scans(files: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """The NIfTI scans among files; a damaged or empty .nii is one, too.

    Returns:
        A path for each scan, the header's for a pair .hdr and .img.
    """
    scans: dict[pathlib.Path, None] = {}
    for path in files:
        try:
            if nifti.is_nifti(path):
                scans[nifti.scan_files(path)[0]] = None
                continue
        except source.InputError:
            pass
        if path.name.lower().endswith((".nii", ".nii.gz")):
            scans[path] = None
    return list(scans)


def stem(name: str) -> str:
    """The name of a scan's file without its endings; `.nii.gz` are two."""
    for suffix in (".gz", ".nii", ".dcm", ".img", ".hdr"):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            name = name[: -len(suffix)]
    return name


def _check_no_series(path: pathlib.Path, series_uid: str | None) -> None:
    if series_uid not in (None, "all", "largest"):
        raise source.InputError(f"{path} is not DICOM: it has no series {series_uid}.")


def prepared(
    path: pathlib.Path, volume: Volume, spacing_mm: tuple[float, float, float] | None
) -> Volume:
    """Give a volume the spacing stated by hand, and a note on thin slices.

    Args:
        path: Where it comes from, for the message.
        volume: The scan.
        spacing_mm: (z, y, x), for a volume without; None changes nothing.

    Raises:
        ValueError: if the volume has a spacing of its own and one is given.
    """
    if spacing_mm is not None:
        volume = _with_spacing(path, volume, spacing_mm)
    if volume.spacing_mm is None or not volume.spacing_mm[0] < THIN_MM:
        return volume
    text = (
        f"slices are {volume.spacing_mm[0]:.3g} mm apart; the networks learned from "
        "slices of about 5 mm"
    )
    return dataclasses.replace(volume, notes=(*volume.notes, Note("scan", text)))


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
