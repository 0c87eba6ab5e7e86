import hashlib
import importlib.util
import pathlib
import pickle
import sys

import contracts
import keras
import numpy as np
import pytest
import record_resnext

from ich_tf import models
from ich_tf.models import (
    convert,
    layers,
    published_weights,
    resnext,
    torch_names,
    weights,
)

# TensorFlow variables lack an argument that NumPy 2 wants of `__array__`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)

FIXTURE = pathlib.Path(__file__).parent / "fixtures" / "resnext.npz"
TINY = {"cardinality": 2, "width": 2, "filters": 4, "input_shape": (32, 32, 3)}


def tiny(**arguments):
    return models.build("resnext", **{**TINY, **arguments})


def values(model):
    return [weight.numpy() for weight in model.weights]


def state_of(model, seed=0):
    """A state dict that fits a model, with the 1000 classes of ImageNet."""
    shapes = {"fc.weight": (1000, 128), "fc.bias": (1000,)}
    for weight in model.weights:
        shape = tuple(weight.shape)
        shape = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape
        shapes[torch_names.of(weight.path)] = shape
    return record_resnext.draw_state(shapes, seed)


@pytest.fixture(scope="module")
def recorded():
    """What torchvision computed, and the state dict it computed with."""
    with np.load(FIXTURE) as file:
        recorded = dict(file)
    shapes = {
        str(name): tuple(map(int, str(shape).split("x")))
        for name, shape in zip(recorded["names"], recorded["shapes"], strict=True)
    }
    return {**recorded, "state": record_resnext.draw_state(shapes, seed=0)}


def assert_parity(network, state, features, logits):
    model = models.build(
        "resnext", **network, input_shape=record_resnext.IMAGE_SHAPE, classes=6
    )
    convert.assign(model, state, head=True)
    taps = [model.get_layer(name) for name in (resnext.FEATURES, resnext.LOGITS)]
    inner = keras.Model(model.input, [tap.output for tap in taps])
    images = record_resnext.draw_images(2, seed=1)
    outputs = [np.asarray(output) for output in inner(images, training=False)]
    np.testing.assert_allclose(outputs[0], features, rtol=0, atol=1e-4)
    np.testing.assert_allclose(outputs[1], logits, rtol=0, atol=1e-4)
    np.testing.assert_allclose(
        model(images, training=False), 1 / (1 + np.exp(-logits)), rtol=0, atol=1e-4
    )


def test_features_and_logits_equal_torchvision(recorded):
    assert recorded["features"].shape == (2, 2048)
    assert recorded["features"].std() > 0.5
    assert np.abs(recorded["logits"][0] - recorded["logits"][1]).min() > 1e-3
    assert_parity(
        record_resnext.SMALL,
        recorded["state"],
        recorded["features"],
        recorded["logits"],
    )


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None,
    reason="computes the full network with torchvision too, which is not installed",
)
def test_full_network_equals_torchvision():
    images = record_resnext.draw_images(2, seed=1)
    shapes, features, logits = record_resnext.torchvision_outputs(
        **record_resnext.FULL, images=images
    )
    state = record_resnext.draw_state(shapes, seed=0)
    assert_parity(record_resnext.FULL, state, features, logits)


def test_parameters_of_the_full_network():
    model = models.build("resnext101_32x8d", classes=None)
    trainable = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert trainable == 86_742_336
    assert model.name == "resnext101_32x8d"
    assert model.output.shape == (None, 2048)
    assert model.get_layer(resnext.FEATURE_MAP).output.shape == (None, 8, 8, 2048)
    assert resnext.feature_map(model) == resnext.FEATURE_MAP
    blocks = [layer for layer in model.layers if layer.name.endswith("_conv2")]
    assert len(blocks) == 33
    assert {layer.groups for layer in blocks} == {32}
    # 8 channels a group come in; 256 go out.
    assert model.get_layer("stage1_block1_conv2").kernel.shape == (3, 3, 8, 256)
    assert model.get_layer("stage4_block3_conv2").kernel.shape == (3, 3, 64, 2048)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {
            "depths": (1, 2, 1, 3),
            "classes": 2,
            "mean": (0.2,),
            "input_shape": (64, 32, 1),
        },
    ],
)
def test_contract(arguments, tmp_path):
    if "mean" in arguments:
        arguments["standard_deviation"] = (0.3,)
    contracts.check_model(
        lambda: tiny(**arguments), tmp_path, classes=arguments.get("classes", 6)
    )


def test_layers_of_a_small_network():
    model = tiny(depths=(1, 2, 1, 1))
    names = [layer.name for layer in model.layers]
    assert names[:5] == ["images", "stem_conv_pad", "stem_conv", "stem_bn", "stem_relu"]
    assert names[-4:] == ["stage4_out", "features", "logits", "probabilities"]
    assert [name for name in names if name.endswith("_out")] == [
        "stage1_out",
        "stage2_block1_out",
        "stage2_out",
        "stage3_out",
        "stage4_out",
    ]
    shapes = [
        model.get_layer(f"stage{stage}_out").output.shape for stage in range(1, 5)
    ]
    assert shapes == [
        (None, 8, 8, 16),
        (None, 4, 4, 32),
        (None, 2, 2, 64),
        (None, 1, 1, 128),
    ]
    shortcuts = [name for name in names if name.endswith("shortcut_conv")]
    assert shortcuts == [f"stage{stage}_block1_shortcut_conv" for stage in range(1, 5)]


