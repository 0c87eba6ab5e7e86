"""PhysioNet ct-ich, read in both published layouts.

1.3.1 holds NIfTI volumes in HU with masks; 1.0 to 1.2 hold JPG slices in a brain
window, with mask files only where there is hemorrhage. What a folder holds,
never its name, decides which layout it is.

Slice numbers of the diagnosis table count from 1 along the slice axis of the file,
which may run either way; the arrays here always go from foot to head.

Reference:
    Hssayeni et al. 2020, doi:10.3390/data5010014;
    https://physionet.org/content/ct-ich/1.3.1/
"""

import dataclasses
import os
import pathlib
import zlib

import numpy as np

from ich_tf import labels
from ich_tf.data import Dataset, ct_ich_files, ct_ich_table, splits
from ich_tf.data.checks import Problem
from ich_tf.data.ct_ich_files import is_patient_folder
from ich_tf.data.ct_ich_folder import read_patient_folder
from ich_tf.data.ct_ich_release import published_counts
from ich_tf.io import jpg, nifti, source
from ich_tf.io.source import InputError
from ich_tf.volume import PHANTOM_MARKER, Case, Note

__all__ = ["CtIch", "is_patient_folder", "published_counts", "read_patient_folder"]

_FULL_JPG_PATIENTS, _FULL_JPG_SLICES = 82, 2501


