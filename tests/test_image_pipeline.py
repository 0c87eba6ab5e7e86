"""Batches of slices from shards: a function of seed and step."""

import functools

import numpy as np
import pytest
import slice_dataset
import tensorflow as tf

from ich_tf.preprocessing import augment
from ich_tf.preprocessing.classification import image_pipeline, records, shards

SIZE = 16
SLICES = 30  # of scan0 to scan6: 3, 4, 5, 6, 3, 4, 5
DATASET = slice_dataset.SliceDataset()


def written(folder, scans_per_shard, **kwargs):
    """Shards of the data set in a folder."""
    shards.run(
        functools.partial(slice_dataset.SliceDataset, **kwargs),
        folder,
        size=SIZE,
        scans_per_shard=scans_per_shard,
        workers=1,
    )
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six scans in groups of three; the seventh cannot be read."""
    return written(tmp_path_factory.mktemp("shards"), 3, broken=("scan3",))


@pytest.fixture(scope="module")
def all_scans(tmp_path_factory):
    return records.Shards(written(tmp_path_factory.mktemp("all"), 3))


def batches(source, first=0, last=6, batch=5, seed=0, **kwargs):
    """Images and labels of some steps."""
    made = image_pipeline.training_batches(
        source, batch=batch, first_step=first, last_step=last, seed=seed, **kwargs
    )
    images, labels = zip(*made.as_numpy_iterator(), strict=True)
    return np.array(images), np.array(labels)


def names(images):
    """Which slice each image is, by its pixels."""
    known = {}
    for case_id in DATASET.case_ids():
        scan = records.load_scan(
            DATASET, case_id, functools.partial(records.volume_images, size=SIZE)
        )
        for place, image in enumerate(scan.images):
            known[image.tobytes()] = (case_id, place)
    flat = np.rint(images.reshape(-1, SIZE, SIZE, 3) * 255).astype(np.uint8)
    return [known[image.tobytes()] for image in flat]


def test_batches_are_the_windowed_slices_and_their_labels(all_scans):
    images, labels = batches(all_scans)
    assert images.shape == (6, 5, 16, 16, 3) and images.dtype == np.float32
    assert labels.shape == (6, 5, 6) and labels.dtype == np.float32
    named_images = zip(names(images), images.reshape(-1, 16, 16, 3), strict=True)
    for ((case_id, place), image), label in zip(
        named_images, labels.reshape(-1, 6), strict=True
    ):
        case = DATASET.load(case_id)
        exact = records.volume_images(case.volume, SIZE)[place]
        assert np.abs(image - exact).max() <= 1 / 510 + 1e-6
        np.testing.assert_array_equal(label, case.labels[place])


def test_every_pass_has_each_slice_once_in_an_order_of_its_own(all_scans):
    images, _ = batches(all_scans, last=12)
    first, second = names(images[:6]), names(images[6:])
    assert len(set(first)) == SLICES == len(first)
    assert set(first) == set(second) and first != second
    assert first != names(batches(all_scans, seed=1)[0])


def test_a_batch_mixes_the_scans_of_a_group(tmp_path):
    source = records.Shards(written(tmp_path, 7))
    images, _ = batches(source, batch=10, last=3)
    mixed = [{case_id for case_id, _ in names(batch)} for batch in images]
    assert min(len(cases) for cases in mixed) >= 4


@pytest.mark.parametrize("batch", [5, 7])
def test_a_batch_follows_from_its_step_alone(all_scans, batch):
    change = augment.image_augmenter("burduja2020")
    images, labels = batches(all_scans, last=14, batch=batch, augment=change)
    for step in (0, 4, 5, 6, 13):
        alone = batches(all_scans, step, step + 1, batch, augment=change)
        np.testing.assert_array_equal(alone[0][0], images[step])
        np.testing.assert_array_equal(alone[1][0], labels[step])


def test_augmentation_changes_images_by_seed_and_leaves_the_order(all_scans):
    change = augment.image_augmenter("burduja2020")
    plain, labels = batches(all_scans)
    changed, same_labels = batches(all_scans, augment=change)
    np.testing.assert_array_equal(labels, same_labels)
    kept = np.isclose(plain, changed, atol=1e-6).all(axis=(2, 3, 4)).mean()
    assert 0 < kept < 0.4  # an eighth keeps everything
    assert changed.min() >= 0 and changed.max() <= 1


def test_some_scans_of_the_shards(folder):
    wanted = ("scan1", "scan6")
    source = records.Shards(folder, wanted)
    assert sum(len(group) for group in source.groups) == 4 + 5
    assert image_pipeline.steps_per_epoch(source, 4) == 2
    images, labels = batches(source, last=3, batch=3)
    shown = names(images)
    assert len(set(shown)) == 9 and {case_id for case_id, _ in shown} == set(wanted)
    assert {scan.case_id for scan in image_pipeline.scans(source)} == set(wanted)


def test_shards_are_read_by_tensorflow_alone(folder):
    def graph(source, **kwargs):
        made = image_pipeline.training_batches(
            source, batch=4, first_step=0, last_step=2, seed=0, **kwargs
        )
        assert made.element_spec == (
            tf.TensorSpec((4, 16, 16, 3), tf.float32),
            tf.TensorSpec((4, 6), tf.float32),
        )
        return made._as_serialized_graph().numpy()

    source = records.Shards(folder)
    assert b"PyFunc" not in graph(source)
    change = augment.image_augmenter("burduja2020")
    assert b"PyFunc" in graph(source, augment=change)


def test_scans_come_whole_from_foot_to_head(folder):
    scans = list(image_pipeline.scans(records.Shards(folder)))
    assert len(scans) == 6
    for scan in scans:
        read = records.load_scan(
            DATASET,
            scan.case_id,
            functools.partial(records.volume_images, size=SIZE),
        )
        assert scan.image_ids == read.image_ids
        np.testing.assert_array_equal(scan.images, read.images)
        np.testing.assert_array_equal(scan.labels, read.labels)
        assert scan.labels.dtype == np.uint8


def test_slices_that_could_not_be_read_are_counted_and_named():
    dataset = slice_dataset.SliceDataset(cut=("scan2",))
    scan = records.load_scan(
        dataset, "scan2", functools.partial(records.volume_images, size=SIZE)
    )
    assert scan.image_ids == tuple(f"scan2-slice{place}" for place in (0, 1, 3, 4))
    assert scan.left_out == (
        "missing slices: left out scan2-slice2.dcm: no pixel data",
    )


def test_shards_that_are_not_there_or_not_as_indexed(folder, tmp_path):
    with pytest.raises(ValueError, match="index.json is missing: prepare"):
        records.Shards(tmp_path)
    with pytest.raises(ValueError, match="first is scan3: scan3.dcm: truncated"):
        records.Shards(folder, ["scan1", "scan3"])
    with pytest.raises(ValueError, match="first is scan9: it was not prepared"):
        records.Shards(folder, ["scan9"])
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    first, second, _ = sorted(tmp_path.glob("*.tfrecord"))
    first.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match="does not hold what the index says"):
        list(image_pipeline.scans(records.Shards(tmp_path)))
    path = tmp_path / "index.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 0'))
    with pytest.raises(ValueError, match="has format 0, this version reads 1"):
        records.Shards(tmp_path)


def test_scans_are_grouped_evenly_and_need_names_of_their_own():
    groups = records.group_case_ids([f"s{n}" for n in range(9)], scans=4, seed=3)
    assert [len(group) for group in groups] == [3, 3, 3]
    assert sorted(sum(groups, ())) == [f"s{n}" for n in range(9)]
    assert groups != records.group_case_ids([f"s{n}" for n in range(9)], 4, seed=4)
    with pytest.raises(ValueError, match="one scan or more, each of them once"):
        records.group_case_ids(["a", "b", "a"])


def test_a_saturated_volume_is_refused():
    from ich_tf.volume import Volume

    volume = Volume(np.zeros((1, 8, 8), np.float32), None, None, None, None, (-20, 100))
    with pytest.raises(ValueError, match="the volume was saturated at -20 and 100"):
        records.volume_images(volume, 8)
