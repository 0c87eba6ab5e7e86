"""Several devices or machines behind one `training.fit`: strategies and their loop.

A batch is always the global one: every replica gets its share of it. Predictions and
truth of all replicas are gathered before the loss, and batch normalization takes its
moments over all replicas. So loss and gradients are those of one device with the same
batch, whatever the loss, and neither learning rate nor number of steps depends on the
number of replicas.
"""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

LOGGER = logging.getLogger(__name__)
STRATEGIES = ("auto", "one", "mirrored", "multiworker", "tpu")

# The strategy of this process, for Keras forgets it with each `clear_session`; None
# is TensorFlow's default, one device.
_strategy: tf.distribute.Strategy | None = None
# Devices that "auto" found, which a batch that they cannot share goes without.
_found_devices: tf.distribute.Strategy | None = None


def choose(name: str = "auto") -> str:
    """Choose the strategy of this process, before TensorFlow does anything else.

    Args:
        name: "one" device; "mirrored", all GPUs (without any, all logical CPUs) of
            this machine; "multiworker", the machines that `TF_CONFIG` lists; "tpu";
            or "auto", which takes what is there (see `share`).

    Returns:
        The name of the strategy, never "auto".

    Raises:
        ValueError: if the name is unknown or there is no such thing here.
    """
    global _strategy, _found_devices
    if name not in STRATEGIES:
        known = ", ".join(STRATEGIES)
        raise ValueError(f"Unknown strategy {name!r}. Known: {known}")
    asked, name = name, _found() if name == "auto" else name
    makers = {"mirrored": _mirrored, "multiworker": _multiworker, "tpu": _tpu}
    _strategy = makers[name]() if name in makers else None
    _found_devices = _strategy if (asked, name) == ("auto", "mirrored") else None
    return name


def _found() -> str:
    if len(_workers()) > 1:
        return "multiworker"
    if os.environ.get("TPU_NAME") or tf.config.list_physical_devices("TPU"):
        return "tpu"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one"


def _mirrored() -> tf.distribute.Strategy:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices(
        "CPU"
    )
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _workers() -> list[str]:
    """Addresses of the workers in `TF_CONFIG`, none without it."""
    try:
        settings = json.loads(os.environ.get("TF_CONFIG") or "{}")
        return list(settings.get("cluster", {}).get("worker", []))
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"TF_CONFIG cannot be read as JSON: {error}") from error


def _multiworker() -> tf.distribute.Strategy:
    if not _workers():
        raise ValueError(
            "`multiworker` needs TF_CONFIG, which lists the workers and says which one "
            'this is: \'{"cluster": {"worker": ["host1:port", "host2:port"]}, '
            '"task": {"type": "worker", "index": 0}}\'. See docs/distributed.md.'
        )
    return tf.distribute.MultiWorkerMirroredStrategy()


