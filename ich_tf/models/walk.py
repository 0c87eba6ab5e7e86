"""All layers of a network, including the layers of networks within it."""

from collections.abc import Iterator

import keras


def all_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Every layer that has no layers of its own to list, in the order of the network.

    Args:
        model: A functional model, which may hold other models.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
        else:
            yield layer
