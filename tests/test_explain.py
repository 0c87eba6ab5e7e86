import keras
import numpy as np
import pytest

from ich_tf import models
from ich_tf.prediction import grad_cam


def network(*feature_layers, size=8, policy="float32"):
    """A classifier of six classes over the given layers, with seeded weights."""
    keras.utils.set_random_seed(0)
    kept = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        images = keras.Input((size, size, 3), name="images")
        x = images
        for layer in feature_layers:
            x = getattr(keras.layers, layer[0])(**layer[1])(x)
        x = keras.layers.ReLU(name="stage4_out")(x)
        x = keras.layers.GlobalAveragePooling2D(name="features")(x)
        x = keras.layers.Dense(6, name="logits")(x)
        outputs = keras.layers.Activation(
            "sigmoid", dtype="float32", name="probabilities"
        )(x)
    finally:
        keras.config.set_dtype_policy(kept)
    return keras.Model(images, outputs, name="tiny")


def channel_network(weights, bias=0.0):
    """Feature maps are the channels of the image; class k weighs them by weights[k]."""
    model = network(("Conv2D", {"filters": 3, "kernel_size": 1, "use_bias": False}))
    kernel = np.zeros((3, 6))
    for k, values in weights.items():
        kernel[:, k] = values
    model.set_weights([np.eye(3)[None, None], kernel, np.full(6, bias)])
    return model


def images_with(*dots, size=8):
    """One image for each list of (y, x, channel, value)."""
    images = np.zeros((len(dots), size, size, 3), np.float32)
    for image, points in zip(images, dots, strict=True):
        for y, x, channel, value in points:
            image[y, x, channel] = value
    return images


def test_maps_are_weighted_by_what_they_do_for_the_class():
    """With one pixel a cell the heatmap is the ReLU of the weighted channels."""
    model = channel_network({1: (2, 1, -4), 5: (0, 0, 1)})
    images = images_with([(1, 2, 0, 0.5), (3, 4, 1, 0.5), (6, 6, 2, 1.0)])
    (heat,) = grad_cam.heatmap(model, images, 1)
    assert heat.dtype == np.float32
    assert heat[1, 2] == 1.0
    assert heat[3, 4] == pytest.approx(0.5)
    assert np.count_nonzero(heat) == 2
    (other,) = grad_cam.heatmap(model, images, 5)
    assert np.argwhere(other).tolist() == [[6, 6]]


def test_the_maps_need_no_library():
    model = channel_network({1: (2, 1, -4)})
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    plain, library = (
        make(model, 1, "stage4_out")(images)
        for make in (grad_cam.plain_maps, grad_cam.library_maps)
    )
    # The logit is the weighted mean of 64 cells, so each cell's gradient is w / 64.
    expected = np.maximum(images @ np.array([2, 1, -4]) / 64, 0)
    assert plain.max() > 0
    np.testing.assert_allclose(plain, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(plain, library, rtol=1e-5, atol=1e-7)


def test_a_sure_network_is_explained_too():
    """The sigmoid's gradient at a logit of 200 is 0; the logit's is not."""
    model = channel_network({0: (1, 0, 0)}, bias=200.0)
    images = images_with([(5, 1, 0, 1.0)])
    assert model(images)[0, 0] == 1.0
    (heat,) = grad_cam.heatmap(model, images, 0)
    assert np.argwhere(heat).tolist() == [[5, 1]]


def test_where_nothing_speaks_for_the_class_the_slice_is_empty():
    model = channel_network({0: (-1, 0, 1)})
    images = images_with([(1, 1, 0, 1.0)], [(2, 2, 2, 0.1)])
    heat = grad_cam.heatmap(model, images, 0)
    assert not heat[0].any()
    assert heat[1, 2, 2] == 1.0


STRIDED = (
    ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}),
    ("BatchNormalization", {}),
    ("MaxPooling2D", {"pool_size": 2}),
    ("Conv2D", {"filters": 5, "kernel_size": 3, "padding": "same"}),
)


