"""The default network in LiteRT answers as in Keras, and starts without TensorFlow."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import small_network

from ich_tf import files, paths
from ich_tf.prediction import lite_network, real_heads
from ich_tf.synthetic import layouts, phantom

pytest.importorskip("ai_edge_litert.interpreter", reason="needs [litert]")


@pytest.fixture
def on_cpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")


@pytest.mark.parametrize(("slices", "size"), [(6, 128), (3, 256)])
def test_both_give_the_same_answers(on_cpu, monkeypatch, slices, size):
    lite = real_heads.load()
    assert isinstance(lite.model, lite_network.LiteNetwork)
    monkeypatch.setenv("ICH_TF_LITERT", "off")
    keras = real_heads.load()
    assert not isinstance(keras.model, lite_network.LiteNetwork)
    case = phantom.generate(3, 0, slices=slices, size=size, bleeding=True).case
    given, expected = lite.segment(case), keras.segment(case)
    np.testing.assert_allclose(given.subtypes, expected.subtypes, atol=1e-4)
    np.testing.assert_allclose(given.features, expected.features, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(lite.label_map(given), keras.label_map(expected))
    np.testing.assert_allclose(
        lite.probabilities(given).slices,
        keras.probabilities(expected).slices,
        atol=1e-4,
    )
    assert lite.label_map(given).any()


def test_predict_imports_no_tensorflow(tmp_path):
    layouts.write_phantom("ct-ich", tmp_path / "head", cases=1, slices=6, size=64)
    code = (
        "import sys; from ich_tf import cli; status = cli.main(sys.argv[1:]); "
        "print([name for name in ('tensorflow', 'keras') if name in sys.modules]); "
        "sys.exit(status)"
    )
    scan = tmp_path / "head" / "ct_scans" / "049.nii"
    verb = ["predict", scan, "--out", tmp_path / "out", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, verb)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
    content = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert content["slices"] == 6


def test_a_gpu_is_left_to_keras(monkeypatch, tmp_path):
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert not lite_network.is_usable()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert lite_network.is_usable()
    monkeypatch.setenv("ICH_TF_LITERT", "off")
    assert not lite_network.is_usable()


def test_a_damaged_file_is_refused_by_name(on_cpu, tmp_path):
    folder = shutil.copytree(
        paths.weights(), tmp_path / "weights", ignore=shutil.ignore_patterns("imagenet")
    )
    path = folder / f"{real_heads.DEFAULT_WEIGHTS}.{lite_network.FILE}"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=path.name):
        real_heads.load(folder)


@pytest.mark.filterwarnings("ignore")  # The converter warns about its own future.
def test_the_file_is_written_next_to_the_weights(on_cpu, tmp_path):
    folder = small_network.ship_with_subtypes(tmp_path)
    before = files.read_json(folder / "manifest.json")[real_heads.DEFAULT_WEIGHTS]
    path = real_heads.write_lite(folder)
    entry = files.read_json(folder / "manifest.json")[real_heads.DEFAULT_WEIGHTS]
    assert entry["companions"].pop(lite_network.FILE)["file"] == path.name
    assert entry == before
    assert isinstance(real_heads.load(folder).model, lite_network.LiteNetwork)
    plain = small_network.ship(tmp_path / "plain")
    with pytest.raises(ValueError, match="has no subtypes"):
        real_heads.write_lite(plain)
