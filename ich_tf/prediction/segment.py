"""From a case and a model to a probability volume, and from there to a mask."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from ich_tf.preprocessing.segmentation import tiles
from ich_tf.volume import AIR_HU

# Every batch has this many tiles (the last one is filled up), so that the network is
# traced once for a given tile size.
TILES_PER_BATCH = 40
SLICES_AT_ONCE = 10


@dataclasses.dataclass(frozen=True)
class TiledNetwork:
    """A segmentation network with what it expects.

    Attributes:
        forward: (n, tile, tile, channels) float32 to (n, tile, tile, 1); where it
            gives features too, to a pair with their (n, d).
        to_channels: HU (..., h, w) to float32 (..., h, w, channels) in [0, 1].
        tile: Side of a tile in pixels.
        stride: Pixels from one tile to the next.
        batch: Tiles of a batch.
    """

    forward: Callable[[np.ndarray], np.ndarray | tuple[np.ndarray, np.ndarray]]
    to_channels: Callable[[np.ndarray], np.ndarray]
    tile: int
    stride: int
    batch: int = TILES_PER_BATCH


def predictor(
    model,
    to_channels,
    tile: int,
    stride: int,
    batch: int = TILES_PER_BATCH,
    layer: str | None = None,
) -> TiledNetwork:
    """Wrap a Keras model; it is traced once for the batch size.

    Args:
        model: A segmentation network.
        to_channels: HU (..., h, w) to float32 (..., h, w, channels) in [0, 1].
        tile: Side of a tile in pixels.
        stride: Pixels from one tile to the next.
        batch: Tiles of a batch.
        layer: Name of the layer whose output, averaged over a tile, are the features
            of `predict_with_features`.
    """
    if layer is not None:
        import keras

        pooled = keras.layers.GlobalAveragePooling2D(dtype="float32")
        features = pooled(model.get_layer(layer).output)
        model = keras.Model(model.input, (model.output, features))
    if not model.compiled:
        # Keras would compile the forward pass with XLA, minutes for a few batches.
        model.compile(jit_compile=False)
    return TiledNetwork(model.predict_on_batch, to_channels, tile, stride, batch)


def predict_volume(network: TiledNetwork, hu: np.ndarray) -> np.ndarray:
    """Probability of hemorrhage for every voxel.

    Slices are cut into overlapping tiles, and probabilities are averaged where tiles
    overlap. A tile of one single value (air) is predicted once per value, which gives
    the same numbers as answering each.

    Args:
        network: From `predictor`.
        hu: (z, h, w), Hounsfield units.

    Returns:
        (z, h, w), float32, probabilities.
    """
    return predict_with_features(network, hu)[0]


def predict_with_features(
    network: TiledNetwork, hu: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Probability of hemorrhage for every voxel, and what the network saw in a slice.

    Args:
        network: From `predictor`.
        hu: (z, h, w), Hounsfield units.

    Returns:
        What `predict_volume` returns, and (z, d), float32, the mean of the features of
        a slice's tiles as they lie; None of a network without.
    """
    grid = tiles.TileGrid(*hu.shape[1:], tile=network.tile, stride=network.stride)
    probability, features = np.empty(hu.shape, np.float32), []
    known: dict[bytes, tuple] = {}
    for first in range(0, len(hu), SLICES_AT_ONCE):
        part = slice(first, first + SLICES_AT_ONCE)
        images = network.to_channels(hu[part])
        of_tiles = _answers(network, grid.cut(images), grid.constant(images), known)
        answers, *seen = (np.stack(kind) for kind in zip(*of_tiles, strict=True))
        probability[part] = grid.join(answers)
        features += [of.reshape(-1, grid.count, of.shape[1]).mean(1) for of in seen]
    return probability, np.concatenate(features) if features else None


def whole_slices(
    model, layer: str | None, batch: int
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]:
    """Wrap a model that predicts whole images, of any size it takes.

    Args:
        model: From (n, h, w, channels) to (n, h, w, classes).
        layer: Name of the layer whose output, averaged over an image, are its
            features; None for none.
        batch: Images of a batch; the last one is filled up.

    Returns:
        A function from images (n, h, w, channels) to answers (n, h, w, classes) and
        features (n, d) or None, float32.
    """
    network = predictor(model, None, 0, 0, batch, layer)

    def answer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        kinds: list[list] = [[], []]
        for first in range(0, len(images), batch):
            part = images[first : first + batch]
            filled = np.resize(part, (batch, *images.shape[1:]))
            for kept, output in zip(kinds, _outputs(network, filled), strict=False):
                kept.append(output[: len(part)])
        answers, features = kinds
        return np.concatenate(answers), np.concatenate(features) if features else None

    return answer


