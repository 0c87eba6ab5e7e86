"""What fused operations gain over Keras' own Adam and batch normalization.

python benchmarks/fused.py
"""

import contextlib
import pathlib
import sys
import time
from unittest import mock

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from ich_tf import models, training  # noqa: E402
from ich_tf.models import layers, sm_keras3  # noqa: E402

SIDE, BATCH, STEPS = 64, 8, 6
BACKBONES = ("vgg16", "densenet169")
ADAM = mock.patch.object(training, "Adam", keras.optimizers.Adam)
KERAS_LAYER = keras.layers.BatchNormalization
LAYERS = (
    mock.patch.object(layers, "BatchNormalization", KERAS_LAYER),
    mock.patch.dict(sm_keras3._OWN, BatchNormalization=KERAS_LAYER),
)
WAYS = {"Keras'": (ADAM, *LAYERS), "fused Adam": LAYERS, "both fused": ()}


def seconds(backbone: str, patches) -> tuple[float, float]:
    """Seconds of the first step, which traces the network, and of a later one."""
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        plan = training.Plan(1, 1, BATCH, learning_rate=1e-3)
        training.start(plan)
        shape = (SIDE, SIDE, 3)
        model = models.build("unetplusplus", backbone=backbone, input_shape=shape)
        training.compile_model(model, "bce", plan)
        images = np.random.default_rng(0).random((BATCH, *shape), dtype=np.float32)
        masks = (images[..., :1] > 0.9).astype(np.float32)
        took = []
        for _ in range(1 + STEPS):
            began = time.monotonic()
            model.train_on_batch(images, masks)
            took.append(time.monotonic() - began)
    return took[0], float(np.median(took[1:]))


def main() -> None:
    """Print seconds of each way."""
    print(f"| | {' | '.join(WAYS)} |\n| --- | {'--- | ' * len(WAYS)}")
    for backbone in BACKBONES:
        found = [seconds(backbone, patches) for patches in WAYS.values()]
        for number, what in enumerate(("first step", "step")):
            shown = " | ".join(f"{one[number]:.2f} s" for one in found)
            print(f"| {backbone}, {what} | {shown} |")


if __name__ == "__main__":
    main()
