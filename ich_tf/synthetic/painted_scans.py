"""Painted scans and phantom heads on disk, as training reads them.

Slices are stored as 8-bit pictures of the brain window, with the subtype of every
pixel; scans stay whole, so that each slice has its neighbours.
"""

import dataclasses
import itertools
import os
import pathlib
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from ich_tf import arrays, files, typed_json
from ich_tf.preprocessing.segmentation import slices
from ich_tf.synthetic import landmarks, scan_painting, scans
from ich_tf.synthetic.phantom import head as heads

WINDOW_HU = (-20.0, 100.0)
"""What 0 and 255 stand for."""
INDEX = "index.json"
ADVICE = "Remove its folder; the next run makes it again."
_PHANTOM_SLICES = 26


@dataclasses.dataclass(frozen=True)
class PaintedScanIndex:
    """What `index.json` says about stored scans.

    Attributes:
        side: Rows and columns of a slice.
        names: Names of the scans.
        starts: First slice of each scan, and the number of slices at the end.
    """

    side: int
    names: list[str]
    starts: list[int]

    def is_consistent(self) -> bool:
        """Whether every scan has a slice and the first begins at 0."""
        return (
            self.side > 0
            and self.starts[:1] == [0]
            and len(self.starts) == len(self.names) + 1 > 1
            and all(first < after for first, after in itertools.pairwise(self.starts))
        )


@dataclasses.dataclass(frozen=True, eq=False)
class StoredScans:
    """Slices of scans, memory-mapped.

    Attributes:
        images: (n, side, side), uint8, the brain window.
        subtypes: (n, side, side), uint8: 0, or 1 to 5 in the order of
            `labels.SUBTYPES`.
        names: Names of the scans.
        starts: First slice of each scan, and n at the end.
    """

    images: np.ndarray
    subtypes: np.ndarray
    names: tuple[str, ...]
    starts: tuple[int, ...]

    def bounds(self, slice_number: int) -> tuple[int, int]:
        """First and last slice of the scan that holds a slice."""
        scan = int(np.searchsorted(self.starts, slice_number, side="right")) - 1
        return self.starts[scan], self.starts[scan + 1] - 1


Head = tuple[str, np.ndarray, np.ndarray]
"""Name, Hounsfield units (z, side, side) and subtypes (z, side, side) of a scan."""


def painted_heads(
    dataset,
    patients: Iterable[str],
    copies: int,
    seed: int,
    *,
    with_mimics: bool = True,
) -> Iterator[Head]:
    """Paint copies of heads without hemorrhage.

    Args:
        dataset: With labels; a head with any hemorrhage is refused.
        patients: Case ids.
        copies: Copies of each head, every one with other paint.
        seed: Seed of the paint.
        with_mimics: Whether to paint what resembles blood.

    Raises:
        ValueError: if a head shows hemorrhage or has no labels.
    """
    for patient in patients:
        case = dataset.load(patient)
        if case.labels is None or case.labels.any():
            raise ValueError(
                f"Case {patient} shows hemorrhage or has no labels: it cannot be "
                "painted on. Name heads that are labelled free of hemorrhage."
            )
        volume = slices.at_size(case, landmarks.GRID).volume
        scan = scans.survey(volume.hu, volume.spacing_mm, volume.hu_window)
        if scan is None:
            continue
        for copy in range(copies):
            key = [seed, zlib.crc32(patient.encode()), copy]
            draw = int(np.random.default_rng(key).integers(2**31))
            made = scan_painting.paint(scan, draw, with_mimics=with_mimics)
            yield f"{patient}:{copy}", made.hu, made.subtypes


def phantom_heads(first: int, count: int, seed: int) -> Iterator[Head]:
    """Heads of the phantom, the numbers from `first` on."""
    for index in range(first, first + count):
        made = heads.generate(seed, index, slices=_PHANTOM_SLICES, size=landmarks.GRID)
        yield made.case.case_id, made.case.volume.hu, made.subtypes


def store(folder: str | os.PathLike, made: Iterable[Head]) -> StoredScans:
    """Write scans to a folder, or open what is there.

    The folder appears under its name only when it is complete.

    Args:
        folder: Where; the caller names it after its content.
        made: The scans, taken one at a time and only if the folder is absent.

    Raises:
        ValueError: if there is no scan.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        with files.new_folder(folder) as partial:
            _write(partial, made)
    return load(folder)


def load(folder: str | os.PathLike) -> StoredScans:
    """Open what `store` wrote.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged; the message names it.
    """
    path = pathlib.Path(folder) / INDEX
    index = typed_json.read(path, PaintedScanIndex, ADVICE)
    if not index.is_consistent():
        raise ValueError(f"{path} is damaged: its numbers contradict. {ADVICE}")
    shape = (index.starts[-1], index.side, index.side)
    return StoredScans(
        arrays.open_raw(path.with_name("images.u8"), np.uint8, shape, ADVICE),
        arrays.open_raw(path.with_name("subtypes.u8"), np.uint8, shape, ADVICE),
        tuple(index.names),
        tuple(index.starts),
    )


def apart(scans: StoredScans) -> StoredScans:
    """The same slices, each among neighbours from other copies of its head.

    Args:
        scans: From `store` of `painted_heads`: the copies of a head follow each other.
    """
    heads = [name.rpartition(":")[0] for name in scans.names]
    order = np.empty(len(scans.images), int)
    for head in dict.fromkeys(heads):
        copies = [number for number, name in enumerate(heads) if name == head]
        for turn, copy in enumerate(copies):
            for z, place in enumerate(
                range(scans.starts[copy], scans.starts[copy + 1])
            ):
                order[place] = scans.starts[copies[(turn + z) % len(copies)]] + z
    return dataclasses.replace(
        scans, images=scans.images[order], subtypes=scans.subtypes[order]
    )


def to_bytes(hu: np.ndarray) -> np.ndarray:
    """Hounsfield units as pictures of the brain window, uint8."""
    low, high = WINDOW_HU
    scaled = (hu - np.float32(low)) * np.float32(255 / (high - low))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _write(folder: pathlib.Path, made: Iterable[Head]) -> None:
    names, starts, side = [], [0], None
    with (
        open(folder / "images.u8", "wb") as images,
        open(folder / "subtypes.u8", "wb") as subtypes,
    ):
        for name, hu, truth in made:
            side = hu.shape[1]
            to_bytes(hu).tofile(images)
            np.ascontiguousarray(truth, np.uint8).tofile(subtypes)
            names.append(name)
            starts.append(starts[-1] + len(hu))
    if not names:
        raise ValueError("There is no scan to store: no head could be painted on.")
    index = {"side": side, "names": names, "starts": starts}
    files.write_json(folder / INDEX, index)
