"""Random changes of image and mask together, the same for the same seed.

`tf.data` calls an augmenter from many threads in any order, so nothing is drawn from
a shared stream: each sample brings its own seed, and each thread its own transform.
"""

import os
import threading
from collections.abc import Callable

import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations  # noqa: E402
import cv2  # noqa: E402

Augmenter = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


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
    return [_affine_hssayeni2020(), albumentations.HorizontalFlip(p=0.5)]


AUGMENTATIONS = {
    "none": list,
    "hssayeni2020": _hssayeni2020,
    "hssayeni2020_flip": _hssayeni2020_flip,
}


def augmenter(name: str) -> Augmenter:
    """Build a function that changes an image and its mask together.

    Args:
        name: A name in `AUGMENTATIONS`. "hssayeni2020" is the augmentation of [2];
            "hssayeni2020_flip" mirrors left and right in half of the samples besides.

    Returns:
        `change(image, mask, seed) -> (image, mask)` for an image (h, w, channels),
        float32, and a mask (h, w), uint8; the results have the same shapes and types
        and depend on the arguments only, whatever the thread or process. OpenCV runs
        on the calling thread alone from the first call on, because its own threads
        cost more than a crop.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.

    Reference:
        Hssayeni et al., Data 5(1):14, 2020, doi:10.3390/data5010014, and its code.
    """
    if name not in AUGMENTATIONS:
        raise ValueError(
            f"Unknown augmentation {name!r}. Known: {', '.join(AUGMENTATIONS)}."
        )
    steps = AUGMENTATIONS[name]
    if not steps():
        return lambda image, mask, seed: (image, mask)
    local = threading.local()

    def change(image, mask, seed):
        if not hasattr(local, "transform"):
            cv2.setNumThreads(0)
            local.transform = albumentations.Compose(steps())
        local.transform.set_random_seed(int(seed))
        changed = local.transform(image=image, mask=mask)
        return changed["image"], changed["mask"]

    return change
