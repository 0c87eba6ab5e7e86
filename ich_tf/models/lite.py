"""Networks in layers that LiteRT's converter can follow."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("ich_tf")
class NearestResize2D(keras.layers.Layer):
    """`UpSampling2D` with the same pixels, as one operation that resizes.

    Keras repeats rows and columns, after which the converter of LiteRT has lost the
    number of channels of images of any size, and writes convolutions that LiteRT alone
    cannot run.

    Args:
        factors: Of rows and of columns.
    """

    def __init__(self, factors: tuple[int, int], **kwargs):
        super().__init__(**kwargs)
        self.factors = tuple(factors)

    def call(self, images):
        """Enlarge images (batch, rows, columns, channels)."""
        # Keras' own operation takes no size that is known only when it runs.
        size = tf.shape(images)[1:3] * tf.constant(self.factors)
        resized = tf.image.resize(images, size, "nearest")
        resized.set_shape(self.compute_output_shape(images.shape))
        return resized

    def compute_output_shape(self, shape):
        """(batch, rows, columns, channels), None where unknown."""
        sides = zip(shape[1:3], self.factors, strict=True)
        enlarged = (None if side is None else side * factor for side, factor in sides)
        return (shape[0], *enlarged, shape[3])

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "factors": self.factors}


def convertible(model: keras.Model) -> keras.Model:
    """A network with the same answers that LiteRT's converter can follow.

    Args:
        model: A functional network.

    Returns:
        A copy with the same weights; nearest-neighbour `UpSampling2D` is replaced.
    """

    def replace(layer):
        nearest = (
            isinstance(layer, keras.layers.UpSampling2D)
            and layer.interpolation == "nearest"
            and layer.data_format == "channels_last"
        )
        if nearest:
            return NearestResize2D(layer.size, name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=replace)
    copy.set_weights(model.get_weights())
    return copy
