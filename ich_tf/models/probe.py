"""What a network computes for a seeded random input: a check of shipped weights."""

import typing

import numpy as np

if typing.TYPE_CHECKING:
    import keras

TOLERANCE = 0.1
"""In log-odds: far more than rounding makes, TensorFloat-32 included, and less than
another network's answers differ by."""


def log_odds(model: "keras.Model", seed: int) -> list[float]:
    """Log-odds of the first eight outputs for seeded random inputs; masks all true.

    Not probabilities: a segmentation's are all close to 0 for noise, whatever
    its weights.
    """
    import keras

    generator = np.random.default_rng(seed)

    def random(tensor):
        # Axes of any length: sequences get 4 slices, images 64 pixels a side.
        length = 64 if len(tensor.shape) == 4 else 4
        shape = (1, *(size or length for size in tensor.shape[1:]))
        if tensor.dtype == "bool":
            return np.ones(shape, bool)
        return generator.random(shape, dtype=np.float32)

    inputs = keras.tree.map_structure(random, model.input)
    outputs = keras.tree.flatten(model(inputs, training=False))[-1]
    values = keras.ops.convert_to_numpy(outputs).ravel()[:8].astype(float)
    values = values.clip(1e-6, 1 - 1e-6)
    return [round(float(value), 4) for value in np.log(values / (1 - values))]


def check(model: "keras.Model", entry: dict) -> None:
    """Refuse a model that computes other values than when it was shipped.

    Args:
        model: A model from `load_shipped`.
        entry: Its entry of the manifest.

    Raises:
        ValueError: if the log-odds differ by more than `TOLERANCE`.
    """
    expected = entry["probe"]["log_odds"]
    computed = log_odds(model, entry["probe"]["seed"])
    if not np.allclose(computed, expected, rtol=0.0, atol=TOLERANCE):
        raise ValueError(
            f"{entry['file']} computes log-odds {computed} where {expected} was "
            "recorded when it was shipped."
        )
