"""Kinds of hemorrhage that whole scans are painted with.

Besides the phantom's five: thin collections over the convexity and on the tentorium,
scattered contusions, blood that has settled in the ventricles, faint blood in sulci
too narrow to be seen. Each kind ranks points like `phantom.lesions`.
"""

import dataclasses

import numpy as np

from ich_tf.synthetic.phantom import fields, lesions
from ich_tf.synthetic.phantom import plan as planning
from ich_tf.synthetic.phantom.lesions import Spread
from ich_tf.synthetic.scans import Points

KINDS = {
    "epidural": ("epidural", 1.0),
    "mass": ("intraparenchymal", 1.0),
    "contusions": ("intraparenchymal", 0.5),
    "ventricular cast": ("intraventricular", 0.5),
    "settled": ("intraventricular", 0.7),
    "cisternal": ("subarachnoid", 0.7),
    "sulcal": ("subarachnoid", 0.9),
    "convexity": ("subdural", 0.7),
    "thin": ("subdural", 0.7),
    "tentorial": ("subdural", 0.3),
    "interhemispheric": ("subdural", 0.3),
}
"""Kind to its subtype and how often it is painted against the others."""

_VOLUMES_ML = {
    "contusions": (0.2, 6.0),
    "settled": (0.3, 8.0),
    "sulcal": (0.5, 10.0),
    "thin": (5.0, 35.0),
    "tentorial": (1.0, 8.0),
    "interhemispheric": (1.0, 10.0),
}
# Fluid above it is in sulci.
_HIGHEST_VENTRICLE_MM = 42.0


@dataclasses.dataclass(frozen=True, eq=False)
class LesionNoise:
    """Noise of a lesion: a piece of a periodic field of 16 and one of 28 mm.

    Attributes:
        offset: (3,), where the piece begins, mm.
    """

    offset: tuple[np.float32, ...]

    def fine(self, points: Points) -> np.ndarray:
        """Noise of 16 mm at the points, deviation 1."""
        return fields.lesion_noise()[0].at(self._moved(points))

    def slow(self, points: Points) -> np.ndarray:
        """Noise of 28 mm at the points, deviation 1."""
        return fields.lesion_noise()[1].at(self._moved(points))

    def _moved(self, points):
        return tuple(p + o for p, o in zip(points.xyz, self.offset, strict=True))


def draw_kinds(rng, count: int) -> list[str]:
    """Draw different kinds, as often as `KINDS` says."""
    shares = np.array([share for _, share in KINDS.values()])
    return rng.choice(
        list(KINDS), count, replace=False, p=shares / shares.sum()
    ).tolist()


def draw_volume_ml(kind: str, rng) -> float:
    """Draw a volume: of small kinds log-uniform, of others like the published ones."""
    if kind in _VOLUMES_ML:
        return float(np.exp(rng.uniform(*np.log(_VOLUMES_ML[kind]))))
    subtype = KINDS[kind][0]
    return planning.share_volume(rng, (subtype,))[subtype]


def spread(
    kind: str, volume_ml: float, points: Points, noise: LesionNoise, seed
) -> tuple[Spread, np.ndarray | None]:
    """How a lesion spreads over points; equal seeds make the same lesion.

    Args:
        kind: A key of `KINDS`.
        volume_ml: Its volume.
        points: Where.
        noise: That of the lesion.
        seed: Seed of its place and form.

    Returns:
        The spread, and the centre (x, y, z) of a mass that pushes, else None.
    """
    rng = np.random.default_rng(seed)
    if kind == "mass":
        return lesions.intraparenchymal(
            points.xyz, points.depth, rng, noise.fine(points)
        )
    made = {
        "epidural": lambda: lesions.epidural(points.xyz, points.depth, rng),
        "convexity": lambda: lesions.subdural(points.xyz, points.depth, rng, 0.0),
        "interhemispheric": lambda: lesions.subdural(
            points.xyz, points.depth, rng, 1.0
        ),
        "thin": lambda: _thin(points, rng),
        "tentorial": lambda: _tentorial(points, rng, volume_ml),
        "contusions": lambda: _contusions(points, rng, noise),
        "ventricular cast": lambda: lesions.intraventricular(
            points.xyz, _ventricles(points), rng, noise.fine(points)
        ),
        "settled": lambda: _settled(points, rng, noise),
        "cisternal": lambda: _subarachnoid(points, rng, noise, basal=True),
        "sulcal": lambda: _subarachnoid(points, rng, noise, basal=False),
    }[kind]()
    return made, None


