"""Several devices or workers train as one does, in processes of their own."""

import dataclasses
import functools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import types

import distributed_run
import numpy as np
import pytest
from weights_files import stored_weights

import ich_tf
from ich_tf.training import checkpoint, distribute, plans

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


def finish(process, seconds=900):
    try:
        output, errors = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """What a network gave on one device and on two, and the folder of both."""

    @functools.cache
    def run(network):
        folder = tmp_path_factory.mktemp(network)
        return finish(start(folder, network, "one,mirrored"))[network], folder

    return run


# One network in every run of the tests, the others by hand: a minute each.
NETWORKS = [
    pytest.param(name, marks=[] if name == "unetplusplus" else pytest.mark.slow)
    for name in distributed_run.NETWORKS
]


def assert_equal_histories(alone, several):
    assert len(alone) == len(several) == distributed_run.STEPS
    for expected, epoch in zip(alone, several, strict=True):
        assert expected.keys() == epoch.keys()
        for name in expected.keys() - {"seconds"}:
            assert epoch[name] == pytest.approx(expected[name], abs=1e-4), name


@pytest.mark.parametrize("network", NETWORKS)
def test_two_devices_train_as_one(mirrored, network):
    outcomes, _ = mirrored(network)
    (single, answers), (several, their_answers) = outcomes.values()
    assert_equal_histories(single, several)
    assert len({epoch["loss"] for epoch in single}) == distributed_run.STEPS
    assert bool(answers) == (network in ("unetplusplus", "resnext"))
    np.testing.assert_allclose(np.array(answers), their_answers, atol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_two_devices_leave_the_weights_of_one(mirrored, network):
    states = []
    _, written = mirrored(network)
    for strategy in ("one", "mirrored"):
        folder = written / strategy / network
        assert (folder / checkpoint.FINAL).is_file()
        assert list(folder.glob("best-*")) != []
        states.append(stored_weights(folder / checkpoint.FINAL))
    single, several = states
    assert len(single) > 4
    assert single.keys() == several.keys()
    for name in single:
        np.testing.assert_allclose(single[name], several[name], atol=1e-3, err_msg=name)


def test_progress_is_written_for_tensorboard(mirrored):
    logs = mirrored("unetplusplus")[1] / "mirrored" / "unetplusplus" / "logs"
    assert {path.name for path in logs.iterdir()} == {"train", "validation"}


@pytest.mark.parametrize("network", NETWORKS)
def test_the_step_compiles_with_xla(tmp_path, network):
    # In a process of its own: deterministic operations, which other tests turn on for
    # good, have no XLA kernels.
    losses = finish(start(tmp_path, network, "one", "xla"))
    assert losses.keys() == {network}
    plain, compiled = losses[network]
    assert plain[0] > plain[-1]
    np.testing.assert_allclose(plain, compiled, atol=1e-4)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [bound.getsockname()[1] for bound in sockets]
    for bound in sockets:
        bound.close()
    return ports


def start_workers(*arguments, count=2):
    """Workers on this machine that share a folder."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    return [
        start(
            *arguments,
            TF_CONFIG=json.dumps(
                {
                    "cluster": {"worker": addresses},
                    "task": {"type": "worker", "index": number},
                }
            ),
        )
        for number in range(count)
    ]


@pytest.mark.slow
def test_two_workers_train_as_one_process(tmp_path):
    networks = ",".join(distributed_run.NETWORKS)
    workers = start_workers(tmp_path, networks, "multiworker")
    outcomes = [finish(worker) for worker in workers]
    alone = finish(start(tmp_path, networks, "one"))
    for network in distributed_run.NETWORKS:
        single = alone[network]["one"][0]
        for worker in outcomes:
            assert_equal_histories(single, worker[network]["multiworker"][0])
        folder = tmp_path / "multiworker" / network
        assert (folder / checkpoint.FINAL).is_file()
        assert len(list(folder.glob("best-*"))) == 1
        assert not list(folder.glob(".writing-*"))


def finished_epochs(folder):
    try:
        with np.load(folder / checkpoint.STATE) as state:
            return len(json.loads(state["meta"].tobytes())["history"])
    except FileNotFoundError:
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_stops_the_other_and_both_resume(tmp_path, victim):
    steps = 60
    folder = tmp_path / "multiworker" / "unetplusplus"
    run = (tmp_path, "unetplusplus", "multiworker")
    workers = start_workers(*run, "fresh", steps)
    deadline = time.monotonic() + 900
    while finished_epochs(folder) < 3 and time.monotonic() < deadline:
        assert all(worker.poll() is None for worker in workers)
        time.sleep(0.01)
    os.kill(workers[victim].pid, signal.SIGKILL)
    began = time.monotonic()
    _, errors = workers[1 - victim].communicate(timeout=60)
    assert time.monotonic() - began < 60
    workers[victim].communicate()
    assert workers[1 - victim].returncode == 1
    last = errors.splitlines()[-1]
    assert last.startswith("A worker was lost, so this one stops too"), errors[-3000:]
    assert 3 <= finished_epochs(folder) < steps
    assert not (folder / checkpoint.FINAL).exists()

    workers = start_workers(*run, "resume", steps)
    histories = [finish(worker)["unetplusplus"]["multiworker"][0] for worker in workers]
    whole = finish(start(tmp_path, "unetplusplus", "one", "fresh", steps))
    for history in histories:
        losses = [epoch["loss"] for epoch in history]
        expected = [epoch["loss"] for epoch in whole["unetplusplus"]["one"][0]]
        np.testing.assert_allclose(losses, expected, atol=1e-4)


def devices_of(name, may_fall_back=False, **facts):
    """Devices whose strategy has these facts alone."""
    return distribute.Devices(name, types.SimpleNamespace(**facts), may_fall_back)


def test_a_batch_that_cannot_be_shared_is_refused():
    three = devices_of("mirrored", num_replicas_in_sync=3)
    with pytest.raises(ValueError, match=r"batch of 4 .* 3 replicas.* such as 6"):
        plans.start(plans.Plan(1, 1, 4, 1e-3, devices=three))


def test_one_device_may_train_on_a_batch_that_several_cannot_share():
    two = devices_of("mirrored", may_fall_back=True, num_replicas_in_sync=2)
    plan = plans.Plan(1, 1, 4, 1e-3, devices=two)
    assert plan.training_devices is two
    assert dataclasses.replace(plan, batch=1).training_devices is distribute.ONE
    asked_for = dataclasses.replace(two, may_fall_back=False)
    with pytest.raises(ValueError, match="batch of 1 cannot be shared"):
        asked_for.for_batch(1)


def test_the_first_worker_alone_is_chief():
    assert distribute.ONE.is_chief
    for number, chief in ((0, True), (1, False)):
        resolver = types.SimpleNamespace(task_type="worker", task_id=number)
        assert devices_of("multiworker", cluster_resolver=resolver).is_chief is chief


def test_a_worker_that_is_not_chief_writes_nothing(tmp_path):
    state = checkpoint.Checkpoint(tmp_path, {}, "score", 2, writes=False)
    state.on_epoch_begin(0)
    state.on_epoch_end(0, {"score": 1.0})
    # It knows the best epoch all the same, whose file it loads at the end.
    assert state.best_file == "best-0001.weights.h5"
    assert list(tmp_path.iterdir()) == []


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
        distribute.choose(name)


@pytest.mark.parametrize(
    ("gpus", "name"), [([], "one"), (["a"], "one"), (["a", "b"], "mirrored")]
)
def test_auto_takes_what_is_there(monkeypatch, gpus, name):
    for variable in ("TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(variable, raising=False)
    devices = distribute.choose("auto", {"GPU": gpus, "TPU": []}.get)
    assert devices.name == name
    assert devices.may_fall_back is (name == "mirrored")
    assert not distribute.choose("mirrored").may_fall_back


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("TPU_NAME", "local", "tpu"),
        ("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}', "multiworker"),
    ],
)
def test_auto_prefers_what_the_environment_names(monkeypatch, variable, value, name):
    for known in ("TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(known, raising=False)
    monkeypatch.setenv(variable, value)
    several = {"GPU": ["a", "b"], "TPU": []}.get
    assert distribute.best_available(several) == name
