import contracts
import keras
import numpy as np
import pytest
import tensorflow as tf

from ich_tf import models
from ich_tf.models import blocks, cpu_layers, unet3d
from ich_tf.training import losses

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)

# Neither depth nor height nor width is a multiple of what the levels need.
ODD = (5, 18, 13, 1)


def build(input_shape=ODD, **changes):
    arguments = {"filters": 2, "levels": 3, "depth_halvings": 1, **changes}
    return models.build("unetplusplus_3d", input_shape=input_shape, **arguments)


@pytest.mark.parametrize(("skip", "remat"), [("concat", False), ("add", True)])
def test_contract(skip, remat, tmp_path):
    contracts.check_model(lambda: build(skip=skip, remat=remat), tmp_path)


def test_levels_halve_in_plane_first_and_the_depth_later():
    model = build((5, 100, 64, 1), levels=5, depth_halvings=2, filters=2)
    shapes = [model.get_layer(f"x{row}_0").output.shape[1:] for row in range(5)]
    assert shapes == [
        (8, 112, 64, 2),
        (8, 56, 32, 4),
        (8, 28, 16, 8),
        (4, 14, 8, 16),
        (2, 7, 4, 32),
    ]
    assert model.output.shape == (None, 5, 100, 64, 1)
    nodes = [layer for layer in model.layers if isinstance(layer, blocks.Block)]
    assert len(nodes) == 15


def convolution(channels, filters):
    """27 weights for each pair, and scale and offset of the normalization."""
    return 27 * channels * filters + 2 * filters


def expected_parameters(skip, filters=2, levels=3):
    widths = [filters * 2**row for row in range(levels)]
    count = widths[0] + 1
    for row, width in enumerate(widths):
        above = widths[row - 1] if row else 1
        count += convolution(above, width) + convolution(width, width)
    factors = unet3d.pooling(levels, 1)
    for column in range(1, levels):
        for row in range(levels - column):
            width = widths[row]
            count += np.prod(factors[row]) * widths[row + 1] * width + width
            joined = width * (column + 1) if skip == "concat" else width
            count += convolution(joined, width) + convolution(width, width)
    return count


@pytest.mark.parametrize("skip", ["concat", "add"])
def test_parameter_counts(skip):
    assert build(skip=skip).count_params() == expected_parameters(skip)


def gradients(model, images, masks):
    @tf.function
    def compute():
        with tf.GradientTape() as tape:
            loss = losses.bce_jaccard(masks, model(images, training=True))
        variables = [variable.value for variable in model.trainable_variables]
        return tape.gradient(loss, variables)

    return [gradient.numpy() for gradient in compute()]


@pytest.mark.parametrize("skip", ["concat", "add"])
def test_recomputation_changes_no_gradient(skip):
    kept, again = build(skip=skip), build(skip=skip, remat=True)
    again.set_weights(kept.get_weights())
    images = np.random.default_rng(0).random((2, *ODD), np.float32)
    masks = (images > 0.8).astype(np.float32)
    expected, recomputed = (gradients(model, images, masks) for model in (kept, again))
    assert len(expected) == len(kept.trainable_variables) > 40
    pairs = zip(kept.variables, expected, recomputed, strict=True)
    for variable, gradient, other in pairs:
        np.testing.assert_allclose(gradient, other, atol=1e-6, err_msg=variable.path)
        assert np.abs(gradient).max() > 0, variable.path


def test_recomputation_repeats_the_forward_pass_of_each_block(monkeypatch):
    # Keras' convolutions have gradients of other names.
    monkeypatch.setenv(cpu_layers.VARIABLE, "on")
    images = np.zeros((1, *ODD), np.float32)

    def convolutions(remat):
        model = build(remat=remat)

        @tf.function
        def compute():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(model(images, training=True))
            values = [variable.value for variable in model.trainable_variables]
            return tape.gradient(loss, values)

        graph = compute.get_concrete_function().graph
        return sum(node.type == "Conv3D" for node in graph.get_operations())

    # Two in each of the six blocks, with two gradients each; the head's is not
    # computed again.
    assert convolutions(False) == 3 * 2 * 6 + 1
    assert convolutions(True) == 4 * 2 * 6 + 1


def test_padding_at_the_end_leaves_sizes_that_fit_alone():
    fitting = build((4, 16, 16, 1))
    names = [layer.name for layer in fitting.layers]
    assert "padding" not in names and "x0_2_cropping" not in names
    odd = build((3, 15, 14, 1))
    odd.set_weights(fitting.get_weights())
    images = np.random.default_rng(0).random((1, 3, 15, 14, 1), np.float32)
    padded = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 2), (0, 0)))
    np.testing.assert_allclose(odd(images), fitting(padded)[:, :3, :15, :14], atol=1e-6)


def test_instance_normalization_is_that_of_each_sample_and_channel():
    layer = blocks.InstanceNormalization()
    x = np.random.default_rng(0).normal(3, 2, (2, 3, 4, 5, 6)).astype(np.float32)
    layer.build(x.shape)
    layer.gamma.assign(np.arange(1.0, 7.0))
    layer.beta.assign(np.full(6, 0.5))
    axes = (1, 2, 3)
    scaled = (x - x.mean(axes, keepdims=True)) / np.sqrt(
        x.var(axes, keepdims=True) + 1e-5
    )
    expected = scaled * np.arange(1, 7) + 0.5
    np.testing.assert_allclose(layer(x), expected, atol=1e-4)
    # One sample alone gets the same as within a batch.
    np.testing.assert_allclose(layer(x[1:]), expected[1:], atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skip": "multiply"}, "`skip` must be one of"),
        ({"input_shape": (16, 16, 1)}, r"must be \(depth, height, width, channels\)"),
        ({"levels": 1}, "`levels` must be 2 or more"),
        ({"depth_halvings": 3}, "from 0 to levels - 1"),
    ],
)
def test_wrong_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


@pytest.mark.slow
def test_a_small_network_learns_to_threshold():
    keras.utils.set_random_seed(0)
    model = build((4, 8, 8, 1), filters=4, levels=2, skip="add", remat=True)
    images = np.random.default_rng(0).random((8, 4, 8, 8, 1), dtype="float32")
    masks = (images > 0.5).astype("float32")
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy", jit_compile=False)
    history = model.fit(images, masks, epochs=15, batch_size=2, verbose=0).history
    assert history["loss"][0] > 0.3
    assert history["loss"][-1] < 0.2


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_instance_normalization_and_its_gradients_equal_keras(policy):
    random = np.random.default_rng(0)
    images = random.normal(3, 1, (2, 2, 4, 3, 5)).astype(np.float32)
    upstream = tf.constant(random.normal(size=images.shape), tf.float32)
    kinds = (
        blocks.InstanceNormalization(dtype=policy),
        keras.layers.GroupNormalization(groups=-1, epsilon=1e-5, dtype=policy),
    )
    results = []
    for layer in kinds:
        layer.build(images.shape)
        for weight, first in zip(layer.weights, (1.0, -2.0), strict=True):
            weight.assign(first + np.arange(5))
        x = tf.constant(images)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cast(layer(x), tf.float32)
            total = tf.reduce_sum(upstream * y)
        weights = [weight.value for weight in layer.weights]
        results.append([y, *tape.gradient(total, [x, *weights])])
    tolerance = 1e-4 if policy == "float32" else 1e-1
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance)
