"""Paint hemorrhage into whole scans that show none.

A lesion is one solid in the head; every slice shows its own cut through it, with its
own skull, ventricles, sulci and noise, so that neighbouring slices agree. The truth is
drawn as a radiologist outlines: slightly outside the edge, without holes, over parts
that fade, and over neighbouring sulci that hold blood.
"""

import dataclasses

import numpy as np

from ich_tf import labels
from ich_tf.synthetic import kinds, look, outlines, pushing, scan_mimics, scans
from ich_tf.synthetic.landmarks import Landmarks
from ich_tf.synthetic.phantom import fields
from ich_tf.synthetic.scans import HeadSlices, Points

VERSION = 3
"""Of what equal arguments paint; stored scans of another version are painted again."""
SMALLEST_ML = 0.1
"""Smaller lesions are not painted."""

_BRAIN_HU = 33.0
_INSIDE = ("intraventricular", "subarachnoid")
_FARTHEST_MM = {"sulcal": (20.0, 45.0), "cisternal": (30.0, 60.0)}
_TRIES = 3
_COUNTS = (0.15, 0.3, 0.35, 0.2)
"""How often a scan has none, one, two or three lesions."""


@dataclasses.dataclass(frozen=True, eq=False)
class PaintedScan:
    """A scan with painted hemorrhage and its truth.

    Attributes:
        hu: (z, y, x), float32, Hounsfield units.
        subtypes: (z, y, x), uint8: 0 = no blood, i + 1 = `labels.SUBTYPES[i]`.
    """

    hu: np.ndarray
    subtypes: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """(z, 6), uint8, in the order of `labels.CLASSES`."""
        present = [
            np.any(self.subtypes == k + 1, axis=(1, 2))
            for k in range(len(labels.SUBTYPES))
        ]
        return np.stack([*present, np.any(present, axis=0)], axis=-1).astype(np.uint8)


@dataclasses.dataclass(frozen=True, eq=False)
class PaintedLesion:
    """One solid of blood.

    Attributes:
        kind: A key of `kinds.KINDS`.
        volume_ml: What was asked for.
        seed: Seed of its place and form.
        noise: Its noise.
        reach_mm: Rank up to which it fills.
        look: How it looks.
    """

    kind: str
    volume_ml: float
    seed: tuple[int, ...]
    noise: kinds.LesionNoise
    reach_mm: float
    look: look.Look

    @property
    def subtype(self) -> str:
        """Its name in `labels.SUBTYPES`."""
        return kinds.KINDS[self.kind][0]


def paint(
    scan: HeadSlices,
    seed: int,
    *,
    wanted: tuple[str, ...] | None = None,
    with_mimics: bool = True,
) -> PaintedScan:
    """Paint a scan; equal arguments give equal bytes.

    Args:
        scan: From `scans.survey`, at `landmarks.GRID` pixels a side.
        seed: Seed of everything drawn.
        wanted: Keys of `kinds.KINDS`; () for mimics alone, None to draw them.
        with_mimics: Whether to paint what resembles blood.

    Returns:
        The scan and its truth.
    """
    rng = np.random.default_rng([seed, 0])
    if wanted is None:
        wanted = kinds.draw_kinds(rng, int(rng.choice(len(_COUNTS), p=_COUNTS)))
    hu, marks = scan.hu.copy(), list(scan.marks)
    truth = np.zeros(hu.shape, np.uint8)
    dense = (
        scan_mimics.draw_scan(np.random.default_rng([seed, 1])) if with_mimics else None
    )
    if dense is not None:
        for z in scan.usable:
            hu[z] = scan_mimics.before(
                hu[z], marks[z], scan.heights_mm[z], dense, [seed, z]
            )
    grains = {z: pushing.grain_of(hu[z], marks[z]) for z in scan.usable}
    placed = place(scan, wanted, seed, rng)
    # Masses first: they push the spaces that other blood then fills.
    placed.sort(key=lambda lesion: lesion.subtype in _INSIDE)
    for lesion in placed:
        for z in scan.usable:
            hu[z], marks[z] = _push(
                hu[z], grains[z], marks[z], lesion, scan.heights_mm[z]
            )
    for lesion in placed:
        for z in scan.usable:
            hu[z], blood = _bleed(
                hu[z], grains[z], marks[z], lesion, scan.heights_mm[z]
            )
            if blood is not None:
                number = labels.SUBTYPES.index(lesion.subtype) + 1
                truth[z][blood & (truth[z] == 0)] = number
    if dense is not None:
        for z in scan.usable:
            hu[z], air = scan_mimics.after(
                hu[z], marks[z], scan.heights_mm[z], dense, [seed, z]
            )
            truth[z][air] = 0
    if scan.hu_window is not None:
        hu = np.clip(hu, *scan.hu_window)
    return PaintedScan(hu, truth)


def place(scan: HeadSlices, wanted, seed: int, rng) -> list[PaintedLesion]:
    """Find room for lesions; lesions that find no room are left out."""
    points, voxel_ml = scans.coarse_points(scan)
    placed = []
    for number, kind in enumerate(wanted):
        for attempt in range(_TRIES):
            key = (seed, 3, number, attempt)
            lesion = _lesion(kind, points, voxel_ml, key, rng)
            if lesion is not None:
                placed.append(lesion)
                break
    return placed


