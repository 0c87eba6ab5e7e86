import contextlib
import hashlib
import http.server
import json
import threading

import contracts
import h5py
import keras
import numpy as np
import pytest

from ich_tf import files, models
from ich_tf.models import (
    backbones,
    manifest,
    probe,
    published_weights,
    shipping,
    sm_keras3,
    weights,
)

# TensorFlow variables lack an argument that NumPy 2 wants of `__array__`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)

BUILD = {
    "name": "unetplusplus",
    "kwargs": {"input_shape": (16, 16, 1), "filters": (4, 8)},
}


def small_model():
    return models.build(BUILD["name"], **BUILD["kwargs"])


def write_legacy(encoder, path):
    """Write weights as Keras 2 did, under the names that Keras 3 does not allow."""
    with h5py.File(path, "w") as file:
        names = []
        for layer in encoder.layers:
            name = layer.name
            if name in ("conv1_conv", "conv1_bn", "conv1_relu"):
                name = name.replace("_", "/")
            names.append(name)
            group = file.create_group(name)
            paths = [f"{name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [path.encode() for path in paths]
            for weight_path, weight in zip(paths, layer.weights, strict=True):
                group[weight_path] = keras.ops.convert_to_numpy(weight)
        # One attribute holds at most 64 kB, so Keras splits the list.
        for number, part in enumerate(np.array_split(names, 2)):
            file.attrs[f"layer_names{number}"] = [name.encode() for name in part]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.2.4"


@pytest.fixture(scope="module")
def legacy(tmp_path_factory):
    """A DenseNet121 with random weights, and its legacy file."""
    path = tmp_path_factory.mktemp("legacy") / "densenet121.h5"
    encoder = sm_keras3.encoder("densenet121", keras.Input((32, 32, 3)))
    write_legacy(encoder, path)
    return encoder, path


@contextlib.contextmanager
def serving(handler):
    """The address of a local server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def served(tmp_path):
    """Address of a local server, and the folder whose files it serves."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=tmp_path / "served")

        def log_message(self, *arguments):
            """Keep the test's output clean."""

    (tmp_path / "served").mkdir()
    with serving(Handler) as address:
        yield address, tmp_path / "served"


def build_densenet(**arguments):
    return models.build(
        "unetplusplus", backbone="densenet121", input_shape=(32, 32, 3), **arguments
    )


def assert_encoder_weights(encoder, model):
    for layer in encoder.layers:
        if layer.weights:
            contracts.assert_same_weights(layer, model.get_layer(layer.name))


def test_legacy_file_is_loaded_into_the_encoder(legacy):
    encoder, path = legacy
    with h5py.File(path) as file:
        assert "kernel:0" in file["conv1/conv"]["conv1/conv"]
    model = build_densenet(init=path)
    assert_encoder_weights(encoder, model)
    assert backbones.input_scaling_of(model) == "imagenet"


def test_imagenet_asks_for_the_published_file(legacy):
    encoder, path = legacy
    asked = []

    def get_file(name, address, **checksum):
        asked.append((name, address, checksum["file_hash"]))
        return str(path)

    loaded = sm_keras3.encoder(
        "densenet121", keras.Input((32, 32, 3)), weights="imagenet", get_file=get_file
    )
    assert_encoder_weights(encoder, loaded)
    ((name, address, md5),) = asked
    assert name == "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert address.endswith(name)
    assert md5 == "30ee3e1110167f948a6b9946edeeb738"


def test_imagenet_weights_are_looked_up_in_the_weights_folder(tmp_path):
    name = "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"
    path = tmp_path / "imagenet" / name
    path.parent.mkdir()
    path.write_bytes(b"another file")
    with pytest.raises(ValueError, match="30ee3e1110167f948a6b9946edeeb738") as caught:
        build_densenet(init="imagenet", weights_dir=tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("backbone", "md5"),
    [
        pytest.param(
            "densenet169",
            "b8c4d4c20dd625c148057b9ff1c1176b",
            marks=pytest.mark.slow,
        ),
        ("resnet50", "db3b217156506944570ac220086f09b6"),
        ("vgg16", "6d6bbae143d832006294945121d1f1fc"),
        pytest.param(
            "inceptionresnetv2",
            "d19885ff4a710c122648d3b5c3b684e4",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_unavailable_weights_are_one_clear_error(backbone, md5, monkeypatch, tmp_path):
    # Nothing listens there: as on a machine without a network.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(published_weights.WeightsUnavailable) as caught:
        models.build(
            "unetplusplus", backbone=backbone, init="imagenet", weights_dir=tmp_path
        )
    message = str(caught.value)
    for part in (".h5", md5, "https://", "127.0.0.1", str(tmp_path / "imagenet")):
        assert part in message


@pytest.fixture
def asked(monkeypatch):
    """The addresses that a proxy is asked for; it hangs up."""
    addresses = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            addresses.append(self.path)

    with serving(Handler) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        yield addresses


def test_a_host_without_connection_is_asked_once(asked, tmp_path):
    for name in ("a.h5", "b.h5"):
        address = f"http://nowhere.example/{name}"
        with pytest.raises(
            published_weights.WeightsUnavailable,
            match=rf"{name} .*: no connection to nowhere\.example by the proxy",
        ):
            published_weights.imagenet_file(name, address, "0123", tmp_path)
    assert asked == ["http://nowhere.example/a.h5"]


def test_file_in_the_folder_is_used_after_its_checksum(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"weights")
    md5 = hashlib.md5(b"weights").hexdigest()
    path = published_weights.imagenet_file(
        "a.h5", "https://example.org/a.h5", md5, tmp_path
    )
    assert path == tmp_path / "a.h5"
    with pytest.raises(ValueError, match=r"a\.h5 is damaged.*0123.*example\.org"):
        published_weights.imagenet_file(
            "a.h5", "https://example.org/a.h5", "0123", tmp_path
        )


def test_download_is_checked(served, tmp_path):
    address, source = served
    (source / "published.h5").write_bytes(b"weights")
    folder = tmp_path / "imagenet"
    md5 = hashlib.md5(b"weights").hexdigest()
    path = published_weights.imagenet_file(
        "a.h5", f"{address}/published.h5", md5, folder
    )
    assert path == folder / "a.h5"
    assert path.read_bytes() == b"weights"
    with pytest.raises(published_weights.WeightsUnavailable, match="hash"):
        published_weights.imagenet_file(
            "b.h5", f"{address}/published.h5", "0" * 32, folder
        )
    with pytest.raises(published_weights.WeightsUnavailable, match="404"):
        published_weights.imagenet_file("c.h5", f"{address}/absent.h5", md5, folder)
    assert [file.name for file in folder.iterdir()] == ["a.h5"]


def test_shipped_weights_that_are_published_apart_are_fetched_once(
    served, tmp_path, monkeypatch
):
    address, source = served
    (source / "large.weights.h5").write_bytes(b"weights")
    monkeypatch.setenv("ICH_TF_CACHE", str(tmp_path / "cache"))
    listed = {
        "file": "large.weights.h5",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "url": f"{address}/large.weights.h5",
    }
    path = published_weights.local_file(listed, tmp_path)
    assert path == tmp_path / "cache" / "weights" / "large.weights.h5"
    assert path.read_bytes() == b"weights"
    (source / "large.weights.h5").unlink()
    assert published_weights.local_file(listed, tmp_path) == path
    # A file in the weights folder comes first.
    (tmp_path / "large.weights.h5").write_bytes(b"own")
    assert (
        published_weights.local_file(listed, tmp_path) == tmp_path / "large.weights.h5"
    )
    offline = {**listed, "file": "other.weights.h5", "url": f"{address}/absent"}
    expected = rf"other\.weights\.h5 .*{path.parent}; its sha256 is {listed['sha256']}"
    with pytest.raises(published_weights.WeightsUnavailable, match=expected):
        published_weights.local_file(offline, tmp_path)


def test_wrong_encoder_file_is_named(legacy):
    _, path = legacy
    with pytest.raises(ValueError, match=r"densenet121\.h5 does not fit .* vgg16"):
        models.build("unetplusplus", backbone="vgg16", init=path)


def test_ship_and_load_shipped(tmp_path):
    model = small_model()
    entry = shipping.ship(
        model, "small", tmp_path, {"build": BUILD, "trained_on": "phantom"}
    )
    file = tmp_path / "small.weights.h5"
    assert entry["bytes"] == file.stat().st_size
    assert entry["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    # 3x3: 40 + 148, 296 + 584; 2x2 up: 132; 3x3: 292 + 148; 1x1: 5.
    assert entry["parameters"] == 1_645
    assert entry["shapes"]["x0_0_1_conv/kernel"] == "3x3x1x4"
    assert len(entry["probe"]["log_odds"]) == 8
    stored = weights.read_manifest(tmp_path)["small"]
    assert stored["trained_on"] == "phantom"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.json",
        "small.weights.h5",
    ]

    loaded = weights.load_shipped("small", tmp_path)
    contracts.assert_same_weights(model, loaded)
    probe.check(loaded, stored)
    *others, last_bias = loaded.get_weights()
    loaded.set_weights([*others, last_bias + 1])
    with pytest.raises(ValueError, match=r"small\.weights\.h5 computes"):
        probe.check(loaded, stored)
    with pytest.raises(ValueError, match="Known: small"):
        weights.load_shipped("large", tmp_path)


def test_ship_keeps_other_entries_and_refuses_a_wrong_build(tmp_path):
    assert weights.read_manifest(tmp_path) == {}
    model = small_model()
    shipping.ship(model, "first", tmp_path, {"build": BUILD})
    shipping.ship(model, "second", tmp_path, {"build": BUILD})
    assert list(weights.read_manifest(tmp_path)) == ["first", "second"]
    other = {"name": "unetplusplus", "kwargs": {**BUILD["kwargs"], "filters": [4, 16]}}
    with pytest.raises(ValueError, match="another network"):
        shipping.ship(model, "third", tmp_path, {"build": other})
    assert not (tmp_path / "third.weights.h5").exists()


def test_changed_file_is_refused_before_loading(tmp_path):
    model = small_model()
    entry = shipping.ship(model, "small", tmp_path, {"build": BUILD})
    path = tmp_path / "small.weights.h5"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"small\.weights\.h5 .* sha256"):
        weights.load_weights(model, path, entry)
    path.unlink()
    with pytest.raises(ValueError, match="does not exist"):
        weights.load_weights(model, path, entry)


def test_other_shapes_are_refused_before_loading(tmp_path):
    entry = shipping.ship(small_model(), "small", tmp_path, {"build": BUILD})
    wide = models.build("unetplusplus", input_shape=(16, 16, 1), filters=(4, 16))
    before = [weight.numpy() for weight in wide.weights]
    message = "x0_1_up/kernel is 2x2x4x8 in the file, 2x2x4x16 in the model"
    with pytest.raises(ValueError, match=message):
        weights.load_weights(wide, tmp_path / "small.weights.h5", entry)
    for left, right in zip(before, wide.weights, strict=True):
        np.testing.assert_array_equal(left, right)


class Interrupted(keras.layers.Layer):
    """A layer whose weights are never written to their end."""

    def save_own_variables(self, store):
        store["half"] = np.zeros(3)
        raise KeyboardInterrupt


def test_interrupted_save_leaves_the_old_file(tmp_path):
    model = small_model()
    path = tmp_path / "small.weights.h5"
    weights.save_weights(model, path)
    content = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        weights.save_weights(keras.Sequential([model, Interrupted()]), path)
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["small.weights.h5"]


def test_manifest_that_is_no_json_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json is not valid JSON"):
        weights.read_manifest(tmp_path)


def test_manifest_is_plain_json(tmp_path):
    shipping.ship(small_model(), "small", tmp_path, {"build": BUILD})
    text = (tmp_path / "manifest.json").read_text()
    assert json.loads(text)["small"]["build"]["kwargs"]["filters"] == [4, 8]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda entry: entry.pop("sha256"), "`sha256`"),
        (lambda entry: entry.update(build=[]), "`build`"),
        (lambda entry: entry.update(build={"name": "unetplusplus"}), "small"),
        (lambda entry: entry["build"]["kwargs"].update(filters=["a"]), "small"),
        (lambda entry: entry["build"]["kwargs"].update(filters=[10**7]), "10000000"),
        (lambda entry: entry["build"]["kwargs"].update(unknown=1), "unknown"),
        (lambda entry: entry.update(file="../small.weights.h5"), "../small"),
        (lambda entry: entry["probe"].update(log_odds=None), "`log_odds`"),
        (lambda entry: entry.update(preprocessing={"size": 1}), "`preprocessing`"),
        (lambda entry: entry.update(companions={"a": {"file": 1}}), "`companions`"),
    ],
)
def test_a_damaged_entry_is_named_and_builds_nothing(shipped_small, change, place):
    entries = weights.read_manifest(shipped_small)
    change(entries["small"])
    files.write_json(shipped_small / "manifest.json", entries)
    with pytest.raises(ValueError, match=r"manifest\.json|small\.weights") as caught:
        weights.load_shipped("small", shipped_small)
    assert place in str(caught.value)


@pytest.mark.parametrize("missing", ["preprocessing", "trained_on", "metric"])
def test_weights_for_prediction_say_what_they_answer_for(shipped_small, missing):
    entries = weights.read_manifest(shipped_small)
    entries["small"] |= {
        "preprocessing": {"images": "windows", "size": 16},
        "trained_on": "nothing",
        "metric": "none",
    }
    files.write_json(shipped_small / "manifest.json", entries)
    model, entry = weights.load_for("small", manifest.SliceImages, shipped_small)
    assert entry["trained_on"] == "nothing"
    with pytest.raises(ValueError, match="lacks `approach`"):
        weights.load_for("small", manifest.Segmentation, shipped_small)
    entries["small"].pop(missing)
    files.write_json(shipped_small / "manifest.json", entries)
    with pytest.raises(ValueError, match=missing):
        weights.load_for("small", manifest.SliceImages, shipped_small)


@pytest.fixture
def shipped_small(tmp_path):
    shipping.ship(small_model(), "small", tmp_path, {"build": BUILD})
    return tmp_path
