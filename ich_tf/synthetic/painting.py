"""Synthetic hemorrhage on real head CT slices that show none.

The painters are the phantom's: they rank points, and blood fills the lowest ranks
until it has its volume. Here the points are those of a real slice, whose skull,
midline, ventricles and sulci `landmarks` finds. The volume is filled in a coarse stack
of such slices above and below; the slice shows one cut through it.

What is painted is the blood and what comes with it: the brain is pushed aside, a rim
of edema darkens, edges mix with what lies beside them, and the noise of the scan stays.
Mimics of blood are painted, too, but are not in the truth.
"""

import dataclasses

import numpy as np

from ich_tf import labels
from ich_tf.synthetic import landmarks, mimics, pushing
from ich_tf.synthetic.phantom import fields, lesions
from ich_tf.synthetic.phantom import plan as planning

VERSION = 4
"""Of what equal arguments paint; stored slices of another version are made again."""

SUBACUTE_SHARE = 0.12
SMALLEST_MM2 = 15.0
"""A cut through a lesion that is smaller is not painted."""

_STACK_MM = np.arange(-40.0, 41.0, 5.0, dtype=np.float32)
_STACK_PIXELS = 5
# The inside of a skull is about a ball: this far from the slice it ends.
_HEAD_MM = 72.0
_WALL_MM = 0.5
_USUAL_BRAIN_HU = 33.0
_INSIDE_BRAIN = ("intraventricular", "subarachnoid")
_CHRONIC_ML = (15.0, 130.0)
# Nothing larger lies along the falx.
_FALX_ML = 12.0


@dataclasses.dataclass(frozen=True)
class Blood:
    """How much blood is painted.

    Attributes:
        volume_ml: Of each lesion; None draws volumes like the published ones.
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
class Painted:
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


@dataclasses.dataclass(frozen=True, eq=False)
class _Points:
    """Points of a slice, or of the coarse stack about it, as the painters take them."""

    xyz: tuple[np.ndarray, np.ndarray, np.ndarray]
    depth: np.ndarray
    ventricle: np.ndarray
    sulcus: np.ndarray
    clear: np.ndarray
    shifted: tuple[np.ndarray, np.ndarray, np.ndarray]

    @property
    def wobble(self) -> np.ndarray:
        """Noise of 16 mm at the points, deviation 1."""
        return fields.lesion_noise()[0].at(self.shifted)

    @property
    def slow(self) -> np.ndarray:
        """Noise of 28 mm at the points, deviation 1."""
        return fields.lesion_noise()[1].at(self.shifted)


def paint(
    hu: np.ndarray,
    seed: int,
    *,
    pixel_mm: float | None = None,
    hu_window: tuple[float, float] | None = None,
    subtypes: tuple[str, ...] | None = None,
    with_look_alikes: bool = True,
    mass_effect: bool = True,
    blood: Blood = DRAWN,
) -> Painted | None:
    """Paint hemorrhage onto a slice that shows none; equal arguments give equal bytes.

    Args:
        hu: (y, x), square, Hounsfield units.
        seed: Of everything drawn.
        pixel_mm: Side of a pixel; None where nobody knows it.
        hu_window: `Volume.hu_window`: where the values were saturated, else None.
        subtypes: Full names; () for mimics alone, None to draw them as often as
            they are in RSNA 2019. Those for which the slice has no room are left out.
        with_look_alikes: Whether to paint what only looks like blood.
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
    found = landmarks.find(hu, pixel_mm)
    if found is None:
        return None
    rng = np.random.default_rng([seed, 0])
    if subtypes is None:
        subtypes = planning.draw_subtypes(rng)
    hu = hu.astype(np.float32)
    if with_look_alikes:
        hu = mimics.before_blood(hu, found, np.random.default_rng([seed, 1]))
    hu, painted = _bleed(hu, found, subtypes, blood, seed, mass_effect, rng)
    if with_look_alikes:
        hu = mimics.after_blood(hu, found, np.random.default_rng([seed, 2]))
    if hu_window is not None:
        hu = np.clip(hu, *hu_window)
    return Painted(hu, painted)


def _at(found: landmarks.Landmarks, where, height_mm, offset) -> _Points:
    """The points of the grid in `where`, `height_mm` (array or number) above."""
    x, y, depth, ventricle, sulcus = (
        np.broadcast_to(values[where], np.broadcast(values[where], height_mm).shape)
        for values in (found.x, found.y, found.depth, found.ventricle, found.sulcus)
    )
    height = np.broadcast_to(np.float32(height_mm), x.shape)
    return _Points(
        (x, y, height),
        depth,
        ventricle,
        sulcus,
        np.broadcast_to(found.clear[where], x.shape),
        tuple(p + o for p, o in zip((x, y, height), offset, strict=True)),
    )


