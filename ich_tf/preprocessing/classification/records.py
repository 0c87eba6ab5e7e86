"""Slices for the classifier: which scans are read together, and how they are kept.

Training wants slices in random order, but the pixels of a scan are cheap to read only
together. So the scans of a data set are shuffled once and divided into groups; a group
is what one shard holds, and what is read into memory together. An epoch visits the
groups in a new order and shuffles the slices within each group, so a batch mixes
slices of some 20 scans. Groups, and with them all batches, are the same whether they
come from shards (`Shards`) or from a data set's own files (`Scans`), to the bit: both
pass through the same 8-bit images.
"""

import collections
import concurrent.futures
import contextlib
import ctypes
import dataclasses
import functools
import math
import multiprocessing
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ich_tf import files
from ich_tf.preprocessing import windows
from ich_tf.preprocessing.classification import images
from ich_tf.volume import Case, Volume

# Deviation: [1] did not shuffle; its batches followed the rows of the label table,
# where the slices of a scan lie scattered. A fixed order of single slices would need
# every scan opened once for each of its slices.
FORMAT = 1
INDEX = "index.json"
SCANS_PER_GROUP = 32
SCANS_AHEAD = 2
"""How many scans each worker process reads ahead."""


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
class Scan:
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
    if not callable(getattr(dataset, "slices", None)):
        return tuple(f"{case.case_id}_{number:04d}" for number in range(count))
    absent = {
        name.removesuffix(".dcm") for note in case.volume.notes for name in note.files
    }
    listed = dataset.slices(case.case_id).image_ids
    names = tuple(name for name in listed if name not in absent)
    if len(names) != count:
        raise ValueError(
            f"Case {case.case_id}: {count} slices were read, but {len(names)} are "
            "listed."
        )
    return names


def load_scan(dataset, case_id: str, to_images: Callable[..., np.ndarray]) -> Scan:
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
    return Scan(case_id, names, shown, case.labels, notes)


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
    """Prepared slices in a folder, as `prepare.run` writes them.

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
            folder: Where `prepare.run` wrote.
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
        self.index = files.read_json(path)
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
            raise ValueError(f"{self.folder} holds no slice of the scans asked for.")
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


class Scans:
    """Slices read from a data set's own files, in the same groups as shards.

    Attributes:
        size: Side of the images in pixels.
        groups: The scans, group by group.
    """

    def __init__(
        self,
        open_dataset: Callable[[], object],
        groups: Sequence[Group],
        size: int,
        *,
        to_images: Callable[..., np.ndarray] | None = None,
        workers: int = 1,
    ):
        """Keep what is needed to read; nothing is read yet.

        Args:
            open_dataset: Opens the data set, e.g.
                `functools.partial(data.open_dataset, "rsna", folder)`.
            groups: From `list_groups`, or of `Shards` for the same batches.
            size: Side of the images in pixels.
            to_images: See `load_scan`; None for `volume_images`.
            workers: Processes that read. With more than one, `open_dataset` and
                `to_images` must be picklable.
        """
        self.size, self.groups = size, tuple(groups)
        self._open = functools.cache(open_dataset)
        self._to_images = to_images or functools.partial(volume_images, size=size)
        self._pool = None
        if workers > 1:
            # TensorFlow runs threads, which a forked process would lack.
            spawn = multiprocessing.get_context("spawn")
            most = max(max(group.counts) for group in self.groups)
            shape = (SCANS_AHEAD * workers, most, size, size, 3)
            memory = spawn.RawArray(ctypes.c_uint8, math.prod(shape))
            self._places = np.frombuffer(memory, np.uint8).reshape(shape)
            self._free = collections.deque(range(len(self._places)))
            self._pool = concurrent.futures.ProcessPoolExecutor(
                workers,
                spawn,
                _open_in_worker,
                (open_dataset, self._to_images, memory, shape),
            )

    def read(self, number: int) -> Iterator[Scan]:
        """The scans of a group, in its order.

        Raises:
            ValueError: if a scan is unreadable or its number of slices is not the
                listed one.
        """
        group = self.groups[number]
        if self._pool is None:
            found = (
                load_scan(self._open(), case_id, self._to_images)
                for case_id in group.case_ids
            )
        else:
            found = self._read_in_workers(group.case_ids)
        for scan, count in zip(found, group.counts, strict=True):
            if len(scan.labels) != count:
                raise ValueError(
                    f"Case {scan.case_id} has {len(scan.labels)} slices, not the "
                    f"{count} listed: {'; '.join(scan.left_out)}. Leave this scan out, "
                    "or take the groups of a preparation, which counted the slices."
                )
            yield scan

    def _read_in_workers(self, case_ids: Sequence[str]) -> Iterator[Scan]:
        """Scans in order, some ahead; their images come through shared memory.

        A pipe holds 64 KB: with it, worker and reader wait for each other a hundred
        times for each scan.
        """
        ahead, started = iter(case_ids), collections.deque()

        def start() -> None:
            case_id = next(ahead, None)
            if case_id is not None:
                try:
                    place = self._free.pop()
                except IndexError:
                    # All are in use by readers that did not go on: take the pipe.
                    place = None
                job = self._pool.submit(_load_in_worker, case_id, place)
                started.append((place, job))

        try:
            for _ in self._places:
                start()
            while started:
                place, job = started[0]
                scan = job.result()
                if place is not None:
                    images = self._places[place, : len(scan.labels)].copy()
                    scan = dataclasses.replace(scan, images=images)
                    self._free.append(place)
                started.popleft()
                start()
                yield scan
        finally:
            concurrent.futures.wait([job for _, job in started if not job.cancel()])
            self._free.extend(place for place, _ in started if place is not None)

    def close(self) -> None:
        """End the worker processes; they end with the program, too."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


_worker = {}


def _keep_freed_memory() -> None:
    """Let glibc keep what large arrays leave; elsewhere nothing is done.

    To give it back to the kernel and to get it anew for each scan takes a sixth of
    the time of reading it.
    """
    trim_threshold, mmap_threshold = -1, -3
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 2**28)
        mallopt(trim_threshold, 2**29)


def _open_in_worker(
    open_dataset: Callable, to_images: Callable, memory, shape: tuple[int, ...]
) -> None:
    import cv2

    # The processes fill the cores already.
    cv2.setNumThreads(1)
    _keep_freed_memory()
    places = np.frombuffer(memory, np.uint8).reshape(shape)
    _worker.update(dataset=open_dataset(), to_images=to_images, places=places)


def _load_in_worker(case_id: str, place: int | None) -> Scan:
    """A scan; its images go to a place in the shared memory if there is one."""
    scan = load_scan(_worker["dataset"], case_id, _worker["to_images"])
    if place is None:
        return scan
    target = _worker["places"][place]
    # More slices than were listed do not fit; the reader refuses such a scan.
    kept = min(len(scan.images), len(target))
    target[:kept] = scan.images[:kept]
    return dataclasses.replace(scan, images=scan.images[:0])


def list_groups(
    dataset,
    case_ids: Iterable[str],
    scans: int = SCANS_PER_GROUP,
    seed: int = 0,
) -> tuple[Group, ...]:
    """Groups of a data set's scans without reading pixels, as shards would have them.

    Args:
        dataset: Has `slices(case_id)`.
        case_ids: Readable scans with labels.
        scans: Most scans of a group.
        seed: Of the order of scans.

    Raises:
        ValueError: see `group_case_ids`.
    """
    return tuple(
        Group(group, tuple(len(dataset.slices(name).image_ids) for name in group))
        for group in group_case_ids(case_ids, scans, seed)
    )
