"""Train any network: best checkpoint, progress and resume, on one device or many.

After every epoch the full state (weights, optimizer, random states, history) is written
atomically; after the last epoch only the history is kept. Batches are a function of
seed and step, so with deterministic operations a run that was killed and resumed ends
with the same bits as one that was not. Several devices or machines share each batch,
see `distributed_fit`.
"""

import dataclasses
import itertools
import json
import logging
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from ich_tf import files
from ich_tf.models import memory
from ich_tf.training import checkpoint, distributed_fit, plans
from ich_tf.training.plans import Plan

LOGGER = logging.getLogger(__name__)
OutOfMemory = tf.errors.ResourceExhaustedError


def fit(
    model: keras.Model,
    training: Callable[[int, int], tf.data.Dataset | Iterator[tuple]],
    validation: tf.data.Dataset | None,
    plan: Plan,
    folder: str | os.PathLike,
    *,
    spec: dict,
    resume: bool = False,
    tensorboard: bool = True,
) -> list[dict]:
    """Train a compiled model and keep the weights of the best or the last epoch.

    Args:
        model: Compiled by `plans.compile_model` after `plans.start`.
        training: From first and last step to the batches between them; an iterator's
            may differ in their first two axes (scans and their slices).
        validation: Batches, the same after every epoch; the epoch with the highest
            `plans.SoftJaccard` of them is the best. None: the last epoch is kept.
        plan: Epochs, steps, seed, and which epoch is kept.
        folder: Holds `state.npz` and, at the end, `model.weights.h5`.
            One with the state of another training is renamed `<name>-before-<n>`.
        spec: What this run is, as JSON; a state of another spec is not continued.
        resume: Whether to continue from `state.npz`.
        tensorboard: Whether to write logs for TensorBoard.

    Returns:
        One dict of metrics per epoch. The model has the weights that are kept.

    Raises:
        ValueError: if `resume` finds nothing, or the state of another run; or if the
            loss is not finite; or if the workers do not see the same folder.
        ConnectionError: if another worker was lost.
    """
    folder, devices = pathlib.Path(folder), plan.training_devices
    with devices.chief_first():
        if devices.is_chief:
            _tidy(folder, resume)
    spec = json.loads(json.dumps(spec))
    chosen = validation is not None and not plan.keep_last
    monitor = plans.MONITOR if chosen else None
    state = checkpoint.Checkpoint(
        folder, spec, monitor, plan.epochs, writes=devices.is_chief
    )
    epoch = state.restore(model) if resume else 0
    if len(set(devices.exchange(epoch))) > 1:
        raise ValueError(
            f"The workers do not see the same state in {folder}: it must be a folder "
            "that all of them share."
        )
    if epoch < plan.epochs and not plans.has_stopped(plan, state.history):
        _fit(model, training, validation, plan, state, epoch, tensorboard)
    best = folder / state.best_file
    # The chief has written them by now.
    devices.exchange(plan.epochs)
    checkpoint.load_weights(model, best)
    devices.leave()
    if devices.is_chief:
        files.link(best, folder / checkpoint.FINAL)
    return state.history


def _tidy(folder: pathlib.Path, resume: bool) -> None:
    """Make the folder, without half-written files.

    An earlier training may have taken days: it is set aside, not deleted.
    """
    if not resume and (folder / checkpoint.STATE).is_file():
        LOGGER.info("%s: the earlier training is kept in %s", *_set_aside(folder))
    elif not resume:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{files.WRITING}*"):
        shutil.rmtree(left, ignore_errors=True)


