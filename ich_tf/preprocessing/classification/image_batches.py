"""Augmented batches of the classifier's slices, without TensorFlow."""

import dataclasses
import zlib
from collections.abc import Callable

import numpy as np

from ich_tf import arrays

Augment = Callable[[np.ndarray, int], np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class AugmentedImages:
    """Makes a batch of stored slices, in any thread or process.

    Attributes:
        augment: Changes an image, given a seed (`augment.image_augmenter`).
        seed: Seed of the run.
    """

    augment: Augment
    seed: int

    def __call__(self, item: tuple, out: tuple[np.ndarray, np.ndarray]) -> None:
        """Write images and labels.

        Args:
            item: For each slice of the batch, its place in the stream of training, its
                image as it is stored (uint8, compressed by zlib), and its labels.
            out: Images (batch, size, size, 3) in [0, 1] and labels (batch, 6), float32.
        """
        places, stored, labels = item
        images, truth = out
        arrays.put(truth, labels)
        for image, place, compressed in zip(images, places, stored, strict=True):
            pixels = np.frombuffer(zlib.decompress(compressed), np.uint8)
            np.divide(pixels.reshape(image.shape), np.float32(255), out=image)
            generator = np.random.default_rng([self.seed, 1, int(place)])
            arrays.put(image, self.augment(image, int(generator.integers(2**31))))
