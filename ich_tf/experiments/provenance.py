"""What a result must carry so that its numbers can be traced."""

import contextlib
import ctypes
import gc
import hashlib
import importlib.metadata
import json
import platform
import subprocess
from typing import Any

from ich_tf import paths

PACKAGES = (
    "tensorflow",
    "keras",
    "segmentation-models",
    "albumentations",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "scikit-image",
    "scikit-learn",
    "pydicom",
    "nibabel",
)
DISTRIBUTIONS = {"tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-tpu")}
"""Package -> what may bring it, of which one is installed."""


def digest(content: Any) -> str:
    """Twelve hexadecimal digits that stand for some JSON content."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on, if installed."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        for distribution in DISTRIBUTIONS.get(package, (package,)):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                installed[package] = importlib.metadata.version(distribution)
                break
    return installed


def commit() -> str | None:
    """The project's commit, "-dirty" if files were changed; None if installed."""
    if not paths.IN_CHECKOUT:
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=paths.PROJECT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def device() -> str:
    """The accelerators TensorFlow sees, else the CPU's architecture."""
    from ich_tf.training import precision

    return precision.device_name() or f"CPU ({platform.machine()})"


def restart_memory_peak() -> None:
    """Begin a new peak of memory: of GPUs, or resident where the system can (Linux).

    What was freed before goes back to the system first.
    """
    from ich_tf.training import precision

    precision.restart_gpu_memory_peak()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as control:
            control.write("5")
    except OSError:
        return


def memory_peak_gb() -> float | None:
    """Peak of memory since `restart_memory_peak`, in 10^9 bytes.

    For the GPU that took most; without one, for resident memory, which
    includes mapped files.
    """
    from ich_tf.training import precision

    of_gpu = precision.gpu_memory_peak()
    if of_gpu is not None:
        return round(of_gpu / 1e9, 2)
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            lines = dict(line.split(":", 1) for line in status)
    except OSError:
        return None
    return round(int(lines["VmHWM"].split()[0]) * 1024 / 1e9, 2)
