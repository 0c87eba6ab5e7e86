"""Networks by name; nothing heavy is imported until one is built."""

import typing

if typing.TYPE_CHECKING:
    import keras

MODELS = (
    "unetplusplus",
    "unet_hssayeni",
    "unetplusplus_3d",
    "resnext101_32x8d",
    "resnext",
    "sequence",
)
"""The names that `build` knows."""


def build(name: str, **kwargs) -> "keras.Model":
    """Build a network.

    Args:
        name: One of `MODELS`.
        **kwargs: Arguments of the network's function.

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
    match name:
        case "unetplusplus":
            from ich_tf.models.unet import unetplusplus as network
        case "unet_hssayeni":
            from ich_tf.models.unet import unet_hssayeni as network
        case "unetplusplus_3d":
            from ich_tf.models.unet3d import unetplusplus_3d as network
        case "resnext101_32x8d":
            from ich_tf.models.resnext import resnext101_32x8d as network
        case "resnext":
            from ich_tf.models.resnext import resnext as network
        case "sequence":
            from ich_tf.models.sequence import build_sequence as network
        case _:
            raise ValueError(f"Unknown model {name!r}. Known: {', '.join(MODELS)}.")
    return network(**kwargs)
