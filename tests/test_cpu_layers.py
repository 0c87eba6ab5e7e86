"""The layers for a processor compute what Keras' layers compute, on or off."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ich_tf import models
from ich_tf.models import cpu_layers, layers

KERAS_GRADIENTS = {
    "Conv2DBackpropFilter",
    "Conv2DBackpropInput",
    "Conv3DBackpropFilterV2",
    "Conv3DBackpropInputV2",
}


def passed(kind, images, batch=None, policy="float32", **arguments):
    """Output and all gradients, and the operations; traced with this size of batch."""
    layer = kind(**arguments, dtype=policy)
    layer.build(images.shape)
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(np.abs(rng.normal(size=weight.shape)) + 0.1)

    @tf.function(
        input_signature=[tf.TensorSpec((batch, *images.shape[1:]), tf.float32)],
        autograph=False,
    )
    def step(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = tf.cast(layer(inputs, training=True), tf.float32)
            each = tf.cast(tf.range(tf.size(output)), tf.float32)
            score = tf.reduce_sum(output * tf.cos(tf.reshape(each, tf.shape(output))))
        weights = [weight.value for weight in layer.trainable_weights]
        return output, *tape.gradient(score, [inputs, *weights])

    arrays = [np.asarray(tensor) for tensor in step(images)]
    running = [np.asarray(weight) for weight in layer.non_trainable_weights]
    graph = step.get_concrete_function().graph
    return [*arrays, *running], {operation.type for operation in graph.get_operations()}


def both(kind, shape, batch, **arguments):
    """What our layer and Keras' give, and the operations of ours."""
    images = np.random.default_rng(0).normal(2, 3, shape).astype(np.float32)
    ours, operations = passed(getattr(cpu_layers, kind), images, batch, **arguments)
    expected, _ = passed(getattr(keras.layers, kind), images, batch, **arguments)
    return ours, expected, operations


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
def test_convolutions_and_their_gradients_equal_keras(shape, arguments, batch):
    kind = f"Conv{len(shape) - 2}D"
    ours, expected, operations = both(kind, shape, batch, filters=7, **arguments)
    assert not operations & KERAS_GRADIENTS
    for array, other in zip(ours, expected, strict=True):
        assert np.abs(other).max() > 0.1
        np.testing.assert_allclose(array, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize(
    ("shape", "factors"),
    [((3, 4, 5, 6), 2), ((3, 4, 5, 6), (3, 1)), ((3, 2, 4, 5, 6), (2, 1, 3))],
)
def test_upsampling_and_its_gradients_equal_keras(shape, factors, batch):
    kind = f"Conv{len(shape) - 2}DTranspose"
    arguments = {"kernel_size": factors, "strides": factors, "activation": "tanh"}
    ours, expected, operations = both(kind, shape, batch, filters=7, **arguments)
    assert not operations & KERAS_GRADIENTS
    for array, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("Conv2D", {"kernel_size": 3}),
        ("Conv2D", {"kernel_size": 2, "padding": "same"}),
        ("Conv2D", {"kernel_size": 3, "padding": "same", "strides": 2}),
        ("Conv2D", {"kernel_size": 3, "padding": "same", "dilation_rate": 2}),
        ("Conv2D", {"kernel_size": 3, "padding": "same", "policy": "mixed_bfloat16"}),
        ("Conv2DTranspose", {"kernel_size": 3, "strides": 2}),
        ("Conv2DTranspose", {"kernel_size": 2, "strides": 2, "output_padding": 1}),
    ],
)
def test_keras_computes_everything_else(kind, arguments):
    ours, expected, operations = both(kind, (2, 6, 6, 4), None, filters=3, **arguments)
    assert operations & KERAS_GRADIENTS
    for array, other in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(array, other)


def test_keras_computes_large_images_and_all_on_accelerators(monkeypatch):
    arguments = {"filters": 1, "kernel_size": 3, "padding": "same"}
    # 2^17 pixels have gradients of our own, one row more has not.
    for height, by_keras in ((256, False), (257, True)):
        images = np.zeros((1, height, 512, 1), np.float32)
        _, operations = passed(cpu_layers.Conv2D, images, **arguments)
        assert bool(operations & KERAS_GRADIENTS) is by_keras
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: [f"{kind}:0"])
    images = np.zeros((1, 8, 8, 1), np.float32)
    assert passed(cpu_layers.Conv2D, images, **arguments)[1] & KERAS_GRADIENTS


@pytest.mark.parametrize("batch", [None, "whole"])
@pytest.mark.parametrize(
    "arguments", [{}, {"scale": False}, {"center": False}, {"epsilon": 1e-5}]
)
@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (1, 1, 1, 2)])
def test_batch_normalization_is_that_of_keras(shape, arguments, batch):
    batch = shape[0] if batch else None
    ours, expected, operations = both(
        "BatchNormalization", shape, batch, momentum=0.5, **arguments
    )
    assert "FusedBatchNormV3" in operations
    for array, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=2e-4, atol=2e-4)


