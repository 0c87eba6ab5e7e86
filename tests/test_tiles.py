import numpy as np
import pytest

from ich_tf.preprocessing.segmentation import tiles


def random(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.mark.parametrize(
    ("size", "tile", "stride", "count"),
    [(512, 128, 64, 49), (640, 160, 80, 49), (256, 64, 32, 49), (128, 128, 64, 1)],
)
def test_count(size, tile, stride, count):
    assert tiles.TileGrid(size, size, tile, stride).count == count


def test_positions_go_by_rows():
    grid = tiles.TileGrid(6, 8, tile=4, stride=2)
    assert grid.positions.tolist() == [[0, 0], [0, 2], [0, 4], [2, 0], [2, 2], [2, 4]]


def test_cut_takes_the_pixels_at_the_positions():
    slices = random((2, 6, 8, 3))
    grid = tiles.TileGrid(6, 8, tile=4, stride=2)
    cut = grid.cut(slices)
    assert cut.shape == (12, 4, 4, 3)
    np.testing.assert_array_equal(cut[6 + 5], slices[1, 2:6, 4:8])


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize(
    ("size", "tile", "stride"), [(512, 128, 64), (256, 64, 32), (256, 64, 64)]
)
def test_join_of_cut_is_exact(size, tile, stride, channels):
    slices = random((2, size, size, *channels))
    grid = tiles.TileGrid(size, size, tile, stride)
    np.testing.assert_array_equal(grid.join(grid.cut(slices)), slices)


def test_join_is_the_mean_of_overlaps():
    grid = tiles.TileGrid(2, 6, tile=2, stride=1)
    joined = grid.join(
        np.array([1, 2, 3, 4, 6], np.float32)[:, None, None]
        .repeat(2, axis=1)
        .repeat(2, axis=2)
    )
    np.testing.assert_array_equal(joined[0], [[1, 1.5, 2.5, 3.5, 5, 6]] * 2)


def test_more_than_two_overlaps():
    slices = random((1, 48, 64))
    grid = tiles.TileGrid(48, 64, tile=24, stride=8)
    assert grid.overlaps().max() == 9
    np.testing.assert_allclose(grid.join(grid.cut(slices)), slices, rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "padded"),
    [((500, 512), "512x512"), ((513, 640), "576x640"), ((64, 130), "128x192")],
)
def test_slices_that_do_not_fit_name_the_shape_to_pad_to(shape, padded):
    with pytest.raises(
        ValueError, match=f"{shape[0]}x{shape[1]}. Pad them to {padded}"
    ):
        tiles.TileGrid(*shape)


def test_tile_must_be_a_multiple_of_the_stride():
    with pytest.raises(ValueError, match="tile=128, stride=60"):
        tiles.TileGrid(512, 512, 128, 60)


def test_wrong_shapes_are_refused():
    grid = tiles.TileGrid(8, 8, tile=4, stride=2)
    with pytest.raises(ValueError, match=r"\(z, 8, 8\).*\(1, 8, 10\)"):
        grid.cut(np.zeros((1, 8, 10)))
    with pytest.raises(ValueError, match=r"9 tiles of 4x4.*\(8, 4, 4\)"):
        grid.join(np.zeros((8, 4, 4)))


@pytest.mark.parametrize("channels", [(), (2,)])
def test_constant_tiles(channels):
    slices = random((2, 12, 8, *channels))
    slices[0, :6] = 0
    slices[1, 4:8, 2:6] = 0.7
    grid = tiles.TileGrid(12, 8, tile=4, stride=2)
    cut = grid.cut(slices)
    expected = [bool(np.all(tile == tile[0, 0])) for tile in cut]
    assert grid.constant(slices).tolist() == expected
    assert sum(expected) == 7


def test_channels_of_a_constant_tile_may_differ():
    slices = np.zeros((1, 4, 4, 2), np.float32)
    slices[..., 1] = 1
    assert tiles.TileGrid(4, 4, tile=4, stride=2).constant(slices).tolist() == [True]
    slices[0, 3, 3, 1] = 0
    assert tiles.TileGrid(4, 4, tile=4, stride=2).constant(slices).tolist() == [False]
