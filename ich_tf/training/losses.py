"""Losses for binary segmentation masks.

Shapes: (batch, ..., classes), probabilities and masks in [0, 1].
"""

import functools

import keras
from keras import ops

SMOOTH = 1e-5
CONTRIB_SMOOTH = 100.0
"""The constant of keras-contrib's Jaccard distance."""


def jaccard_distance(y_true, y_pred, per_image: bool = False, smooth: float = SMOOTH):
    """Soft Jaccard distance, `1 - (intersection + smooth) / (union + smooth)`.

    Intersection is sum(t * p) and union sum(t) + sum(p) - sum(t * p). Both are
    summed over the whole batch (the default of segmentation-models, whose value this
    equals) or over each image; classes are averaged.

    Where the mask is empty, the distance is 1 - smooth / (sum(p) + smooth): 0 for an
    empty prediction, and near 1 with almost no gradient once a few pixels are
    predicted. Per image, this holds for each slice without hemorrhage. Over the batch,
    it holds only for a batch without hemorrhage; otherwise false positives on empty
    slices enlarge the common union.

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


def keras_contrib_jaccard_distance(y_true, y_pred, smooth: float = CONTRIB_SMOOTH):
    """The loss of keras-contrib that is named "Jaccard distance".

    It is `smooth * (1 - (intersection + smooth) / (union + smooth))` with sums over the
    last axis alone. With a single output channel that is a value for each pixel, and
    nearly |t - p|: an L1 loss, whose best prediction is 0 wherever hemorrhage is less
    than half likely.

    Args:
        y_true: (batch, ..., classes), mask.
        y_pred: (batch, ..., classes), probabilities.
        smooth: Added to intersection and union, and the factor of the result.

    Returns:
        (batch, ...), in [0, 1) for one class.

    Example:
        >>> keras_contrib_jaccard_distance([[[1.0], [0.0]]], [[[0.5], [0.5]]])
        [[0.4950495, 0.4975124]]
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    intersection = ops.sum(y_true * y_pred, axis=-1)
    union = ops.sum(y_true + y_pred, axis=-1) - intersection
    # The same as above, without the difference of two numbers near 1.
    return smooth * (union - intersection) / (union + smooth)


def bce_jaccard(y_true, y_pred, per_image: bool = False, smooth: float = SMOOTH):
    """Mean binary cross-entropy of all pixels plus `jaccard_distance`.

    Args:
        y_true: (batch, ..., classes), mask.
        y_pred: (batch, ..., classes), probabilities.
        per_image: Both terms for each image and not for the batch.
        smooth: Added to intersection and union, in pixels.

    Returns:
        (batch,) if `per_image`, else a scalar.
    """
    pixels = keras.losses.binary_crossentropy(y_true, y_pred)
    axes = tuple(range(1 if per_image else 0, len(pixels.shape)))
    distance = jaccard_distance(y_true, y_pred, per_image, smooth)
    return ops.mean(pixels, axis=axes) + distance


def tversky_distance(y_true, y_pred, false: float, missed: float, smooth=1.0):
    """Soft Tversky distance over a whole batch, the mean over classes.

    `1 - (tp + smooth) / (tp + false * fp + missed * fn + smooth)`.

    Args:
        y_true: (batch, ..., classes), mask.
        y_pred: (batch, ..., classes), probabilities.
        false: Weight of falsely marked pixels.
        missed: Weight of missed pixels.
        smooth: In pixels.

    Returns:
        A scalar.

    Reference:
        Salehi et al. 2017, Tversky loss function for image segmentation
        (arXiv:1706.05721).
    """
    axes = tuple(range(len(y_pred.shape) - 1))
    both = ops.sum(y_true * y_pred, axis=axes)
    only_predicted = ops.sum(y_pred, axis=axes) - both
    only_true = ops.sum(y_true, axis=axes) - both
    union = both + false * only_predicted + missed * only_true
    return 1.0 - ops.mean((both + smooth) / (union + smooth))


