"""Random changes of images with albumentations, the same for the same seed.

The changes themselves are listed in `augmentations`. An input pipeline calls an
augmenter from many threads in any order, so nothing is drawn from a shared stream: each
sample brings its own seed, and each thread has its own transforms.
"""

import functools
import os
import random
import threading
from collections.abc import Callable, Sequence

import numpy as np

from ich_tf.preprocessing import augmentations
from ich_tf.preprocessing.augmentations import Transform

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations  # noqa: E402
import cv2  # noqa: E402
from albumentations.augmentations.geometric import functional as geometric  # noqa: E402

Augmenter = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
ImageAugmenter = Callable[[np.ndarray, int], np.ndarray]

_BORDERS = {"nearest": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101}


def augmenter(augmentation: str | Sequence[Transform]) -> Augmenter:
    """Build a function that changes an image and its mask together.

    Args:
        augmentation: A name in `augmentations.AUGMENTATIONS`, or transforms.

    Returns:
        `change(image, mask, seed) -> (image, mask)` for an image (h, w, channels),
        float32, in [0, 1], and a mask (h, w), uint8; or (z, h, w, channels) and
        (z, h, w), whose slices all change alike. The results have the same shapes and
        types and depend on the arguments only, whatever the thread or process. OpenCV
        runs on the calling thread alone from the first call on, because its own
        threads cost more than a crop. It can be pickled.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    listed = augmentations.transforms(augmentation)
    return functools.partial(_change_pair, _Seeded(listed)) if listed else _keep_pair


def image_augmenter(
    augmentation: str | Sequence[Transform],
) -> ImageAugmenter | None:
    """Build a function that changes an image alone.

    Args:
        augmentation: A name in `augmentations.AUGMENTATIONS`, or transforms.

    Returns:
        `change(image, seed) -> image` for an image (h, w, channels), float32, in
        [0, 1]; see `augmenter`. None if nothing changes.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    listed = augmentations.transforms(augmentation)
    return functools.partial(_change_image, _Seeded(listed)) if listed else None


def _keep_pair(image, mask, seed):
    return image, mask


def _change_pair(transform, image, mask, seed):
    names = ("images", "masks") if image.ndim == 4 else ("image", "mask")
    changed = transform(seed, dict(zip(names, (image, mask), strict=True)))
    return tuple(changed[name] for name in names)


def _change_image(transform, image, seed):
    return transform(seed, {"image": image})["image"]


class _Seeded:
    """From a seed and named arrays to the changed arrays."""

    def __init__(self, listed: tuple[Transform, ...]):
        self.listed = listed
        self._local = threading.local()
        # NumPy's generator takes long to make, and only noise draws from it.
        self._noisy = any(isinstance(one, augmentations.Noise) for one in listed)

    def __reduce__(self):
        return _Seeded, (self.listed,)

    def __call__(self, seed: int, arrays: dict[str, np.ndarray]) -> dict:
        if not hasattr(self._local, "steps"):
            cv2.setNumThreads(0)
            self._local.steps = [_step(change) for change in self.listed]
        # All steps draw from one stream. Streams of their own with the same seed would
        # make all steps of probability 0.5 happen together or not at all.
        numbers = random.Random(seed)
        generator = np.random.default_rng(seed) if self._noisy else None
        # `albumentations.Compose` draws once before its steps; results recorded with
        # it keep their numbers.
        numbers.random()
        for step in self._local.steps:
            step.set_random_state(generator, numbers)
            arrays = step(**arrays)
        return arrays


class _Normalized:
    """A step that acts on normalized images."""

    def __init__(self, step, mean, standard_deviation):
        self.step = step
        self.mean = np.array(mean, np.float32)
        self.deviation = np.array(standard_deviation, np.float32)

    def set_random_state(self, generator, numbers):
        self.step.set_random_state(generator, numbers)

    def __call__(self, **arrays):
        names = [name for name in ("image", "images") if name in arrays]
        for name in names:
            arrays[name] = (arrays[name] - self.mean) / self.deviation
        arrays = self.step(**arrays)
        for name in names:
            arrays[name] = arrays[name] * self.deviation + self.mean
        return arrays