def test_batches_do_not_matter():
    model = network(*STRIDED, size=32)
    images = np.random.default_rng(1).random((5, 32, 32, 3), dtype=np.float32)
    before = model(images)
    heats = [grad_cam.heatmap(model, images, 2, batch=batch) for batch in (1, 2, 8)]
    assert heats[0].shape == (5, 32, 32)
    assert heats[0].min() == 0.0 and heats[0].max() == 1.0
    np.testing.assert_allclose(heats[0], heats[1], atol=1e-5)
    np.testing.assert_allclose(heats[0], heats[2], atol=1e-5)
    np.testing.assert_array_equal(model(images), before)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_gives_the_same_picture(policy):
    model, mixed = network(*STRIDED, size=32), network(*STRIDED, size=32, policy=policy)
    images = np.random.default_rng(1).random((3, 32, 32, 3), dtype=np.float32)
    heat = grad_cam.heatmap(mixed, images, 2)
    assert heat.dtype == np.float32
    np.testing.assert_allclose(heat, grad_cam.heatmap(model, images, 2), atol=0.04)


PADDED = ("ZeroPadding2D", {"padding": 1})
POOL = ("MaxPooling2D", {"pool_size": 3, "strides": 2})


def convolution(**arguments):
    return "Conv2D", {"filters": 2, "kernel_size": 3, **arguments}


@pytest.mark.parametrize(
    ("layers", "first", "step"),
    [
        ((convolution(),), 1, 1),
        ((convolution(padding="same"),), 0, 1),
        ((convolution(padding="same", dilation_rate=3),), 0, 1),
        ((convolution(kernel_size=2, strides=2),), 0.5, 2),
        # "same" at an even size pads the end only, explicit padding both sides.
        ((convolution(strides=2, padding="same"),), 1, 2),
        ((PADDED, convolution(strides=2)), 0, 2),
        ((PADDED, convolution(strides=2), PADDED, POOL), 0, 4),
        ((convolution(strides=2, padding="same"),) * 3, 7, 8),
        ((("ZeroPadding2D", {"padding": ((2, 0), (2, 0))}), convolution()), -1, 1),
    ],
)
def test_cells_lie_where_their_receptive_fields_are(layers, first, step):
    model = network(*layers, size=32)
    centres = grad_cam.cell_centres(model, "stage4_out")
    np.testing.assert_array_equal(centres, [[first] * 2, [step] * 2])


def test_a_dot_is_found_where_it_is():
    """All convolutions add up what they see: the heatmap peaks on the dot."""
    step = ("Conv2D", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"})
    model = network(step, step, size=64)
    model.set_weights([np.ones_like(weight) for weight in model.get_weights()])
    (first, _), (pixels, _) = grad_cam.cell_centres(model, "stage4_out")
    for cell in (3, 8, 12):
        place = int(first + cell * pixels)
        images = images_with([(place, place + 4, 0, 1.0)], size=64)
        (heat,) = grad_cam.heatmap(model, images, 0)
        assert np.unravel_index(heat.argmax(), heat.shape) == (place, place + 4)


def test_resnext_looks_at_every_32nd_pixel():
    keras.utils.set_random_seed(0)
    model = models.build(
        "resnext", cardinality=2, width=2, filters=4, input_shape=(64, 64, 3)
    )
    centres = grad_cam.cell_centres(model, "stage4_out")
    np.testing.assert_array_equal(centres, [[0, 0], [32, 32]])
    images = np.random.default_rng(0).random((2, 64, 64, 3), dtype=np.float32)
    kernel = model.get_layer("logits").kernel
    kernel.assign(keras.ops.abs(kernel))
    heat = grad_cam.heatmap(model, images, 3)
    assert heat.shape == (2, 64, 64)
    assert np.all(heat.max(axis=(1, 2)) == 1.0)
    # Cells look at pixels 0 and 32; beyond the last one nothing changes.
    assert np.ptp(heat[:, 32:, 32:], axis=(1, 2)).tolist() == [0.0, 0.0]
    assert np.ptp(heat[0, :33, 0]) > 0.0


def test_an_unknown_layer_is_named():
    model = network(*STRIDED, size=32)
    with pytest.raises(ValueError, match="tiny has no layer 'stage9'"):
        grad_cam.heatmap(model, np.zeros((1, 32, 32, 3), np.float32), 0, "stage9")


@pytest.mark.parametrize(
    ("layers", "kind"),
    [(STRIDED, "features .GlobalAverage"), ([("UpSampling2D", {})], "UpSampling2D")],
)
def test_a_layer_without_a_known_place_is_named(layers, kind):
    model = network(*layers, size=32)
    with pytest.raises(ValueError, match=f"{kind}.*is not known"):
        grad_cam.cell_centres(model, "features")
