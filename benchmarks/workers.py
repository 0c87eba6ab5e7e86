"""Measure training with several workers against one process with the same batch.

    python benchmarks/workers.py

Two workers on this machine, over loopback, each with half of its cores, against one
process with all of them: plain UNet++ in float32, synchronized normalization, the
same global batch. On one machine nothing can be gained; the ratio shows what talking
costs. The ways take turns.
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
SIDE, EPOCHS = 64, 4


def train(workers: int, batch: int, steps: int, folder: str) -> float:
    """Crops per second of the fastest epoch but the first."""
    import tensorflow as tf

    from ich_tf import models
    from ich_tf.training import distribute, fit, plans

    threads = max(1, os.cpu_count() // workers)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    plan = plans.Plan(
        EPOCHS,
        steps,
        batch,
        1e-3,
        precision="float32",
        deterministic=False,
        devices=distribute.choose("multiworker" if workers > 1 else "one"),
    )
    plans.start(plan)
    model = models.build(
        "unetplusplus",
        input_shape=(SIDE, SIDE, 1),
        filters=(16, 32, 64),
        batch_normalization=True,
    )
    plans.compile_model(model, "bce_jaccard", plan)
    images = tf.random.stateless_uniform((batch, SIDE, SIDE, 1), (0, 0))
    batch_of_one = tf.data.Dataset.from_tensors(
        (images, tf.cast(images > 0.7, tf.float32))
    )
    history = fit.fit(
        model,
        lambda first, last: batch_of_one.repeat(last - first),
        None,
        plan,
        folder,
        spec={},
        tensorboard=False,
    )
    seconds = min(epoch["seconds"] for epoch in history[1:])
    return batch * steps / seconds


def measure(workers: int, options: argparse.Namespace) -> float:
    """Run the workers as processes; return what the first one measured."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
    addresses = [f"127.0.0.1:{bound.getsockname()[1]}" for bound in sockets]
    for bound in sockets:
        bound.close()
    processes = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(workers):
            task = {"type": "worker", "index": number}
            config = {"cluster": {"worker": addresses}, "task": task}
            command = [sys.executable, __file__, "--child", str(workers)]
            command += ["--folder", folder, "--batch", str(options.batch)]
            command += ["--steps", str(options.steps)]
            environment = {
                "PYTHONPATH": str(pathlib.Path(__file__).resolve().parent.parent),
                **os.environ,
            }
            if workers > 1:
                environment["TF_CONFIG"] = json.dumps(config)
            processes.append(
                subprocess.Popen(
                    command, env=environment, stdout=subprocess.PIPE, text=True
                )
            )
        outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit("a worker failed")
    return float(outputs[0].splitlines()[-1])


def main() -> None:
    """Print crops per second of each way and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16, help="of all workers")
    parser.add_argument("--steps", type=int, default=10, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(train(options.child, options.batch, options.steps, options.folder))
        return
    speeds = {1: [], options.workers: []}
    for _ in range(options.rounds):
        for workers, measured in speeds.items():
            measured.append(measure(workers, options))
    alone, several = (max(measured) for measured in speeds.values())
    print(f"one process: {alone:.1f} crops/s")
    print(f"{options.workers} workers over loopback: {several:.1f} crops/s")
    print(f"ratio: {several / alone:.2f}")


if __name__ == "__main__":
    main()