@pytest.mark.parametrize("devices", [[], ["gpu:0"]])
def test_groups_see_only_their_own_channels(devices, monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: devices)
    convolve = layers.GroupedConv2D(4, 1, groups=2, use_bias=False)
    images = np.array([1, 2, 10, 20], "float32").reshape(1, 1, 1, 4)
    convolve.build(images.shape)
    assert convolve.kernel.shape == (1, 1, 2, 4)
    convolve.kernel.assign(np.array([1, 1, 1, 0, 1, -1, 1, 3]).reshape(1, 1, 2, 4))
    # 1 + 2, 1 - 2; 10 + 20, 3 * 20.
    np.testing.assert_array_equal(np.ravel(convolve(images)), [3, -1, 30, 60])


def test_images_are_normalized_first():
    plain = tiny()
    normalized = tiny(mean=(0.1, 0.2, 0.3), standard_deviation=(0.5, 0.25, 2.0))
    normalized.set_weights(plain.get_weights())
    images = np.random.default_rng(0).random((2, 32, 32, 3), dtype="float32")
    expected = plain((images - [0.1, 0.2, 0.3]) / [0.5, 0.25, 2.0])
    np.testing.assert_allclose(normalized(images), expected, atol=1e-5)
    assert np.abs(normalized(images) - plain(images)).max() > 1e-3


@pytest.mark.slow
def test_a_small_network_learns_which_side_is_bright():
    keras.utils.set_random_seed(0)
    model = tiny(classes=1)
    images = np.random.default_rng(0).random((32, 32, 32, 3), dtype="float32")
    labels = np.arange(32)[:, None] % 2
    images[::2, :, :16] += 0.5
    images[1::2, :, 16:] += 0.5
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy", jit_compile=False)
    losses = model.fit(images, labels, epochs=15, batch_size=16, verbose=0).history
    assert losses["loss"][-1] < 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (1, 1, 1)}, r"`depths` must be 4 positive integers.*\(1, 1, 1\)"),
        ({"depths": (1, 1, 0, 1)}, "`depths` must be 4 positive integers"),
        ({"width": 0}, r"width, filters` must be 3 positive.*\(2, 0, 4\)"),
        ({"input_shape": (32, 32)}, "`input_shape` must be 3 positive"),
        ({"mean": (0.1, 0.1, 0.1)}, "come together.*standard_deviation=None"),
        ({"standard_deviation": (1.0, 1.0, 1.0)}, "come together.*mean=None"),
        ({"mean": (0.1,), "standard_deviation": (1.0,)}, "each of 3 channels"),
        ({"mean": (0, 0, 0), "standard_deviation": (1, 0, 1)}, "positive"),
        ({"init": "imagenet21k"}, "'random', 'imagenet', 'imagenet_v2', 'wsl' or a"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**arguments)


def test_init_from_a_file(tmp_path):
    encoder = tiny(classes=None)
    path = tmp_path / "encoder.weights.h5"
    encoder.save_weights(path)
    normalized = tiny(init=path, mean=(0.1,) * 3, standard_deviation=(0.2,) * 3)
    inner = keras.Model(normalized.input, normalized.get_layer(resnext.FEATURES).output)
    contracts.assert_same_weights(encoder, inner)
    with pytest.raises(
        ValueError, match=r"encoder\.weights\.h5 does not fit resnext17"
    ):
        tiny(depths=(1, 2, 1, 1), init=path)


@pytest.mark.parametrize(
    ("key", "file", "terms"),
    [
        ("imagenet", "resnext101_32x8d-8ba56ff5.pth", "BSD-3-Clause"),
        ("imagenet_v2", "resnext101_32x8d-110c445d.pth", "BSD-3-Clause"),
        ("wsl", "ig_resnext101_32x8-c38310e5.pth", "CC BY-NC 4.0"),
    ],
)
def test_unavailable_weights_say_how_to_make_them(key, file, terms, tmp_path):
    with pytest.raises(published_weights.WeightsUnavailable) as caught:
        tiny(init=key, weights_dir=tmp_path)
    for part in (
        f"https://download.pytorch.org/models/{file} ",
        f"`ich-tf weights --convert {file}`",
        f"{file[:-4]}.weights.h5",
        str(tmp_path / "imagenet"),
        terms,
    ):
        assert part in str(caught.value)


