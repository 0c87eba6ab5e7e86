"""ResNeXt, the slice classifier of Table I, with the layout of torchvision.

Layers are named `stem_conv`, `stage{1-4}_block{n}_conv{1-3}` (`_bn`, `_relu` alike),
`stage{s}_block1_shortcut_conv`, and `stage{s}_block{n}_out` for what a block puts out;
the last block of a stage puts out `stage{s}_out`.

Reference:
    Xie et al. 2017, Aggregated Residual Transformations (arXiv:1611.05431).
"""

import os
import warnings

import keras

from ich_tf.models import convert, cpu_layers, layers, weights

FEATURE_MAP = "stage4_out"
"""Layer with the last feature map, 32 times smaller than the image (for Grad-CAM)."""
FEATURES = "features"
LOGITS = "logits"
PROBABILITIES = "probabilities"

CELLS = 8
"""Least cells a side of a map for Grad-CAM, as ResNeXt-101 has at 256 pixels."""

# Of PyTorch's batch normalization, in Keras' terms (its momentum is 1 - ours).
EPSILON = 1e-5
MOMENTUM = 0.9


def resnext101_32x8d(
    input_shape: tuple[int, int, int] = (256, 256, 3),
    classes: int | None = 6,
    init: str | os.PathLike = "random",
    mean: tuple[float, ...] | None = None,
    standard_deviation: tuple[float, ...] | None = None,
    weights_dir: str | os.PathLike | None = None,
) -> keras.Model:
    """ResNeXt-101 32x8d: 3 + 4 + 23 + 3 blocks, 86,742,336 weights to train.

    Args:
        input_shape: (height, width, channels).
        classes: Independent sigmoid outputs; None ends the network at the features.
        init: "random", a key of `convert.PUBLISHED` or a file; see `resnext`.
        mean: Mean of the images, one number for each channel; None: not subtracted.
        standard_deviation: Divides after `mean`; given if and only if that is.
        weights_dir: Folder that holds `imagenet/`; default `paths.weights`.

    Returns:
        See `resnext`; 2048 features.
    """
    return resnext(
        depths=(3, 4, 23, 3),
        cardinality=32,
        width=8,
        input_shape=input_shape,
        classes=classes,
        init=init,
        mean=mean,
        standard_deviation=standard_deviation,
        weights_dir=weights_dir,
    )


