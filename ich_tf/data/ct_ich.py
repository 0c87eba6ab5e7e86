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
import os
import pathlib
import re
import zlib
from collections.abc import Iterable

import numpy as np

from ich_tf import files, labels
from ich_tf.data import ct_ich_table, splits
from ich_tf.data.checks import Problem
from ich_tf.io import jpg, nifti
from ich_tf.volume import PHANTOM_MARKER, Case, Note, Volume

__all__ = [
    "CtIch",
    "published_counts",
    "read_patient_folder",
]

_FULL_JPG_PATIENTS, _FULL_JPG_SLICES = 82, 2501


def _holds(folder: pathlib.Path) -> str | None:
    """The layout a folder holds, None if neither."""
    if folder.name.endswith(files.PARTIAL):
        return None
    if _nifti_files(folder / "ct_scans"):
        return ct_ich_table.NIFTI
    # Names of slices begin with a digit; archives may add hidden files.
    if any(folder.glob("Patients_CT/*/brain/[0-9]*.jpg")):
        return ct_ich_table.JPG
    return None


def _nifti_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Patient to file, in the order of their names."""
    found = {}
    for path in sorted(folder.glob("[!.]*.nii*")):
        patient = path.name.split(".")[0]
        if patient in found:
            raise ValueError(f"{found[patient]} and {path} are the same patient.")
        found[patient] = path
    return found


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
    notes = [
        Note(
            "values",
            "8-bit brain window: HU from nominal level 40, width 120; no spacing",
        ),
        Note(
            "geometry",
            "pictures of 650x650, their border cut off, on a grid of 512x512",
        ),
    ]
    absent = set(range(1, max(slices) + 1)) - set(slices)
    if absent:
        said = f"missing slices: no file for {_numbers(absent)}"
        notes.append(Note("missing slices", said))
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
        if self._layout == ct_ich_table.NIFTI:
            self._cases = _nifti_files(self.root / "ct_scans")
            self._masks = _nifti_files(self.root / "masks")
        else:
            self._cases = {
                folder.name: folder
                for folder in sorted((self.root / "Patients_CT").iterdir())
                if (folder / "brain").is_dir()
            }
            pattern = f"Patients_CT/*/brain/[0-9]*{jpg.MASK_SUFFIX}"
            self._masks = {path: path for path in self.root.glob(pattern)}
        self._table_path = self.root / ct_ich_table.TABLES[self._layout]
        self._fingerprint = None
        self._table = None
        if self._table_path.is_file():
            self._table = ct_ich_table.read(self._table_path)

    def case_ids(self) -> list[str]:
        """Patients in the order of their numbers, "049", ..."""
        return list(self._cases)

    def patient_ids(self) -> list[str]:
        """The patient of each case: the same, as each has one scan."""
        return self.case_ids()

    def scan_labels(self) -> np.ndarray | None:
        """(cases, 6), uint8: what any slice of a case shows; None without a table."""
        if self._table is None:
            return None
        empty = np.zeros(len(labels.CLASSES), np.uint8)
        rows = [self._table.get(case_id, {}).values() for case_id in self._cases]
        return np.stack([np.max([empty, *values], axis=0) for values in rows])

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
        if self._layout == ct_ich_table.NIFTI:
            return self._load_nifti(case_id, path)
        images = _brain_files(path)
        numbers = list(images)
        volume = read_patient_folder(path)
        mask = self._jpg_mask(list(images.values())) if self._masks else None
        slice_labels, notes = self._labels(case_id, numbers)
        if mask is not None and slice_labels is not None:
            bare = slice_labels.any(axis=1) & ~mask.any(axis=(1, 2))
            if bare.any():
                found = _numbers(numbers[k] for k in np.flatnonzero(bare))
                said = f"labelled as hemorrhage, but without a mask: slice(s) {found}"
                notes = (*notes, Note("mask", said))
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

    def _jpg_mask(self, images: list[pathlib.Path]) -> np.ndarray:
        mask = np.zeros((len(images), jpg.SIZE, jpg.SIZE), np.uint8)
        for index, image in enumerate(images):
            path = image.with_name(f"{image.stem}{jpg.MASK_SUFFIX}")
            if path in self._masks:
                mask[index] = jpg.read_mask(path)
        return mask

    def _labels(
        self, case_id: str, numbers: list[int]
    ) -> tuple[np.ndarray | None, tuple[Note, ...]]:
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
        said = f"missing slices: the table also lists {_numbers(spare)}"
        notes = (Note("missing slices", said),)
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
        if self._layout == ct_ich_table.JPG:
            for path in sorted(self._masks):
                name = path.name.replace(jpg.MASK_SUFFIX, ".jpg")
                if not path.with_name(name).exists():
                    found.append(Problem("mask", str(path), "a mask without its slice"))
        return found

    def _origin(self, case_id: str) -> str:
        path = self._cases[case_id]
        if self._layout == ct_ich_table.NIFTI:
            return nifti.read_header(path).origin
        return jpg.read_slice(next(iter(_brain_files(path).values())))[1]

    def _counts(self, case_id: str) -> dict[str, int | None]:
        path = self._cases[case_id]
        voxels = None
        if self._layout == ct_ich_table.NIFTI:
            slices = nifti.read_header(path).slices
            if case_id in self._masks:
                voxels = nifti.count_mask_voxels(self._masks[case_id])
        else:
            images = list(_brain_files(path).values())
            slices = len(images)
            if self._masks:
                voxels = int(self._jpg_mask(images).sum(dtype=np.int64))
        return {"slices": slices, "mask_voxels": voxels}

    def fingerprint(self) -> dict:
        """Say what the data is, from its content.

        Returns:
            "layout"; "slices", their number; "cases", from case id to "slices",
            "mask_voxels" (None without masks) and "crc32" of its files; and
            "identity": "ct-ich 1.3.1" only if
            the counts of every patient are the published ones, "ct-ich 1.0" for 82
            patients with 2,501 slices and masks, "ct-ich 1.0 (partial)" for some of
            them, "phantom" if a file carries the phantom's marker, else "unknown".

        Raises:
            ValueError: if a file is unreadable.
        """
        if self._fingerprint is None:
            counts = {case_id: self._counts(case_id) for case_id in self._cases}
            self._fingerprint = {
                "layout": self._layout,
                "slices": sum(case["slices"] for case in counts.values()),
                "cases": {
                    case_id: {**case, "crc32": self._checksum(case_id)}
                    for case_id, case in counts.items()
                },
                "identity": self._identity(counts),
            }
        return self._fingerprint

    def _checksum(self, case_id: str) -> str:
        """CRC-32 of the case's files, so that changed content is other data."""
        checksum = 0
        for path in self._files(case_id):
            checksum = zlib.crc32(path.read_bytes(), checksum)
        return f"{checksum:08x}"

    def _files(self, case_id: str) -> list[pathlib.Path]:
        path = self._cases[case_id]
        if self._layout == ct_ich_table.NIFTI:
            masks = [self._masks[case_id]] if case_id in self._masks else []
            return [path, *masks]
        return sorted(path.rglob("[0-9]*.jpg"))

    def _identity(self, per_case: dict) -> str:
        origins = [self._origin(case_id) for case_id in self._cases]
        if any(origin.startswith(PHANTOM_MARKER) for origin in origins):
            return "phantom"
        if self._layout == ct_ich_table.NIFTI:
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
