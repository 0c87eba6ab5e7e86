"""Networks written for other programs answer as they do here."""

import json

import numpy as np
import pytest
import small_network

from ich_tf.models import weights
from ich_tf.prediction import export

SIZE = 32


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return small_network.ship(folder, "small", SIZE)


def answer_savedmodel(path, images):
    import tensorflow

    # What is loaded must outlive the call: its variables go with it.
    loaded = tensorflow.saved_model.load(path)
    return np.asarray(loaded.serve(images))


def answer_keras(path, images):
    import keras

    return keras.models.load_model(path)(images, training=False)


def answer_litert(path, images):
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs [litert]")
    interpreter = litert.Interpreter(str(path))
    given, told = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given[0]["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given[0]["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(told[0]["index"])


def answer_onnx(path, images):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs [onnx]")
    session = onnxruntime.InferenceSession(path)
    (given,) = session.get_inputs()
    return session.run(None, {given.name: images})[0]


ANSWERS = {
    "savedmodel": answer_savedmodel,
    "keras": answer_keras,
    "litert": answer_litert,
    "onnx": answer_onnx,
}


@pytest.mark.filterwarnings("ignore")  # Converters warn about their own future.
@pytest.mark.parametrize("form", export.FORMATS)
def test_each_format_gives_equal_outputs(weights_dir, tmp_path, form):
    if form == "onnx":
        pytest.importorskip("tf2onnx", reason="needs [onnx]")
    path = export.export("small", form, tmp_path / "out", weights_dir)
    images = np.random.default_rng(0).random((2, SIZE, SIZE, 1), dtype=np.float32)
    model = weights.load_shipped("small", weights_dir)
    expected = np.asarray(model(images, training=False))
    np.testing.assert_allclose(ANSWERS[form](path, images), expected, atol=1e-5)
    told = json.loads((tmp_path / "out" / "preprocessing.json").read_text())
    # Approach 1 is the wide brain window.
    assert told["windows"] == [{"level_hu": 40, "width_hu": 120}]
    assert told["input_shapes"] == [[None, SIZE, SIZE, 1]]
    assert told["output_classes"] == ["hemorrhage"]


@pytest.mark.filterwarnings("ignore")  # Converters warn about their own future.
def test_a_network_for_any_size_runs_in_litert_at_two_sizes(tmp_path):
    folder = small_network.ship_with_subtypes(tmp_path / "weights", "any")
    path = export.export("any", "litert", tmp_path / "out", folder)
    model = weights.load_shipped("any", folder)
    for shape in ((2, 32, 48, 3), (1, 64, 32, 3)):
        images = np.random.default_rng(0).random(shape, dtype=np.float32)
        expected = np.asarray(model(images, training=False))
        np.testing.assert_allclose(answer_litert(path, images), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_network_that_litert_cannot_run_alone_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"TensorList\w+ of TensorFlow"):
        export.export("chain", "litert", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_or_network_is_refused(weights_dir, tmp_path):
    with pytest.raises(ValueError, match="Unknown format 'tensorrt'. Known: savedmod"):
        export.export("small", "tensorrt", tmp_path / "out", weights_dir)
    with pytest.raises(ValueError, match="No shipped weights 'x'"):
        export.export("x", "onnx", tmp_path / "out", weights_dir)
    assert not (tmp_path / "out").exists()


def test_somebodys_folder_stays_as_it_is(weights_dir, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="not an empty folder"):
        export.export("small", "keras", tmp_path, weights_dir)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
