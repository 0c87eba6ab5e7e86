"""PhysioNet ct-ich, read and written in both published layouts.

1.3.1 holds NIfTI volumes in HU with masks; 1.0 to 1.2 hold JPG slices in a brain
window, with mask files only where there is hemorrhage. The layouts are told apart
by what a folder holds, never by its name.

Slice numbers of the diagnosis table count from 1 along the slice axis of the file,
which may run either way; the arrays here always go from foot to head.

Reference:
    Hssayeni et al. 2020, doi:10.3390/data5010014;
    https://physionet.org/content/ct-ich/1.3.1/
"""

import csv
import dataclasses
import importlib.resources
import io
import itertools
import os
import pathlib
import re
from collections.abc import Iterable, Iterator

import numpy as np

from ich_tf import labels
from ich_tf.data import files, jpg, nifti, splits
from ich_tf.data.checks import Problem
from ich_tf.volume import Case, SourceGrid, Volume

PHANTOM_MARKER = "ich_tf phantom"
"""How `Volume.origin` begins in every file made from the phantom."""

_NIFTI, _JPG = "1.3.1", "1.0"
_TABLES = {
    _NIFTI: "hemorrhage_diagnosis_raw_ct.csv",
    _JPG: "hemorrhage_diagnosis.csv",
}
_COLUMNS = {
    "Intraventricular": "intraventricular",
    "Intraparenchymal": "intraparenchymal",
    "Subarachnoid": "subarachnoid",
    "Epidural": "epidural",
    "Subdural": "subdural",
}
_HEADER = (
    "PatientNumber",
    "SliceNumber",
    *_COLUMNS,
    "No_Hemorrhage",
    "Fracture_Yes_No",
)
_MASK_SUFFIX = "_HGE_Seg.jpg"
_FULL_JPG_PATIENTS, _FULL_JPG_SLICES = 82, 2501


def _holds(folder: pathlib.Path) -> str | None:
    """The layout a folder holds, None if neither."""
    if any(folder.glob("ct_scans/*.nii*")):
        return _NIFTI
    if any(folder.glob("Patients_CT/*/brain/*.jpg")):
        return _JPG
    return None


def _find_layout(root: pathlib.Path) -> tuple[pathlib.Path, str]:
    """The data set in a folder, or up to two folders below it."""
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder.")
    found = []
    for pattern in ("", "*/", "*/*/"):
        folders = sorted(root.glob(pattern)) if pattern else [root]
        found = [(folder, _holds(folder)) for folder in folders if _holds(folder)]
        if found:
            break
    if not found:
        raise ValueError(
            f"{root} holds neither layout of ct-ich: `ct_scans/*.nii` (1.3.1) or "
            "`Patients_CT/<patient>/brain/<slice>.jpg` (1.0 to 1.2)."
        )
    if len(found) > 1:
        names = ", ".join(str(folder) for folder, _ in found)
        raise ValueError(f"{root} holds several data sets, name one of them: {names}")
    return found[0]


def _row_labels(row: dict[str, str], where: str) -> np.ndarray:
    values = np.zeros(len(labels.CLASSES), np.uint8)
    for column, name in (*_COLUMNS.items(), ("No_Hemorrhage", labels.ANY)):
        if row[column] not in ("0", "1"):
            raise ValueError(f"{where}: {column} must be 0 or 1, not {row[column]!r}.")
        values[labels.index(name)] = int(row[column])
    values[labels.index(labels.ANY)] ^= 1
    return values


def _read_table(path: pathlib.Path) -> dict[str, dict[int, np.ndarray]]:
    """Labels by patient and slice number."""
    table = {}
    # utf-8-sig: version 1.0 begins with a byte order mark.
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        missing = set(_HEADER[:-1]) - set(rows.fieldnames or ())
        if missing:
            raise ValueError(f"{path}: no column {', '.join(sorted(missing))}.")
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            try:
                patient = f"{int(row['PatientNumber']):03d}"
                number = int(row["SliceNumber"])
            except (TypeError, ValueError) as error:
                raise ValueError(f"{where}: patient or slice is no number.") from error
            slices = table.setdefault(patient, {})
            if number in slices:
                raise ValueError(f"{where}: slice {number} stands there twice.")
            slices[number] = _row_labels(row, where)
    return table


def _numbers(found: Iterable[int]) -> str:
    return ", ".join(str(number) for number in sorted(found))


