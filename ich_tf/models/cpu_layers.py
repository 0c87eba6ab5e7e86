"""Keras' convolutions and batch normalization with faster passes for a processor.

They compute what Keras' layers compute, up to rounding. Without a GPU TensorFlow 2.21
can need many times as long for the gradients of a convolution as for the convolution,
and Keras traces batch normalization as dozens of operations (`benchmarks/fused.py`).

One switch: networks that are built while `enabled()` is true have the layers of this
file, others have Keras' own. Weights fit both. The environment variable
`ICH_TF_CPU_LAYERS`, "on" or "off", decides; without it a training plan does
(`training.plans.Plan.cpu_layers`), and before the first plan they are on.
"""

import math
import os

import keras
import tensorflow as tf

VARIABLE = "ICH_TF_CPU_LAYERS"

LARGEST = 2**17
"""Pixels or voxels of the largest sample whose convolution has gradients of our own."""

STRIPS = 4
"""Parts of each volume that make the batch of a 3-D kernel's gradient larger."""

_chosen = {"on": True}


def use(on: bool) -> None:
    """Choose the layers of networks that are built from now on.

    Args:
        on: Whether they have the layers of this file, unless the environment variable
            says otherwise.
    """
    _chosen["on"] = on


def enabled() -> bool:
    """Whether networks are built with the layers of this file.

    Raises:
        ValueError: if the environment variable is neither "on" nor "off".
    """
    said = os.environ.get(VARIABLE)
    if said not in (None, "", "on", "off"):
        raise ValueError(f"{VARIABLE} must be 'on' or 'off'. Received: {said!r}")
    return _chosen["on"] if not said else said == "on"


def layer(kind: str) -> type[keras.layers.Layer]:
    """The class of a layer by its name in `keras.layers`, as the switch has it."""
    own = {
        "Conv2D": Conv2D,
        "Conv3D": Conv3D,
        "Conv2DTranspose": Conv2DTranspose,
        "Conv3DTranspose": Conv3DTranspose,
        "BatchNormalization": BatchNormalization,
    }
    return own[kind] if kind in own and enabled() else getattr(keras.layers, kind)


def no_accelerator() -> bool:
    """Whether the processor computes everything."""
    return not any(keras.distribution.list_devices(kind) for kind in ("gpu", "tpu"))


class _Convolution:
    """Keras' forward pass with other gradients."""

    def convolution_op(self, inputs, kernel):
        """Convolve, without bias and activation."""
        if not (_quick(self) and _fits(inputs, kernel)):
            return super().convolution_op(inputs, kernel)
        if max(self.strides) > 1:
            every = (slice(None, None, stride) for stride in self.strides)
            inputs = inputs[:, *every]
        return _convolve(inputs, tf.convert_to_tensor(kernel))


@keras.saving.register_keras_serializable(package="ich_tf")
class Conv2D(_Convolution, keras.layers.Conv2D):
    """`keras.layers.Conv2D` whose gradients are convolutions.

    The inputs' gradient is a convolution with the kernel turned round, the kernel's
    gradient a convolution with channels and batch exchanged.
    """


@keras.saving.register_keras_serializable(package="ich_tf")
class Conv3D(_Convolution, keras.layers.Conv3D):
    """`keras.layers.Conv3D` whose gradients are convolutions, like `Conv2D`."""


class _Upsampling:
    """A transposed convolution as a product of matrices."""

    def call(self, inputs):
        """Upsample."""
        apart = tuple(self.kernel_size) == tuple(self.strides)
        apart = apart and self.output_padding is None
        if not (apart and _plain(self) and None not in inputs.shape[1:]):
            return super().call(inputs)
        outputs = _upsample(inputs, tf.convert_to_tensor(self.kernel))
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))
        return outputs if self.activation is None else self.activation(outputs)


