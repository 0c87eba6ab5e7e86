"""How the blood of one lesion looks: its density, and where it fades.

Drawn once for a lesion, in coordinates of the head, so that neighbouring slices agree.
"""

import dataclasses

import numpy as np

from ich_tf.synthetic.kinds import LesionNoise
from ich_tf.synthetic.phantom import fields, lesions
from ich_tf.synthetic.scans import Points

SUBACUTE_SHARE = 0.08
CHRONIC_SHARE = 0.25
"""Shares of the subdural collections over the convexity."""
FADING_SHARE = 0.4
"""Share of the lesions with parts that fade towards the brain's density."""
END_SHARE = 0.35
"""Share of the lesions with one end that fades."""
LEVEL_SHARE = 0.12
"""Share of the large collections in which cells have settled beneath a level."""
SWIRL_SHARE = 0.2
"""Share of the large collections that are clots with fluid blood in them."""
FAINT_SHARE = 0.45
"""Of subarachnoid hemorrhage and contusions."""

_LARGE = ("epidural", "mass", "convexity")
_FAINT = ("sulcal", "cisternal", "contusions", "thin", "tentorial")


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """How a lesion looks.

    Attributes:
        age: "acute", "subacute" or "chronic".
        strength: Share of the blood where nothing fades.
        fading: (threshold, strength) of noise in which blood fades, or None.
        end: (direction (3,), from, to, strength) of an end that fades, or None.
        level: (y in mm, fall in HU) of a fluid level, or None.
        swirl: (threshold, HU) of fluid blood in a clot, or None.
        edge_mm: Length over which blood and tissue mix.
    """

    age: str
    strength: float
    fading: tuple[float, float] | None
    end: tuple[np.ndarray, float, float, float] | None
    level: tuple[float, float] | None
    swirl: tuple[float, float] | None
    edge_mm: float


def draw(kind: str, points: Points, inside: np.ndarray, rng) -> Look:
    """Draw the look of a lesion.

    Args:
        kind: A key of `kinds.KINDS`.
        points: The coarse points of the scan.
        inside: Which of them the lesion fills.
        rng: numpy Generator.
    """
    age = "subacute" if rng.random() < SUBACUTE_SHARE else "acute"
    if kind == "convexity" and rng.random() < CHRONIC_SHARE:
        age = "chronic"
    strength = rng.uniform(0.85, 1.0)
    if kind in _FAINT and rng.random() < FAINT_SHARE:
        strength = rng.uniform(0.45, 0.85)
    fading = end = level = swirl = None
    # Faint blood that also fades is not to be seen.
    if strength > 0.8 and rng.random() < FADING_SHARE:
        fading = rng.uniform(-0.4, 1.0), rng.uniform(0.3, 0.85)
    if strength > 0.6 and rng.random() < END_SHARE:
        end = _end(points, inside, rng)
    if kind in _LARGE and rng.random() < LEVEL_SHARE:
        y = points.xyz[1][inside]
        level = float(np.quantile(y, rng.uniform(0.25, 0.75))), rng.uniform(10, 32)
    elif kind in _LARGE and rng.random() < SWIRL_SHARE:
        swirl = rng.uniform(-0.2, 0.8), rng.uniform(28, 48)
    wide = 2.2 if kind in ("mass", "contusions") else 1.2
    return Look(age, strength, fading, end, level, swirl, 1.5 * rng.uniform(0.8, wide))


def _end(points: Points, inside: np.ndarray, rng):
    direction = rng.normal(0, (1.0, 1.0, 0.5))
    direction = (direction / np.linalg.norm(direction)).astype(np.float32)
    along = sum(p[inside] * d for p, d in zip(points.xyz, direction, strict=True))
    low, high = np.quantile(along, (0.03, 0.97))
    begins = high - rng.uniform(0.25, 0.7) * (high - low)
    return direction, float(begins), float(high) + 0.5, rng.uniform(0.5, 0.95)


def share(look: Look, points: Points, noise: LesionNoise) -> np.ndarray:
    """Share of blood at points that the lesion fills, from 0 to 1."""
    left = np.full(points.depth.shape, look.strength, np.float32)
    if look.fading is not None:
        threshold, strength = look.fading
        left *= 1 - strength * np.clip(1.3 * (noise.slow(points) - threshold), 0, 1)
    if look.end is not None:
        direction, begins, ends, strength = look.end
        along = sum(p * d for p, d in zip(points.xyz, direction, strict=True))
        left *= 1 - strength * np.clip((along - begins) / (ends - begins), 0, 1)
    return left


def density_hu(
    look: Look, subtype: str, points: Points, noise: LesionNoise, rng
) -> np.ndarray:
    """Density of the blood at points, Hounsfield units.

    Args:
        look: The lesion's.
        subtype: Its name in `labels.SUBTYPES`.
        points: Where.
        noise: That of the lesion.
        rng: numpy Generator, at its start for every slice of a lesion.
    """
    fine, slow = noise.fine(points), 0.7 * noise.slow(points)
    blood = lesions.density_hu(rng, subtype, look.age, fine, slow)
    if look.swirl is not None:
        threshold, fluid = look.swirl
        within = np.clip(2.0 * (fine - threshold), 0, 1)
        blood = fields.blend(blood, fluid, within)
    if look.level is not None:
        height, fall = look.level
        above = np.clip((height - points.xyz[1]) / 1.5 + 0.5, 0, 1)
        blood = blood - np.float32(fall) * above
    return blood.astype(np.float32)
