"""Random changes of images, with their mask or alone, the same for the same seed.

`tf.data` calls an augmenter from many threads in any order, so nothing is drawn from
a shared stream: each sample brings its own seed, and each thread its own transform.
"""

import os
import random
import threading
from collections.abc import Callable

import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations  # noqa: E402
import cv2  # noqa: E402

Augmenter = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
ImageAugmenter = Callable[[np.ndarray, int], np.ndarray]


def _affine_hssayeni2020() -> albumentations.Affine:
    """The random affine map of [2], every sample.

    [2] gives Keras' ImageDataGenerator rotation 20, shift 0.1, shear 0.1, zoom 0.2
    and nearest fill. Its shear is an angle in degrees, so 0.1 is next to nothing (a
    fifth of a pixel over 128); its zoom factor maps output to input, so 0.8 to 1.2
    is an enlargement by 1/1.2 to 1/0.8.
    """
    # Deviation: shifts are whole pixels, the enlargement (not its inverse) is uniform
    # and the mask is sampled by nearest neighbour, not bilinearly with a threshold
    # of 0.5, as albumentations does it.
    return albumentations.Affine(
        rotate=(-20, 20),
        translate_percent={"x": (-0.1, 0.1), "y": (-0.1, 0.1)},
        shear={"x": (-0.1, 0.1), "y": (0.0, 0.0)},
        scale={"x": (1 / 1.2, 1 / 0.8), "y": (1 / 1.2, 1 / 0.8)},
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_NEAREST,
        border_mode=cv2.BORDER_REPLICATE,
        p=1.0,
    )


def _hssayeni2020() -> list:
    return [_affine_hssayeni2020()]


def _hssayeni2020_flip() -> list:
    return [_affine_hssayeni2020(), *_flip()]


def _flip() -> list:
    return [albumentations.HorizontalFlip(p=0.5)]


def _burduja2020() -> list:
    """The random changes of [1], each in half of all slices, at its time's defaults.

    Mirror left and right; shift by up to 1/16, scale by up to a tenth and rotate by up
    to 45 degrees, reflected at the border; brightness and contrast by up to a fifth.
    Today's library no longer has the second under its name, and fills with black.
    """
    brightness = albumentations.RandomBrightnessContrast(
        brightness_limit=(-0.2, 0.2), contrast_limit=(-0.2, 0.2), p=0.5
    )
    return [*_mirror_and_move(degrees=45), brightness]


def _burduja2020_mild() -> list:
    """As in [1], but rotated by 10 degrees at most and with the brightness as it is.

    For short trainings: blood is told by its brightness.
    """
    return _mirror_and_move(degrees=10)


def _mirror_and_move(degrees: float) -> list:
    return [
        *_flip(),
        albumentations.Affine(
            translate_percent={"x": (-0.0625, 0.0625), "y": (-0.0625, 0.0625)},
            scale=(0.9, 1.1),
            keep_ratio=True,
            rotate=(-degrees, degrees),
            interpolation=cv2.INTER_LINEAR,
            border_mode=cv2.BORDER_REFLECT_101,
            p=0.5,
        ),
    ]


def _any_scanner() -> list:
    """As `_hssayeni2020_flip`, seen through another window, with other noise and blur.

    A window of -10 to 70 HU instead of -20 to 100 is a contrast of 1.5 and a brightness
    of -1/8.
    """
    return [
        *_hssayeni2020_flip(),
        albumentations.RandomBrightnessContrast(
            brightness_limit=(-0.12, 0.08), contrast_limit=(-0.2, 0.45), p=0.6
        ),
        albumentations.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 1.0), p=0.3),
        albumentations.GaussNoise(std_range=(0.005, 0.03), p=0.3),
    ]


AUGMENTATIONS = {
    "none": list,
    "any_scanner": _any_scanner,
    "flip": _flip,
    "hssayeni2020": _hssayeni2020,
    "hssayeni2020_flip": _hssayeni2020_flip,
    "burduja2020": _burduja2020,
    "burduja2020_mild": _burduja2020_mild,
}


def augmenter(name: str) -> Augmenter:
    """Build a function that changes an image and its mask together.

    Args:
        name: A name in `AUGMENTATIONS`. "hssayeni2020" is the augmentation of [2];
            "hssayeni2020_flip" mirrors left and right in half of the samples besides.

    Returns:
        `change(image, mask, seed) -> (image, mask)` for an image (h, w, channels),
        float32, and a mask (h, w), uint8, or (z, h, w, channels) and (z, h, w), whose
        slices all change alike; the results have the same shapes and types and depend
        on the arguments only, whatever the thread or process. OpenCV runs on the
        calling thread alone from the first call on, because its own threads cost more
        than a crop.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.

    Reference:
        Hssayeni et al., Data 5(1):14, 2020, doi:10.3390/data5010014, and its code.
    """
    transform = _seeded(name)
    if transform is None:
        return lambda image, mask, seed: (image, mask)

    def change(image, mask, seed):
        names = ("volume", "mask3d") if image.ndim == 4 else ("image", "mask")
        changed = transform(seed, **dict(zip(names, (image, mask), strict=True)))
        return tuple(changed[name] for name in names)

    return change


def image_augmenter(name: str) -> ImageAugmenter | None:
    """Build a function that changes an image alone.

    Args:
        name: A name in `AUGMENTATIONS`. "burduja2020" is the augmentation of [1].

    Returns:
        `change(image, seed) -> image` for an image (h, w, channels), float32, in
        [0, 1]; see `augmenter`. None for "none".

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.

    Reference:
        Burduja, Ionescu, Verga, Sensors 20(19):5611, 2020, doi:10.3390/s20195611.
    """
    transform = _seeded(name)
    if transform is None:
        return None
    return lambda image, seed: transform(seed, image=image)["image"]


def _seed_one_stream(transform: albumentations.Compose, seed: int) -> None:
    """Let the steps draw from one stream.

    `set_random_seed` starts a stream for each step with the same seed, and then
    either all steps of probability 0.5 happen to an image or none.
    """
    transform.set_random_state(np.random.default_rng(seed), random.Random(seed))


def _seeded(name: str) -> Callable[..., dict] | None:
    """The transform of a name, which takes a seed; None if it changes nothing."""
    if name not in AUGMENTATIONS:
        raise ValueError(
            f"Unknown augmentation {name!r}. Known: {', '.join(AUGMENTATIONS)}."
        )
    steps = AUGMENTATIONS[name]
    if not steps():
        return None
    local = threading.local()

    def transform(seed, **targets):
        if not hasattr(local, "transform"):
            cv2.setNumThreads(0)
            local.transform = albumentations.Compose(steps())
        _seed_one_stream(local.transform, int(seed))
        return local.transform(**targets)

    return transform