def _set_aside(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Rename a folder; return its old and its new name."""
    names = (folder.with_name(f"{folder.name}-before-{n}") for n in itertools.count(1))
    free = next(name for name in names if not name.exists())
    folder.rename(free)
    return folder, free


def _fit(model, training, validation, plan, state, epoch, tensorboard) -> None:
    """Keras' `fit` on one device, `distributed_fit.fit` on several."""
    devices = plan.training_devices
    callbacks = [state, _StopEarly(plan, state)]
    if plan.average is not None:
        # Validation sees the averaged weights; the checkpoint keeps them.
        callbacks.append(keras.callbacks.SwapEMAWeights())
    verbose = "auto" if sys.stdout.isatty() else 2
    if not devices.is_chief:
        verbose = 0
    elif tensorboard:
        logs = state.folder / "logs"
        callbacks.append(keras.callbacks.TensorBoard(logs, write_graph=False))
    batches = as_dataset(training(epoch * plan.steps_per_epoch, plan.steps))
    common = {
        "epochs": plan.epochs,
        "initial_epoch": epoch,
        "steps_per_epoch": plan.steps_per_epoch,
        "callbacks": callbacks,
        "verbose": verbose,
    }
    if not devices.are_several:
        model.fit(batches, validation_data=validation, shuffle=False, **common)
        return
    LOGGER.info(
        "%d replicas, %d of the %d of a batch each; learning rate as for one device",
        devices.replicas,
        devices.per_replica(plan.batch),
        plan.batch,
    )
    distributed_fit.fit(model, batches, validation, devices, **common)


class _StopEarly(keras.callbacks.Callback):
    """Ends a training whose validation score no longer rises."""

    def __init__(self, plan: Plan, state: checkpoint.Checkpoint):
        super().__init__()
        self.plan, self.state = plan, state

    def on_epoch_end(self, epoch, logs=None):
        """Look at the history, which the checkpoint has extended before."""
        if plans.has_stopped(self.plan, self.state.history):
            self.model.stop_training = True


def as_dataset(batches: tf.data.Dataset | Iterator[tuple]) -> tf.data.Dataset:
    """Batches as tf.data, with the lengths of scans left open.

    Keras would take an iterator, too, but fix every length that its first two batches
    share.
    """
    if isinstance(batches, tf.data.Dataset):
        return batches
    first = next(batches)
    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec((None, None, *array.shape[2:]), array.dtype), first
    )
    return tf.data.Dataset.from_generator(
        lambda: itertools.chain([first], batches), output_signature=signature
    ).prefetch(2)


def validation_data(
    batches: Iterable[tuple[np.ndarray, np.ndarray]], batch: int
) -> tf.data.Dataset:
    """The same batches after every epoch, in memory.

    Args:
        batches: Inputs and truth.
        batch: Units of a batch.
    """
    inputs, truth = (np.concatenate(part) for part in zip(*batches, strict=True))
    return tf.data.Dataset.from_tensor_slices((inputs, truth)).batch(batch)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Time and memory of a run, from a few measured steps.

    Attributes:
        seconds_per_step: Seconds of a training step.
        gigabytes: Memory for weights, gradients, optimizer and activations, in 10^9
            bytes.
    """

    seconds_per_step: float
    gigabytes: float


def estimate(model: keras.Model, batches: Iterable[tuple], plan: Plan) -> Estimate:
    """Measure a few training steps, then put the model back as it was.

    Args:
        model: Compiled.
        batches: Two batches or more; the first, which traces the step, does not count.
        plan: Has the size of a batch and the devices.
    """
    saved = [
        keras.ops.convert_to_numpy(variable)
        for variable in checkpoint.variables_of(model)
    ]
    train, devices = model.train_on_batch, plan.training_devices
    if devices.are_several:
        train = distributed_fit.train_on_batch(model, devices)
    seconds = []
    for batch in batches:
        began = time.monotonic()
        train(*batch)
        seconds.append(time.monotonic() - began)
    for variable, value in zip(checkpoint.variables_of(model), saved, strict=True):
        variable.assign(value)
    model.reset_metrics()
    return Estimate(min(seconds[1:]), _gigabytes(model, plan))


def _gigabytes(model: keras.Model, plan: Plan) -> float:
    return memory.training_gigabytes(model, plan.batch, model.dtype_policy.name)
