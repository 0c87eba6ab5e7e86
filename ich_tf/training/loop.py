"""Train any model: one `fit` with seeds, best checkpoint, progress and resume.

After every epoch the whole state (weights, optimizer, random states, history) goes
to one file that is complete or absent; after the last one, when nothing is left to go
on with, the history alone. Batches are a function of seed and step, so a run that was
killed ends, in deterministic mode, with the same bits as one that was not. Several
devices or machines share each batch, see `distribution`.
"""

import contextlib
import dataclasses
import itertools
import json
import logging
import math
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from ich_tf import files
from ich_tf.training import distribute, losses

LOGGER = logging.getLogger(__name__)
OutOfMemory = tf.errors.ResourceExhaustedError
STATE = "state.npz"
FINAL = "model.weights.h5"


class Diverged(ValueError):
    """A score of an epoch is not finite."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Attributes:
        epochs: Number of epochs; validation and a checkpoint after each.
        steps_per_epoch: Batches of an epoch.
        batch: Crops of a batch: of the global one, which the replicas share.
        learning_rate: Adam's, at the start; the number of replicas does not change
            it, for it does not change the batch.
        schedule: "inverse_time" (Keras' classic decay, `decay` per step), or
            "cosine" down to zero over the whole run, after `warmup_steps`.
        decay: Decay per step of "inverse_time".
        batch_norm_momentum: Momentum of the running statistics; None keeps each
            layer's own (0.99), which needs several hundred steps to settle.
        output_bias: Start of the bias of the last layer; None keeps it.
        precision: "float32", "mixed_bfloat16", "mixed_float16" or "auto".
        seed: Of weights, order of crops, augmentation and dropout.
        deterministic: Whether every operation must be repeatable to the bit.
        warmup_steps: Steps over which "cosine" first rises from zero.
        average: Momentum of a moving average of the weights, which is validated and
            kept instead of them; None for none.
    """

    epochs: int
    steps_per_epoch: int
    batch: int
    learning_rate: float
    schedule: str = "inverse_time"
    decay: float = 0.0
    batch_norm_momentum: float | None = None
    output_bias: float | None = None
    precision: str = "auto"
    seed: int = 0
    deterministic: bool = True
    warmup_steps: int = 0
    average: float | None = None

    @property
    def steps(self) -> int:
        """Batches of the whole run."""
        return self.epochs * self.steps_per_epoch


def device_name() -> str | None:
    """Name of the first accelerator, None on a CPU."""
    for kind in ("TPU", "GPU"):
        for device in tf.config.list_physical_devices(kind):
            details = tf.config.experimental.get_device_details(device)
            return details.get("device_name", kind)
    return None


def restart_gpu_memory_peak() -> None:
    """Begin a new peak of each GPU's memory."""
    for gpu in _gpus():
        tf.config.experimental.reset_memory_stats(gpu)


def gpu_memory_peak() -> int | None:
    """Peak memory of the GPU that took most, in bytes; None without a GPU."""
    peaks = [tf.config.experimental.get_memory_info(gpu)["peak"] for gpu in _gpus()]
    return max(peaks, default=None)


def _gpus() -> list[str]:
    return [f"GPU:{k}" for k in range(len(tf.config.list_physical_devices("GPU")))]


def start(plan: Plan) -> None:
    """Set seeds, determinism, precision and the strategy that `distribution` chose.

    Call it before the model is built.

    Raises:
        ValueError: if the replicas cannot share the batch evenly.
    """
    distribute.share(plan.batch)
    keras.backend.clear_session()
    distribute.enter()
    keras.utils.set_random_seed(plan.seed)
    if plan.deterministic:
        tf.config.experimental.enable_op_determinism()
    if device_name() is None:
        # On a CPU TensorFlow's graph rewriting costs a third of the tracing time (a
        # dozen seconds for DenseNet169) and no step gets faster by it.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    keras.config.set_dtype_policy(precision_policy(plan.precision))


