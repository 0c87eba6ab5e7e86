"""The pixels of one scan of RSNA 2019, whatever state its files are in."""

import collections
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from ich_tf.io import dicom, stack
from ich_tf.volume import Note, Volume


def read_scan(
    paths: Sequence[pathlib.Path], max_voxels: int = dicom.MAX_VOXELS
) -> tuple[Volume, list[int]]:
    """Read slices of one scan, given from foot to head, and leave out unreadable ones.

    Slices that do not have the size of most are left out too; of two sizes that are as
    frequent, the one seen first counts.

    Args:
        paths: One file for each slice.
        max_voxels: The most that slices of all sizes may have together.

    Returns:
        The volume, and for each of its slices the number of its file in `paths`.

    Raises:
        ValueError: if no slice can be read; the message has the reason of the first.
            Also if the slices, of whatever size, have more voxels than are read.
    """
    slices_read, reasons, voxels, block = {}, {}, 0, None
    for number, path in enumerate(paths):
        try:
            plane, hu, remarks = dicom.read_slice(path)
        except ValueError as error:
            reasons[number] = str(error).replace(str(path), path.name, 1)
            continue
        voxels += hu.size
        if voxels > max_voxels:
            raise ValueError(
                f"{path.parent}: {len(paths)} slices of one scan are more than the "
                f"{max_voxels} voxels read."
            )
        if block is None:
            most = min(len(paths), max_voxels // hu.size)
            block = _Block(most, hu.shape)
        slices_read[number] = plane, block.place(hu), remarks
    if not slices_read:
        raise ValueError(
            f"{paths[0].parent}: none of {len(paths)} slices can be read: {reasons[0]}"
        )
    reasons |= _leave_out_other_sizes(slices_read)
    notes = [
        Note(
            "missing slices",
            f"missing slices: left out {reason}",
            (paths[number].name,),
        )
        for number, reason in sorted(reasons.items())
    ]
    planes, stacks, remarks = zip(*slices_read.values(), strict=True)
    counts = collections.Counter(
        remark for of_slice in remarks for remark in dict.fromkeys(of_slice)
    )
    notes += [
        Note("values", f"{count} slice(s): {remark}")
        for remark, count in counts.items()
    ]
    return _volume(list(planes), block.join(stacks), notes, list(slices_read))


class _Block:
    """One array for the slices of a scan, filled while they are read.

    To ask for new memory for each slice, and to copy them together in the end, takes
    longer than to read them.
    """

    def __init__(self, most: int, shape: tuple[int, int]):
        self._all, self._used = np.empty((most, *shape), np.float32), 0

    def place(self, hu: np.ndarray) -> np.ndarray:
        """The slice within the block; a slice of another size stays where it is."""
        if hu.shape != self._all.shape[1:]:
            return hu
        self._used += 1
        placed = self._all[self._used - 1]
        placed[:] = hu
        return placed

    def join(self, placed: Sequence[np.ndarray]) -> np.ndarray:
        """All slices that were placed, or all of those that were not."""
        if placed[0].base is self._all:
            return self._all[: self._used]
        return np.stack(placed)


def _leave_out_other_sizes(slices_read: dict[int, tuple]) -> dict[int, str]:
    """Remove the slices of another size than most; number of the file to the reason.

    Args:
        slices_read: Number of the file to its plane, HU and notes; changed in place.
    """
    sizes = collections.Counter(hu.shape for _, hu, _ in slices_read.values())
    usual = max(sizes, key=sizes.get)
    others = [number for number, (_, hu, _) in slices_read.items() if hu.shape != usual]
    reasons = {}
    for number in others:
        plane, hu, _ = slices_read.pop(number)
        reasons[number] = (
            f"{plane.path.name}: is {hu.shape} pixels large, {sizes[usual]} other "
            f"slice(s) are {usual}."
        )
    return reasons


def _volume(
    planes: list[stack.Plane],
    hu: np.ndarray,
    notes: list[Note],
    numbers: list[int],
) -> tuple[Volume, list[int]]:
    """The volume of some slices, and the numbers of those that are in it."""
    origin = dicom.read_header(planes[0].path).origin
    try:
        stack.check_alike(planes)
        volume = stack.assemble(planes, hu, notes, origin=origin, keep_all=True)
    except ValueError as error:
        # [1] takes the slices as they come, so a scan without geometry is of use.
        reason = str(error).replace(f"{planes[0].path.parent}{os.sep}", "")
        notes = (*notes, Note("geometry", f"no spacing: {reason}"))
        return Volume(hu, None, None, None, origin=origin, notes=notes), numbers
    if volume.slice_positions_mm is None:
        return volume, numbers[: len(volume.hu)]
    along = np.array([plane.position @ planes[0].normal for plane in planes])
    nearest = [
        int(np.abs(along - position).argmin()) for position in volume.slice_positions_mm
    ]
    return volume, [numbers[index] for index in nearest]
