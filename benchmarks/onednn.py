"""What oneDNN gains on this processor: the same steps with and without, one ratio each.

TensorFlow turns it on by itself only where it finds AVX512-VNNI or better; `ich_tf`
always does.

    python benchmarks/onednn.py
"""

import functools
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

PROJECT = pathlib.Path(__file__).resolve().parent.parent
SMALL = {
    "filters": (8, 16, 32, 64, 128),
    "upsampling": "nearest",
    "batch_normalization": True,
    "input_shape": (192, 192, 1),
}
DENSE = {"backbone": "densenet169", "graph": "official", "input_shape": (64, 64, 3)}
NETWORKS = {"small UNet++": SMALL, "UNet++ over DenseNet169": DENSE}
STEPS = 6


def seconds() -> dict[str, float]:
    """Median seconds of a training step and of an answer, batches of 8."""
    sys.path.insert(0, str(PROJECT))
    from ich_tf import models
    from ich_tf.training import plans

    by_setting = {}
    for name, arguments in NETWORKS.items():
        plan = plans.Plan(epochs=1, steps_per_epoch=1, batch=8, learning_rate=1e-3)
        plans.start(plan)
        model = models.build("unetplusplus", **arguments)
        plans.compile_model(model, "bce", plan)
        shape = (8, *arguments["input_shape"])
        images = np.random.default_rng(0).random(shape, dtype=np.float32)
        masks = (images[..., :1] > 0.9).astype(np.float32)
        steps = {
            "training": functools.partial(model.train_on_batch, images, masks),
            "inference": functools.partial(model.predict_on_batch, images),
        }
        for what, step in steps.items():
            step()
            took = []
            for _ in range(STEPS):
                began = time.monotonic()
                step()
                took.append(time.monotonic() - began)
            by_setting[f"{name}, {what}"] = float(np.median(took))
    return by_setting


def main() -> None:
    """Print seconds without and with oneDNN, and their ratio."""
    if sys.argv[1:] == ["--child"]:
        print(json.dumps(seconds()))
        return
    runs = []
    for setting in ("0", "1"):
        done = subprocess.run(
            [sys.executable, __file__, "--child"],
            env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": setting},
            check=True,
            capture_output=True,
            text=True,
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    print("| | without | with | ratio |\n| --- | --- | --- | --- |")
    for name, without in runs[0].items():
        with_it = runs[1][name]
        print(
            f"| {name} | {without:.2f} s | {with_it:.2f} s | {without / with_it:.1f} |"
        )


if __name__ == "__main__":
    main()
