"""Both back ends make the same change where nothing is left to chance."""

import dataclasses

import cv2
import numpy as np
import pytest
import tensorflow as tf

from ich_tf.preprocessing import augment, augmentations, tensor_augment
from ich_tf.preprocessing.augmentations import Affine, BrightnessContrast, Mirror, Noise

SEED = tf.constant([7, 11], tf.int64)


@pytest.fixture(scope="module")
def sample():
    """A smooth image (96, 128, 3) and the mask of its bright pixels."""
    noise = np.random.default_rng(1).random((96, 128, 3), np.float32)
    image = cv2.GaussianBlur(noise, (0, 0), 4)
    image = (image - image.min()) / np.ptp(image)
    return image, (image[..., 0] > 0.5).astype(np.uint8)


def certain(transforms, share):
    """The transforms, always, with each number at this share of its range."""

    def narrow(change):
        fields = {"probability": 1.0}
        for field in dataclasses.fields(change):
            value = getattr(change, field.name)
            if field.type == augmentations.Range:
                low, high = value
                fields[field.name] = (low + share * (high - low),) * 2
        return dataclasses.replace(change, **fields)

    return tuple(narrow(change) for change in transforms)


def both(transforms, image, mask):
    """Image and mask by albumentations, then by TensorFlow."""
    expected = augment.augmenter(transforms)(image, mask, 0)
    tensors = tf.constant(image), tf.constant(mask[..., np.newaxis])
    moved, truth = tensor_augment.augmenter(transforms)(*tensors, SEED)
    return expected, (moved.numpy(), truth.numpy()[..., 0])


@pytest.mark.parametrize("share", (0.0, 0.3, 1.0))
@pytest.mark.parametrize(
    "name", [n for n in augmentations.AUGMENTATIONS if n != "none"]
)
def test_both_back_ends_change_image_and_mask_alike(sample, name, share):
    listed = certain(augmentations.AUGMENTATIONS[name], share)
    listed = tuple(change for change in listed if not isinstance(change, Noise))
    (image, mask), (moved, truth) = both(listed, *sample)
    # The image's steepest slope is 0.09 a pixel, contrast makes it 0.13; OpenCV rounds
    # coordinates to 1/32 of a pixel.
    assert np.abs(image - moved).max() < 0.01
    # Of the mask, pixels at the rim may fall to either side.
    assert np.mean(mask != truth) < 0.01
    assert np.mean(mask != sample[1]) > 0.1


def test_noise_of_both_has_the_stated_deviation():
    image, mask = np.full((64, 64, 3), 0.5, np.float32), np.zeros((64, 64), np.uint8)
    for changed, _ in both((Noise((0.02, 0.02), 1.0),), image, mask):
        # 12,288 draws: the deviation is known to 0.6 %.
        assert np.std(changed) == pytest.approx(0.02, rel=0.03)
        assert np.mean(changed) == pytest.approx(0.5, abs=0.001)
        assert (
            abs(np.corrcoef(changed[..., 0].ravel(), changed[..., 1].ravel())[0, 1])
            < 0.1
        )


def test_mirrored_turned_shifted_enlarged_and_lit_by_hand():
    pixels = np.random.default_rng(3).random((8, 8, 3), np.float32)
    mask = np.zeros((8, 8), np.uint8)
    turned = Affine(degrees=(90.0, 90.0))
    for changed, _ in both((turned,), pixels, mask):
        np.testing.assert_allclose(changed, np.rot90(pixels), atol=1e-4)
    for changed, _ in both((Mirror(1.0),), pixels, mask):
        np.testing.assert_allclose(changed, pixels[:, ::-1], atol=1e-5)
    # 0.3 of 8 pixels is 2.4, cut down to 2, to the right and down.
    for changed, _ in both((Affine(shift=(0.3, 0.3)),), pixels, mask):
        np.testing.assert_allclose(changed[2:, 2:], pixels[:-2, :-2], atol=1e-5)
        np.testing.assert_allclose(
            changed[:2, 2:], pixels[:1, :-2].repeat(2, 0), atol=1e-5
        )
    lit = BrightnessContrast((0.2, 0.2), (0.5, 0.5), 1.0)
    for changed, _ in both((lit,), pixels, mask):
        np.testing.assert_allclose(
            changed, np.minimum(1.5 * pixels + 0.2, 1), atol=1e-5
        )
    ramp = np.tile(np.arange(8, dtype=np.float32)[:, None] / 8, (8, 1, 1))
    for changed, _ in both((Affine(scale=(2.0, 2.0)),), ramp, mask):
        # Twice as large, a pixel is half a step of 1/8.
        np.testing.assert_allclose(np.diff(changed[4, 1:-1, 0]), 1 / 16, atol=1e-5)


def test_beyond_the_border_lies_the_mirrored_image():
    # Shifted right by 2, without repeating the outermost pixel: 2 1 | 0 1 2 3 4 5.
    ramp = np.tile(np.arange(8, dtype=np.float32)[:, None] / 8, (8, 1, 1))
    shifted = Affine(shift=(0.25, 0.25), border="reflect")
    for changed, _ in both((shifted,), ramp, np.zeros((8, 8), np.uint8)):
        np.testing.assert_allclose(changed[0, :, 0] * 8, [2, 1, 0, 1, 2, 3, 4, 5])


def test_an_unknown_name_lists_the_known_ones():
    makers = (augment, tensor_augment)
    for make in [m.augmenter for m in makers] + [m.image_augmenter for m in makers]:
        with pytest.raises(ValueError, match="Known: none, any_scanner, flip"):
            make("twist")
