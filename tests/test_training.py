import dataclasses
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import resume_run
from weights_files import stored_weights

import ich_tf
from ich_tf import models
from ich_tf.models import weights
from ich_tf.training import checkpoint, fit, plans, precision

SCRIPT = pathlib.Path(resume_run.__file__)
PACKAGE = pathlib.Path(ich_tf.__file__).parent.parent


def start(folder, mode):
    return subprocess.Popen(
        [sys.executable, SCRIPT, folder, mode],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder, mode):
    process = start(folder, mode)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors[-2000:]


def kill_once_epochs_are_done(process, folder, epochs):
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / checkpoint.STATE).is_file() and finished_epochs(folder) >= epochs:
            break
        time.sleep(0.001)
    was_running = process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert was_running, "the run ended before it could be killed"


def finished_epochs(folder):
    with np.load(folder / checkpoint.STATE) as state:
        return state["meta"].tobytes().count(b'"epoch":')


def test_killed_run_ends_with_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(whole, "fresh")
    process = start(killed, "fresh")
    kill_once_epochs_are_done(process, killed, 2)
    assert not (killed / checkpoint.FINAL).exists()
    assert 2 <= finished_epochs(killed) < resume_run.PLAN.epochs
    finish(killed, "resume")
    expected, resumed = (
        stored_weights(run / checkpoint.FINAL) for run in (whole, killed)
    )
    assert len(expected) > 20
    assert expected.keys() == resumed.keys()
    for name in expected:
        np.testing.assert_array_equal(expected[name], resumed[name], err_msg=name)
    assert finished_epochs(killed) == resume_run.PLAN.epochs


def compiled(plan):
    plans.start(plan)
    model = models.build("unetplusplus", input_shape=(16, 16, 1), filters=(4, 8))
    plans.compile_model(model, "bce", plan, [plans.SoftJaccard()])
    return model


@pytest.fixture
def plan():
    yield plans.Plan(2, 2, 2, 1e-3, precision="float32", deterministic=False)
    keras.config.set_dtype_policy("float32")


def train(model, plan, folder, **changes):
    arguments = {"spec": {"a": 1}, "tensorboard": False, **changes}
    return fit.fit(
        model,
        resume_run.batches,
        resume_run.batches(50, 51),
        plan,
        folder,
        **arguments,
    )


def test_resume_with_nothing_to_resume_fails(tmp_path, plan):
    with pytest.raises(ValueError, match=r"Nothing to resume: .*state\.npz"):
        train(compiled(plan), plan, tmp_path / "new", resume=True)


def test_state_of_another_run_is_refused(tmp_path, plan):
    train(compiled(plan), plan, tmp_path / "run")
    assert checkpoint.stored_spec(tmp_path / "run") == {"a": 1}
    with pytest.raises(ValueError, match="settings differ in a"):
        train(compiled(plan), plan, tmp_path / "run", spec={"a": 2}, resume=True)


def test_what_was_trained_before_is_kept_aside(tmp_path, plan):
    folder = tmp_path / "fold-0"
    train(compiled(plan), plan, folder, spec={"is": "one"})
    first = (folder / checkpoint.FINAL).read_bytes()
    train(compiled(plan), plan, folder, spec={"is": "another"})
    kept = tmp_path / "fold-0-before-1"
    assert (kept / checkpoint.FINAL).read_bytes() == first
    assert checkpoint.stored_spec(kept) == {"is": "one"}
    assert checkpoint.stored_spec(folder) == {"is": "another"}


def test_best_epoch_is_kept(tmp_path, plan):
    model = compiled(plan)
    history = train(model, plan, tmp_path / "run")
    assert [epoch["epoch"] for epoch in history] == [1, 2]
    best = max(history, key=lambda epoch: epoch["val_soft_jaccard"])
    kept = model.evaluate(resume_run.batches(50, 51), verbose=0, return_dict=True)
    assert kept["soft_jaccard"] == pytest.approx(best["val_soft_jaccard"], abs=1e-6)
    files = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert files == [
        f"best-{best['epoch']:04d}.weights.h5",
        "model.weights.h5",
        "state.npz",
    ]


