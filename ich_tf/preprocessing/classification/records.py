"""Slices for the classifier: which scans are read together, and how they are kept.

Training wants slices in random order, but the pixels of a scan are cheap to read only
together. So the scans of a data set are shuffled once and divided into groups; a group
is what one shard holds and what is read into memory together. An epoch visits the
groups in a new order and shuffles the slices within each group, so a batch mixes
slices of some 20 scans.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ich_tf.preprocessing import windows
from ich_tf.preprocessing.classification import images, shard_index
from ich_tf.volume import Case, Volume

# Deviation: [1] did not shuffle; its batches followed the rows of the label table,
# where the slices of a scan lie scattered. A fixed order of single slices would need
# every scan opened once for each of its slices.
FORMAT = 1
INDEX = "index.json"
SCANS_PER_GROUP = 32


@dataclasses.dataclass(frozen=True)
class Group:
    """Scans that are read together.

    Attributes:
        case_ids: The scans.
        counts: Number of slices of each.
    """

    case_ids: tuple[str, ...]
    counts: tuple[int, ...]

    def __len__(self) -> int:
        """Number of slices."""
        return sum(self.counts)


@dataclasses.dataclass(frozen=True, eq=False)
class ScanImages:
    """One scan as the classifier sees it, slices from foot to head.

    Attributes:
        case_id: Name of the scan.
        image_ids: Names of its slices.
        images: (z, size, size, 3), uint8, the three windows from 0 to 255.
        labels: (z, 6), uint8, in the order of `labels.CLASSES`.
        left_out: Notes on slices that could not be read or repeat another.
    """

    case_id: str
    image_ids: tuple[str, ...]
    images: np.ndarray
    labels: np.ndarray
    left_out: tuple[str, ...] = ()


def volume_images(
    volume: Volume,
    size: int,
    shown: Sequence[windows.Window] = images.WINDOWS,
    dtype: type[np.float32] | type[np.uint8] = np.float32,
) -> np.ndarray:
    """The classifier's windows of a volume, see `images.slice_images`.

    Raises:
        ValueError: if the volume no longer has the Hounsfield units they need.
    """
    windows.check_window(volume.hu_window, shown)
    return images.slice_images(volume.hu, size, shown, dtype)


# ct-ich as JPG has no Hounsfield units outside this window.
_BRAIN = (windows.WINDOWS["segmentation"]["brain"],) * 3
IMAGES = {
    "windows": volume_images,
    "brain": functools.partial(volume_images, shown=_BRAIN),
}


def image_ids(dataset, case: Case) -> tuple[str, ...]:
    """Names of a case's slices: the data set's own, else "<case>_<z>".

    Raises:
        ValueError: if slices are missing that the volume's notes do not name.
    """
    count = len(case.volume.hu)
    listed = dataset.image_ids(case.case_id)
    if listed is None:
        return tuple(f"{case.case_id}_{number:04d}" for number in range(count))
    absent = {
        name.removesuffix(".dcm") for note in case.volume.notes for name in note.files
    }
    names = tuple(name for name in listed if name not in absent)
    if len(names) != count:
        raise ValueError(
            f"Case {case.case_id}: {count} slices were read, but {len(names)} are "
            "listed."
        )
    return names


def load_scan(
    dataset, case_id: str, to_images: Callable[..., np.ndarray]
) -> ScanImages:
    """Read a scan of a data set and make its images.

    Args:
        dataset: Has `load(case_id) -> Case`.
        case_id: The scan.
        to_images: From a volume and `dtype` to (z, size, size, 3), like
            `volume_images`.

    Raises:
        ValueError: if the scan is unreadable or has no labels; names it.
    """
    case: Case = dataset.load(case_id)
    if case.labels is None:
        raise ValueError(f"Case {case_id} has no labels: nothing to train on.")
    notes = tuple(note.text for note in case.volume.notes if note.files)
    names = image_ids(dataset, case)
    shown = to_images(case.volume, dtype=np.uint8)
    return ScanImages(case_id, names, shown, case.labels, notes)


def group_case_ids(
    case_ids: Iterable[str], scans: int = SCANS_PER_GROUP, seed: int = 0
) -> tuple[tuple[str, ...], ...]:
    """Shuffle scans and divide them evenly into groups of at most `scans`.

    Raises:
        ValueError: if there is no scan, or one appears twice.
    """
    case_ids = list(case_ids)
    if not case_ids or len(set(case_ids)) < len(case_ids):
        raise ValueError("`case_ids` must name one scan or more, each of them once.")
    order = np.random.default_rng(seed).permutation(len(case_ids))
    parts = np.array_split(order, -(-len(case_ids) // scans))
    return tuple(tuple(case_ids[index] for index in part) for part in parts)


class Shards:
    """Prepared slices in a folder, as `shards.run` writes them.

    Attributes:
        folder: The folder.
        index: What `index.json` says.
        size: Side of the images in pixels.
        groups: The scans in use, shard by shard; shards without any are left out.
        paths: The shard of each group.
        places: For each group, (slices,), int32: which records of the shard.
    """

    def __init__(
        self, folder: str | os.PathLike, case_ids: Iterable[str] | None = None
    ):
        """Open prepared slices; no shard is read yet.

        Args:
            folder: Where `shards.run` wrote.
            case_ids: The scans in use; None for all that are there.

        Raises:
            ValueError: if the preparation is unfinished or of another format, or if
                a scan is not there; the message says why it was left out.
        """
        self.folder = pathlib.Path(folder)
        path = self.folder / INDEX
        if not path.is_file():
            raise ValueError(
                f"{path} is missing: prepare the data set, or let it finish."
            )
        self.index = shard_index.read(path)
        if self.index["format"] != FORMAT:
            raise ValueError(
                f"{path} has format {self.index['format']}, this version reads "
                f"{FORMAT}. Prepare the data set again."
            )
        self.size = self.index["size"]
        wanted = None if case_ids is None else set(case_ids)
        self._check_present(wanted or ())
        chosen = [_choose(shard, wanted) for shard in self.index["shards"]]
        kept = [number for number, (group, _) in enumerate(chosen) if len(group)]
        if not kept:
            raise ValueError(f"{path} lists no slice of the scans asked for.")
        self.groups = tuple(chosen[number][0] for number in kept)
        self.places = tuple(chosen[number][1] for number in kept)
        self.paths = tuple(
            str(self.folder / self.index["shards"][number]["file"]) for number in kept
        )

    def _check_present(self, wanted: Iterable[str]) -> None:
        there = {case for shard in self.index["shards"] for case in shard["case_ids"]}
        absent = sorted(set(wanted) - there)
        if absent:
            reasons = {
                left["case_id"]: left["reason"] for left in self.index["left_out"]
            }
            raise ValueError(
                f"{self.folder} lacks {len(absent)} of the scans asked for. The first "
                f"is {absent[0]}: {reasons.get(absent[0], 'it was not prepared')}"
            )


def _choose(shard: dict, wanted: set[str] | None) -> tuple[Group, np.ndarray]:
    """The wanted scans of a shard, and the places of their records in it."""
    case_ids, counts, places, first = [], [], [], 0
    for case_id, count in zip(shard["case_ids"], shard["counts"], strict=True):
        if wanted is None or case_id in wanted:
            case_ids.append(case_id)
            counts.append(count)
            places.append(np.arange(first, first + count, dtype=np.int32))
        first += count
    joined = np.concatenate(places) if places else np.empty(0, np.int32)
    return Group(tuple(case_ids), tuple(counts)), joined
