"""Batches as a data set: order, shapes, overlap with training, and who makes them."""

import functools
import multiprocessing
import time

import numpy as np
import pytest
import slice_dataset
import tensorflow as tf
from test_batch_workers import SPECS, blocks, write  # noqa: F401

from ich_tf import parallel, volume
from ich_tf.preprocessing import augment, batch_workers, host_batches, windows
from ich_tf.preprocessing.classification import image_pipeline, records, shards
from ich_tf.preprocessing.segmentation import patches, pipeline, slices, tiles

CHANNELS = functools.partial(windows.channels, approach="approach2", count=3)


def load(step, out):
    images, masks = out
    images[:], masks[:] = step, 0


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
    def slow(step, out):
        time.sleep(0.1)
        load(step, out)

    made = iter(host_batches.of_steps(slow, 0, 10, (2, 4, 4), 3))
    next(made)
    began = time.monotonic()
    for _ in range(9):
        time.sleep(0.1)  # A step of training.
        next(made)
    # One after the other these take 1.8 seconds, side by side 0.9.
    assert time.monotonic() - began < 1.5


def test_a_batch_that_cannot_be_made_ends_training_with_its_reason():
    def broken(step, out):
        raise ValueError(f"step {step} has no crop")

    made = host_batches.of_steps(broken, 0, 2, (2, 4, 4), 3)
    try:
        next(iter(made))
    except tf.errors.OpError as error:
        assert "step 0" in str(error)
    else:
        raise AssertionError("the batch was made")


@pytest.fixture
def stored(tmp_path):
    generator = np.random.default_rng(0)
    cases = []
    for name in "abc":
        hu = generator.normal(40, 30, (5, 32, 32)).astype(np.float32)
        scan = volume.Volume(hu, None, None, None)
        cases.append(volume.Case(name, name, scan, (hu > 80).astype(np.uint8)))
    return slices.store(tmp_path / "s", cases, lambda case: np.arange(5))


def crops_of(stored, tmp_path):
    grid = tiles.TileGrid(32, 32, tile=16, stride=8)
    return pipeline.training_batches(
        pipeline.crops(stored, grid.positions, 16),
        CHANNELS,
        channels=3,
        batch=4,
        first_step=2,
        last_step=9,
        seed=1,
        lesion_share=0.5,
        augment=augment.augmenter("any_scanner"),
    )


def images_of(stored, tmp_path):
    folder = tmp_path / "shards"
    if not folder.is_dir():
        shards.run(slice_dataset.SliceDataset, folder, size=16, workers=1)
    return image_pipeline.training_batches(
        records.Shards(folder),
        batch=5,
        first_step=1,
        last_step=8,
        seed=3,
        augment=augment.image_augmenter("burduja2020_published"),
    )


def patches_of(stored, tmp_path):
    load = patches.PatchBatches(
        patches.volumes(stored),
        (4, 16, 16),
        CHANNELS,
        size=2,
        seed=0,
        lesion_share=0.5,
        augment=augment.augmenter("hssayeni2020_flip"),
    )
    return host_batches.of_steps(load, 0, 6, (2, 4, 16, 16), 3)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("make", [crops_of, images_of, patches_of])
def test_processes_make_the_batches_that_threads_make(
    make, stored, tmp_path, monkeypatch
):
    made = {}
    for kind in host_batches.KINDS:
        monkeypatch.setenv("ICH_TF_INPUT", kind)
        made[kind] = list(make(stored, tmp_path).as_numpy_iterator())
    assert len(made["threads"]) >= 6
    for threads, processes in zip(*made.values(), strict=True):
        for one, other in zip(threads, processes, strict=True):
            np.testing.assert_array_equal(one, other)


def test_slices_travel_as_the_name_of_their_folder(stored):
    load, arguments = stored.__reduce__()
    assert arguments == (stored.folder,)
    np.testing.assert_array_equal(load(*arguments).hu, stored.hu)


@pytest.mark.usefixtures("blocks")
def test_a_data_set_that_is_left_early_leaves_nothing(monkeypatch):
    monkeypatch.setenv("ICH_TF_INPUT", "processes")
    signature = tuple(tf.TensorSpec(shape, dtype) for shape, dtype in SPECS)
    made = iter(host_batches.in_order(write, lambda: range(900), 900, signature))
    assert next(made)[0].numpy().max() == 0
    workers = batch_workers.process_count(parallel.cores())
    assert len(multiprocessing.active_children()) == workers
    del made


def test_threads_take_over_what_processes_cannot_make(monkeypatch, caplog):
    monkeypatch.setenv("ICH_TF_INPUT", "processes")

    def local(step, out):
        write(step, out)

    made = host_batches.of_steps(local, 0, 3, (2, 4, 4), 1)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert local.__qualname__ in record.getMessage()
    assert [float(images[0, 0, 0, 0]) for images, _ in made] == [0, 1, 2]


@pytest.mark.skipif(
    not batch_workers.SHARED_MEMORY.is_dir(), reason="shared memory is no folder"
)
def test_batches_that_do_not_fit_into_shared_memory_name_the_option_of_docker():
    assert batch_workers.why_no_processes(write, SPECS, 2) is None
    petabyte = (((10**15,), np.uint8),)
    assert "--shm-size" in batch_workers.why_no_processes(write, petabyte, 2)


def test_processes_are_for_training_on_a_gpu(monkeypatch):
    monkeypatch.delenv("ICH_TF_INPUT", raising=False)
    assert host_batches.kind() == "threads"
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [kind])
    assert host_batches.kind() == "processes"
    monkeypatch.setenv("ICH_TF_INPUT", "threads")
    assert host_batches.kind() == "threads"
    monkeypatch.setenv("ICH_TF_INPUT", "fork")
    with pytest.raises(ValueError, match="ICH_TF_INPUT must be 'threads' or"):
        host_batches.kind()