def resnext(
    depths: tuple[int, int, int, int] = (1, 1, 1, 1),
    cardinality: int = 8,
    width: int = 4,
    filters: int = 64,
    input_shape: tuple[int, int, int] = (256, 256, 3),
    classes: int | None = 6,
    init: str | os.PathLike = "random",
    mean: tuple[float, ...] | None = None,
    standard_deviation: tuple[float, ...] | None = None,
    weights_dir: str | os.PathLike | None = None,
) -> keras.Model:
    """A ResNeXt of any size.

    Args:
        depths: Blocks of the four stages.
        cardinality: Groups of each 3x3 convolution.
        width: Channels of a group in the first stage; doubled from stage to stage.
        filters: Channels of the stem; stage s puts out `4 * filters * 2**(s - 1)`.
        input_shape: (height, width, channels).
        classes: Independent sigmoid outputs; None ends the network at the features.
        init: "random", a key of `convert.PUBLISHED`, or a `.weights.h5` file of the
            same network with `classes=None`. The logits are always random.
        mean: Mean of the images, a number for each channel; subtracted first. None: the
            network sees the images as they are.
        standard_deviation: Divides after `mean`; given if and only if that is.
        weights_dir: Folder that holds `imagenet/`; default `paths.weights`.

    Returns:
        A model from images in [0, 1] to (batch, classes), float32 probabilities, over
        the layers `FEATURE_MAP`, `FEATURES` (batch, 32 * filters) and `LOGITS`; with
        `classes=None` to the features.

    Raises:
        ValueError: if an argument or a weights file does not fit.
        WeightsUnavailable: if published weights are not in the folder.
    """
    _check_sizes("depths", depths, 4)
    _check_sizes("cardinality, width, filters", (cardinality, width, filters), 3)
    _check_sizes("input_shape", input_shape, 3)
    # The field's name counts the layers with weights: three a block, stem and logits.
    name = f"resnext{3 * sum(depths) + 2}_{cardinality}x{width}d"
    images = keras.Input(input_shape, name="images")
    x = _normalized(images, mean, standard_deviation)
    x = _stem(x, filters)
    for stage, depth in enumerate(depths, start=1):
        scale = 2 ** (stage - 1)
        inner, outer = cardinality * width * scale, 4 * filters * scale
        for block in range(1, depth + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            prefix = f"stage{stage}_block{block}"
            output = f"stage{stage}_out" if block == depth else f"{prefix}_out"
            x = _block(x, inner, outer, cardinality, stride, prefix, output)
    # In float32 from here on: bfloat16 would round different slices to one answer.
    features = keras.layers.GlobalAveragePooling2D(dtype="float32", name=FEATURES)(x)
    encoder = keras.Model(images, features, name=name)
    _load(encoder, init, weights_dir)
    if classes is None:
        return encoder
    logits = keras.layers.Dense(classes, dtype="float32", name=LOGITS)(features)
    probabilities = keras.layers.Activation(
        "sigmoid", dtype="float32", name=PROBABILITIES
    )(logits)
    return keras.Model(images, probabilities, name=name)


def _check_sizes(argument, sizes, count) -> None:
    if len(sizes) != count or not all(
        isinstance(size, int) and size > 0 for size in sizes
    ):
        raise ValueError(
            f"`{argument}` must be {count} positive integers. Received: {sizes}"
        )


def _normalized(images, mean, standard_deviation):
    if mean is None and standard_deviation is None:
        return images
    channels = images.shape[-1]
    if (
        mean is None
        or standard_deviation is None
        or not len(mean) == len(standard_deviation) == channels
        or min(standard_deviation) <= 0
    ):
        raise ValueError(
            "`mean` and `standard_deviation` (positive) come together, a number for "
            f"each of {channels} channels. Received: mean={mean}, "
            f"standard_deviation={standard_deviation}"
        )
    scale = [1 / value for value in standard_deviation]
    offset = [-m / s for m, s in zip(mean, standard_deviation, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="input_scaling")(images)


def _stem(x, filters):
    x = _convolution(x, filters, 7, stride=2, name="stem_conv")
    x = _normalization(x, "stem_bn")
    x = keras.layers.ReLU(name="stem_relu")(x)
    # PyTorch pads with -inf; after a ReLU zeros give the same maxima.
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    return keras.layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)


def _block(x, inner, outer, groups, stride, prefix, output):
    """1x1, grouped 3x3 (which has the stride), 1x1, and the shortcut."""
    shortcut = x
    if stride > 1 or x.shape[-1] != outer:
        shortcut = _convolution(x, outer, 1, stride, f"{prefix}_shortcut_conv")
        shortcut = _normalization(shortcut, f"{prefix}_shortcut_bn")
    x = _convolution(x, inner, 1, 1, f"{prefix}_conv1")
    x = _normalization(x, f"{prefix}_bn1")
    x = keras.layers.ReLU(name=f"{prefix}_relu1")(x)
    x = _convolution(x, inner, 3, stride, f"{prefix}_conv2", groups)
    x = _normalization(x, f"{prefix}_bn2")
    x = keras.layers.ReLU(name=f"{prefix}_relu2")(x)
    x = _convolution(x, outer, 1, 1, f"{prefix}_conv3")
    x = _normalization(x, f"{prefix}_bn3")
    x = keras.layers.Add(name=f"{prefix}_add")([x, shortcut])
    return keras.layers.ReLU(name=output)(x)


def _convolution(x, filters, kernel, stride, name, groups=1):
    """Padding as PyTorch's: equal on both sides, where "same" pads the end more."""
    padding = kernel // 2
    if padding and stride > 1:
        x = keras.layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    kind = cpu_layers.layer("Conv2D") if groups == 1 else layers.GroupedConv2D
    return kind(
        filters,
        kernel,
        strides=stride,
        padding="valid" if stride > 1 else "same",
        groups=groups,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _normalization(x, name):
    normalize = cpu_layers.layer("BatchNormalization")
    return normalize(momentum=MOMENTUM, epsilon=EPSILON, name=name)(x)


def _load(encoder, init, weights_dir) -> None:
    if init == "random":
        return
    if init in convert.PUBLISHED:
        path, entry = convert.find(init, weights_dir)
        weights.load_weights(encoder, path, entry)
        return
    path = os.fspath(init)
    if not os.path.isfile(path):
        known = ", ".join(repr(key) for key in ("random", *convert.PUBLISHED))
        raise ValueError(f"`init` must be one of {known} or a file. {path}: none")
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that the file does not know.
            warnings.simplefilter("error", UserWarning)
            encoder.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise ValueError(f"{path} does not fit {encoder.name}: {error}") from error


def feature_map(model: keras.Model, cells: int = CELLS) -> str:
    """The layer for Grad-CAM: the deepest whose map has enough cells.

    The last map of a small image has few: three a side at 96 pixels.

    Args:
        model: From `resnext`.
        cells: Least number of cells a side.

    Returns:
        The name of a stage's last layer; the finest map's if all are too small.
    """
    names = {layer.name for layer in model.layers}
    stages = [f"stage{number}_out" for number in (4, 3, 2, 1)]
    known = [name for name in stages if name in names]
    for name in known:
        if min(model.get_layer(name).output.shape[1:3]) >= cells:
            return name
    return known[-1]