def precision_policy(name: str = "auto") -> str:
    """The dtype policy of a precision; "auto" picks what the device gains from.

    TPUs compute in bfloat16, and so do CPUs with AVX512-BF16 or AMX (2.4 times faster
    training of UNet++ over DenseNet169 was measured); GPUs with tensor cores (compute
    capability 7 or more) in float16; everything else in float32.

    Raises:
        ValueError: if the name is unknown.
    """
    known = ("float32", "mixed_bfloat16", "mixed_float16")
    if name in known:
        return name
    if name != "auto":
        raise ValueError(f"Unknown precision {name!r}. Known: auto, {', '.join(known)}")
    if tf.config.list_logical_devices("TPU"):
        return "mixed_bfloat16"
    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        if details.get("compute_capability", (0, 0)) >= (7, 0):
            return "mixed_float16"
    return "mixed_bfloat16" if _cpu_has_bfloat16() else "float32"


def _cpu_has_bfloat16() -> bool:
    """Whether Linux reports bfloat16 instructions; False elsewhere."""
    try:
        words = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii").split()
    except OSError:
        return False
    return "avx512_bf16" in words or "amx_bf16" in words


@keras.saving.register_keras_serializable(package="ich_tf")
class Adam(keras.optimizers.Adam):
    """The same update as `keras.optimizers.Adam`, by TensorFlow's fused operation.

    Keras writes the update as about forty small operations for each variable. For an
    encoder with hundreds of variables these are more than half of the graph, which
    takes its time to trace and, on every step, to launch (`benchmarks/fused.py`).

    Reference:
        Kingma and Ba 2015, Adam (arXiv:1412.6980).
    """

    def _distributed_tf_update_step(self, distribute, pairs, learning_rate):
        """Compute what all variables share once, then update each."""
        step = tf.cast(tf.convert_to_tensor(self.iterations), tf.float32) + 1
        betas = [tf.constant(beta, tf.float32) for beta in (self.beta_1, self.beta_2)]
        self._shared = {
            "beta1_power": tf.pow(betas[0], step),
            "beta2_power": tf.pow(betas[1], step),
            "beta1": betas[0],
            "beta2": betas[1],
            "epsilon": tf.constant(self.epsilon, tf.float32),
        }
        super()._distributed_tf_update_step(distribute, pairs, learning_rate)

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable and its two moments."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index, dtype = self._get_variable_index(variable), variable.dtype
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            lr=tf.cast(learning_rate, dtype),
            grad=tf.cast(gradient, dtype),
            **{name: tf.cast(value, dtype) for name, value in self._shared.items()},
        )


def compile_model(
    model: keras.Model,
    loss: str | keras.losses.Loss,
    plan: Plan,
    metrics: Sequence = (),
) -> None:
    """Give the model Adam, the loss (or the one of that name) and the metrics."""
    if plan.output_bias is not None:
        for layer in model._flatten_layers():
            if layer.name.endswith("_logits"):
                layer.bias.assign(keras.ops.full(layer.bias.shape, plan.output_bias))
    if plan.batch_norm_momentum is not None:
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = plan.batch_norm_momentum
    distribute.synchronize(model)
    model.compile(
        optimizer=Adam(
            _learning_rate(plan),
            use_ema=plan.average is not None,
            ema_momentum=plan.average or 0.99,
        ),
        loss=losses.get(loss) if isinstance(loss, str) else loss,
        metrics=list(metrics),
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)


class SoftJaccard(keras.metrics.Metric):
    """Soft Jaccard of all pixels since the last reset, which chooses the best epoch.

    Sums over all batches, because a mean over batches would mostly tell how many of
    them hold no hemorrhage.
    """

    def __init__(self, name: str = "soft_jaccard"):
        """Start from nothing."""
        super().__init__(name=name)
        # Made here and not within the first step, which TensorFlow would then trace
        # twice (half a minute for DenseNet169).
        self.intersection = self.add_variable((), "zeros", name="intersection")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch of masks and probabilities."""
        y_true = keras.ops.cast(y_true, y_pred.dtype)
        self.intersection.assign_add(keras.ops.sum(y_true * y_pred))
        self.total.assign_add(keras.ops.sum(y_true) + keras.ops.sum(y_pred))

    def result(self):
        """Intersection over union; 0 if both are empty."""
        union = self.total - self.intersection
        return keras.ops.divide_no_nan(self.intersection, union)


class HemorrhageJaccard(SoftJaccard):
    """`SoftJaccard` of hemorrhage, from subtypes and a softmax over them."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch of subtypes (b, h, w, 1), 0 is background, and probabilities."""
        bleeds = keras.ops.cast(y_true > 0, y_pred.dtype)
        super().update_state(bleeds, 1.0 - y_pred[..., :1])


