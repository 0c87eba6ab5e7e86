"""A small untrained network under the name of the shipped one."""

from ich_tf import models
from ich_tf.models import weights
from ich_tf.prediction import predict

SIZE = 64


def ship(folder, name=predict.DEFAULT_WEIGHTS, size=SIZE):
    """Write it to a weights folder; returns the folder."""
    kwargs = {"filters": [4, 8], "input_shape": [size, size, 1]}
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
    weights.ship(model, name, folder, entry)
    return folder
