"""Labels of slices judge shipped segmentation weights."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ich_tf import cli, datasets, models
from ich_tf.models import shipping
from ich_tf.prediction import detection, figures
from ich_tf.synthetic import layouts

SIZE = 64
NAME = "bright"


@pytest.fixture(scope="module")
def phantom_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "phantom"
    what = {"cases": 6, "seed": 4, "slices": 10, "size": SIZE, "bleeding_share": 0.5}
    layouts.write_phantom("ct-ich-v1", folder, **what)
    return folder


@pytest.fixture(scope="module")
def root(phantom_root):
    """The phantom passes for real patients: its files have lost their marker."""
    folder = shutil.copytree(phantom_root, phantom_root.with_name("real"))
    for path in folder.glob("Patients_CT/*/brain/*.jpg"):
        with Image.open(path) as picture:
            del picture.info["comment"]
            picture.save(path, quality=95)
    return folder


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory):
    """A network that finds what is bright; it has seen one patient."""
    folder = tmp_path_factory.mktemp("weights")
    model = models.build("unetplusplus", filters=(2, 4), input_shape=(SIZE, SIZE, 1))
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(np.full(weight.shape, 0.3))
    for layer in model.layers:
        if layer.name.endswith("_logits"):
            layer.bias.assign([-4.0])
    kwargs = {"filters": [2, 4], "input_shape": [SIZE, SIZE, 1]}
    entry = {
        "build": {"name": "unetplusplus", "kwargs": kwargs},
        "preprocessing": {
            "approach": "approach1",
            "channels": 1,
            "size": SIZE,
            "tile": SIZE,
            "stride": SIZE,
        },
        "trained_on": "nothing",
        "metric": "none",
        "seen": ["050"],
    }
    shipping.ship(model, NAME, folder, entry)
    return folder


@pytest.fixture(scope="module")
def found(root, weights_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    dataset = datasets.open_dataset("ct-ich", root)
    result = detection.detect(
        dataset, out, weights_name=NAME, weights_dir=weights_dir, say=print
    )
    return result, out, dataset


def test_a_patient_that_cannot_be_read_is_left_out(root, weights_dir, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    names = [name for name in datasets.open_dataset("ct-ich", copy).case_ids()]
    broken = next(name for name in names if name != "050")
    next((copy / "Patients_CT" / broken / "brain").glob("2.jpg")).write_bytes(b"none")
    lines = []
    result = detection.detect(
        datasets.open_dataset("ct-ich", copy),
        tmp_path / "out",
        weights_name=NAME,
        weights_dir=weights_dir,
        say=lines.append,
    )
    assert list(result["unreadable"]) == [broken]
    assert set(result["cases"]) == set(names) - {broken, "050"}
    assert any("2.jpg" in line for line in lines)


def test_heads_of_the_phantom_are_no_seen_patients(phantom_root, weights_dir, tmp_path):
    dataset = datasets.open_dataset("ct-ich", phantom_root)
    result = detection.detect(
        dataset, tmp_path, weights_name=NAME, weights_dir=weights_dir, say=print
    )
    assert result["data"] == "phantom"
    assert result["left_out"] == []
    assert set(result["cases"]) == set(dataset.case_ids())


def test_every_case_but_those_seen_is_scored(found):
    result, out, dataset = found
    assert result["data"] == "ct-ich 1.0 (partial)"
    assert json.loads((out / "detection.json").read_text()) == result
    assert result["left_out"] == ["050"]
    assert set(result["cases"]) == set(dataset.case_ids()) - {"050"}
    assert result["slice"]["n"] == 5 * 10
    assert result["patient"]["n"] == 5
    for name, one in result["cases"].items():
        np.testing.assert_array_equal(one["truth"], dataset.load(name).labels[:, -1])
        assert max(one["largest"]) > 0


def test_slices_are_shown_beside_each_other(found):
    _, out, _ = found
    with Image.open(out / "detection.png") as picture:
        columns = detection.SHOWN // 2
        assert picture.width == columns * figures.CELL
        assert picture.height > figures.CELL


def test_the_most_telling_slices_are_kept():
    class One:
        class volume:  # noqa: N801
            hu = np.zeros((4, 2, 2))

    one = {"truth": [1, 1, 0, 0], "largest": [5, 9, 2, 7]}
    kept = detection._most_telling([], "a", One, np.zeros((4, 2, 2)), one, shown=1)
    assert [(row[0], row[3]) for row in kept] == [
        ("false alarm", 3),
        ("found", 1),
        ("missed", 0),
    ]


def test_the_command_prints_both_areas(root, weights_dir, tmp_path, capsys):
    arguments = ["detection", "--ct-ich", str(root), "--out", str(tmp_path)]
    arguments += ["--weights", NAME, "--weights-dir", str(weights_dir)]
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "by slice:" in shown and "by patient:" in shown
    assert "(n=5)" in shown


def test_cases_without_labels_are_named(root, weights_dir, tmp_path, capsys):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "Patients_CT").symlink_to(root / "Patients_CT")
    arguments = ["detection", "--ct-ich", str(bare), "--out", str(tmp_path / "out")]
    arguments += ["--weights", NAME, "--weights-dir", str(weights_dir)]
    assert cli.main(arguments) == 2
    assert "049" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
