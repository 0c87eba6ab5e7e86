"""Synthetic hemorrhage on real head CT slices that show none.

The painters are the phantom's: they rank points, and blood fills the lowest ranks
until it has its volume. Here the points are taken from a real slice, whose skull,
midline, ventricles and sulci `landmarks` finds. The volume is filled in a coarse stack
of such slices above and below; the slice shows one cut through it.

What is painted is the blood and what comes with it: the brain is pushed aside, a rim
of edema darkens, edges mix with what lies next to them, and the noise of the scan
stays.
Mimics of blood are painted, too, but are not in the truth.
"""

import dataclasses

import numpy as np

from ich_tf import labels
from ich_tf.synthetic import landmarks, mimics, pushing, slice_cuts
from ich_tf.synthetic.phantom import fields, lesions
from ich_tf.synthetic.phantom import plan as planning

VERSION = 4
"""Of what equal arguments paint; stored slices of another version are made again."""

SUBACUTE_SHARE = 0.12

_WALL_MM = 0.5
_USUAL_BRAIN_HU = 33.0
_INSIDE_BRAIN = ("intraventricular", "subarachnoid")
_CHRONIC_ML = (15.0, 130.0)


@dataclasses.dataclass(frozen=True)
class Blood:
    """How much blood is painted.

    Attributes:
        volume_ml: Volume of each lesion; None draws volumes like the published ones.
        chronic_share: Share of the subdural collections that are chronic: less dense
            than brain, and large.
    """

    volume_ml: float | None = None
    chronic_share: float = 0.3

    def draw_volumes_ml(
        self, subtypes: tuple[str, ...], rng: np.random.Generator
    ) -> dict[str, float]:
        """The volume of each subtype, as often as slices show such lesions."""
        if self.volume_ml is not None:
            return dict.fromkeys(subtypes, self.volume_ml)
        drawn = [planning.share_volume(rng, subtypes) for _ in range(8)]
        # A lesion lies in about as many slices as its side is long.
        slices = np.cbrt([sum(volumes.values()) for volumes in drawn])
        return drawn[rng.choice(len(drawn), p=slices / slices.sum())]


DRAWN = Blood()


