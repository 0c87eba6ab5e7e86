"""Networks as files of LiteRT, which runs them without TensorFlow."""

import contextlib
import io
import os
import pathlib
import re
import warnings

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("ich_tf")
class NearestResize2D(keras.layers.Layer):
    """`UpSampling2D` with the same pixels, as one operation that resizes.

    Keras repeats rows and columns, after which the converter of LiteRT has lost the
    number of channels of images of any size, and writes convolutions that LiteRT alone
    cannot run.

    Args:
        factors: Factors of rows and of columns.
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


def write(model: keras.Model, path: str | os.PathLike) -> None:
    """Write a network as a file of LiteRT.

    Args:
        model: A network; one from `convertible`, if it takes images of any size.
        path: The `.tflite` file.

    Raises:
        ValueError: if LiteRT could not run it without TensorFlow.
    """
    # The converter prints the signature, and warns about its own future.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.export(path, format="litert", verbose=False)
    # An operation that LiteRT lacks is written as TensorFlow's, by a name with "Flex".
    foreign = re.search(rb"Flex([A-Z][A-Za-z0-9]+)", pathlib.Path(path).read_bytes())
    if foreign:
        raise ValueError(
            f"{model.name} cannot be written as litert: it needs the operation "
            f"{foreign[1].decode()} of TensorFlow, which LiteRT does not have. Use "
            "savedmodel."
        )


def write_with_features(
    path: str | os.PathLike, model: keras.Model, layer: str | None
) -> None:
    """Write a network of whole slices with the features that likeness compares.

    Args:
        path: The `.tflite` file, read by `prediction.lite_network`.
        model: From images (n, h, w, channels) to answers (n, h, w, classes).
        layer: Name of the layer whose output, averaged over an image, are its
            features; None for none.
    """
    copy = convertible(model)
    if layer is not None:
        pooled = keras.layers.GlobalAveragePooling2D()(copy.get_layer(layer).output)
        copy = keras.Model(copy.input, (copy.output, pooled))
    write(copy, path)
