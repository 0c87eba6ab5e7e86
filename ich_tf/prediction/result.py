"""A prediction: the arrays and numbers of one scan, written only when asked for."""

import dataclasses
import functools
import os
import typing

import numpy as np

from ich_tf import labels
from ich_tf.prediction import inputs, lesions, ood
from ich_tf.volume import Volume

BETWEEN = (0.8, 0.2)
"""Thresholds of the smaller and the larger volume that bound the stated one."""
CONTRADICTION_ML = 0.1
"""A mask of fewer millilitres does not contradict a low probability."""
GIVE_SPACING = "`ich-tf predict --spacing Z Y X`, in millimetres, gives ml"
NO_SPACING = f"the input has no pixel spacing; {GIVE_SPACING}"
NO_THICKNESS = f"one slice of unknown thickness; {GIVE_SPACING}"
NO_SUBTYPES = "these weights predict no subtypes"
NOT_RECORDED = "the weights do not record what their training data look like"
CALIBRATION = {
    True: "The probabilities are calibrated: of slices with 0.9, nine out of ten hold "
    "hemorrhage.",
    False: "The probabilities are not calibrated: only their order counts.",
}


@dataclasses.dataclass(frozen=True)
class Contradiction:
    """A class for which mask and probability disagree.

    Attributes:
        name: One of `labels.CLASSES`.
        probability: Probability of the class in the scan.
        pixels: Voxels of the class in the mask.
    """

    name: str
    probability: float
    pixels: int

    def __str__(self) -> str:
        """The contradiction as a sentence."""
        where = f"{self.pixels} voxels are" if self.pixels else "no voxel is"
        return (
            f"contradiction: {self.name} has a probability of {self.probability:.2f} "
            f"in the scan, but {where} in the mask"
        )


