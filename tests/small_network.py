"""Small untrained networks under the name of the shipped one."""

import functools

import keras
import numpy as np

from ich_tf import models
from ich_tf.models import shipping
from ich_tf.prediction import calibration, predict, real_heads

SIZE = 64


def ship(folder, name=predict.DEFAULT_WEIGHTS, size=SIZE):
    """Write it to a weights folder; returns the folder."""
    kwargs = {"filters": [4, 8], "input_shape": [size, size, 1]}
    # Whether an untrained network marks anything must not depend on other tests.
    keras.utils.set_random_seed(1)
    model = models.build("unetplusplus", filters=(4, 8), input_shape=(size, size, 1))
    entry = {
        "build": {"name": "unetplusplus", "kwargs": kwargs},
        "preprocessing": {
            "approach": "approach1",
            "channels": 1,
            "size": size,
            "tile": size,
            "stride": size,
        },
        "trained_on": "nothing",
        "metric": "none",
    }
    shipping.ship(model, name, folder, entry)
    return folder


def ship_with_subtypes(folder, name=predict.DEFAULT_WEIGHTS):
    """Write a network that finds what is bright, with a calibration."""
    network = with_subtypes()
    entry = {**network.entry, "trained_on": "nothing", "metric": "none"}
    companions = {
        real_heads.CALIBRATION: functools.partial(
            calibration.save, calibration=network.calibration, states="nothing"
        )
    }
    shipping.ship(network.model, name, folder, entry, companions)
    return folder


def with_subtypes(activation="subtypes", channels=3, known=None, **preprocessing):
    """A network that finds what is bright, whose calibration changes nothing.

    Args:
        activation: Of its last layer.
        channels: Neighbouring slices.
        known: Statistics of training slices.
        **preprocessing: Changes of the manifest's entry.
    """
    model, arguments = bright(activation, channels)
    lines = np.tile([1.0, 0.0], (6, 1))
    entry = {
        "build": {"name": "unetplusplus", "kwargs": arguments},
        "preprocessing": {
            "approach": "approach1",
            "channels": channels,
            "size": SIZE,
            "tile": SIZE,
            "stride": SIZE,
            **preprocessing,
        },
        "file": "small.weights.h5",
    }
    fitted = calibration.Calibration(lines, lines)
    return real_heads.Network(model, entry, known, fitted)


def bright(activation, channels):
    """A network that finds what is bright; all subtypes are alike to it.

    With weights of 0.1 the logit is about 45 times the image: 19 at 30 HU, 41 at 90.
    """
    shape = (None, None, channels)
    arguments = {"filters": (2, 4), "upsampling": "nearest", "input_shape": shape}
    if activation == "subtypes":
        arguments.update(classes=6, activation="subtypes")
    model = models.build("unetplusplus", **arguments)
    for weight in model.weights:
        if "subtypes" not in weight.path:
            weight.assign(np.full(weight.shape, 0.1))
    model.get_layer("x0_1_logits").bias.assign([-30.0])
    return model, arguments
