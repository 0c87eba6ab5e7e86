"""Hemorrhage: where blood spreads first, how far, how dense it is, what it displaces.

Every painter ranks points: blood fills the lowest ranks first until it has its
volume. They need positions, distances and a generator only, no phantom.
"""

import dataclasses

import numpy as np

from ich_tf.synthetic.phantom import fields

# Extra-axial blood keeps this distance from the middle of the head.
_CORE_MM = 26.0


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """How one hemorrhage spreads over points.

    Attributes:
        rank: Order in which points fill with blood, mm from the lesion's origin.
        space: Distance to the space that can hold it, negative inside, mm.
        lateral_mm2: Extra-axial lesions: squared distance from the lens's middle over
            its flatness, from which the thickness follows; None inside the brain.
    """

    rank: np.ndarray
    space: np.ndarray
    lateral_mm2: np.ndarray | None = None

    def reach_mm(self, volume_ml: float, voxel_ml: float, inside: np.ndarray) -> float:
        """Rank up to which blood must fill to have `volume_ml`.

        Args:
            volume_ml: The volume wanted; all the space, if there is less.
            voxel_ml: Volume of one point.
            inside: Whether a point may be filled.

        Returns:
            The rank; minus infinity if no point may be filled.
        """
        ranks = self.rank[(self.space < 0) & inside]
        if not ranks.size:
            return -np.inf
        count = int(np.clip(round(volume_ml / voxel_ml), 1, ranks.size))
        return float(np.partition(ranks, count - 1)[count - 1]) + 1e-3

    def level(self, reach_mm: float) -> np.ndarray:
        """Distance to the hemorrhage, negative inside, mm."""
        return np.maximum(self.rank - reach_mm, self.space)


def direction_of(azimuth_deg: float, height_deg: float) -> np.ndarray:
    """Unit vector; azimuth from the front (0) over the left (90) to the back."""
    azimuth, height = np.deg2rad([azimuth_deg, height_deg])
    return np.array(
        [
            np.sin(azimuth) * np.cos(height),
            -np.cos(azimuth) * np.cos(height),
            np.sin(height),
        ],
        np.float32,
    )


def lens(points, depth, direction, flatness, anisotropy=1.0):
    """Rank and `lateral_mm2` of a lens on the inner table.

    The lens has its middle in `direction`; `flatness` is its radius over its
    thickness, `anisotropy` its narrowness from top to bottom.
    """
    radius = np.sqrt(sum(p * p for p in points)) + 1e-3
    cosine = sum(p * d for p, d in zip(points, direction, strict=True)) / radius
    height = points[2] / radius - direction[2]
    angle2 = 2 * np.maximum(1 - cosine, 0) + (anisotropy - 1) * height**2
    distance2 = angle2 * 68.0**2
    base = np.maximum(depth, 0)
    # depth / rank + distance^2 / (flatness * rank)^2 = 1, solved for the rank.
    rank = 0.5 * (base + np.sqrt(base**2 + 4 * distance2 / flatness**2))
    return rank, distance2 / flatness**2


def epidural(points, depth, rng) -> Spread:
    """Biconvex, beneath the temporal or parietal bone, bounded by the sutures.

    Args:
        points: Canonical x, y, z, mm.
        depth: Depth beneath the inner table, mm.
        rng: numpy Generator.
    """
    x, y, z = points
    side = rng.choice([-1.0, 1.0])
    frontal = rng.random() < 0.25
    azimuth = rng.uniform(42, 56) if frontal else rng.uniform(85, 112)
    direction = direction_of(side * azimuth, rng.uniform(2, 30))
    rank, lateral_mm2 = lens(points, depth, direction, rng.uniform(1.5, 2.2))
    coronal = -34 + 0.25 * z
    lambdoid = 58 - 0.3 * z
    bone = coronal - y if not frontal else y - coronal
    sutures = np.maximum(bone, y - lambdoid)
    # The dura holds fast at a suture: the lens thins out towards it.
    rank = rank + 0.5 * np.maximum(12.0 + sutures, 0)
    space = np.maximum(sutures, _CORE_MM - side * x)
    return Spread(rank, np.maximum(space, -depth), lateral_mm2)


