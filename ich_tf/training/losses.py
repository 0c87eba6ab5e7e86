"""Losses for binary segmentation masks.

Shapes: (batch, ..., classes), probabilities and masks in [0, 1].
"""

import keras
from keras import ops

SMOOTH = 1e-5


def jaccard_distance(y_true, y_pred, per_image: bool = False, smooth: float = SMOOTH):
    """Soft Jaccard distance, `1 - (intersection + smooth) / (union + smooth)`.

    Intersection is sum(t * p) and union sum(t) + sum(p) - sum(t * p). Both are
    summed over the whole batch (the default of segmentation-models, whose value this
    equals) or over each image; classes are averaged.

    Empty masks: where the mask is empty, the distance is 1 - smooth / (sum(p) +
    smooth): 0 for an empty prediction, and near 1 with almost no gradient as soon as
    a few pixels are predicted. Per image, each slice without blood counts this way;
    over the batch, only a batch entirely without blood does, and false positives on
    empty slices enlarge the common union instead.

    Args:
        y_true: (batch, ..., classes), mask.
        y_pred: (batch, ..., classes), probabilities.
        per_image: Sum over each image and not over the batch.
        smooth: Added to intersection and union, in pixels.

    Returns:
        (batch,) if `per_image`, else a scalar.

    Example:
        >>> jaccard_distance([[[1.0], [0.0]]], [[[0.5], [0.5]]], smooth=0.0)
        0.6666667
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    axes = tuple(range(1 if per_image else 0, len(y_pred.shape) - 1))
    intersection = ops.sum(y_true * y_pred, axis=axes)
    union = ops.sum(y_true + y_pred, axis=axes) - intersection
    return 1.0 - ops.mean((intersection + smooth) / (union + smooth), axis=-1)


def bce_jaccard(y_true, y_pred, per_image: bool = False, smooth: float = SMOOTH):
    """Mean binary cross-entropy of all pixels plus `jaccard_distance`.

    Args:
        y_true: (batch, ..., classes), mask.
        y_pred: (batch, ..., classes), probabilities.
        per_image: Both terms for each image and not for the batch.
        smooth: As in `jaccard_distance`.

    Returns:
        (batch,) if `per_image`, else a scalar.
    """
    pixels = keras.losses.binary_crossentropy(y_true, y_pred)
    axes = tuple(range(1 if per_image else 0, len(pixels.shape)))
    distance = jaccard_distance(y_true, y_pred, per_image, smooth)
    return ops.mean(pixels, axis=axes) + distance


class _JaccardLoss(keras.losses.Loss):
    function = None

    def __init__(self, per_image=False, smooth=SMOOTH, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.per_image = per_image
        self.smooth = smooth

    def call(self, y_true, y_pred):
        """(batch,) if `per_image`, else (1,)."""
        distance = type(self).function(y_true, y_pred, self.per_image, self.smooth)
        # Keras divides a loss by the number of replicas unless it is a scalar.
        return ops.reshape(distance, (-1,))

    def get_config(self) -> dict:
        """The arguments, for saving."""
        own = {"per_image": self.per_image, "smooth": self.smooth}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="ich_tf")
class JaccardDistance(_JaccardLoss):
    """`jaccard_distance` as a Keras loss.

    Args:
        per_image: Sum over each image and not over the batch.
        smooth: Added to intersection and union, in pixels.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.
    """

    function = staticmethod(jaccard_distance)


@keras.saving.register_keras_serializable(package="ich_tf")
class BceJaccard(_JaccardLoss):
    """`bce_jaccard` as a Keras loss.

    Args:
        per_image: Both terms for each image and not for the batch.
        smooth: Added to intersection and union, in pixels.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.
    """

    function = staticmethod(bce_jaccard)


LOSSES = {
    "bce": keras.losses.BinaryCrossentropy,
    "jaccard": JaccardDistance,
    "bce_jaccard": BceJaccard,
}


def get(name: str, **kwargs) -> keras.losses.Loss:
    """Make a loss.

    Args:
        name: A key of `LOSSES`.
        **kwargs: Arguments of its class.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    if name not in LOSSES:
        raise ValueError(f"Unknown loss {name!r}. Known: {', '.join(LOSSES)}.")
    return LOSSES[name](**kwargs)