@keras.saving.register_keras_serializable(package="ich_tf")
class SubtypeTversky(keras.losses.Loss):
    """Whether a pixel is hemorrhage, and of which subtype it is, as two questions.

    The first has the binary cross-entropy and the Tversky distance of hemorrhage,
    which is what is not background. The second has the cross-entropy of the subtypes'
    shares in hemorrhage over the true pixels, each subtype of a batch weighing the
    same. Asked as one, a subtype that leads by chance takes all of hemorrhage.

    Truth is (batch, h, w, 1): 0 for background, or the number of a subtype.
    Predictions are (batch, h, w, 1 + subtypes), a softmax.

    Args:
        false: Weight of falsely marked pixels.
        missed: Weight of missed pixels.
        subtype_weight: Weight of the second question.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.
    """

    def __init__(self, false=0.3, missed=0.7, subtype_weight=0.5, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.false = false
        self.missed = missed
        self.subtype_weight = subtype_weight

    def call(self, y_true, y_pred):
        """(1,), of the batch."""
        y_pred = ops.clip(ops.cast(y_pred, "float32"), 1e-6, 1.0)
        subtypes = ops.cast(ops.squeeze(y_true, -1), "int32")
        truth = ops.one_hot(subtypes, y_pred.shape[-1], dtype="float32")
        bleeds, predicted = 1 - truth[..., :1], 1 - y_pred[..., :1]
        pixels = ops.mean(keras.losses.binary_crossentropy(bleeds, predicted))
        distance = tversky_distance(bleeds, predicted, self.false, self.missed)
        which = self._which(truth[..., 1:], y_pred[..., 1:])
        # Keras divides a loss by the number of replicas unless it is a scalar.
        return ops.reshape(pixels + distance + self.subtype_weight * which, (-1,))

    def _which(self, truth, y_pred):
        """Cross-entropy of the subtypes' shares, the mean over pixels that bleed."""
        shares = y_pred / ops.sum(y_pred, axis=-1, keepdims=True)
        axes = tuple(range(len(y_pred.shape) - 1))
        counts = ops.sum(truth, axis=axes)
        losses = -ops.sum(truth * ops.log(shares), axis=axes)
        present = ops.cast(counts > 0, "float32")
        means = losses / ops.maximum(counts, 1.0)
        return ops.sum(means) / ops.maximum(ops.sum(present), 1.0)

    def get_config(self) -> dict:
        """The arguments, for saving."""
        own = {
            name: getattr(self, name) for name in ("false", "missed", "subtype_weight")
        }
        return {**super().get_config(), **own}


class _JaccardLoss(keras.losses.Loss):
    function = None

    def __init__(self, per_image=False, smooth=SMOOTH, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.per_image = per_image
        self.smooth = smooth

    def call(self, y_true, y_pred):
        """(batch,) if `per_image`, else (1,)."""
        distance = type(self).function(y_true, y_pred, self.per_image, self.smooth)
        # Keras divides every loss but a scalar by the number of replicas.
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


@keras.saving.register_keras_serializable(package="ich_tf")
class KerasContribJaccardDistance(keras.losses.Loss):
    """`keras_contrib_jaccard_distance` as a Keras loss: the mean over all pixels.

    Args:
        smooth: Added to intersection and union, and the factor of the result.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.
    """

    def __init__(self, smooth=CONTRIB_SMOOTH, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.smooth = smooth

    def call(self, y_true, y_pred):
        """(batch, ...), a value for each pixel."""
        return keras_contrib_jaccard_distance(y_true, y_pred, self.smooth)

    def get_config(self) -> dict:
        """The arguments, for saving."""
        return {**super().get_config(), "smooth": self.smooth}


LOSSES = {
    "bce": keras.losses.BinaryCrossentropy,
    "jaccard": JaccardDistance,
    "keras_contrib_jaccard": KerasContribJaccardDistance,
    "bce_jaccard": BceJaccard,
    "subtype_tversky": SubtypeTversky,
    # With equal weights the distance is Jaccard's.
    "subtype_jaccard": functools.partial(SubtypeTversky, false=1.0, missed=1.0),
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
