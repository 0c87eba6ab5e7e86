"""Networks by name; nothing heavy is imported until one is built."""

import importlib
import typing

if typing.TYPE_CHECKING:
    import keras

MODELS = {
    "unetplusplus": "ich_tf.models.unet.unetplusplus",
    "unet_hssayeni": "ich_tf.models.unet.unet_hssayeni",
    "unetplusplus_3d": "ich_tf.models.unet3d.unetplusplus_3d",
    "resnext101_32x8d": "ich_tf.models.resnext.resnext101_32x8d",
    "resnext": "ich_tf.models.resnext.resnext",
    "sequence": "ich_tf.models.sequence.build_sequence",
}


def build(name: str, **kwargs) -> "keras.Model":
    """Build a network.

    Args:
        name: A key of `MODELS`.
        **kwargs: Arguments of the function that `MODELS` names.

    Returns:
        An uncompiled model. Input: (batch, height, width, channels), windowed
        images in [0, 1]; in 3-D (batch, depth, height, width, channels). Output:
        float32 probabilities, the input's shape with classes for channels of a
        segmentation network, (batch, classes) of a classifier.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.

    Example:
        >>> model = build("unetplusplus", backbone="densenet121")
    """
    if name not in MODELS:
        raise ValueError(f"Unknown model {name!r}. Known: {', '.join(MODELS)}.")
    module, function = MODELS[name].rsplit(".", 1)
    return getattr(importlib.import_module(module), function)(**kwargs)
