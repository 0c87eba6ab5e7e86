"""RSNA 2019: the training or the test part of the challenge, scan by scan.

A folder holds `stage_2_train/<image>.dcm`, the label table `stage_2_train.csv` and
maybe a metadata table (`rsna_metadata.FILES`). The test part is `stage_2_test`, whose
labels are not public. What is known of the files is kept in columns (`rsna_index`);
pixels are read only by `Rsna.load`.

An image that cannot be used, be it damaged, without labels or without its file, is
listed in `Rsna.problems()` and is in no scan. What the headers cannot show (pixels
that cannot be decoded) is found by `Rsna.load`: the rest of the scan is read, and the
volume's notes name what was left out.

Reference:
    Flanders et al. 2020, doi:10.1148/ryai.2020190211 (the data set).
"""

import dataclasses
import os
import pathlib
import zlib
from collections.abc import Iterator

import numpy as np

from ich_tf.data import Dataset
from ich_tf.data.checks import Problem
from ich_tf.data.rsna import headers as rsna_headers
from ich_tf.data.rsna import index as rsna_index
from ich_tf.data.rsna import labels as rsna_labels
from ich_tf.data.rsna import metadata as rsna_metadata
from ich_tf.data.rsna.scan import read_scan
from ich_tf.io.source import InputError
from ich_tf.volume import PHANTOM_MARKER, Case

__all__ = ["IDENTITY", "Rsna", "ScanSlices", "read_scan"]

IMAGES = "stage_2_train"
LABELS = "stage_2_train.csv"
IDENTITY = "RSNA 2019 stage 2"
TEST_IDENTITY = "RSNA 2019 stage 2, test part"
MAX_LISTED = 1000

TEST_IMAGES = rsna_index.TEST_IMAGES

_FULL_IMAGES, _FULL_SCANS = 752_803, 21_744
_FULL_TEST_IMAGES, _FULL_TEST_SCANS = 121_232, 3_528


@dataclasses.dataclass(frozen=True, eq=False)
class ScanSlices:
    """The slices of one scan from foot to head, as far as headers and labels say.

    Attributes:
        patient_id: Patient ID.
        image_ids: SOP Instance UIDs, "ID_<hex>".
        files: Their files.
        labels: (z, 6), uint8, in the order of `labels.CLASSES`; None if unknown.
    """

    patient_id: str
    image_ids: tuple[str, ...]
    files: tuple[pathlib.Path, ...]
    labels: np.ndarray | None


@dataclasses.dataclass(frozen=True, eq=False)
class LeftOut:
    """Images that are in no scan.

    Attributes:
        kind: See `checks.Problem`.
        reason: Why, in common.
        images: (n,), their names as bytes.
        messages: (n,), why, one by one as UTF-8; None if `reason` says it all.
    """

    kind: str
    reason: str
    images: np.ndarray
    messages: np.ndarray | None = None

    def problems(self, listing: rsna_headers.Listing) -> list[Problem]:
        """One for each image, and one for the rest where there are very many."""
        problems = []
        for number, image in enumerate(self.images[:MAX_LISTED]):
            path = listing.path(bytes(image))
            message = self.reason
            if self.messages is not None:
                message = self.messages[number].decode()
            problems.append(Problem(self.kind, str(path), message))
        if len(self.images) > MAX_LISTED:
            more = f"{len(self.images) - MAX_LISTED} more images: {self.reason}"
            problems.append(Problem(self.kind, str(listing.folder), more))
        return problems


