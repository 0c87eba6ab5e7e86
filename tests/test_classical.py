"""Methods without networks, on heads drawn by hand."""

import numpy as np
import pytest

from ich_tf.models import classical, contours, voxels


def head(blood=True, size=128, slices=3, seed=0):
    """A ring of bone around brain of 34 HU, with a disc of 72 HU in the middle slice.

    Returns:
        HU (z, y, x) with noise of 3 HU, and the disc.
    """
    y, x = np.indices((size, size)) - size / 2
    radius = np.hypot(y, x)
    image = np.where(radius < 0.42 * size, 34.0, -1000.0)
    image[(radius >= 0.42 * size) & (radius < 0.47 * size)] = 900
    hu = np.repeat(image[np.newaxis], slices, axis=0)
    disc = np.zeros(hu.shape, bool)
    if blood:
        disc[slices // 2] = np.hypot(y - 0.1 * size, x + 0.12 * size) < 0.09 * size
    hu[disc] = 72
    return hu + np.random.default_rng(seed).normal(0, 3, hu.shape), disc


def dice(mask, truth):
    return 2 * np.count_nonzero(mask & truth) / (mask.sum() + truth.sum())


def test_what_bone_encloses():
    hu, _ = head()
    inside = classical.intracranial(hu)
    assert 0.5 < inside.mean() < 1.01 * np.pi * 0.42**2
    assert (hu[inside] < classical.BONE_HU).all() and (hu[inside] > 0).all()
    assert not classical.intracranial(np.full((1, 64, 64), 30.0)).any()


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("name", classical.METHODS)
def test_a_disc_is_found_and_nothing_else(name, size):
    hu, disc = head(size=size)
    mask = classical.METHODS[name](hu)
    assert mask.dtype == bool
    assert dice(mask, disc) > 0.8
    assert not mask[[0, 2]].any()
    assert not classical.METHODS[name](head(blood=False, size=size)[0]).any()


@pytest.mark.parametrize("kind", voxels.LEARNED)
def test_voxels_are_learned(kind):
    cases = [head(seed=seed) for seed in (1, 2)]
    fitted = voxels.fit_voxels(kind, cases, seed=0)
    hu, disc = head(seed=3)
    probability = fitted(hu)
    assert probability.dtype == np.float32
    assert dice(probability > 0.5, disc) > 0.8
    assert probability[~classical.intracranial(hu)].max() == 0
    again = voxels.fit_voxels(kind, cases, seed=0)
    assert np.array_equal(again(hu), probability)


def test_nothing_to_learn():
    with pytest.raises(ValueError, match="No case has blood"):
        voxels.fit_voxels("random_forest", [head(blood=False)], 0)
    with pytest.raises(ValueError, match="Known: random_forest, logistic_regression"):
        voxels.fit_voxels("forest", [head()], 0)


def test_fuzzy_clusters():
    generator = np.random.default_rng(0)
    values = np.concatenate(
        [generator.normal(20, 2, 900), generator.normal(40, 2, 900), [70] * 90]
    )
    centres, membership = classical.fuzzy_c_means(values, 3)
    assert centres == pytest.approx([20, 40, 70], abs=1)
    of = membership(np.array([[20.0, 30.0], [70.0, 55.0]]))
    assert of.shape == (2, 2, 3)
    assert of.sum(axis=-1) == pytest.approx(np.ones((2, 2)))
    assert of[0, 0].argmax() == 0 and of[1, 0].argmax() == 2
    assert of[0, 1, 0] == pytest.approx(of[0, 1, 1], abs=0.05)


def test_haar_wavelets():
    images = np.random.default_rng(0).normal(size=(2, 16, 8))
    assert classical.haar_denoised(images, 0) == pytest.approx(images)
    # Nothing but the mean of 4 x 4 pixels is left when every detail shrinks to 0.
    flat = classical.haar_denoised(images, 1e6)
    means = images.reshape(2, 4, 4, 2, 4).mean(axis=(2, 4))
    assert flat[:, ::4, ::4] == pytest.approx(means)
    assert flat[:, 3::4, 3::4] == pytest.approx(means)
    some = classical.haar_denoised(images, 0.5)
    assert flat.std() < some.std() < images.std()
    with pytest.raises(ValueError, match="multiples of 4"):
        classical.haar_denoised(np.zeros((1, 6, 8)), 0.1)


def test_a_level_set_grows_to_edges_and_stays_a_distance():
    y, x = np.indices((64, 64)) - 32
    disc = np.hypot(y, x) < 14
    image = np.where(disc, 75.0, 35.0)
    seed = np.hypot(y, x) < 6
    mask = contours.drlse(image, seed, 60)
    assert dice(mask, disc) > 0.9
    assert dice(seed, disc) < 0.35
    # Without an edge nothing stops it.
    assert contours.drlse(np.full((64, 64), 35.0), seed, 60).sum() > 1.3 * disc.sum()


def test_no_brain_no_blood():
    for hu in (np.full((2, 64, 64), -1000.0), np.full((2, 64, 64), 60.0)):
        for method in classical.METHODS.values():
            assert not method(hu).any()
