"""The training slices of many cases in two memory-mapped arrays.

Training reads crops in random order. Cases are read once, one at a time, and the
slices that training can draw are stored on disk, so that memory does not grow with the
number of cases.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable

import numpy as np

from ich_tf import arrays, files, typed_json
from ich_tf.volume import Case

INDEX = "index.json"
ADVICE = "Remove its folder; the next run makes it again."


@dataclasses.dataclass(frozen=True)
class SliceIndex:
    """What `index.json` says about stored slices.

    Attributes:
        shape: Slices, rows and columns.
        case_ids: The case of each slice.
        numbers: The z index of each slice within its case.
    """

    shape: list[int]
    case_ids: list[str]
    numbers: list[int]

    def is_consistent(self) -> bool:
        """Whether the lengths agree and no number is negative."""
        counts = {len(self.case_ids), len(self.numbers), *self.shape[:1]}
        return (
            len(self.shape) == 3
            and len(counts) == 1
            and min(self.shape) > 0
            and min(self.numbers) >= 0
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Slices:
    """Slices of many cases.

    Attributes:
        hu: (n, h, w), float32, Hounsfield units, memory-mapped.
        mask: (n, h, w), uint8, 1 = hemorrhage, memory-mapped.
        case_ids: The case of each slice.
        numbers: The z index of each slice within its case.
        folder: Where `load` found them; another process opens it, too, where it would
            else get copies of the arrays. None for arrays in memory.
    """

    hu: np.ndarray
    mask: np.ndarray
    case_ids: tuple[str, ...]
    numbers: tuple[int, ...]
    folder: pathlib.Path | None = None

    def __reduce__(self):
        """Pickle the name of the folder instead of what it holds."""
        if self.folder is not None:
            return load, (self.folder,)
        return Slices, (self.hu, self.mask, self.case_ids, self.numbers)


def lesion_slices_and_one_other(case: Case, seed: int) -> np.ndarray:
    """The z indices that [2] uses: slices with hemorrhage and a random one without.

    [2]'s code draws the slice without hemorrhage unseeded; here it follows from the
    seed and the case.

    Reference:
        Hssayeni et al. 2020, doi:10.3390/data5010014.
    """
    has_lesion = case.mask.any(axis=(1, 2))
    others = np.flatnonzero(~has_lesion)
    generator = np.random.default_rng([seed, *case.case_id.encode()])
    chosen = others[generator.permutation(len(others))[:1]]
    return np.sort(np.concatenate([np.flatnonzero(has_lesion), chosen]))


def all_slices(case: Case, seed: int) -> np.ndarray:
    """Every z index."""
    return np.arange(len(case.volume.hu))


RULES = {"hssayeni2020": lesion_slices_and_one_other, "all": all_slices}


def at_size(case: Case, size: int) -> Case:
    """The case with slices of size x size pixels, by area averaging.

    A mask pixel is hemorrhage where more than half of its area was.
    """
    height, width = case.volume.hu.shape[1:]
    if (height, width) == (size, size):
        return case
    volume = case.volume
    spacing, affine = volume.spacing_mm, volume.affine
    if spacing is not None:
        factors = np.array([1, height / size, width / size])
        spacing = tuple(float(value) for value in np.array(spacing) * factors)
        # The first pixel's centre moves with the pixel's size.
        to_old = np.diag([*factors, 1.0])
        to_old[1:3, 3] = (factors[1:] - 1) / 2
        affine = affine @ to_old
    mask = case.mask
    if mask is not None:
        mask = (resize(mask.astype(np.float32), size) > 0.5).astype(np.uint8)
    resized = dataclasses.replace(
        volume,
        hu=resize(volume.hu, size),
        spacing_mm=spacing,
        affine=affine,
        source=None,
    )
    return dataclasses.replace(case, volume=resized, mask=mask)


def within_square(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of an image centred in the smallest square that holds it."""
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return slice(top, top + height), slice(left, left + width)