class CtIch(Dataset):
    """One of the published versions of ct-ich in a folder.

    Attributes:
        root: The folder that holds `ct_scans` or `Patients_CT`.
        name: "ct-ich 1.3.1" or "ct-ich 1.0" (which stands for 1.0 to 1.2).
    """

    name = "CtIch"

    def __init__(self, root: str | os.PathLike, *, leave_out: bool = False):
        """Find the layout and read the diagnosis table.

        Args:
            root: The data set's folder, or one that contains it.
            leave_out: Whether cases that cannot be read are left out, which reads
                all of them once; `problems` names them. Else `load` raises.

        Raises:
            ValueError: if neither layout is found or the table is faulty.
        """
        self.root, self._layout = ct_ich_files.find_layout(pathlib.Path(root))
        self.name = f"ct-ich {self._layout}"
        if self._layout == ct_ich_table.NIFTI:
            self._cases = ct_ich_files.nifti_files(self.root / "ct_scans")
            self._masks = ct_ich_files.nifti_files(self.root / "masks")
        else:
            self._cases = ct_ich_files.patient_folders(self.root)
            self._masks = {
                patient: masks
                for patient, folder in self._cases.items()
                if (masks := ct_ich_files.mask_files(folder))
            }
        self._table_path = self.root / ct_ich_table.TABLES[self._layout]
        self._left_out: dict[str, str] = {}
        self._fingerprint = None
        self._table = None
        if self._table_path.is_file():
            self._table = ct_ich_table.read(self._table_path)
        if leave_out:
            self._leave_out_faulty()

    def _leave_out_faulty(self) -> None:
        for case_id in list(self._cases):
            try:
                self.load(case_id)
            except ValueError as error:
                self._left_out[case_id] = str(error)
                del self._cases[case_id]

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
            raise InputError(
                f"{self.root}: no patient {case_id!r}. There are {self.case_ids()}"
            )
        path = self._cases[case_id]
        if self._layout == ct_ich_table.NIFTI:
            return self._load_nifti(case_id, path)
        images = ct_ich_files.brain_files(path)
        numbers = list(images)
        volume = read_patient_folder(path)
        mask = self._jpg_mask(case_id, numbers) if self._masks else None
        slice_labels, notes = self._labels(case_id, numbers)
        if mask is not None and slice_labels is not None:
            bare = slice_labels.any(axis=1) & ~mask.any(axis=(1, 2))
            if bare.any():
                unmasked = ct_ich_files.ranges(numbers[k] for k in np.flatnonzero(bare))
                said = (
                    f"labelled as hemorrhage, but without a mask: slice(s) {unmasked}"
                )
                notes = (*notes, Note("mask", said))
        volume = dataclasses.replace(volume, notes=volume.notes + notes)
        return Case(case_id, case_id, volume, mask, slice_labels)

    def _load_nifti(self, case_id: str, path: pathlib.Path) -> Case:
        volume = nifti.read(path)
        mask, mask_notes = None, []
        if self._masks:
            if case_id not in self._masks:
                raise InputError(f"{path}: no mask for it in {self.root / 'masks'}.")
            mask = nifti.read_mask(self._masks[case_id], volume, mask_notes)
        numbers = list(range(1, len(volume.hu) + 1))
        if volume.source.flips[0]:
            numbers.reverse()
        slice_labels, notes = self._labels(case_id, numbers)
        notes = (*volume.notes, *mask_notes, *notes)
        volume = dataclasses.replace(volume, notes=notes)
        return Case(case_id, case_id, volume, mask, slice_labels)

    def _jpg_mask(self, case_id: str, numbers: list[int]) -> np.ndarray:
        mask = np.zeros((len(numbers), jpg.SIZE, jpg.SIZE), np.uint8)
        drawn = self._masks.get(case_id, {})
        for index, number in enumerate(numbers):
            if number in drawn:
                mask[index] = jpg.read_mask(drawn[number])
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
            raise InputError(
                f"{self._table_path}: patient {case_id} has no row for slice(s) "
                f"{ct_ich_files.ranges(absent)}."
            )
        spare = set(rows) - set(numbers)
        said = f"missing slices: the table also lists {ct_ich_files.ranges(spare)}"
        notes = (Note("missing slices", said),)
        return np.stack([rows[number] for number in numbers]), notes if spare else ()

    def problems(self) -> list[Problem]:
        """What is wrong with the folder as a whole; `checks` asks for it."""
        problems = [
            Problem("unreadable", case_id, f"left out: {reason}")
            for case_id, reason in self._left_out.items()
        ]
        if self._table is None:
            text = "there is no such table"
            return [*problems, Problem("labels", str(self._table_path), text)]
        problems += [
            Problem(
                "labels",
                str(self._table_path),
                f"patient {patient} is in the table but has no images",
            )
            for patient in sorted(
                set(self._table) - set(self._cases) - set(self._left_out)
            )
        ]
        if self._layout == ct_ich_table.JPG:
            for case_id, folder in self._cases.items():
                problems += self._picture_problems(case_id, folder)
        return problems

    def left_out(self) -> dict[str, int]:
        """Reason to the number of cases that are not read."""
        count = len(self._left_out)
        return {"patients whose files cannot be read": count} if count else {}

    def _picture_problems(self, case_id: str, folder: pathlib.Path) -> list[Problem]:
        """Masks without a slice, and files that are neither."""
        slices = ct_ich_files.brain_files(folder)
        masks = self._masks.get(case_id, {})
        return [
            *(
                Problem("mask", str(path), "a mask without its slice")
                for number, path in masks.items()
                if number not in slices
            ),
            *(
                Problem("slices", str(path), "neither a slice nor a mask; passed over")
                for path in ct_ich_files.spare_files(folder)
            ),
        ]

    def _origin(self, case_id: str) -> str:
        path = self._cases[case_id]
        if self._layout == ct_ich_table.NIFTI:
            return nifti.read_header(path).origin
        return jpg.read_slice(next(iter(ct_ich_files.brain_files(path).values())))[1]

    def _counts(self, case_id: str) -> dict[str, int | None]:
        path = self._cases[case_id]
        voxels = None
        if self._layout == ct_ich_table.NIFTI:
            slices = nifti.read_header(path).slices
            if case_id in self._masks:
                voxels = nifti.count_mask_voxels(self._masks[case_id])
        else:
            numbers = list(ct_ich_files.brain_files(path))
            slices = len(numbers)
            if self._masks:
                voxels = int(self._jpg_mask(case_id, numbers).sum(dtype=np.int64))
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
            content = source.read_bytes(path, nifti.MAX_FILE_BYTES)
            checksum = zlib.crc32(content, checksum)
        return f"{checksum:08x}"

    def _files(self, case_id: str) -> list[pathlib.Path]:
        path = self._cases[case_id]
        if self._layout == ct_ich_table.NIFTI:
            masks = [self._masks[case_id]] if case_id in self._masks else []
            return [path, *masks]
        masks = self._masks.get(case_id, {})
        return sorted([*ct_ich_files.brain_files(path).values(), *masks.values()])

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
