import functools

import numpy as np
import pytest

from ich_tf import inference
from ich_tf.preprocessing import tiles, windows

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
    network = inference.Predictor(Counting(), TO_CHANNELS, tile=32, stride=16, batch=7)
    np.testing.assert_allclose(
        inference.predict_volume(network, hu),
        plain_loop(Counting(), hu, 32, 16),
        atol=1e-6,
    )


def test_air_is_answered_once(hu):
    forward = Counting()
    air = np.full_like(hu, -1000)
    network = inference.Predictor(forward, TO_CHANNELS, tile=32, stride=16, batch=4)
    found = inference.predict_volume(network, air)
    assert forward.calls == 1
    np.testing.assert_array_equal(found, plain_loop(Counting(), air, 32, 16))


def test_every_batch_has_the_same_size(hu):
    sizes = []

    def forward(images):
        sizes.append(len(images))
        return images[..., :1]

    network = inference.Predictor(forward, TO_CHANNELS, tile=32, stride=32, batch=5)
    inference.predict_volume(network, hu)
    assert set(sizes) == {5}


def test_volume_that_does_not_fit_says_what_to_pad_to(hu):
    network = inference.Predictor(Counting(), TO_CHANNELS, tile=32, stride=16)
    with pytest.raises(ValueError, match="Pad them to 64x64"):
        inference.predict_volume(network, hu[:, :60, :60])
