"""UNet++ over whole volumes: the graph of `unet`, the nodes of `blocks`."""

import keras

from ich_tf.models import blocks, cpu_layers, unet


def unetplusplus_3d(
    input_shape: tuple[int, int, int, int],
    filters: int = 16,
    levels: int = 5,
    skip: str = "concat",
    remat: bool = False,
    classes: int = 1,
    depth_halvings: int = 2,
) -> keras.Model:
    """UNet++ in three dimensions, for few thick slices.

    In-plane, each level halves the one above it; along the axis, whose slices lie
    further apart than pixels, only the lowest `depth_halvings` levels do. Weights do
    not depend on the input's size or on `remat`, so that they fit a network of another
    patch.

    Args:
        input_shape: (depth, height, width, channels), of any size: the volume is
            padded with 0 at its end, and the answer cropped.
        filters: Number at the first level; each level has twice as many as the one
            above.
        levels: Number of levels.
        skip: "concat", as in the paper, or "add": a node adds its skips to what it
            upsamples, so that its convolutions see no more channels than they make.
        remat: Compute activations again for the gradients, see `blocks.Block`.
        classes: Independent sigmoid outputs.
        depth_halvings: How often the depth is halved.

    Returns:
        A model from volumes in [0, 1] to float32 probabilities.

    Raises:
        ValueError: if an argument is unknown, or does not fit the others.

    Reference:
        Zhou et al. 2018, UNet++ (arXiv:1807.10165).
    """
    unet.check_choice("skip", skip, ("concat", "add"))
    check_sizes(input_shape, levels, depth_halvings)
    pools = pooling(levels, depth_halvings)
    volumes = keras.Input(input_shape, name="volumes")
    x, extra = volumes, padding(input_shape[:3], pools)
    if any(extra):
        ends = [(0, size) for size in extra]
        x = keras.layers.ZeroPadding3D(ends, name="padding")(x)

    def block(row, name, factors=None):
        return blocks.Block(
            filters * 2**row, factors, skip=skip, remat=remat, name=name
        )

    def node(source, earlier, row, name):
        return block(row, name, pools[row])([source, *earlier])

    skips = {}
    for row in range(levels):
        if row:
            x = keras.layers.MaxPooling3D(pools[row - 1], name=f"x{row}_0_pool")(x)
        x = skips[f"P{row}"] = block(row, f"x{row}_0")(x)
    nodes = unet.nested_decoder(skips, skips, node)
    last = levels - 1
    output = _head(nodes[0, last], classes, extra, f"x0_{last}")
    return keras.Model(volumes, output, name=f"unetplusplus_3d_{skip}")


def pooling(levels: int, depth_halvings: int) -> list[tuple[int, int, int]]:
    """Factors (depth, height, width) between each level and the one beneath."""
    first = levels - 1 - depth_halvings
    return [(1 if row < first else 2, 2, 2) for row in range(levels - 1)]


def padding(
    size: tuple[int, int, int], pools: list[tuple[int, int, int]]
) -> tuple[int, ...]:
    """What is added to depth, height and width so that every level divides them."""
    extra = []
    for axis, length in enumerate(size):
        multiple = 1
        for factors in pools:
            multiple *= factors[axis]
        extra.append(-length % multiple)
    return tuple(extra)


def check_sizes(
    input_shape: tuple[int, int, int, int], levels: int, depth_halvings: int
) -> None:
    """Refuse shapes and numbers of levels that make no network.

    Raises:
        ValueError: says what is wrong and what is expected.
    """
    if len(input_shape) != 4 or not all(
        isinstance(size, int) and size > 0 for size in input_shape
    ):
        raise ValueError(
            "`input_shape` must be (depth, height, width, channels), positive "
            f"integers. Received: {input_shape}"
        )
    if levels < 2 or not 0 <= depth_halvings < levels:
        raise ValueError(
            "`levels` must be 2 or more and `depth_halvings` from 0 to levels - 1. "
            f"Received: levels={levels}, depth_halvings={depth_halvings}"
        )


def _head(x, classes, extra, name):
    """Probabilities of the volume without its padding, in float32."""
    x = cpu_layers.layer("Conv3D")(classes, 1, name=f"{name}_logits")(x)
    if any(extra):
        ends = [(0, size) for size in extra]
        x = keras.layers.Cropping3D(ends, name=f"{name}_cropping")(x)
    return keras.layers.Activation(
        "sigmoid", dtype="float32", name=f"{name}_probabilities"
    )(x)
