"""Small tools of implicit modelling: soft edges, solids, tubes and random fields."""

import dataclasses

import numpy as np

AIR_HU = -1000.0


def cover(level: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """Share of a voxel inside an implicit solid.

    Args:
        level: Signed distance, negative inside, mm.
        width: Length over which the edge runs from inside to outside, mm.

    Returns:
        Values from 0 (outside) to 1 (inside), shape of `level`.
    """
    return np.clip(0.5 - level / width, 0.0, 1.0)


def blend(base: np.ndarray, value: np.ndarray | float, share: np.ndarray) -> np.ndarray:
    """`base` where `share` is 0, `value` where it is 1, a mixture between."""
    return base + (value - base) * share


def ellipsoid(points, center, semi_axes) -> np.ndarray:
    """Approximate signed distance to an ellipsoid.

    Args:
        points: x, y, z arrays of one shape, mm.
        center: x, y, z of the centre, mm.
        semi_axes: Half extents along x, y and z, mm.

    Returns:
        Distance in mm, negative inside; exact on the surface only.
    """
    u, v, w = ((p - c) / s for p, c, s in zip(points, center, semi_axes, strict=True))
    radius = np.sqrt(u * u + v * v + w * w) + 1e-6
    a, b, c = semi_axes
    slope = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2) / radius + 1e-3
    return (radius - 1.0) / slope


def tube(points, path) -> np.ndarray:
    """Signed distance to a chain of rounded cones.

    Args:
        points: x, y, z arrays of one shape, mm.
        path: Rows (x, y, z, radius), mm; neighbours are joined.

    Returns:
        Distance in mm, negative inside.
    """
    level = np.full(np.shape(points[0]), 1e3, np.float32)
    for start, end in zip(path[:-1], path[1:], strict=True):
        axis = np.subtract(end[:3], start[:3]).astype(np.float32)
        rest = [p - np.float32(s) for p, s in zip(points, start[:3], strict=True)]
        along = sum(r * a for r, a in zip(rest, axis, strict=True)) / (axis @ axis)
        along = np.clip(along, 0.0, 1.0)
        square = sum((r - along * a) ** 2 for r, a in zip(rest, axis, strict=True))
        radius = start[3] + along * np.float32(end[3] - start[3])
        level = np.minimum(level, np.sqrt(square) - radius)
    return level


@dataclasses.dataclass(frozen=True, eq=False)
class BandNoise:
    """Periodic three-dimensional noise around one wavelength, mean 0, deviation 1.

    Attributes:
        lattice: Samples, float32, `step_mm` apart.
        step_mm: Distance of neighbouring samples.
    """

    lattice: np.ndarray
    step_mm: float

    @classmethod
    def draw(cls, rng, wavelength_mm: float, side: int = 54, spread: float = 0.25):
        """Draw noise whose wave numbers lie within `spread` of 1/wavelength."""
        step_mm = wavelength_mm / 6.5
        white = rng.standard_normal((side, side, side), dtype=np.float32)
        frequency = np.fft.fftfreq(side, step_mm).astype(np.float32)
        half = np.fft.rfftfreq(side, step_mm).astype(np.float32)
        radius = np.sqrt(
            frequency[:, None, None] ** 2
            + frequency[None, :, None] ** 2
            + half[None, None, :] ** 2
        )
        ring = np.exp(-0.5 * ((radius * wavelength_mm - 1.0) / spread) ** 2)
        noise = np.fft.irfftn(np.fft.rfftn(white) * ring, white.shape, axes=(0, 1, 2))
        noise = noise.astype(np.float32)
        return cls(noise / noise.std(), step_mm)

    def at(self, points) -> np.ndarray:
        """Noise at x, y, z (mm, arrays of one shape), float32."""
        from scipy import ndimage

        coordinates = np.stack([p / self.step_mm for p in points]).astype(np.float32)
        return ndimage.map_coordinates(
            self.lattice, coordinates, order=1, mode="grid-wrap", output=np.float32
        )


def smooth_volume(rng, shape, spacing_mm, wavelength_mm: float) -> np.ndarray:
    """Low-frequency noise on a grid, mean 0 and deviation about 1.

    Args:
        rng: numpy Generator.
        shape: (z, y, x).
        spacing_mm: (z, y, x).
        wavelength_mm: Length of the shortest waves.

    Returns:
        (z, y, x), float32.
    """
    import cv2

    step = wavelength_mm / 2.0
    coarse = [
        int(np.ceil(n * s / step)) + 3 for n, s in zip(shape, spacing_mm, strict=True)
    ]
    knots = rng.standard_normal(coarse, dtype=np.float32)
    place = np.arange(shape[0]) * spacing_mm[0] / step
    low = place.astype(int)
    rest = (place - low).astype(np.float32)[:, None, None]
    rest = rest * rest * (3 - 2 * rest)
    layers = knots[low] * (1 - rest) + knots[low + 1] * rest
    size = (shape[2], shape[1])
    noise = [cv2.resize(layer, size, interpolation=cv2.INTER_CUBIC) for layer in layers]
    return np.stack(noise) * np.float32(1.35)
