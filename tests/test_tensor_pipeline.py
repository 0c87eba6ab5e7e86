"""Input pipelines for a TPU: no Python in their graphs, batches as the others'."""

import functools
import types

import numpy as np
import pytest
import slice_dataset
import small
import tensorflow as tf

from ich_tf.experiments import runner, task
from ich_tf.experiments.tasks import classifier_networks, crop_data
from ich_tf.preprocessing.classification import records
from ich_tf.preprocessing.segmentation import pipeline, slices, tensor_pipeline
from ich_tf.preprocessing.windows import Window
from ich_tf.training import distribute

PYTHON = {"PyFunc", "EagerPyFunc", "PyFuncStateless", "GeneratorDataset"}
SHOWN = (Window(40, 120),)


def operations(dataset):
    """Names of all operations of a dataset and of the functions it calls."""
    graph = tf.compat.v1.GraphDef()
    stored = tf.raw_ops.DatasetToGraphV2(
        input_dataset=dataset._variant_tensor, external_state_policy=1
    )
    graph.ParseFromString(stored.numpy())
    nodes = [*graph.node]
    for function in graph.library.function:
        nodes += function.node_def
    return {node.op for node in nodes}


@pytest.fixture
def crops():
    """Crops of 4 slices in 2 cases; crops of the first column hold hemorrhage."""
    generator = np.random.default_rng(0)
    hu = generator.normal(40, 40, (4, 16, 16)).astype(np.float32)
    mask = np.zeros(hu.shape, np.uint8)
    mask[:, 2:5, 2:5] = 1
    mask[3] = 0
    kept = slices.Slices(hu, mask, ("a", "a", "b", "b"), (0, 1, 0, 1))
    corners = np.array([(row, column) for row in (0, 8) for column in (0, 8)])
    return pipeline.crops(kept, corners, 8)


TPU = distribute.Devices("tpu")


def run_of(devices=distribute.ONE, **profile):
    fields = {
        "batch": 4,
        "augmentation": "hssayeni2020_flip",
        "lesion_share": 0.5,
        "validation_crops": None,
        **profile,
    }
    experiment = types.SimpleNamespace(id="x", approach="approach1", channels=3)
    return types.SimpleNamespace(
        profile=types.SimpleNamespace(**fields),
        experiment=experiment,
        seed=3,
        devices=devices,
    )


@pytest.mark.parametrize("share", [None, 0.5])
def test_crops_for_a_tpu_need_no_python(crops, share):
    run = run_of(lesion_share=share)
    sampler, validation = crop_data.crop_batches(run, crops, crops)
    assert operations(sampler(0, 3)) & PYTHON
    assert operations(validation) & PYTHON
    run = run_of(TPU, lesion_share=share)
    sampler, validation = crop_data.crop_batches(run, crops, crops)
    for dataset in (sampler(0, 3), validation):
        used = operations(dataset)
        assert len(used) > 10
        assert not used & PYTHON
        assert [spec.shape for spec in dataset.element_spec] == [
            (4, 8, 8, 3),
            (4, 8, 8, 1),
        ]
    (images, masks), *_ = sampler(0, 1).as_numpy_iterator()
    assert images.dtype == masks.dtype == np.float32
    assert 0 <= images.min() < images.max() <= 1
    assert set(np.unique(masks)) == {0, 1}


def tensor_batches(crops, first, last, **changes):
    arguments = {"channels": 1, "batch": 4, "seed": 1, **changes}
    made = tensor_pipeline.training_batches(
        crops, SHOWN, first_step=first, last_step=last, **arguments
    )
    return list(made.as_numpy_iterator())


def to_channels(hu):
    return np.clip((hu[..., np.newaxis] + 20) / 120, 0, 1)


def places(crops, images):
    """Which crop each image is."""
    every, _ = pipeline.crop_batch(crops, np.arange(len(crops)), to_channels)
    distances = [np.abs(every - image).max(axis=(1, 2, 3)) for image in images]
    assert np.min(distances, axis=1).max() < 1e-6
    return np.argmin(distances, axis=1)


