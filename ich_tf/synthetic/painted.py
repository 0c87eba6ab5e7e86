"""Heads without hemorrhage with hemorrhage painted onto their slices, as a data set."""

import dataclasses
import zlib
from collections.abc import Callable, Iterable

import numpy as np

from ich_tf import labels
from ich_tf.data import Dataset, Source
from ich_tf.synthetic import painting
from ich_tf.volume import Case

PAINTED, PHANTOM = "painted:", "phantom:"
# One subtype in most slices, evenly drawn, so that each is learned.
_TWO_SUBTYPES = 0.3


def patients_of(names: Iterable[str]) -> list[str]:
    """Patients of the names "painted:<patient>", in order; others are left out."""
    return [name.removeprefix(PAINTED) for name in names if name.startswith(PAINTED)]


@dataclasses.dataclass(frozen=True)
class PaintedHeads(Source):
    """Copies of heads without hemorrhage, each with other paint.

    Slices are painted one by one: a copy is no head with one lesion through several
    slices.

    Attributes:
        source: A data set of head CTs with labels; those with any hemorrhage are
            never used.
        prepare: Changes a case before it is painted, as to other in-plane pixels.
        seed: Seed of the paint.
        with_mimics: Whether to paint what resembles blood.
        mass_effect: Whether blood pushes the brain aside.
        clean_share: Share of the slices that get no blood.
    """

    source: Dataset
    prepare: Callable[[Case], Case]
    seed: int = 0
    with_mimics: bool = True
    mass_effect: bool = True
    clean_share: float = 0.3

    def patients(self) -> list[str]:
        """The heads without hemorrhage.

        Raises:
            ValueError: if the source has no labels, or no such head.
        """
        positive = self.source.scan_labels()
        if positive is None:
            raise ValueError(
                "Nobody says which heads bleed: the data have no diagnosis table."
            )
        quiet = [
            case_id
            for case_id, row in zip(self.source.case_ids(), positive, strict=True)
            if not row.any()
        ]
        if not quiet:
            raise ValueError("There is no head without hemorrhage to paint on.")
        return quiet

    def load(self, case_id: str) -> Case:
        """Paint one copy of a head.

        Args:
            case_id: "<patient>:<copy>"; another copy has other paint.

        Returns:
            The case, with the mask of the painted blood and the labels of each slice.

        Raises:
            ValueError: if the head cannot be read, or shows hemorrhage.
        """
        patient, _, copy = case_id.partition(":")
        case = self.source.load(patient)
        if case.labels is None or case.labels.any():
            raise ValueError(f"Case {patient} shows hemorrhage: it is not painted on.")
        case = self.prepare(dataclasses.replace(case, mask=None))
        volume = case.volume
        hu, mask = volume.hu.copy(), np.zeros(volume.hu.shape, np.uint8)
        slice_labels = np.zeros((len(hu), len(labels.CLASSES)), np.uint8)
        key = [self.seed, zlib.crc32(patient.encode()), int(copy)]
        for number in range(len(hu)):
            rng = np.random.default_rng([*key, number])
            made = painting.paint(
                hu[number],
                int(rng.integers(2**31)),
                pixel_mm=volume.spacing_mm and volume.spacing_mm[1],
                hu_window=volume.hu_window,
                subtypes=self._subtypes(rng),
                with_mimics=self.with_mimics,
                mass_effect=self.mass_effect,
            )
            if made is not None:
                hu[number], mask[number] = made.hu, made.mask
                slice_labels[number] = made.labels
        volume = dataclasses.replace(volume, hu=hu)
        return Case(case_id, patient, volume, mask, slice_labels)

    def _subtypes(self, rng) -> tuple[str, ...]:
        if rng.random() < self.clean_share:
            return ()
        count = 2 if rng.random() < _TWO_SUBTYPES else 1
        return tuple(rng.choice(labels.SUBTYPES, count, replace=False).tolist())


@dataclasses.dataclass(frozen=True)
class Mixed(Source):
    """Painted and phantom heads, with `PAINTED` or `PHANTOM` before the name.

    Attributes:
        painter: Paints the painted ones.
        phantom: The data set of the others.
    """

    painter: PaintedHeads
    phantom: Dataset

    def load(self, name: str) -> Case:
        """Paint or read a case.

        Args:
            name: "painted:<patient>:<copy>" or "phantom:<case>".
        """
        if name.startswith(PAINTED):
            return self.painter.load(name.removeprefix(PAINTED))
        return self.painter.prepare(self.phantom.load(name.removeprefix(PHANTOM)))
