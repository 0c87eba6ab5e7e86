"""What every network promises, whatever its name; one call checks it."""

import keras
import numpy as np


def check_model(build, folder, classes=None):
    """Check output, names, both kinds of file and mixed precision.

    Args:
        build: Function without arguments that returns a new model.
        folder: Empty folder for the model's files.
        classes: Of a classifier; None for a network that puts out one mask.
    """
    model, mixed = build(), build_in_mixed_precision(build)
    names = [layer.name for layer in model.layers]
    assert names == [layer.name for layer in mixed.layers]
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in model.layers)

    images = np.random.default_rng(0).random(
        (2, *model.input_shape[1:]), dtype="float32"
    )
    model.compile(run_eagerly=True)
    outputs = model.predict(images, verbose=0)
    assert outputs.shape == ((2, classes) if classes else (*images.shape[:-1], 1))
    assert outputs.dtype == np.float32
    assert outputs.min() >= 0.0 and outputs.max() <= 1.0 and outputs.std() > 0.0

    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras", compile=False)
    np.testing.assert_allclose(loaded(images), outputs, atol=1e-5)

    model.save_weights(folder / "model.weights.h5")
    mixed.load_weights(folder / "model.weights.h5")
    assert_same_weights(model, mixed)
    check_mixed_precision(mixed)


def build_in_mixed_precision(build):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(policy)


def check_mixed_precision(model):
    """Probabilities stay float32, while the convolutions compute in bfloat16."""
    assert model.output.dtype == "float32"
    convolutions = [
        layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)
    ]
    assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}
    assert {weight.dtype for weight in model.weights} == {"float32"}


def assert_same_weights(first, second):
    for one, other in zip(first.weights, second.weights, strict=True):
        assert one.path == other.path
        np.testing.assert_array_equal(one, other, err_msg=one.path)
