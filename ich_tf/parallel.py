"""One map over worker processes or threads: results in order, a few computed ahead."""

import collections
import concurrent.futures.process
import contextlib
import functools
import itertools
import multiprocessing
import multiprocessing.context
import os
import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_shared: dict[str, Any] = {}


def cores() -> int:
    """Cores that this process may use, at least one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(
    function: Callable[..., Any],
    items: Iterable[Any],
    *,
    workers: int,
    ahead: int = 2,
    setup: Callable[[], Any] | None = None,
    threads: bool = False,
    main: bool = True,
) -> Iterator[Any]:
    """Results of a function in the order of the items, computed by workers.

    Workers start with the first result that is asked for. A failure, or a caller that
    stops early, cancels what has not begun.

    Args:
        function: Takes an item; with `setup`, first what that returned. Picklable, as
            items and results are, when there is more than one worker.
        items: Taken one by one, never all at once.
        workers: Processes or threads. One process or less: the caller computes, one
            item at a time.
        ahead: Items for each worker that are computed before they are asked for.
        setup: Called once in each process, e.g. to open a data set; not with threads.
        threads: Whether workers are threads of this process; for functions that spend
            their time outside Python.
        main: Whether processes import the main module, as spawned ones do. Without it
            a script needs no `if __name__ == "__main__"`; see `why_not_picklable`.

    Raises:
        ChildProcessError: if a process ended before its result, e.g. for lack of
            memory.
    """
    if workers <= 1 and not threads:
        shared = () if setup is None else (setup(),)
        for item in items:
            yield function(*shared, item)
        return
    if threads:
        pool = concurrent.futures.ThreadPoolExecutor(workers)
        call = function
    else:
        # TensorFlow runs threads, which a forked process would lack.
        spawn = multiprocessing.get_context("spawn") if main else _WithoutMain()
        pool = concurrent.futures.ProcessPoolExecutor(
            workers, spawn, _prepare, (setup,)
        )
        call = functools.partial(_call, function)
    items, waiting = iter(items), collections.deque()
    try:
        for item in itertools.islice(items, workers * ahead):
            waiting.append(pool.submit(call, item))
        while waiting:
            result = waiting.popleft().result()
            for item in itertools.islice(items, 1):
                waiting.append(pool.submit(call, item))
            yield result
    except concurrent.futures.process.BrokenProcessPool as error:
        raise ChildProcessError(
            "A worker process ended before its work was done; most often the machine "
            "is short of memory. Run it again with fewer workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def why_not_picklable(thing: Any) -> str | None:
    """Why a process that does not import the main module cannot have a thing.

    Returns:
        The reason; None if it can.
    """
    try:
        with _hidden_main():
            pickle.dumps(thing)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        return str(error)
    return None


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _ProcessWithoutMain(multiprocessing.context.SpawnProcess):
    """A process that is not told which module its parent's main module is."""

    def start(self) -> None:
        with _hidden_main():
            super().start()


class _WithoutMain(multiprocessing.context.SpawnContext):
    Process = _ProcessWithoutMain


def _prepare(setup: Callable[[], Any] | None) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _shared["arguments"] = () if setup is None else (setup(),)


def _call(function: Callable[..., Any], item: Any) -> Any:
    return function(*_shared["arguments"], item)


def _end_with_parent() -> None:
    """End this worker when its parent was killed; the pool's queues never tell it."""
    multiprocessing.parent_process().join()
    os._exit(1)
