"""Overlapping square tiles of slices, and their exact join by the mean of overlaps."""

import numpy as np


class TileGrid:
    """Where the tiles of a slice lie.

    Slices of 512x512 have 7x7 = 49 tiles of 128 at a stride of 64, in rows from
    front to back, each from right to left. Tile `i` of slice `z` has the index
    `z * count + i`.

    Attributes:
        shape: (height, width) of a slice in pixels.
        tile: Side of a tile in pixels.
        stride: Distance of neighbouring tiles in pixels.
        rows: Number of tiles above one another.
        columns: Number of tiles side by side.
        count: Tiles in a slice.

    Reference:
        Hssayeni et al., Data 5(1):14, 2020, doi:10.3390/data5010014.
    """

    def __init__(self, height: int, width: int, tile: int = 128, stride: int = 64):
        """Place the tiles.

        Args:
            height: Rows of a slice.
            width: Columns of a slice.
            tile: Side of a tile; a multiple of the stride.
            stride: Distance of neighbouring tiles.

        Raises:
            ValueError: if the tiles do not cover the slice exactly; the message says
                the shape to pad to.
        """
        if stride < 1 or tile < stride or tile % stride:
            raise ValueError(
                "`tile` must be a multiple of `stride`. Received: "
                f"tile={tile}, stride={stride}"
            )
        if height < tile or width < tile or height % stride or width % stride:
            fitting = [
                max(tile, -(-side // stride) * stride) for side in (height, width)
            ]
            raise ValueError(
                f"Tiles of {tile} at a stride of {stride} do not cover slices of "
                f"{height}x{width}. Pad them to {fitting[0]}x{fitting[1]}."
            )
        self.shape = (height, width)
        self.tile = tile
        self.stride = stride
        self.rows = (height - tile) // stride + 1
        self.columns = (width - tile) // stride + 1
        self.count = self.rows * self.columns

    @property
    def positions(self) -> np.ndarray:
        """(count, 2), row and column of each tile's first pixel."""
        corners = np.indices((self.rows, self.columns)) * self.stride
        return corners.reshape(2, -1).T

    def overlaps(self) -> np.ndarray:
        """(height, width), float32, in how many tiles a pixel lies."""
        height, width = self.shape
        counts = np.zeros((height, width), np.float32)
        for row, column in self.positions:
            counts[row : row + self.tile, column : column + self.tile] += 1
        return counts

    def cut(self, slices: np.ndarray) -> np.ndarray:
        """Cut slices into tiles.

        Args:
            slices: (z, height, width) or (z, height, width, channels).

        Returns:
            (z * count, tile, tile) or (z * count, tile, tile, channels), a copy.
        """
        self._check_slices(slices)
        windows = np.lib.stride_tricks.sliding_window_view(
            slices, (self.tile, self.tile), axis=(1, 2)
        )[:, :: self.stride, :: self.stride]
        if slices.ndim == 4:
            windows = np.moveaxis(windows, 3, -1)
        return windows.reshape(-1, self.tile, self.tile, *slices.shape[3:])

    def join(self, tiles: np.ndarray) -> np.ndarray:
        """Put tiles together again, averaging where they overlap.

        Args:
            tiles: (z * count, tile, tile) or (z * count, tile, tile, channels).

        Returns:
            (z, height, width) or (z, height, width, channels), float32. With a tile
            of twice the stride `join(cut(x)) == x` to the last bit, because all
            divisors are powers of two.
        """
        if tiles.shape[1:3] != (self.tile, self.tile) or len(tiles) % self.count:
            raise ValueError(
                f"`tiles` must be {self.count} tiles of {self.tile}x{self.tile} for "
                f"each slice. Received: {tiles.shape}"
            )
        extra = tiles.shape[3:]
        stacked = tiles.reshape(-1, self.count, self.tile, self.tile, *extra)
        joined = np.zeros((len(stacked), *self.shape, *extra), np.float32)
        for position, (row, column) in enumerate(self.positions):
            place = joined[:, row : row + self.tile, column : column + self.tile]
            place += stacked[:, position]
        joined /= self.overlaps().reshape(*self.shape, *(1 for _ in extra))
        return joined

    def constant(self, slices: np.ndarray) -> np.ndarray:
        """Find the tiles that hold one value only, such as air.

        Found from the slices, before any tile is cut; the channels of a pixel may
        differ from each other.

        Args:
            slices: (z, height, width) or (z, height, width, channels).

        Returns:
            (z * count,), bool.
        """
        self._check_slices(slices)
        height, width = (side // self.stride for side in self.shape)
        cells = slices.reshape(
            len(slices), height, self.stride, width, self.stride, *slices.shape[3:]
        )
        low = self._cells_of_tiles(cells.min(axis=(2, 4))).min(axis=(-2, -1))
        high = self._cells_of_tiles(cells.max(axis=(2, 4))).max(axis=(-2, -1))
        same = (low == high).reshape(len(slices) * self.count, -1)
        return same.all(axis=-1)

    def _cells_of_tiles(self, cells: np.ndarray) -> np.ndarray:
        """Gather the stride-sized cells of each tile in two last axes."""
        side = self.tile // self.stride
        return np.lib.stride_tricks.sliding_window_view(
            cells, (side, side), axis=(1, 2)
        )

    def _check_slices(self, slices: np.ndarray) -> None:
        if slices.ndim not in (3, 4) or slices.shape[1:3] != self.shape:
            raise ValueError(
                f"`slices` must be (z, {self.shape[0]}, {self.shape[1]}) with or "
                f"without channels. Received: {slices.shape}"
            )
