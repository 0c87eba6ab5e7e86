import contracts
import keras
import numpy as np
import pytest

from ich_tf import models
from ich_tf.models import backbones, sm_keras3, unet

# TensorFlow variables lack an argument that NumPy 2 wants of `__array__`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)

PLAIN = {"input_shape": (32, 32, 1), "filters": (4, 8, 16, 32, 64)}


SLOW = ("vgg16", "densenet121", "densenet169", "inceptionresnetv2")


# These have layers of the kinds that resnet50 has, and inceptionresnetv2 scaled sums,
# which have a test of their own; their graphs are tested below.
@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
        for name in backbones.BACKBONES
    ],
)
def test_contract_backbone(backbone, tmp_path):
    def build():
        return models.build("unetplusplus", backbone=backbone, input_shape=(32, 32, 3))

    contracts.check_model(build, tmp_path)


@pytest.mark.parametrize("name", ["unetplusplus", "unet_hssayeni"])
def test_contract_plain(name, tmp_path):
    contracts.check_model(lambda: models.build(name, **PLAIN), tmp_path)


def test_contract_small_with_batch_normalization(tmp_path):
    def build():
        return models.build(
            "unetplusplus", batch_normalization=True, upsampling="nearest", **PLAIN
        )

    contracts.check_model(build, tmp_path)


@pytest.mark.parametrize(
    ("name", "arguments", "parameters"),
    [
        ("unetplusplus", {"backbone": "densenet121"}, 14_487_009),
        ("unetplusplus", {"backbone": "densenet169"}, 20_497_889),
        ("unetplusplus", {"input_shape": (96, 96, 1)}, 9_041_601),
        ("unet_hssayeni", {"input_shape": (128, 128, 1)}, 31_031_685),
    ],
)
def test_parameter_counts(name, arguments, parameters):
    assert models.build(name, **arguments).count_params() == parameters


def nodes(model):
    """The (row, column) of the decoder's nodes."""
    last = [layer.name for layer in model.layers if layer.name.endswith("_2_relu")]
    places = [name.split("_")[:2] for name in last if name[0] == "x" and "_" in name]
    return sorted(
        (int(row[1:]), int(column)) for row, column in places if column != "0"
    )


def inputs_of(model, name):
    """Names of the layers whose outputs a layer joins."""
    layer = model.get_layer(name)
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation.name for tensor in tensors]


def test_official_graph_of_densenet():
    model = models.build(
        "unetplusplus", backbone="densenet121", input_shape=(32, 64, 3)
    )
    expected = [(0, 5)] + [(i, j) for i in range(1, 5) for j in range(1, 6 - i)]
    assert nodes(model) == expected
    assert len(expected) == 11
    widths = [model.get_layer(f"x{row}_1_2_conv").filters for row in range(1, 5)]
    assert widths == [64, 128, 256, 16]
    assert model.get_layer("x0_5_2_conv").filters == 32
    assert inputs_of(model, "x0_5_1_conv") == ["x0_5_up"]
    assert inputs_of(model, "x0_5_up") == ["x1_4_2_relu"]
    assert inputs_of(model, "x4_1_up") == ["relu"]
    assert inputs_of(model, "x4_1_concat") == ["x4_1_up", "pool4_conv"]
    assert inputs_of(model, "x1_1_up") == ["pool2_conv"]
    assert inputs_of(model, "x1_3_concat") == [
        "x1_3_up",
        "conv1_relu",
        "x1_1_2_relu",
        "x1_2_2_relu",
    ]
    assert inputs_of(model, "x0_5_logits") == ["x0_5_2_relu"]
    assert model.get_layer("x0_5_logits").kernel_size == (3, 3)


def test_official_graph_of_resnet_upsamples_the_second_taps():
    model = models.build("unetplusplus", backbone="resnet50", input_shape=(32, 32, 3))
    assert len(nodes(model)) == 11
    sources = [inputs_of(model, f"x{row}_1_up")[0] for row in range(1, 5)]
    assert sources == [
        "stage1_unit2_relu1",
        "stage2_unit2_relu1",
        "stage3_unit2_relu1",
        "relu1",
    ]
    skips = [inputs_of(model, f"x{row}_1_concat")[1] for row in range(1, 5)]
    assert skips == [
        "relu0",
        "stage2_unit1_relu1",
        "stage3_unit1_relu1",
        "stage4_unit1_relu1",
    ]
    assert model.get_layer("bn_data").input is model.input


@pytest.mark.parametrize(
    ("arguments", "layer", "initializer"),
    [
        ({"backbone": "vgg16"}, "x4_1_1_conv", keras.initializers.GlorotUniform),
        ({"filters": (2, 2)}, "x0_1_1_conv", keras.initializers.HeNormal),
    ],
)
def test_initializers_are_the_published_ones(arguments, layer, initializer):
    """[5]'s code leaves a decoder over a backbone at Keras' default."""
    model = models.build("unetplusplus", **arguments, input_shape=(32, 32, 3))
    assert isinstance(model.get_layer(layer).kernel_initializer, initializer)


def test_official_graph_of_vgg_has_all_nodes():
    model = models.build("unetplusplus", backbone="vgg16", input_shape=(32, 32, 3))
    assert len(nodes(model)) == 15
    sources = [inputs_of(model, f"x{row}_1_up")[0] for row in range(5)]
    assert sources == [f"block{level}_pool" for level in (1, 2, 3, 4, 5)]
    assert inputs_of(model, "x0_1_concat") == ["x0_1_up", "block1_conv2"]


