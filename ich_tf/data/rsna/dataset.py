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

import numpy as np

from ich_tf.data import Dataset
from ich_tf.data.checks import Problem
from ich_tf.data.rsna import headers as rsna_headers
from ich_tf.data.rsna import index as rsna_index
from ich_tf.data.rsna import labels as rsna_labels
from ich_tf.data.rsna import layout, release
from ich_tf.data.rsna import left_out as images_left_out
from ich_tf.data.rsna import metadata as rsna_metadata
from ich_tf.data.rsna.scan import read_scan
from ich_tf.io.source import InputError
from ich_tf.volume import PHANTOM_MARKER, Case

__all__ = ["IDENTITY", "Rsna", "ScanSlices", "read_scan"]

IDENTITY = release.TRAIN.identity


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
        published: release.Release | None = None,
    ):
        """Read the label table and the index, which is made if it is absent.

        Args:
            root: The data set's folder, or one that contains it.
            part: "train", or "test", which has no labels.
            index_file: Where the index is kept; see `rsna_index.open_index`.
            workers: Processes that read headers; default one for each core.
            published: The release that a complete copy is recognised by; default the
                challenge's.

        Raises:
            ValueError: if it is no RSNA 2019, or a table is faulty.
        """
        if part not in ("train", "test"):
            raise ValueError(f"`part` must be 'train' or 'test'. Received: {part!r}")
        is_test = part == "test"
        self.images = layout.TEST_IMAGES if is_test else layout.IMAGES
        self.root = layout.find_root(pathlib.Path(root), self.images)
        table = None
        if not is_test and (self.root / layout.LABELS).is_file():
            table = rsna_labels.read(self.root / layout.LABELS)
        self._listing = rsna_headers.list_images(
            layout.images_folder(self.root, self.images)
        )
        index = rsna_index.open_index(
            self._listing,
            metadata=rsna_metadata.find(
                self.root,
                rsna_metadata.TEST_FILES if is_test else rsna_metadata.FILES,
            ),
            file=index_file,
            workers=workers,
        )
        self._release = published or (release.TEST if is_test else release.TRAIN)
        self._is_complete = self._release.is_complete(index, table)
        self._left_out = list(images_left_out.groups(index, table))
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

    def problems(self, most: int = images_left_out.MAX_LISTED) -> list[Problem]:
        """What is wrong with files and labels.

        Pixels are not looked at; see `load`.

        Args:
            most: Images listed for each reason; one more problem counts the others.
        """
        problems = []
        if self._labels is None and self.images == layout.IMAGES:
            path = str(self.root / layout.LABELS)
            problems.append(Problem("labels", path, "there is no such table"))
        for group in self._left_out:
            problems += group.problems(self._listing, most)
        return problems

    def fingerprint(self) -> dict:
        """Say what the data is, from headers and labels.

        Returns:
            "layout"; "slices", their number; "cases", from case id to "slices",
            "mask_voxels" (None: there are no masks) and "crc32" of its slices' names,
            places, file sizes and labels, for which no pixels are read; and
            "identity": the release, only for its number of images and scans,
            "phantom" if a file carries the phantom's marker, else "unknown".
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
        return self._release.identity if self._is_complete else "unknown"
