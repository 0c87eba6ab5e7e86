"""Grad-CAM: where in a slice a classifier sees evidence for a class."""

import warnings
from collections.abc import Callable

import keras
import numpy as np

from ich_tf.models import resnext

BATCH = 4
"""Images at once: the gradient keeps activations of every layer, by their sizes about
half a gigabyte for each image of ResNeXt-101 at 256 pixels."""


def heatmap(
    model: keras.Model,
    images: np.ndarray,
    class_index: int,
    layer: str = resnext.FEATURE_MAP,
    batch: int = BATCH,
) -> np.ndarray:
    """Grad-CAM of one class for each slice of a scan.

    The explained score is the class's logit, before the sigmoid, whose gradient
    vanishes where the network is sure.

    Args:
        model: A classifier of fixed input size with a layer "logits".
        images: (z, h, w, 3), float32, in [0, 1].
        class_index: Position in `labels.CLASSES`.
        layer: The feature maps that are weighted, by name.
        batch: Images at once; bounds the memory.

    Returns:
        (z, h, w), float32, in [0, 1]: each slice is divided by its maximum, so that
        slices cannot be compared with each other; 0 where nothing in the slice
        speaks for the class.

    Raises:
        ValueError: if a layer is missing, or `layer` has no place in the image.

    Reference:
        Selvaraju et al., Grad-CAM, ICCV 2017, arXiv:1610.02391.
    """
    first, step = cell_centres(model, layer)
    try:
        weighted = library_maps(model, class_index, layer)
    except ImportError:
        weighted = plain_maps(model, class_index, layer)
    heat = np.empty(images.shape[:3], np.float32)
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        for z, cells in enumerate(weighted(images[part]), start):
            heat[z] = _over_pixels(cells, first, step, images.shape[1:3])
    highest = heat.max(axis=(1, 2), keepdims=True)
    return np.divide(heat, highest, out=np.zeros_like(heat), where=highest > 0)


def library_maps(model: keras.Model, class_index: int, layer: str) -> Callable:
    """Make the function from (n, h, w, 3) to (n, rows, columns) with tf-keras-vis.

    Raises:
        ImportError: if tf-keras-vis is absent, or does not work with this SciPy.
    """
    with warnings.catch_warnings():
        # tf-keras-vis 0.8.7 imports zoom from the old namespace of SciPy.
        warnings.filterwarnings(
            "ignore", "Please import `zoom` from", category=DeprecationWarning
        )
        from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils import model_modifiers, scores

    to_logits = model_modifiers.ExtractIntermediateLayer(resnext.LOGITS)
    gradcam = Gradcam(model, model_modifier=to_logits, clone=False)
    score = scores.CategoricalScore(class_index)

    def weighted(images):
        return np.asarray(
            gradcam(
                score,
                images,
                penultimate_layer=layer,
                seek_penultimate_conv_layer=False,
                # In mixed precision sums of half-precision gradients lose digits.
                gradient_modifier=lambda gradient: keras.ops.cast(gradient, "float32"),
                expand_cam=False,
                normalize_cam=False,
            ),
            np.float32,
        )

    return weighted


def plain_maps(model: keras.Model, class_index: int, layer: str) -> Callable:
    """`library_maps` without tf-keras-vis, for which SciPy 2 is too new."""
    import tensorflow as tf

    outputs = [model.get_layer(name).output for name in (layer, resnext.LOGITS)]
    explained = keras.Model(model.inputs, outputs)

    def weighted(images):
        images = tf.convert_to_tensor(images)
        with tf.GradientTape() as tape:
            tape.watch(images)
            maps, logits = explained(images, training=False)
            score = logits[:, class_index]
        gradient = tf.cast(tape.gradient(score, maps), tf.float32)
        importance = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)
        return tf.nn.relu(
            tf.reduce_sum(importance * tf.cast(maps, tf.float32), axis=-1)
        ).numpy()

    return weighted


def _over_pixels(cells, first, step, size):
    # Deviation: tf-keras-vis stretches the map so that its corner cells come to lie
    # on the corners of the image, wherever their receptive fields are.
    from scipy import ndimage

    return ndimage.affine_transform(
        cells, 1 / step, -first / step, output_shape=size, order=1, mode="nearest"
    )


def cell_centres(model: keras.Model, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Where in the image the cells of a feature map look.

    Args:
        model: A functional model of fixed input size.
        layer: Name of a layer whose output is (n, rows, columns, channels).

    Returns:
        The centre of the receptive field of cell (0, 0), in pixels (y, x), which
        may be a half, and the pixels from one cell to the next, (y, x).

    Raises:
        ValueError: if there is no such layer or a layer before it changes rows or
            columns in a way that is not known here.

    Reference:
        Araujo et al., Computing Receptive Fields of Convolutional Neural Networks,
        Distill 2019, doi:10.23915/distill.00021.
    """
    if layer not in [known.name for known in model.layers]:
        raise ValueError(f"The model {model.name} has no layer {layer!r}.")
    places = {id(tensor): (np.zeros(2), np.ones(2)) for tensor in model.inputs}
    for current in model.layers:
        if not isinstance(current, keras.layers.InputLayer):
            # Layers that join several maps (sums, concatenations) need equal places.
            tensor = keras.tree.flatten(current.input)[0]
            places[id(current.output)] = _after(current, tensor, *places[id(tensor)])
        if current.name == layer:
            break
    return places[id(current.output)]


def _after(layer, tensor, first, step):
    """The place of a layer's output, from the place of its input."""
    size = np.array(tensor.shape[1:3])
    if isinstance(layer, keras.layers.ZeroPadding2D):
        before = np.array([layer.padding[0][0], layer.padding[1][0]])
        return first - before * step, step
    window = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
    if window is not None:
        strides = np.array(layer.strides)
        reach = (np.array(window) - 1) * np.array(getattr(layer, "dilation_rate", 1))
        before = np.zeros(2)
        if layer.padding == "same":
            last = (-(-size // strides) - 1) * strides
            before = np.maximum(last + reach + 1 - size, 0) // 2
        return first + (reach / 2 - before) * step, step * strides
    if tuple(layer.output.shape[1:3]) != tuple(size) or len(layer.output.shape) != 4:
        raise ValueError(
            f"Where the cells of layer {layer.name} ({type(layer).__name__}) lie in "
            "the image is not known. Explain a layer before it."
        )
    return first, step
