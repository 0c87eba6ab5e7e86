"""Random changes of images in TensorFlow's own operations, for pipelines of a TPU.

The changes themselves are listed in `augmentations`. Their order and ranges are those
of `augment`; the random numbers differ.
"""

import functools
import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from ich_tf.preprocessing import augmentations
from ich_tf.preprocessing.augmentations import Range, Transform

Augmenter = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
ImageAugmenter = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

_GEOMETRIC = (augmentations.Mirror, augmentations.Affine)
_DRAWS = 7
"""Most random numbers that a transform needs, the first one decides whether at all."""


def augmenter(augmentation: str | Sequence[Transform]) -> Augmenter:
    """Build a function that changes an image and its mask together.

    Args:
        augmentation: A name in `augmentations.AUGMENTATIONS`, or transforms.

    Returns:
        `change(image, mask, seed) -> (image, mask)` for an image (h, w, channels),
        float32, in [0, 1], a mask (h, w, 1) of any type, and a seed (2,), int64.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    listed = augmentations.transforms(augmentation)
    if not listed:
        return lambda image, mask, seed: (image, mask)

    def change(image, mask, seed):
        draws, matrix = _draws(listed, seed, image)
        moved = _warped(image, listed, matrix, "BILINEAR")
        truth = _warped(mask, listed, matrix, "NEAREST")
        return _recoloured(moved, listed, draws, seed), truth

    return change


def image_augmenter(
    augmentation: str | Sequence[Transform],
) -> ImageAugmenter | None:
    """Build a function that changes an image alone.

    Args:
        augmentation: A name in `augmentations.AUGMENTATIONS`, or transforms.

    Returns:
        `change(image, seed) -> image`, see `augmenter`; None if nothing changes.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    listed = augmentations.transforms(augmentation)
    if not listed:
        return None

    def change(image, seed):
        draws, matrix = _draws(listed, seed, image)
        moved = _warped(image, listed, matrix, "BILINEAR")
        return _recoloured(moved, listed, draws, seed)

    return change


def _draws(listed, seed, image) -> tuple[list[list[tf.Tensor]], tf.Tensor]:
    """Numbers in [0, 1) for each transform, and what they do to coordinates.

    Returns:
        The numbers of each transform, and the matrix (3, 3) from a pixel (x, y, 1) of
        the result to one of the image.
    """
    # One algorithm, for "auto" depends on the device.
    numbers = tf.random.stateless_uniform((len(listed), _DRAWS), seed, alg="philox")
    draws = [tf.unstack(row) for row in tf.unstack(numbers)]
    height, width = image.shape[:2]
    matrix = tf.eye(3)
    for change, drawn in zip(listed, draws, strict=True):
        if isinstance(change, _GEOMETRIC):
            step = _to_source(change, drawn[1:], height, width)
            step = tf.where(drawn[0] < change.probability, step, tf.eye(3))
            matrix = matrix @ step
    return draws, matrix


def _within(limits: Range, draw: tf.Tensor) -> tf.Tensor:
    low, high = limits
    return low + (high - low) * draw


def _to_source(change, draws, height: int, width: int) -> tf.Tensor:
    """The matrix (3, 3) from a changed pixel (x, y, 1) to the one it comes from."""
    if isinstance(change, augmentations.Mirror):
        return tf.constant([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])
    turn, lean, right, down, wide, high = draws
    angle = _within(change.degrees, turn) * math.pi / 180
    shear = tf.tan(_within(change.shear_degrees, lean) * math.pi / 180)
    right = _truncated(_within(change.shift, right) * width)
    down = _truncated(_within(change.shift, down) * height)
    across = _within(change.scale, wide)
    along = across if change.keep_ratio else _within(change.scale, high)
    sine, cosine = tf.sin(angle), tf.cos(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    steps = (
        [[1, 0, x], [0, 1, y], [0, 0, 1]],
        [[1 / across, 0, 0], [0, 1 / along, 0], [0, 0, 1]],
        [[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]],
        [[1, shear, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, -x - right], [0, 1, -y - down], [0, 0, 1]],
    )
    matrices = [tf.convert_to_tensor(step, tf.float32) for step in steps]
    return functools.reduce(tf.matmul, matrices)


def _truncated(number: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(number, tf.int32), tf.float32)


def _warped(image, listed, matrix, interpolation: str) -> tf.Tensor:
    """Look up each pixel of (h, w, channels) where `matrix` says it comes from."""
    moves = [change for change in listed if isinstance(change, _GEOMETRIC)]
    if not moves:
        return image
    height, width, channels = image.shape
    if any(getattr(change, "border", "") == "reflect" for change in moves):
        # The operation's own "REFLECT" repeats the outermost pixel. Half a side is
        # enough for 45 degrees, a scale of 0.9 and a shift of 1/16.
        margins = (height // 2, width // 2)
        image = tf.pad(image, [(m, m) for m in margins] + [(0, 0)], "REFLECT")
        offset = [[1.0, 0, margins[1]], [0, 1, margins[0]], [0, 0, 1]]
        matrix = tf.constant(offset) @ matrix
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=tf.reshape(matrix, (1, 9))[:, :8],
        output_shape=(height, width),
        fill_value=0.0,
        interpolation=interpolation,
        fill_mode="NEAREST",
    )[0]
    return tf.ensure_shape(warped, (height, width, channels))


def _recoloured(image, listed, draws, seed) -> tf.Tensor:
    """Brightness and contrast, blur and noise."""
    for number, (change, drawn) in enumerate(zip(listed, draws, strict=True)):
        match change:
            case augmentations.BrightnessContrast(brightness, contrast):
                mean, deviation = change.mean or 0.0, change.standard_deviation or 1.0
                factor = 1 + _within(contrast, drawn[1])
                changed = (image - mean) / deviation * factor
                changed += _within(brightness, drawn[2])
                changed = tf.clip_by_value(changed, 0.0, 1.0) * deviation + mean
            case augmentations.Blur(sigma_pixels):
                changed = _blurred(image, _within(sigma_pixels, drawn[1]), change)
            case augmentations.Noise(deviation):
                # Another stream than the numbers above.
                stream = tf.stack([seed[0] + number + 1, seed[1]])
                normal = tf.random.stateless_normal(image.shape, stream, alg="philox")
                changed = image + _within(deviation, drawn[1]) * normal
                changed = tf.clip_by_value(changed, 0.0, 1.0)
            case _:
                continue
        image = tf.where(drawn[0] < change.probability, changed, image)
    return image


def _blurred(image, sigma_pixels, change: augmentations.Blur) -> tf.Tensor:
    """Convolve (h, w, channels) with a Gaussian, reflected at the border."""
    widest = int(3.5 * change.sigma_pixels[1])
    places = tf.range(-widest, widest + 1, dtype=tf.float32)
    kernel = tf.exp(-0.5 * (places / sigma_pixels) ** 2)
    kernel = tf.where(tf.abs(places) <= tf.floor(3.5 * sigma_pixels), kernel, 0.0)
    kernel /= tf.reduce_sum(kernel)
    margins = [(widest, widest), (widest, widest), (0, 0)]
    padded = tf.pad(image, margins, "REFLECT")
    # One plane for each channel: all take the same kernel.
    planes = tf.transpose(padded, (2, 0, 1))[..., tf.newaxis]
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        planes = tf.nn.conv2d(planes, tf.reshape(kernel, shape), 1, "VALID")
    return tf.ensure_shape(tf.transpose(planes[..., 0], (1, 2, 0)), image.shape)