def test_batch_normalization_in_mixed_precision_is_that_of_keras():
    ours, expected, _ = both(
        "BatchNormalization", (3, 5, 4, 6), 3, policy="mixed_bfloat16"
    )
    for array, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("changes", [{}, {"synchronized": True}])
def test_keras_normalizes_vectors_and_over_several_replicas(changes):
    shape = (8, 2, 2, 3) if changes else (8, 3)
    ours, expected, operations = both("BatchNormalization", shape, 8, **changes)
    assert "FusedBatchNormV3" not in operations
    for array, other in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(array, other)


NETWORKS = [
    (
        "unetplusplus",
        {"input_shape": (16, 16, 1), "filters": (4, 8), "batch_normalization": True},
    ),
    (
        "resnext",
        {"cardinality": 2, "width": 2, "filters": 4, "input_shape": (32,) * 2 + (3,)},
    ),
    (
        "unetplusplus_3d",
        {"input_shape": (4, 8, 8, 1), "filters": 2, "levels": 2, "depth_halvings": 1},
    ),
]


def gradients(model, images):
    # In training a small batch would amplify rounding: the layer is tested above.
    with tf.GradientTape() as tape:
        output = model(images, training=False)
        score = tf.reduce_mean(output**2)
    return output, tape.gradient(score, [v.value for v in model.trainable_variables])


@pytest.mark.parametrize(("name", "arguments"), NETWORKS)
def test_the_switch_changes_layers_and_no_number(name, arguments, monkeypatch):
    networks = {}
    for switch in ("on", "off"):
        monkeypatch.setenv(cpu_layers.VARIABLE, switch)
        networks[switch] = models.build(name, **arguments)
    on, off = networks.values()
    modules = [
        {type(layer).__module__ for layer in model.layers} for model in (on, off)
    ]
    assert cpu_layers.__name__ in modules[0] or name == "unetplusplus_3d"
    assert cpu_layers.__name__ not in modules[1]
    off.set_weights(on.get_weights())
    images = np.random.default_rng(0).random((2, *arguments["input_shape"]), np.float32)
    monkeypatch.setenv(cpu_layers.VARIABLE, "on")
    output, of_on = gradients(on, images)
    monkeypatch.setenv(cpu_layers.VARIABLE, "off")
    expected, of_off = gradients(off, images)
    np.testing.assert_allclose(output, expected, atol=1e-4)
    for gradient, other in zip(of_on, of_off, strict=True):
        difference = np.linalg.norm(gradient - other)
        assert difference <= 0.01 * np.linalg.norm(other) + 1e-5


def test_the_variable_overrules_what_was_chosen(monkeypatch):
    monkeypatch.delenv(cpu_layers.VARIABLE, raising=False)
    try:
        for chosen in (False, True):
            cpu_layers.use(chosen)
            assert cpu_layers.enabled() is chosen
            for said in ("on", "off"):
                monkeypatch.setenv(cpu_layers.VARIABLE, said)
                assert cpu_layers.enabled() is (said == "on")
            monkeypatch.delenv(cpu_layers.VARIABLE)
        monkeypatch.setenv(cpu_layers.VARIABLE, "maybe")
        with pytest.raises(ValueError, match="'on' or 'off'"):
            cpu_layers.layer("Conv2D")
    finally:
        cpu_layers.use(True)


@pytest.mark.parametrize("backbone", ["vgg16", "densenet121"])
def test_all_layers_of_an_encoder_follow_the_switch(backbone, monkeypatch):
    monkeypatch.setenv(cpu_layers.VARIABLE, "on")
    model = models.build("unetplusplus", backbone=backbone, input_shape=(32, 32, 3))
    theirs = (keras.layers.Conv2D, keras.layers.BatchNormalization)
    kinds = {type(layer) for layer in model.layers if isinstance(layer, theirs)}
    assert kinds <= {cpu_layers.Conv2D, cpu_layers.BatchNormalization}


def test_grouped_convolutions_never_leave_groups_to_xla(monkeypatch):
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 6)).astype(np.float32)
    arguments = {"filters": 4, "kernel_size": 3, "padding": "same", "groups": 2}
    results = []
    for switch in ("on", "off"):
        monkeypatch.setenv(cpu_layers.VARIABLE, switch)
        arrays, operations = passed(layers.GroupedConv2D, images, 2, **arguments)
        assert "XlaConvV2" not in operations and "Conv2D" in operations
        assert bool(operations & KERAS_GRADIENTS) is (switch == "off")
        results.append(arrays)
    for array, other in zip(*results, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-4, atol=1e-4)