def _learning_rate(plan: Plan):
    if plan.schedule == "cosine":
        if not plan.warmup_steps:
            return keras.optimizers.schedules.CosineDecay(
                plan.learning_rate, plan.steps
            )
        return keras.optimizers.schedules.CosineDecay(
            0.0,
            plan.steps - plan.warmup_steps,
            warmup_target=plan.learning_rate,
            warmup_steps=plan.warmup_steps,
        )
    if plan.schedule != "inverse_time":
        raise ValueError(
            f"Unknown schedule {plan.schedule!r}. Known: inverse_time, cosine"
        )
    return keras.optimizers.schedules.InverseTimeDecay(
        plan.learning_rate, decay_steps=1, decay_rate=plan.decay
    )


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
    """Train a compiled model and keep the weights of the best epoch.

    Args:
        model: Compiled by `compile_model` after `start`.
        training: From first and last step to the batches between them; an iterator's
            may differ in their first two axes (scans and their slices).
        validation: Batches, the same after every epoch; the epoch with the highest
            `SoftJaccard` of them is the best. None for none: the last epoch is kept.
        plan: Epochs, steps and seed.
        folder: Holds `state.npz` and, at the end, `model.weights.h5`.
            One with the state of another training is renamed `<name>-before-<n>`.
        spec: What this run is, as JSON; a state of another spec is not continued.
        resume: Whether to go on from `state.npz`.
        tensorboard: Whether to write logs for TensorBoard.

    Returns:
        One dict of metrics per epoch. The model has the best weights.

    Raises:
        ValueError: if `resume` finds nothing, or the state of another run; or if the
            loss is not finite; or if the workers do not see the same folder.
        ConnectionError: if another worker was lost.
    """
    folder = pathlib.Path(folder)
    with distribute.chief_first():
        if distribute.is_chief():
            _tidy(folder, resume)
    spec = json.loads(json.dumps(spec))
    monitor = None if validation is None else "val_soft_jaccard"
    checkpoint = Checkpoint(folder, spec, monitor, plan.epochs)
    epoch = checkpoint.restore(model) if resume else 0
    if len(set(distribute.exchange(epoch))) > 1:
        raise ValueError(
            f"The workers do not see the same state in {folder}: it must be a folder "
            "that all of them share."
        )
    if epoch < plan.epochs:
        _fit(model, training, validation, plan, checkpoint, epoch, tensorboard)
    best = folder / checkpoint.best_file
    # The chief has written them by now.
    distribute.exchange(plan.epochs)
    load_weights(model, best)
    distribute.leave()
    if distribute.is_chief():
        files.link(best, folder / FINAL)
    return checkpoint.history


def _tidy(folder: pathlib.Path, resume: bool) -> None:
    """Make the folder, empty or with nothing half-written.

    What was trained there before may have taken days: it is set aside, not deleted.
    """
    if not resume and (folder / STATE).is_file():
        LOGGER.info("%s: what was trained there is kept in %s", *_set_aside(folder))
    elif not resume:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".writing-*"):
        shutil.rmtree(left, ignore_errors=True)


