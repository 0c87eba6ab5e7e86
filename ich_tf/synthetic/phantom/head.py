"""The phantom as a data set: heads from a seed and an index."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ich_tf import labels
from ich_tf.data import Source
from ich_tf.synthetic.phantom import anatomy, scan
from ich_tf.synthetic.phantom import plan as planning
from ich_tf.volume import PHANTOM_MARKER as MARKER
from ich_tf.volume import Case, Volume

# Raise it with every change that changes a voxel: kept phantoms are made again.
VERSION = 2


@dataclasses.dataclass(frozen=True, eq=False)
class PhantomHead:
    """A synthetic head CT and its truth.

    Attributes:
        case: Volume, mask and labels.
        subtypes: (z, y, x), uint8: 0 = no blood, i + 1 = `labels.SUBTYPES[i]`.
    """

    case: Case
    subtypes: np.ndarray


def render(plan: planning.HeadPlan, seed: int, index: int, size: int):
    """Build and image the head of a plan.

    Returns:
        The `anatomy.Anatomy`, (z, y, x) HU and (z, y, x) subtypes.
    """
    # Streams of their own: the anatomy is the same at every size.
    shape_rng, scan_rng = (np.random.default_rng([seed, index, k]) for k in (1, 2))
    built = anatomy.build(plan, shape_rng)
    return built, *scan.image(built, size, scan_rng)


def generate(
    seed: int,
    index: int,
    *,
    slices: int | None = None,
    size: int = 512,
    bleeding: bool | None = None,
    subtypes: Sequence[str] | None = None,
) -> PhantomHead:
    """Generate one synthetic head CT; equal arguments give equal bytes.

    Args:
        seed: Seed of the data set.
        index: Number of the head in it.
        slices: Number of 5 mm slices; None draws 24 to 60, mostly 28 to 40.
        size: Rows and columns; the field of view does not change with it.
        bleeding: Forces or forbids hemorrhage; None draws it (40 % bleed).
        subtypes: Forces these subtypes, by name or short form.

    Raises:
        ValueError: if a subtype is unknown, contradicts `bleeding`, or `slices` or
            `size` are too small.
    """
    if size < 64:
        raise ValueError(f"`size` must be at least 64. Received: size={size}")
    plan = planning.draw_plan(seed, index, slices, bleeding, subtypes)
    _, hu, subtype_mask = render(plan, seed, index, size)
    volume = _volume(plan, hu, f"{MARKER} seed={seed} index={index}")
    name = f"phantom-{seed}-{index:04d}"
    present = [
        np.any(subtype_mask == k + 1, (1, 2)) for k in range(len(labels.SUBTYPES))
    ]
    present.append(np.any(present, axis=0))
    case = Case(
        case_id=name,
        patient_id=name,
        volume=volume,
        mask=(subtype_mask > 0).astype(np.uint8),
        labels=np.stack(present, axis=1).astype(np.uint8),
    )
    return PhantomHead(case, subtype_mask)


def _volume(plan: planning.HeadPlan, hu: np.ndarray, origin: str) -> Volume:
    size = hu.shape[1]
    pixel_mm = plan.pixel_mm * 512 / size
    positions = anatomy.slice_positions_mm(plan)
    corner_mm = -pixel_mm * (size - 1) / 2
    affine = np.array(
        [
            [0, 0, pixel_mm, corner_mm],
            [0, pixel_mm, 0, corner_mm],
            [planning.SLICE_MM, 0, 0, positions[0]],
            [0, 0, 0, 1],
        ]
    )
    spacing_mm = (planning.SLICE_MM, pixel_mm, pixel_mm)
    return Volume(hu, spacing_mm, positions, affine, origin=origin)


class PhantomDataset(Source):
    """Synthetic heads behind the interface of every data set.

    Args:
        cases: Number of heads.
        seed: Seed of the data set.
        slices: Slices of every head; None draws them.
        size: Rows and columns.
        bleeding_share: Share of heads that bleed; None draws the natural 40 %.
    """

    name = "phantom"

    def __init__(
        self,
        cases: int,
        seed: int = 0,
        *,
        slices: int | None = None,
        size: int = 512,
        bleeding_share: float | None = None,
    ):
        self.cases = cases
        self.seed = seed
        self.slices = slices
        self.size = size
        self.bleeding_share = bleeding_share

    def case_ids(self) -> list[str]:
        """Names of the heads, "phantom-<seed>-<index>"."""
        return [f"phantom-{self.seed}-{index:04d}" for index in range(self.cases)]

    def load_head(self, case_id: str) -> PhantomHead:
        """Generate a head with its subtypes.

        Raises:
            ValueError: if `case_id` is not in this data set.
        """
        try:
            index = self.case_ids().index(case_id)
        except ValueError:
            raise ValueError(
                f"No head {case_id!r} in the phantom of seed {self.seed} with "
                f"{self.cases} heads; names run from phantom-{self.seed}-0000."
            ) from None
        bleeding = None
        if self.bleeding_share is not None:
            draw = np.random.default_rng([self.seed, index, 3]).random()
            bleeding = bool(draw < self.bleeding_share)
        return generate(
            self.seed, index, slices=self.slices, size=self.size, bleeding=bleeding
        )

    def load(self, case_id: str) -> Case:
        """Generate a head as a case, as any data set loads one."""
        return self.load_head(case_id).case
