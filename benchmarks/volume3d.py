"""Measure training steps of the 3-D UNet++ on whole volumes: memory and time.

    python benchmarks/volume3d.py steps    512x512x32, the four variants
    python benchmarks/volume3d.py monai    against MONAI's BasicUNetPlusPlus

Every variant runs in a process of its own, one at a time. One whose estimated memory
exceeds the limit is reported as such and not started; one that passes it is ended.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

HERE = pathlib.Path(__file__).resolve().parent
MONAI_PYTHON = HERE.parent / ".venv-monai" / "bin" / "python"
VARIANTS = {
    "concat": ("concat", False),
    "add": ("add", False),
    "concat + remat": ("concat", True),
    "add + remat": ("add", True),
}
TARGET_GB = 12.0
SEED = 2024


def print_row(*cells) -> None:
    """Print one row of a markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def resident_gb(pid: int, field: str = "VmRSS") -> float:
    """Resident memory of a process, or its peak (VmHWM), in 10^9 bytes; Linux."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    lines = dict(line.split(":", 1) for line in text.splitlines())
    return int(lines.get(field, "0").split()[0]) * 1024 / 1e9


def watched(command: list, limit_gb: float) -> dict | None:
    """The JSON a process prints last; None if it passed the limit and was ended."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        # OpenMP's threads wait in a loop by default, which other work on the machine
        # makes many times longer.
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    while process.poll() is None:
        if resident_gb(process.pid) > limit_gb:
            process.kill()
            process.wait()
            return None
        time.sleep(0.2)
    lines = process.stdout.read().splitlines()
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}.")
    return json.loads(lines[-1])


# ------------------------------------------------------------------- one variant


def network(size: int, depth: int, filters: int, variant: str, precision: str):
    """The compiled network of a variant."""
    from ich_tf import models
    from ich_tf.training import plans

    skip, remat = VARIANTS[variant]
    plan = plans.Plan(1, 1, 1, 1e-3, precision=precision, deterministic=False)
    plans.start(plan)
    model = models.build(
        "unetplusplus_3d",
        input_shape=(depth, size, size, 1),
        filters=filters,
        skip=skip,
        remat=remat,
    )
    plans.compile_model(model, "bce_jaccard", plan)
    return model


def estimate(options: argparse.Namespace) -> None:
    """Print the estimated memory."""
    from ich_tf.models import memory

    model = network(
        options.size, options.depth, options.filters, options.variant, options.precision
    )
    policy = model.dtype_policy.name
    needed = memory.training_gigabytes(model, 1, policy)
    print(json.dumps(needed + memory.PROCESS_GIGABYTES))


def child(options: argparse.Namespace) -> None:
    """Steps on phantom heads: seconds, losses and peak memory of this process."""
    import tensorflow as tf

    from ich_tf.preprocessing import windows
    from ich_tf.synthetic import phantom

    model = network(
        options.size, options.depth, options.filters, options.variant, options.precision
    )
    case = phantom.generate(
        SEED, 0, slices=options.depth, size=options.size, bleeding=True
    ).case
    images = windows.channels(case.volume.hu, "approach1", 1)[np.newaxis]
    masks = case.mask[np.newaxis, ..., np.newaxis].astype(np.float32)
    batch = tf.constant(images), tf.constant(masks)
    del case, images, masks
    seconds, processor, losses = [], [], []
    for _ in range(options.steps):
        began, used = time.perf_counter(), time.process_time()
        losses.append(float(model.train_on_batch(*batch)))
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    measured = {
        "parameters": model.count_params(),
        "precision": model.dtype_policy.name,
        "peak_gb": resident_gb(os.getpid(), "VmHWM"),
        "seconds": seconds,
        "processor": processor,
        "losses": losses,
    }
    print(json.dumps(measured))


def arguments(options: argparse.Namespace, variant: str, part: str) -> list:
    """The command of a process for one variant."""
    given = [sys.executable, __file__, part, "--variant", variant]
    for name in ("size", "depth", "filters", "steps", "precision"):
        given += [f"--{name}", str(getattr(options, name))]
    return given


