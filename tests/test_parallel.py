"""`ordered_map`: order, errors, early ends, and what is computed where."""

import functools
import os
import pathlib
import subprocess
import sys
import time

import pytest

from ich_tf import parallel


def slow_square(number):
    # Later items would finish first.
    time.sleep(0.2 / (number + 1))
    return number**2


def with_place(opened, number):
    return opened, os.getpid(), number


def fail_at(limit, number):
    if number == limit:
        raise ValueError(f"item {number}")
    return number


def touch(folder, number):
    (pathlib.Path(folder) / str(number)).touch()
    time.sleep(0.05)


def leave(number):
    os._exit(1)


@pytest.mark.parametrize(("workers", "threads"), ((1, False), (2, False), (2, True)))
def test_results_come_in_the_order_of_the_items(workers, threads):
    squares = parallel.ordered_map(
        slow_square, range(6), workers=workers, threads=threads
    )
    assert list(squares) == [0, 1, 4, 9, 16, 25]


def test_threads_work_while_the_caller_does():
    results = parallel.ordered_map(
        lambda number: time.sleep(0.2) or number, range(4), workers=2, threads=True
    )
    assert next(results) == 0
    time.sleep(0.3)
    began = time.monotonic()
    assert next(results) == 1
    assert time.monotonic() - began < 0.1


def test_setup_runs_once_in_each_process():
    made = list(parallel.ordered_map(with_place, range(5), workers=2, setup=os.getpid))
    # What setup returned is the id of the process that calls the function.
    assert all(opened == here != os.getpid() for opened, here, _ in made)
    assert [number for *_, number in made] == [0, 1, 2, 3, 4]
    here = list(parallel.ordered_map(with_place, [7], workers=1, setup=os.getpid))
    assert here == [(os.getpid(), os.getpid(), 7)]


@pytest.mark.parametrize("workers", (1, 2))
def test_a_failure_is_raised_after_the_results_before_it(workers):
    results = parallel.ordered_map(
        functools.partial(fail_at, 2), range(9), workers=workers
    )
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="item 2"):
        next(results)


def test_a_caller_that_stops_leaves_the_rest_undone(tmp_path):
    results = parallel.ordered_map(
        functools.partial(touch, tmp_path), range(40), workers=2
    )
    next(results)
    results.close()
    assert 1 <= len(list(tmp_path.iterdir())) < 10


def test_threads_can_be_left_early_where_no_process_was_ever_started():
    code = (
        "from ich_tf import parallel\n"
        "made = parallel.ordered_map(abs, range(9), workers=2, threads=True)\n"
        "next(made)\n"
        "made.close()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_process_that_dies_is_an_error_with_its_remedy():
    with pytest.raises(ChildProcessError, match="memory"):
        list(parallel.ordered_map(leave, range(4), workers=2))


KILLED = """
import os, signal, time
from ich_tf import parallel
if __name__ == "__main__":
    for number in parallel.ordered_map(abs, range(9), workers=2):
        print(*(child.pid for child in parallel.multiprocessing.active_children()))
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="needs /proc")
def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    # The workers hold the other end of a pipe, so the output goes to a file.
    with open(tmp_path / "out", "w+") as out:
        subprocess.run([sys.executable, "-u", script], stdout=out, check=False)
        out.seek(0)
        workers = out.read().split()
    assert len(workers) == 2
    until = time.monotonic() + 30
    while any(running(worker) for worker in workers):
        assert time.monotonic() < until
        time.sleep(0.05)


def running(process):
    """Whether a process runs; one that has ended may wait for its parent."""
    try:
        status = pathlib.Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
