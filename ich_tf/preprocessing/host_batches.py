"""Batches made in NumPy, ahead of training, by workers outside TensorFlow.

With deterministic operations tf.data calls Python for one batch at a time and drops its
prefetching, so that input and training no longer overlap. Here workers make the next
batches while a step trains. Order and content stay a function of the step alone.

Workers are processes where a GPU trains and the cores would else idle, and threads
elsewhere. The environment variable `ICH_TF_INPUT`, "threads" or "processes", decides
before that.
"""

import logging
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ich_tf import parallel
from ich_tf.preprocessing import batch_workers

# Workers import what makes batches, and with it this module, but not TensorFlow.
if TYPE_CHECKING:
    import tensorflow as tf

LOGGER = logging.getLogger(__name__)
VARIABLE = "ICH_TF_INPUT"
KINDS = ("threads", "processes")


def kind() -> str:
    """Which workers make training batches: "threads" or "processes".

    Raises:
        ValueError: if the environment variable is neither.
    """
    import tensorflow as tf

    said = os.environ.get(VARIABLE)
    if said not in (None, "", *KINDS):
        raise ValueError(
            f"{VARIABLE} must be 'threads' or 'processes'. Received: {said!r}"
        )
    return said or KINDS[bool(tf.config.get_visible_devices("GPU"))]


def in_order(
    load: batch_workers.Load,
    items: Callable[[], Iterable[Any]],
    count: int,
    signature: "tuple[tf.TensorSpec, ...]",
    *,
    threads: bool = False,
) -> "tf.data.Dataset":
    """Batches as a tf.data.Dataset, in the order of the items.

    Each reading of the data set has workers of its own, which end with it.

    Args:
        load: Writes the batch of an item into arrays of the signature's shapes and
            types. Several threads use it, or processes, which need it picklable and
            from a module that does not import TensorFlow.
        items: Returns the items, from the beginning, each time the data set is read.
        count: Number of items.
        signature: Shape and type of each array of a batch.
        threads: Whether workers are threads in any case: for batches that take less
            time than the start of a process, a second or two.
    """
    import tensorflow as tf

    specs = tuple((tuple(one.shape), one.dtype.as_numpy_dtype) for one in signature)
    workers = 0 if threads else _processes(load, specs)

    def batches():
        if workers:
            return batch_workers.from_processes(load, items(), specs, workers)
        return batch_workers.from_threads(load, items(), specs)

    made = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return made.apply(tf.data.experimental.assert_cardinality(count))


def _processes(load: batch_workers.Load, specs: tuple) -> int:
    """Number of worker processes, 0 for threads."""
    if kind() == "threads":
        return 0
    workers = batch_workers.process_count(parallel.cores())
    reason = batch_workers.why_no_processes(load, specs, workers)
    if reason is not None:
        LOGGER.warning("Threads make the batches, not processes: %s", reason)
        return 0
    return workers


def of_steps(
    load: batch_workers.Load,
    first_step: int,
    last_step: int,
    shape: tuple[int, ...],
    channels: int,
    *,
    threads: bool = False,
) -> "tf.data.Dataset":
    """Batches of steps `first_step` to `last_step` - 1: images and masks.

    Args:
        load: From a step to images (*shape, channels) and masks (*shape, 1), float32;
            see `in_order`.
        first_step: First step.
        last_step: The step after the last.
        shape: (batch, height, width) or (batch, depth, height, width).
        channels: Channels of the images.
        threads: Whether workers are threads in any case.
    """
    import tensorflow as tf

    signature = tuple(
        tf.TensorSpec((*shape, width), tf.float32) for width in (channels, 1)
    )
    steps = range(first_step, last_step)
    return in_order(load, lambda: steps, len(steps), signature, threads=threads)
