import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from ich_tf.preprocessing import augment, tensor_augment

CHANGING = [name for name in tensor_augment.AUGMENTATIONS if name != "none"]


def picture(height=24, width=32):
    generator = np.random.default_rng(3)
    image = generator.random((height, width, 3), dtype=np.float32)
    return tf.constant(image), tf.constant((image[..., :1] > 0.5).astype(np.uint8))


def seed(number):
    return tf.constant([7, number], tf.int64)


def test_names_are_those_of_the_other_augmentations():
    assert list(tensor_augment.AUGMENTATIONS) == list(augment.AUGMENTATIONS)
    for make in (tensor_augment.augmenter, tensor_augment.image_augmenter):
        with pytest.raises(ValueError, match="Known: none, any_scanner, flip"):
            make("twist")
    assert tensor_augment.image_augmenter("none") is None


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
    for number, found in enumerate(made.as_numpy_iterator()):
        expected = change(image, mask, seed(number))
        np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
        np.testing.assert_array_equal(found[1], expected[1])


def fixed(monkeypatch, draws, **changes):
    """The change that these draws give."""
    monkeypatch.setattr(
        tensor_augment, "_draws", lambda seed: list(map(tf.constant, draws))
    )
    monkeypatch.setitem(
        tensor_augment.AUGMENTATIONS, "one", tensor_augment.Changes(**changes)
    )
    return lambda image: tensor_augment.image_augmenter("one")(image, None).numpy()


def test_mirrored_rotated_and_shifted_pixels_by_hand(monkeypatch):
    image, _ = picture(8, 8)
    pixels = image.numpy()
    half = [0.5] * 10
    still = fixed(monkeypatch, half, mirror=0.0)
    np.testing.assert_allclose(still(image), pixels, atol=1e-6)
    mirrored = fixed(monkeypatch, [0.0, *half[1:]], mirror=0.5)
    np.testing.assert_allclose(mirrored(image), pixels[:, ::-1], atol=1e-5)
    turned = fixed(monkeypatch, [0.9, 0.0, 1.0, *half[3:]], degrees=90)
    expected = np.rot90(pixels, -1)
    np.testing.assert_allclose(turned(image), expected, atol=1e-4)
    moved = fixed(monkeypatch, [0.9, 0.0, 0.5, 1.0, 0.5, *half[5:]], shift=0.25)
    np.testing.assert_allclose(moved(image)[:, 2:], pixels[:, :-2], atol=1e-5)
    left_out = fixed(monkeypatch, [0.9, 0.7, 1.0, 1.0, *half[4:]], move=0.5, shift=0.25)
    np.testing.assert_allclose(left_out(image), pixels, atol=1e-6)
    lit = fixed(monkeypatch, [*half[:7], 0.0, 1.0, 0.5], light=0.5)
    np.testing.assert_allclose(lit(image), np.minimum(pixels + 0.2, 1), atol=1e-5)


def test_enlarged_twice_shows_the_middle(monkeypatch):
    image = tf.reshape(tf.range(8.0) / 8, (1, 8, 1)) * tf.ones((8, 1, 1))
    draws = [0.9, 0.0, *[0.5] * 3, 1.0, 1.0, *[0.5] * 3]
    large = fixed(monkeypatch, draws, scale=(1.0, 2.0))(image)[4, :, 0]
    np.testing.assert_allclose(np.diff(large[1:-1]), 1 / 16, atol=1e-6)
    assert large.mean() == pytest.approx(3.5 / 8, abs=1e-5)


def test_chances_and_ranges_are_those_that_are_stated():
    changes = dataclasses.asdict(tensor_augment.AUGMENTATIONS["burduja2020"])
    assert changes["mirror"] == changes["move"] == changes["light"] == 0.5
    draws = np.array(
        [[float(x) for x in tensor_augment._draws(seed(k))] for k in range(300)]
    )
    assert draws.min() >= 0 and draws.max() < 1
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 0.08
    for one, other in itertools.combinations(draws.T, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.25
