"""Scans unlike the training data are told by a network's features."""

import functools

import numpy as np
import pytest

from ich_tf import cli, models
from ich_tf.io import nifti
from ich_tf.models import weights
from ich_tf.prediction import ood, predict, segment
from ich_tf.preprocessing import windows
from ich_tf.synthetic import phantom
from ich_tf.volume import Case, Volume

SIZE, SLICES = 64, 10
PREPROCESSING = {
    "approach": "approach1",
    "channels": 1,
    "size": SIZE,
    "tile": SIZE,
    "stride": SIZE,
}


@pytest.fixture(scope="module")
def model():
    return models.build("unetplusplus", filters=(4, 8, 16), input_shape=(SIZE, SIZE, 1))


@pytest.fixture(scope="module")
def features(model):
    network = segment.predictor(
        model,
        functools.partial(windows.channels, approach="approach1", count=1),
        SIZE,
        SIZE,
        layer=ood.deepest_layer(model),
    )
    return lambda hu: segment.predict_with_features(network, hu)[1]


@pytest.fixture(scope="module")
def heads():
    found = phantom.PhantomDataset(7, 0, slices=SLICES, size=SIZE)
    return [found.load(case_id).volume for case_id in found.case_ids()]


@pytest.fixture(scope="module")
def known(model, features, heads):
    of = [features(head.hu) for head in heads[:6]]
    return ood.fit(
        ood.deepest_layer(model), np.concatenate(of[:4]), np.concatenate(of[4:])
    )


@pytest.fixture(scope="module")
def weights_dir(model, known, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    entry = {
        "build": {
            "name": "unetplusplus",
            "kwargs": {"filters": [4, 8, 16], "input_shape": [SIZE, SIZE, 1]},
        },
        "preprocessing": PREPROCESSING,
        "trained_on": "nothing",
        "metric": "none",
    }
    beside = {predict.LIKENESS: functools.partial(ood.save, found=known)}
    weights.ship(model, "one", folder, entry, beside)
    return folder


def answer(model, weights_dir, hu):
    case = Case("a", "a", Volume(hu, None, None, None))
    entry = weights.read_manifest(weights_dir)["one"]
    known = predict.known_slices(entry, weights_dir)
    _, features = predict.segment_with_features(
        model, PREPROCESSING, case, known and known.layer
    )
    return predict.likeness_of(features, known, entry)


def test_the_deepest_row_gives_the_features(model, features, heads):
    assert ood.deepest_layer(model) == "x2_0_2_relu"
    assert features(heads[0].hu).shape == (SLICES, 16)


def test_a_head_like_the_others_is_like_them(model, weights_dir, heads):
    found = answer(model, weights_dir, heads[6].hu)
    assert found["unlike"] is False
    assert len(found["slices_unlike"]) < SLICES / 2


def test_what_is_no_head_is_unlike(model, weights_dir, heads):
    noise = np.random.default_rng(0).normal(40, 200, heads[6].hu.shape)
    found = answer(model, weights_dir, noise.astype(np.float32))
    assert found == {"slices_unlike": list(range(1, SLICES + 1)), "unlike": True}


def test_distances_are_mahalanobis():
    known = ood.Likeness("x", np.array([1.0, 0.0]), np.diag([1.0, 4.0]), 2.5)
    away = np.array([[1.0, 0.0], [3.0, 0.0], [1.0, 1.5]])
    np.testing.assert_allclose(known.distances(away), [0, 2, 3])
    assert known.unlike(away).tolist() == [False, False, True]


def test_the_limit_leaves_out_one_in_a_hundred():
    values = np.random.default_rng(0).normal(size=(2000, 3))
    known = ood.fit("x", values[:1000], values[1000:])
    assert known.unlike(values[1000:]).sum() == 10


def test_a_file_comes_back_as_it_was(known, tmp_path):
    ood.save(tmp_path / "a.npz", known)
    again = ood.load(tmp_path / "a.npz")
    assert (again.layer, again.limit) == (known.layer, known.limit)
    np.testing.assert_array_equal(again.precision, known.precision)
    (tmp_path / "a.npz").write_bytes(b"no")
    for name in ("a.npz", "b.npz"):
        with pytest.raises(ValueError, match=f"{name} is absent or damaged"):
            ood.load(tmp_path / name)


def test_another_file_beside_the_weights_is_refused(weights_dir, tmp_path):
    entry = weights.read_manifest(weights_dir)["one"]
    (tmp_path / "one.likeness.npz").write_bytes(b"other")
    with pytest.raises(ValueError, match="one.likeness.npz is not the file"):
        predict.known_slices(entry, tmp_path)


def test_weights_without_such_a_file_say_so(weights_dir):
    entry = {**weights.read_manifest(weights_dir)["one"], "companions": {}}
    known = predict.known_slices(entry, weights_dir)
    found = predict.likeness_of(None, known, entry)
    assert found["unlike"] is None
    assert "one.weights.h5 does not say" in found["reason"]


def test_the_command_warns_of_a_scan_that_is_unlike(
    weights_dir, heads, tmp_path, monkeypatch, capsys
):
    nifti.write(tmp_path / "head.nii", heads[6])
    monkeypatch.setattr(ood, "UNLIKE_SHARE", -1.0)
    arguments = ["predict", str(tmp_path / "head.nii"), "--out", str(tmp_path / "out")]
    arguments += ["--weights", "one", "--weights-dir", str(weights_dir)]
    assert cli.main(arguments) == 0
    assert "unlike the training data: " in capsys.readouterr().out


def test_uncertainty_is_entropy_in_bits():
    found = predict.uncertainty(np.array([0.0, 0.5, 0.25, 1.0]))
    np.testing.assert_allclose(found, [0, 1, 0.811278, 0], atol=1e-4)