def _set_aside(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Rename a folder; return its old and its new name."""
    names = (folder.with_name(f"{folder.name}-before-{n}") for n in itertools.count(1))
    free = next(name for name in names if not name.exists())
    folder.rename(free)
    return folder, free


def _fit(model, training, validation, plan, checkpoint, epoch, tensorboard) -> None:
    """Keras' `fit` on one device, `distribution.fit` on several."""
    callbacks = [checkpoint]
    if plan.average is not None:
        # Validation sees the averaged weights; `_save_weights` keeps them.
        callbacks.append(keras.callbacks.SwapEMAWeights())
    verbose = "auto" if sys.stdout.isatty() else 2
    if not distribute.is_chief():
        verbose = 0
    elif tensorboard:
        logs = checkpoint.folder / "logs"
        callbacks.append(keras.callbacks.TensorBoard(logs, write_graph=False))
    batches = _as_dataset(training(epoch * plan.steps_per_epoch, plan.steps))
    common = {
        "epochs": plan.epochs,
        "initial_epoch": epoch,
        "steps_per_epoch": plan.steps_per_epoch,
        "callbacks": callbacks,
        "verbose": verbose,
    }
    if not distribute.is_used():
        model.fit(batches, validation_data=validation, shuffle=False, **common)
        return
    LOGGER.info(
        "%d replicas, %d of the %d of a batch each; learning rate as for one device",
        distribute.replicas(),
        distribute.per_replica(plan.batch),
        plan.batch,
    )
    distribute.fit(model, batches, validation, **common)


def _as_dataset(batches: tf.data.Dataset | Iterator[tuple]) -> tf.data.Dataset:
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


def stored_spec(folder: str | os.PathLike) -> dict | None:
    """What the run in this folder is, None if there is no state."""
    path = pathlib.Path(folder) / STATE
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as state:
        return json.loads(state["meta"].tobytes())["spec"]


class Checkpoint(keras.callbacks.Callback):
    """Writes the state after each epoch and the weights when they are the best yet.

    Of several workers the chief alone writes.
    """

    def __init__(
        self, folder: pathlib.Path, spec: dict, monitor: str | None, epochs: int
    ):
        """Keep the folder, what the run is and the score that tells the best epoch."""
        super().__init__()
        self.folder, self.spec, self.monitor = folder, spec, monitor
        self.epochs = epochs
        self.history: list[dict] = []
        self.best, self.best_file = -math.inf, ""
        self._began = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        """Start the epoch's clock."""
        self._began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Write best weights first, then the state that names them."""
        scores = {name: float(value) for name, value in (logs or {}).items()}
        if not all(map(math.isfinite, scores.values())):
            raise Diverged(
                f"Training in {self.folder} diverged in epoch {epoch + 1}: {scores}. "
                "The state of the epoch before is kept. Try a smaller learning rate or "
                "another precision."
            )
        scores["seconds"] = round(time.monotonic() - self._began, 2)
        self.history.append({"epoch": epoch + 1, **scores})
        previous = self.best_file
        score = scores[self.monitor] if self.monitor else epoch
        if score > self.best:
            self.best, self.best_file = score, f"best-{epoch + 1:04d}.weights.h5"
        if not distribute.is_chief():
            return
        if self.best_file != previous:
            _save_weights(self.model, self.folder / self.best_file)
        self._write_state()
        if previous and previous != self.best_file:
            (self.folder / previous).unlink(missing_ok=True)

    def _write_state(self) -> None:
        meta = {
            "spec": self.spec,
            "history": self.history,
            "best": self.best if math.isfinite(self.best) else None,
            "best_file": self.best_file,
        }
        goes_on = len(self.history) < self.epochs
        variables = _variables(self.model) if goes_on else []
        arrays = {
            f"v{number:05d}": keras.ops.convert_to_numpy(variable)
            for number, variable in enumerate(variables)
        }
        with files.atomic(self.folder / STATE) as partial:
            np.savez(partial, meta=_as_bytes(meta), **arrays)

    def restore(self, model: keras.Model) -> int:
        """Put the state back; return the number of finished epochs.

        Raises:
            ValueError: if there is no state, or that of another run.
        """
        path = self.folder / STATE
        if not path.is_file():
            raise ValueError(f"Nothing to resume: {path} does not exist.")
        with np.load(path, allow_pickle=False) as state:
            meta = json.loads(state["meta"].tobytes())
            if meta["spec"] != self.spec:
                raise ValueError(
                    f"{path} belongs to another run: its settings differ in "
                    f"{differences(meta['spec'], self.spec)}. Start anew without "
                    "`resume`."
                )
            goes_on = len(meta["history"]) < self.epochs
            variables = _variables(model) if goes_on else []
            if goes_on and state.files == ["meta"]:
                raise ValueError(
                    f"{path} is of a training that ended after {len(meta['history'])} "
                    "epochs: nothing of it is left to go on with."
                )
            if goes_on and len(state.files) != len(variables) + 1:
                raise ValueError(
                    f"{path} holds {len(state.files) - 1} variables, the model has "
                    f"{len(variables)}: it was trained at another precision."
                )
            for number, variable in enumerate(variables):
                variable.assign(state[f"v{number:05d}"])
        self.history = meta["history"]
        self.best = -math.inf if meta["best"] is None else meta["best"]
        self.best_file = meta["best_file"]
        return len(self.history)


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Load what `fit` left into a model, compiled or not."""
    with _without_optimizer(model):
        model.load_weights(path)


def _save_weights(model: keras.Model, path: pathlib.Path) -> None:
    with files.atomic(path) as partial, _averaged(model), _without_optimizer(model):
        model.save_weights(partial)


@contextlib.contextmanager
def _averaged(model: keras.Model) -> Iterator[None]:
    """Give a model its averaged weights for a while, where it keeps them."""
    optimizer = model.optimizer
    if not getattr(optimizer, "use_ema", False):
        yield
        return
    kept = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for weight, value in zip(model.trainable_variables, kept, strict=True):
            weight.assign(value)


@contextlib.contextmanager
def _without_optimizer(model: keras.Model) -> Iterator[None]:
    """Save or load weights alone: Adam's moments are twice as many numbers."""
    if not model.compiled:
        yield
        return
    optimizer, model.optimizer = model.optimizer, None
    try:
        yield
    finally:
        model.optimizer = optimizer


def _as_bytes(meta: dict) -> np.ndarray:
    return np.frombuffer(json.dumps(meta).encode(), np.uint8)


def _variables(model: keras.Model) -> list:
    return [*model.variables, *model.optimizer.variables]


def differences(one: dict, other: dict) -> str:
    """Names of what two specs say differently."""
    names = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return ", ".join(sorted(names))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a run will take, from a few measured steps.

    Attributes:
        seconds_per_step: Of training.
        gigabytes: Of memory: weights, gradients, optimizer and activations.
    """

    seconds_per_step: float
    gigabytes: float


def estimate(model: keras.Model, batches: Iterable[tuple], plan: Plan) -> Estimate:
    """Measure a few training steps, then put the model back as it was.

    Args:
        model: Compiled.
        batches: Two batches or more; the first pays for tracing and is not counted.
        plan: For the size of a batch.
    """
    saved = [keras.ops.convert_to_numpy(variable) for variable in _variables(model)]
    used = distribute.is_used()
    train = distribute.train_on_batch(model) if used else model.train_on_batch
    seconds = []
    for batch in batches:
        began = time.monotonic()
        train(*batch)
        seconds.append(time.monotonic() - began)
    for variable, value in zip(_variables(model), saved, strict=True):
        variable.assign(value)
    model.reset_metrics()
    return Estimate(min(seconds[1:]), _training_gigabytes(model, plan))


def _training_gigabytes(model: keras.Model, plan: Plan) -> float:
    width = 4 if model.dtype_policy.compute_dtype == "float32" else 2
    activations = 0
    for layer in model.layers:
        outputs = layer.output if isinstance(layer.output, list) else [layer.output]
        activations += sum(math.prod(out.shape[1:]) for out in outputs)
    # Weights, gradients and Adam's two moments; each activation and its gradient.
    parameters = 4 * 4 * model.count_params()
    return (parameters + 2 * width * plan.batch * activations) / 1e9
