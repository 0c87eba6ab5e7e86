"""Start a wider network, with more inputs and classes, from a smaller trained one.

Reference:
    Chen, Goodfellow, Shlens 2016, Net2Net (arXiv:1511.05641).
"""

import keras
import numpy as np

_SUBTYPES = 5


def transfer(
    small: keras.Model,
    large: keras.Model,
    seed: int,
    noise: float = 0.3,
    context: float = 0.0,
) -> None:
    """Give a UNet++ of whole multiples of the filters the small one's function.

    The large one answers as the small one: each filter is there `factor` times, and
    what reads them shares its kernel among them, unevenly, so that they learn
    different things. With several input slices, only the middle one is read at first,
    unless `context` gives the others a share: then the large one answers as the small
    one would for a weighted mean of the slices. A softmax over background and subtypes
    has the odds of the small one's sigmoid.

    Args:
        small: One input channel and one sigmoid output, or the inputs and outputs of
            the large one.
        large: The same graph; its weights are replaced.
        seed: Seed of the uneven shares.
        noise: How uneven, as a share of each weight.
        context: Share of the first kernel that each neighbouring slice gets; the middle
            one keeps the rest.

    Raises:
        ValueError: if the filters are no multiple.
    """
    rng = np.random.default_rng(seed)
    known = {layer.name for layer in small.layers}
    for layer in large.layers:
        if not layer.weights or layer.name not in known:
            continue
        old = small.get_layer(layer.name).get_weights()
        new = [keras.ops.convert_to_numpy(weight) for weight in layer.weights]
        if layer.name.endswith("_logits"):
            layer.set_weights(_logits(*old, *new, rng, noise))
        elif isinstance(layer, keras.layers.BatchNormalization):
            factor = _factor(layer.name, len(old[0]), len(new[0]))
            layer.set_weights([np.repeat(values, factor) for values in old])
        else:
            first = _spread(old[0], new[0].shape[2], context)
            kernel = _kernel(layer.name, first, new[0].shape, rng, noise)
            biases = [
                _outputs(bias, wide)
                for bias, wide in zip(old[1:], new[1:], strict=True)
            ]
            layer.set_weights([kernel, *biases])


def _factor(name: str, old: int, new: int) -> int:
    if new % old:
        raise ValueError(f"{name} has {new} filters, no multiple of {old}.")
    return new // old


def _outputs(bias: np.ndarray, wide: np.ndarray) -> np.ndarray:
    return np.repeat(bias, len(wide) // len(bias))


def _spread(kernel: np.ndarray, channels: int, context: float) -> np.ndarray:
    """A kernel of one input channel over several slices; others as they are."""
    if kernel.shape[2] != 1:
        return kernel
    shares = np.full(channels, context, np.float32)
    shares[channels // 2] = 1 - context * (channels - 1)
    return kernel * shares[:, np.newaxis]


def _kernel(name: str, old: np.ndarray, shape, rng, noise: float) -> np.ndarray:
    """Kernel (height, width, inputs, filters) of the wide layer."""
    if old.shape[2] == shape[2]:
        return np.repeat(old, _factor(name, old.shape[3], shape[3]), axis=3)
    return _shared(old, _factor(name, old.shape[2], shape[2]), shape, rng, noise)


def _shared(old: np.ndarray, factor: int, shape, rng, noise: float) -> np.ndarray:
    """A kernel whose equal inputs share the old weights, each filter otherwise."""
    filters = shape[3]
    wide = np.repeat(old, filters // old.shape[3], axis=3)
    shares = 1 + noise * rng.standard_normal((factor, *wide.shape)).astype(np.float32)
    shares += 1 - shares.mean(axis=0)
    parts = wide[np.newaxis] * shares / factor
    return np.moveaxis(parts, 0, 3).reshape(
        *old.shape[:2], old.shape[2] * factor, filters
    )


def _logits(kernel, bias, wide_kernel, wide_bias, rng, noise) -> list[np.ndarray]:
    """The same logits, or background, 0, and subtypes that share the old one's odds."""
    factor = _factor("logits", kernel.shape[2], wide_kernel.shape[2])
    shared = _shared(kernel, factor, kernel.shape, rng, noise)
    if len(wide_bias) == len(bias):
        return [shared, bias]
    wide = np.zeros(wide_kernel.shape, np.float32)
    wide[..., 1:] = shared
    biases = np.zeros(wide_bias.shape, np.float32)
    biases[1:] = bias - np.log(_SUBTYPES)
    return [wide, biases]
