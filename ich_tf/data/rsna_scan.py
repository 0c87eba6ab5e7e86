"""The pixels of one scan of RSNA 2019, whatever state its files are in."""

import collections
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from ich_tf.data import dicom, slices
from ich_tf.volume import Volume

LEFT_OUT = "missing slices: left out "
"""How a note of a volume begins that names a slice which could not be read."""


def read_scan(paths: Sequence[pathlib.Path]) -> tuple[Volume, list[int]]:
    """Read slices of one scan, given from foot to head, and leave out unreadable ones.

    Args:
        paths: One file for each slice.

    Returns:
        The volume, and for each of its slices the number of its file in `paths`.

    Raises:
        ValueError: if no slice can be read; the message has the reason of the first.
    """
    planes, stacks, notes, read = [], [], [], []
    remarks = collections.Counter()
    for number, path in enumerate(paths):
        try:
            plane, hu, of_slice = dicom.read_slice(path)
            if stacks and hu.shape != stacks[0].shape:
                raise ValueError(
                    f"{path}: is {hu.shape} pixels large, {planes[0].path.name} is "
                    f"{stacks[0].shape}."
                )
        except ValueError as error:
            notes.append(LEFT_OUT + str(error).replace(str(path), path.name, 1))
            continue
        if (len(stacks) + 1) * hu.size > dicom.MAX_VOXELS:
            raise ValueError(
                f"{path.parent}: {len(paths)} slices of one scan are more than the "
                f"{dicom.MAX_VOXELS} voxels read."
            )
        planes.append(plane)
        stacks.append(hu)
        read.append(number)
        remarks.update(set(of_slice))
    if not planes:
        raise ValueError(
            f"{paths[0].parent}: none of {len(paths)} slices can be read: "
            f"{notes[0].removeprefix(LEFT_OUT)}"
        )
    notes += [f"{count} slice(s): {remark}" for remark, count in remarks.items()]
    return _stack(planes, stacks, notes, read)


def _stack(
    planes: list[slices.Plane],
    stacks: list[np.ndarray],
    notes: list[str],
    numbers: list[int],
) -> tuple[Volume, list[int]]:
    """The volume of some slices, and the numbers of those that are in it."""
    origin = dicom.read_header(planes[0].path).origin
    try:
        slices.check_alike(planes)
        volume = slices.assemble(planes, stacks, notes, origin=origin)
    except ValueError as error:
        # [1] takes the slices as they come, so a scan without geometry is of use.
        reason = str(error).replace(f"{planes[0].path.parent}{os.sep}", "")
        notes = (*notes, f"no spacing: {reason}")
        stack = np.stack(stacks)
        return Volume(stack, None, None, None, origin=origin, notes=notes), numbers
    if volume.slice_positions_mm is None:
        return volume, numbers[: len(volume.hu)]
    along = np.array([plane.position @ planes[0].normal for plane in planes])
    nearest = [
        int(np.abs(along - position).argmin()) for position in volume.slice_positions_mm
    ]
    return volume, [numbers[index] for index in nearest]
