"""A small untrained network under the name of the shipped one."""

from ich_tf import models
from ich_tf.models import weights
from ich_tf.prediction import predict

SIZE = 64


def ship(folder):
    """Write it to a weights folder; returns the folder."""
    kwargs = {"filters": [4, 8], "input_shape": [SIZE, SIZE, 1]}
    model = models.build("unetplusplus", filters=(4, 8), input_shape=(SIZE, SIZE, 1))
    entry = {
        "build": {"name": "unetplusplus", "kwargs": kwargs},
        "preprocessing": {
            "approach": "approach1",
            "channels": 1,
            "size": SIZE,
            "tile": SIZE,
            "stride": SIZE,
        },
        "trained_on": "nothing",
        "metric": "none",
    }
    weights.ship(model, predict.DEFAULT_WEIGHTS, folder, entry)
    return folder