def _brain_files(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Slice number to file; masks and other files are passed over."""
    found = {
        int(path.stem): path
        for path in (folder / "brain").glob("*.jpg")
        if re.fullmatch(r"\d+", path.stem)
    }
    if not found:
        raise ValueError(f"{folder}: no slices `brain/<number>.jpg`.")
    return dict(sorted(found.items()))


def read_patient_folder(folder: str | os.PathLike) -> Volume:
    """Read the slices of one patient in the JPG layout, e.g. `Patients_CT/049`.

    Returns:
        (z, 512, 512) HU, saturated at -20 and 100, without spacing; slice 1 of the
        layout is the lowest. Absent numbers are noted.

    Raises:
        ValueError: if there are no slices or one of them is unreadable.
    """
    folder = pathlib.Path(folder)
    slices = _brain_files(folder)
    images, comments = zip(
        *(jpg.read_slice(path) for path in slices.values()), strict=True
    )
    notes = ["8-bit brain window: HU from nominal level 40, width 120; no spacing"]
    absent = set(range(1, max(slices) + 1)) - set(slices)
    if absent:
        notes.append(f"missing slices: no file for {_numbers(absent)}")
    return Volume(
        np.stack(images),
        None,
        None,
        None,
        hu_window=jpg.BRAIN_WINDOW,
        origin=comments[0],
        notes=tuple(notes),
    )


class CtIch:
    """One of the published versions of ct-ich in a folder.

    Attributes:
        root: The folder that holds `ct_scans` or `Patients_CT`.
        name: "ct-ich 1.3.1" or "ct-ich 1.0" (which stands for 1.0 to 1.2).
    """

    def __init__(self, root: str | os.PathLike):
        """Find the layout and read the diagnosis table.

        Args:
            root: The data set's folder, or one that contains it.

        Raises:
            ValueError: if neither layout is found or the table is faulty.
        """
        self.root, self._layout = _find_layout(pathlib.Path(root))
        self.name = f"ct-ich {self._layout}"
        if self._layout == _NIFTI:
            self._cases = self._nifti_files("ct_scans")
            self._masks = self._nifti_files("masks")
        else:
            self._cases = {
                folder.name: folder
                for folder in sorted((self.root / "Patients_CT").iterdir())
                if (folder / "brain").is_dir()
            }
            pattern = f"Patients_CT/*/brain/*{_MASK_SUFFIX}"
            self._masks = {path: path for path in self.root.glob(pattern)}
        self._table_path = self.root / _TABLES[self._layout]
        self._table = None
        if self._table_path.is_file():
            self._table = _read_table(self._table_path)

    def _nifti_files(self, folder: str) -> dict[str, pathlib.Path]:
        paths = sorted((self.root / folder).glob("*.nii*"))
        return {path.name.split(".")[0]: path for path in paths}

    def case_ids(self) -> list[str]:
        """Patients in the order of their numbers, "049", ..."""
        return list(self._cases)

    def load(self, case_id: str) -> Case:
        """Read one patient.

        `mask` is None where the data set has no masks at all; `labels` is None
        where it has no diagnosis table.

        Raises:
            ValueError: if the patient is unknown or a file is missing, unreadable or
                contradicts another; the message names it.
        """
        if case_id not in self._cases:
            raise ValueError(
                f"{self.root}: no patient {case_id!r}. There are {self.case_ids()}"
            )
        path = self._cases[case_id]
        if self._layout == _NIFTI:
            return self._load_nifti(case_id, path)
        numbers = list(_brain_files(path))
        volume = read_patient_folder(path)
        mask = self._jpg_mask(path, numbers) if self._masks else None
        slice_labels, notes = self._labels(case_id, numbers)
        volume = dataclasses.replace(volume, notes=volume.notes + notes)
        return Case(case_id, case_id, volume, mask, slice_labels)

    def _load_nifti(self, case_id: str, path: pathlib.Path) -> Case:
        volume = nifti.read(path)
        mask = None
        if self._masks:
            if case_id not in self._masks:
                raise ValueError(f"{path}: no mask for it in {self.root / 'masks'}.")
            mask = nifti.read_mask(self._masks[case_id], volume)
        numbers = list(range(1, len(volume.hu) + 1))
        if volume.source.flips[0]:
            numbers.reverse()
        slice_labels, notes = self._labels(case_id, numbers)
        volume = dataclasses.replace(volume, notes=volume.notes + notes)
        return Case(case_id, case_id, volume, mask, slice_labels)

    def _jpg_mask(self, folder: pathlib.Path, numbers: list[int]) -> np.ndarray:
        mask = np.zeros((len(numbers), jpg.SIZE, jpg.SIZE), np.uint8)
        for index, number in enumerate(numbers):
            path = folder / "brain" / f"{number}{_MASK_SUFFIX}"
            if path in self._masks:
                mask[index] = jpg.read_mask(path)
        return mask

    def _labels(
        self, case_id: str, numbers: list[int]
    ) -> tuple[np.ndarray | None, tuple[str, ...]]:
        """(z, 6) labels of the slices with these numbers, and notes."""
        if self._table is None:
            return None, ()
        rows = self._table.get(case_id, {})
        absent = set(numbers) - set(rows)
        if absent:
            raise ValueError(
                f"{self._table_path}: patient {case_id} has no row for slice(s) "
                f"{_numbers(absent)}."
            )
        spare = set(rows) - set(numbers)
        notes = (f"missing slices: the table also lists {_numbers(spare)}",)
        return np.stack([rows[number] for number in numbers]), notes if spare else ()

    def problems(self) -> list[Problem]:
        """What is wrong with the folder as a whole; `checks` asks for it."""
        if self._table is None:
            return [Problem("labels", str(self._table_path), "there is no such table")]
        found = [
            Problem(
                "labels",
                str(self._table_path),
                f"patient {patient} is in the table but has no images",
            )
            for patient in sorted(set(self._table) - set(self._cases))
        ]
        if self._layout == _JPG:
            for path in sorted(self._masks):
                if not path.with_name(path.name.replace(_MASK_SUFFIX, ".jpg")).exists():
                    found.append(Problem("mask", str(path), "a mask without its slice"))
        return found

    def _origin(self, case_id: str) -> str:
        path = self._cases[case_id]
        if self._layout == _NIFTI:
            return nifti.read_header(path).origin
        return jpg.read_slice(next(iter(_brain_files(path).values())))[1]

    def _counts(self, case_id: str) -> dict[str, int | None]:
        path = self._cases[case_id]
        voxels = None
        if self._layout == _NIFTI:
            slices = nifti.read_header(path).slices
            if case_id in self._masks:
                voxels = nifti.count_mask_voxels(self._masks[case_id])
        else:
            numbers = list(_brain_files(path))
            slices = len(numbers)
            if self._masks:
                voxels = int(self._jpg_mask(path, numbers).sum(dtype=np.int64))
        return {"slices": slices, "mask_voxels": voxels}

    def fingerprint(self) -> dict:
        """Say what the data is, from its content.

        Returns:
            "layout"; "slices", their number; "cases", from case id to "slices" and
            "mask_voxels" (None without masks); and "identity": "ct-ich 1.3.1" only if
            the counts of every patient are the published ones, "ct-ich 1.0" for 82
            patients with 2,501 slices and masks, "ct-ich 1.0 (partial)" for some of
            them, "phantom" if a file carries the phantom's marker, else "unknown".

        Raises:
            ValueError: if a file is unreadable.
        """
        per_case = {case_id: self._counts(case_id) for case_id in self._cases}
        return {
            "layout": self._layout,
            "slices": sum(counts["slices"] for counts in per_case.values()),
            "cases": per_case,
            "identity": self._identity(per_case),
        }

    def _identity(self, per_case: dict) -> str:
        origins = [self._origin(case_id) for case_id in self._cases]
        if any(origin.startswith(PHANTOM_MARKER) for origin in origins):
            return "phantom"
        if self._layout == _NIFTI:
            return self.name if per_case == published_counts() else "unknown"
        if not set(per_case) <= set(splits.subject_order_82()):
            return "unknown"
        slices = sum(counts["slices"] for counts in per_case.values())
        full = (len(per_case), slices) == (_FULL_JPG_PATIENTS, _FULL_JPG_SLICES)
        return self.name if full and self._masks else f"{self.name} (partial)"


def published_counts() -> dict[str, dict[str, int]]:
    """Slices and mask voxels of the 75 patients of ct-ich 1.3.1, by patient."""
    table = importlib.resources.files("ich_tf.data") / "ct_ich_1_3_1.csv"
    return {
        row["patient"]: {
            "slices": int(row["nz"]),
            "mask_voxels": int(row["mask_voxels_512"]),
        }
        for row in csv.DictReader(table.read_text("utf-8").splitlines())
    }


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


def _rows(patient: str, slice_labels: np.ndarray) -> Iterator[list[int]]:
    """Rows of the diagnosis table; the phantom knows no fractures."""
    order = [labels.index(name) for name in _COLUMNS.values()]
    for number, values in enumerate(slice_labels.astype(int), start=1):
        none = 1 - values[labels.index(labels.ANY)]
        yield [int(patient), number, *(values[i] for i in order), none, 0]


def _write_tables(folder: pathlib.Path, layout: str, rows: list[list[int]]) -> None:
    encoding = "utf-8-sig" if layout == _JPG else "utf-8"
    patients = dict.fromkeys(row[0] for row in rows)
    for name, header, lines in (
        (_TABLES[layout], _HEADER, rows),
        (
            "patient_demographics.csv",
            ("Patient Number", "Age", "Gender"),
            [[patient, "", ""] for patient in patients],
        ),
    ):
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\r\n").writerows([header, *lines])
        files.write_atomically(folder / name, buffer.getvalue().encode(encoding))


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
            nifti.write_mask(mask_path, case.mask, volume, origin=volume.origin)
            rows += _rows(patient, case.labels)
        _write_tables(folder, _NIFTI, rows)


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
            rows += _rows(patient, case.labels)
        _write_tables(folder, _JPG, rows)


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
            (brain / f"{number}{_MASK_SUFFIX}").write_bytes(content)