@keras.saving.register_keras_serializable(package="ich_tf")
class Conv2DTranspose(_Upsampling, keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` as a product of matrices.

    Only where no two inputs reach the same output.
    """


@keras.saving.register_keras_serializable(package="ich_tf")
class Conv3DTranspose(_Upsampling, keras.layers.Conv3DTranspose):
    """`keras.layers.Conv3DTranspose` as a product of matrices, like the one in 2-D."""


def _upsample(x, kernel):
    """A transposed convolution whose strides are the sides of its kernel."""
    *factors, filters, wide = kernel.shape
    *outer, height, width, _ = x.shape[1:]
    depth, (down, right) = math.prod(factors[:-2]), factors[-2:]
    y = tf.matmul(
        tf.reshape(x, [-1, wide]), tf.reshape(kernel, [-1, wide]), transpose_b=True
    )
    y = tf.reshape(y, [-1, height, width, depth, down, right * filters])
    y = tf.transpose(y, [0, 3, 1, 4, 2, 5])
    outer = [side * depth for side in outer]
    return tf.reshape(y, [-1, *outer, height * down, width * right, filters])


def _plain(layer) -> bool:
    """Whether a layer computes in float32 on a processor; nothing else was measured."""
    exact = layer.data_format == "channels_last" and layer.compute_dtype == "float32"
    return exact and no_accelerator() and enabled()


def _quick(layer) -> bool:
    """Whether `_convolve` is what a layer computes, and the faster way to do so."""
    dense = {*layer.strides, *layer.dilation_rate} == {1} and layer.padding == "same"
    odd = all(size % 2 for size in layer.kernel_size)
    pointwise = {*layer.kernel_size} == {1}
    return (pointwise or dense and odd) and _plain(layer)


def _fits(inputs, kernel) -> bool:
    *sides, channels = inputs.shape[1:]
    if None in (*sides, channels) or channels != kernel.shape[-2]:
        return False
    return math.prod(sides) <= LARGEST


@tf.custom_gradient
def _convolve(x, kernel):
    """Convolve with stride 1, zeros around; 2-D or 3-D, the kernel's sides are odd."""
    *sides, wide, _ = kernel.shape
    rank = len(sides)
    space = [*range(1, rank + 1)]
    operation = {2: tf.raw_ops.Conv2D, 3: tf.raw_ops.Conv3D}[rank]
    strides = [1] * (rank + 2)
    y = operation(input=x, filter=kernel, strides=strides, padding="SAME")

    def gradient(upstream):
        if {*sides} == {1}:
            flat = tf.reshape(upstream, [-1, kernel.shape[-1]])
            matrix = tf.reshape(kernel, kernel.shape[-2:])
            of_x = tf.reshape(tf.matmul(flat, matrix, transpose_b=True), tf.shape(x))
            inputs = tf.reshape(x, [-1, wide])
            of_kernel = tf.matmul(inputs, flat, transpose_a=True)
            return of_x, tf.reshape(of_kernel, kernel.shape)
        turned = tf.reverse(kernel, [axis - 1 for axis in space])
        turned = tf.transpose(turned, [*range(rank), rank + 1, rank])
        of_x = operation(input=upstream, filter=turned, strides=strides, padding="SAME")
        # After `upstream`: nothing is copied, and kept, during the forward pass.
        with tf.control_dependencies([upstream]):
            inputs = tf.identity(x)
        margins = [(side // 2, side // 2) for side in sides]
        inputs, above = tf.pad(inputs, [(0, 0), *margins, (0, 0)]), upstream
        if rank == 3 and x.shape[2] % STRIPS == 0:
            inputs, above = _strips(inputs, above, sides[1])
        inputs = tf.transpose(inputs, [rank + 1, *space, 0])
        above = tf.transpose(above, [*space, 0, rank + 1])
        of_kernel = operation(
            input=inputs, filter=above, strides=strides, padding="VALID"
        )
        of_kernel = tf.transpose(of_kernel, [*space, 0, rank + 1])
        return of_x, tf.ensure_shape(of_kernel, kernel.shape)

    return y, gradient


def _strips(inputs, above, side):
    """Volumes cut across their height, since a batch holds few of them."""
    size = above.shape[2] // STRIPS
    starts = range(0, above.shape[2], size)
    strips = [inputs[:, :, start : start + size + side - 1] for start in starts]
    return tf.concat(strips, 0), tf.concat(tf.split(above, STRIPS, 2), 0)


@keras.saving.register_keras_serializable(package="ich_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, faster to trace and to train on images.

    Keras writes the training pass as some twenty operations, and twice as many for
    its gradient. On batches of images (n, h, w, channels) of one replica this layer
    uses one for each, with the same results. Keras computes everything else.

    Reference:
        Ioffe and Szegedy 2015, Batch normalization (arXiv:1502.03167).
    """

    def call(self, inputs, training=None, mask=None):
        """Normalize; by the batch in training, else by the running moments."""
        if not (training and self.trainable and self._fusible(inputs, mask)):
            return super().call(inputs, training=training, mask=mask)
        x = tf.cast(inputs, tf.float32)
        width = x.shape[-1]
        scale = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(width)
        offset = tf.convert_to_tensor(self.beta) if self.center else tf.zeros(width)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=scale,
            offset=offset,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operation returns the unbiased variance, Keras keeps the biased one.
        share, shares = 1 - self.momentum, (1 - self.momentum) * _biased(x)
        for running, new in (
            (self.moving_mean, mean * share),
            (self.moving_variance, variance * shares),
        ):
            running.assign(tf.convert_to_tensor(running) * self.momentum + new)
        return tf.cast(y, self.compute_dtype)

    def _fusible(self, inputs, mask) -> bool:
        last = self.axis in (-1, len(inputs.shape) - 1)
        plain = mask is None and not self.synchronized and not self.renorm
        return plain and last and len(inputs.shape) == 4


def _biased(x):
    """Factor that turns the unbiased variance into the biased batch variance."""
    if None in x.shape:
        count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        return tf.maximum(count - 1, 1) / count
    count = math.prod(x.shape[:-1])
    return max(count - 1, 1) / count
