"""The headers of a folder of DICOM slices as columns, read in parallel.

They are read in chunks, each kept as a file until all of them are there, so that a
killed run resumes where it ended. Columns are kept as `.npz`: NumPy reads it without
pickles. (Parquet would need pyarrow, which nothing else here needs.)
"""

import dataclasses
import functools
import hashlib
import logging
import os
import pathlib

import numpy as np

from ich_tf import files, parallel
from ich_tf.io import dicom
from ich_tf.io.source import InputError

VERSION = 1
CHUNK_FILES = 2000
LOG_EVERY = 20
SUFFIX = ".dcm"

HEADER_COLUMNS = {
    "images": (np.bytes_,),
    "series": (np.bytes_,),
    "patients": (np.bytes_,),
    "origins": (np.bytes_,),
    "positions": (np.float64, 3),
    "orientations": (np.float64, 6),
    "file_bytes": (np.int64,),
}
PROBLEM_COLUMNS = {"problem_images": (np.bytes_,), "problem_reasons": (np.bytes_,)}

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Listing:
    """The image files of a folder.

    Attributes:
        folder: Where they are.
        images: (n,), their names without `.dcm` as bytes, sorted.
        file_bytes: (n,), int64, their sizes.
        endings: Name to ending, where that is not `.dcm` but `.DCM` or the like.
    """

    folder: pathlib.Path
    images: np.ndarray
    file_bytes: np.ndarray
    endings: dict[bytes, str] = dataclasses.field(default_factory=dict)

    def path(self, image: bytes) -> pathlib.Path:
        """The file of an image."""
        return self.folder / (os.fsdecode(image) + self.endings.get(image, SUFFIX))

    def take(self, images: np.ndarray) -> "Listing":
        """The listing of some of the images."""
        images = np.sort(images)
        return dataclasses.replace(
            self, images=images, file_bytes=self.bytes_of(images)
        )

    def bytes_of(self, images: np.ndarray) -> np.ndarray:
        """The sizes of the files of some images."""
        return self.file_bytes[np.searchsorted(self.images, images)]

    def digest(self, *parts: bytes) -> str:
        """Identify a set of files, and what else decides an index."""
        digest = hashlib.sha256(b"\0".join([b"%d" % VERSION, *parts]))
        digest.update(b"\0".join(self.images.tolist()))
        digest.update(self.file_bytes.tobytes())
        return digest.hexdigest()


