"""Batches made in NumPy, ahead of training, by threads outside TensorFlow.

With deterministic operations tf.data calls Python for one batch at a time and drops its
prefetching, so that input and training no longer overlap. Here threads make the next
batches while a step trains. Order and content stay a function of the step alone.
"""

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from ich_tf import parallel

MOST_THREADS = 8
"""More would share Python's lock with the training loop and gain little."""


def in_order(
    load: Callable[[Any], tuple],
    items: Callable[[], Iterable[Any]],
    count: int,
    signature: tuple[tf.TensorSpec, ...],
) -> tf.data.Dataset:
    """Batches as a tf.data.Dataset, in the order of the items.

    Args:
        load: Makes the arrays of a batch from an item; several threads use it.
        items: Returns the items, from the beginning, each time the data set is read.
        count: Number of items.
        signature: Shape and type of each array of a batch.
    """
    threads = min(parallel.cores(), MOST_THREADS)

    def batches():
        return parallel.ordered_map(load, items(), workers=threads, threads=True)

    made = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return made.apply(tf.data.experimental.assert_cardinality(count))


def of_steps(
    load: Callable[[int], tuple],
    first_step: int,
    last_step: int,
    shape: tuple[int, ...],
    channels: int,
) -> tf.data.Dataset:
    """Batches of steps `first_step` to `last_step` - 1: images and masks.

    Args:
        load: From a step to images (*shape, channels) and masks (*shape, 1), float32.
        first_step: First step.
        last_step: The step after the last.
        shape: (batch, height, width) or (batch, depth, height, width).
        channels: Channels of the images.
    """
    signature = tuple(
        tf.TensorSpec((*shape, width), tf.float32) for width in (channels, 1)
    )
    steps = range(first_step, last_step)
    return in_order(load, lambda: steps, len(steps), signature)
