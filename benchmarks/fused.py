"""What this project's own passes gain over Keras' on a processor.

Fused Adam and batch normalization, and convolutions whose gradients are convolutions.
The grouped convolutions of ResNeXt stay ours in every column: Keras' take minutes.

python benchmarks/fused.py
"""

import contextlib
import os
import pathlib
import sys
import time
from unittest import mock

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from ich_tf import models  # noqa: E402
from ich_tf.models import cpu_layers  # noqa: E402
from ich_tf.training import keras_private, plans  # noqa: E402

STEPS = 6
NETWORKS = {
    "UNet++ over VGG16, 8 x 32 x 32": (
        8,
        {"name": "unetplusplus", "backbone": "vgg16", "input_shape": (32, 32, 3)},
    ),
    "UNet++ over DenseNet169, 8 x 32 x 32": (
        8,
        {"name": "unetplusplus", "backbone": "densenet169", "input_shape": (32, 32, 3)},
    ),
    "UNet++, 8 filters, 8 x 128 x 128": (
        8,
        {
            "name": "unetplusplus",
            "filters": (8, 16, 32, 64, 128),
            "upsampling": "nearest",
            "batch_normalization": True,
            "input_shape": (128, 128, 1),
        },
    ),
    "ResNeXt, 16 x 128 x 128": (16, {"name": "resnext", "input_shape": (128, 128, 3)}),
    "3-D UNet++, added, 8 filters, 4 x 16 x 64 x 64": (
        4,
        {
            "name": "unetplusplus_3d",
            "filters": 8,
            "skip": "add",
            "input_shape": (16, 64, 64, 1),
        },
    ),
}
ADAM = (
    mock.patch.object(keras_private, "FusedAdam", keras.optimizers.Adam),
    mock.patch.dict(os.environ, {cpu_layers.VARIABLE: "off"}),
)
WAYS = {
    "Keras'": ADAM,
    "own Adam": ADAM[1:],
    "and layers": (mock.patch.dict(os.environ, {cpu_layers.VARIABLE: "on"}),),
}


def seconds(batch: int, arguments: dict, patches) -> tuple[float, float]:
    """Seconds of the first step, which traces the network, and of a later one."""
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        plan = plans.Plan(1, 1, batch, learning_rate=1e-3)
        plans.start(plan)
        model = models.build(**arguments)
        plans.compile_model(model, "bce", plan)
        rng = np.random.default_rng(0)
        images = rng.random((batch, *model.input_shape[1:]), dtype=np.float32)
        truth = rng.random((batch, *model.output_shape[1:]), dtype=np.float32) > 0.9
        took = []
        for _ in range(1 + STEPS):
            began = time.monotonic()
            model.train_on_batch(images, truth.astype(np.float32))
            took.append(time.monotonic() - began)
    return took[0], float(np.median(took[1:]))


def main() -> None:
    """Print seconds of each way."""
    print(f"| | {' | '.join(WAYS)} |\n| --- | {'--- | ' * len(WAYS)}")
    for network, (batch, arguments) in NETWORKS.items():
        of_ways = [seconds(batch, arguments, patches) for patches in WAYS.values()]
        for number, what in enumerate(("first step", "step")):
            shown = " | ".join(
                f"{row_of_ways[number]:.2f} s" for row_of_ways in of_ways
            )
            print(f"| {network}: {what} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