def _thin(points: Points, rng) -> Spread:
    """A thin layer over one hemisphere, a few millimetres thick."""
    side = rng.choice([-1.0, 1.0])
    direction = lesions.direction_of(side * rng.uniform(50, 130), rng.uniform(0, 45))
    rank, lateral_mm2 = lesions.lens(
        points.xyz, points.depth, direction, rng.uniform(7.0, 13.0), 0.5
    )
    beneath = np.maximum(-points.depth, 2.5 - side * points.xyz[0])
    return Spread(rank, np.maximum(beneath, points.depth - 9.0), lateral_mm2)


def tentorium_mm(points: Points, apex_mm: float, slope: float) -> np.ndarray:
    """Distance to the tentorium, a tent behind the midbrain.

    Args:
        points: Where.
        apex_mm: Height of its top.
        slope: Fall from the midline outwards.
    """
    x, y, z = points.xyz
    along = np.hypot(x, 0.55 * np.maximum(y - 22, 0))
    sheet = np.abs(z - (apex_mm - slope * along)) / np.hypot(1.0, slope)
    return np.maximum(sheet, np.maximum(8 - y, 6.0 - points.depth / 4 - along / 8))


def _tentorial(points: Points, rng, volume_ml: float) -> Spread:
    """On one leaf of the tentorium, thicker the more there is."""
    side = rng.choice([-1.0, 1.0])
    sheet = tentorium_mm(points, rng.uniform(4, 16), rng.uniform(0.5, 0.9))
    x, y, _ = points.xyz
    middle = rng.uniform(10, 35), rng.uniform(25, 55)
    along = np.hypot(side * x - middle[0], y - middle[1])
    half = rng.uniform(1.0, 1.8) + 0.25 * np.sqrt(volume_ml)
    space = np.maximum(sheet - half, 1.0 - side * x)
    return Spread(along, np.maximum(space, -points.depth))


def _contusions(points: Points, rng, noise: LesionNoise) -> Spread:
    """Some small foci near the surface, mostly frontal and temporal."""
    focus = rng.uniform(0, 1)
    azimuth = rng.choice([-1, 1]) * (
        rng.uniform(8, 40) if focus < 0.5 else rng.uniform(60, 150)
    )
    rank = None
    for _ in range(rng.integers(1, 6)):
        direction = lesions.direction_of(
            azimuth + rng.normal(0, 9), rng.uniform(-25, 45)
        )
        center = direction * rng.uniform(44, 62)
        size = rng.uniform(0.5, 1.3)
        distance = (
            np.sqrt(sum((p - c) ** 2 for p, c in zip(points.xyz, center, strict=True)))
            / size
        )
        rank = distance if rank is None else np.minimum(rank, distance)
    return Spread(rank * (1 + 0.25 * noise.fine(points)), 1.5 - points.depth)


def _settled(points: Points, rng, noise: LesionNoise) -> Spread:
    """Blood at the back of the ventricles, its surface level."""
    x, y, _ = points.xyz
    tilt, uneven = rng.normal(0, 0.05), rng.uniform(-10, 10)
    rank = 70.0 - y + tilt * x + uneven * np.sign(x)
    return Spread(rank + 0.15 * noise.fine(points), _ventricles(points) + 0.2)


def _ventricles(points: Points) -> np.ndarray:
    return np.maximum(points.ventricle, points.xyz[2] - _HIGHEST_VENTRICLE_MM)


_CISTERNS = ((0, -8, -13), (42, -12, 2), (-42, -12, 2), (0, 26, -4), (0, -30, 0))


def _subarachnoid(points: Points, rng, noise: LesionNoise, basal: bool) -> Spread:
    """About a cistern, or in the sulci of a patch, some too narrow to be seen."""
    if basal:
        center = _CISTERNS[rng.choice(5, p=[0.45, 0.15, 0.15, 0.1, 0.15])]
    else:
        center = 56 * lesions.direction_of(rng.uniform(-150, 150), rng.uniform(-5, 60))
    away = np.sqrt(sum((p - c) ** 2 for p, c in zip(points.xyz, center, strict=True)))
    fine = noise.fine(points)
    space = points.sulcus - 0.7
    if rng.random() < (0.1 if basal else 0.35):
        # The zero crossings of noise wind like gyri.
        furrow = np.abs(fine) * 6.0 - rng.uniform(1.0, 1.8)
        furrow = np.maximum(furrow, points.depth - rng.uniform(8, 16))
        space = np.minimum(space, furrow)
    return Spread(away * (1 + 0.1 * fine), np.maximum(space, 0.4 - points.depth))
