"""Small tools of implicit modelling: soft edges, solids, tubes and random fields."""

import dataclasses
import functools

import numpy as np


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
    radius, slope = np.float32(0), np.float32(0)
    for along, middle, half in zip(points, center, semi_axes, strict=True):
        square = (along - middle) * (1 / half)
        square *= square
        radius = radius + square
        square *= 1 / half**2
        slope = slope + square
    radius = np.sqrt(radius) + 1e-6
    slope = np.sqrt(slope) / radius + 1e-3
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
        share = rest[0] * axis[0]
        share = share + rest[1] * axis[1]
        share += rest[2] * axis[2]
        share /= axis @ axis
        np.clip(share, 0.0, 1.0, out=share)
        square = np.zeros(share.shape, np.float32)
        for point, length in zip(rest, axis, strict=True):
            off = point - share * length
            off *= off
            square += off
        np.sqrt(square, out=square)
        share *= np.float32(end[3] - start[3])
        square -= share
        square -= np.float32(start[3])
        np.minimum(level, square, out=level)
    return level


@dataclasses.dataclass(frozen=True, eq=False)
class BandNoise:
    """Periodic three-dimensional noise around one wavelength, mean 0, deviation 1.

    Attributes:
        lattice: Samples, float32, `step_mm` apart; the first of each axis once more
            at its end.
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
        return cls(np.pad(noise / noise.std(), (0, 1), mode="wrap"), step_mm)

    def at(self, points) -> np.ndarray:
        """Noise at x, y, z (mm, arrays of one shape), float32, linear between samples.

        As `scipy.ndimage.map_coordinates` with mode "grid-wrap", in a quarter of its
        time: the phantom asks for nothing as often.
        """
        side = len(self.lattice)
        period = side - 1
        first, rest = np.zeros((), np.int32), []
        for along in points:
            place = along * np.float32(1 / (self.step_mm * period))
            place = place - np.floor(place)
            place *= period
            # A small negative number has been rounded up to a whole period.
            low = np.minimum(place.astype(np.int32), period - 1)
            rest.append(place - low)
            first = first * side + low
        values = self.lattice.ravel()
        u, v, w = rest

        def line(index):
            start = values.take(index)
            return _between(start, values.take(index + 1), w)

        def plane(index):
            return _between(line(index), line(index + side), v)

        return _between(plane(first), plane(first + side * side), u)


def _between(start: np.ndarray, end: np.ndarray, share: np.ndarray) -> np.ndarray:
    """`start + (end - start) * share`, in the memory of `end`."""
    end -= start
    end *= share
    end += start
    return end


@functools.cache
def lesion_noise() -> tuple[BandNoise, BandNoise]:
    """Noise of 16 and of 28 mm; every painted lesion takes another piece of it."""
    rng = np.random.default_rng(7)
    return BandNoise.draw(rng, 16.0), BandNoise.draw(rng, 28.0, side=48)


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
