"""One patient's folder in the JPG layout of ct-ich as a volume."""

import os
import pathlib

import numpy as np

from ich_tf.data import ct_ich_files
from ich_tf.io import jpg
from ich_tf.volume import Note, Volume


def read_patient_folder(folder: str | os.PathLike) -> Volume:
    """Read the slices of one patient in the JPG layout, e.g. `Patients_CT/049`.

    Returns:
        (z, 512, 512) HU, saturated at -20 and 100, without spacing; slice 1 of the
        layout is the lowest. Absent numbers are noted.

    Raises:
        ValueError: if there are no slices or one of them is unreadable.
    """
    folder = pathlib.Path(folder)
    slices = ct_ich_files.brain_files(folder)
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
    absent = ct_ich_files.gaps(slices)
    if absent:
        notes.append(Note("missing slices", f"missing slices: no file for {absent}"))
    spare = ct_ich_files.spare_files(folder)
    if spare:
        more = f" and {len(spare) - 1} more file(s)" if len(spare) > 1 else ""
        text = f"left out: brain/{spare[0].name}{more}, no `<number>.jpg`"
        notes.append(Note("left out", text, tuple(path.name for path in spare)))
    return Volume(
        np.stack(images),
        None,
        None,
        None,
        hu_window=jpg.BRAIN_WINDOW,
        origin=comments[0],
        notes=tuple(notes),
    )