class _Affine(albumentations.Affine):
    """albumentations' map without the work for boxes, key points and many channels.

    It draws the same numbers in the same order and makes the same pixels in half of
    the time.
    """

    def get_params_dependent_on_data(self, params, data):
        """Draw the map."""
        height, width = params["shape"][:2]
        draw = self.py_random.uniform
        translate = {
            "x": int(draw(*self.translate_percent["x"]) * width),
            "y": int(draw(*self.translate_percent["y"]) * height),
        }
        shear = {axis: -draw(*self.shear[axis]) for axis in ("x", "y")}
        scale = {axis: draw(*self.scale[axis]) for axis in ("x", "y")}
        if self.keep_ratio:
            scale["y"] = scale["x"]
        centre = (width / 2 - 0.5, height / 2 - 0.5)
        matrix = geometric.create_affine_transformation_matrix(
            translate, shear, scale, draw(*self.rotate), centre
        )
        return {"matrix": matrix[:2]}

    def apply(self, img, matrix, **params):
        """Move an image (h, w, channels)."""
        return self._warped(img, matrix, self.interpolation)

    def apply_to_mask(self, mask, matrix, **params):
        """Move a mask (h, w)."""
        return self._warped(mask, matrix, self.mask_interpolation)

    def apply_to_images(self, images, matrix, **params):
        """Move the slices of a volume alike."""
        return np.stack([self.apply(image, matrix) for image in images])

    def apply_to_masks(self, masks, matrix, **params):
        """Move the masks of a volume alike."""
        return np.stack([self.apply_to_mask(mask, matrix) for mask in masks])

    def _warped(self, pixels, matrix, interpolation):
        moved = cv2.warpAffine(
            pixels,
            matrix,
            pixels.shape[1::-1],
            flags=interpolation,
            borderMode=self.border_mode,
        )
        # OpenCV drops an axis of one channel.
        return moved.reshape(pixels.shape)


class _BrightnessContrast(albumentations.RandomBrightnessContrast):
    """albumentations' change with the same pixels in a quarter of the time."""

    _scratch = np.empty(0)

    def apply(self, img, alpha, beta, **params):
        """X -> x * alpha + beta, clipped to [0, 1]."""
        if self._scratch.shape != img.shape:
            # Kept: to get memory for each image would take most of the time.
            self._scratch = np.empty(img.shape)
        # albumentations rounds the factor to float32, and nothing else before the end.
        np.multiply(img, np.float64(np.float32(alpha)), out=self._scratch)
        self._scratch += beta
        return np.clip(self._scratch, 0, 1, out=self._scratch).astype(np.float32)


def _step(change: Transform) -> albumentations.BasicTransform | _Normalized:
    """The transform of albumentations that makes this change."""
    chance = change.probability
    match change:
        case augmentations.Mirror():
            return albumentations.HorizontalFlip(p=chance)
        case augmentations.BrightnessContrast(brightness, contrast):
            step = _BrightnessContrast(
                brightness_limit=brightness, contrast_limit=contrast, p=chance
            )
            if change.mean:
                return _Normalized(step, change.mean, change.standard_deviation)
            return step
        case augmentations.Blur(sigma_pixels):
            return albumentations.GaussianBlur(
                blur_limit=0, sigma_limit=sigma_pixels, p=chance
            )
        case augmentations.Noise(deviation):
            return albumentations.GaussNoise(std_range=deviation, p=chance)
    return _Affine(
        rotate=change.degrees,
        translate_percent={"x": change.shift, "y": change.shift},
        shear={"x": change.shear_degrees, "y": (0.0, 0.0)},
        scale={"x": change.scale, "y": change.scale},
        keep_ratio=change.keep_ratio,
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_NEAREST,
        border_mode=_BORDERS[change.border],
        p=chance,
    )