@dataclasses.dataclass(frozen=True, eq=False)
class PaintedImage:
    """A slice with painted hemorrhage and its truth.

    Attributes:
        hu: (y, x), float32, Hounsfield units.
        subtypes: (y, x), uint8: 0 = no blood, i + 1 = `labels.SUBTYPES[i]`.
    """

    hu: np.ndarray
    subtypes: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(y, x), uint8, 1 = hemorrhage."""
        return (self.subtypes > 0).astype(np.uint8)

    @property
    def labels(self) -> np.ndarray:
        """(6,), uint8, in the order of `labels.CLASSES`."""
        present = [np.any(self.subtypes == k + 1) for k in range(len(labels.SUBTYPES))]
        return np.array([*present, any(present)], np.uint8)


def paint(
    hu: np.ndarray,
    seed: int,
    *,
    pixel_mm: float | None = None,
    hu_window: tuple[float, float] | None = None,
    subtypes: tuple[str, ...] | None = None,
    with_mimics: bool = True,
    mass_effect: bool = True,
    blood: Blood = DRAWN,
) -> PaintedImage | None:
    """Paint hemorrhage onto a slice that shows none; equal arguments give equal bytes.

    Args:
        hu: (y, x), square, Hounsfield units.
        seed: Seed of everything drawn.
        pixel_mm: Side of a pixel; None if unknown.
        hu_window: `Volume.hu_window`: where the values were saturated, else None.
        subtypes: Full names; () for mimics alone, None to draw them as often as
            they are in RSNA 2019. Those for which the slice has no room are left out.
        with_mimics: Whether to paint what only looks like blood.
        mass_effect: Whether blood pushes the brain aside.
        blood: How much of it.

    Returns:
        The slice and its truth; None if no inside of a skull is found.

    Raises:
        ValueError: if the slice is not square, or a subtype is unknown.
    """
    if hu.ndim != 2 or hu.shape[0] != hu.shape[1]:
        raise ValueError(f"`hu` must be a square slice. Received: {hu.shape}")
    unknown = set(subtypes or ()) - set(labels.SUBTYPES)
    if unknown:
        raise ValueError(
            f"Unknown subtypes {sorted(unknown)}. Known: {', '.join(labels.SUBTYPES)}."
        )
    anatomy = landmarks.find(hu, pixel_mm)
    if anatomy is None:
        return None
    rng = np.random.default_rng([seed, 0])
    if subtypes is None:
        subtypes = planning.draw_subtypes(rng)
    hu = hu.astype(np.float32)
    if with_mimics:
        hu = mimics.before_blood(hu, anatomy, np.random.default_rng([seed, 1]))
    hu, painted = _bleed(hu, anatomy, subtypes, blood, seed, mass_effect, rng)
    if with_mimics:
        hu = mimics.after_blood(hu, anatomy, np.random.default_rng([seed, 2]))
    if hu_window is not None:
        hu = np.clip(hu, *hu_window)
    return PaintedImage(hu, painted)


def _bleed(hu, anatomy, subtypes, amounts, seed, mass_effect, rng):
    """Push the brain aside and paint the blood of all subtypes."""
    size = len(hu)
    painted = np.zeros((size, size), np.uint8)
    if not subtypes:
        return hu, painted
    volumes = amounts.draw_volumes_ml(subtypes, rng)
    ages = dict.fromkeys(volumes, "acute")
    if rng.random() < SUBACUTE_SHARE:
        ages = dict.fromkeys(volumes, "subacute")
    if "subdural" in volumes and rng.random() < amounts.chronic_share:
        ages["subdural"] = "chronic"
        volumes["subdural"] = float(rng.uniform(*_CHRONIC_ML))
    middle_mm = float(rng.normal(12.0, 6.0))
    strength = rng.uniform(0.5, 1.0)
    where = anatomy.depth > -3
    grain = pushing.grain_of(hu, anatomy)
    placed = []
    # Masses first: they push what the others then fill. No blood is painted before all
    # have pushed, or it would move away from its truth.
    for name in sorted(volumes, key=lambda name: name in _INSIDE_BRAIN):
        key = [seed, 3, labels.SUBTYPES.index(name)]
        cut = slice_cuts.cut(name, volumes[name], anatomy, middle_mm, key, rng)
        if cut is None:
            continue
        height_mm, reach, offset = cut
        points = slice_cuts.points_at(anatomy, where, height_mm, offset)
        spread, center = slice_cuts.lesion(name, volumes[name], points, key)
        level = pushing.on_grid(spread.level(reach), where, 4.0)
        if anatomy.area_mm2((level < 0) & anatomy.clear) < slice_cuts.SMALLEST_MM2:
            continue
        if mass_effect:
            field = pushing.displacement(
                points, spread, reach, center, volumes[name] * strength
            )
            hu, anatomy = pushing.push(hu, grain, anatomy, field, where)
        placed.append((name, key, height_mm, offset, level))
    for name, key, height_mm, offset, level in placed:
        draws = np.random.default_rng([*key, 2])
        near = where & (level < 4.0)
        points = slice_cuts.points_at(anatomy, near, height_mm, offset)
        wobble, slow = (pushing.on_grid(n, near) for n in (points.wobble, points.slow))
        hu, blood = _stain(
            hu,
            grain,
            anatomy,
            level,
            name,
            volumes[name],
            ages[name],
            draws,
            wobble,
            slow,
        )
        painted[blood & (painted == 0)] = labels.SUBTYPES.index(name) + 1
    return hu, painted


def _stain(hu, grain, anatomy, level, name, volume_ml, age, rng, wobble, slow):
    """Paint blood over a slice; the slice, and where it is blood."""
    import cv2

    size = len(hu)
    rows, columns = pushing.box_of((level < 14.0) & (anatomy.depth > -3), size)
    part = hu[rows, columns]
    if name in _INSIDE_BRAIN:
        # The wall of the space is fluid in part: the blood takes that part's place.
        level = cv2.GaussianBlur(np.minimum(level, 4.0), (0, 0), 0.8) - _WALL_MM
    level, wobble, slow, depth, clear = (
        pushing.enlarged(image, size)[rows, columns]
        for image in (
            level,
            wobble,
            slow,
            anatomy.depth,
            anatomy.clear.astype(np.float32),
        )
    )
    smooth = part - grain[rows, columns]
    # The painters know brain of 33 HU; a narrower window shows another number.
    shift = np.float32(anatomy.brain_hu - _USUAL_BRAIN_HU)
    edge_mm = 1.5 * rng.uniform(0.8, 2.2 if name == "intraparenchymal" else 1.1)
    stained = lesions.stain(
        smooth - shift,
        level,
        name,
        volume_ml,
        age,
        rng,
        wobble,
        0.7 * slow,
        edge_mm,
    )
    stained += shift + grain[rows, columns]
    share = fields.cover(-depth - 0.3, 1.5)
    if name == "subarachnoid":
        share = share * np.float32(rng.uniform(0.6, 1.0))
    changed = fields.blend(part, stained, share)
    bony = (depth < 2.0) | (part > pushing.TISSUE_HU)
    hu = hu.copy()
    hu[rows, columns] = np.where(bony, np.maximum(part, changed), changed)
    blood = np.zeros(hu.shape, bool)
    blood[rows, columns] = (level < 0) & (clear > 0.5)
    return hu, blood