def squared(slices: np.ndarray) -> np.ndarray:
    """(z, h, w) slices centred in squares filled with their lowest value.

    A resized square keeps the proportions of its slice.
    """
    depth, height, width = slices.shape
    if height == width:
        return slices
    side = max(height, width)
    padded = np.full((depth, side, side), slices.min(), slices.dtype)
    padded[:, *within_square(height, width)] = slices
    return padded


def resize(slices: np.ndarray, height: int, width: int | None = None) -> np.ndarray:
    """Resize (z, h, w) float32 slices: area averages down, linear interpolation up."""
    import cv2

    target = (width or height, height)
    shrinks = target[0] <= slices.shape[2] and target[1] <= slices.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack(
        [cv2.resize(image, target, interpolation=interpolation) for image in slices]
    )


def at_most(slices: np.ndarray, side: int) -> np.ndarray:
    """(z, h, w) slices with the longer side of at most `side` pixels, by area."""
    height, width = slices.shape[1:]
    scale = min(1.0, side / max(height, width))
    if scale == 1.0:
        return slices
    return resize(slices, round(height * scale), round(width * scale))


def resize_channels(image: np.ndarray, side: int) -> np.ndarray:
    """Resize a square float32 image (h, w, channels) as `resize` does slices."""
    import cv2

    if side > image.shape[0]:
        return cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    # OpenCV averages areas of at most four channels at once.
    return np.moveaxis(resize(np.moveaxis(image, -1, 0), side), 0, -1)


def store(
    folder: str | os.PathLike,
    cases: Iterable[Case],
    choose: Callable[[Case], np.ndarray],
) -> Slices:
    """Write the chosen slices of all cases to `folder`, or open a complete folder.

    The folder appears under its name only when it is complete.

    Args:
        folder: Where the arrays live; the caller names it after its content.
        cases: Cases with a mask; taken one at a time, only if the folder is absent.
        choose: From a case to the z indices of its slices to keep.

    Raises:
        ValueError: if a case has no mask, if slices differ in size, or if there is
            no slice at all.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        try:
            with files.new_folder(folder) as partial:
                _write(partial, cases, choose)
        except OSError:
            if not folder.is_dir():
                raise
    return load(folder)


def load(folder: str | os.PathLike) -> Slices:
    """Open slices that `store` wrote.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged; the message names it.
    """
    path = pathlib.Path(folder) / INDEX
    index = typed_json.read(path, SliceIndex, ADVICE)
    if not index.is_consistent():
        raise ValueError(f"{path} is damaged: its numbers contradict. {ADVICE}")
    shape = tuple(index.shape)
    return Slices(
        arrays.open_raw(path.with_name("hu.f32"), np.float32, shape, ADVICE),
        arrays.open_raw(path.with_name("mask.u8"), np.uint8, shape, ADVICE),
        tuple(index.case_ids),
        tuple(index.numbers),
        path.parent.resolve(),
    )


def _write(
    folder: pathlib.Path,
    cases: Iterable[Case],
    choose: Callable[[Case], np.ndarray],
) -> None:
    case_ids, numbers, size = [], [], None
    with open(folder / "hu.f32", "wb") as hu, open(folder / "mask.u8", "wb") as mask:
        for case in cases:
            if case.mask is None:
                raise ValueError(
                    f"Case {case.case_id} has no mask: segmentation cannot be trained "
                    "on it. Of ct-ich, use a release with masks."
                )
            if size not in (None, case.mask.shape[1:]):
                raise ValueError(
                    f"Case {case.case_id} has slices of {case.mask.shape[1:]} pixels, "
                    f"the cases before it {size}. Resample them to one size."
                )
            size = case.mask.shape[1:]
            for number in choose(case):
                np.ascontiguousarray(case.volume.hu[number], np.float32).tofile(hu)
                np.ascontiguousarray(case.mask[number], np.uint8).tofile(mask)
                case_ids.append(case.case_id)
                numbers.append(int(number))
    if not numbers:
        raise ValueError("No slice to train on: no case, or all without slices.")
    index = {
        "shape": [len(numbers), *size],
        "case_ids": case_ids,
        "numbers": numbers,
    }
    files.write_json(folder / INDEX, index)
