"""How much memory a training step takes, from the shapes of a network."""

import math

import keras

from ich_tf.models import blocks

PROCESS_GIGABYTES = 0.95
"""Python with TensorFlow on a CPU, before any network."""


def training_gigabytes(model: keras.Model, batch: int, policy: str) -> float:
    """Memory of a training step in 10^9 bytes: weights, optimizer and activations.

    A network of `blocks.Block` holds the most when its largest block, most often the
    last of the top row, computes its gradients. How many copies that block then needs
    was measured on a CPU; the benchmark `volume3d.py` prints the estimate next to the
    measured peak. Any other network is taken to hold each activation and its gradient.

    Args:
        model: The network.
        batch: Samples of a batch.
        policy: Dtype policy of the training; the model may have another.
    """
    width = 4 if policy == "float32" else 2
    kept, working = 0, 0
    for layer in model.layers:
        kept += sum(_size(tensor) for tensor in keras.tree.flatten(layer.output))
        if isinstance(layer, blocks.Block):
            inside, gradients = _block_sizes(layer)
            kept += 0 if layer.remat else inside
            working = max(working, gradients + (inside if layer.remat else 0))
    working = working or kept
    # Weights, gradients and Adam's two moments in float32.
    fixed = 4 * 4 * model.count_params()
    return (fixed + width * batch * (kept + working)) / 1e9


def _size(tensor) -> int:
    return math.prod(tensor.shape[1:])


def _block_sizes(block: blocks.Block) -> tuple[int, int]:
    """Elements that a block keeps for its gradients, and that computing them takes."""
    output = _size(block.output)
    skips = len(block.input) if block.up else 0
    parts = skips if block.skip == "concat" else 1
    joined = parts * output if block.up else _size(block.input)
    inside = joined + 3 * output
    # Gradients of this block and of the row above, and the convolutions' reordered
    # copies.
    gradients = 2 * joined + 10 * output
    return inside, gradients + (3 * output if block.remat else 0)
