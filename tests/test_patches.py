import numpy as np
import pytest

from ich_tf.preprocessing import augment, host_batches
from ich_tf.preprocessing.segmentation import patches
from ich_tf.preprocessing.segmentation.slices import Slices
from ich_tf.volume import AIR_HU

DEPTHS, PATCH = (6, 3, 5), (4, 8, 8)


@pytest.fixture
def source():
    """Three volumes of 12x10 pixels whose values give their place; two bleed."""
    count = sum(DEPTHS)
    hu = np.arange(count * 120, dtype=np.float32).reshape(count, 12, 10)
    mask = np.zeros(hu.shape, np.uint8)
    mask[5, 11, 9] = 1
    mask[10:13, 4:6, 0] = 1
    ids = np.repeat(["a", "b", "c"], DEPTHS)
    slices = Slices(hu, mask, tuple(ids), tuple(range(count)))
    return patches.volumes(slices)


def to_channels(hu):
    return hu[..., np.newaxis]


def batch(source, step, **changes):
    arguments = {"size": 3, "seed": 5, "lesion_share": 0.5, **changes}
    return patches.batch(source, PATCH, to_channels, step=step, **arguments)


def test_volumes_are_found_in_their_slices(source):
    np.testing.assert_array_equal(source.first, [0, 6, 9, 14])
    np.testing.assert_array_equal(source.bleeding, [True, False, True])
    assert source.mask(1).shape == (3, 12, 10)


def test_a_lesion_patch_holds_hemorrhage_and_stays_inside(source):
    generator = np.random.default_rng(0)
    numbers, corners = [], []
    for _ in range(60):
        number, corner = patches.draw(source, PATCH, generator, lesion=True)
        _, mask = patches.cut(source, number, corner, PATCH)
        assert mask.any()
        assert np.all(corner >= 0) and np.all(corner <= (2, 4, 2))
        numbers.append(number)
        corners.append(tuple(corner))
    # One voxel and six weigh the same, volume by volume; places vary.
    assert 15 < numbers.count(0) < 45 and numbers.count(1) == 0
    assert len(set(corners)) > 10


def test_other_patches_come_from_everywhere(source):
    generator = np.random.default_rng(0)
    drawn = [patches.draw(source, PATCH, generator, lesion=False) for _ in range(200)]
    assert {number for number, _ in drawn} == {0, 1, 2}
    assert {tuple(corner[1:]) for _, corner in drawn} == {
        (y, x) for y in range(5) for x in range(3)
    }


def test_without_hemorrhage_any_patch_will_do(source):
    source.slices.mask[:] = 0
    healthy = patches.volumes(source.slices)
    patches.draw(healthy, PATCH, np.random.default_rng(0), lesion=True)


def test_cut_fills_with_air_and_never_takes_the_next_volume(source):
    hu, mask = patches.cut(source, 1, np.array([0, 4, 2]), PATCH)
    np.testing.assert_array_equal(hu[:3], source.slices.hu[6:9, 4:, 2:])
    assert np.all(hu[3] == AIR_HU) and not mask.any()
    hu, _ = patches.cut(source, 2, np.zeros(3, int), (5, 16, 10))
    np.testing.assert_array_equal(hu[:, :12], source.slices.hu[9:])
    assert np.all(hu[:, 12:] == AIR_HU)


def test_a_batch_is_a_function_of_seed_and_step(source):
    first, masks = batch(source, 3)
    assert first.shape == (3, *PATCH, 1) == masks.shape
    assert first.dtype == masks.dtype == np.float32
    np.testing.assert_array_equal(first, batch(source, 3)[0])
    assert not np.array_equal(first, batch(source, 4)[0])
    assert not np.array_equal(first, batch(source, 3, seed=6)[0])


def test_the_share_of_lesion_patches(source):
    always = [batch(source, step, lesion_share=1.0)[1] for step in range(5)]
    assert all(mask.any() for masks in always for mask in masks)
    never = [batch(source, step, lesion_share=0.0)[1] for step in range(20)]
    assert any(not mask.any() for masks in never for mask in masks)


def test_tf_data_hands_on_the_same_batches(source):
    def load(step, out):
        batch(source, step, out=out)

    dataset = host_batches.of_steps(load, 4, 7, (3, *PATCH), 1)
    assert dataset.element_spec[0].shape == (3, *PATCH, 1)
    batches = list(dataset.as_numpy_iterator())
    assert len(batches) == 3
    for step, (images, masks) in zip((4, 5, 6), batches, strict=True):
        np.testing.assert_array_equal(images, batch(source, step)[0])
        np.testing.assert_array_equal(masks, batch(source, step)[1])


def test_augmentation_changes_all_slices_of_a_patch_alike():
    image = np.random.default_rng(0).random((32, 24, 1)).astype(np.float32)
    mask = (image[..., 0] > 0.8).astype(np.uint8)
    change = augment.augmenter("hssayeni2020_flip")
    for seed in range(6):
        volume, masks = change(np.stack([image] * 3), np.stack([mask] * 3), seed)
        assert volume.shape == (3, 32, 24, 1) and masks.shape == (3, 32, 24)
        assert volume.dtype == np.float32 and masks.dtype == np.uint8
        alone, mask_alone = change(image, mask, seed)
        for number in range(3):
            np.testing.assert_array_equal(volume[number], alone)
            np.testing.assert_array_equal(masks[number], mask_alone)
