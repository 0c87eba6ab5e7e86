"""Batches of slices: the same from shards and from a data set, whatever the step."""

import functools

import numpy as np
import pytest
import slice_dataset
import tensorflow as tf

from ich_tf.preprocessing import augment
from ich_tf.preprocessing.classification import image_pipeline, records

SIZE = 16
SLICES = 30  # of scan0 to scan6: 3, 4, 5, 6, 3, 4, 5
DATASET = slice_dataset.SliceDataset()


def scans_of(open_dataset=slice_dataset.SliceDataset, scans=3, **kwargs):
    dataset = open_dataset()
    groups = records.list_groups(dataset, dataset.case_ids(), scans, seed=0)
    return records.Scans(open_dataset, groups, SIZE, **kwargs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("apache_beam", reason="pip install 'ich_tf[prepare]'")
    from ich_tf.preprocessing.classification import prepare

    folder = tmp_path_factory.mktemp("shards")
    prepare.run(
        functools.partial(slice_dataset.SliceDataset, broken=("scan3",)),
        folder,
        size=SIZE,
        scans_per_shard=3,
        options=prepare.IN_PROCESS,
    )
    return folder


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


def test_batches_are_the_windowed_slices_and_their_labels():
    images, labels = batches(scans_of())
    assert images.shape == (6, 5, 16, 16, 3) and images.dtype == np.float32
    assert labels.shape == (6, 5, 6) and labels.dtype == np.float32
    found = zip(names(images), images.reshape(-1, 16, 16, 3), strict=True)
    for ((case_id, place), image), label in zip(
        found, labels.reshape(-1, 6), strict=True
    ):
        case = DATASET.load(case_id)
        exact = records.volume_images(case.volume, SIZE)[place]
        assert np.abs(image - exact).max() <= 1 / 510 + 1e-6
        np.testing.assert_array_equal(label, case.labels[place])


def test_every_pass_has_each_slice_once_in_an_order_of_its_own():
    images, _ = batches(scans_of(), last=12)
    first, second = names(images[:6]), names(images[6:])
    assert len(set(first)) == SLICES == len(first)
    assert set(first) == set(second) and first != second
    assert first != names(batches(scans_of(), seed=1)[0])


def test_a_batch_mixes_the_scans_of_a_group():
    images, _ = batches(scans_of(scans=7), batch=10, last=3)
    mixed = [{case_id for case_id, _ in names(batch)} for batch in images]
    assert min(len(cases) for cases in mixed) >= 4


@pytest.mark.parametrize("batch", [5, 7])
def test_a_batch_follows_from_its_step_alone(batch):
    change = augment.image_augmenter("burduja2020")
    images, labels = batches(scans_of(), last=14, batch=batch, augment=change)
    for step in (0, 4, 5, 6, 13):
        alone = batches(scans_of(), step, step + 1, batch, augment=change)
        np.testing.assert_array_equal(alone[0][0], images[step])
        np.testing.assert_array_equal(alone[1][0], labels[step])


def test_augmentation_changes_images_by_seed_and_leaves_the_order():
    change = augment.image_augmenter("burduja2020")
    plain, labels = batches(scans_of())
    changed, same_labels = batches(scans_of(), augment=change)
    np.testing.assert_array_equal(labels, same_labels)
    kept = np.isclose(plain, changed, atol=1e-6).all(axis=(2, 3, 4)).mean()
    assert 0 < kept < 0.4  # an eighth keeps everything
    assert changed.min() >= 0 and changed.max() <= 1


@pytest.mark.parametrize("name", ["none", "burduja2020"])
def test_shards_give_the_same_batches_as_the_data_set(folder, name):
    shards = records.Shards(folder)
    scans = records.Scans(slice_dataset.SliceDataset, shards.groups, SIZE)
    change = augment.image_augmenter(name)
    one = batches(shards, 3, 12, augment=change)
    other = batches(scans, 3, 12, augment=change)
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


def test_groups_listed_without_pixels_are_those_of_the_shards(folder):
    listed = records.list_groups(DATASET, DATASET.case_ids(), 3, seed=0)
    read = records.Shards(folder).groups
    kept = [[name for name in group.case_ids if name != "scan3"] for group in listed]
    assert [list(group.case_ids) for group in read] == kept


def test_some_scans_of_the_shards(folder):
    wanted = ("scan1", "scan6")
    shards = records.Shards(folder, wanted)
    assert sum(len(group) for group in shards.groups) == 4 + 5
    assert image_pipeline.steps_per_epoch(shards, 4) == 2
    images, labels = batches(shards, last=3, batch=3)
    found = names(images)
    assert len(set(found)) == 9 and {case_id for case_id, _ in found} == set(wanted)
    scans = records.Scans(slice_dataset.SliceDataset, shards.groups, SIZE)
    np.testing.assert_array_equal(batches(scans, last=3, batch=3)[0], images)
    assert {scan.case_id for scan in image_pipeline.scans(shards)} == set(wanted)


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

    shards = records.Shards(folder)
    assert b"PyFunc" not in graph(shards)
    change = augment.image_augmenter("burduja2020")
    assert b"PyFunc" in graph(shards, augment=change)


def test_validation_takes_the_slices_as_they_are_stored(folder):
    shards = records.Shards(folder)
    stored = [
        (case_id, place)
        for group in shards.groups
        for case_id, count in zip(group.case_ids, group.counts, strict=True)
        for place in range(count)
    ]
    made = image_pipeline.validation_batches(shards, batch=7)
    images = np.array([images for images, _ in made.as_numpy_iterator()])
    assert names(images) == stored[:21]
    made = image_pipeline.validation_batches(shards, batch=4, limit=9)
    images = np.array([images for images, _ in made.as_numpy_iterator()])
    assert names(images) == stored[:8]
    with pytest.raises(ValueError, match="24 slices do not fill a batch of 32"):
        image_pipeline.validation_batches(shards, batch=32)


def test_scans_come_whole_from_either_source(folder):
    shards = records.Shards(folder)
    scans = records.Scans(slice_dataset.SliceDataset, shards.groups, SIZE)
    found = list(
        zip(image_pipeline.scans(shards), image_pipeline.scans(scans), strict=True)
    )
    assert len(found) == 6
    for one, other in found:
        assert (one.case_id, one.image_ids) == (other.case_id, other.image_ids)
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.labels.dtype == np.uint8


def test_worker_processes_read_the_same():
    source = scans_of(workers=2)
    try:
        first = source.read(0)
        scans = [next(first)]
        # A second reader, while the first has started all the scans it may.
        scans += list(source.read(1))
        pooled = [scans[0], *first, *scans[1:], *source.read(2)]
        assert sorted(source._free) == list(range(4))
        next(source.read(0))  # and one that does not go on
        assert sorted(source._free) == list(range(4))
    finally:
        source.close()
    plain = [scan for number in range(3) for scan in scans_of().read(number)]
    assert [scan.case_id for scan in pooled] == [scan.case_id for scan in plain]
    for one, other in zip(pooled, plain, strict=True):
        np.testing.assert_array_equal(one.images, other.images)


def test_a_scan_that_cannot_be_read_is_named():
    source = scans_of(lambda: slice_dataset.SliceDataset(broken=("scan2",)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="scan2.dcm: truncated"):
        batches(source)


def test_slices_that_could_not_be_read_are_counted_and_named():
    dataset = slice_dataset.SliceDataset(cut=("scan2",))
    scan = records.load_scan(
        dataset, "scan2", functools.partial(records.volume_images, size=SIZE)
    )
    assert scan.image_ids == tuple(f"scan2-slice{place}" for place in (0, 1, 3, 4))
    assert scan.left_out == (
        "missing slices: left out scan2-slice2.dcm: no pixel data",
    )
    with pytest.raises(
        ValueError, match="scan2 has 4 slices, not the 5 listed.*slice2"
    ):
        for number in range(3):
            list(scans_of(lambda: dataset).read(number))


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
