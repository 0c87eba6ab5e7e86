"""A small training run in a process of its own, to be killed and gone on with.

Usage: python resume_run.py FOLDER fresh|resume
"""

import pathlib
import sys

import numpy as np
import tensorflow as tf

from ich_tf import models
from ich_tf.training import fit, plans

PLAN = plans.Plan(
    epochs=6,
    steps_per_epoch=4,
    batch=2,
    learning_rate=1e-2,
    schedule="cosine",
    precision="float32",
    seed=7,
    deterministic=True,
)


def batches(first, last):
    def one(step):
        generator = np.random.default_rng([7, int(step)])
        images = generator.random((2, 16, 16, 1), dtype=np.float32)
        return images, (images > 0.7).astype(np.float32)

    def load(step):
        images, masks = tf.numpy_function(one, [step], (tf.float32, tf.float32))
        images.set_shape((2, 16, 16, 1))
        masks.set_shape((2, 16, 16, 1))
        return images, masks

    return tf.data.Dataset.range(first, last).map(load)


def main(folder, mode):
    plans.start(PLAN)
    # Dropout has a random state that a resumed run must carry on.
    model = models.build("unet_hssayeni", input_shape=(16, 16, 1), filters=(4, 8, 8))
    plans.compile_model(model, "bce_jaccard", PLAN, [plans.SoftJaccard()])
    fit.fit(
        model,
        batches,
        batches(100, 102),
        PLAN,
        pathlib.Path(folder),
        spec={"run": "test"},
        resume=mode == "resume",
        tensorboard=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
