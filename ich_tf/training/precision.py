"""The device: its name, its memory, and the precision in which it is fastest."""

import os
import pathlib

import tensorflow as tf

DETERMINISTIC = "ICH_TF_DETERMINISTIC"
TENSOR_CORES = (7, 0)
"""Compute capability from which NVIDIA GPUs multiply float16 faster than float32."""
BFLOAT16_CORES = (8, 0)
"""Compute capability (A100, H100) from which bfloat16 is as fast as float16."""
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def device_name() -> str | None:
    """Name of the first accelerator, None on a CPU."""
    for kind in ("TPU", "GPU"):
        for device in tf.config.list_physical_devices(kind):
            details = tf.config.experimental.get_device_details(device)
            return details.get("device_name", kind)
    return None


def is_deterministic(wanted: bool | None) -> bool:
    """Whether operations are repeatable to the bit.

    The environment variable `ICH_TF_DETERMINISTIC`, "on" or "off", decides before the
    argument; `--deterministic` and `--no-deterministic` set it.

    Args:
        wanted: What a plan asks for; None takes the default: yes on a CPU, where a
            killed run then resumes with the same bits, and no on a GPU or TPU, where it
            would cost speed.

    Raises:
        ValueError: if the variable is neither "on" nor "off".
    """
    said = os.environ.get(DETERMINISTIC)
    if said not in (None, "", "on", "off"):
        raise ValueError(f"{DETERMINISTIC} must be 'on' or 'off'. Received: {said!r}")
    if said:
        return said == "on"
    return device_name() is None if wanted is None else wanted


def restart_gpu_memory_peak() -> None:
    """Begin a new peak of each GPU's memory."""
    for gpu in _gpus():
        tf.config.experimental.reset_memory_stats(gpu)


def gpu_memory_peak() -> int | None:
    """The highest peak of memory of a GPU, in bytes; None without a GPU."""
    peaks = [tf.config.experimental.get_memory_info(gpu)["peak"] for gpu in _gpus()]
    return max(peaks, default=None)


def _gpus() -> list[str]:
    return [f"GPU:{k}" for k in range(len(tf.config.list_physical_devices("GPU")))]


def precision_policy(name: str = "auto") -> str:
    """The dtype policy of a precision; "auto" takes the fastest of the device.

    TPUs compute in bfloat16, and so do CPUs with AVX512-BF16 or AMX (2.4 times faster
    training of UNet++ over DenseNet169 was measured). Of NVIDIA GPUs those with
    compute capability 8 or more (A100, H100) take bfloat16, which needs no scaling of
    the loss, those with 7 (V100, T4) float16. Everything else computes in float32.

    Raises:
        ValueError: if the name is unknown.
    """
    if name in POLICIES:
        return name
    if name != "auto":
        known = ", ".join(POLICIES)
        raise ValueError(f"Unknown precision {name!r}. Known: auto, {known}")
    if tf.config.list_logical_devices("TPU"):
        return "mixed_bfloat16"
    devices = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in devices]
    # One policy for all: the least capable GPU decides.
    capabilities = [device.get("compute_capability", (0, 0)) for device in details]
    if capabilities:
        return policy_of_gpu(min(capabilities))
    return "mixed_bfloat16" if _cpu_has_bfloat16() else "float32"


def policy_of_gpu(compute_capability: tuple[int, int]) -> str:
    """The fastest dtype policy of an NVIDIA GPU.

    Args:
        compute_capability: Major and minor number, such as (8, 0) for an A100.
    """
    if compute_capability >= BFLOAT16_CORES:
        return "mixed_bfloat16"
    return "mixed_float16" if compute_capability >= TENSOR_CORES else "float32"


def _cpu_has_bfloat16() -> bool:
    """Whether Linux reports bfloat16 instructions; False elsewhere."""
    try:
        words = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii").split()
    except OSError:
        return False
    return "avx512_bf16" in words or "amx_bf16" in words
