"""Arrays of our own files, checked when they are read back."""

import math
import os
import pathlib
from collections.abc import Collection

import numpy as np
import numpy.typing as npt


def read(
    path: str | os.PathLike,
    wanted: Collection[str] | None = None,
    advice: str = "",
) -> dict[str, np.ndarray]:
    """Read an `.npz` file completely, which also checks its checksums.

    Args:
        path: The file.
        wanted: Names of the arrays that are read; None reads all.
        advice: What to do about a damaged file, a sentence.

    Returns:
        Name to array.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or lacks an array; the message names it.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file. {advice}".rstrip())
    # Opened here, for NumPy leaves damaged files open.
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as stored:
                names = stored.files if wanted is None else wanted
                return {name: stored[name] for name in names}
        except Exception as error:
            # Zip, zlib and NumPy raise nearly every type for a damaged file.
            raise _damaged(path, f"{type(error).__name__}: {error}", advice) from error


def open_raw(
    path: str | os.PathLike,
    dtype: npt.DTypeLike,
    shape: tuple[int, ...],
    advice: str = "",
) -> np.memmap:
    """Map a file that holds the bytes of one array and nothing else.

    Args:
        path: The file.
        dtype: Type of its elements.
        shape: Shape of the array.
        advice: What to do about a damaged file, a sentence.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it has another length; the message names it.
    """
    path = pathlib.Path(path)
    size, wanted = path.stat().st_size, math.prod(shape) * np.dtype(dtype).itemsize
    if size != wanted or not size:
        raise _damaged(path, f"{size} bytes instead of {wanted}", advice)
    return np.memmap(path, dtype, "r", shape=shape)


def open_npy(path: str | os.PathLike, advice: str = "") -> np.ndarray:
    """Map an `.npy` file.

    Args:
        path: The file.
        advice: What to do about a damaged file, a sentence.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged; the message names it.
    """
    path = pathlib.Path(path)
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:
        # NumPy parses the header as Python and raises what that raises.
        raise _damaged(path, f"{type(error).__name__}: {error}", advice) from error


def put(target: np.ndarray, values: np.ndarray) -> None:
    """Copy values into an array of the same shape.

    Raises:
        ValueError: if the shapes differ; NumPy would repeat the values to fill it.
    """
    if target.shape != values.shape:
        raise ValueError(f"an array of {values.shape} instead of {target.shape}")
    target[...] = values


def _damaged(path: pathlib.Path, reason: str, advice: str) -> ValueError:
    return ValueError(f"{path} is damaged ({reason}). {advice}".rstrip())


def new_batch(shape: tuple[int, ...], channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (*shape, channels) and masks (*shape, 1), float32, of undefined values."""
    return tuple(np.empty((*shape, width), np.float32) for width in (channels, 1))
