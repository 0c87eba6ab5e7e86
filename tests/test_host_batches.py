"""Batches made by threads: order, shapes, and overlap with training."""

import time

import numpy as np
import tensorflow as tf

from ich_tf.preprocessing import host_batches


def load(step):
    return np.full((2, 4, 4, 3), step, np.float32), np.zeros((2, 4, 4, 1), np.float32)


def test_steps_come_in_order_with_static_shapes_whenever_they_are_read():
    made = host_batches.of_steps(load, 3, 8, (2, 4, 4), 3)
    assert made.element_spec == (
        tf.TensorSpec((2, 4, 4, 3), tf.float32),
        tf.TensorSpec((2, 4, 4, 1), tf.float32),
    )
    assert len(made) == 5
    for _ in range(2):
        steps = [float(images[0, 0, 0, 0]) for images, _ in made.as_numpy_iterator()]
        assert steps == [3, 4, 5, 6, 7]


def test_the_next_batches_are_made_while_a_step_trains():
    def slow(step):
        time.sleep(0.1)
        return load(step)

    made = iter(host_batches.of_steps(slow, 0, 10, (2, 4, 4), 3))
    next(made)
    began = time.monotonic()
    for _ in range(9):
        time.sleep(0.1)  # A step of training.
        next(made)
    # One after the other these take 1.8 seconds, side by side 0.9.
    assert time.monotonic() - began < 1.5


def test_a_batch_that_cannot_be_made_ends_training_with_its_reason():
    def broken(step):
        raise ValueError(f"step {step} has no crop")

    made = host_batches.of_steps(broken, 0, 2, (2, 4, 4), 3)
    try:
        next(iter(made))
    except tf.errors.OpError as error:
        assert "step 0" in str(error)
    else:
        raise AssertionError("the batch was made")