def steps(options: argparse.Namespace) -> bool:
    """Each variant's memory, estimated and measured, and seconds of a step."""
    print_row("variant", "estimate GB", "peak GB", "s/step", "processor s", "loss")
    print_row(*["---"] * 6)
    reached = True
    for variant in options.variants or VARIANTS:
        expected = watched(arguments(options, variant, "estimate"), options.limit)
        if expected > options.limit:
            reason = f"not run: over the limit of {options.limit:g}"
            print_row(variant, f"{expected:.1f}", reason, *"–––")
            continue
        measured = watched(arguments(options, variant, "child"), options.limit)
        if measured is None:
            print_row(variant, f"{expected:.1f}", "ended at the limit", *"–––")
            continue
        losses = " -> ".join(f"{loss:.3f}" for loss in measured["losses"])
        print_row(
            variant,
            f"{expected:.1f}",
            f"{measured['peak_gb']:.1f}",
            f"{_fastest(measured, 'seconds'):.0f}",
            f"{_fastest(measured, 'processor'):.0f}",
            losses,
        )
        if variant == "add + remat":
            reached = measured["peak_gb"] <= TARGET_GB
    print(
        f"\n{options.size}x{options.size}x{options.depth}, {options.filters} filters, "
        f"precision {options.precision}, {options.steps} steps on a phantom head; the "
        "fastest but the first. Load of the machine: "
        f"{os.getloadavg()[0]:.1f}. Target for add + remat: {TARGET_GB:g} GB."
    )
    return reached


# -------------------------------------------------------------------------- MONAI


def monai(options: argparse.Namespace) -> bool:
    """Both projects' steps, in turn, each in its default and in bfloat16."""
    if not MONAI_PYTHON.exists():
        sys.exit(f"{MONAI_PYTHON} is missing. Run benchmarks/monai_environment.sh.")
    print_row("network", "precision", "parameters", "s/step", "processor s", "peak GB")
    print_row(*["---"] * 6)
    size = [str(number) for number in (options.size, options.depth, options.filters)]
    for precision in ("float32", "bfloat16"):
        theirs = [MONAI_PYTHON, HERE / "monai_worker.py", precision, *size]
        measured = watched([*theirs, str(options.steps)], options.limit)
        _print_found("MONAI BasicUNetPlusPlus", precision, measured)
        for variant in options.variants or VARIANTS:
            ours = argparse.Namespace(**vars(options))
            ours.precision = {"bfloat16": "mixed_bfloat16"}.get(precision, precision)
            measured = watched(arguments(ours, variant, "child"), options.limit)
            _print_found(f"ours, {variant}", precision, measured)
    print(
        f"\n{options.size}x{options.size}x{options.depth}, {options.filters} filters; "
        f"the fastest of {options.steps - 1} steps after the first, each network in a "
        f"process of its own. Load of the machine: {os.getloadavg()[0]:.1f}."
    )
    return True


def _fastest(measured: dict, name: str) -> float:
    """The fastest step but the first, which pays for tracing."""
    return min(measured[name][1:] or measured[name])


def _print_found(name: str, precision: str, measured: dict | None) -> None:
    if measured is None:
        print_row(name, precision, *"–––", "ended at the limit")
        return
    print_row(
        name,
        precision,
        f"{measured['parameters']:,}",
        f"{_fastest(measured, 'seconds'):.2f}",
        f"{_fastest(measured, 'processor'):.2f}",
        f"{measured['peak_gb']:.2f}",
    )


def main() -> None:
    """Run the part that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"steps": steps, "monai": monai, "child": child, "estimate": estimate}
    parser.add_argument("part", choices=parts)
    parser.add_argument("--size", type=int, help="in-plane; default 512, monai 128")
    parser.add_argument("--depth", type=int, default=32, help="slices")
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3, help="of training, 2 or more")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--limit", type=float, default=14.0, help="GB of a process")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, metavar="VARIANT")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--no-check", action="store_true", help="only print")
    options = parser.parse_args()
    options.size = options.size or (128 if options.part == "monai" else 512)
    reached = parts[options.part](options)
    if reached is False and not options.no_check:
        sys.exit(1)


if __name__ == "__main__":
    main()