def _lesion(
    kind: str, points: Points, voxel_ml: float, key, rng
) -> PaintedLesion | None:
    offset = np.random.default_rng([*key, 1]).uniform(0, 300, 3).astype(np.float32)
    noise = kinds.LesionNoise(tuple(offset))
    volume_ml = kinds.draw_volume_ml(kind, rng)
    spread, _ = kinds.spread(kind, volume_ml, points, noise, list(key))
    reach_mm = spread.reach_mm(volume_ml, voxel_ml, points.clear)
    if not np.isfinite(reach_mm):
        return None
    if kind in _FARTHEST_MM:
        # Where sulci are narrow a volume would spread over the whole head.
        farthest = np.random.default_rng([*key, 6]).uniform(*_FARTHEST_MM[kind])
        reach_mm = min(reach_mm, farthest)
    inside = (spread.level(reach_mm) < 0) & points.clear
    if np.count_nonzero(inside) * voxel_ml < SMALLEST_ML:
        return None
    drawn = look.draw(kind, points, inside, np.random.default_rng([*key, 2]))
    return PaintedLesion(kind, volume_ml, key, noise, reach_mm, drawn)


def _spread(lesion: PaintedLesion, points: Points):
    return kinds.spread(
        lesion.kind, lesion.volume_ml, points, lesion.noise, list(lesion.seed)
    )


def _push(hu, grain, anatomy: Landmarks, lesion: PaintedLesion, height_mm: float):
    """Push the brain of one slice aside."""
    if lesion.kind not in ("mass", "epidural", "convexity"):
        return hu, anatomy
    where = anatomy.depth > -3
    points = scans.points_at(anatomy, where, height_mm)
    spread, center = _spread(lesion, points)
    strength = np.random.default_rng([*lesion.seed, 4]).uniform(0.5, 1.0)
    field = pushing.displacement(
        points, spread, lesion.reach_mm, center, lesion.volume_ml * strength
    )
    return pushing.push(hu, grain, anatomy, field, where)


def _bleed(hu, grain, anatomy: Landmarks, lesion: PaintedLesion, height_mm: float):
    """Paint the lesion's cut through one slice; the slice, and its truth or None."""
    import cv2

    where = anatomy.depth > 0
    points = scans.points_at(anatomy, where, height_mm)
    spread, _ = _spread(lesion, points)
    level = pushing.on_grid(spread.level(lesion.reach_mm), where, 9.0)
    if not np.any((level < 0) & anatomy.clear):
        return hu, None
    if lesion.subtype in _INSIDE:
        # The wall of the space is partly fluid: blood takes the place of that part.
        level = cv2.GaussianBlur(np.minimum(level, 4.0), (0, 0), 0.8) - 0.5
    rows, columns = _box((level < 13.0) & where)
    changed = _stained(
        hu[rows, columns],
        grain[rows, columns],
        cropped(anatomy, rows, columns),
        lesion,
        level[rows, columns],
        height_mm,
    )
    hu = hu.copy()
    hu[rows, columns] = changed
    return hu, outlines.outline(lesion.subtype, level, anatomy, lesion.look.strength)


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def cropped(anatomy: Landmarks, rows: slice, columns: slice) -> Landmarks:
    """The landmarks of a part of the slice."""
    return dataclasses.replace(
        anatomy,
        **{
            name: getattr(anatomy, name)[rows, columns]
            for name in ("depth", "x", "y", "ventricle", "sulcus", "clear")
        },
    )


def _stained(part, grain, anatomy: Landmarks, lesion: PaintedLesion, level, height_mm):
    """A part of a slice with blood, its edema and its grain."""
    from ich_tf.synthetic.phantom import lesions

    everywhere = np.ones(part.shape, bool)
    points = scans.points_at(anatomy, everywhere, height_mm)
    # Scans of a narrower window than the nominal one show other densities.
    shift = np.float32(anatomy.brain_hu - _BRAIN_HU)
    tissue = part - grain - shift
    if lesion.kind == "mass":
        width_mm = min(2 + 3 * np.cbrt(lesion.volume_ml), 12.0)
        tissue = lesions.edema(tissue, level, width_mm)
    draws = np.random.default_rng([*lesion.seed, 5])
    flat = look.density_hu(lesion.look, lesion.subtype, points, lesion.noise, draws)
    blood = flat.reshape(part.shape)
    left = look.share(lesion.look, points, lesion.noise).reshape(part.shape)
    beyond = 0.4 if lesion.subtype == "subarachnoid" else 0.0
    cover = fields.cover(level - beyond, lesion.look.edge_mm) * left
    stained = fields.blend(tissue, blood, cover) + shift + grain
    within = fields.cover(-anatomy.depth - 0.3, 1.5)
    changed = fields.blend(part, stained, within)
    bony = (anatomy.depth < 2.0) | (part > pushing.TISSUE_HU)
    return np.where(bony, np.maximum(part, changed), changed)
