"""Mutated files against readers, each case in a process with limits.

`python tests/fuzz/run.py [NAME ...] [--count 1000] [--seed 0]` prints how many mutated
files were read, refused by a documented error, or found a fault: another exception, an
error that does not name the file, a crash, a hang, or more memory than allowed.

A target is a reader with files that it takes; see `targets.py`. To add one, write a
function that reads a path, and one that writes seeds, and add an entry to `TARGETS`.
"""

import collections
import dataclasses
import json
import os
import pathlib
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable

MEMORY_BYTES = 4 * 2**30
SECONDS = 20.0
HEAD_BYTES = 2048
"""Half of all mutations hit the first bytes, where headers are."""

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAULTS = ("trace", "unnamed", "crash", "hang")


@dataclasses.dataclass(frozen=True)
class Target:
    """A reader that must withstand every file.

    Attributes:
        write_seeds: Writes good files to a folder and returns their paths.
        read: Reads a file, in the child process.
        documented: What it may raise; the text must contain the file's name.
        mutate: Changes the content of a seed; None takes `mutate`.
        prepare: Called once in the child, without a limit of time, for slow imports.
    """

    write_seeds: Callable[[pathlib.Path], list[pathlib.Path]]
    read: Callable[[pathlib.Path], object]
    documented: tuple[type[Exception], ...] = (ValueError,)
    mutate: Callable[[bytes, random.Random], bytes] | None = None
    prepare: Callable[[], object] | None = None


def mutate(content: bytes, generator: random.Random) -> bytes:
    """One to four random changes."""
    changed = bytearray(content)
    for _ in range(generator.choice((1, 1, 2, 4))):
        if not changed:
            break
        most = len(changed)
        if generator.random() < 0.5:
            most = min(most, HEAD_BYTES)
        place = generator.randrange(most)
        generator.choice(_CHANGES)(changed, place, generator)
    return bytes(changed)


def _flip(changed: bytearray, place: int, generator: random.Random) -> None:
    changed[place] ^= 1 << generator.randrange(8)


def _random_bytes(changed: bytearray, place: int, generator: random.Random) -> None:
    count = generator.choice((1, 2, 4, 16))
    changed[place : place + count] = generator.randbytes(count)


def _number(changed: bytearray, place: int, generator: random.Random) -> None:
    """A length or a count becomes extreme."""
    size = generator.choice((2, 4))
    value = generator.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), 65535))
    order = generator.choice(("little", "big"))
    changed[place : place + size] = (value % 2 ** (8 * size)).to_bytes(size, order)


def _cut(changed: bytearray, place: int, generator: random.Random) -> None:
    del changed[place:]


def _delete(changed: bytearray, place: int, generator: random.Random) -> None:
    del changed[place : place + generator.choice((1, 2, 8, 100))]


def _insert(changed: bytearray, place: int, generator: random.Random) -> None:
    changed[place:place] = generator.randbytes(generator.choice((1, 2, 8, 100)))


def _repeat(changed: bytearray, place: int, generator: random.Random) -> None:
    part = changed[place : place + generator.choice((4, 32, 256))]
    changed[place:place] = part * generator.choice((1, 2, 50))


def _swap(changed: bytearray, place: int, generator: random.Random) -> None:
    other = generator.randrange(len(changed))
    count = generator.choice((2, 8, 64))
    first, second = changed[place : place + count], changed[other : other + count]
    changed[place : place + count] = second
    changed[other : other + count] = first


def _blank(changed: bytearray, place: int, generator: random.Random) -> None:
    count = generator.choice((8, 128))
    filler = generator.choice((b"\0", b"\xff", b" ", b","))
    changed[place : place + count] = filler * count


_CHANGES = (
    _flip,
    _random_bytes,
    _number,
    _cut,
    _delete,
    _insert,
    _repeat,
    _swap,
    _blank,
)


class Child:
    """The process that reads; started again after a crash or a hang."""

    def __init__(self, name: str):
        self._name = name
        self._process: subprocess.Popen | None = None

    def ask(self, path: pathlib.Path) -> tuple[str, str]:
        """Outcome and detail for one file."""
        if self._process is None:
            self._start()
        self._process.stdin.write(json.dumps(os.fspath(path)).encode() + b"\n")
        line = self._line(SECONDS)
        if line is None:
            self.end()
            return "hang", f"no answer in {SECONDS:g} s"
        if not line:
            code = self._process.wait()
            self.end()
            return "crash", f"exit code {code}"
        outcome, detail = json.loads(line)
        return outcome, detail

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                str(pathlib.Path(__file__).with_name("child.py")),
                self._name,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        if not self._line(300.0):
            raise RuntimeError(f"the child for {self._name} does not start.")

    def _line(self, seconds: float) -> bytes | None:
        """A line; empty if the process ended, None if it takes too long."""
        end, received = time.monotonic() + seconds, bytearray()
        stdout = self._process.stdout
        while not received.endswith(b"\n"):
            left = max(0.0, end - time.monotonic())
            if not select.select([stdout], [], [], left)[0]:
                return None
            part = os.read(stdout.fileno(), 2**16)
            if not part:
                return b""
            received += part
        return bytes(received)

    def end(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


@dataclasses.dataclass
class Report:
    """What a run found.

    Attributes:
        name: The target.
        outcomes: Outcome to count: "read", "refused", or one of `FAULTS`.
        faults: Outcome, detail and path of every fault.
    """

    name: str
    outcomes: collections.Counter
    faults: list[tuple[str, str, pathlib.Path]]

    def __str__(self) -> str:
        """One line."""
        shown = ", ".join(f"{name} {self.outcomes[name]}" for name in self.outcomes)
        return f"{self.name}: {self.outcomes.total()} mutated files: {shown}"


def run(
    name: str, target: Target, folder: pathlib.Path, count: int, seed: int = 0
) -> Report:
    """Mutate the seeds of a target and read what comes out.

    Args:
        name: Its name in `targets.TARGETS`.
        target: The target.
        folder: For seeds and mutated files; files that show a fault stay there.
        count: Number of mutated files.
        seed: The same seed gives the same files.
    """
    seeds_folder = folder / "seeds"
    seeds_folder.mkdir(parents=True)
    seeds = target.write_seeds(seeds_folder)
    generator = random.Random(f"{name}-{seed}")
    report, child = Report(name, collections.Counter(), []), Child(name)
    try:
        for number in range(count):
            source = seeds[number % len(seeds)]
            path = folder / f"{number:05d}-{source.name}"
            change = target.mutate or mutate
            path.write_bytes(change(source.read_bytes(), generator))
            outcome, detail = child.ask(path)
            report.outcomes[outcome] += 1
            if outcome in FAULTS:
                report.faults.append((outcome, detail, path))
            else:
                path.unlink()
    finally:
        child.end()
    return report
