"""Where every slice of RSNA 2019 is, as columns: slices in scans, scans in order.

The facts come from the headers of all files. Where a metadata table lies in the same
folder, it gives the scans, their order and the order of their slices instead, and
only one header of each scan is read.
"""

import dataclasses
import hashlib
import os
import pathlib
import shutil

import numpy as np

from ich_tf import paths
from ich_tf.data.rsna import headers as rsna_headers
from ich_tf.data.rsna import layout
from ich_tf.data.rsna import metadata as rsna_metadata
from ich_tf.io import source

FILE = "ich_tf-index.npz"
NO_FILE = "but has no file."


@dataclasses.dataclass(frozen=True, eq=False)
class HeaderIndex:
    """Slices from foot to head, scan after scan.

    Attributes:
        images: (n,), names of the images as bytes.
        positions_mm: (n,), along the normal of the scan.
        file_bytes: (n,), int64.
        starts: (scans + 1,), where each scan begins in the columns above.
        series: (scans,), Series Instance UIDs as bytes, in order of first appearance.
        patients: (scans,), Patient IDs as bytes.
        origins: (o,), what files say of their making as bytes; see `Volume.origin`.
        problem_images: (p,), images that are left out, and ...
        problem_reasons: (p,), ... why, as UTF-8.
    """

    images: np.ndarray
    positions_mm: np.ndarray
    file_bytes: np.ndarray
    starts: np.ndarray
    series: np.ndarray
    patients: np.ndarray
    origins: np.ndarray
    problem_images: np.ndarray
    problem_reasons: np.ndarray

    def select(self, kept: np.ndarray) -> "HeaderIndex":
        """The index of the slices where `kept` (n,) is true; empty scans vanish."""
        before = np.concatenate([[0], np.cumsum(kept)])
        counts = np.diff(before[self.starts])
        scans = np.flatnonzero(counts)
        starts = np.concatenate([[0], np.cumsum(counts[scans])])
        return dataclasses.replace(
            self,
            images=self.images[kept],
            positions_mm=self.positions_mm[kept],
            file_bytes=self.file_bytes[kept],
            starts=starts.astype(np.int64),
            series=self.series[scans],
            patients=self.patients[scans],
        )


def open_index(
    images: str | os.PathLike | rsna_headers.Listing,
    *,
    metadata: str | os.PathLike | None = None,
    file: str | os.PathLike | None = None,
    workers: int | None = None,
    chunk_files: int = rsna_headers.CHUNK_FILES,
) -> HeaderIndex:
    """The index of a folder of images, made if it is absent or of other files.

    Files are identified by name and size: after a change that keeps both, delete the
    index.

    Args:
        images: The folder that holds `<image>.dcm`, or its listing.
        metadata: A metadata table, see `rsna_metadata`; without it the headers of all
            files are read.
        file: Where the index is kept. Default: in the parent folder, or in the user's
            cache where nothing can be written there.
        workers: Processes that read headers. Default: one for each core.
        chunk_files: Files whose headers are kept together; a run that was interrupted
            resumes with the first chunk that is not complete.

    Raises:
        ValueError: if the metadata table is faulty. An unreadable image is no error:
            it is listed and left out.
    """
    listing = images
    if not isinstance(images, rsna_headers.Listing):
        listing = rsna_headers.list_images(images)
    file = _default_file(listing.folder) if file is None else pathlib.Path(file)
    extra = ()
    if metadata:
        extra = (source.read_bytes(metadata, rsna_metadata.MAX_BYTES),)
    digest = listing.digest(*extra)
    columns = rsna_headers.load(file, digest)
    if columns is None:
        parts = file.with_suffix(".parts")
        workers = workers or os.cpu_count() or 1
        reading = rsna_headers.Reading(parts, workers, chunk_files)
        if metadata is None:
            raw = rsna_headers.read_all(listing, reading)
        else:
            raw = _from_metadata(listing, rsna_metadata.read(metadata), reading)
        columns = in_scans(raw)
        rsna_headers.save(file, digest, columns)
        shutil.rmtree(parts, ignore_errors=True)
    return HeaderIndex(**columns)


def _default_file(folder: pathlib.Path) -> pathlib.Path:
    # The folders of both parts have the same parent.
    name = FILE if folder.name != layout.TEST_IMAGES else f"{layout.TEST_IMAGES}-{FILE}"
    place = folder.parent / name
    if place.exists() or os.access(folder.parent, os.W_OK):
        return place
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return paths.cache() / f"rsna-{name}.npz"