def _stack(found: landmarks.Landmarks, middle_mm: float, offset) -> _Points:
    """The coarse stack: the slice repeated, within a skull that narrows, (z, n)."""
    coarse = np.zeros(found.depth.shape, bool)
    coarse[::_STACK_PIXELS, ::_STACK_PIXELS] = True
    where = coarse & (found.depth > 0)
    rise = _STACK_MM[:, None]
    points = _at(found, where, np.float32(middle_mm) + rise, offset)
    narrower = _HEAD_MM * (1 - np.sqrt(1 - (rise / (1.15 * _HEAD_MM)) ** 2))
    depth = points.depth - narrower
    # Ventricles and fissures reach a few slices up and down.
    away = np.maximum(np.abs(rise) - 12.0, 0) * np.float32(0.5)
    return dataclasses.replace(
        points,
        depth=depth,
        clear=points.clear & (depth > 0),
        ventricle=points.ventricle + away,
    )


def _spread(name: str, volume_ml: float, points: _Points, seed):
    """A lesion at points and the center of a mass; equal seeds make equal lesions."""
    rng = np.random.default_rng(seed)
    if name == "intraparenchymal":
        return lesions.intraparenchymal(points.xyz, points.depth, rng, points.wobble)
    if name == "intraventricular":
        spread = lesions.intraventricular(
            points.xyz, points.ventricle, rng, points.wobble
        )
    elif name == "subarachnoid":
        spread = lesions.subarachnoid(
            points.xyz, points.depth, points.sulcus, rng, points.wobble
        )
    elif name == "subdural" and volume_ml > _FALX_ML:
        spread = lesions.subdural(points.xyz, points.depth, rng, falx_share=0.0)
    else:
        painter = {"epidural": lesions.epidural, "subdural": lesions.subdural}[name]
        spread = painter(points.xyz, points.depth, rng)
    return spread, None


def _cut(name, volume_ml, found, middle_mm, seed, rng):
    """Where the slice cuts a lesion of a volume: height, reach; None if nowhere."""
    offset = np.random.default_rng([*seed, 1]).uniform(0, 300, 3).astype(np.float32)
    stack = _stack(found, middle_mm, offset)
    spread, _ = _spread(name, volume_ml, stack, seed)
    pixel_mm2 = (_STACK_PIXELS * found.pixel_mm) ** 2
    reach = spread.reach_mm(volume_ml, pixel_mm2 * 5.0 / 1000, stack.clear)
    if not np.isfinite(reach):
        return None
    area = np.count_nonzero((spread.level(reach) < 0) & stack.clear, axis=1) * pixel_mm2
    share = (area >= SMALLEST_MM2) * np.exp(-np.abs(_STACK_MM) / 20.0)
    if not share.any():
        return None
    layer = rng.choice(len(share), p=share / share.sum())
    return middle_mm + float(_STACK_MM[layer]), reach, offset


def _bleed(hu, found, subtypes, amounts, seed, mass_effect, rng):
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
    where = found.depth > -3
    grain = pushing.grain_of(hu, found)
    placed = []
    # Masses first: they push what the others then fill. No blood is painted before all
    # have pushed, or it would move away from its truth.
    for name in sorted(volumes, key=lambda name: name in _INSIDE_BRAIN):
        key = [seed, 3, labels.SUBTYPES.index(name)]
        cut = _cut(name, volumes[name], found, middle_mm, key, rng)
        if cut is None:
            continue
        height_mm, reach, offset = cut
        points = _at(found, where, height_mm, offset)
        spread, center = _spread(name, volumes[name], points, key)
        level = pushing.on_grid(spread.level(reach), where, 4.0)
        if found.area_mm2((level < 0) & found.clear) < SMALLEST_MM2:
            continue
        if mass_effect:
            field = pushing.displacement(
                points, spread, reach, center, volumes[name] * strength
            )
            hu, found = pushing.push(hu, grain, found, field, where)
        placed.append((name, key, height_mm, offset, level))
    for name, key, height_mm, offset, level in placed:
        draws = np.random.default_rng([*key, 2])
        near = where & (level < 4.0)
        points = _at(found, near, height_mm, offset)
        wobble, slow = (pushing.on_grid(n, near) for n in (points.wobble, points.slow))
        hu, blood = _stain(
            hu,
            grain,
            found,
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


def _stain(hu, grain, found, level, name, volume_ml, age, rng, wobble, slow):
    """Paint blood over a slice; the slice, and where it is blood."""
    import cv2

    size = len(hu)
    rows, columns = pushing.box_of((level < 14.0) & (found.depth > -3), size)
    part = hu[rows, columns]
    if name in _INSIDE_BRAIN:
        # The wall of the space is fluid in part: the blood takes that part's place.
        level = cv2.GaussianBlur(np.minimum(level, 4.0), (0, 0), 0.8) - _WALL_MM
    level, wobble, slow, depth, clear = (
        pushing.enlarged(image, size)[rows, columns]
        for image in (level, wobble, slow, found.depth, found.clear.astype(np.float32))
    )
    smooth = part - grain[rows, columns]
    # The painters know brain of 33 HU; a narrower window shows another number.
    shift = np.float32(found.brain_hu - _USUAL_BRAIN_HU)
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
