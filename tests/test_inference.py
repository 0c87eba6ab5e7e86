import functools

import numpy as np
import pytest

from ich_tf.prediction import segment
from ich_tf.preprocessing import windows
from ich_tf.preprocessing.segmentation import tiles

TO_CHANNELS = functools.partial(windows.channels, approach="approach1", count=3)


class Counting:
    """A network stand-in: a local mean that depends on place, so order matters."""

    def __init__(self):
        self.calls, self.tiles = 0, 0

    def __call__(self, images):
        self.calls += 1
        self.tiles += len(images)
        ramp = np.linspace(0.5, 1.0, images.shape[1], dtype=np.float32)
        return images.mean(axis=-1, keepdims=True) * ramp[:, np.newaxis, np.newaxis]


def plain_loop(forward, hu, tile, stride):
    """Tile after tile, the way one would write it first."""
    grid = tiles.TileGrid(*hu.shape[1:], tile=tile, stride=stride)
    total = np.zeros(hu.shape, np.float32)
    times = np.zeros(hu.shape, np.float32)
    for number, image in enumerate(TO_CHANNELS(hu)):
        for row, column in grid.positions:
            rows, columns = slice(row, row + tile), slice(column, column + tile)
            answer = forward(image[np.newaxis, rows, columns])[0, ..., 0]
            total[number, rows, columns] += answer
            times[number, rows, columns] += 1
    return total / times


@pytest.fixture
def hu():
    volume = np.full((11, 64, 64), -1000, np.float32)
    volume[2:, 20:50, 10:60] = np.random.default_rng(0).normal(40, 20, (9, 30, 50))
    return volume


def test_batches_give_what_the_plain_loop_gives(hu):
    network = segment.TiledNetwork(Counting(), TO_CHANNELS, tile=32, stride=16, batch=7)
    np.testing.assert_allclose(
        segment.predict_volume(network, hu),
        plain_loop(Counting(), hu, 32, 16),
        atol=1e-6,
    )


def test_air_is_answered_once(hu):
    forward = Counting()
    air = np.full_like(hu, -1000)
    network = segment.TiledNetwork(forward, TO_CHANNELS, tile=32, stride=16, batch=4)
    probability = segment.predict_volume(network, air)
    assert forward.calls == 1
    np.testing.assert_array_equal(probability, plain_loop(Counting(), air, 32, 16))


def test_every_batch_has_the_same_size(hu):
    sizes = []

    def forward(images):
        sizes.append(len(images))
        return images[..., :1]

    network = segment.TiledNetwork(forward, TO_CHANNELS, tile=32, stride=32, batch=5)
    segment.predict_volume(network, hu)
    assert set(sizes) == {5}


def test_volume_that_does_not_fit_says_what_to_pad_to(hu):
    network = segment.TiledNetwork(Counting(), TO_CHANNELS, tile=32, stride=16)
    with pytest.raises(ValueError, match="Pad them to 64x64"):
        segment.predict_volume(network, hu[:, :60, :60])


def one_channel(hu):
    return hu[..., np.newaxis]


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
@pytest.mark.parametrize("shape", [(9, 20, 17), (4, 8, 8), (2, 30, 5)])
def test_patches_of_a_network_that_copies_join_to_the_volume(shape, overlap):
    hu = np.random.default_rng(0).random(shape).astype(np.float32)
    seen = []

    def forward(images):
        seen.append(images.shape)
        return images

    probability = segment.predict_in_patches(
        forward, one_channel, hu, (4, 8, 8), overlap
    )
    assert probability.shape == hu.shape and probability.dtype == np.float32
    np.testing.assert_allclose(probability, hu, atol=1e-6)
    assert set(seen) == {(1, 4, 8, 8, 1)}


def test_where_patches_overlap_the_nearer_centre_decides_more():
    answers = iter([0.0, 1.0])

    def forward(images):
        return np.full_like(images, next(answers))

    hu = np.zeros((1, 1, 12), np.float32)
    probability = segment.predict_in_patches(forward, one_channel, hu, (1, 1, 8), 0.5)
    line = probability[0, 0]
    assert np.all(line[:4] == 0) and np.all(line[8:] == 1)
    assert np.all(np.diff(line[3:9]) > 0)
    # The weights of a Gaussian of sigma 1 at 0.5 and 3.5 from the centres.
    near, far = np.exp(-(0.5**2) / 2), np.exp(-(3.5**2) / 2)
    assert line[4] == pytest.approx(far / (near + far), rel=1e-4)


def test_patches_cover_a_volume_and_overlap_enough():
    for length, patch, overlap in [(35, 16, 0.5), (512, 192, 0.25), (16, 16, 0.5)]:
        starts = segment._starts(length, patch, overlap)
        assert starts[0] == 0 and starts[-1] == length - patch
        assert all(np.diff(starts) <= patch * (1 - overlap))
    with pytest.raises(ValueError, match="below 1. Received: 1"):
        segment.predict_in_patches(None, None, np.zeros((1, 1, 1)), (1, 1, 1), 1)


def test_features_are_the_mean_over_a_slices_tiles(hu):
    def forward(images):
        return images[..., :1], images.reshape(len(images), -1).max(axis=1)[:, None]

    network = segment.TiledNetwork(forward, TO_CHANNELS, 32, 32, batch=5)
    _, features = segment.predict_with_features(network, hu)
    cells = TO_CHANNELS(hu).reshape(11, 2, 32, 2, 32, -1)
    expected = cells.max(axis=(2, 4, 5)).mean(axis=(1, 2))
    np.testing.assert_allclose(features, expected[:, np.newaxis], rtol=1e-6)
