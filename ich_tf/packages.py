"""Optional packages: what brings them if they are missing, and their chatter."""

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator

from ich_tf import paths

EXTRAS = {
    "tensorflow": "cpu",
    "highdicom": "dicom",
    "gradio": "app",
    "apache_beam": "beam",
    "jupytext": "notebooks",
    "nbclient": "notebooks",
    "onnx": "onnx",
    "tf2onnx": "onnx",
}
"""Import name of an optional package -> the extra of ich_tf that brings it."""


class MissingPackage(ImportError, ValueError):
    """An optional package is not installed; the message has the command for it."""


def require(*modules: str) -> None:
    """Check that optional packages are installed, without importing them.

    Args:
        modules: Import names, each a key of `EXTRAS`.

    Raises:
        MissingPackage: names the first that is absent and the command to install it.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingPackage(_message(module), name=module)


def explain(error: ModuleNotFoundError) -> ImportError:
    """The error for the user: with a command if an optional package is missing.

    Args:
        error: What an import raised.

    Returns:
        A `MissingPackage`, or the error itself if no extra brings the module.
    """
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return error
    return MissingPackage(_message(module), name=module)


def command(*extras: str) -> str:
    """What installs this project with an extra, or with one of several.

    No package index has the project, so the command is for the clone's folder. It
    keeps an editable installation editable.
    """
    how = "pip install --editable" if paths.IN_CHECKOUT else "pip install"
    choices = " or ".join(f'`{how} ".[{extra}]"`' for extra in extras)
    return f"{choices} in the clone's folder"


def _message(module: str) -> str:
    if module == "tensorflow":
        return (
            "TensorFlow is not installed. Install exactly one of its builds, for the "
            f"CPU, an NVIDIA GPU or a Google TPU: {command('cpu', 'cuda', 'tpu')}."
        )
    return f"{module} is not installed. Run {command(EXTRAS[module])}."


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Hold back what is written to file descriptor 2; show it if the block fails."""
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)