def predict_in_patches(
    forward: Callable[[np.ndarray], np.ndarray],
    to_channels: Callable[[np.ndarray], np.ndarray],
    hu: np.ndarray,
    patch: tuple[int, int, int],
    overlap: float = 0.5,
) -> np.ndarray:
    """Probability of hemorrhage for every voxel, from a network of 3-D patches.

    Patches lie evenly, and overlap by at least the given share. Where they do, their
    probabilities are averaged with the weights of a Gaussian around each patch's
    centre, because a network knows least at a patch's border. Memory grows with the
    patch and two volumes of float32. An axis shorter than the patch is filled with
    air.

    Args:
        forward: (1, depth, height, width, channels) to (1, depth, height, width, 1).
        to_channels: HU to float32 (..., channels) in [0, 1].
        hu: (z, h, w), Hounsfield units.
        patch: (depth, height, width) of a patch.
        overlap: Share of a patch, from 0 to less than 1.

    Returns:
        (z, h, w), float32, probabilities.

    Raises:
        ValueError: if the overlap is out of range.

    Reference:
        Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z (sigma of an
        eighth of the patch).
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"`overlap` must be from 0 to below 1. Received: {overlap}")
    missing = [
        max(0, size - length) for size, length in zip(patch, hu.shape, strict=True)
    ]
    filled = np.pad(hu, [(0, size) for size in missing], constant_values=AIR_HU)
    weights = _gaussian(patch)
    total, weight = np.zeros((2, *filled.shape), np.float32)
    starts = [_starts(*pair, overlap) for pair in zip(filled.shape, patch, strict=True)]
    for corner in itertools.product(*starts):
        place = tuple(slice(a, a + size) for a, size in zip(corner, patch, strict=True))
        answer = np.asarray(forward(to_channels(filled[place])[np.newaxis]), np.float32)
        total[place] += weights * answer[0, ..., 0]
        weight[place] += weights
    total /= weight
    return total[tuple(slice(0, length) for length in hu.shape)]


def _starts(length: int, patch: int, overlap: float) -> list[int]:
    """First voxel of each patch along an axis, from the first to the last possible."""
    steps = math.ceil((length - patch) / max(1, int(patch * (1 - overlap))))
    return np.linspace(0, length - patch, steps + 1).round().astype(int).tolist()


def _gaussian(patch: tuple[int, int, int]) -> np.ndarray:
    """Weights of a patch's voxels, 1 in its middle; never 0, so that all can divide."""
    weights = np.ones(1)
    for size in patch:
        distance = (np.arange(size) - (size - 1) / 2) / (size / 8)
        weights = weights[..., np.newaxis] * np.exp(-(distance**2) / 2)
    return np.maximum(weights[0], 1e-4).astype(np.float32)


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
        parts: tuple[list, list] = ([], [])
        for first in range(0, len(images), batch):
            part = images[first : first + batch]
            if part.dtype == np.uint8:
                part = part.astype(np.float32) / 255
            filled = np.resize(part, (batch, *images.shape[1:]))
            for kept, output in zip(parts, both.predict_on_batch(filled), strict=True):
                kept.append(np.asarray(output, np.float32)[: len(part)])
        features, probabilities = map(np.concatenate, parts)
        return features, probabilities

    return predict


def _answers(network, cut, constant, known: dict[bytes, tuple]) -> list[tuple]:
    """What the network gives for each tile; `known` has the tiles of a single value."""
    answers = np.empty(len(cut), object)
    for number, answer in zip(
        np.flatnonzero(~constant), _forward(network, cut[~constant]), strict=True
    ):
        answers[number] = answer
    for number in np.flatnonzero(constant):
        value = cut[number, 0, 0].tobytes()
        if value not in known:
            (known[value],) = _forward(network, cut[number : number + 1])
        answers[number] = known[value]
    return answers.tolist()


def _forward(
    network: TiledNetwork, cut: np.ndarray
) -> Iterator[tuple[np.ndarray, ...]]:
    """For each tile its (tile, tile) and, from some networks, its features."""
    for first in range(0, len(cut), network.batch):
        images = cut[first : first + network.batch]
        filled = np.resize(images, (network.batch, *cut.shape[1:]))
        output, *features = _outputs(network, filled)
        kinds = (output[..., 0], *features)
        yield from itertools.islice(zip(*kinds, strict=True), len(images))


def _outputs(network: TiledNetwork, images: np.ndarray) -> list[np.ndarray]:
    outputs = network.forward(images)
    several = isinstance(outputs, (tuple, list))
    return [
        np.asarray(output, np.float32) for output in (outputs if several else [outputs])
    ]
