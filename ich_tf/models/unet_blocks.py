"""The parts that U-Nets are built of: nodes, convolutions and heads."""

import keras

from ich_tf.models import backbones, cpu_layers


def plain_encoder(images, filters, normalize) -> backbones.Pyramid:
    """Two convolutions a row, halved between rows; "Pn" is 2**n times smaller."""
    x, skips = images, {}
    for row, width in enumerate(filters):
        if row:
            x = keras.layers.MaxPooling2D(2, name=f"x{row}_0_pool")(x)
        x = skips[f"P{row}"] = units(x, width, f"x{row}_0", normalize)
    return skips


def up_node(
    source, skips, filters, name, upsampling, normalize, initializer="he_normal"
):
    """Upsample, join the skips, convolve.

    A transposed convolution with batch normalization is the official block: 4x4,
    normalized, and counted as the first of the two convolutions.
    """
    first = 1
    if upsampling == "nearest":
        x = keras.layers.UpSampling2D(2, name=f"{name}_up")(source)
    else:
        x = cpu_layers.layer("Conv2DTranspose")(
            filters,
            4 if normalize else 2,
            strides=2,
            padding="same",
            use_bias=not normalize,
            kernel_initializer=initializer,
            name=f"{name}_up",
        )(source)
        if normalize:
            x = cpu_layers.layer("BatchNormalization")(name=f"{name}_up_bn")(x)
            x = keras.layers.ReLU(name=f"{name}_up_relu")(x)
            first = 2
    if skips:
        x = keras.layers.Concatenate(name=f"{name}_concat")([x, *skips])
    return units(x, filters, name, normalize, first, initializer)


def units(x, filters, name, normalize, first=1, initializer="he_normal"):
    """The convolutions of a node, numbered from `first` to 2."""
    for number in range(first, 3):
        x = unit(x, filters, f"{name}_{number}", normalize, initializer=initializer)
    return x


def unit(x, filters, name, normalize, kernel=3, initializer="he_normal"):
    """A convolution, normalized or with a bias, and its activation."""
    x = cpu_layers.layer("Conv2D")(
        filters,
        kernel,
        padding="same",
        use_bias=not normalize,
        kernel_initializer=initializer,
        name=f"{name}_conv",
    )(x)
    if normalize:
        x = cpu_layers.layer("BatchNormalization")(name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def head(x, classes, kernel, name, activation="sigmoid"):
    """Probabilities, in float32 also under mixed precision."""
    x = cpu_layers.layer("Conv2D")(
        classes, kernel, padding="same", name=f"{name}_logits"
    )(x)
    return keras.layers.Activation(
        activation, dtype="float32", name=f"{name}_probabilities"
    )(x)


def subtype_head(nodes, depth: int, classes: int):
    """Probabilities of background and subtypes.

    The top row decides whether there is blood, all rows together of which subtype: the
    deeper rows see more of the head, which the top row needs long to learn from.
    """
    bleeds = head(nodes[0, depth], 1, 1, f"x0_{depth}")
    parts = []
    for row in range(depth + 1):
        part = cpu_layers.layer("Conv2D")(
            classes - 1,
            1,
            use_bias=row == 0,
            kernel_initializer="zeros",
            name=f"subtypes_{row}",
        )(nodes[row, depth - row])
        if row:
            up = keras.layers.UpSampling2D(2**row, name=f"subtypes_{row}_up")
            part = up(part)
        parts.append(part)
    which = keras.layers.Add(name="subtypes_sum")(parts)
    shares = keras.layers.Activation("softmax", dtype="float32", name="shares")(which)
    return keras.layers.Concatenate(dtype="float32", name="subtypes_probabilities")(
        [1.0 - bleeds, bleeds * shares]
    )
