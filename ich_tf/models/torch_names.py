"""Names of the weights of a ResNeXt in torchvision."""

# Names in torchvision, where they are others than ours.
LAYERS = {
    "stem_conv": "conv1",
    "stem_bn": "bn1",
    "shortcut_conv": "downsample.0",
    "shortcut_bn": "downsample.1",
    "logits": "fc",
}
VARIABLES = {
    "kernel": "weight",
    "gamma": "weight",
    "bias": "bias",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def of(path: str) -> str:
    """Name of a weight in torchvision.

    Args:
        path: Its path in Keras.

    Example:
        >>> of("stage2_block1_shortcut_conv/kernel")
        'layer2.0.downsample.0.weight'
    """
    layer, variable = path.split("/")
    variable = VARIABLES[variable]
    if layer in LAYERS:
        return f"{LAYERS[layer]}.{variable}"
    stage, block, unit = layer.split("_", 2)
    number = int(block.removeprefix("block")) - 1
    stage = stage.replace("stage", "layer")
    return f"{stage}.{number}.{LAYERS.get(unit, unit)}.{variable}"
