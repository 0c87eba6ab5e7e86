"""The augmentations of `augment` in TensorFlow's own operations.

For input pipelines without Python, as a TPU wants them. They draw the same changes
from the same ranges, but not the same numbers, and their pixels differ by rounding.
"""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

Augmenter = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
ImageAugmenter = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Changes:
    """Ranges of the random changes.

    Attributes:
        mirror: Chance to mirror left and right.
        move: Chance to rotate, shift and scale.
        degrees: Largest rotation to either side.
        shift: Largest shift, as a share of the side.
        scale: Smallest and largest enlargement.
        keep_ratio: Whether both sides are enlarged alike.
        border: What is beyond the border: "NEAREST" or "REFLECT".
        light: Chance to change brightness and contrast.
        brightness: Smallest and largest that is added.
        contrast: Smallest and largest change of the factor.
    """

    mirror: float = 0.0
    move: float = 1.0
    degrees: float = 0.0
    shift: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    keep_ratio: bool = False
    border: str = "NEAREST"
    light: float = 0.0
    brightness: tuple[float, float] = (-0.2, 0.2)
    contrast: tuple[float, float] = (-0.2, 0.2)


# Deviation: the shear of [2], a fifth of a pixel, is left out; REFLECT repeats the
# outermost pixel, which `augment`'s does not.
_HSSAYENI2020 = Changes(degrees=20, shift=0.1, scale=(1 / 1.2, 1 / 0.8))
_BURDUJA2020 = Changes(
    mirror=0.5,
    move=0.5,
    degrees=45,
    shift=0.0625,
    scale=(0.9, 1.1),
    keep_ratio=True,
    border="REFLECT",
    light=0.5,
)
AUGMENTATIONS = {
    "none": None,
    # Deviation: without blur and noise.
    "any_scanner": dataclasses.replace(
        _HSSAYENI2020,
        mirror=0.5,
        light=0.6,
        brightness=(-0.12, 0.08),
        contrast=(-0.2, 0.45),
    ),
    "flip": Changes(mirror=0.5, move=0.0),
    "hssayeni2020": _HSSAYENI2020,
    "hssayeni2020_flip": dataclasses.replace(_HSSAYENI2020, mirror=0.5),
    "burduja2020": _BURDUJA2020,
    "burduja2020_mild": dataclasses.replace(_BURDUJA2020, degrees=10, light=0.0),
}


def augmenter(name: str) -> Augmenter:
    """As `augment.augmenter`, of tensors.

    Args:
        name: A name in `AUGMENTATIONS`, which are those of `augment`.

    Returns:
        `change(image, mask, seed) -> (image, mask)` for an image (h, w, channels),
        float32, in [0, 1], a mask (h, w, 1) of any type, and a seed (2,), int64.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    changes = _changes(name)
    if changes is None:
        return lambda image, mask, seed: (image, mask)

    def change(image, mask, seed):
        draws = _draws(seed)
        moved = _moved(image, changes, draws, "BILINEAR")
        return _lit(moved, changes, draws), _moved(mask, changes, draws, "NEAREST")

    return change


def image_augmenter(name: str) -> ImageAugmenter | None:
    """As `augment.image_augmenter`, of tensors.

    Args:
        name: A name in `AUGMENTATIONS`, which are those of `augment`.

    Returns:
        `change(image, seed) -> image`, see `augmenter`; None for "none".

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    changes = _changes(name)
    if changes is None:
        return None

    def change(image, seed):
        draws = _draws(seed)
        return _lit(_moved(image, changes, draws, "BILINEAR"), changes, draws)

    return change


def _changes(name: str) -> Changes | None:
    if name not in AUGMENTATIONS:
        known = ", ".join(AUGMENTATIONS)
        raise ValueError(f"Unknown augmentation {name!r}. Known: {known}.")
    return AUGMENTATIONS[name]


def _draws(seed: tf.Tensor) -> list[tf.Tensor]:
    """Ten numbers in [0, 1), the same for the same seed."""
    # One algorithm, for "auto" depends on the device.
    return tf.unstack(tf.random.stateless_uniform((10,), seed, alg="philox"))


def _moved(
    image: tf.Tensor, changes: Changes, draws: list[tf.Tensor], interpolation: str
) -> tf.Tensor:
    """Mirror, rotate, shift and scale (h, w, channels) about its centre."""
    mirror, move, turn, right, down, wide, high, *_ = draws
    height, width, channels = image.shape
    smallest, largest = changes.scale
    across = smallest + (largest - smallest) * wide
    along = smallest + (largest - smallest) * (wide if changes.keep_ratio else high)
    angle = (2 * turn - 1) * math.radians(changes.degrees)
    right = (2 * right - 1) * changes.shift * width
    down = (2 * down - 1) * changes.shift * height
    moves = move < changes.move
    # From a pixel of the result to one of the image: rows (a, b, c) and (d, e, f).
    a, b = tf.cos(angle) / across, tf.sin(angle) / across
    d, e = -tf.sin(angle) / along, tf.cos(angle) / along
    a, b, d, e = (
        tf.where(moves, value, still)
        for value, still in ((a, 1.0), (b, 0.0), (d, 0.0), (e, 1.0))
    )
    right, down = (tf.where(moves, value, 0.0) for value in (right, down))
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    x, y = middle_x + right, middle_y + down
    c, f = middle_x - a * x - b * y, middle_y - d * x - e * y
    # The image is mirrored first: its column x is then width - 1 - x.
    mirrors = mirror < changes.mirror
    a, b, c = (
        tf.where(mirrors, other, value)
        for value, other in ((a, -a), (b, -b), (c, width - 1 - c))
    )
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=tf.stack([a, b, c, d, e, f, 0.0, 0.0])[tf.newaxis],
        output_shape=(height, width),
        fill_value=0.0,
        interpolation=interpolation,
        fill_mode=changes.border,
    )[0]
    return tf.ensure_shape(moved, (height, width, channels))


def _lit(image: tf.Tensor, changes: Changes, draws: list[tf.Tensor]) -> tf.Tensor:
    if not changes.light:
        return image
    chance, brightness, contrast = draws[-3:]
    contrast, brightness = (
        low + (high - low) * share
        for (low, high), share in (
            (changes.contrast, contrast),
            (changes.brightness, brightness),
        )
    )
    changed = image * (1 + contrast) + brightness
    changed = tf.clip_by_value(changed, 0.0, 1.0)
    return tf.where(chance < changes.light, changed, image)
