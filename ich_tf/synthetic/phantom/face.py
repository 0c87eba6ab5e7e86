"""Face, scalp and neck: what lies outside the skull, in canonical coordinates."""

import numpy as np

from ich_tf.synthetic.phantom import fields
from ich_tf.volume import AIR_HU

FAT_HU = -95.0
MUSCLE_HU = 56.0
CANAL = (0.0, 33.0)
_FACE_TOP_MM = 22.0


def soft_tissue(points, skin, broad, wavy, cells):
    """Scalp everywhere; face, orbits, sinuses and neck in the low slices.

    Args:
        points: Canonical x, y, z, (z, y, x) arrays, mm.
        skin: Distance to the skin of the vault, negative inside, mm.
        broad: Noise of 130 mm, deviation 1.
        wavy: Noise of 26 mm, deviation 1.
        cells: Noise of 7 mm, deviation 1.

    Returns:
        (z, y, x), Hounsfield units, air outside the skin.
    """
    low = points[2].min() < _FACE_TOP_MM
    if low:
        fading = 3 * np.clip((-points[2] - 45) / 10, 0, 20)
        skin = np.minimum(_face_skin(points), skin + fading)
    # Muscle bellies between thin planes of fat, more fat towards the vertex.
    thinner = np.clip(0.05 * points[2], 0.0, 3.0)
    planes = 0.9 + 1.1 * broad - 3.5 * np.abs(wavy + 0.2 * cells) + thinner
    muscle = fields.cover(planes, 1.2)
    deep = fields.blend(np.full(skin.shape, FAT_HU, np.float32), MUSCLE_HU, muscle)
    hu = fields.blend(deep, FAT_HU, fields.cover(-skin - 3.4, 1.5))
    hu = fields.blend(hu, 45.0, fields.cover(-skin - 1.7, 1.2))
    if low:
        hu = _face(points, hu, skin, cells, wavy)
    return fields.blend(hu, AIR_HU, fields.cover(-skin, 1.2))


def _face_skin(points):
    x, y, z = points
    head = fields.ellipsoid(points, (0, -25, -55), (67, 73, 78))
    nose = fields.ellipsoid(points, (0, -96, -52), (13, 17, 20))
    neck = np.sqrt((x / 58) ** 2 + ((y - 28) / 62) ** 2)
    neck = np.maximum((neck - 1) * 58, z + 30)
    ear = fields.ellipsoid((np.abs(x), y, z), (80, 20, -32), (5, 15, 24))
    gap = np.maximum(28 - np.abs(head - neck), 0)
    throat = np.minimum(head, neck) - gap * gap / 112
    return np.minimum(np.minimum(throat, nose), ear)


def _face(points, hu, skin, cells, wavy):
    """Orbits, sinuses, nasal cavity, zygoma, jaw, pharynx and upper spine."""
    x, y, z = points
    side = (np.abs(x), y, z)
    rough = (side[0] + 1.6 * wavy, y - 1.6 * wavy + 0.6 * cells, z + 2.0 * wavy)
    # The axes of the orbits diverge.
    diverging = (rough[0] + 0.3 * (y + 60), rough[1], rough[2])
    orbit = fields.ellipsoid(diverging, (29, -60, -28), (16, 30, 17))
    cavities = {
        "antrum": fields.ellipsoid(rough, (29, -60, -58), (15, 19, 16)),
        "nasal": fields.ellipsoid(rough, (0, -60, -58), (15, 36, 26)),
        "ethmoid": fields.ellipsoid(rough, (0, -52, -30), (14, 32, 15)),
        "sphenoid": fields.ellipsoid(rough, (0, -12, -28), (13, 12, 10)),
    }
    walls = np.minimum(_jaws(points, side), orbit - 2.4)
    for name, cavity in cavities.items():
        walls = np.minimum(walls, cavity - (3.5 if name == "sphenoid" else 2.0))
    walls = np.maximum(walls, skin + 3.0)
    hu = fields.blend(hu, 950.0, fields.cover(walls, 1.3))
    hu = _sinuses(hu, cavities, x, cells, wavy)
    hu = _eyes(side, hu, orbit)
    pharynx = fields.ellipsoid(points, (0, -12, -95), (11, 7, 34))
    hu = fields.blend(hu, AIR_HU, fields.cover(pharynx, 1.5))
    off_canal = np.hypot(x - CANAL[0], y - CANAL[1])
    body = np.hypot(x / 1.5, y - 12) - 8.0
    spine = np.minimum(np.abs(off_canal - 18.0) - 3.5, body)
    spine = np.maximum(np.maximum(spine, z + 64), 14.5 - off_canal)
    return fields.blend(hu, 800.0, fields.cover(spine, 1.5))


def _jaws(points, side):
    """Distance to zygomatic arches, jaws and palate, negative inside, mm."""
    x, y, z = points
    zygoma = fields.tube(
        side, [(36, -88, -42, 5), (58, -66, -44, 6), (67, -35, -42, 3), (66, 5, -38, 4)]
    )
    jaw = fields.tube(side, [(50, 2, -44, 6), (50, -4, -75, 6), (40, -50, -112, 7)])
    arch = np.abs(np.hypot(x / 30, np.minimum(y + 52, 0) / 40) - 1) * 30 - 4.5
    arch = np.maximum(arch, np.maximum(np.abs(z + 93) - 17, y + 46))
    palate = fields.ellipsoid(points, (0, -56, -84), (24, 24, 2))
    return np.minimum(np.minimum(zygoma, jaw), np.minimum(arch, palate))


def _sinuses(hu, cavities, x, cells, wavy):
    """Air in the cavities, divided by turbinates and septa."""
    septum = 1.0 - np.abs(x + 1.5 * wavy)
    turbinates = 2.0 - 4.0 * np.abs(wavy + 0.4 * cells - 0.6)
    partitions = {
        "antrum": np.full_like(x, -9.0),
        "nasal": np.maximum(septum, turbinates),
        "ethmoid": np.minimum(1.2 - 2.0 * np.abs(cells), 1.0),
        "sphenoid": septum - 0.2,
    }
    for name, cavity in cavities.items():
        air = fields.cover(np.maximum(cavity, partitions[name]), 1.4)
        hu = fields.blend(hu, AIR_HU, air)
    return hu


def _eyes(side, hu, orbit):
    """Fat, globe with wall and lens, optic nerve and eye muscles."""
    blend, cover = fields.blend, fields.cover
    fat = np.maximum(orbit, -(side[1] + 86))
    hu = blend(hu, FAT_HU + 15, cover(fat, 1.2))
    nerve = fields.tube(side, [(32, -62, -28, 2.2), (14, -32, -25, 2.0)])
    lateral = fields.tube(
        side, [(46, -66, -28, 1.8), (38, -48, -27, 2.4), (18, -33, -25, 2)]
    )
    medial = fields.tube(
        side, [(20, -66, -28, 1.8), (17, -48, -27, 2.2), (14, -33, -25, 2)]
    )
    cord = np.minimum(np.minimum(nerve, lateral), medial)
    hu = blend(hu, 42.0, cover(cord, 1.3))
    globe = fields.ellipsoid(side, (32, -75, -29), (12, 12, 12))
    hu = blend(hu, 45.0, cover(globe, 1.2))
    hu = blend(hu, 8.0, cover(globe + 1.6, 1.2))
    lens = fields.ellipsoid(side, (32, -84, -29), (4.5, 2.2, 4.5))
    return blend(hu, 80.0, cover(lens, 1.2))
