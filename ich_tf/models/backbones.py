"""Encoders as feature pyramids, so that a decoder never knows which one it has."""

import dataclasses
import os

import keras

from ich_tf.models import published_weights, sm_keras3


@dataclasses.dataclass(frozen=True)
class Backbone:
    """What the official UNet++ adds to an encoder of segmentation-models.

    Attributes:
        second_taps: Layers, deepest first, that the first decoder column upsamples
            in place of the skip of the level beneath. Empty: the skips themselves.
    """

    second_taps: tuple[str, ...] = ()


BACKBONES = {
    "densenet121": Backbone(),
    "densenet169": Backbone(),
    "resnet50": Backbone(
        (
            "relu1",
            "stage3_unit2_relu1",
            "stage2_unit2_relu1",
            "stage1_unit2_relu1",
        )
    ),
    "vgg16": Backbone(
        ("block5_pool", "block4_pool", "block3_pool", "block2_pool", "block1_pool")
    ),
    "inceptionresnetv2": Backbone(),
}

_SCALING = "input_scaling"
Pyramid = dict[str, keras.KerasTensor]


def pyramid(
    name: str,
    images: keras.KerasTensor,
    init: str | os.PathLike = "random",
    input_scaling: str = "auto",
    weights_dir: str | os.PathLike | None = None,
) -> tuple[Pyramid, Pyramid]:
    """Build an encoder over images and return its features by scale.

    Args:
        name: A key of `BACKBONES`.
        images: (batch, height, width, channels) in [0, 1]; height and width are
            multiples of 32.
        init: "random", "imagenet" or the path of a weights file of the encoder.
        input_scaling: "imagenet" maps [0, 1] to what the encoder saw on ImageNet,
            "none" leaves it, "auto" is "imagenet" for pretrained encoders.
        weights_dir: Folder that holds (or gets) `imagenet/`; default `paths.weights`.

    Returns:
        Skips and second taps. "Pn" is 2**n times smaller than the images; the
        skips go from P0 (VGG) or P1 to P5.

    Raises:
        ValueError: if a name is unknown or a weights file does not fit.
        WeightsUnavailable: if ImageNet weights can be neither found nor fetched.
    """
    if name not in BACKBONES:
        raise ValueError(f"Unknown backbone {name!r}. Known: {', '.join(BACKBONES)}.")
    if init == "imagenet" and images.shape[-1] != 3:
        raise ValueError(
            "ImageNet weights need three input channels. Received: "
            f"{images.shape[-1]}. Repeat the window three times or use init='random'."
        )
    inputs = _scaled(name, images, init, input_scaling)
    encoder = _load_encoder(name, inputs, init, weights_dir)
    layers = [layer for layer in encoder.layers if layer.name != "input_scaling"]
    by_name = {layer.name: layer for layer in layers}

    def features(taps: tuple[int | str, ...]) -> Pyramid:
        tapped = [layers[tap] if isinstance(tap, int) else by_name[tap] for tap in taps]
        outputs = [layer.output for layer in tapped] + [encoder.output]
        return {_scale(images, output): output for output in outputs}

    skips = features(sm_keras3.skip_taps(name))
    second_taps = BACKBONES[name].second_taps
    return skips, features(second_taps) if second_taps else skips


def _scale(images: keras.KerasTensor, feature: keras.KerasTensor) -> str:
    stride = images.shape[1] // feature.shape[1]
    return f"P{stride.bit_length() - 1}"


def _scaled(name, images, init, input_scaling) -> keras.KerasTensor:
    """Apply the encoder's ImageNet preprocessing, if asked for.

    Neither the report nor the official UNet++ states the range of its inputs.
    Assumption: pretrained encoders get their ImageNet range, others [0, 1].
    """
    if input_scaling == "auto":
        input_scaling = "none" if init == "random" else "imagenet"
    if input_scaling == "none":
        return images
    if input_scaling != "imagenet":
        raise ValueError(
            "`input_scaling` must be 'auto', 'imagenet' or 'none'. "
            f"Received: {input_scaling!r}"
        )
    if images.shape[-1] != 3:
        raise ValueError(
            "`input_scaling='imagenet'` needs three input channels. Received: "
            f"{images.shape[-1]}."
        )
    scale, offset = sm_keras3.imagenet_scaling(name)
    # Deviation: VGG16's ImageNet preprocessing also swaps red and blue. CT windows
    # are no colours, so their order stays.
    return keras.layers.Rescaling(scale, offset, name=_SCALING)(images)


def input_scaling_of(model: keras.Model) -> str:
    """The `input_scaling` that a network of `models.build` was built with."""
    names = [layer.name for layer in model.layers]
    return "imagenet" if _SCALING in names else "none"


def _load_encoder(name, inputs, init, weights_dir) -> keras.Model:
    if init in ("random", "imagenet"):
        return sm_keras3.encoder(
            name,
            inputs,
            weights=None if init == "random" else "imagenet",
            get_file=published_weights.imagenet_getter(weights_dir),
        )
    path = os.fspath(init)
    if not os.path.isfile(path):
        raise ValueError(f"`init` must be 'random', 'imagenet' or a file. {path}: none")
    try:
        return sm_keras3.encoder(name, inputs, weights=path)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{path} does not fit the encoder {name}: {error}") from error
