"""The whole classifier as one network: Hounsfield units of a scan to probabilities.

Import this module before loading such a file, so that Keras knows its layers.
"""

from collections.abc import Sequence

import keras
from keras import ops

from ich_tf.models import cpu_layers, layers  # noqa: F401


@keras.saving.register_keras_serializable(package="ich_tf")
class Windows(keras.layers.Layer):
    """Hounsfield units to [0, 1] in each of several display windows.

    Args:
        windows: Level and width of each window, Hounsfield units.
        **kwargs: Name and the like.
    """

    def __init__(self, windows: Sequence[tuple[float, float]], **kwargs):
        super().__init__(**kwargs)
        self.windows = [(float(level), float(width)) for level, width in windows]

    def call(self, hu):
        """(..., height, width) to (..., height, width, windows)."""
        low = [level - width / 2 for level, width in self.windows]
        widths = [width for _, width in self.windows]
        scaled = (ops.expand_dims(hu, -1) - ops.array(low)) / ops.array(widths)
        return ops.clip(scaled, 0.0, 1.0)

    def get_config(self) -> dict:
        """The arguments, for saving."""
        return {**super().get_config(), "windows": self.windows}


@keras.saving.register_keras_serializable(package="ich_tf")
class JoinScans(keras.layers.Layer):
    """(scans, slices, height, width) to (scans * slices, height, width)."""

    def call(self, hu):
        """Let go of the scans' borders."""
        _, _, height, width = ops.shape(hu)
        return ops.reshape(hu, (-1, height, width))

    def compute_output_shape(self, input_shape):
        """Without the first two axes, which become one."""
        return (None, *input_shape[2:])


@keras.saving.register_keras_serializable(package="ich_tf")
class SplitScans(keras.layers.Layer):
    """(scans * slices, features) to (scans, slices, features), undoing `JoinScans`."""

    def call(self, rows, hu):
        """Take the number of scans and slices from what `JoinScans` got."""
        scans, slices = ops.shape(hu)[:2]
        return ops.reshape(rows, (scans, slices, rows.shape[-1]))

    def compute_output_shape(self, rows_shape, hu_shape):
        """The scans' shape and the features."""
        return (*hu_shape[:2], rows_shape[-1])


def slice_images(hu, size: int, windows: Sequence[tuple[float, float]]):
    """Window slices, then resize them bilinearly, as the training images were.

    In float32 whatever the policy: bfloat16 would round Hounsfield units.

    Args:
        hu: (scans, slices, height, width), Hounsfield units.
        size: Side of the images in pixels.
        windows: Level and width of each, Hounsfield units.

    Returns:
        (scans * slices, size, size, windows), in [0, 1].
    """
    slices = JoinScans(name="join_scans", dtype="float32")(hu)
    shown = Windows(windows, name="windows", dtype="float32")(slices)
    # Not keras.layers.Resizing: where nobody says whether a call is for training, it
    # assumes so, and (Keras 3.15) for all later layers too: dropout would act.
    return ops.image.resize(shown, (size, size), antialias=False)


def chain(
    slice_model: keras.Model,
    sequence_model: keras.Model,
    size: int,
    windows: Sequence[tuple[float, float]],
) -> keras.Model:
    """Join windows, resizing, slice model and sequence model to one network.

    The layers are shared with the two models, not copied.

    Args:
        slice_model: From images (size, size, windows) in [0, 1]; has layers "features"
            and "probabilities".
        sequence_model: From `sequence.build_sequence`.
        size: Side of the slice model's images in pixels.
        windows: Level and width of each, Hounsfield units.

    Returns:
        A model from Hounsfield units (scans, slices, height, width), float32, foot to
        head, any height and width, to probabilities (scans, slices, classes), float32.
        Scans of a batch have the same number of slices. The first axis is that of the
        scans because `predict` splits the first axis in batches: were it the slices',
        a scan of 40 slices would be read as two of 32 and 8.

    Raises:
        ValueError: if the models do not fit each other, the size or the windows.

    Example:
        >>> model = chain(slices, sequence, 256, [(40, 80), (80, 200), (40, 380)])
        >>> model.predict(volume.hu[np.newaxis])[0].shape
        (32, 6)
    """
    both = _features_and_probabilities(slice_model)
    _check(both, sequence_model, size, windows)
    hu = keras.Input((None, None, None), name="hu")
    images = slice_images(hu, size, windows)
    features, probabilities = both(images)
    split = {
        name: SplitScans(name=f"{name}_of_scans", dtype="float32")
        for name in ("features", "probabilities")
    }
    inputs = {
        "features": split["features"](features, hu),
        "probabilities": split["probabilities"](probabilities, hu),
    }
    inputs["mask"] = ops.ones_like(inputs["probabilities"][..., 0], dtype="bool")
    return keras.Model(hu, sequence_model(inputs), name="chain")


def _features_and_probabilities(slice_model: keras.Model) -> keras.Model:
    outputs = [
        slice_model.get_layer(name).output for name in ("features", "probabilities")
    ]
    return keras.Model(slice_model.input, outputs, name="slices")


def _check(both, sequence_model, size, windows) -> None:
    expected = (size, size, len(windows))
    if any(
        given not in (None, wanted)
        for given, wanted in zip(both.input_shape[1:], expected, strict=True)
    ):
        raise ValueError(
            f"The slice model takes images of {both.input_shape[1:]}, but `size` and "
            f"`windows` give {expected}."
        )
    inputs = sequence_model.input
    wanted = [inputs[name].shape[-1] for name in ("features", "probabilities")]
    given = [output.shape[-1] for output in both.outputs]
    if given != wanted:
        raise ValueError(
            f"The sequence model takes {wanted[0]} features and {wanted[1]} "
            f"probabilities, but the slice model gives {given[0]} and {given[1]}."
        )
