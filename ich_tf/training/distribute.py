"""The devices and machines that train: which strategy, who writes files, who waits.

A batch is always the global one, and every replica gets its share of it. Batch
normalization takes its moments over all replicas. `distributed_fit` is the loop.
"""

import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

from ich_tf.models import walk

LOGGER = logging.getLogger(__name__)
STRATEGIES = ("auto", "one", "mirrored", "multiworker", "tpu")


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices that share every batch.

    Attributes:
        name: One of `STRATEGIES`, never "auto".
        strategy: TensorFlow's strategy; None for one device.
        may_fall_back: Whether one of them trains on a batch that they cannot share.
    """

    name: str = "one"
    strategy: tf.distribute.Strategy | None = None
    may_fall_back: bool = False

    @property
    def are_several(self) -> bool:
        """Whether there are several, or a TPU, which take batches by a strategy."""
        return self.strategy is not None

    @property
    def are_tpu(self) -> bool:
        """Whether a TPU trains; its input pipeline must not contain Python."""
        return self.name == "tpu"

    @property
    def replicas(self) -> int:
        """Devices that share a batch, on all machines."""
        return 1 if self.strategy is None else self.strategy.num_replicas_in_sync

    @property
    def is_chief(self) -> bool:
        """Whether this process writes files: the first worker, or the only process."""
        resolver = getattr(self.strategy, "cluster_resolver", None)
        return (
            resolver is None or resolver.task_type != "worker" or resolver.task_id == 0
        )

    def for_batch(self, batch: int) -> "Devices":
        """The devices that train on batches of this size: these, or one of them.

        Raises:
            ValueError: if these were asked for and cannot share a batch evenly.
        """
        if self.may_fall_back and batch % self.replicas:
            LOGGER.info(
                "%d devices cannot share a batch of %d: one of them trains",
                self.replicas,
                batch,
            )
            return ONE
        self.per_replica(batch)
        return self

    def per_replica(self, batch: int) -> int:
        """A replica's share of a global batch.

        Raises:
            ValueError: if the batch cannot be divided evenly.
        """
        count = self.replicas
        if batch % count:
            raise ValueError(
                f"A batch of {batch} cannot be shared evenly by {count} replicas. Take "
                f"a multiple of {count}, such as {-(-batch // count) * count}, fewer "
                "devices, or `--strategy one`."
            )
        return batch // count

    def enter(self) -> None:
        """Make them current; networks built next belong to them.

        Keras forgets the strategy with each `clear_session`.
        """
        tf.distribute.experimental_set_strategy(self.strategy)

    def leave(self) -> None:
        """Return to one device, for prediction; `enter` undoes it."""
        tf.distribute.experimental_set_strategy(None)

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Leave them while a worker does something alone, such as writing files.

        Within the strategy even reading a model may create a variable (Keras 3.15), for
        which the worker would wait for all others.
        """
        self.leave()
        try:
            yield
        finally:
            self.enter()

    def synchronize(self, model: keras.Model) -> None:
        """Make batch normalization take its moments over all replicas."""
        for layer in walk.all_layers(model):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = self.replicas > 1

    def exchange(self, number: float) -> list[float]:
        """The numbers that the workers pass; waits until all of them have come here.

        Raises:
            ConnectionError: if a worker was lost.
        """
        if self.name != "multiworker":
            return [number]

        @tf.function(autograph=False)
        def collect():
            return self.strategy.run(lambda: gather(tf.constant([number], tf.float32)))

        with lost_workers_named():
            numbers = self.strategy.experimental_local_results(collect())[0]
            return numbers.numpy().tolist()

    @contextlib.contextmanager
    def chief_first(self) -> Iterator[None]:
        """Run the block in the chief, then in the others, which find its files."""
        if not self.is_chief:
            self.exchange(0)
        yield
        if self.is_chief:
            self.exchange(0)


ONE = Devices()


def choose(
    name: str = "auto",
    physical_devices: Callable[[str], Sequence] = tf.config.list_physical_devices,
) -> Devices:
    """The devices to train on; call it before TensorFlow does anything else.

    Args:
        name: "one" device; "mirrored", all GPUs (without any, all logical CPUs) of
            this machine; "multiworker", the machines that `TF_CONFIG` lists; "tpu";
            or "auto", the best one available. Where "auto" takes several GPUs
            that cannot share a batch, one of them trains on it.
        physical_devices: From a kind of device to the devices of this machine.

    Raises:
        ValueError: if the name is unknown or there is no such thing here.
    """
    if name not in STRATEGIES:
        known = ", ".join(STRATEGIES)
        raise ValueError(f"Unknown strategy {name!r}. Known: {known}")
    chosen = best_available(physical_devices) if name == "auto" else name
    if chosen == "mirrored":
        return Devices(chosen, _mirrored(), may_fall_back=name == "auto")
    if chosen == "multiworker":
        return Devices(chosen, _multiworker())
    if chosen == "tpu":
        return Devices(chosen, _tpu())
    return ONE


def best_available(physical_devices: Callable[[str], Sequence]) -> str:
    """The strategy that "auto" stands for: several workers, a TPU, GPUs, or one."""
    if len(_workers()) > 1:
        return "multiworker"
    if os.environ.get("TPU_NAME") or physical_devices("TPU"):
        return "tpu"
    return "mirrored" if len(physical_devices("GPU")) > 1 else "one"


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
