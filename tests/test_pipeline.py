import json
import multiprocessing

import numpy as np
import pytest

from ich_tf.preprocessing import augment, windows
from ich_tf.preprocessing.segmentation import pipeline, slices, tiles
from ich_tf.volume import Case, Volume

BRAIN = [windows.Window(40, 120)]


def make_case(case_id, lesion_slices, size=32, count=5):
    generator = np.random.default_rng(len(case_id) + lesion_slices)
    mask = np.zeros((count, size, size), np.uint8)
    mask[:lesion_slices, 4:8, 20:24] = 1
    hu = generator.normal(40, 20, mask.shape).astype(np.float32)
    volume = Volume(hu, (5.0, 0.5, 0.5), np.arange(count) * 5.0, np.diag([1, 2, 3, 1]))
    return Case(case_id, case_id, volume, mask)


@pytest.fixture
def stored(tmp_path):
    cases = [make_case("a", 2), make_case("bb", 0), make_case("ccc", 1)]
    choose = slices.RULES["hssayeni2020"]
    return slices.store(tmp_path / "store", cases, lambda case: choose(case, seed=0))


@pytest.fixture
def crops(stored):
    grid = tiles.TileGrid(32, 32, tile=16, stride=8)
    return pipeline.crops(stored, grid.positions, 16)


def to_channels(hu):
    return windows.apply(hu, BRAIN)


def test_store_keeps_lesion_slices_and_one_other(stored):
    assert stored.case_ids == ("a", "a", "a", "bb", "ccc", "ccc")
    assert stored.numbers[:2] == (0, 1)
    assert stored.numbers[2] >= 2
    assert stored.numbers[4] == 0
    assert stored.mask.sum(axis=(1, 2)).tolist() == [16, 16, 0, 0, 16, 0]
    original = make_case("ccc", 1)
    np.testing.assert_array_equal(stored.hu[4], original.volume.hu[0])


def test_store_is_reused_without_reading_cases(tmp_path, stored):
    def no_case():
        raise RuntimeError("must not be read")
        yield

    again = slices.store(tmp_path / "store", no_case(), None)
    np.testing.assert_array_equal(again.hu, stored.hu)


def test_store_takes_one_case_at_a_time(tmp_path):
    alive = []

    def cases():
        for number in range(4):
            case = make_case(f"case{number}", 1)
            alive.append(number)
            yield case
            alive.remove(number)

    def choose(case):
        assert len(alive) == 1
        return np.array([0])

    assert len(slices.store(tmp_path / "one", cases(), choose).numbers) == 4


def test_failed_store_leaves_nothing(tmp_path):
    def cases():
        yield make_case("a", 1)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        slices.store(tmp_path / "broken", cases(), lambda case: np.array([0]))
    assert list(tmp_path.iterdir()) == []


def test_store_names_a_case_without_mask(tmp_path):
    case = Case("x", "x", make_case("x", 0).volume)
    with pytest.raises(ValueError, match="Case x has no mask"):
        slices.store(tmp_path / "s", [case], lambda case: np.array([0]))


def test_other_slice_depends_on_seed_and_case_only():
    case = make_case("a", 2, count=30)
    first = slices.lesion_slices_and_one_other(case, 0).tolist()
    assert first == slices.lesion_slices_and_one_other(case, 0).tolist()
    others = {slices.lesion_slices_and_one_other(case, seed)[-1] for seed in range(9)}
    assert len(others) > 3