def list_images(folder: str | os.PathLike) -> Listing:
    """List the `.dcm` files of a folder; hidden files are passed over.

    Raises:
        InputError: if the folder holds files but no name ends in `.dcm`.
    """
    names, sizes, others = {}, [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.is_file():
                continue
            stem, ending = os.path.splitext(entry.name)
            if ending.lower() != SUFFIX:
                others.append(ending)
            elif os.fsencode(stem) not in names:
                names[os.fsencode(stem)] = ending
                sizes.append(entry.stat().st_size)
    if others and not names:
        raise InputError(
            f"{folder}: holds {len(others)} file(s) {others[0]} and no DICOM file "
            "(.dcm). Pictures have no Hounsfield units; download the "
            "DICOM files of the challenge."
        )
    images = np.array(list(names), np.bytes_)
    order = np.argsort(images)
    unusual = {name: ending for name, ending in names.items() if ending != SUFFIX}
    return Listing(
        pathlib.Path(folder), images[order], np.array(sizes, np.int64)[order], unusual
    )


@dataclasses.dataclass(frozen=True)
class Reading:
    """How many headers are read.

    Attributes:
        parts: Folder where chunks already read are kept.
        workers: Number of processes.
        chunk_files: Files whose headers are kept together.
    """

    parts: pathlib.Path
    workers: int
    chunk_files: int = CHUNK_FILES


def read_headers(listing: Listing) -> dict[str, np.ndarray]:
    """Read the headers of all images of a listing, one after the other.

    Returns:
        For each readable one "images", "series", "patients" and "origins" as bytes,
        "positions" (n, 3), "orientations" (n, 6; NaN if unknown) and "file_bytes";
        for the others "problem_images" and "problem_reasons" as bytes.
    """
    rows, problems = [], []
    for image, file_bytes in zip(listing.images, listing.file_bytes, strict=True):
        path = listing.path(image)
        try:
            header = dicom.read_header(path)
            if header.image_id.encode("utf-8", "surrogateescape") != image:
                raise ValueError(f"{path}: holds the image {header.image_id}.")
        except ValueError as error:
            problems.append(
                (image, str(error).removeprefix(f"{path}: ").encode("utf-8", "replace"))
            )
            continue
        ids = (header.series_id, header.patient_id, header.origin)
        orientation = header.orientation
        if orientation is None:
            orientation = np.full(6, np.nan)
        encoded = (image, *(text.encode("utf-8", "surrogateescape") for text in ids))
        rows.append((*encoded, header.position, orientation, file_bytes))
    return {
        **_columns(rows, HEADER_COLUMNS),
        **_columns(problems, PROBLEM_COLUMNS),
    }


def _columns(rows: list[tuple], kinds: dict[str, tuple]) -> dict[str, np.ndarray]:
    values = zip(*rows, strict=True) if rows else [()] * len(kinds)
    return {
        name: np.array(column, kind).reshape(-1, *shape)
        for (name, (kind, *shape)), column in zip(kinds.items(), values, strict=True)
    }


def read_all(listing: Listing, reading: Reading) -> dict[str, np.ndarray]:
    """Read all headers in parallel, chunk by chunk; see `read_headers`."""
    size = reading.chunk_files
    chunks = [
        listing.take(listing.images[start : start + size])
        for start in range(0, max(1, len(listing.images)), size)
    ]
    missing = [chunk for chunk in chunks if not _part(reading.parts, chunk).is_file()]
    if len(missing) > 1 and reading.workers > 1:
        _read_parallel(missing, reading)
    columns = [_read_chunk(chunk, reading.parts) for chunk in chunks]
    return join(columns)


def join(columns: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Columns below each other."""
    return {
        name: np.concatenate([part[name] for part in columns]) for name in columns[0]
    }


def _part(parts: pathlib.Path, chunk: Listing) -> pathlib.Path:
    return parts / f"{chunk.digest()[:32]}.npz"


def _read_chunk(chunk: Listing, parts: pathlib.Path) -> dict[str, np.ndarray]:
    """The columns of one chunk, from its file if that is there."""
    digest = chunk.digest()
    columns = load(_part(parts, chunk), digest)
    if columns is None:
        columns = read_headers(chunk)
        save(_part(parts, chunk), digest, columns)
    return columns


def _keep_chunk(parts: pathlib.Path, chunk: Listing) -> None:
    _read_chunk(chunk, parts)


def _read_parallel(chunks: list[Listing], reading: Reading) -> None:
    """Let processes write the files of the chunks."""
    keep = functools.partial(_keep_chunk, reading.parts)
    workers = min(reading.workers, len(chunks))
    done = parallel.ordered_map(keep, chunks, workers=workers)
    for number, _ in enumerate(done, 1):
        if number % LOG_EVERY == 0:
            _log.info("headers: chunk %d of %d", number, len(chunks))


def save(path: pathlib.Path, digest: str, columns: dict[str, np.ndarray]) -> None:
    """Keep columns, with what they were made of; where nothing can be written, do not.

    A read-only data set is read without an index that is kept.
    """
    try:
        with files.atomic(path) as partial:
            np.savez(partial, digest=np.array(digest), **columns)
    except OSError as error:
        _log.warning("%s cannot be kept (%s); it is made again", path, error.strerror)


def load(path: pathlib.Path, digest: str) -> dict[str, np.ndarray] | None:
    """Columns that were saved with this digest; None if there are none."""
    if not path.is_file():
        return None
    try:
        # Opened here, for NumPy leaves damaged files open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["digest"]) != digest:
                return None
            return {name: stored[name] for name in stored if name != "digest"}
    # NumPy and zipfile raise every kind of exception on damaged archives.
    except Exception:
        _log.warning("%s is damaged and is made again", path)
        return None
