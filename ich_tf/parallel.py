"""One map over worker processes or threads: results in order, a few computed ahead."""

import collections
import concurrent.futures
import functools
import itertools
import multiprocessing
import os
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

    Raises:
        ChildProcessError: if a process ended before its result, e.g. for want of
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
        spawn = multiprocessing.get_context("spawn")
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


def _prepare(setup: Callable[[], Any] | None) -> None:
    _shared["arguments"] = () if setup is None else (setup(),)


def _call(function: Callable[..., Any], item: Any) -> Any:
    return function(*_shared["arguments"], item)