@dataclasses.dataclass(frozen=True)
class SliceContradiction:
    """A slice for which mask and probability of any hemorrhage disagree.

    Attributes:
        number: Number of the slice, from 1 at the foot.
        probability: Probability of any hemorrhage in the slice.
        pixels: Number of mask pixels in the slice.
    """

    number: int
    probability: float
    pixels: int


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says about one scan; nothing is on disk until `save`.

    Attributes:
        volume: The scan.
        probability: (z, y, x), float32, of any hemorrhage.
        mask: (z, y, x), uint8, 1 where the probability is above `threshold`, outside
            `quiet_slices`.
        subtypes: (z, y, x), uint8, 1 to 5 in the order of `labels.SUBTYPES` within
            the mask, 0 outside; None where the network has no subtypes.
        threshold: In [0, 1).
        slice_threshold: In [0, 1].
        classes: The classes of the two probabilities below.
        slice_probability: (z, classes), from foot to head.
        scan_probability: (classes,).
        calibrated: Whether a probability of 0.9 means nine out of ten.
        ood_slices: (z,), bool, slices out of distribution; None if unknown.
        weights: File, checksum, training data and metric of the network.
    """

    volume: Volume
    probability: np.ndarray
    mask: np.ndarray
    subtypes: np.ndarray | None
    threshold: float
    slice_threshold: float
    classes: tuple[str, ...]
    slice_probability: np.ndarray
    scan_probability: np.ndarray
    calibrated: bool
    ood_slices: np.ndarray | None
    weights: dict

    @functools.cached_property
    def quiet_slices(self) -> np.ndarray:
        """(z,), bool: slices with a probability below `slice_threshold`."""
        if not self.calibrated:
            return np.zeros(len(self.mask), bool)
        return self._any_hemorrhage < self.slice_threshold

    @functools.cached_property
    def unmarked_slices(self) -> np.ndarray:
        """(z,), bool: quiet slices with voxels above the threshold."""
        return (self.probability > self.threshold).any(axis=(1, 2)) & self.quiet_slices

    @property
    def _any_hemorrhage(self) -> np.ndarray:
        return self.slice_probability[:, self.classes.index(labels.ANY)]

    @functools.cached_property
    def slice_pixels(self) -> np.ndarray:
        """(z,), voxels of the mask in each slice."""
        return self.mask.sum(axis=(1, 2), dtype=int)

    @property
    def volume_ml(self) -> float | None:
        """Millilitres of the mask; None without spacing."""
        return self._ml(self.slice_pixels)

    @property
    def bounds_ml(self) -> tuple[float | None, float | None]:
        """Millilitres above the thresholds of `BETWEEN`, outside quiet slices."""
        low, high = (
            self._ml((self.probability > level).sum(axis=(1, 2)) * ~self.quiet_slices)
            for level in BETWEEN
        )
        return low, high

    @functools.cached_property
    def subtype_pixels(self) -> dict[str, np.ndarray]:
        """Subtype to its voxels in each slice, (z,); empty without subtypes."""
        if self.subtypes is None:
            return {}
        return {
            name: (self.subtypes == value).sum(axis=(1, 2), dtype=int)
            for value, name in enumerate(labels.SUBTYPES, start=1)
        }

    @property
    def subtype_ml(self) -> dict[str, float | None]:
        """Subtype to its millilitres; empty without subtypes."""
        return {name: self._ml(pixels) for name, pixels in self.subtype_pixels.items()}

    @functools.cached_property
    def lesions(self) -> tuple[lesions.Lesion, ...]:
        """The connected parts of the mask, the largest first."""
        return lesions.find(self.volume, self.mask, self.subtypes)

    @property
    def out_of_distribution(self) -> bool | None:
        """Whether the scan is out of distribution; None if unknown."""
        if self.ood_slices is None:
            return None
        return bool(self.ood_slices.mean() > ood.OUTSIDE_SHARE)

    @property
    def contradictions(self) -> tuple[Contradiction, ...]:
        """The classes for which mask and calibrated probability disagree."""
        if not self.calibrated:
            return ()
        pixels = {labels.ANY: self.slice_pixels, **self.subtype_pixels}
        return tuple(
            Contradiction(name, float(probability), int(pixels[name].sum()))
            for name, probability in zip(
                self.classes, self.scan_probability, strict=True
            )
            if name in pixels and self._disagree(pixels[name], probability)
        )

    @property
    def slice_contradictions(self) -> tuple[SliceContradiction, ...]:
        """The slices for which mask and calibrated probability disagree."""
        if not self.calibrated:
            return ()
        any_hemorrhage = self._any_hemorrhage
        disagree = (self.slice_pixels > 0) != (any_hemorrhage >= 0.5)
        return tuple(
            SliceContradiction(
                int(z) + 1,
                round(float(any_hemorrhage[z]), 4),
                int(self.slice_pixels[z]),
            )
            for z in np.flatnonzero(disagree)
        )

    @property
    def slices_against_scan(self) -> tuple[int, ...]:
        """Slices, from 1, whose probability of any hemorrhage contradicts the scan's.

        If the scan has less than one half, every slice with one half or more. If it has
        one half or more and every slice less, the slice with the highest.
        """
        if not self.calibrated:
            return ()
        of_slices = self._any_hemorrhage
        of_scan = self.scan_probability[self.classes.index(labels.ANY)]
        if of_scan < 0.5:
            return tuple(int(z) + 1 for z in np.flatnonzero(of_slices >= 0.5))
        highest = int(of_slices.argmax())
        return (highest + 1,) if of_slices[highest] < 0.5 else ()

    @property
    def no_ml(self) -> str | None:
        """Why there are no millilitres; None where there are."""
        if self.volume.spacing_mm is None:
            return NO_SPACING
        return NO_THICKNESS if self.volume.slice_pixel_ml is None else None

    def save(self, folder: str | os.PathLike, **options: typing.Any) -> list[str]:
        """Write everything to a folder; see `saving.save`."""
        from ich_tf.prediction import saving

        return saving.save(self, folder, **options)

    def show(self) -> typing.Any:
        """What a notebook's cell displays; see `notebook.show`."""
        from ich_tf.prediction import notebook

        return notebook.show(self)

    def as_dict(self) -> dict:
        """The numbers as JSON has them; they name neither patient nor file."""
        low_ml, high_ml = self.bounds_ml
        missing_mm = None if self.no_ml else round(self.volume.missing_mm, 2)
        return {
            "slices": len(self.slice_pixels),
            "threshold": self.threshold,
            "slice_threshold": self.slice_threshold,
            "unmarked_slices": (np.flatnonzero(self.unmarked_slices) + 1).tolist(),
            "volume_ml": self.volume_ml,
            "between": {"low_ml": low_ml, "high_ml": high_ml},
            "missing_mm": missing_mm,
            "slice_pixels": self.slice_pixels.tolist(),
            "slice_area_mm2": self._slice_area_mm2(),
            **({"reason": self.no_ml} if self.no_ml else {}),
            "subtypes": self._subtypes_as_dict(),
            "lesions": [dataclasses.asdict(lesion) for lesion in self.lesions],
            "probabilities": self._probabilities_as_dict(),
            "out_of_distribution": self._ood_as_dict(),
            "contradictions": {
                "scan": [dataclasses.asdict(said) for said in self.contradictions],
                "slices": [
                    dataclasses.asdict(said) for said in self.slice_contradictions
                ],
                "slices_against_scan": list(self.slices_against_scan),
            },
            "notes": [str(note) for note in self.volume.notes],
            "weights": self.weights,
            "disclaimer": inputs.DISCLAIMER,
        }

    def _ml(self, slice_pixels: np.ndarray) -> float | None:
        pixel_ml = self.volume.slice_pixel_ml
        return None if pixel_ml is None else round(float(slice_pixels @ pixel_ml), 3)

    def _slice_area_mm2(self) -> list[float] | None:
        if self.volume.spacing_mm is None:
            return None
        area = float(np.prod(self.volume.spacing_mm[1:]))
        return [round(float(count * area), 2) for count in self.slice_pixels]

    def _disagree(self, slice_pixels: np.ndarray, probability: float) -> bool:
        if probability >= 0.5:
            return not slice_pixels.any()
        ml = self._ml(slice_pixels)
        return bool(slice_pixels.any()) if ml is None else ml >= CONTRADICTION_ML

    def _subtypes_as_dict(self) -> dict:
        if self.subtypes is None:
            return {"reason": NO_SUBTYPES}
        return {
            name: {
                "label": value,
                "volume_ml": self.subtype_ml[name],
                "pixels": int(self.subtype_pixels[name].sum()),
            }
            for value, name in enumerate(labels.SUBTYPES, start=1)
        }

    def _probabilities_as_dict(self) -> dict:
        return {
            "scan": self._by_class(self.scan_probability),
            "slices": [self._by_class(row) for row in self.slice_probability],
            "calibrated": self.calibrated,
        }

    def _by_class(self, row: np.ndarray) -> dict[str, float]:
        return {
            name: round(float(value), 4)
            for name, value in zip(self.classes, row, strict=True)
        }

    def _ood_as_dict(self) -> dict:
        if self.ood_slices is None:
            return {"scan": None, "slices": None, "reason": NOT_RECORDED}
        numbers = (np.flatnonzero(self.ood_slices) + 1).tolist()
        return {"scan": self.out_of_distribution, "slices": numbers}
