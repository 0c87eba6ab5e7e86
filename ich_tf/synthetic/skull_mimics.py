"""Mimics at the skull of a whole scan: bright strips beneath it, and operations."""

import dataclasses

import numpy as np

from ich_tf.synthetic import landmarks
from ich_tf.synthetic.phantom import fields

SOFT_TISSUE_HU = (20.0, 45.0)
"""Density of what lies where bone is missing."""


@dataclasses.dataclass(frozen=True)
class Strip:
    """A bright strip along the inner table.

    A thick slice averages the sloping skull with the brain next to it, and beam
    hardening adds to that.

    Attributes:
        azimuth: Direction of its middle from the middle of the slice; 0 is the front.
        half_width: Half its width, both in radians.
        height_mm: Height of its middle.
        half_height_mm: Half its extent upwards.
        rise_hu: Rise of the density at the skull.
        decay_mm: Depth in which the rise falls by the factor e.
    """

    azimuth: float
    half_width: float
    height_mm: float
    half_height_mm: float
    rise_hu: float
    decay_mm: float

    @classmethod
    def draw(cls, rng):
        """Draw a strip, more often at the side than in front or behind."""
        side = rng.choice([-1.0, 1.0])
        return cls(
            azimuth=side * rng.normal(1.6, 0.45),
            half_width=rng.uniform(0.15, 0.8),
            height_mm=rng.uniform(-15, 60),
            half_height_mm=rng.uniform(6, 30),
            rise_hu=rng.uniform(15, 75),
            decay_mm=rng.uniform(0.8, 3.6),
        )

    def rise(self, anatomy: landmarks.Landmarks, height_mm: float) -> np.ndarray:
        """Rise of the density in a slice, (GRID, GRID), HU."""
        upwards = (height_mm - self.height_mm) / self.half_height_mm
        aside = _angle_to(anatomy, self.azimuth) / self.half_width
        extent = np.exp(-(aside**4) - upwards**4)
        beneath = np.exp(-np.maximum(anatomy.depth, 0) / np.float32(self.decay_mm))
        inside = fields.cover(-anatomy.depth, 2.0)
        return np.float32(self.rise_hu) * extent * beneath * inside


@dataclasses.dataclass(frozen=True)
class Operation:
    """A skull without its bone flap, or with the flap put back; often air beneath.

    Attributes:
        azimuth: Azimuth of the middle of the flap, radians; 0 is the front.
        half_width: Half its width, radians.
        height_mm: Height of its middle.
        half_height_mm: Half its extent upwards.
        flap: Whether the flap is back in its place, so that only its rim is missing.
        tissue_hu: Density of what takes the place of bone.
        rim_hu: How much a sharp kernel brightens the rim of air.
        air: (azimuth, depth mm, height mm, radius mm) of bubbles.
    """

    azimuth: float
    half_width: float
    height_mm: float
    half_height_mm: float
    flap: bool
    tissue_hu: float
    rim_hu: float
    air: tuple[tuple[float, float, float, float], ...]

    @classmethod
    def draw(cls, rng):
        """Draw an operation on one side of the head."""
        azimuth = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 2.2)
        half_width, height_mm = rng.uniform(0.2, 0.7), rng.uniform(5, 45)
        air = tuple(
            (
                azimuth + half_width * rng.normal(0, 1.0),
                rng.uniform(0, 9),
                height_mm + rng.normal(0, 15),
                rng.uniform(0.6, 4.5),
            )
            for _ in range(rng.integers(0, 14))
        )
        return cls(
            azimuth,
            half_width,
            height_mm,
            rng.uniform(12, 30),
            bool(rng.random() < 0.6),
            rng.uniform(*SOFT_TISSUE_HU),
            rng.uniform(0, 25),
            air,
        )

    def gap(self, anatomy: landmarks.Landmarks, height_mm: float) -> np.ndarray:
        """Distance to the missing bone in a slice, (GRID, GRID), mm."""
        radius = np.hypot(anatomy.x, anatomy.y)
        across = (_angle_to(anatomy, self.azimuth) - self.half_width) * radius
        upwards = abs(height_mm - self.height_mm) - self.half_height_mm
        level = np.maximum(across, upwards)
        if self.flap:
            level = np.abs(level) - 1.5
        return np.maximum(level, anatomy.depth - 0.5)

    def bubbles(self, anatomy: landmarks.Landmarks, height_mm: float) -> np.ndarray:
        """Distance to the air in a slice, (GRID, GRID), mm."""
        level = np.full(anatomy.depth.shape, 99.0, np.float32)
        radius = np.hypot(anatomy.x, anatomy.y)
        for azimuth, depth_mm, middle_mm, size_mm in self.air:
            across = _angle_to(anatomy, azimuth) * radius
            away = np.sqrt(
                across**2
                + (anatomy.depth - depth_mm) ** 2
                + ((height_mm - middle_mm) / 1.5) ** 2
            )
            level = np.minimum(level, away - size_mm)
        return np.maximum(level, -anatomy.depth)


def _angle_to(anatomy: landmarks.Landmarks, azimuth: float) -> np.ndarray:
    """Absolute angle between each pixel and a direction, radians."""
    turned = np.arctan2(anatomy.x, -anatomy.y) - np.float32(azimuth)
    return np.abs(np.arctan2(np.sin(turned), np.cos(turned)))
