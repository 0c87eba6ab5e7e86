"""Batches made by processes: order, shared memory, and that nothing is left behind."""

import gc
import multiprocessing
import os
import subprocess
import sys
import textwrap
from multiprocessing import shared_memory

import numpy as np
import pytest

from ich_tf.preprocessing import batch_workers

# The workers import this file: it does without TensorFlow.
SPECS = (((2, 3), np.float32), ((5,), np.uint8))


def write(item, out):
    """A batch that shows its item, and whether this process has TensorFlow."""
    first, second = out
    first[:], second[:] = item, "tensorflow" in sys.modules


def leave(item, out):
    os._exit(1)


def fail(item, out):
    raise ValueError(f"item {item} has no batch")


@pytest.fixture
def blocks(monkeypatch):
    """Names of the shared memory that is made; afterwards all of it must be gone."""
    names = []

    class Recorded(shared_memory.SharedMemory):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            names.append(self.name)

    monkeypatch.setattr(batch_workers.shared_memory, "SharedMemory", Recorded)
    yield names
    monkeypatch.undo()
    gc.collect()
    assert names and multiprocessing.active_children() == []
    for name in names:
        with pytest.raises(FileNotFoundError):
            shared_memory.SharedMemory(name)


def test_batches_are_in_order_keep_their_values_and_need_no_tensorflow(blocks):
    made = list(batch_workers.from_processes(write, range(30), SPECS, 2))
    # All are in use at the same time, so each has memory of its own.
    for number, (first, second) in enumerate(made):
        assert first.shape == (2, 3) and (first == number).all()
        assert second.shape == (5,) and not second.any()


def test_memory_that_is_not_in_use_is_used_again(blocks):
    made = batch_workers.from_processes(write, range(60), SPECS, 2)
    assert sum(1 for _ in made) == 60
    assert len(blocks) < 8


def test_a_reader_that_stops_leaves_nothing(blocks):
    made = batch_workers.from_processes(write, range(10**9), SPECS, 2)
    first, _ = next(made)
    made.close()
    assert (first == 0).all()


def test_failures_and_dead_workers_are_named(blocks):
    with pytest.raises(ValueError, match="item 0 has no batch"):
        next(batch_workers.from_processes(fail, range(3), SPECS, 2))
    with pytest.raises(ChildProcessError, match="memory"):
        next(batch_workers.from_processes(leave, range(3), SPECS, 2))


@pytest.mark.parametrize(
    ("cores", "processes"), [(1, 2), (2, 2), (3, 2), (4, 3), (9, 8), (64, 8)]
)
def test_of_more_than_two_cores_one_is_left_to_training(cores, processes):
    assert batch_workers.process_count(cores) == processes


def test_a_script_needs_no_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import numpy as np
            from ich_tf.preprocessing import augment, batch_workers
            from ich_tf.preprocessing.classification import image_batches
            import zlib

            print("script")
            load = image_batches.AugmentedImages(augment.image_augmenter("flip"), 0)
            item = ([0], [zlib.compress(bytes(48))], np.ones((1, 6), np.float32))
            specs = (((1, 4, 4, 3), np.float32), ((1, 6), np.float32))
            assert batch_workers.why_no_processes(load, specs, 2) is None
            for images, labels in batch_workers.from_processes(load, [item], specs, 2):
                print(images.sum(), labels.sum())
            def own(item, out): pass
            print(batch_workers.why_no_processes(own, specs, 2))
            """
        )
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True
    )
    script, sums, reason = done.stdout.splitlines()
    assert (script, sums) == ("script", "0.0 6.0")
    assert "<function own" in reason
    assert done.stderr == ""
