"""Detect, classify and segment intracranial hemorrhage in head CT with Keras.

    import ich_tf

    prediction = ich_tf.predict("scan.nii.gz")     # arrays, ml, probabilities
    scores = ich_tf.evaluate("predicted", "masks") # overlap of masks, per case
    dataset = ich_tf.open_dataset("ct-ich", DIR)   # cases of a published data set
    model = ich_tf.build("unetplusplus")           # an untrained network
    model = ich_tf.load_weights("real-heads")

Each name is imported when it is first used: `import ich_tf` loads nothing else.
"""

import importlib
import os

# TensorFlow leaves oneDNN off on processors without AVX512-VNNI, as most laptops are:
# a training step of the small UNet++ takes 2.4 times as long without, one of
# DenseNet169 1.3 times (benchmarks/onednn.py).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.2.0"

# Public name -> module and the name there; the same as __init__.pyi.
_PUBLIC = {
    "build": ("ich_tf.models", "build"),
    "evaluate": ("ich_tf.evidence.evaluate", "evaluate"),
    "load_weights": ("ich_tf.models.weights", "load_shipped"),
    "open_dataset": ("ich_tf.datasets", "open_dataset"),
    "predict": ("ich_tf.prediction.predict", "predict"),
}
_NEED_TENSORFLOW = ("build", "load_weights", "predict")
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ich_tf' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    if name in _NEED_TENSORFLOW:
        from ich_tf import packages

        packages.require("tensorflow")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