def subdural(points, depth, rng, falx_share: float = 0.2) -> Spread:
    """A crescent along one hemisphere, now and then a strip along the falx.

    Args:
        points: Canonical x, y, z, mm.
        depth: Depth beneath the inner table, mm.
        rng: numpy Generator.
        falx_share: How often along the falx.
    """
    x, y, z = points
    side = rng.choice([-1.0, 1.0])
    beneath = np.maximum(-depth, 2.5 - side * x)
    if rng.random() < falx_share:
        along = np.hypot(y - rng.uniform(35, 60), (z - rng.uniform(25, 45)) * 1.3)
        base = np.maximum(side * x - 0.8, 0)
        rank = 0.5 * (base + np.sqrt(base**2 + 4 * (along / rng.uniform(7, 10)) ** 2))
        callosum = 1.15 - np.hypot((y + 2) / 42, (z - 5) / 24)
        space = np.maximum(np.maximum(0.8 - side * x, callosum * 25), -depth)
        return Spread(rank, np.maximum(space, 8 - z))
    direction = direction_of(side * rng.uniform(60, 125), rng.uniform(5, 40))
    rank, lateral_mm2 = lens(points, depth, direction, rng.uniform(4.5, 8.0), 0.6)
    core = _CORE_MM - np.sqrt(x * x + y * y + z * z)
    return Spread(rank, np.maximum(np.maximum(beneath, core), -26 - z), lateral_mm2)


_PARENCHYMA = (
    # share, centre (x, y, z) on the left, spread of the centre, mm
    (0.35, (24, -4, 4), (4, 6, 4)),
    (0.15, (12, 12, 6), (2, 3, 2)),
    (0.16, (34, -46, 16), (7, 8, 12)),
    (0.16, (38, 40, 22), (7, 9, 10)),
    (0.10, (46, -2, -16), (4, 9, 5)),
    (0.08, (22, 48, -32), (8, 8, 5)),
)


def intraparenchymal(points, depth, rng, wobble) -> tuple[Spread, np.ndarray]:
    """Irregular, in basal ganglia, thalamus, a lobe or the cerebellum.

    Args:
        points: Canonical x, y, z, mm.
        depth: Depth beneath the inner table, mm.
        rng: numpy Generator.
        wobble: Noise at the points, deviation 1, that roughens the outline.

    Returns:
        The spread and the centre (x, y, z) of the largest focus.
    """
    foci = 1 + int(rng.random() < 0.25)
    rank = None
    for focus in range(foci):
        shares = np.array([row[0] for row in _PARENCHYMA])
        _, center, spread = _PARENCHYMA[
            rng.choice(len(shares), p=shares / shares.sum())
        ]
        center = np.array(center) + rng.normal(0, 1, 3).clip(-2, 2) * spread
        center[0] *= rng.choice([-1, 1])
        stretch = rng.uniform(0.75, 1.35, 3)
        square = sum(
            ((p - c) / s) ** 2 for p, c, s in zip(points, center, stretch, strict=True)
        )
        distance = np.sqrt(square) * (1 + 0.16 * wobble) + (5.0 if focus else 0.0)
        if rank is None:
            rank, main = distance, center
        else:
            rank = np.minimum(rank, distance)
    return Spread(rank, 3.0 - depth), main


def intraventricular(points, ventricle, rng, wobble) -> Spread:
    """Layering: blood collects at the back of the ventricles, then rises.

    Args:
        points: Canonical x, y, z, mm.
        ventricle: Distance to the ventricles, negative inside, mm.
        rng: numpy Generator.
        wobble: Noise at the points, deviation 1.
    """
    x, y, z = points
    uneven = rng.uniform(-14, 14)
    if rng.random() < 0.35:
        focus = np.array([rng.choice([-9, 9]), -22, 9]) + rng.normal(0, 3, 3)
        rank = np.sqrt(sum((p - c) ** 2 for p, c in zip(points, focus, strict=True)))
    else:
        rank = 70.0 - y + uneven * np.sign(x)
    return Spread(rank + 1.5 * wobble, ventricle + 0.3)


_CISTERNS = ((0, -8, -13), (42, -12, 2), (-42, -12, 2), (0, 26, -4))


def subarachnoid(points, depth, sulcus, rng, wobble) -> Spread:
    """Blood in the basal cisterns and Sylvian fissures or in the sulci of a patch.

    Args:
        points: Canonical x, y, z, mm.
        depth: Depth beneath the inner table, mm.
        sulcus: Distance to sulci, fissures and cisterns, negative inside, mm.
        rng: numpy Generator.
        wobble: Noise at the points, deviation 1.
    """
    if rng.random() < 0.5:
        focus = np.array(_CISTERNS[rng.choice(4, p=[0.5, 0.2, 0.2, 0.1])])
    else:
        focus = 54 * direction_of(rng.uniform(-150, 150), rng.uniform(5, 60))
    distance = np.sqrt(sum((p - c) ** 2 for p, c in zip(points, focus, strict=True)))
    return Spread(distance * (1 + 0.10 * wobble), np.maximum(sulcus - 0.7, 0.4 - depth))


