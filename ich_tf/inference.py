"""From a case and a model to a probability volume, and from there to a mask."""

import dataclasses
from collections.abc import Callable

import numpy as np

from ich_tf.preprocessing import tiles

# Every batch has this many tiles (the last one is filled up), so that the network is
# traced once for a given tile size.
TILES_PER_BATCH = 32
SLICES_AT_ONCE = 8


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A segmentation network with what it expects.

    Attributes:
        forward: (n, tile, tile, channels) float32 to (n, tile, tile, 1).
        to_channels: HU (..., h, w) to float32 (..., h, w, channels) in [0, 1].
        tile: Side of a tile in pixels.
        stride: Pixels from one tile to the next.
        batch: Tiles of a batch.
    """

    forward: Callable[[np.ndarray], np.ndarray]
    to_channels: Callable[[np.ndarray], np.ndarray]
    tile: int
    stride: int
    batch: int = TILES_PER_BATCH


def predictor(
    model, to_channels, tile: int, stride: int, batch: int = TILES_PER_BATCH
) -> Predictor:
    """Wrap a Keras model; it is traced once for the batch size."""
    if not model.compiled:
        # Keras would compile the forward pass with XLA, minutes for a few batches.
        model.compile(jit_compile=False)
    return Predictor(model.predict_on_batch, to_channels, tile, stride, batch)


def predict_volume(network: Predictor, hu: np.ndarray) -> np.ndarray:
    """Probability of hemorrhage for every voxel.

    Slices are cut into overlapping tiles, and probabilities are averaged where tiles
    overlap. A tile of one single value (air) is answered once per value, which gives
    the same numbers as answering each.

    Args:
        network: From `predictor`.
        hu: (z, h, w), Hounsfield units.

    Returns:
        (z, h, w), float32, probabilities.
    """
    grid = tiles.TileGrid(*hu.shape[1:], tile=network.tile, stride=network.stride)
    probability = np.empty(hu.shape, np.float32)
    constant_answers: dict[bytes, np.ndarray] = {}
    for first in range(0, len(hu), SLICES_AT_ONCE):
        part = slice(first, first + SLICES_AT_ONCE)
        images = network.to_channels(hu[part])
        cut, constant = grid.cut(images), grid.constant(images)
        answers = np.empty(cut.shape[:-1], np.float32)
        answers[~constant] = _forward(network, cut[~constant])
        for number in np.flatnonzero(constant):
            value = cut[number, 0, 0].tobytes()
            if value not in constant_answers:
                constant_answers[value] = _forward(network, cut[number : number + 1])[0]
            answers[number] = constant_answers[value]
        probability[part] = grid.join(answers)
    return probability


def feature_predictor(
    model, batch: int = TILES_PER_BATCH
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Wrap a classifier with layers "features" and "probabilities".

    Args:
        model: From images in [0, 1].
        batch: Images of a batch; the last one is filled up.

    Returns:
        A function from (n, size, size, 3), uint8 or in [0, 1], to (n, features) and
        (n, classes), float32.
    """
    import keras

    outputs = [model.get_layer(name).output for name in ("features", "probabilities")]
    both = keras.Model(model.input, outputs)
    both.compile(jit_compile=False)

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found: tuple[list, list] = ([], [])
        for first in range(0, len(images), batch):
            part = images[first : first + batch]
            if part.dtype == np.uint8:
                part = part.astype(np.float32) / 255
            filled = np.resize(part, (batch, *images.shape[1:]))
            for kept, output in zip(found, both.predict_on_batch(filled), strict=True):
                kept.append(np.asarray(output, np.float32)[: len(part)])
        features, probabilities = map(np.concatenate, found)
        return features, probabilities

    return predict


def _forward(network: Predictor, cut: np.ndarray) -> np.ndarray:
    answers = np.empty(cut.shape[:-1], np.float32)
    for first in range(0, len(cut), network.batch):
        images = cut[first : first + network.batch]
        filled = np.resize(images, (network.batch, *cut.shape[1:]))
        output = np.asarray(network.forward(filled), np.float32)
        answers[first : first + len(images)] = output[: len(images), ..., 0]
    return answers
