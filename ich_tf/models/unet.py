"""UNet++, with an encoder or plain, and the U-Net of Hssayeni et al.

Nodes are named as in the paper of UNet++: `x{row}_{column}` is X(i,j), row 0 has the
size of the image, column 0 is the encoder.

Reference:
    Zhou et al. 2018, UNet++ (arXiv:1807.10165); Ronneberger et al. 2015, U-Net
    (arXiv:1505.04597); Hssayeni et al. 2020 (doi:10.3390/data5010014).
"""

import os
from collections.abc import Callable

import keras

from ich_tf.models import backbones, unet_blocks

PLAIN_FILTERS = (32, 64, 128, 256, 512)
# Rows 0-4. An index of the official code wraps round: its list 256, 128, 64, 32, 16
# was meant for the rows from the bottom to the top, but the bottom row got the 16.
OFFICIAL_FILTERS = (32, 64, 128, 256, 16)
PAPER_FILTERS = (16, 32, 64, 128, 256)


def check_input_shape(input_shape: tuple[int, int, int], multiple: int) -> None:
    """Refuse images that the network cannot halve often enough.

    Args:
        input_shape: (height, width, channels); height and width may be None, then
            the network takes images of any size that fits.
        multiple: Height and width must be multiples of this.

    Raises:
        ValueError: says what is wrong, what is expected and the shape to pad to.
    """
    if len(input_shape) == 3 and input_shape[:2] == (None, None):
        return
    if len(input_shape) != 3 or not all(
        isinstance(size, int) and size > 0 for size in input_shape
    ):
        raise ValueError(
            "`input_shape` must be (height, width, channels), positive integers. "
            f"Received: {input_shape}"
        )
    height, width, channels = input_shape
    if height % multiple or width % multiple:
        padded = tuple(-(-size // multiple) * multiple for size in (height, width))
        raise ValueError(
            f"Height and width must be multiples of {multiple}. Received: "
            f"input_shape={input_shape}. Pad to {(*padded, channels)}."
        )


def unetplusplus(
    backbone: str | None = None,
    graph: str = "official",
    upsampling: str | None = None,
    input_shape: tuple[int, int, int] = (128, 128, 3),
    classes: int = 1,
    init: str | os.PathLike = "random",
    filters: tuple[int, ...] | None = None,
    batch_normalization: bool | None = None,
    input_scaling: str = "auto",
    weights_dir: str | os.PathLike | None = None,
    activation: str = "sigmoid",
) -> keras.Model:
    """UNet++ over an encoder, or the plain network.

    Args:
        backbone: A key of `backbones.BACKBONES`, or None for the plain network.
        graph: With a backbone, "official" is the graph of the published Keras code:
            an encoder without features at the size of the image (all except VGG16)
            leaves out the top row but for its last node, 11 nodes in all. "paper"
            is the full triangle of the figure, 15 nodes; where the encoder has no
            X(0,0), a block of two convolutions on the image makes it. The plain
            network is always the full triangle.
        upsampling: "nearest" (default with a backbone) or "transpose" (default of
            the plain network).
        input_shape: (height, width, channels), multiples of 32 with a backbone and
            of 2**(len(filters) - 1) without.
        classes: Number of outputs.
        init: "random", "imagenet", or the path of a weights file of the encoder.
        filters: Filters of the rows from the top. With a backbone, of the decoder.
        batch_normalization: In the decoder; default True only with a backbone.
        input_scaling: "imagenet" maps [0, 1] to what the encoder saw on ImageNet,
            "none" leaves it, "auto" is "imagenet" for pretrained encoders.
        weights_dir: Folder that holds (or gets) `imagenet/`; default `paths.weights`.
        activation: "sigmoid" for independent outputs, "softmax" for classes that
            exclude each other, "subtypes" for background and the subtypes of what is
            not: a sigmoid decides whether, a softmax over the features of all rows
            decides which.

    Returns:
        A model from images in [0, 1] to float32 probabilities.

    Raises:
        ValueError: if an argument is unknown, or does not fit the others.
    """
    plain, official = backbone is None, backbone is not None and graph == "official"
    upsampling = upsampling or ("transpose" if plain else "nearest")
    check_choice("graph", graph, ("official", "paper"))
    check_choice("upsampling", upsampling, ("nearest", "transpose"))
    check_choice("activation", activation, ("sigmoid", "softmax", "subtypes"))
    if plain and init != "random":
        raise ValueError("`init` is for encoders: without a backbone it is random.")
    default = (
        PLAIN_FILTERS if plain else OFFICIAL_FILTERS if official else PAPER_FILTERS
    )
    filters = tuple(filters or default)
    if not plain and len(filters) != 5:
        raise ValueError(f"An encoder needs five `filters`. Received: {filters}")
    check_input_shape(input_shape, 2 ** (len(filters) - 1) if plain else 32)
    normalize = not plain if batch_normalization is None else batch_normalization

    images = keras.Input(input_shape, name="images")
    if plain:
        skips = below = unet_blocks.plain_encoder(images, filters, normalize)
    else:
        skips, below = backbones.pyramid(
            backbone, images, init, input_scaling, weights_dir
        )
    if not plain and not official:
        if "P0" not in skips:
            skips = {
                "P0": unet_blocks.units(images, filters[0], "x0_0", normalize),
                **skips,
            }
        below = skips

    # The published code leaves the decoder over a backbone at Keras' default.
    initializer = "he_normal" if plain else "glorot_uniform"

    def node(source, earlier, row, name):
        return unet_blocks.up_node(
            source, earlier, filters[row], name, upsampling, normalize, initializer
        )

    nodes = nested_decoder(skips, below, node)
    depth = max(column for _, column in nodes)
    if activation == "subtypes":
        output = unet_blocks.subtype_head(nodes, depth, classes)
    else:
        kernel = 1 if plain else 3
        output = unet_blocks.head(
            nodes[0, depth], classes, kernel, f"x0_{depth}", activation
        )
    name = "unetplusplus" if plain else f"unetplusplus_{backbone}"
    return keras.Model(images, output, name=name)


def unet_hssayeni(
    input_shape: tuple[int, int, int] = (128, 128, 1),
    classes: int = 1,
    filters: tuple[int, ...] = (64, 128, 256, 512, 1024),
) -> keras.Model:
    """The U-Net of Hssayeni et al. 2020, the baseline of Table III.

    Args:
        input_shape: (height, width, channels), multiples of 2**(len(filters) - 1).
        classes: Independent sigmoid outputs.
        filters: Filters of the rows from the top; dropout acts on the last two.

    Returns:
        A model from images in [0, 1] to float32 probabilities.
    """
    deepest = len(filters) - 1
    check_input_shape(input_shape, 2**deepest)
    x = images = keras.Input(input_shape, name="images")
    skips = []
    for row, width in enumerate(filters):
        if row:
            x = keras.layers.MaxPooling2D(2, name=f"x{row}_0_pool")(x)
        x = unet_blocks.units(x, width, f"x{row}_0", normalize=False)
        if row >= deepest - 1:
            x = keras.layers.Dropout(0.5, name=f"x{row}_0_dropout")(x)
        skips.append(x)
    for row in reversed(range(deepest)):
        name = f"x{row}_1"
        x = keras.layers.UpSampling2D(2, name=f"{name}_up")(x)
        x = unet_blocks.unit(x, filters[row], f"{name}_0", normalize=False, kernel=2)
        x = keras.layers.Concatenate(name=f"{name}_concat")([skips[row], x])
        x = unet_blocks.units(x, filters[row], name, normalize=False)
    x = unet_blocks.unit(x, 2, "x0_1_3", normalize=False)
    return keras.Model(
        images, unet_blocks.head(x, classes, 1, "x0_1"), name="unet_hssayeni"
    )


def nested_decoder(
    skips: backbones.Pyramid, below: backbones.Pyramid, node: Callable
) -> dict[tuple[int, int], keras.KerasTensor]:
    """The nested skip connections of UNet++ over a feature pyramid, in 2-D or 3-D.

    X(i,j) = node(X(i+1,j-1), [X(i,0), ..., X(i,j-1)]). A row without an encoder
    feature has only its last node.

    Args:
        skips: "Pi" is X(i,0).
        below: "Pi" is what the first column upsamples from row i.
        node: From the feature to upsample, the features before it in its row, the row
            and the node's name to the node's feature.

    Returns:
        X(i,j) by (i, j).
    """
    depth = max(int(scale[1:]) for scale in skips)
    nodes = {(int(scale[1:]), 0): feature for scale, feature in skips.items()}
    for column in range(1, depth + 1):
        for row in range(depth - column + 1):
            if (row, 0) not in nodes and column < depth - row:
                continue
            source = below[f"P{row + 1}"] if column == 1 else nodes[row + 1, column - 1]
            earlier = [nodes[row, j] for j in range(column) if (row, j) in nodes]
            nodes[row, column] = node(source, earlier, row, f"x{row}_{column}")
    return nodes


def check_choice(argument: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a value that is not known; the message lists the known ones."""
    if value not in known:
        raise ValueError(f"`{argument}` must be one of {known}. Received: {value!r}")