def test_a_scaled_sum_is_saved_with_its_scale(tmp_path):
    first, second = (keras.Input((2,)) for _ in range(2))
    total = sm_keras3.ScaledSum(0.25)([first, second])
    keras.Model([first, second], total).save(tmp_path / "sum.keras")
    again = keras.models.load_model(tmp_path / "sum.keras")
    arrays = [np.array([[1.0, 2.0]]), np.array([[4.0, -8.0]])]
    np.testing.assert_array_equal(again.predict(arrays, verbose=0), [[2.0, 0.0]])


def test_taps_of_inception():
    images = keras.Input((64, 64, 3))
    skips, below = backbones.pyramid("inceptionresnetv2", images)
    names = {
        scale: feature._keras_history.operation.name for scale, feature in skips.items()
    }
    assert names == {
        "P4": "block17_20_ac",
        "P3": "block35_10_ac",
        "P2": "activation_5",
        "P1": "activation_3",
        "P5": "conv_7b_ac",
    }
    assert {scale: feature.shape[1] for scale, feature in skips.items()} == {
        "P1": 32,
        "P2": 16,
        "P3": 8,
        "P4": 4,
        "P5": 2,
    }
    assert below is skips


def test_paper_graph_has_all_nodes():
    model = models.build(
        "unetplusplus",
        backbone="resnet50",
        graph="paper",
        upsampling="transpose",
        input_shape=(32, 32, 3),
    )
    assert len(nodes(model)) == 15
    assert inputs_of(model, "x0_1_concat") == ["x0_1_up_relu", "x0_0_2_relu"]
    assert inputs_of(model, "x1_1_up") == ["stage2_unit1_relu1"]
    assert model.output.shape == (None, 32, 32, 1)
    widths = [model.get_layer(f"x{row}_1_up").filters for row in range(5)]
    assert widths == [16, 32, 64, 128, 256]


def test_dropout_of_hssayeni_is_on_the_last_two_levels():
    model = models.build("unet_hssayeni", input_shape=(32, 32, 1))
    dropouts = [
        layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)
    ]
    assert dropouts == ["x3_0_dropout", "x4_0_dropout"]
    last = model.get_layer("x0_1_3_conv")
    assert (last.filters, last.kernel_size) == (2, (3, 3))
    assert inputs_of(model, "x0_1_logits") == ["x0_1_3_relu"]


def test_input_scaling_equals_the_package():
    images = np.random.default_rng(1).random((1, 32, 32, 3)).astype("float32")
    factory = sm_keras3.package().backbones.backbones_factory.Backbones
    for name in ("densenet121", "inceptionresnetv2", "resnet50"):
        scale, offset = sm_keras3.imagenet_scaling(name)
        expected = factory.get_preprocessing(name)(
            images * 255.0, backend=keras.backend
        )
        scaled = keras.layers.Rescaling(scale, offset)(images)
        np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-5)
    scale, offset = sm_keras3.imagenet_scaling("vgg16")
    assert scale == [255.0, 255.0, 255.0]
    np.testing.assert_allclose(offset, [-103.939, -116.779, -123.68])


def test_input_scaling_is_off_for_random_weights_and_can_be_asked_for():
    build = {"backbone": "vgg16", "input_shape": (32, 32, 3)}
    plain = models.build("unetplusplus", **build)
    scaled = models.build("unetplusplus", input_scaling="imagenet", **build)
    assert "input_scaling" not in [layer.name for layer in plain.layers]
    assert inputs_of(scaled, "block1_conv1") == ["input_scaling"]
    assert plain.count_params() == scaled.count_params()


def test_check_input_shape_says_what_to_pad_to():
    with pytest.raises(ValueError, match=r"multiples of 32.*Pad to \(128, 160, 3\)"):
        unet.check_input_shape((100, 130, 3), 32)
    with pytest.raises(ValueError, match=r"height, width, channels"):
        unet.check_input_shape((128, 128), 32)
    unet.check_input_shape((64, 96, 1), 32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "alexnet"}, "Known: densenet121, densenet169"),
        ({"graph": "full"}, "`graph` must be one of"),
        ({"upsampling": "cubic"}, "`upsampling` must be one of"),
        ({"init": "imagenet"}, "without a backbone"),
        (
            {"backbone": "vgg16", "init": "imagenet", "input_shape": (32, 32, 1)},
            "three input channels. Received: 1",
        ),
        ({"backbone": "vgg16", "init": "absent.h5"}, "absent.h5"),
        ({"backbone": "vgg16", "input_scaling": "255"}, "`input_scaling` must be"),
        ({"input_shape": (40, 40, 1)}, "multiples of 16"),
        ({"backbone": "vgg16", "filters": (8, 16)}, "needs five `filters`"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.build("unetplusplus", **arguments)


def test_unknown_model():
    with pytest.raises(ValueError, match="Known: unetplusplus, unet_hssayeni"):
        models.build("resunet")


@pytest.mark.slow
def test_a_small_network_learns_to_threshold():
    keras.utils.set_random_seed(0)
    model = models.build(
        "unetplusplus",
        input_shape=(16, 16, 1),
        filters=(8, 16),
        batch_normalization=True,
    )
    images = np.random.default_rng(0).random((32, 16, 16, 1), dtype="float32")
    masks = (images > 0.5).astype("float32")
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy", jit_compile=False)
    losses = model.fit(images, masks, epochs=20, batch_size=16, verbose=0).history
    assert losses["loss"][0] > 0.4
    assert losses["loss"][-1] < 0.2