def test_what_is_kept_at_the_end_is_weights_and_history_alone(tmp_path, plan):
    model = compiled(plan)
    folder = tmp_path / "run"
    history = train(model, plan, folder)
    kept = stored_weights(folder / checkpoint.FINAL)
    assert sum(array.size for array in kept.values()) == model.count_params()
    with np.load(folder / checkpoint.STATE) as state:
        assert state.files == ["meta"]
    assert model.optimizer is not None
    again = compiled(plan)
    assert train(again, plan, folder, resume=True) == history
    for left, right in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_one_epoch_needs_no_validation(tmp_path, plan):
    once = dataclasses.replace(plan, epochs=1)
    (epoch,) = fit.fit(
        compiled(once),
        resume_run.batches,
        None,
        once,
        tmp_path / "run",
        spec={},
        tensorboard=False,
    )
    assert "soft_jaccard" in epoch
    assert "val_soft_jaccard" not in epoch
    assert (tmp_path / "run" / checkpoint.FINAL).is_file()


@pytest.mark.parametrize(
    ("scores", "stopped"),
    [
        ([], False),
        ([0.1, 0.2, 0.3], False),
        ([0.1, 0.3, 0.2], False),
        # The best is two epochs old.
        ([0.1, 0.3, 0.2, 0.3], True),
        ([0.1, 0.3, 0.2, 0.4], False),
    ],
)
def test_patience_ends_with_the_last_rise(plan, scores, stopped):
    history = [{"val_soft_jaccard": score} for score in scores]
    assert plans.has_stopped(dataclasses.replace(plan, patience=2), history) is stopped
    assert not plans.has_stopped(plan, history)


def test_training_ends_early_and_stays_ended(tmp_path, plan):
    """With a rate of 0 no epoch is better than the first."""
    patient = dataclasses.replace(plan, epochs=5, learning_rate=0.0, patience=1)
    history = train(compiled(patient), patient, tmp_path / "run")
    assert [epoch["epoch"] for epoch in history] == [1, 2]
    again = train(compiled(patient), patient, tmp_path / "run", resume=True)
    assert again == history


def test_the_best_or_the_last_epoch_is_kept(tmp_path, plan):
    """Without hemorrhage every epoch scores 0, so the first one is the best."""
    empty = resume_run.batches(50, 51).map(lambda images, masks: (images, 0 * masks))
    last = dataclasses.replace(plan, keep_last=True)

    def kept(name, plan, validation):
        model = compiled(plan)
        fit.fit(
            model,
            resume_run.batches,
            validation,
            plan,
            tmp_path / name,
            spec={},
            tensorboard=False,
        )
        return np.concatenate([np.ravel(weight) for weight in model.get_weights()])

    without_validation = kept("none", plan, None)
    assert kept("last", last, empty) == pytest.approx(without_validation, abs=1e-5)
    assert kept("best", plan, empty) != pytest.approx(without_validation, abs=1e-5)


def test_training_that_diverges_says_so(tmp_path, plan):
    model = compiled(plan)
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, np.nan))
    with pytest.raises(checkpoint.Diverged, match="diverged in epoch 1"):
        train(model, plan, tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_schedules(plan):
    rate = plans.learning_rate(plans.Plan(10, 10, 1, 1e-5, "inverse_time", 1e-5 / 100))
    assert float(rate(0)) == pytest.approx(1e-5)
    assert float(rate(10_000_000)) == pytest.approx(1e-5 / 2)
    rate = plans.learning_rate(plans.Plan(10, 10, 1, 1e-3, "cosine"))
    assert float(rate(50)) == pytest.approx(5e-4, rel=1e-3)
    assert float(rate(100)) == pytest.approx(0.0, abs=1e-9)
    rate = plans.learning_rate(plans.Plan(10, 10, 1, 1e-3, "cosine", warmup_steps=20))
    assert float(rate(10)) == pytest.approx(5e-4, rel=1e-3)
    assert float(rate(60)) == pytest.approx(5e-4, rel=1e-3)
    with pytest.raises(ValueError, match="20 steps of warm-up leave none of 20"):
        plans.learning_rate(plans.Plan(2, 10, 1, 1e-3, "cosine", warmup_steps=20))
    with pytest.raises(ValueError, match="Known: inverse_time, cosine"):
        plans.learning_rate(plans.Plan(1, 1, 1, 1e-3, "linear"))


def test_a_damaged_state_is_named(tmp_path, plan):
    folder = tmp_path / "run"
    train(compiled(plan), dataclasses.replace(plan, epochs=1), folder)
    path = folder / checkpoint.STATE
    whole = path.read_bytes()
    damages = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"not a state",
        "middle": whole[:60] + bytes(40) + whole[100:],
    }
    for content in damages.values():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"state\.npz is damaged"):
            checkpoint.stored_spec(folder)
        with pytest.raises(ValueError, match=r"state\.npz is damaged"):
            train(compiled(plan), plan, folder, resume=True)


