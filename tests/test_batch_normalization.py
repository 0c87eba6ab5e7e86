"""Batch normalization as one operation computes what Keras' layer computes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ich_tf import models
from ich_tf.models import layers


def passed(kind, images, policy="float32", **arguments):
    """Output, gradients and running moments after one training pass."""
    layer = kind(dtype=policy, momentum=0.5, **arguments)
    layer.build(images.shape)
    for number, weight in enumerate(layer.weights):
        weight.assign(np.linspace(0.5, 1.5 + number, weight.shape[0]))
    inputs = tf.convert_to_tensor(images)
    upstream = tf.cast(
        tf.cos(tf.range(images.size, dtype="float32")), layer.compute_dtype
    )
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = layer(inputs, training=True)
        score = tf.reduce_sum(output * tf.reshape(upstream, images.shape))
    trained = [weight.value for weight in layer.trainable_weights]
    gradients = tape.gradient(score, [inputs, *trained])
    found = [output, *gradients, layer.moving_mean, layer.moving_variance]
    return layer, [np.asarray(one, np.float32) for one in found]


@pytest.mark.parametrize(
    "arguments", [{}, {"scale": False}, {"center": False}, {"epsilon": 1e-5}]
)
@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (1, 1, 1, 2), (2, 1, 1, 3)])
def test_a_training_pass_is_that_of_keras(shape, arguments):
    images = np.random.default_rng(0).normal(2, 3, shape).astype(np.float32)
    ours, found = passed(layers.BatchNormalization, images, **arguments)
    _, expected = passed(keras.layers.BatchNormalization, images, **arguments)
    assert ours._fusible(images, None)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (1, 1, 1, 2)])
def test_a_batch_of_unknown_size_is_treated_alike(shape):
    images = np.random.default_rng(0).normal(2, 3, shape).astype(np.float32)
    found = []
    for kind in (layers.BatchNormalization, keras.layers.BatchNormalization):
        layer = kind(momentum=0.5)
        layer.build(shape)
        anything = tf.TensorSpec((None, *shape[1:]), tf.float32)
        step = tf.function(lambda x, of=layer: of(x, training=True), [anything])
        found.append([step(images), layer.moving_mean, layer.moving_variance])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


def test_mixed_precision_is_that_of_keras():
    images = np.random.default_rng(0).normal(2, 3, (3, 5, 4, 6)).astype(np.float32)
    kinds = (layers.BatchNormalization, keras.layers.BatchNormalization)
    pairs = [passed(kind, images, "mixed_bfloat16")[1] for kind in kinds]
    for one, other in zip(*pairs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.02, atol=0.02)


def test_vectors_and_several_replicas_are_left_to_keras():
    vectors = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    layer, found = passed(layers.BatchNormalization, vectors)
    assert not layer._fusible(vectors, None)
    _, expected = passed(keras.layers.BatchNormalization, vectors)
    np.testing.assert_array_equal(found[0], expected[0])
    layer.synchronized = True
    assert not layer._fusible(np.zeros((1, 2, 2, 3)), None)


@pytest.mark.parametrize("backbone", ["vgg16", "resnet50", "densenet121"])
def test_all_layers_of_a_network_with_an_encoder_are_of_this_kind(backbone):
    model = models.build("unetplusplus", backbone=backbone, input_shape=(32, 32, 3))
    kinds = {
        type(layer)
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    assert kinds == {layers.BatchNormalization}