def _find_root(root: pathlib.Path, images: str = IMAGES) -> pathlib.Path:
    """The data set in a folder, or up to two folders below it."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder.")
    for pattern in ("", "*/", "*/*/"):
        folders = sorted(root.glob(pattern)) if pattern else [root]
        matches = [folder for folder in folders if (folder / images).is_dir()]
        if len(matches) > 1:
            names = ", ".join(str(folder) for folder in matches)
            raise InputError(f"{root} holds several data sets, name one: {names}")
        if matches:
            return matches[0]
    raise InputError(
        f"{root} does not hold RSNA 2019: there is no folder {images} with the images "
        f"(and, in the same folder, {LABELS}).{_instead(root)} Other DICOM files are "
        "read by `predict`."
    )


def _instead(root: pathlib.Path) -> str:
    """What a folder holds, for the message that it is not the data set."""
    names = sorted(path.name for path in root.iterdir())
    if any(name.startswith("stage_1") for name in names):
        return " It holds stage 1 of the challenge; stage 2 is needed."
    archives = [name for name in names if name.lower().endswith((".zip", ".7z"))]
    if archives:
        return f" It holds {archives[0]}: unpack it first."
    return f" It holds: {', '.join(names[:5])}." if names else " It is empty."


def _images_folder(root: pathlib.Path, images: str) -> pathlib.Path:
    """The folder of the images; some archives unpack to one within one."""
    folder = root / images
    while (folder / images).is_dir():
        folder = folder / images
    return folder


class Rsna(Dataset):
    """The training or the test part of RSNA 2019 in a folder.

    Attributes:
        root: The folder that holds `stage_2_train` and `stage_2_test`.
        name: "RSNA 2019".
        images: Name of the folder with the part's images.
    """

    name = "RSNA 2019"

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        part: str = "train",
        index_file: str | os.PathLike | None = None,
        workers: int | None = None,
    ):
        """Read the label table and the index, which is made if there is none.

        Args:
            root: The data set's folder, or one that contains it.
            part: "train", or "test", which has no labels.
            index_file: Where the index is kept; see `rsna_index.open_index`.
            workers: Processes that read headers; default one for each core.

        Raises:
            ValueError: if it is no RSNA 2019, or a table is faulty.
        """
        if part not in ("train", "test"):
            raise ValueError(f"`part` must be 'train' or 'test'. Received: {part!r}")
        is_test = part == "test"
        self.images = TEST_IMAGES if is_test else IMAGES
        self.root = _find_root(pathlib.Path(root), self.images)
        table = None
        if not is_test and (self.root / LABELS).is_file():
            table = rsna_labels.read(self.root / LABELS)
        self._listing = rsna_headers.list_images(_images_folder(self.root, self.images))
        index = rsna_index.open_index(
            self._listing,
            metadata=rsna_metadata.find(
                self.root,
                rsna_metadata.TEST_FILES if is_test else rsna_metadata.FILES,
            ),
            file=index_file,
            workers=workers,
        )
        self._full = _is_full_test(index) if is_test else self._is_full(index, table)
        self._left_out = list(_left_out(index, table))
        self._index, self._labels = index, None
        if table is not None:
            rows = table.rows_of(index.images)
            usable = rows >= 0
            for faulty in table.faults().values():
                usable &= ~faulty[rows]
            self._index = index.select(usable)
            self._labels = table.values[rows[usable]]
        self._number = {
            name.decode(): number for number, name in enumerate(self._index.series)
        }

    def case_ids(self) -> tuple[str, ...]:
        """Series Instance UIDs in order of first appearance.

        That is the order of the metadata table, or else of the names of the images.
        """
        return tuple(self._number)

    def patient_ids(self) -> tuple[str, ...]:
        """The patient of each scan, in the order of `case_ids`."""
        return tuple(patient.decode() for patient in self._index.patients)

    def scan_labels(self) -> np.ndarray | None:
        """(scans, 6), uint8: what any slice of a scan shows; None if unknown."""
        if self._labels is None or not len(self._labels):
            return self._labels
        return np.maximum.reduceat(self._labels, self._index.starts[:-1])

    def slices(self, case_id: str) -> ScanSlices:
        """The slices of a scan; no file is opened.

        Raises:
            ValueError: if there is no such scan.
        """
        number = self._find(case_id)
        names = self._index.images[self._rows(number)].tolist()
        return ScanSlices(
            self._index.patients[number].decode(),
            tuple(map(os.fsdecode, names)),
            tuple(map(self._listing.path, names)),
            None if self._labels is None else self._labels[self._rows(number)],
        )

    def _find(self, case_id: str) -> int:
        if case_id not in self._number:
            raise InputError(f"{self.root}: no scan {case_id!r} among the usable ones.")
        return self._number[case_id]

    def _rows(self, number: int) -> slice:
        return slice(*self._index.starts[number : number + 2])

    def image_ids(self, case_id: str) -> tuple[str, ...]:
        """Names of a scan's images, in its order."""
        return self.slices(case_id).image_ids

    def load(self, case_id: str) -> Case:
        """Read one scan.

        The volume has no spacing where its slices do not form one regular stack, and
        its notes say why. A slice that cannot be read is left out; the note that names
        it begins with `LEFT_OUT`.

        Raises:
            ValueError: if there is no such scan, or none of its slices can be read.
        """
        scan = self.slices(case_id)
        volume, kept = read_scan(scan.files)
        slice_labels = None if scan.labels is None else scan.labels[kept]
        return Case(case_id, scan.patient_id, volume, None, slice_labels)

    def left_out(self) -> dict[str, int]:
        """How many images are in no scan, by reason."""
        return {group.reason: len(group.images) for group in self._left_out}

    def left_out_images(self) -> tuple[str, ...]:
        """Names of the images that are in no scan."""
        images = [image for group in self._left_out for image in group.images]
        return tuple(os.fsdecode(image) for image in images)

    def problems(self) -> list[Problem]:
        """What is wrong with files and labels, at most `MAX_LISTED` of each reason.

        Pixels are not looked at; see `load`.
        """
        problems = []
        if self._labels is None and self.images == IMAGES:
            path = str(self.root / LABELS)
            problems.append(Problem("labels", path, "there is no such table"))
        for group in self._left_out:
            problems += group.problems(self._listing)
        return problems

    def fingerprint(self) -> dict:
        """Say what the data is, from headers and labels.

        Returns:
            "layout"; "slices", their number; "cases", from case id to "slices",
            "mask_voxels" (None: there are no masks) and "crc32" of what is known of
            its slices without reading pixels (names, places, sizes of the files,
            labels); and "identity": `IDENTITY` or `TEST_IDENTITY` only for the
            published number of images and scans, "phantom" if a file carries the
            phantom's marker, else "unknown".
        """
        return {
            "layout": self.name,
            "slices": len(self._index.images),
            "cases": {
                case_id: {
                    "slices": int(self._index.starts[number + 1])
                    - int(self._index.starts[number]),
                    "mask_voxels": None,
                    "crc32": self._checksum(self._rows(number)),
                }
                for case_id, number in self._number.items()
            },
            "identity": self._identity(),
        }

    def _checksum(self, rows: slice) -> str:
        parts = [b"\0".join(self._index.images[rows].tolist())]
        parts.append(self._index.positions_mm[rows].tobytes())
        parts.append(self._index.file_bytes[rows].tobytes())
        if self._labels is not None:
            parts.append(self._labels[rows].tobytes())
        return f"{zlib.crc32(b''.join(parts)):08x}"

    def _identity(self) -> str:
        origins = [origin.decode() for origin in self._index.origins]
        if any(origin.startswith(PHANTOM_MARKER) for origin in origins):
            return "phantom"
        if not self._full:
            return "unknown"
        return IDENTITY if self.images == IMAGES else TEST_IDENTITY

    @staticmethod
    def _is_full(index: rsna_index.Index, table: rsna_labels.LabelTable | None) -> bool:
        """Whether there are as many scans, and labelled images, as were published."""
        if table is None or len(index.series) != _FULL_SCANS:
            return False
        absent = np.char.endswith(index.problem_reasons, rsna_index.NO_FILE.encode())
        known = np.concatenate([index.images, index.problem_images[~absent]])
        labelled = np.count_nonzero(np.isin(table.images, known))
        return len(table.images) == labelled == _FULL_IMAGES


def _is_full_test(index: rsna_index.Index) -> bool:
    images = len(index.images) + len(index.problem_images)
    return (images, len(index.series)) == (_FULL_TEST_IMAGES, _FULL_TEST_SCANS)


def _left_out(
    index: rsna_index.Index, table: rsna_labels.LabelTable | None
) -> Iterator[LeftOut]:
    """The groups of images that cannot be used."""
    if len(index.problem_images):
        yield LeftOut(
            "unreadable", "unreadable", index.problem_images, index.problem_reasons
        )
    if table is None:
        return
    bare = index.images[table.rows_of(index.images) < 0]
    known = np.concatenate([index.images, index.problem_images])
    absent = table.images[~np.isin(table.images, known)]
    groups = {
        f"no labels in {LABELS}": bare,
        f"in {LABELS}, but there is no such file": absent,
        **{reason: table.images[where] for reason, where in table.faults().items()},
    }
    for reason, images in groups.items():
        if len(images):
            yield LeftOut("labels", reason, images)
