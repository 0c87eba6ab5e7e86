"""How much reaches the terminal: progress or not, and no lines of TensorFlow."""

import contextlib
import importlib.abc
import importlib.machinery
import logging
import os
import signal
import sys
from collections.abc import Iterator

from ich_tf import packages


def set_verbosity(verbose: bool, quiet: bool) -> None:
    """Choose how much is printed.

    Args:
        verbose: Show TensorFlow's own lines and debugging messages too.
        quiet: Show results and errors, no progress.
    """
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("ich_tf").setLevel(level)
    if verbose:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, SilentImport("tensorflow"))


class SilentImport(importlib.abc.MetaPathFinder):
    """Holds back what a package's libraries write while it is imported.

    TensorFlow's libraries write to file descriptor 2 before any setting of theirs is
    read. If the import fails, everything is shown.

    Args:
        package: Top-level name of the package.
    """

    def __init__(self, package: str):
        self.package = package

    def find_spec(self, fullname, path=None, target=None):
        """Find the package as usual, with a loader that is silent."""
        if fullname != self.package:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            load = spec.loader.exec_module

            def load_silently(module):
                with packages.silent_stderr():
                    load(module)

            spec.loader.exec_module = load_silently
        return spec


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl+C does: by `KeyboardInterrupt`.

    A signal that is ignored, as by `nohup`, stays ignored.
    """

    def interrupt(number, frame):
        # A second signal, as at the end of a session, must not stop the cleaning up.
        for other in former:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    names = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    former = {number: signal.getsignal(number) for number in numbers}
    former = {n: what for n, what in former.items() if what is not signal.SIG_IGN}
    for number in former:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
