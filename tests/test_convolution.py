"""Convolutions with gradients of their own compute what Keras' layers compute."""

from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from ich_tf import models
from ich_tf.models import layers


@pytest.fixture
def processor(monkeypatch):
    """As without a GPU, which leaves all to Keras."""
    monkeypatch.setattr(layers, "no_accelerator", lambda: True)


def own(name, monkeypatch):
    """A mock of a function of `layers` that calls it."""
    found = mock.Mock(wraps=getattr(layers, name))
    monkeypatch.setattr(layers, name, found)
    return found


def passed(kind, images, batch=None, policy="float32", **arguments):
    """The layer, its output and all gradients; traced with this size of batch."""
    layer = kind(**arguments, dtype=policy)
    layer.build(images.shape)
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))

    @tf.function(
        input_signature=[tf.TensorSpec((batch, *images.shape[1:]), tf.float32)],
        autograph=False,
    )
    def step(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = tf.cast(layer(inputs), tf.float32)
            each = tf.cast(tf.range(tf.size(output)), tf.float32)
            score = tf.reduce_sum(output * tf.cos(tf.reshape(each, tf.shape(output))))
        weights = [weight.value for weight in layer.trainable_weights]
        return output, *tape.gradient(score, [inputs, *weights])

    return layer, [np.asarray(one) for one in step(images)]


def assert_as_keras(kind, shape, batch, **arguments):
    """Hold a layer, by its name, against Keras' own."""
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    _, found = passed(getattr(layers, kind), images, batch, **arguments)
    _, expected = passed(getattr(keras.layers, kind), images, batch, **arguments)
    for one, other in zip(found, expected, strict=True):
        assert np.abs(other).max() > 0.1
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((3, 6, 5, 4), {"kernel_size": 3, "padding": "same"}),
        ((3, 1, 2, 4), {"kernel_size": (3, 5), "padding": "same", "use_bias": False}),
        ((3, 6, 5, 4), {"kernel_size": 1}),
        ((3, 6, 5, 4), {"kernel_size": 1, "strides": (2, 2)}),
        ((3, 6, 5, 4), {"kernel_size": 1, "strides": 2, "padding": "same"}),
        ((3, 4, 6, 5, 2), {"kernel_size": 3, "padding": "same"}),
        ((3, 4, 8, 5, 2), {"kernel_size": (3, 5, 1), "padding": "same"}),
        ((3, 4, 6, 5, 2), {"kernel_size": 1}),
    ],
)
def test_output_and_gradients_are_those_of_keras(
    shape, arguments, batch, processor, monkeypatch
):
    convolve = own("_convolve", monkeypatch)
    assert_as_keras(f"Conv{len(shape) - 2}D", shape, batch, filters=7, **arguments)
    convolve.assert_called()


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize(
    ("shape", "factors"),
    [((3, 4, 5, 6), 2), ((3, 4, 5, 6), (3, 1)), ((3, 2, 4, 5, 6), (2, 1, 3))],
)
def test_upsampling_and_its_gradients_are_those_of_keras(
    shape, factors, batch, processor, monkeypatch
):
    upsample = own("_upsample", monkeypatch)
    kind = f"Conv{len(shape) - 2}DTranspose"
    arguments = {"kernel_size": factors, "strides": factors, "activation": "tanh"}
    assert_as_keras(kind, shape, batch, filters=7, **arguments)
    upsample.assert_called()


@pytest.mark.parametrize(
    "more", [{"kernel_size": 3}, {"kernel_size": 2, "output_padding": 1}]
)
def test_all_other_upsampling_is_left_to_keras(more, processor, monkeypatch):
    monkeypatch.setattr(layers, "_upsample", None)
    images = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype(np.float32)
    arguments = {"filters": 3, "strides": 2, **more}
    _, found = passed(layers.Conv2DTranspose, images, **arguments)
    _, expected = passed(keras.layers.Conv2DTranspose, images, **arguments)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3},
        {"kernel_size": 2, "padding": "same"},
        {"kernel_size": 3, "padding": "same", "strides": 2},
        {"kernel_size": 3, "padding": "same", "dilation_rate": 2},
        {"kernel_size": 3, "padding": "same", "policy": "mixed_bfloat16"},
    ],
)
def test_all_else_is_left_to_keras(arguments, processor, monkeypatch):
    monkeypatch.setattr(layers, "_convolve", None)
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype(np.float32)
    _, found = passed(layers.Conv2D, images, filters=3, **arguments)
    _, expected = passed(keras.layers.Conv2D, images, filters=3, **arguments)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_large_images_and_accelerators_are_left_to_keras(monkeypatch):
    layer = layers.Conv2D(1, 3, padding="same")
    kernel = tf.zeros((3, 3, 1, 1))
    assert layers._fits(tf.zeros((1, 256, 512, 1)), kernel)
    assert not layers._fits(tf.zeros((1, 257, 512, 1)), kernel)
    devices = {"cpu": ["cpu:0"]}
    monkeypatch.setattr(
        keras.distribution, "list_devices", lambda kind: devices.get(kind, [])
    )
    assert layers._quick(layer)
    devices["gpu"] = ["gpu:0"]
    assert not layers._quick(layer)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("unetplusplus", {"backbone": "vgg16", "input_shape": (32, 32, 3)}),
        ("unetplusplus", {"backbone": "densenet121", "input_shape": (32, 32, 3)}),
        ("resnext", {"input_shape": (32, 32, 3)}),
    ],
)
def test_all_convolutions_of_a_network_are_of_this_kind(name, arguments):
    model = models.build(name, **arguments)
    kinds = {
        type(layer)
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Conv2D)
    }
    assert kinds - {layers.GroupedConv2D} == {layers.Conv2D}