def test_converted_weights_are_found_by_their_key(tmp_path):
    state = state_of(tiny(classes=None))
    published = convert.PUBLISHED["imagenet"]
    build = {"name": "resnext", "kwargs": {**TINY, "classes": None}}
    folder = tmp_path / "weights"
    path = convert.write(state, published, "8ba56ff5", folder, build)
    assert path == folder / "imagenet" / "resnext101_32x8d-8ba56ff5.weights.h5"
    entry = weights.read_manifest(folder / "imagenet")[published.name]
    assert entry["source"] == {"address": published.address, "sha256": "8ba56ff5"}
    assert entry["terms"] == published.terms

    model = tiny(init="imagenet", weights_dir=folder)
    kernel = model.get_layer("stage3_block1_conv2").kernel.numpy()
    expected = state["layer3.0.conv2.weight"]
    assert expected.shape == (16, 8, 3, 3)
    np.testing.assert_array_equal(kernel[2, 1, 5, 11], expected[11, 5, 2, 1])
    variance = model.get_layer("stem_bn").moving_variance
    np.testing.assert_array_equal(variance, state["bn1.running_var"])
    with pytest.raises(ValueError, match="does not fit the model resnext17"):
        tiny(depths=(1, 1, 2, 1), init="imagenet", weights_dir=folder)
    path.unlink()
    with pytest.raises(published_weights.WeightsUnavailable):
        tiny(init="imagenet", weights_dir=folder)


def test_only_the_published_file_is_converted(tmp_path):
    path = tmp_path / convert.PUBLISHED["wsl"].file
    with pytest.raises(ValueError, match="does not exist. It is at https://"):
        convert.convert(path, tmp_path)
    path.write_bytes(b"another")
    with pytest.raises(ValueError, match=r"sha256 begins [0-9a-f]{8}, published is"):
        convert.convert(path, tmp_path)
    with pytest.raises(ValueError, match=r"best\.pth has none of the published names"):
        convert.convert(tmp_path / "best.pth", tmp_path)
    assert not (tmp_path / "imagenet").exists()


def test_the_checksum_of_a_download_begins_as_its_name_says(tmp_path):
    digest = hashlib.sha256(b"a state dict").hexdigest()
    published = convert.Published(f"tiny-{digest[:8]}.pth", "noise", "none")
    path = tmp_path / published.file
    path.write_bytes(b"a state dict")
    assert convert.check_published(path, published) == digest


def test_missing_torch_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match="pip install torch"):
        convert.read_state_dict(tmp_path / "state.pth")


def test_state_dict_is_read_without_running_it(tmp_path):
    torch = pytest.importorskip("torch", reason="reads a file of PyTorch")
    layer = torch.nn.BatchNorm2d(3)
    torch.save(layer.state_dict(), tmp_path / "state.pth")
    state = convert.read_state_dict(tmp_path / "state.pth")
    assert sorted(state) == ["bias", "running_mean", "running_var", "weight"]
    np.testing.assert_array_equal(state["weight"], np.ones(3, "float32"))
    torch.save(layer, tmp_path / "module.pth")
    (tmp_path / "pickle.pth").write_bytes(pickle.dumps([1]))
    for name in ("module.pth", "pickle.pth"):
        with pytest.raises(ValueError, match=f"{name} holds no PyTorch state dict"):
            convert.read_state_dict(tmp_path / name)


def test_state_dict_that_does_not_fit_is_listed_and_changes_nothing():
    model = tiny()
    before = values(model)
    state = state_of(tiny(classes=None))
    del state["layer1.0.bn1.running_mean"]
    state["layer4.0.conv2.weight"] = np.zeros((32, 32, 3, 3), "float32")
    state["layer5.0.conv1.weight"] = state["conv1.weight"]
    with pytest.raises(ValueError) as caught:
        convert.assign(model, state)
    assert str(caught.value) == (
        "The state dict does not fit resnext14_2x2d. "
        "missing: layer1.0.bn1.running_mean; "
        "superfluous: layer5.0.conv1.weight; "
        "of another shape: layer4.0.conv2.weight (32, 32, 3, 3), expected "
        "(32, 16, 3, 3)."
    )
    with pytest.raises(ValueError, match="missing: conv1.weight, .* and 77 more"):
        convert.assign(model, {})
    for left, right in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(left, right)


def test_head_is_taken_only_when_asked_for():
    model = tiny()
    state = state_of(tiny(classes=None))
    head = model.get_layer(resnext.LOGITS)
    before = head.get_weights()
    convert.assign(model, state)
    np.testing.assert_array_equal(head.get_weights()[0], before[0])
    with pytest.raises(ValueError, match=r"fc.weight \(1000, 128\), expected \(6, 128"):
        convert.assign(model, state, head=True)
    kernel = np.arange(768, dtype="float32").reshape(6, 128)
    six = {**state, "fc.weight": kernel, "fc.bias": np.arange(6, dtype="float32")}
    convert.assign(model, six, head=True)
    np.testing.assert_array_equal(head.kernel, kernel.T)
    np.testing.assert_array_equal(head.bias, [0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    ("size", "name"), [(256, 4), (128, 3), (96, 2), (64, 2), (32, 1), (16, 1)]
)
def test_the_map_for_grad_cam_has_enough_cells(size, name):
    model = tiny(input_shape=(size, size, 3))
    assert resnext.feature_map(model) == f"stage{name}_out"
