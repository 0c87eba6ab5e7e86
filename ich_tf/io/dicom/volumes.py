"""One DICOM series as a volume in Hounsfield units."""

import collections
import os
import pathlib
from collections.abc import Iterable

import numpy as np

from ich_tf.io import source as entrance
from ich_tf.io import stack
from ich_tf.io.dicom import headers, pixels
from ich_tf.io.dicom.choosing import describe, name_files, select
from ich_tf.io.dicom.series import Series, find_series, sort_series
from ich_tf.io.source import InputError
from ich_tf.volume import Note, Volume


def read(
    source: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    series_uid: str | None = None,
) -> Volume:
    """Read one CT series as a volume in Hounsfield units.

    Args:
        source: A file, a folder (searched with its subfolders) or several files.
        series_uid: The Series Instance UID where there are several CT series, with
            `#number` for one stack of several under one UID; or "largest".

    Returns:
        The volume. Its `notes` report gantry tilt, gaps, uneven spacing, repeated
        slices, corrected values and what was left out. `spacing_mm` is None for a
        single slice whose header lacks geometry.

    Raises:
        InputError: if there is not exactly one CT series, if a file of it is damaged,
            too large or of a transfer syntax that cannot be decoded, or if the slices
            do not form one volume. The message names the file.
    """
    name, listed = _find(source)
    if isinstance(source, str | os.PathLike) and not pathlib.Path(source).is_dir():
        # Of a file that is named there is nothing to choose from.
        if listed[0].reason:
            raise InputError(listed[0].reason)
    return read_found(name, listed, series_uid)


def read_found(
    name: str | os.PathLike, listed: list[Series], series_uid: str | None
) -> Volume:
    """Read one of the series that `find_series` listed.

    Args:
        name: The input, for messages.
        listed: From `find_series`.
        series_uid: Series Instance UID of the one to read, or "largest"; None for the
            only one.

    Raises:
        InputError: if no series, or more than one, can be read.
    """
    if all(series.kind == "unreadable" for series in listed):
        listing = "".join(f"\n  {describe(series)}" for series in listed)
        raise InputError(f"{name}: no readable DICOM file. {entrance.READ}.{listing}")
    chosen = select(str(name), listed, series_uid)
    if len(chosen) > 1:
        raise InputError(f"{name}: one series can be read at a time, not all.")
    return read_series(chosen[0], listed)


def _find(source) -> tuple[str, list[Series]]:
    if isinstance(source, str | os.PathLike):
        path = pathlib.Path(source)
        if path.is_dir():
            return str(source), find_series(path)
        return str(source), sort_series([path])
    paths = [pathlib.Path(path) for path in source]
    return f"{len(paths)} files", sort_series(paths)


def read_series(chosen: Series, listed: Iterable[Series] = ()) -> Volume:
    """Read a series that `find_series` listed.

    Args:
        chosen: The series.
        listed: Everything that was listed, so that notes can name what is left out.

    Raises:
        InputError: if a file is damaged or cannot be decoded, or the slices do not
            form one volume.
    """
    voxels = chosen.slices * int(np.prod(chosen.matrix, dtype=np.int64))
    if voxels > headers.MAX_VOXELS:
        raise InputError(
            f"{chosen.files[0].parent}: {chosen.slices} slices are more than the "
            f"{headers.MAX_VOXELS} voxels read."
        )
    remarks = collections.defaultdict(list)
    planes, hu, used = [], None, 0
    for item in chosen.items:
        of_file, frames, remarks_of_file = pixels.read_file(item.path, item.plane)
        stack.check_alike([*planes[:1], *of_file])
        if hu is None:
            hu = np.empty((chosen.slices, *frames.shape[1:]), np.float32)
        if used + len(frames) > len(hu):
            raise InputError(f"{item.path}: changed while it was read.")
        hu[used : used + len(frames)] = frames
        used += len(frames)
        planes += of_file
        for remark in dict.fromkeys(remarks_of_file):
            remarks[remark].append(item.path)
    _check_one_time(planes)
    notes = [
        *_left_out(chosen, list(listed)),
        *(
            Note("values", f"{name_files(paths)}: {remark}")
            for remark, paths in remarks.items()
        ),
        *_scan_notes(chosen),
    ]
    try:
        return stack.assemble(planes, hu[:used], notes, origin=_origin(chosen))
    except ValueError as error:
        text = str(error).removeprefix(f"{planes[0].path}: ")
        raise InputError(f"{planes[0].path}: {text}") from error


def _origin(chosen: Series) -> str:
    return next((item.origin for item in chosen.items if item.origin), "")


def _check_one_time(planes: list[stack.Plane]) -> None:
    """Refuse frames of one file that repeat most positions: several time points."""
    if len(planes) < 2 or planes[0].path != planes[1].path or not planes[0].placed:
        return
    places = {tuple(np.round(plane.position, 2)) for plane in planes if plane.placed}
    if len(places) <= len(planes) / 2:
        raise InputError(
            f"{planes[0].path}: its {len(planes)} frames lie at {len(places)} "
            "positions: several time points or phases in one file. Export one of them "
            "as a series of its own."
        )


def _scan_notes(chosen: Series) -> list[Note]:
    notes = []
    if len(chosen.uids) > 1:
        text = f"{len(chosen.uids)} series of one image each are read as one scan"
        notes.append(Note("scan", text))
    if chosen.contrast:
        text = "a contrast agent was given: vessels are as bright as blood"
        notes.append(Note("scan", text))
    return notes


def _left_out(chosen: Series, listed: list[Series]) -> list[Note]:
    """Notes on everything else that was listed.

    Files that cannot be read and whose series is unknown, or is the chosen one, may
    belong to the scan: then it may be incomplete.
    """
    notes, alike = [], 0
    for series in listed:
        if series is chosen or series.uid == chosen.uid and series.kind == chosen.kind:
            continue
        if series.kind == chosen.kind:
            alike += 1
        elif series.kind in (
            "unreadable",
            "faulty geometry",
            "ct without geometry",
        ) and (not series.uid or series.uid in chosen.uids):
            text = f"missing slices: left out, maybe of this scan: {describe(series)}"
            names = tuple(path.name for path in series.files)
            notes.append(Note("missing slices", text, names))
        else:
            notes.append(Note("left out", f"left out: {describe(series)}"))
    if alike:
        notes.append(Note("left out", f"left out: {alike} other CT series"))
    return notes
