"""Cases written in both published layouts of ct-ich."""

import dataclasses
import itertools
import os
import pathlib
import re
from collections.abc import Iterable, Iterator

import numpy as np

from ich_tf import files
from ich_tf.data import ct_ich_table, splits
from ich_tf.io import jpg, nifti
from ich_tf.volume import Case, SourceGrid, Volume


def _numbered(
    cases: Iterable[Case], patient_numbers: Iterable[int] | None, skip: tuple[int, ...]
) -> Iterator[tuple[str, Case]]:
    """Cases with their names in the layout, three digits; one in memory at a time."""
    free = (n for n in itertools.count(splits.FIRST_PATIENT) if n not in skip)
    given = None if patient_numbers is None else iter(patient_numbers)
    used = set()
    for case in cases:
        if given is not None:
            number = next(given, None)
            if number is None:
                raise ValueError("`patient_numbers` has fewer entries than `cases`.")
            name = f"{number:03d}"
        elif re.fullmatch(r"\d{3}", case.patient_id):
            name = case.patient_id
        else:
            name = f"{next(free):03d}"
        if name in used:
            raise ValueError(f"Two cases would have the patient number {name}.")
        if case.mask is None or case.labels is None:
            raise ValueError(f"Case {case.case_id}: needs a mask and labels.")
        used.add(name)
        yield name, case


def _as_published(volume: Volume) -> Volume:
    """Give a volume the array order of the published NIfTI files (L, A, S)."""
    if volume.affine is None:
        raise ValueError("the NIfTI layout needs volumes with spacing.")
    affine = volume.affine[:, [2, 1, 0, 3]].copy()
    affine[:3, 3] += (volume.hu.shape[1] - 1) * affine[:3, 1]
    affine[:3, 1] *= -1
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    grid = SourceGrid(volume.hu.shape[::-1], ras, (2, 1, 0), (False, True, False))
    return dataclasses.replace(volume, source=grid)


def write_nifti_layout(
    cases: Iterable[Case],
    out: str | os.PathLike,
    *,
    patient_numbers: Iterable[int] | None = None,
) -> None:
    """Write cases as ct-ich 1.3.1.

    A killed run leaves `<out>.partial` only. The same cases give the same bytes.

    Args:
        cases: With masks, labels and spacing; consumed one at a time.
        out: A folder that does not exist yet, or is empty.
        patient_numbers: One for each case. Default: the patient id where it has
            three digits, else 49, 50, ... without 59 to 65 (absent in 1.3.1).

    Raises:
        ValueError: if `out` is in use or a case lacks what the layout needs.
    """
    rows = []
    with files.new_folder(out) as folder:
        (folder / "ct_scans").mkdir()
        (folder / "masks").mkdir()
        skip = splits.ABSENT_IN_1_3_1
        for patient, case in _numbered(cases, patient_numbers, skip):
            volume = _as_published(case.volume)
            nifti.write(folder / "ct_scans" / f"{patient}.nii", volume)
            mask_path = folder / "masks" / f"{patient}.nii"
            nifti.write_mask(
                mask_path, case.mask, volume, value=255, origin=volume.origin
            )
            rows += ct_ich_table.rows(patient, case.labels)
        ct_ich_table.write(folder, ct_ich_table.NIFTI, rows)


def write_jpg_layout(
    cases: Iterable[Case],
    out: str | os.PathLike,
    *,
    patient_numbers: Iterable[int] | None = None,
) -> None:
    """Write cases as ct-ich 1.0: JPG slices, masks where there is hemorrhage.

    A killed run leaves `<out>.partial` only. The same cases give the same bytes.

    Args:
        cases: With masks and labels, square slices; consumed one at a time.
        out: A folder that does not exist yet, or is empty.
        patient_numbers: One for each case. Default: the patient id where it has
            three digits, else 49, 50, ...

    Raises:
        ValueError: if `out` is in use or a case lacks what the layout needs.
    """
    rows = []
    with files.new_folder(out) as folder:
        for patient, case in _numbered(cases, patient_numbers, ()):
            _write_jpg_patient(folder / "Patients_CT" / patient, case)
            rows += ct_ich_table.rows(patient, case.labels)
        ct_ich_table.write(folder, ct_ich_table.JPG, rows)


def _write_jpg_patient(folder: pathlib.Path, case: Case) -> None:
    brain, bone = folder / "brain", folder / "bone"
    brain.mkdir(parents=True)
    bone.mkdir()
    origin = case.volume.origin
    for number, (hu, mask) in enumerate(
        zip(case.volume.hu, case.mask, strict=True), start=1
    ):
        slice_jpg = jpg.encode_slice(hu, jpg.BRAIN_WINDOW, origin)
        (brain / f"{number}.jpg").write_bytes(slice_jpg)
        bone_jpg = jpg.encode_slice(hu, jpg.BONE_WINDOW, origin)
        (bone / f"{number}.jpg").write_bytes(bone_jpg)
        if mask.any():
            content = jpg.encode_mask(mask, origin)
            (brain / f"{number}{jpg.MASK_SUFFIX}").write_bytes(content)
