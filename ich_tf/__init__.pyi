from ich_tf.datasets import open_dataset as open_dataset
from ich_tf.evidence.evaluate import evaluate as evaluate
from ich_tf.models import build as build
from ich_tf.models.weights import load_shipped as load_weights
from ich_tf.prediction.predict import predict as predict

__version__: str
__all__ = [
    "__version__",
    "build",
    "evaluate",
    "load_weights",
    "open_dataset",
    "predict",
]
