"""Several devices or workers train as one does, in processes of their own."""

import json
import os
import pathlib
import subprocess
import sys
import types

import distributed_run
import numpy as np
import pytest
import tensorflow as tf

import ich_tf
from ich_tf import distribution, training

SCRIPT = pathlib.Path(distributed_run.__file__)
PACKAGE = pathlib.Path(ich_tf.__file__).parent.parent


def start(*arguments, **variables):
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, seconds=400):
    output, errors = process.communicate(timeout=seconds)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """What every network gave on one device and on two."""
    folder = tmp_path_factory.mktemp("mirrored")
    networks = ",".join(distributed_run.NETWORKS)
    return finish(start(folder, networks, "one,mirrored")), folder


def assert_equal_histories(one, several):
    assert len(one) == len(several) == distributed_run.STEPS
    for expected, found in zip(one, several, strict=True):
        assert expected.keys() == found.keys()
        for name in expected.keys() - {"seconds"}:
            assert found[name] == pytest.approx(expected[name], abs=1e-4), name


@pytest.mark.parametrize("network", distributed_run.NETWORKS)
def test_two_devices_train_as_one(mirrored, network):
    (one, answers), (several, their_answers) = mirrored[0][network].values()
    assert_equal_histories(one, several)
    assert len({epoch["loss"] for epoch in one}) == distributed_run.STEPS
    assert bool(answers) == (network != "sequence")
    np.testing.assert_allclose(np.array(answers), their_answers, atol=1e-4)


@pytest.mark.parametrize("network", distributed_run.NETWORKS)
def test_two_devices_leave_the_state_of_one(mirrored, network):
    states = []
    for strategy in ("one", "mirrored"):
        folder = mirrored[1] / strategy / network
        assert (folder / training.FINAL).is_file()
        assert list(folder.glob("best-*")) != []
        with np.load(folder / training.STATE) as state:
            states.append({name: state[name] for name in state.files})
    one, several = states
    assert one.keys() == several.keys()
    for name in one.keys() - {"meta"}:
        np.testing.assert_allclose(one[name], several[name], atol=1e-3, err_msg=name)


def test_progress_is_written_for_tensorboard(mirrored):
    logs = mirrored[1] / "mirrored" / "unetplusplus" / "logs"
    assert {path.name for path in logs.iterdir()} == {"train", "validation"}


@pytest.fixture
def pretend(monkeypatch):
    """Take this for the strategy of the process."""
    return lambda **facts: monkeypatch.setattr(
        distribution, "_strategy", types.SimpleNamespace(**facts)
    )


def test_a_batch_that_cannot_be_shared_is_refused(pretend):
    pretend(num_replicas_in_sync=3)
    with pytest.raises(ValueError, match=r"batch of 4 .* 3 replicas.* such as 6"):
        training.start(training.Plan(1, 1, 4, 1e-3))
    unlike = tf.data.Dataset.from_tensors((np.zeros((8, 2)), np.zeros((8, 1))))
    with pytest.raises(ValueError, match="batch of 8"):
        distribution._shares(unlike)


def test_the_first_worker_alone_is_chief(pretend):
    assert distribution.is_chief()
    for number, chief in ((0, True), (1, False)):
        resolver = types.SimpleNamespace(task_type="worker", task_id=number)
        pretend(cluster_resolver=resolver)
        assert distribution.is_chief() is chief


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("two", None, "Unknown strategy 'two'. Known: auto, one, mirrored,"),
        ("multiworker", None, "needs TF_CONFIG"),
        ("multiworker", "{", "TF_CONFIG cannot be read as JSON"),
        ("auto", "{", "TF_CONFIG cannot be read as JSON"),
        ("tpu", None, "There is no TPU here, and TPU_NAME names none"),
    ],
)
def test_a_strategy_that_cannot_be_had_says_why(monkeypatch, name, config, message):
    for variable in ("TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(variable, raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match=message):
        distribution.choose(name)
    assert not distribution.is_used()


def test_auto_takes_what_is_there(monkeypatch):
    for variable in ("TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(variable, raising=False)
    devices = {"GPU": [], "TPU": []}
    monkeypatch.setattr(tf.config, "list_physical_devices", devices.get)
    assert distribution._found() == "one"
    devices["GPU"] = ["a"]
    assert distribution._found() == "one"
    devices["GPU"] = ["a", "b"]
    assert distribution._found() == "mirrored"
    monkeypatch.setenv("TPU_NAME", "local")
    assert distribution._found() == "tpu"
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}')
    assert distribution._found() == "multiworker"
