"""A wider network with more inputs and classes begins with a small one's answers."""

import numpy as np
import pytest

from ich_tf import models
from ich_tf.models import widen

COMMON = {"upsampling": "nearest", "batch_normalization": True}


def build(filters, channels, **arguments):
    return models.build(
        "unetplusplus",
        filters=filters,
        input_shape=(16, 16, channels),
        **COMMON,
        **arguments,
    )


def build_random(channels, rng, **arguments):
    """A small network whose every weight is random, and its variances positive."""
    small = build((2, 4), channels, **arguments)
    small.set_weights(
        [rng.normal(0, 0.8, weight.shape) for weight in small.get_weights()]
    )
    for weight in small.weights:
        if "variance" in weight.path:
            weight.assign(np.full(weight.shape, 0.5))
    return small


def test_the_wide_network_answers_as_the_small_one():
    rng = np.random.default_rng(0)
    small = build_random(1, rng)
    large = build((4, 8), 3, classes=6, activation="softmax")
    widen.transfer(small, large, seed=1)
    images = rng.random((2, 16, 16, 3), dtype=np.float32)
    old = np.asarray(small(images[..., 1:2], training=False))[..., 0]
    new = np.asarray(large(images, training=False))
    assert old.std() > 1e-3
    np.testing.assert_allclose(1 - new[..., 0], old, atol=1e-5)
    # All subtypes begin alike.
    np.testing.assert_allclose(new[..., 1], new[..., 5], atol=1e-6)


def test_a_network_of_subtypes_becomes_wider_with_the_same_answers():
    subtypes = {"classes": 6, "activation": "subtypes"}
    rng = np.random.default_rng(0)
    small = build_random(3, rng, **subtypes)
    large = build((4, 8), 3, **subtypes)
    widen.transfer(small, large, seed=1)
    images = rng.random((2, 16, 16, 3), dtype=np.float32)
    old = np.asarray(small(images, training=False))
    assert old.std(axis=(0, 1, 2)).min() > 1e-4
    new = np.asarray(large(images, training=False))
    np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-5)


def test_neighbours_get_their_share_of_the_first_kernel():
    small, large = build((2, 4), 1), build((4, 8), 3)
    widen.transfer(small, large, seed=1, context=0.2)
    old = small.get_layer("x0_0_1_conv").get_weights()[0][:, :, 0]
    new = large.get_layer("x0_0_1_conv").get_weights()[0]
    for channel, share in enumerate((0.2, 0.6, 0.2)):
        expected = share * np.repeat(old, 2, axis=-1)
        np.testing.assert_allclose(new[:, :, channel], expected, rtol=1e-6)
    # Three equal slices are answered as the small network answers the slice.
    image = np.random.default_rng(0).random((1, 16, 16, 1), dtype=np.float32)
    np.testing.assert_allclose(
        np.asarray(large(np.repeat(image, 3, axis=-1), training=False)),
        np.asarray(small(image, training=False)),
        atol=1e-6,
    )


def test_copies_of_a_filter_are_read_unevenly():
    small, large = build((2, 4), 1), build((4, 8), 1)
    widen.transfer(small, large, seed=1)
    kernel = large.get_layer("x1_0_1_conv").get_weights()[0]
    assert np.abs(kernel[:, :, 0] - kernel[:, :, 1]).max() > 1e-3


def test_filters_must_be_multiples():
    with pytest.raises(ValueError, match="multiple"):
        widen.transfer(build((2, 4), 1), build((3, 6), 1), seed=0)
