"""The shipped classifier: a slice network, and a sequence model over its features."""

import functools
import os
import typing
from collections.abc import Callable

import numpy as np

from ich_tf import paths
from ich_tf.models import manifest, weights
from ich_tf.prediction import segment
from ich_tf.preprocessing.classification import images, records
from ich_tf.volume import Volume

if typing.TYPE_CHECKING:
    import keras

SLICES, SEQUENCE = "resnext-phantom", "resnext-lstm-phantom"
# What a network looks at, as users read it.
ALONE = "each slice on its own"


class NotClassified(ValueError):
    """There is no answer although nothing is damaged.

    Either the weights are absent, or the scan has lost values the windows need.
    """


class SliceNetwork(typing.NamedTuple):
    """A shipped slice network.

    Attributes:
        model: From (z, size, size, 3) in [0, 1] to (z, 6) probabilities.
        predict: The model as `segment.feature_predictor` wraps it.
        to_images: From a volume to the model's images.
        entry: Its entry of the manifest.
    """

    model: "keras.Model"
    predict: Callable
    to_images: Callable[[Volume], np.ndarray]
    entry: dict


def load(
    name: str = SLICES, weights_dir: str | os.PathLike | None = None
) -> SliceNetwork:
    """Load a slice network and check that it computes what it did.

    Raises:
        NotClassified: if the weights are absent.
        ValueError: if they are damaged or compute other values.
    """
    model, entry = _load(name, weights_dir)
    return wrap(model, entry, entry["preprocessing"]["images"])


def wrap(model: "keras.Model", entry: dict, shown: str = "windows") -> SliceNetwork:
    """A slice network as the functions here take it.

    Args:
        model: The network.
        entry: Its entry of the manifest, empty if it was not shipped.
        shown: Name in `records.IMAGES`: the windows it was trained on.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    if shown not in records.IMAGES:
        known = ", ".join(records.IMAGES)
        raise ValueError(f"Unknown images {shown!r}. Known: {known}.")
    from ich_tf.prediction import grad_cam

    predict = segment.feature_predictor(model, batch=grad_cam.BATCH)
    size = model.input_shape[1]
    to_images = functools.partial(records.IMAGES[shown], size=size)
    return SliceNetwork(model, predict, to_images, entry)


def _load(name: str, weights_dir: str | os.PathLike | None):
    entries, folder = weights.read_manifest(weights_dir), paths.weights(weights_dir)
    if name not in entries:
        known = ", ".join(entries) or "none"
        raise NotClassified(f"No shipped weights {name!r} in {folder}. Known: {known}.")
    path = folder / entries[name]["file"]
    if not path.exists():
        raise NotClassified(f"{path} does not exist. The manifest lists it.")
    return weights.load_for(name, manifest.SliceImages, weights_dir)


def provenance(entry: dict) -> dict:
    """The facts of a manifest entry that accompany an answer."""
    return {name: entry[name] for name in ("file", "sha256", "trained_on", "metric")}


def slice_answers(
    classifier: SliceNetwork, volume: Volume
) -> tuple[np.ndarray, np.ndarray]:
    """Features (z, n) and probabilities (z, 6) of each slice, on its own.

    Raises:
        NotClassified: if the volume was saturated within the windows.
    """
    try:
        shown = classifier.to_images(volume)
    except ValueError as error:
        if volume.hu_window is None:
            raise
        raise NotClassified(str(error)) from error
    return classifier.predict(shown)


def scan_answers(
    volume: Volume,
    weights_dir: str | os.PathLike | None = None,
    slices_name: str = SLICES,
    sequence_name: str = SEQUENCE,
) -> tuple[np.ndarray, dict]:
    """Probabilities of each slice, seen with the other slices of its scan.

    Args:
        volume: The scan.
        weights_dir: Folder of the weights.
        slices_name: Weights of the slice network.
        sequence_name: Weights of the sequence model.

    Returns:
        (z, 6), in the order of `labels.CLASSES`, and the manifest entry of the
        sequence model.

    Raises:
        NotClassified: if the volume was saturated within the windows, or the weights
            are absent.
        ValueError: if the weights are damaged or compute other values.
    """
    network = load(slices_name, weights_dir)
    sequence, entry = _load(sequence_name, weights_dir)
    features, probabilities = slice_answers(network, volume)
    scan = {
        "features": features[np.newaxis],
        "probabilities": probabilities[np.newaxis],
        "mask": np.ones((1, len(features)), bool),
    }
    return np.asarray(sequence(scan, training=False))[0], entry


def whole(
    weights_dir: str | os.PathLike | None = None,
    slices_name: str = SLICES,
    sequence_name: str = SEQUENCE,
) -> "keras.Model":
    """The shipped classifier as one network that can be saved as one file.

    Args:
        weights_dir: Folder of the weights.
        slices_name: Name of the slice network in the manifest.
        sequence_name: Name of the sequence model over its features.

    Returns:
        See `chain.chain`: Hounsfield units (scans, slices, height, width) to
        probabilities (scans, slices, 6).

    Raises:
        NotClassified: if the weights are absent.
        ValueError: if they are damaged, or do not see the three windows.
    """
    network = load(slices_name, weights_dir)
    sequence, _ = _load(sequence_name, weights_dir)
    shown = network.entry["preprocessing"]
    if shown["images"] != "windows":
        raise ValueError(f"{slices_name} sees {shown['images']!r}, not three windows.")
    # Keras takes a while to import.
    from ich_tf.models import chain

    windows = [(window.level, window.width) for window in images.WINDOWS]
    return chain.chain(network.model, sequence, shown["size"], windows)
