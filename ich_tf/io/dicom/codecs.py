"""Compressed pixels, decoded in a process of their own.

The codecs are written in C and C++. On damaged data one of them may abort the whole
process, never return, or ask for all memory, which no `except` catches. So they run in
a child process with limits of time and memory: what happens to it becomes an error
that names the file. The child is started once and decodes file after file.
"""

import atexit
import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import threading
import time

import numpy as np
from pydicom import uid

from ich_tf.io.source import InputError

START_SECONDS = 60.0
FILE_SECONDS = 10.0
SECONDS_PER_MB = 2.0
"""Time for a file: `FILE_SECONDS`, and this for each compressed megabyte."""

_CHILD = pathlib.Path(__file__).with_name("codec_process.py")
_MAX_ANSWER_LINE = 10_000


class _Process:
    """The child, and whom it belongs to."""

    def __init__(self):
        self._lock = threading.Lock()
        self._child: subprocess.Popen | None = None
        self._owner = 0

    def ask(self, request: dict, seconds: float) -> tuple[dict, bytes]:
        """Send a request; return the answer and the bytes that follow it.

        Raises:
            TimeoutError: if the child takes too long; it is ended.
            EOFError: if the child ended; `args` holds its exit code.
        """
        with self._lock:
            try:
                return self._ask(request, seconds)
            except BaseException:
                self.end()
                raise

    def _ask(self, request: dict, seconds: float) -> tuple[dict, bytes]:
        child = self._start()
        try:
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
        except OSError as error:
            raise EOFError(child.wait()) from error
        end = time.monotonic() + seconds
        received = bytearray()
        while b"\n" not in received and len(received) < _MAX_ANSWER_LINE:
            received += self._receive(child, end)
        line, _, content = bytes(received).partition(b"\n")
        answer = json.loads(line)
        content = bytearray(content)
        while len(content) < answer.get("bytes", 0):
            content += self._receive(child, end)
        return answer, bytes(content)

    @staticmethod
    def _receive(child: subprocess.Popen, end: float) -> bytes:
        ready, _, _ = select.select(
            [child.stdout], [], [], max(0.0, end - time.monotonic())
        )
        if not ready:
            raise TimeoutError
        content = os.read(child.stdout.fileno(), 2**20)
        if not content:
            raise EOFError(child.wait())
        return content

    def _start(self) -> subprocess.Popen:
        """The running child; a process that was forked off starts its own."""
        if self._child is None or self._owner != os.getpid():
            self._child = subprocess.Popen(
                [sys.executable, "-P", str(_CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
            self._owner = os.getpid()
            # It says when its libraries are loaded: that is no file's time.
            self._receive(self._child, time.monotonic() + START_SECONDS)
        return self._child

    def end(self) -> None:
        """End the child, if it is ours."""
        child, self._child = self._child, None
        if child is None or self._owner != os.getpid():
            return
        child.kill()
        with contextlib.suppress(OSError):
            child.stdin.close()
        child.stdout.close()
        child.wait()


_process = _Process()
atexit.register(_process.end)


def decode(path: pathlib.Path, syntax: uid.UID, pixels: int) -> np.ndarray:
    """Decode the pixel data of a file.

    Args:
        path: A DICOM file whose header was checked.
        syntax: Its transfer syntax, for messages.
        pixels: Number of pixels it should have.

    Returns:
        The stored values, in the shape that the decoder gives them.

    Raises:
        InputError: if the data cannot be decoded within the limits.
    """
    problem = f"pixel data in the transfer syntax '{syntax.name}' ({syntax}) cannot be"
    seconds = FILE_SECONDS + SECONDS_PER_MB * path.stat().st_size / 1e6
    try:
        answer, content = _process.ask({"path": os.fspath(path)}, seconds)
    except TimeoutError as error:
        raise InputError(f"{path}: {problem} decoded in {seconds:.0f} s.") from error
    except EOFError as error:
        code = error.args[0]
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        raise InputError(
            f"{path}: {problem} decoded: the codec crashed ({how})."
        ) from error
    if "error" in answer:
        raise InputError(f"{path}: {problem} decoded: {answer['error']}")
    if np.prod(answer["shape"], dtype=np.int64) != pixels:
        raise InputError(
            f"{path}: decoded to {answer['shape']}, {pixels} pixels are expected."
        )
    return np.frombuffer(content, answer["type"]).reshape(answer["shape"])
