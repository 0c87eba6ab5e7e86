"""The head of subtypes is a logistic regression on the features of all rows."""

import numpy as np
import pytest

from ich_tf import models
from ich_tf.models import subtype_head


@pytest.fixture(scope="module")
def model():
    return models.build(
        "unetplusplus",
        filters=(2, 4, 8),
        upsampling="nearest",
        input_shape=(16, 16, 1),
        classes=4,
        activation="subtypes",
    )


def drawn():
    """Squares, the brighter the higher their subtype of three."""
    rng = np.random.default_rng(0)
    images, truth = np.zeros((21, 16, 16, 1), np.float32), np.zeros((21, 16, 16, 1))
    for number in range(len(images)):
        subtype = 1 + number % 3
        row, column = rng.integers(0, 8, 2)
        square = number, slice(row, row + 8), slice(column, column + 8)
        images[square], truth[square] = 0.3 * subtype, subtype
    return images, truth


def test_the_head_learns_and_the_mask_stays(model):
    images, truth = drawn()
    before = np.asarray(model(images, training=False))
    features, subtypes = subtype_head.samples(model, [(images, truth)], 30, seed=0)
    # Rows have 2, 4 and 8 features, and each of 21 images gives 30 pixels.
    assert features.shape == (630, 14) and subtypes.shape == (630,)
    share = subtype_head.fit(model, features, subtypes)
    after = np.asarray(model(images, training=False))
    np.testing.assert_array_equal(before[..., 0], after[..., 0])
    inside = truth[..., 0] > 0
    named = 1 + np.argmax(after[inside][:, 1:], axis=-1)
    assert share > 0.5  # a third by chance
    # The network applies the same weights as the regression.
    assert np.mean(named == truth[..., 0][inside]) == pytest.approx(share, abs=0.08)


def test_a_subtype_without_samples_is_never_named(model):
    images, truth = drawn()
    kept = [number for number in range(len(images)) if truth[number].max() != 2]
    batch = images[kept], truth[kept]
    subtype_head.fit(model, *subtype_head.samples(model, [batch], 30, seed=0))
    found = np.asarray(model(images, training=False))[truth[..., 0] > 0]
    assert set(1 + np.argmax(found[:, 1:], axis=-1)) == {1, 3}
    with pytest.raises(ValueError, match="subtype 1"):
        subtype_head.fit(model, np.ones((4, 14), np.float32), np.ones(4, int))
