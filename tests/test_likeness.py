"""Out-of-distribution scans are recognised by a network's features."""

import dataclasses
import functools
import shutil

import numpy as np
import pytest

from ich_tf import models
from ich_tf.models import shipping
from ich_tf.prediction import ood, predict, real_heads, saving, scan_page, segment
from ich_tf.preprocessing import windows
from ich_tf.synthetic import phantom
from ich_tf.volume import Volume

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
    dataset = phantom.PhantomDataset(7, 0, slices=SLICES, size=SIZE)
    return [dataset.load(case_id).volume for case_id in dataset.case_ids()]


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
    companions = {real_heads.LIKENESS: functools.partial(ood.save, likeness=known)}
    shipping.ship(model, "one", folder, entry, companions)
    return folder


@pytest.fixture(scope="module")
def predictor(weights_dir):
    return predict.Predictor("one", weights_dir)


def predicted(predictor, hu):
    return predictor(Volume(hu, None, None, None))


def test_the_deepest_row_gives_the_features(model, features, heads):
    assert ood.deepest_layer(model) == "x2_0_2_relu"
    assert features(heads[0].hu).shape == (SLICES, 16)


def test_a_head_like_the_others_is_in_distribution(predictor, heads):
    prediction = predicted(predictor, heads[6].hu)
    assert prediction.out_of_distribution is False
    assert prediction.ood_slices.sum() < SLICES / 2


def test_what_is_no_head_is_out_of_distribution(predictor, heads):
    noise = np.random.default_rng(0).normal(40, 200, heads[6].hu.shape)
    prediction = predicted(predictor, noise.astype(np.float32))
    assert prediction.out_of_distribution is True
    assert prediction.as_dict()["out_of_distribution"] == {
        "scan": True,
        "slices": list(range(1, SLICES + 1)),
    }
    assert f"{SLICES} of {SLICES} slices" in scan_page.warnings(prediction)[0]


def test_distances_are_mahalanobis():
    known = ood.Likeness("x", np.array([1.0, 0.0]), np.diag([1.0, 4.0]), 2.5)
    away = np.array([[1.0, 0.0], [3.0, 0.0], [1.0, 1.5]])
    np.testing.assert_allclose(known.distances(away), [0, 2, 3])
    assert known.out_of_distribution(away).tolist() == [False, False, True]


def test_the_limit_leaves_out_one_in_a_hundred():
    values = np.random.default_rng(0).normal(size=(2000, 3))
    known = ood.fit("x", values[:1000], values[1000:])
    assert known.out_of_distribution(values[1000:]).sum() == 10


def test_a_file_comes_back_as_it_was(known, tmp_path):
    ood.save(tmp_path / "a.npz", known)
    again = ood.load(tmp_path / "a.npz")
    assert (again.layer, again.limit) == (known.layer, known.limit)
    np.testing.assert_array_equal(again.precision, known.precision)
    (tmp_path / "a.npz").write_bytes(b"no")
    for name in ("a.npz", "b.npz"):
        with pytest.raises(ValueError, match=f"{name} is absent or damaged"):
            ood.load(tmp_path / name)


def test_another_statistics_file_is_refused(weights_dir, tmp_path):
    copy = shutil.copytree(weights_dir, tmp_path / "weights")
    (copy / "one.likeness.npz").write_bytes(b"other")
    with pytest.raises(ValueError, match="one.likeness.npz is not the file"):
        real_heads.load(copy, "one")


def test_weights_without_statistics_say_so(predictor, heads):
    prediction = dataclasses.replace(predicted(predictor, heads[6].hu), ood_slices=None)
    assert prediction.out_of_distribution is None
    assert prediction.as_dict()["out_of_distribution"]["scan"] is None
    assert scan_page.warnings(prediction) == []


def test_uncertainty_is_entropy_in_bits():
    bits = saving.uncertainty(np.array([0.0, 0.5, 0.25, 1.0]))
    np.testing.assert_allclose(bits, [0, 1, 0.811278, 0], atol=1e-4)