def test_damaged_weights_are_named(tmp_path, plan):
    model = compiled(plan)
    folder = tmp_path / "run"
    train(model, plan, folder)
    path = folder / checkpoint.FINAL
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text", bytes(9) + whole[9:]):
        damaged = tmp_path / "damaged.weights.h5"
        damaged.write_bytes(content)
        with pytest.raises(ValueError, match=r"damaged\.weights\.h5 is damaged"):
            checkpoint.load_weights(model, damaged)
    other = models.build("unetplusplus", input_shape=(16, 16, 1), filters=(4, 16))
    with pytest.raises(ValueError, match=r"model\.weights\.h5 .* does not fit"):
        checkpoint.load_weights(other, path)
    with pytest.raises(FileNotFoundError):
        checkpoint.load_weights(model, tmp_path / "absent.weights.h5")


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path, capfd):
    model = models.build("unetplusplus", input_shape=(16, 16, 1), filters=(4, 8))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError, match="too large|No space"):
            weights.save_weights(model, tmp_path / "model.weights.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    assert "HDF5" not in "".join(capfd.readouterr())


def test_gpus_compute_in_the_precision_of_their_tensor_cores():
    # P100 6.0, V100 7.0, T4 7.5, A100 8.0, H100 9.0.
    capabilities = ((6, 0), (7, 0), (7, 5), (8, 0), (9, 0))
    expected = ["float32", *["mixed_float16"] * 2, *["mixed_bfloat16"] * 2]
    assert [
        precision.policy_of_gpu(capability) for capability in capabilities
    ] == expected


def test_operations_are_deterministic_on_a_cpu_by_default(monkeypatch):
    monkeypatch.delenv(precision.DETERMINISTIC, raising=False)
    if precision.device_name() is None:
        assert precision.is_deterministic(None)
    assert precision.is_deterministic(True) and not precision.is_deterministic(False)
    for said in ("on", "off"):
        monkeypatch.setenv(precision.DETERMINISTIC, said)
        for wanted in (None, True, False):
            assert precision.is_deterministic(wanted) is (said == "on")
    monkeypatch.setenv(precision.DETERMINISTIC, "maybe")
    with pytest.raises(ValueError, match="'on' or 'off'"):
        precision.is_deterministic(None)


def test_precision_names():
    assert precision.precision_policy("mixed_float16") == "mixed_float16"
    with pytest.raises(ValueError, match="Unknown precision 'half'"):
        precision.precision_policy("half")


def test_batch_norm_momentum_is_changed_everywhere():
    plan = plans.Plan(1, 1, 1, 1e-3, batch_norm_momentum=0.9, precision="float32")
    plans.start(plan)
    model = models.build("unetplusplus", backbone="resnet50", input_shape=(32, 32, 3))
    plans.compile_model(model, "jaccard", plan, [plans.SoftJaccard()])
    momenta = {
        layer.momentum
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    assert momenta == {0.9}


def test_estimate_changes_nothing(plan):
    model = compiled(plan)
    before = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    expected = fit.estimate(model, resume_run.batches(0, 3), plan)
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, keras.ops.convert_to_numpy(variable))
    assert expected.seconds_per_step > 0
    # 16 bytes for each parameter at least, and no more than a few megabytes here.
    assert model.count_params() * 16e-9 < expected.gigabytes < 0.01