def displace_by_lens(points, depth, spread: Spread, reach_mm: float, limit_mm=20.0):
    """Where the brain at `points` lay before a lesion pressed it inwards.

    Returns:
        Undisplaced points and their depth beneath the inner table, mm.
    """
    if spread.lateral_mm2 is None:
        return points, depth
    radius = np.sqrt(sum(p * p for p in points)) + 1e-3
    thick = np.maximum(reach_mm - spread.lateral_mm2 / max(reach_mm, 0.1), 0)
    thick = np.minimum(thick, limit_mm)
    push = thick * np.exp(-np.maximum(depth - thick, 0) / 42.0)
    stretch = 1 + push / radius * np.clip(radius / 15, 0, 1)
    return tuple(p * stretch for p in points), depth - push


def displace_by_mass(points, center, volume_ml: float):
    """Where the brain at `points` lay before a mass at `center` pushed it away."""
    radius3 = 0.85 * volume_ml * 1000.0 * 3 / (4 * np.pi)
    rest = [p - np.float32(c) for p, c in zip(points, center, strict=True)]
    distance = np.sqrt(sum(r * r for r in rest)) + 0.5
    origin = np.cbrt(np.maximum(distance**3 - radius3, 0.03 * distance**3))
    fade = np.exp(-np.maximum(distance - 45, 0) / 15)
    share = 1 + (origin / distance - 1) * fade
    return tuple(np.float32(c) + r * share for c, r in zip(center, rest, strict=True))


def density_hu(rng, subtype: str, age: str, fine, coarse) -> np.ndarray:
    """Density of the blood at points, Hounsfield units.

    Args:
        rng: numpy Generator.
        subtype: Name in `labels.SUBTYPES`.
        age: "acute"; "subacute", about as dense as brain; "chronic", less dense than
            brain, in part with clots of fresh blood.
        fine: Noise at the points, deviation 1.
        coarse: Slower noise at the points, deviation 1.
    """
    low, high = {
        "epidural": (58, 74),
        "subdural": (54, 72),
        "intraparenchymal": (56, 74),
        "intraventricular": (54, 70),
        "subarachnoid": (54, 70),
    }[subtype]
    if age == "chronic":
        hu = rng.uniform(14, 32) + 1.5 * fine + 2.0 * coarse
        if rng.random() < 0.4:
            fresh = np.clip((coarse - rng.uniform(-0.3, 0.9)) * 1.5, 0, 1)
            hu = fields.blend(hu, rng.uniform(38, 60), fresh)
        return np.clip(hu, 8, 85)
    mean = rng.uniform(41, 48) if age == "subacute" else rng.uniform(low, high)
    hu = mean + 2.5 * fine + 2.0 * coarse
    if rng.random() < 0.3 and subtype != "subarachnoid":
        older = np.clip((coarse - 0.7) * 2.0, 0, 1)
        hu = fields.blend(hu, mean - rng.uniform(14, 26), older)
    return np.clip(hu, 30, 85)


def edema(hu, level, width_mm: float):
    """Darken tissue in a rim of `width_mm` around a lesion; CSF stays as it is."""
    share = 0.9 * fields.cover(level - 0.6 * width_mm, width_mm)
    return np.where(hu > 20, fields.blend(hu, 21.0, share * (hu < 60)), hu)


def stain(
    hu,
    level,
    subtype: str,
    volume_ml: float,
    age: str,
    rng,
    fine,
    coarse,
    edge_mm: float = 1.5,
):
    """Paint one hemorrhage over tissue, with its edema.

    Args:
        hu: Density of the tissue at points.
        level: Distance to the hemorrhage there, negative inside, mm.
        subtype: Name in `labels.SUBTYPES`.
        volume_ml: Volume of the hemorrhage, for the width of its edema.
        age: "acute", "subacute" or "chronic".
        rng: numpy Generator.
        fine: Noise at the points, deviation 1.
        coarse: Slower noise at the points, deviation 1.
        edge_mm: Length over which blood and tissue mix.
    """
    if subtype == "intraparenchymal":
        hu = edema(hu, level, min(2 + 3 * np.cbrt(volume_ml), 12.0))
    blood = density_hu(rng, subtype, age, fine, coarse)
    # Thin layers between gyri would fade: they stain a little beyond.
    beyond = 0.4 if subtype == "subarachnoid" else 0.0
    return fields.blend(hu, blood, fields.cover(level - beyond, edge_mm))