def test_at_size_averages_areas_and_keeps_place():
    case = make_case("a", 1, size=32)
    small = slices.at_size(case, 16)
    expected = case.volume.hu.reshape(5, 16, 2, 16, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(small.volume.hu, expected, rtol=1e-5)
    assert small.volume.spacing_mm == (5.0, 1.0, 1.0)
    assert small.mask.sum() == 4
    # The centre of the first pixel lies between the first two of before.
    np.testing.assert_allclose(
        small.volume.affine @ [0, 0, 0, 1], case.volume.affine @ [0, 0.5, 0.5, 1]
    )


def test_crops_know_their_lesions(crops):
    assert len(crops) == 6 * 9
    # Rows 4-8 and columns 20-24 lie in the tiles at row 0 and columns 8 and 16.
    first_slice = crops.has_lesion[:9]
    assert np.flatnonzero(first_slice).tolist() == [1, 2]
    assert crops.has_lesion.sum() == 6


@pytest.mark.parametrize(
    ("keep", "training", "count", "with_blood"),
    [
        ("hssayeni2020_jpg", True, 33, 6),
        ("hssayeni2020_jpg", False, 6, 6),
        ("lesion", True, 6, 6),
        ("lesion", False, 6, 6),
        ("all", True, 54, 6),
        ("all", False, 54, 6),
    ],
)
def test_crops_that_train_and_validate(stored, keep, training, count, with_blood):
    """Three slices with blood, in 2 of their 9 crops each, and three without.

    [2]'s JPG code trains with 3 x 2 = 6 crops with blood and 3 x 9 = 27 of the slices
    without, and validates with the 6.
    """
    grid = tiles.TileGrid(32, 32, tile=16, stride=8)
    kept = pipeline.crops(stored, grid.positions, 16, keep, training=training)
    assert len(kept) == count
    assert kept.has_lesion.sum() == with_blood
    if keep == "hssayeni2020_jpg" and training:
        others = kept.places[~kept.has_lesion, 0]
        assert np.unique(others, return_counts=True)[1].tolist() == [9, 9, 9]


def test_unknown_crops_list_the_known_ones(stored):
    with pytest.raises(ValueError, match="'some'. Known: all, lesion, hssayeni2020"):
        pipeline.crops(stored, np.zeros((1, 2), int), 16, "some")


def test_an_epoch_is_a_permutation(crops):
    steps = pipeline.steps_per_epoch(crops, 6)
    assert steps == 9
    epochs = [
        [
            pipeline.batch_indices(crops, step, 6, seed=3)
            for step in range(first, first + steps)
        ]
        for first in (0, steps)
    ]
    for epoch in epochs:
        assert sorted(np.concatenate(epoch)) == list(range(54))
    assert not np.array_equal(epochs[0], epochs[1])


def test_lesion_share_of_every_batch(crops):
    for step in range(5):
        indices = pipeline.batch_indices(crops, step, 8, seed=0, lesion_share=0.25)
        assert crops.has_lesion[indices].sum() == 2


def test_small_lesions_are_drawn_as_often_as_large_ones(crops):
    drawn = np.concatenate(
        [pipeline.batch_indices(crops, step, 8, 0, 1.0) for step in range(100)]
    )
    cases = np.array(crops.slices.case_ids)[crops.places[drawn, 0]]
    # Case "a" has two slices with hemorrhage and case "ccc" one.
    assert 350 < np.count_nonzero(cases == "a") < 450
    assert set(cases) == {"a", "ccc"}


def batches(crops, first, last, **changes):
    arguments = {
        "channels": 1,
        "batch": 4,
        "first_step": first,
        "last_step": last,
        "seed": 1,
        "augment": augment.augmenter("hssayeni2020"),
        **changes,
    }
    dataset = pipeline.training_batches(crops, to_channels, **arguments)
    return [(image.numpy(), mask.numpy()) for image, mask in dataset]


def test_a_later_start_sees_the_same_batches(crops):
    whole, rest = batches(crops, 0, 5), batches(crops, 3, 5)
    assert len(whole) == 5
    for (image, mask), (image_again, mask_again) in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(image, image_again)
        np.testing.assert_array_equal(mask, mask_again)


def test_tf_data_equals_numpy(crops):
    (image, mask), *_ = batches(crops, 2, 3)
    indices = pipeline.batch_indices(crops, 2, 4, seed=1)
    seeds = np.random.default_rng([1, 1, 2]).integers(2**31, size=4)
    expected = pipeline.crop_batch(
        crops, indices, to_channels, augment.augmenter("hssayeni2020"), seeds
    )
    np.testing.assert_array_equal(image, expected[0])
    np.testing.assert_array_equal(mask, expected[1])


def test_a_batch_of_another_shape_is_refused(crops):
    out = np.empty((2, 16, 16, 3), np.float32), np.empty((2, 16, 16, 1), np.float32)
    with pytest.raises(ValueError, match=r"\(16, 16, 1\) instead of \(16, 16, 3\)"):
        pipeline.crop_batch(crops, np.array([0, 1]), to_channels, out=out)


def test_validation_is_made_by_threads(crops, monkeypatch, caplog):
    monkeypatch.setenv("ICH_TF_INPUT", "processes")
    dataset = pipeline.validation_batches(crops, to_channels, channels=1, batch=9)
    workers = [multiprocessing.active_children() for _ in dataset]
    assert workers == [[]] * 6
    # Nor does it say that processes could not make them.
    assert caplog.records == []


def test_shapes_are_static(crops):
    dataset = pipeline.training_batches(
        crops, to_channels, channels=1, batch=4, first_step=0, last_step=1, seed=0
    )
    assert [spec.shape for spec in dataset.element_spec] == [(4, 16, 16, 1)] * 2


def test_validation_visits_every_crop_once(crops):
    dataset = pipeline.validation_batches(crops, to_channels, channels=1, batch=6)
    masks = np.concatenate([mask.numpy() for _, mask in dataset])
    assert len(masks) == 54
    assert (masks.reshape(54, -1).any(axis=1) == crops.has_lesion).all()


def test_validation_fills_its_only_batch(crops):
    dataset = pipeline.validation_batches(
        crops, to_channels, channels=1, batch=8, limit=3
    )
    assert [mask.shape for _, mask in dataset] == [(8, 16, 16, 1)]


def test_index_is_json(tmp_path, stored):
    index = json.loads((tmp_path / "store" / "index.json").read_text())
    assert index["shape"] == [6, 32, 32]