def _from_metadata(
    listing: rsna_headers.Listing,
    table: rsna_metadata.Metadata,
    reading: rsna_headers.Reading,
) -> dict[str, np.ndarray]:
    """The columns of `read_headers` from a table and one header of each scan."""
    has_file = np.isin(table.images, listing.images)
    heads = _one_header_each(listing, table, np.flatnonzero(has_file), reading)
    unreadable = np.isin(table.images, heads["problem_images"])
    rows = np.flatnonzero(has_file & ~unreadable)
    order = np.argsort(heads["series"])
    head = order[np.searchsorted(heads["series"][order], table.series[rows])]
    positions = np.zeros((len(rows), 3))
    positions[:, 2] = table.positions[rows]
    columns = {
        "images": table.images[rows],
        "series": table.series[rows],
        "patients": heads["patients"][head],
        "origins": heads["origins"][head],
        "positions": positions,
        "orientations": np.full((len(rows), 6), np.nan),
        "file_bytes": listing.bytes_of(table.images[rows]),
    }
    problems = {name: heads[name] for name in rsna_headers.PROBLEM_COLUMNS}
    spare = listing.images[~np.isin(listing.images, table.images)]
    for images, reason in (
        (table.images[~has_file], f"is in {table.path.name} {NO_FILE}"),
        (spare, f"is not in {table.path.name}."),
    ):
        problems = _add_problems(problems, images, reason)
    return {**columns, **problems}


def _one_header_each(
    listing: rsna_headers.Listing,
    table: rsna_metadata.Metadata,
    rows: np.ndarray,
    reading: rsna_headers.Reading,
) -> dict[str, np.ndarray]:
    """The columns of the first readable file of each series."""
    columns_read = [rsna_headers.read_headers(listing.take(table.images[:0]))]
    tried, known = np.zeros(len(rows), bool), columns_read[0]["series"]
    while True:
        waiting = rows[~tried & ~np.isin(table.series[rows], known)]
        if not waiting.size:
            return rsna_headers.join(columns_read)
        _, first = np.unique(table.series[waiting], return_index=True)
        chosen = waiting[first]
        tried |= np.isin(rows, chosen)
        images, series = table.images[chosen], table.series[chosen]
        headers = rsna_headers.read_all(listing.take(images), reading)
        series_of = dict(zip(images.tolist(), series.tolist(), strict=True))
        for image, name in zip(headers["images"], headers["series"], strict=True):
            if series_of[image] != name:
                raise ValueError(
                    f"{table.path}: the series of {image.decode()} is not the one of "
                    f"its file, {name.decode()}."
                )
        known = np.concatenate([known, headers["series"]])
        columns_read.append(headers)


def _add_problems(columns: dict, images: np.ndarray, reason: str) -> dict:
    reasons = np.full(len(images), reason.encode())
    return {
        **columns,
        "problem_images": np.concatenate([columns["problem_images"], images]),
        "problem_reasons": np.concatenate([columns["problem_reasons"], reasons]),
    }


def in_scans(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns of an `HeaderIndex` from the columns of `read_headers`."""
    series, first, scan = np.unique(
        columns["series"], return_index=True, return_inverse=True
    )
    appearance = np.argsort(first)
    scan = np.argsort(appearance)[scan]
    series, first = series[appearance], first[appearance]
    patients = columns["patients"][first]
    stranger = columns["patients"] != patients[scan]
    columns = _add_problems(
        columns,
        columns["images"][stranger],
        "its series also holds images of another patient.",
    )
    along = np.einsum(
        "ij,ij->i", columns["positions"], _normals(columns["orientations"][first])[scan]
    )
    # Foot to head; images at the same place in the order of their names, as in [1].
    order = np.lexsort((columns["images"], along, scan))
    order = order[~stranger[order]]
    counts = np.bincount(scan[~stranger], minlength=len(series))
    origins = np.unique(columns["origins"])
    return {
        "images": columns["images"][order],
        "positions_mm": along[order],
        "file_bytes": columns["file_bytes"][order],
        "starts": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "series": series,
        "patients": patients,
        "origins": origins[origins != b""],
        "problem_images": columns["problem_images"],
        "problem_reasons": columns["problem_reasons"],
    }


def _normals(orientations: np.ndarray) -> np.ndarray:
    """(n, 3) unit normals towards the head; the z axis where nothing is known."""
    normals = np.cross(orientations[:, :3], orientations[:, 3:])
    normals = np.where(np.isfinite(normals), normals, (0.0, 0.0, 1.0))
    normals *= np.where(normals[:, 2:] < 0, -1.0, 1.0)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)
