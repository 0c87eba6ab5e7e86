"""The connected parts of a mask, with what is measured in each."""

import dataclasses

import numpy as np

from ich_tf import labels
from ich_tf.volume import Volume


@dataclasses.dataclass(frozen=True)
class Lesion:
    """One connected part of a mask, all of one subtype.

    Attributes:
        number: From 1, the largest first.
        subtype: One of `labels.SUBTYPES`; None where the network has no subtypes.
        pixels: Number of voxels.
        volume_ml: Millilitres; None for a scan without spacing.
        first_slice: Number of its lowest slice, from 1 at the foot.
        last_slice: Number of its highest slice.
        mean_hu: Mean density in Hounsfield units.
        deviation_hu: Standard deviation of the density in Hounsfield units.
        centre: Voxel indices (z, y, x) of the centre of mass, from 0.
    """

    number: int
    subtype: str | None
    pixels: int
    volume_ml: float | None
    first_slice: int
    last_slice: int
    mean_hu: float
    deviation_hu: float
    centre: tuple[float, float, float]


def find(
    volume: Volume, mask: np.ndarray, subtypes: np.ndarray | None
) -> tuple[Lesion, ...]:
    """Measure the connected parts of a mask.

    Voxels that share a face, an edge or a corner are connected. Where two subtypes
    touch, each part is a lesion of its own.

    Args:
        volume: The scan.
        mask: (z, y, x), non-zero is hemorrhage.
        subtypes: (z, y, x), 1 to 5 in the order of `labels.SUBTYPES`, 0 outside; None
            where the network has no subtypes.

    Returns:
        The lesions by falling number of millilitres, or voxels without spacing.
    """
    if subtypes is None:
        lesions_found = _measure(volume, np.asarray(mask, bool), None)
    else:
        lesions_found = [
            lesion
            for value, name in enumerate(labels.SUBTYPES, start=1)
            for lesion in _measure(volume, subtypes == value, name)
        ]
    lesions_found.sort(key=lambda lesion: (-(lesion.volume_ml or 0.0), -lesion.pixels))
    return tuple(
        dataclasses.replace(lesion, number=number)
        for number, lesion in enumerate(lesions_found, start=1)
    )


def smallest_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around a mask (z, y, x) that is not empty."""
    in_plane = mask.any(axis=0)
    sides = mask.any(axis=(1, 2)), in_plane.any(axis=1), in_plane.any(axis=0)
    ends = [np.flatnonzero(side)[[0, -1]] for side in sides]
    return tuple(slice(int(first), int(last) + 1) for first, last in ends)


def _measure(volume: Volume, mask: np.ndarray, subtype: str | None) -> list[Lesion]:
    from scipy import ndimage

    if not mask.any():
        return []
    box = smallest_box(mask)
    parts, count = ndimage.label(mask[box], structure=np.ones((3, 3, 3)))
    inside = np.nonzero(parts)
    part = parts[inside] - 1
    places = tuple(axis + side.start for axis, side in zip(inside, box, strict=True))
    hu = volume.hu[places].astype(float)
    pixels = np.bincount(part, minlength=count)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(part, weights=values, minlength=count) / pixels

    mean_hu = mean(hu)
    deviation_hu = np.sqrt(mean((hu - mean_hu[part]) ** 2))
    centres = np.stack([mean(axis) for axis in places], axis=1)
    pixel_ml = volume.slice_pixel_ml
    volume_ml = None if pixel_ml is None else mean(pixel_ml[places[0]]) * pixels
    return [
        Lesion(
            number=0,
            subtype=subtype,
            pixels=int(pixels[index]),
            volume_ml=None if volume_ml is None else round(float(volume_ml[index]), 3),
            first_slice=box[0].start + extent[0].start + 1,
            last_slice=box[0].start + extent[0].stop,
            mean_hu=round(float(mean_hu[index]), 1),
            deviation_hu=round(float(deviation_hu[index]), 1),
            centre=tuple(round(float(value), 1) for value in centres[index]),
        )
        for index, extent in enumerate(ndimage.find_objects(parts))
    ]
