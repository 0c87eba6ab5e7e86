"""What a head will be, drawn before anything is rendered: cheap and testable."""

import csv
import dataclasses
import functools
import importlib.resources
from collections.abc import Sequence

import numpy as np

from ich_tf import labels

SLICE_MM = 5.0
BLEEDING_SHARE = 0.4
# Independent draws, repeated until there is one; given a bleeding head the shares
# are 0.51, 0.43, 0.36, 0.27 and 0.19: RSNA's order, none below 5 % of all heads.
_DRAW = {
    "subdural": 0.42,
    "intraparenchymal": 0.36,
    "subarachnoid": 0.30,
    "intraventricular": 0.22,
    "epidural": 0.16,
}
# How a total volume is shared: the mean share of each subtype, unnormalised.
_SHARE = {
    "subdural": 3.0,
    "intraparenchymal": 2.5,
    "subarachnoid": 1.2,
    "intraventricular": 1.0,
    "epidural": 3.0,
}
_SMALLEST_ML = 0.12
_LARGEST_ML = {"subarachnoid": 25.0, "intraventricular": 25.0}


@dataclasses.dataclass(frozen=True)
class HeadPlan:
    """The plan of one head.

    Attributes:
        slices: Number of slices.
        pixel_mm: Pixel size at 512 pixels.
        atrophy: From 0 (young) to 1 (old): sulci, ventricles, calcifications.
        scale: Size of the head along x, y, z against the canonical one.
        angles_deg: Pitch, roll and yaw of the head in the scanner.
        shift_mm: Position of the head along x and y.
        lesion_ml: Volume wanted for each subtype; empty without bleeding.
        age: Age of the blood, "acute" or "subacute", see `lesions.density_hu`.
    """

    slices: int
    pixel_mm: float
    atrophy: float
    scale: tuple[float, float, float]
    angles_deg: tuple[float, float, float]
    shift_mm: tuple[float, float]
    lesion_ml: dict[str, float]
    age: str

    @property
    def subtypes(self) -> tuple[str, ...]:
        """The subtypes of this head, in the order of `labels.SUBTYPES`."""
        return tuple(name for name in labels.SUBTYPES if name in self.lesion_ml)


@functools.cache
def published_volumes_ml() -> np.ndarray:
    """Sorted lesion volumes (ml) of the positive patients of ct-ich 1.3.1."""
    source = importlib.resources.files("ich_tf.data") / "ct_ich_1_3_1.csv"
    with source.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    volumes = [
        int(row["mask_voxels_512"]) * float(row["dx"]) ** 2 * float(row["dz"]) / 1000
        for row in rows
    ]
    return np.sort([volume for volume in volumes if volume > 0])


def draw_subtypes(rng) -> tuple[str, ...]:
    """Draw which subtypes a bleeding head has, as often as in RSNA 2019."""
    while True:
        drawn = [name for name, share in _DRAW.items() if rng.random() < share]
        if drawn:
            return tuple(drawn)


def share_volume(rng, subtypes: Sequence[str]) -> dict[str, float]:
    """Draw a total volume (ml) like the published ones and share it out."""
    known = np.log(published_volumes_ml())
    total = np.exp(np.interp(rng.random(), np.linspace(0, 1, len(known)), known))
    shares = np.array([rng.gamma(2.0, _SHARE[name]) for name in subtypes])
    volumes = dict(zip(subtypes, total * shares / shares.sum(), strict=True))
    lost = 0.0
    for name in subtypes:
        kept = min(volumes[name], _LARGEST_ML.get(name, np.inf))
        lost += volumes[name] - kept
        volumes[name] = max(kept, _SMALLEST_ML)
    roomy = [name for name in subtypes if name not in _LARGEST_ML]
    for name in roomy:
        volumes[name] += lost / len(roomy)
    return {name: float(volume) for name, volume in volumes.items()}


def _checked(subtypes: Sequence[str] | None, bleeding: bool | None):
    """The full names of forced subtypes, None if they are to be drawn."""
    if subtypes is None:
        return None
    wanted = {labels.CLASSES[labels.index(name)] for name in subtypes}
    subtypes = tuple(name for name in labels.SUBTYPES if name in wanted)
    if labels.ANY in wanted:
        raise ValueError("`subtypes` takes the five subtypes, not 'any'.")
    if bool(subtypes) != (bleeding if bleeding is not None else bool(subtypes)):
        raise ValueError(
            f"`bleeding` and `subtypes` contradict each other. Received: "
            f"bleeding={bleeding}, subtypes={subtypes}"
        )
    return subtypes


def draw_plan(
    seed: int,
    index: int,
    slices: int | None = None,
    bleeding: bool | None = None,
    subtypes: Sequence[str] | None = None,
) -> HeadPlan:
    """Draw the plan of one head; nothing is rendered.

    Args:
        seed: Seed of the data set.
        index: Number of the head in it.
        slices: Number of slices; None draws 24 to 60, mostly 28 to 40.
        bleeding: Forces or forbids hemorrhage; None draws it.
        subtypes: Forces these subtypes, by name or short form.

    Raises:
        ValueError: if `subtypes` has an unknown name or contradicts `bleeding`.
    """
    subtypes = _checked(subtypes, bleeding)
    if slices is not None and slices < 1:
        raise ValueError(f"`slices` must be at least 1. Received: slices={slices}")
    rng = np.random.default_rng([seed, index])
    drawn_slices = min(60, 24 + int(rng.gamma(4.0, 2.8)))
    drawn_bleeding = bool(rng.random() < BLEEDING_SHARE)
    drawn_subtypes = draw_subtypes(rng)
    size = rng.normal(1.0, 0.03)
    scale = tuple(float(size * rng.normal(1.0, 0.02)) for _ in range(3))
    pitch, roll, yaw = rng.normal((2.0, 0.0, 0.0), (4.0, 2.0, 6.0))
    pitch, roll, yaw = np.clip((pitch, roll, yaw), (-9, -6, -15), (12, 6, 15))
    shift = rng.normal(0.0, 3.0, 2).clip(-6, 6)
    atrophy = float(rng.beta(1.6, 1.8))
    pixel_mm = float(np.clip(0.435 * size * rng.normal(1.0, 0.03), 0.39, 0.488))
    age = "subacute" if rng.random() < 0.12 else "acute"
    if subtypes is None:
        wanted = drawn_bleeding if bleeding is None else bleeding
        subtypes = drawn_subtypes if wanted else ()
    return HeadPlan(
        slices=drawn_slices if slices is None else slices,
        pixel_mm=pixel_mm,
        atrophy=atrophy,
        scale=scale,
        angles_deg=(float(pitch), float(roll), float(yaw)),
        shift_mm=(float(shift[0]), float(shift[1])),
        lesion_ml=share_volume(rng, subtypes) if subtypes else {},
        age=age,
    )
