"""The encoders of segmentation-models 1.0.1, built with Keras 3.

That package was written for Keras 2, but each of its encoder functions takes the
Keras modules as arguments (`layers`, `backend`, `models`, `utils`). The stand-ins
below are all that Keras 3 needs: names without "/", a name for each unnamed layer
(so that a second build in one process gets the same names), a serializable layer in
place of a `Lambda`, and a `get_file` that asks us where weights are.
"""

import collections
import contextlib
import functools
import io
import os
import types
import warnings
from collections.abc import Callable

import keras
import numpy as np

from ich_tf.models import cpu_layers


@keras.saving.register_keras_serializable(package="ich_tf")
class ScaledSum(keras.layers.Layer):
    """`first + scale * second`, the residual sum of Inception-ResNet.

    Args:
        scale: Factor of the second input.
    """

    def __init__(self, scale: float, **kwargs):
        super().__init__(**kwargs)
        self.scale = float(scale)

    def call(self, inputs):
        """Sum two tensors of equal shape."""
        return inputs[0] + inputs[1] * self.scale

    def compute_output_shape(self, input_shape):
        """Shape of either input."""
        return input_shape[0]

    def get_config(self) -> dict:
        """The arguments, for saving."""
        return {**super().get_config(), "scale": self.scale}


def _scaled_sum(function, arguments, output_shape=None, **kwargs) -> ScaledSum:
    """Stand in for the one `Lambda` of the encoders we use."""
    return ScaledSum(arguments["scale"], **kwargs)


class _Layers:
    """`keras.layers`, except that names are legal in Keras 3 and never automatic."""

    def __init__(self):
        self._unnamed = collections.Counter()

    def __getattr__(self, kind: str) -> Callable:
        make = _scaled_sum if kind == "Lambda" else cpu_layers.layer(kind)

        def layer(*args, name: str | None = None, **kwargs) -> keras.layers.Layer:
            if name is None:
                self._unnamed[kind] += 1
                name = f"{kind.lower()}_{self._unnamed[kind]}"
            return make(*args, name=name.replace("/", "_"), **kwargs)

        return layer


_BACKEND = types.SimpleNamespace(
    backend=keras.config.backend,
    floatx=keras.config.floatx,
    image_data_format=lambda: "channels_last",
    int_shape=lambda tensor: tuple(tensor.shape),
    is_keras_tensor=keras.utils.is_keras_tensor,
)


@functools.cache
def package() -> types.ModuleType:
    """Import segmentation-models without its greeting, its warnings or a setting."""
    previous = os.environ.get("SM_FRAMEWORK")
    os.environ["SM_FRAMEWORK"] = "tf.keras"
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            import segmentation_models
    finally:
        if previous is None:
            del os.environ["SM_FRAMEWORK"]
        else:
            os.environ["SM_FRAMEWORK"] = previous
    return segmentation_models


def encoder(
    name: str,
    input_tensor: keras.KerasTensor,
    weights: str | None = None,
    get_file: Callable | None = None,
) -> keras.Model:
    """Build one of the package's encoders, without its classification head.

    Args:
        name: Name of the encoder in segmentation-models.
        input_tensor: (batch, height, width, channels).
        weights: None, "imagenet", or the path of a weights file.
        get_file: Called as `get_file(file, address, file_hash=md5)`, with
            `md5_hash` for ResNets, when weights is "imagenet"; returns a path.

    Returns:
        A model over `input_tensor`, whose layers are the encoder's.
    """
    build, _ = package().backbones.backbones_factory.Backbones.get(name)
    utils = types.SimpleNamespace(
        get_source_inputs=keras.utils.get_source_inputs, get_file=get_file
    )
    return build(
        include_top=False,
        weights=weights,
        input_tensor=input_tensor,
        layers=_Layers(),
        backend=_BACKEND,
        models=keras.models,
        utils=utils,
    )


def skip_taps(name: str) -> tuple[int | str, ...]:
    """Layer names or indices of the encoder's skip connections, deepest first."""
    factory = package().backbones.backbones_factory.Backbones
    return tuple(factory.get_feature_layers(name, n=5))


def imagenet_scaling(name: str) -> tuple[list[float], list[float]]:
    """How the encoder's ImageNet preprocessing acts on an image in [0, 1].

    It is an affine map of each channel, read off the package's own function.

    Returns:
        Scale and offset of the three channels.
    """
    preprocess = package().backbones.backbones_factory.Backbones.get_preprocessing(name)
    ends = [np.full((1, 1, 1, 3), value, "float64") for value in (0.0, 255.0)]
    modules = {"backend": _BACKEND, "layers": None, "models": None, "utils": None}
    black, white = (preprocess(end, **modules).reshape(3) for end in ends)
    return (white - black).tolist(), black.tolist()
