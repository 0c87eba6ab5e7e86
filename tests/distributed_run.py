"""Train tiny networks in a process of its own, under any strategy.

Usage: python distributed_run.py FOLDER NETWORK STRATEGY [fresh|resume|xla] [STEPS]

MirroredStrategy gets two logical devices of the one CPU. The last line of the output
is JSON: of each network and strategy what `train` returns; in mode "xla", of each
network what `losses_with_xla` does.
"""

import dataclasses
import functools
import json
import os
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from ich_tf import models
from ich_tf.models import sequence
from ich_tf.prediction import segment
from ich_tf.preprocessing.classification import sequences
from ich_tf.training import checkpoint, distribute, distributed_fit, fit, plans

BATCH, STEPS = 4, 20


def plan(steps=STEPS, devices=distribute.ONE):
    """One step an epoch, so that the history has the loss of each."""
    return plans.Plan(
        steps, 1, BATCH, 1e-3, precision="float32", seed=7, devices=devices
    )


def two_devices():
    (cpu,) = tf.config.list_physical_devices("CPU")
    half = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [half, half])


def images(shape, truth):
    """Batches from the step alone; truth from images and labels."""
    *sides, channels = shape

    def one(step):
        generator = np.random.default_rng([7, int(step)])
        pixels = generator.random((BATCH, *shape), dtype=np.float32)
        # Of different brightness: the variance of equal images is lost in rounding.
        brightness = (BATCH, *(1 for _ in sides), channels)
        pixels *= generator.random(brightness, dtype=np.float32)
        return pixels, truth(pixels).astype(np.float32)

    def load(step):
        pixels = tf.numpy_function(one, [step], (tf.float32, tf.float32))
        for tensor, like in zip(pixels, one(0), strict=True):
            tensor.set_shape(like.shape)
        return tuple(pixels)

    return lambda first, last: tf.data.Dataset.range(first, last).map(load)


def unetplusplus():
    shape = (16, 16, 1)
    batches = images(shape, lambda pixels: pixels > 0.3)
    model = models.build(
        "unetplusplus", input_shape=shape, filters=(4, 8), batch_normalization=True
    )
    # Jaccard over the batch is no mean over replicas.
    return model, "bce_jaccard", batches, batches(100, 102)


def unetplusplus_3d():
    shape = (4, 16, 16, 1)
    batches = images(shape, lambda pixels: pixels > 0.3)
    model = models.build(
        "unetplusplus_3d",
        input_shape=shape,
        filters=4,
        levels=3,
        skip="add",
        remat=True,
    )
    return model, "bce_jaccard", batches, batches(100, 102)


def resnext():
    def labels(pixels):
        return np.tile(pixels.mean((1, 2)) > 0.25, 2)

    model = models.build(
        "resnext", cardinality=2, width=4, filters=8, input_shape=(64, 64, 3)
    )
    return model, "bce", images((64, 64, 3), labels), None


def scans_model():
    generator = np.random.default_rng(7)
    lengths = generator.integers(3, 20, 10)
    slices = int(lengths.sum())
    scans = sequences.Scans(
        generator.standard_normal((slices, 8), dtype=np.float32),
        generator.random((slices, 6), dtype=np.float32),
        lengths,
        generator.integers(2, size=(slices, 6), dtype=np.uint8),
    )

    def batches(first, last):
        return sequences.training_batches(
            scans, batch=BATCH, first_step=first, last_step=last, seed=7
        )

    # No dropout: each replica has its own.
    model = sequence.build_sequence(8, 4, hidden=4, layers=1, head_dropout=0.0)
    return model, sequence.scan_loss(), batches, None


NETWORKS = {
    "unetplusplus": unetplusplus,
    "unetplusplus_3d": unetplusplus_3d,
    "resnext": resnext,
    "sequence": scans_model,
}


def train(folder, network, devices, resume=False, steps=STEPS):
    """Train a network on devices.

    Returns:
        The history, and what the network says of the first images, if it takes any
        and this is no worker of several, which only train.
    """
    scale = plan(steps, devices)
    plans.start(scale)
    model, loss, batches, validation = NETWORKS[network]()
    scored = validation is not None
    plans.compile_model(model, loss, scale, [plans.SoftJaccard()] if scored else [])
    if network == "unetplusplus" and "TF_CONFIG" not in os.environ:
        # Measures a few steps, which the losses must not show.
        assert fit.estimate(model, batches(0, 2), scale).seconds_per_step > 0
    history = fit.fit(
        model,
        batches,
        validation,
        scale,
        pathlib.Path(folder),
        spec={"network": network},
        resume=resume,
        tensorboard=scored,
    )
    answers = []
    if "TF_CONFIG" in os.environ:
        return history, answers
    if network == "unetplusplus":
        shown = next(batches(0, 1).as_numpy_iterator())[0]
        predict = segment.predictor(model, None, 16, 16).forward
        # Each replica answers the whole batch, as `inference` allows for.
        answers = predict(shown)[: len(shown)].mean((1, 2, 3)).tolist()
    elif network == "resnext":
        shown = next(batches(0, 1).as_numpy_iterator())[0]
        answers = segment.feature_predictor(model)(shown)[1].tolist()
    return history, answers


def losses_with_xla(network):
    """Losses of three steps, without XLA and compiled with it."""
    scale = dataclasses.replace(plan(), deterministic=False)
    plans.start(scale)
    model, loss, batches, _ = NETWORKS[network]()
    plans.compile_model(model, loss, scale)
    batch = next(iter(fit.as_dataset(batches(0, 1))))
    variables = checkpoint.variables_of(model)
    saved = [keras.ops.convert_to_numpy(variable) for variable in variables]
    losses = []
    for compiled in (False, True):
        for variable, value in zip(variables, saved, strict=True):
            variable.assign(value)
        step = tf.function(
            functools.partial(distributed_fit.train_step, model),
            autograph=False,
            jit_compile=compiled,
        )
        losses.append([float(step(batch)) for _ in range(3)])
    return losses


def main(folder, networks, strategies, mode="fresh", steps=STEPS):
    if mode == "xla":
        outcomes = {name: losses_with_xla(name) for name in networks.split(",")}
        sys.stdout.write(f"\n{json.dumps(outcomes)}\n")
        return
    if "mirrored" in strategies:
        two_devices()
    outcomes = {}
    for strategy in strategies.split(","):
        devices = distribute.choose(strategy)
        for network in networks.split(","):
            own = pathlib.Path(folder) / strategy / network
            outcomes.setdefault(network, {})[strategy] = train(
                own, network, devices, mode == "resume", int(steps)
            )
    keras.backend.clear_session()
    sys.stdout.write(f"\n{json.dumps(outcomes)}\n")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ConnectionError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)  # as the command line does
