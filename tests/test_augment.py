import concurrent.futures

import numpy as np
import pytest

from ich_tf.preprocessing import augment, augmentations, tensor_augment


@pytest.fixture
def sample():
    """A smooth image whose first channel is 1 exactly where the mask is."""
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 24:40] = 1
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    channels = (mask, np.tile(ramp, (64, 1)), np.tile(ramp[:, None], (1, 64)))
    return np.stack(channels, axis=-1).astype(np.float32), mask


def test_the_same_seed_gives_the_same_sample(sample):
    change = augment.augmenter("hssayeni2020")
    first = change(*sample, 7)
    change(*sample, 8)
    again = augment.augmenter("hssayeni2020")(*sample, 7)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], change(*sample, 8)[0])


def test_threads_and_order_do_not_matter(sample):
    change = augment.augmenter("hssayeni2020_flip")
    one_by_one = [change(*sample, seed)[0] for seed in range(32)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        backwards = list(
            pool.map(lambda seed: change(*sample, seed)[0], reversed(range(32)))
        )
    np.testing.assert_array_equal(one_by_one, backwards[::-1])


def test_shapes_types_and_values_stay(sample):
    image, mask = augment.augmenter("hssayeni2020")(*sample, 3)
    assert image.shape == (64, 64, 3) and image.dtype == np.float32
    assert mask.shape == (64, 64) and mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}
    assert image.min() >= 0 and image.max() <= 1


def test_image_and_mask_move_together(sample):
    change = augment.augmenter("hssayeni2020_flip")
    for seed in range(20):
        image, mask = change(*sample, seed)
        differing = np.mean((image[..., 0] > 0.5) != mask)
        moved = np.mean(mask != sample[1])
        assert differing < 0.005 < moved


def test_the_ranges_of_the_map():
    """Area, angle and shift of a bar stay in the stated ranges."""
    change = augment.augmenter("hssayeni2020")
    bar = np.zeros((128, 128), np.uint8)
    bar[34:94, 59:69] = 1
    image = np.zeros((128, 128, 1), np.float32)
    areas, angles, shifts = [], [], []
    for seed in range(200):
        mask = change(image, bar, seed)[1]
        points = np.argwhere(mask) - 63.5
        areas.append(mask.sum() / 600)
        shifts.append(points.mean(axis=0))
        (down, both), (_, across) = np.cov(points.T)
        angles.append(np.degrees(0.5 * np.arctan2(2 * both, down - across)))
    assert 0.95 / 1.2**2 < min(areas) < 0.8 < 1.3 < max(areas) < 1.05 / 0.8**2
    assert 15 < np.max(np.abs(angles)) < 21
    assert 11 < np.max(np.abs(shifts)) < 14


def test_fill_is_the_nearest_pixel():
    ones = np.ones((32, 32, 1), np.float32)
    change = augment.augmenter("hssayeni2020")
    for seed in range(10):
        image, mask = change(ones, np.ones((32, 32), np.uint8), seed)
        assert mask.min() == 1
        np.testing.assert_allclose(image, 1, atol=1e-6)


def test_flip_mirrors_about_half(sample):
    image = np.zeros((64, 64, 1), np.float32)
    image[:, 44:] = 1
    mask = image[..., 0].astype(np.uint8)
    change = augment.augmenter("hssayeni2020_flip")
    flipped = sum(
        change(image, mask, seed)[1][:, :32].sum() > 300 for seed in range(100)
    )
    assert 30 < flipped < 70


def test_none_changes_nothing(sample):
    image, mask = augment.augmenter("none")(*sample, 5)
    assert image is sample[0] and mask is sample[1]


def test_an_image_alone_stays_in_range_and_follows_its_seed(sample):
    change = augment.image_augmenter("burduja2020")
    images = np.array([change(sample[0], seed) for seed in range(40)])
    assert images.shape == (40, 64, 64, 3) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    np.testing.assert_array_equal(images[7], change(sample[0], 7))
    assert len({image.tobytes() for image in images}) > 30


def test_the_three_changes_of_burduja2020_come_independently_in_half():
    """Flips, maps and brightness each change a bright bar on grey in their own way."""
    image = np.full((64, 64, 1), 0.5, np.float32)
    image[8:56, 44:52] = 0.75
    change = augment.image_augmenter("burduja2020")
    changed = [change(image, seed)[..., 0] for seed in range(400)]
    kept = [sample for sample in changed if sample[0, 0] == 0.5]
    as_it_was = sum(np.array_equal(sample, image[..., 0]) for sample in kept)
    flipped = sum(np.array_equal(sample, image[:, ::-1, 0]) for sample in kept)
    # 200 expected (deviation 10), and of them a quarter each (50, deviation 7).
    assert 160 < len(kept) < 240
    assert 25 < as_it_was < 75 and 25 < flipped < 75


BRIGHTER = augmentations.BrightnessContrast(
    (0.2, 0.2),
    (0.0, 0.0),
    probability=1.0,
    mean=(0.1738, 0.1433, 0.1970),
    standard_deviation=(0.3161, 0.2850, 0.3111),
)


@pytest.mark.parametrize(
    ("before", "after"), [(0.1738, 0.23702), (0.0, 0.1738), (1.0, 0.4899)]
)
def test_brightness_of_normalized_images(before, after):
    """In the brain window, of mean 0.1738 and deviation 0.3161.

    The mean becomes 0.2 deviations more: 0.1738 + 0.2 x 0.3161. 0 is 0.55 deviations
    below the mean, plus 0.2, clipped to the mean; 1 is 2.6 above, clipped to one.
    """
    image = np.full((4, 4, 3), before, np.float32)
    for changed in (
        augment.image_augmenter([BRIGHTER])(image, 0),
        tensor_augment.image_augmenter([BRIGHTER])(image, np.array([0, 1])),
    ):
        assert np.shape(changed) == (4, 4, 3)
        np.testing.assert_allclose(changed[..., 0], after, atol=1e-5)


def test_the_published_augmentation_of_1_clips_half_of_the_images():
    """Black air is -0.55 deviations: where brightness changes, it becomes the mean."""
    image = np.zeros((8, 8, 3), np.float32)
    change = augment.image_augmenter("burduja2020_published")
    values = np.array([change(image, seed)[0, 0, 0] for seed in range(200)])
    clipped = np.isclose(values, 0.1738, atol=1e-6)
    assert np.isclose(values[~clipped], 0, atol=1e-6).all()
    # 100 expected, deviation 7.
    assert 70 < clipped.sum() < 130


def test_burduja2020_reflects_at_the_border():
    """Black never comes in from outside."""
    ones = np.full((32, 32, 3), 0.5, np.float32)
    change = augment.image_augmenter("burduja2020")
    assert min(np.min(change(ones, seed)) for seed in range(60)) > 0.2
    assert max(np.ptp(change(ones, seed)) for seed in range(60)) < 1e-5


def test_no_image_augmenter_for_none():
    assert augment.image_augmenter("none") is None


@pytest.mark.parametrize("name", ("flip", "hssayeni2020", "burduja2020"))
def test_slices_of_a_volume_change_alike(name, sample):
    change, (image, mask) = augment.augmenter(name), sample
    for seed in range(6):
        expected = change(image, mask, seed)
        images, masks = change(np.stack([image] * 3), np.stack([mask] * 3), seed)
        for slice_image, slice_mask in zip(images, masks, strict=True):
            np.testing.assert_allclose(slice_image, expected[0], atol=1e-6)
            np.testing.assert_array_equal(slice_mask, expected[1])