def _tpu() -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME")
    if name is None and tf.config.list_physical_devices("TPU"):
        name = "local"
    if name is None:
        raise ValueError(
            "There is no TPU here, and TPU_NAME names none. On Colab choose a runtime "
            "with a TPU; see docs/tpu.md."
        )
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(name)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise ValueError(
            f"The TPU {name!r} cannot be used: {error}. See docs/tpu.md."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def enter() -> None:
    """Make the chosen strategy the current one; what is built next belongs to it."""
    tf.distribute.experimental_set_strategy(_strategy)


def leave() -> None:
    """Go back to one device, for prediction; `enter` comes back."""
    tf.distribute.experimental_set_strategy(None)


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Leave the strategy for what a worker does alone, such as writing files.

    Within it even reading a model may create a variable (Keras 3.15), for which the
    worker would wait for all others.
    """
    leave()
    try:
        yield
    finally:
        enter()


def is_used() -> bool:
    """Whether another strategy than one device was chosen."""
    return _strategy is not None


def is_tpu() -> bool:
    """Whether a TPU trains, whose input pipeline must do without Python."""
    return isinstance(_strategy, tf.distribute.TPUStrategy)


def replicas() -> int:
    """Devices that share a batch, on all machines."""
    return 1 if _strategy is None else _strategy.num_replicas_in_sync


def is_chief() -> bool:
    """Whether this process writes files: the first worker, or the only process."""
    resolver = getattr(_strategy, "cluster_resolver", None)
    return resolver is None or resolver.task_type != "worker" or resolver.task_id == 0


def per_replica(batch: int) -> int:
    """A replica's share of a global batch.

    Raises:
        ValueError: if the batch cannot be divided evenly.
    """
    count = replicas()
    if batch % count:
        raise ValueError(
            f"A batch of {batch} cannot be shared evenly by {count} replicas. Take a "
            f"multiple of {count}, such as {-(-batch // count) * count}, fewer "
            "devices, or `--strategy one`."
        )
    return batch // count


def share(batch: int) -> None:
    """Make sure that the replicas can share a global batch.

    Several devices that "auto" found leave a batch that they cannot share to one.

    Raises:
        ValueError: if the devices were asked for and cannot share it.
    """
    global _strategy
    if _found_devices is not None:
        _strategy = _found_devices
        if batch % replicas():
            LOGGER.info(
                "%d devices cannot share a batch of %d: one of them trains",
                replicas(),
                batch,
            )
            _strategy = None
    per_replica(batch)


def synchronize(model: keras.Model) -> None:
    """Let batch normalization take its moments over all replicas."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = replicas() > 1


def exchange(number: float) -> list[float]:
    """This number as every replica knows it; waits until all workers have come here.

    Raises:
        ConnectionError: if a worker was lost.
    """
    if not isinstance(_strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return [number]

    @tf.function(autograph=False)
    def collect():
        return _strategy.run(lambda: _gather(tf.constant([number], tf.float32)))

    with _told_of_loss():
        found = _strategy.experimental_local_results(collect())[0]
        return found.numpy().tolist()


@contextlib.contextmanager
def chief_first() -> Iterator[None]:
    """Run the block in the chief, then in the other workers, who find its files."""
    if not is_chief():
        exchange(0)
    yield
    if is_chief():
        exchange(0)


@contextlib.contextmanager
def _told_of_loss() -> Iterator[None]:
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        raise ConnectionError(
            "A worker was lost, so this one stops too; the state of the last finished "
            "epoch is kept. Start all workers again with `--resume`. TensorFlow says: "
            f"{_last_words(error)}"
        ) from error


def _last_words(error: tf.errors.OpError) -> str:
    """The line of TensorFlow's long message that gives the reason."""
    lines = [line.strip() for line in error.message.splitlines() if line.strip()]
    return next((line for line in lines if "abort" in line), lines[-1])


def fit(
    model: keras.Model,
    batches: tf.data.Dataset,
    validation: tf.data.Dataset | None,
    *,
    epochs: int,
    initial_epoch: int,
    steps_per_epoch: int,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: int | str,
) -> None:
    """Train a compiled model as Keras' `fit` does, under any strategy.

    Keras 3.15's own `fit` fails with several workers.

    Args:
        model: Built and compiled after `enter`.
        batches: Global batches; every worker makes them all and takes its share.
        validation: Global batches; None for none.
        epochs: Number of the last epoch.
        initial_epoch: Epochs that are done.
        steps_per_epoch: Batches of an epoch.
        callbacks: As Keras' `fit` takes them.
        verbose: As Keras' `fit` takes it.

    Raises:
        ConnectionError: if a worker was lost.
    """
    learn, test = _on_all(model, train_step), _on_all(model, _test_step)
    with apart():
        told = keras.callbacks.CallbackList(
            list(callbacks),
            add_progbar=verbose != 0,
            model=model,
            verbose=1 if verbose == "auto" else verbose,
            epochs=epochs,
            steps=steps_per_epoch,
        )
        told.on_train_begin()
    with _told_of_loss():
        iterator = iter(_shares(batches))
        held_out = None if validation is None else _shares(validation)
        for epoch in range(initial_epoch, epochs):
            told.on_epoch_begin(epoch)
            model.reset_metrics()
            for step in range(steps_per_epoch):
                told.on_train_batch_begin(step)
                told.on_train_batch_end(step, {"loss": learn(next(iterator))})
            scores = model.get_metrics_result()
            if held_out is not None:
                model.reset_metrics()
                for batch in held_out:
                    test(batch)
                found = model.get_metrics_result()
                scores |= {f"val_{name}": value for name, value in found.items()}
            scores = {name: float(value) for name, value in scores.items()}
            with apart():
                told.on_epoch_end(epoch, scores)
    with apart():
        told.on_train_end()


def train_on_batch(model: keras.Model) -> Callable[..., float]:
    """Keras' method of this name under the chosen strategy, given a global batch."""
    learn = _on_all(model, train_step)

    def train(*batch) -> float:
        share = _shares(tf.data.Dataset.from_tensors(batch))
        return float(learn(next(iter(share))))

    return train


def _shares(batches: tf.data.Dataset) -> tf.distribute.DistributedDataset:
    """Each replica's rows of every global batch, in order.

    Raises:
        ValueError: if the batches cannot be divided evenly.
    """
    for spec in tf.nest.flatten(batches.element_spec):
        per_replica(spec.shape[0] or replicas())

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        count = context.num_replicas_in_sync
        local = count // context.num_input_pipelines
        first = context.input_pipeline_id * local

        def share(tensor):
            rows = tensor.shape[0]
            inner = tf.shape(tensor)[1:]
            parts = tf.reshape(tensor, tf.concat([[count, -1], inner], 0))
            static = None if rows is None else rows // count
            parts = tf.ensure_shape(parts, (count, static, *tensor.shape[1:]))
            return parts[first : first + local]

        def split(*batch):
            return tf.nest.map_structure(share, batch)

        return batches.map(split).unbatch().prefetch(2)

    return _strategy.distribute_datasets_from_function(of_worker)


def _on_all(model: keras.Model, step: Callable) -> Callable:
    """A step of each replica as one call; returns the loss of the global batch."""

    @tf.function(reduce_retracing=True, autograph=False)
    def everywhere(batch):
        losses = _strategy.run(step, args=(model, batch))
        return _strategy.experimental_local_results(losses)[0]

    return everywhere


def train_step(model: keras.Model, batch: tuple) -> tf.Tensor:
    """Train on a replica's share of a batch; compiles with XLA for static shapes.

    Args:
        model: Compiled.
        batch: As tf.data yields them for Keras' `fit`: inputs, truth and maybe weights.

    Returns:
        The loss of the global batch.
    """
    inputs, truth, weights = keras.utils.unpack_x_y_sample_weight(batch)
    with tf.GradientTape() as tape:
        predicted = model(inputs, training=True)
        loss = _global_loss(model, truth, predicted, weights, training=True)
        scaled = model.optimizer.scale_loss(loss)
    gradients = tape.gradient(scaled, model.trainable_weights)
    model.optimizer.apply_gradients(
        zip(gradients, model.trainable_weights, strict=True)
    )
    return _tracked(model, loss, truth, predicted, weights)


def _test_step(model: keras.Model, batch: tuple) -> tf.Tensor:
    inputs, truth, weights = keras.utils.unpack_x_y_sample_weight(batch)
    predicted = model(inputs, training=False)
    loss = _global_loss(model, truth, predicted, weights, training=False)
    return _tracked(model, loss, truth, predicted, weights)


def _global_loss(model, truth, predicted, weights, training: bool) -> tf.Tensor:
    """The loss of the whole batch, divided by the number of replicas.

    Keras divides it, because gradients are summed over the replicas.
    """
    return model.compute_loss(
        y=tf.nest.map_structure(_gather, truth),
        y_pred=tf.nest.map_structure(_gather_predictions, predicted),
        sample_weight=None if weights is None else _gather(weights),
        training=training,
    )


def _tracked(model, loss, truth, predicted, weights) -> tf.Tensor:
    """Add to the metrics, which are sums over the replicas; return the global loss."""
    loss *= tf.distribute.get_strategy().num_replicas_in_sync
    for metric in model.metrics:
        if metric.name == "loss":
            metric.update_state(loss)
        elif metric.name == "compile_metrics":
            metric.update_state(truth, predicted, weights)
    return loss


def _gather_predictions(predicted: tf.Tensor) -> tf.Tensor:
    """As `_gather`, but keep the logits, from which Keras reckons cross-entropy."""
    logits = getattr(predicted, "_keras_logits", None)
    if logits is None:
        return _gather(predicted)
    return keras.ops.sigmoid(_gather(logits))


def _gather(share: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, in order, with gradients to this one's.

    A sum with zeros at the places of the others, because `all_gather` fails with
    several workers (TensorFlow 2.21) and TPUs sum whatever they can.
    """
    context = tf.distribute.get_replica_context()
    count = context.num_replicas_in_sync
    if count == 1:
        return share
    place = tf.one_hot(context.replica_id_in_sync_group, count, dtype=share.dtype)
    placed = tf.reshape(place, [count] + [1] * share.shape.rank) * share[tf.newaxis]
    everyones = context.all_reduce(tf.distribute.ReduceOp.SUM, placed)
    return tf.reshape(everyones, tf.concat([[-1], tf.shape(share)[1:]], 0))
