"""Threads or processes that make batches of NumPy arrays in order, ahead of their use.

Threads share Python's lock, so several make little more than one. Processes write each
batch into shared memory, from where it is used without a copy.
"""

import collections
import functools
import math
import pathlib
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import shared_memory
from typing import Any

import numpy as np

from ich_tf import parallel

MOST = 8
"""More would make more batches than a training loop can take."""
AHEAD = 2
"""Batches for each worker that are made before they are asked for."""
IN_USE = 8
"""Batches that TensorFlow may hold at the same time: prefetched, copied, trained on."""
SHARED_MEMORY = pathlib.Path("/dev/shm")

Load = Callable[[Any, tuple[np.ndarray, ...]], object]
"""Writes the batch of an item into arrays, whose values are undefined before."""
Spec = tuple[tuple[int, ...], np.dtype]
"""Shape and type of an array."""


def thread_count() -> int:
    """Threads that make batches."""
    return min(parallel.cores(), MOST)


def process_count(cores: int) -> int:
    """Processes that make batches; of more than two cores one is left to training."""
    return max(2, min(cores - 1, MOST))


def from_threads(
    load: Load, items: Iterable[Any], specs: tuple[Spec, ...]
) -> Iterator[tuple[np.ndarray, ...]]:
    """Batches in the order of the items, made by threads of this process.

    Args:
        load: Makes a batch; several threads use it.
        items: Taken one by one.
        specs: Shape and type of each array of a batch.
    """
    make = functools.partial(_new_batch, load, specs)
    return parallel.ordered_map(
        make, items, workers=thread_count(), ahead=AHEAD, threads=True
    )


def from_processes(
    load: Load, items: Iterable[Any], specs: tuple[Spec, ...], workers: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Batches in the order of the items, made by processes.

    The arrays lie in shared memory, which is used again when none of them exists any
    more. When the iterator ends or is closed, processes and shared memory are gone.

    Args:
        load: Makes a batch; picklable, and not of the main module.
        items: Taken one by one; picklable.
        specs: Shape and type of each array of a batch.
        workers: Processes, two or more.

    Raises:
        ChildProcessError: if a process ended before its batch was made.
    """
    blocks, lent = _Blocks(_size(specs)), collections.deque()

    def jobs():
        for item in items:
            lent.append(blocks.lend())
            yield item, lent[-1].name

    made = parallel.ordered_map(
        _fill,
        jobs(),
        workers=workers,
        ahead=AHEAD,
        setup=functools.partial(_Filler, load, specs),
        main=False,
    )
    try:
        for _ in made:
            yield _arrays(np.asarray(lent.popleft()), specs)
    finally:
        made.close()
        blocks.unlink()


def why_no_processes(load: Load, specs: tuple[Spec, ...], workers: int) -> str | None:
    """Why `from_processes` cannot make these batches; None if it can."""
    reason = parallel.why_not_picklable(load)
    if reason is not None:
        return f"what makes a batch cannot be sent to another process ({reason})"
    needed = (workers * AHEAD + IN_USE) * _size(specs)
    if SHARED_MEMORY.is_dir():
        free = shutil.disk_usage(SHARED_MEMORY).free
        if free < needed:
            return (
                f"they need {needed / 1e6:.0f} MB of shared memory and {SHARED_MEMORY} "
                f"has {free / 1e6:.0f} MB (docker run --shm-size sets it)"
            )
    return None


def _new_batch(load, specs, item) -> tuple[np.ndarray, ...]:
    arrays = new_arrays(specs)
    load(item, arrays)
    return arrays


def new_arrays(specs: tuple[Spec, ...]) -> tuple[np.ndarray, ...]:
    """Arrays of a batch in memory of this process, with undefined values."""
    return tuple(np.empty(shape, dtype) for shape, dtype in specs)


class _Filler:
    """Makes batches in a worker process."""

    def __init__(self, load: Load, specs: tuple[Spec, ...]):
        # Ctrl-C reaches workers, too; the training decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.load, self.specs, self.opened = load, specs, {}

    def fill(self, item: Any, name: str) -> None:
        """Write the batch of an item into the shared memory of this name."""
        if name not in self.opened:
            self.opened[name] = shared_memory.SharedMemory(name)
        memory = np.frombuffer(self.opened[name].buf, np.uint8)
        self.load(item, _arrays(memory, self.specs))


def _fill(filler: _Filler, job: tuple[Any, str]) -> None:
    filler.fill(*job)


class _Lent:
    """A block of shared memory that is given back when no array of it is left.

    NumPy's arrays keep the object whose memory they show.
    """

    def __init__(self, block: shared_memory.SharedMemory, free: collections.deque):
        self.name = block.name
        self._block, self._free = block, free
        address = np.frombuffer(block.buf, np.uint8).ctypes.data
        self.__array_interface__ = {
            "data": (address, False),
            "shape": (block.size,),
            "typestr": "|u1",
            "version": 3,
        }

    def __del__(self):
        self._free.append(self._block)


class _Blocks:
    """Blocks of shared memory of one size, as many as are in use at the same time."""

    def __init__(self, size: int):
        self._size = size
        self._free, self._all = collections.deque(), []

    def lend(self) -> _Lent:
        """A block that is not in use."""
        try:
            block = self._free.pop()
        except IndexError:
            block = shared_memory.SharedMemory(create=True, size=self._size)
            self._all.append(block)
        return _Lent(block, self._free)

    def unlink(self) -> None:
        """Give the memory back to the system as soon as no array shows it."""
        for block in self._all:
            block.unlink()


def _arrays(memory: np.ndarray, specs: tuple[Spec, ...]) -> tuple[np.ndarray, ...]:
    """Arrays one after the other in memory, where TensorFlow takes them uncopied."""
    made, first = [], 0
    for shape, dtype in specs:
        part = memory[first : first + math.prod(shape) * np.dtype(dtype).itemsize]
        made.append(part.view(dtype).reshape(shape))
        first += _aligned(part.nbytes)
    return tuple(made)


def _size(specs: tuple[Spec, ...]) -> int:
    """Bytes of a batch."""
    return sum(
        _aligned(math.prod(shape) * np.dtype(dtype).itemsize) for shape, dtype in specs
    )


def _aligned(size: int) -> int:
    """The next multiple of 64, which TensorFlow wants for addresses."""
    return -(-size // 64) * 64