def test_a_pass_has_each_crop_once_and_the_next_another_order(crops):
    made = tensor_batches(crops, 0, 8)
    first, second = (
        places(crops, np.concatenate([images for images, _ in part]))
        for part in (made[:4], made[4:])
    )
    assert sorted(first) == sorted(second) == list(range(16))
    assert list(first) != list(second)
    for images, masks in made:
        with_lesion = crops.has_lesion[places(crops, images)]
        np.testing.assert_array_equal(masks.any(axis=(1, 2, 3)), with_lesion)


@pytest.mark.parametrize("share", [None, 0.5])
def test_a_later_start_sees_the_same_tensor_batches(crops, share):
    from ich_tf.preprocessing import tensor_augment

    changes = {
        "lesion_share": share,
        "augment": tensor_augment.augmenter("hssayeni2020_flip"),
    }
    whole, rest = (tensor_batches(crops, first, 7, **changes) for first in (0, 5))
    assert len(whole) == 7
    for expected, batch in zip(whole[5:], rest, strict=True):
        np.testing.assert_array_equal(expected[0], batch[0])
        np.testing.assert_array_equal(expected[1], batch[1])


def test_lesion_share_and_cases_as_in_the_other_pipeline(crops):
    made = tensor_batches(crops, 0, 60, lesion_share=0.5)
    drawn = np.concatenate([places(crops, images) for images, _ in made])
    lesion = crops.has_lesion[drawn].reshape(-1, 4)
    np.testing.assert_array_equal(lesion.sum(axis=1), 2)
    owners = np.array(crops.slices.case_ids)[crops.places[drawn, 0]]
    # Case "a" has two crops with hemorrhage, "b" one: both have the same chance.
    assert 40 < np.sum(lesion.ravel() & (owners == "b")) < 80
    assert len(set(drawn)) == len(crops)


def test_validation_crops_equal_the_other_pipeline(crops):
    for limit in (None, 9, 2):
        plain = pipeline.validation_batches(
            crops, to_channels, channels=1, batch=4, limit=limit
        )
        tensor = tensor_pipeline.validation_batches(
            crops, SHOWN, channels=1, batch=4, limit=limit
        )
        pairs = zip(plain.as_numpy_iterator(), tensor.as_numpy_iterator(), strict=True)
        for (image, mask), (its_image, its_mask) in pairs:
            np.testing.assert_allclose(image, its_image, atol=1e-6)
            np.testing.assert_array_equal(mask, its_mask)


def test_windows_that_do_not_fill_the_channels_are_refused(crops):
    with pytest.raises(ValueError, match="2 windows do not fill 3 channels"):
        tensor_pipeline.validation_batches(crops, (*SHOWN, *SHOWN), channels=3, batch=4)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    from ich_tf.preprocessing.classification import shards

    folder = tmp_path_factory.mktemp("shards")
    shards.run(
        functools.partial(slice_dataset.SliceDataset),
        folder,
        size=16,
        scans_per_shard=3,
        workers=1,
    )
    return records.Shards(folder)


def test_images_for_a_tpu_need_no_python(shards):
    plan = types.SimpleNamespace(batch=4)

    def made(first=0, last=4, devices=TPU):
        run = run_of(devices, augmentation="burduja2020")
        batches = classifier_networks.image_batches(run, shards, plan)
        return batches(first, last)

    assert operations(made(devices=distribute.ONE)) & PYTHON
    used = operations(made())
    assert "ImageProjectiveTransformV3" in used
    assert not used & PYTHON
    whole, rest = (list(made(first).as_numpy_iterator()) for first in (0, 3))
    np.testing.assert_array_equal(whole[3][0], rest[0][0])
    assert whole[0][0].shape == (4, 16, 16, 3)
    assert 0 <= whole[0][0].min() < whole[0][0].max() <= 1


def test_a_sequence_model_is_not_for_a_tpu(tmp_path):
    folders = runner.Folders(tmp_path / "results", tmp_path / "weights")
    run = small.run("table1/resnext101-lstm", folders, devices=TPU)
    with pytest.raises(task.DoesNotApply, match="Scans differ in length"):
        run.task.check(run)
