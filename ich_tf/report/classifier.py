"""The shipped classifier: a slice network, and a sequence model over its features."""

import os
import typing
from collections.abc import Callable

import numpy as np

from ich_tf import explain, inference
from ich_tf.models import weights
from ich_tf.preprocessing import images, windows
from ich_tf.volume import Volume

if typing.TYPE_CHECKING:
    import keras

SLICES, SEQUENCE = "resnext-phantom", "resnext-lstm-phantom"


class Classifier(typing.NamedTuple):
    """A shipped slice network.

    Attributes:
        model: From (z, size, size, 3) in [0, 1] to (z, 6) probabilities.
        predict: The model as `inference.feature_predictor` wraps it.
        size: Side of its images in pixels.
        entry: Its entry of the manifest.
    """

    model: "keras.Model"
    predict: Callable
    size: int
    entry: dict


def load(
    name: str = SLICES, weights_dir: str | os.PathLike | None = None
) -> Classifier:
    """Load a slice network and check that it computes what it did.

    Raises:
        ValueError: if the weights are absent, damaged or compute other values.
    """
    model, entry = _load(name, weights_dir)
    return wrap(model, entry)


def wrap(model: "keras.Model", entry: dict) -> Classifier:
    """A slice network as the functions here take it."""
    predict = inference.feature_predictor(model, batch=explain.BATCH)
    return Classifier(model, predict, model.input_shape[1], entry)


def _load(name: str, weights_dir: str | os.PathLike | None):
    model = weights.load_shipped(name, weights_dir)
    entry = weights.read_manifest(weights_dir)[name]
    weights.check_probe(model, entry)
    return model, entry


def slice_answers(
    classifier: Classifier, volume: Volume
) -> tuple[np.ndarray, np.ndarray]:
    """Features (z, n) and probabilities (z, 6) of each slice, on its own.

    Raises:
        ValueError: if the volume was saturated within the windows.
    """
    windows.check_window(volume.hu_window, images.WINDOWS)
    return classifier.predict(images.slice_images(volume.hu, classifier.size))


def scan_answers(
    volume: Volume, weights_dir: str | os.PathLike | None = None
) -> tuple[np.ndarray, dict]:
    """Probabilities of each slice, seen with the other slices of its scan.

    Args:
        volume: The scan.
        weights_dir: Folder of the weights.

    Returns:
        (z, 6), in the order of `labels.CLASSES`, and the manifest entry of the
        sequence model.

    Raises:
        ValueError: if the volume was saturated within the windows, or the weights are
            absent.
    """
    features, probabilities = slice_answers(load(SLICES, weights_dir), volume)
    sequence, entry = _load(SEQUENCE, weights_dir)
    scan = {
        "features": features[np.newaxis],
        "probabilities": probabilities[np.newaxis],
        "mask": np.ones((1, len(features)), bool),
    }
    return np.asarray(sequence(scan, training=False))[0], entry
