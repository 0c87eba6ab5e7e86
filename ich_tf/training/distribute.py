"""The devices and machines that train: which strategy, who writes files, who waits.

A batch is always the global one, and every replica gets its share of it. Batch
normalization takes its moments over all replicas. `distributed_fit` is the loop.
"""

import contextlib
import json
import logging
import os
from collections.abc import Iterator

import keras
import tensorflow as tf

from ich_tf.models import walk

LOGGER = logging.getLogger(__name__)
STRATEGIES = ("auto", "one", "mirrored", "multiworker", "tpu")

# The strategy of this process, because Keras forgets it with each `clear_session`; None
# is TensorFlow's default, one device.
_strategy: tf.distribute.Strategy | None = None
# Devices that "auto" found; a batch that they cannot share trains on one of them.
_found_devices: tf.distribute.Strategy | None = None


def choose(name: str = "auto") -> str:
    """Choose the strategy of this process, before TensorFlow does anything else.

    Args:
        name: "one" device; "mirrored", all GPUs (without any, all logical CPUs) of
            this machine; "multiworker", the machines that `TF_CONFIG` lists; "tpu";
            or "auto", the best of what is available (see `share`).

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
    """Make the chosen strategy the current one; networks built next belong to it."""
    tf.distribute.experimental_set_strategy(_strategy)


def leave() -> None:
    """Return to one device, for prediction; `enter` undoes it."""
    tf.distribute.experimental_set_strategy(None)


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Leave the strategy while a worker does something alone, such as writing files.

    Within the strategy even reading a model may create a variable (Keras 3.15), for
    which the worker would wait for all others.
    """
    leave()
    try:
        yield
    finally:
        enter()


def strategy() -> tf.distribute.Strategy:
    """The chosen strategy; TensorFlow's default for one device."""
    return _strategy or tf.distribute.get_strategy()


def is_used() -> bool:
    """Whether several devices, or a TPU, were chosen."""
    return _strategy is not None


def is_tpu() -> bool:
    """Whether a TPU trains; its input pipeline must not contain Python."""
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

    Where "auto" found several devices that cannot share the batch, one of them trains.

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
    """Make batch normalization take its moments over all replicas."""
    for layer in walk.all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = replicas() > 1


def exchange(number: float) -> list[float]:
    """The number that each replica passes; waits until all workers have come here.

    Raises:
        ConnectionError: if a worker was lost.
    """
    if not isinstance(_strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return [number]

    @tf.function(autograph=False)
    def collect():
        return _strategy.run(lambda: gather(tf.constant([number], tf.float32)))

    with lost_workers_named():
        numbers = _strategy.experimental_local_results(collect())[0]
        return numbers.numpy().tolist()


@contextlib.contextmanager
def chief_first() -> Iterator[None]:
    """Run the block in the chief, then in the other workers, which find its files."""
    if not is_chief():
        exchange(0)
    yield
    if is_chief():
        exchange(0)


@contextlib.contextmanager
def lost_workers_named() -> Iterator[None]:
    """Raise a ConnectionError with the remedy where TensorFlow lost a worker."""
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


def gather(share: tf.Tensor) -> tf.Tensor:
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
