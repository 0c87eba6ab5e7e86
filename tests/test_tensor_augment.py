import numpy as np
import pytest
import tensorflow as tf

from ich_tf.preprocessing import augmentations, tensor_augment

CHANGING = [name for name in augmentations.AUGMENTATIONS if name != "none"]


def picture(height=24, width=32):
    generator = np.random.default_rng(3)
    image = generator.random((height, width, 3), dtype=np.float32)
    return tf.constant(image), tf.constant((image[..., :1] > 0.5).astype(np.uint8))


def seed(number):
    return tf.constant([7, number], tf.int64)


@pytest.mark.parametrize("name", CHANGING)
def test_changes_depend_on_the_seed_alone(name):
    image, mask = picture()
    change = tensor_augment.augmenter(name)
    first, again = (change(image, mask, seed(0)) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    others = [change(image, mask, seed(k))[0].numpy() for k in range(1, 9)]
    assert len({other.tobytes() for other in others}) > (1 if name == "flip" else 4)
    alone = tensor_augment.image_augmenter(name)(image, seed(0))
    np.testing.assert_array_equal(first[0], alone)
    assert first[0].shape == image.shape and first[0].dtype == image.dtype
    assert first[1].shape == mask.shape and first[1].dtype == mask.dtype
    assert 0 <= np.min(first[0]) and np.max(first[0]) <= 1
    assert set(np.unique(first[1])) <= {0, 1}


@pytest.mark.parametrize("name", CHANGING)
def test_it_is_the_same_within_tf_data(name):
    image, mask = picture()
    change = tensor_augment.augmenter(name)
    numbers = tf.data.Dataset.range(3)
    made = numbers.map(lambda k: change(image, mask, tf.stack([7, k])))
    for number, (moved, truth) in enumerate(made.as_numpy_iterator()):
        expected = change(image, mask, seed(number))
        np.testing.assert_allclose(moved, expected[0], atol=1e-6)
        np.testing.assert_array_equal(truth, expected[1])


def test_each_change_happens_to_its_share_of_the_samples():
    """A bright bar on grey distinguishes flips and brightness."""
    image = np.full((16, 16, 1), 0.5, np.float32)
    image[:, 10:12] = 0.75
    listed = (
        augmentations.Mirror(0.5),
        augmentations.BrightnessContrast((0.1, 0.1), (0.0, 0.0), 0.25),
    )
    change = tensor_augment.image_augmenter(listed)
    numbers = tf.data.Dataset.range(400)
    made = numbers.map(lambda k: change(tf.constant(image), tf.stack([7, k])))
    changed = np.array(list(made.as_numpy_iterator()))
    lit = changed[:, 0, 0, 0] > 0.55
    mirrored = changed[:, 0, 4, 0] > changed[:, 0, 0, 0] + 0.1
    # Deviations of the counts: 8.7 for a quarter of 400, 10 for a half.
    assert 65 < lit.sum() < 135 and 160 < mirrored.sum() < 240
    assert 25 < (lit & mirrored).sum() < 75


def test_no_image_augmenter_for_none():
    assert tensor_augment.image_augmenter("none") is None
