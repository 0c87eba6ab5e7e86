"""What Adam as one operation a variable gains over Keras' Adam: one ratio each.

python benchmarks/optimizer.py
"""

import pathlib
import sys
import time

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from ich_tf import models, optimizer, training  # noqa: E402

SIDE, BATCH, STEPS = 64, 8, 6
BACKBONES = ("vgg16", "densenet169")


def seconds(make, backbone: str) -> tuple[float, float]:
    """Seconds of the first step, which traces the network, and of a later one."""
    plan = training.Plan(1, 1, BATCH, learning_rate=1e-3)
    training.start(plan)
    shape = (SIDE, SIDE, 3)
    model = models.build("unetplusplus", backbone=backbone, input_shape=shape)
    training.compile_model(model, "bce", plan)
    model.compile(make(1e-3), model.loss, jit_compile=False)
    images = np.random.default_rng(0).random((BATCH, *shape), dtype=np.float32)
    masks = (images[..., :1] > 0.9).astype(np.float32)
    took = []
    for _ in range(1 + STEPS):
        began = time.monotonic()
        model.train_on_batch(images, masks)
        took.append(time.monotonic() - began)
    return took[0], float(np.median(took[1:]))


def main() -> None:
    """Print seconds of both, and their ratio."""
    print("| | Keras' | fused | ratio |\n| --- | --- | --- | --- |")
    for backbone in BACKBONES:
        theirs = seconds(keras.optimizers.Adam, backbone)
        ours = seconds(optimizer.Adam, backbone)
        for what, a, b in zip(("first step", "step"), theirs, ours, strict=True):
            print(f"| {backbone}, {what} | {a:.2f} s | {b:.2f} s | {a / b:.2f} |")


if __name__ == "__main__":
    main()
