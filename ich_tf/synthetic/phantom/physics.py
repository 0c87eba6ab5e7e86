"""What the scanner adds: sharpness, noise, beam hardening, streaks and motion."""

import dataclasses

import numpy as np

HIGHEST_HU = 3071


@dataclasses.dataclass(frozen=True)
class ScannerPlan:
    """How one scan is disturbed.

    Attributes:
        noise_hu: Deviation of the noise in the brain at 512 pixels.
        grain_pixels: Correlation length of the noise at 512 pixels.
        cupping_hu: Rise of the density towards the skull.
        streak_hu: Strength of the streaks between the petrous bones.
        motion: Slices (share of the stack) and shift in mm, or None.
        metal: Place (z share, y mm, x mm) of a metal object, or None.
    """

    noise_hu: float
    grain_pixels: float
    cupping_hu: float
    streak_hu: float
    motion: tuple[float, float] | None
    metal: tuple[float, float, float] | None

    @classmethod
    def draw(cls, rng):
        """Draw a scanner; about 12 % of the heads move, 5 % hold metal."""
        motion = (rng.uniform(0.2, 0.8), rng.uniform(2, 5))
        metal = (rng.uniform(0.2, 0.7), rng.uniform(-40, 40), rng.uniform(-50, 50))
        moves, shines = rng.random(2)
        return cls(
            noise_hu=rng.uniform(3.0, 5.2),
            grain_pixels=rng.uniform(0.75, 1.1),
            cupping_hu=rng.uniform(3.0, 9.0),
            streak_hu=rng.uniform(1.0, 9.0),
            motion=motion if moves < 0.12 else None,
            metal=metal if shines < 0.05 else None,
        )


def noise(rng, size: int, plan: ScannerPlan) -> np.ndarray:
    """Band-limited noise of one slice, (size, size), Hounsfield units."""
    import cv2

    sigma = plan.grain_pixels * size / 512
    white = rng.standard_normal((size, size), dtype=np.float32)
    grain = cv2.GaussianBlur(white, (0, 0), sigma)
    grain -= 0.7 * cv2.GaussianBlur(grain, (0, 0), 3.0 * sigma)
    # A coarser matrix averages part of the noise away.
    strength = plan.noise_hu * min(1.0, (size / 512) ** 0.4)
    return grain * np.float32(strength / grain.std())


def beam_hardening(bone, brain, pixel_mm: float, plan: ScannerPlan) -> np.ndarray:
    """Cupping: the brain brightens towards the skull.

    Args:
        bone: (y, x), share of bone.
        brain: (y, x), share of the inside of the skull.
        pixel_mm: Pixel size.
        plan: The scanner.
    """
    import cv2

    small = cv2.resize(bone, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    near = cv2.GaussianBlur(small, (0, 0), 7.0 / (4 * pixel_mm))
    near = cv2.resize(near, bone.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return (near - 0.15) * np.float32(2 * plan.cupping_hu) * brain


def petrous_streaks(rng, x, y, strength_hu: float) -> np.ndarray:
    """Dark bar and fine lines between the petrous bones of one slice.

    Args:
        rng: numpy Generator.
        x: (y, x), canonical position to the left, mm.
        y: (y, x), canonical position to the back, mm.
        strength_hu: Depth of the bar.
    """
    bar = -1.2 * strength_hu * np.exp(-(((y - 19) / 7.0) ** 2) - (x / 32) ** 4)
    for _ in range(7):
        angle = rng.normal(0, 0.35)
        off = (y - rng.normal(18, 9)) * np.cos(angle) - x * np.sin(angle)
        line = np.exp(-((off / rng.uniform(0.9, 2.4)) ** 2))
        bar = bar + rng.normal(0, 0.6) * strength_hu * line
    return bar.astype(np.float32)


def metal_star(rng, x, y) -> np.ndarray:
    """Streaks that leave a metal object at the origin of x and y (mm)."""
    radius = np.hypot(x, y)
    angle = np.arctan2(y, x)
    rays = sum(np.cos(count * angle + rng.uniform(0, 6.28)) for count in (2, 5, 9, 14))
    star = 220 * rays * np.exp(-radius / 14) + 25 * rays * np.exp(-radius / 50)
    return np.where(radius < 2.0, 2800.0, star).astype(np.float32)


def move(image: np.ndarray, shift_pixels: float, rng) -> np.ndarray:
    """Blur one slice by a motion of `shift_pixels`: a ghost next to the image."""
    import cv2

    angle = rng.uniform(0, 2 * np.pi)
    shift = shift_pixels * np.array([np.cos(angle), np.sin(angle)])
    matrix = np.float32([[1, 0, shift[0]], [0, 1, shift[1]]])
    ghost = cv2.warpAffine(
        image, matrix, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE
    )
    return np.float32(0.65) * image + np.float32(0.35) * ghost


def holder(x, y, kind: int) -> np.ndarray:
    """Density of the head holder over air: arcs behind or at the sides of the head.

    Args:
        x: (y, x), position in the scanner to the left, mm.
        y: (y, x), position in the scanner to the back, mm.
        kind: 0 a wide arc, 1 a narrow one, 2 two plates at its sides.
    """
    wide, deep, middle = ((104, 112, -4), (88, 110, -2), (101, 190, -82))[kind]
    ring = np.abs(np.hypot(x / wide, (y - middle) / deep) - 1.0) * wide - 0.9
    limit = (20, 62, -8)[kind]
    ring = np.maximum(ring, limit - y)
    if kind == 2:
        ring = np.maximum(ring, 60 - np.abs(x))
    return 1150.0 * np.clip(0.5 - ring / 0.9, 0, 1)
