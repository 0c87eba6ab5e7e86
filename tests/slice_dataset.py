"""A small data set of noise, as other processes can open it too."""

import dataclasses

import numpy as np

from ich_tf.data import Source
from ich_tf.volume import Case, Note, Volume


@dataclasses.dataclass(frozen=True)
class SliceDataset(Source):
    """Scans of 3 to 6 slices.

    `broken` names scans that cannot be read, `cut` those that lack their third slice.
    """

    cases: int = 7
    size: int = 32
    broken: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    name = "noise"

    def case_ids(self):
        return tuple(f"scan{number}" for number in range(self.cases))

    def _count(self, case_id):
        return 3 + int(case_id.removeprefix("scan")) % 4

    def image_ids(self, case_id):
        count = self._count(case_id)
        return tuple(f"{case_id}-slice{place}" for place in range(count))

    def load(self, case_id):
        if case_id in self.broken:
            raise ValueError(f"{case_id}.dcm: truncated or damaged DICOM.")
        number, count = int(case_id.removeprefix("scan")), self._count(case_id)
        generator = np.random.default_rng(number)
        hu = generator.integers(-100, 200, (count, self.size, self.size))
        labels = generator.integers(0, 2, (count, 6)).astype(np.uint8)
        notes = ()
        if case_id in self.cut:
            hu, labels = (np.delete(array, 2, axis=0) for array in (hu, labels))
            name = f"{case_id}-slice2.dcm"
            text = f"missing slices: left out {name}: no pixel data"
            notes = (Note("missing slices", text, (name,)),)
        return Case(
            case_id,
            case_id,
            Volume(hu.astype(np.float32), None, None, None, notes=notes),
            labels=None if case_id in self.unlabelled else labels,
        )

    def fingerprint(self):
        return {"identity": "noise", "cases": self.cases}
