"""Layers whose passes are written out: convolutions, normalization, and 3-D blocks.

Convolutions and batch normalization compute what Keras' layers compute, faster where
there is no GPU. A 3-D block is lean in memory: what a node keeps is its choice.

Training keeps the activations of the forward pass for the gradients. In 3-D they are
most of the memory, so a block can keep its output alone and compute what lies between
once more when its gradients are due.

Reference:
    Chen et al. 2016, Training deep nets with sublinear memory cost (arXiv:1604.06174);
    Ulyanov et al. 2016, Instance normalization (arXiv:1607.08022).
"""

import math

import keras
import tensorflow as tf

SPACE, EPSILON = (1, 2, 3), 1e-5

LARGEST = 2**17
"""Pixels or voxels of the largest sample whose convolution has gradients of our own."""

STRIPS = 4
"""Parts of each volume that make the batch of a 3-D kernel's gradient larger."""


def no_accelerator() -> bool:
    """Whether all is computed on the processor."""
    return not any(keras.distribution.list_devices(kind) for kind in ("gpu", "tpu"))


class _Convolution:
    """What `Conv2D` and `Conv3D` do otherwise than Keras: nothing but gradients."""

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
    """`keras.layers.Conv2D` that trains faster without a GPU.

    On a processor TensorFlow 2.21 can need many times as long for the gradients of a
    convolution as for the convolution (what that makes of a training step:
    `benchmarks/fused.py`). Both are convolutions themselves, and here they are computed
    as such: that of the inputs with the kernel turned round, that of the kernel with
    channels and batch exchanged.
    """


@keras.saving.register_keras_serializable(package="ich_tf")
class Conv3D(_Convolution, keras.layers.Conv3D):
    """`keras.layers.Conv3D` that trains faster without a GPU, see `Conv2D`."""


@keras.saving.register_keras_serializable(package="ich_tf")
class GroupedConv2D(Conv2D):
    """A grouped convolution that also trains at a fair pace without a GPU.

    Keras 3.15 gives grouped convolutions to XLA, whose gradient on a CPU takes 30 to
    100 times as long as the groups' own. So there the groups are convolved one by one;
    the kernel stays one array.
    """

    def convolution_op(self, inputs, kernel):
        """Convolve, without bias and activation."""
        convolve = super().convolution_op
        if not no_accelerator():
            return convolve(inputs, kernel)
        groups = zip(
            keras.ops.split(inputs, self.groups, axis=-1),
            keras.ops.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        return keras.ops.concatenate([convolve(*group) for group in groups], axis=-1)


class _Upsampling:
    """What `Conv2DTranspose` and `Conv3DTranspose` do otherwise than Keras: speed."""

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
    """`keras.layers.Conv2DTranspose` that is faster without a GPU.

    Where no two inputs reach the same output, it is a product of matrices.
    """


@keras.saving.register_keras_serializable(package="ich_tf")
class Conv3DTranspose(_Upsampling, keras.layers.Conv3DTranspose):
    """`keras.layers.Conv3DTranspose`, faster as `Conv2DTranspose` is."""


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
    """Whether a layer computes in float32 on a processor: the rest was not measured."""
    exact = layer.data_format == "channels_last" and layer.compute_dtype == "float32"
    return exact and no_accelerator()


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
    """Volumes cut across their height, for larger batches: those of 3-D are small."""
    size = above.shape[2] // STRIPS
    starts = range(0, above.shape[2], size)
    strips = [inputs[:, :, start : start + size + side - 1] for start in starts]
    return tf.concat(strips, 0), tf.concat(tf.split(above, STRIPS, 2), 0)


@keras.saving.register_keras_serializable(package="ich_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, faster to trace and to train on images.

    Keras writes the training pass as some twenty operations, and twice as many for
    its gradient. On batches of images (n, h, w, channels) of one replica this layer
    uses one for each (`benchmarks/fused.py`), with the same results; all else is left
    to Keras.

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
        # The operation gives the sample's variance, Keras keeps the batch's.
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
    """What makes the variance of a batch of that of a sample, for each channel."""
    if None in x.shape:
        count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        return tf.maximum(count - 1, 1) / count
    count = math.prod(x.shape[:-1])
    return max(count - 1, 1) / count


@keras.saving.register_keras_serializable(package="ich_tf")
class InstanceNormalization(keras.layers.Layer):
    """Mean 0 and variance 1 for each sample and channel, then scale and offset.

    Does not depend on the batch, so it works at batch size 1, and has no running
    statistics. Of bfloat16 activations it computes in float32 and keeps no copies.
    """

    def build(self, shape):
        """Make scale and offset."""
        self.gamma = self.add_weight(
            shape=(shape[-1],), initializer="ones", name="gamma", autocast=False
        )
        self.beta = self.add_weight(
            shape=(shape[-1],), initializer="zeros", name="beta", autocast=False
        )

    def call(self, x):
        """(batch, depth, height, width, channels), the same out."""
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        return _normalize(x, gamma, beta)


@tf.custom_gradient
def _normalize(x, gamma, beta):
    """Instance normalization whose gradient needs `x` alone of what is large.

    TensorFlow's fused batch normalization would be as lean, with the samples as
    channels, but now and then gives NaN for bfloat16 on a CPU (TensorFlow 2.21).
    """
    wide = tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(wide, SPACE, keepdims=True)
    rate = tf.math.rsqrt(variance + EPSILON)
    y = tf.cast((wide - mean) * (rate * gamma) + beta, x.dtype)

    def gradient(upstream):
        # After `upstream`, or TensorFlow would find these to be the forward pass's
        # numbers and keep them, in float32, until now.
        with tf.control_dependencies([upstream]):
            normal = (tf.cast(x, tf.float32) - mean) * rate
        above = tf.cast(upstream, tf.float32)
        along = above * normal
        centred = above - tf.reduce_mean(above, SPACE, keepdims=True)
        shared = normal * tf.reduce_mean(along, SPACE, keepdims=True)
        of_x = tf.cast(gamma * rate * (centred - shared), x.dtype)
        each = (0, *SPACE)
        return of_x, tf.reduce_sum(along, each), tf.reduce_sum(above, each)

    return y, gradient


@keras.saving.register_keras_serializable(package="ich_tf")
class Block(keras.layers.Layer):
    """A node of a 3-D UNet++: upsample, join the skips, convolve twice.

    Called with one tensor it only convolves; called with a list, it upsamples the
    first and joins the others. A convolution is 3x3x3, followed by instance
    normalization and ReLU; upsampling is a transposed convolution.

    Args:
        filters: Channels of the output.
        factors: Factors of the upsampling (depth, height, width); None without.
        skip: "concat" or "add": how the upsampled and the skips are joined.
        remat: Keep no activations within the block, but compute them again for the
            gradients: less memory, about one forward pass more time, equal results.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, filters, factors=None, skip="concat", remat=False, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.factors = filters, factors and tuple(factors)
        self.skip, self.remat = skip, remat
        policy = self.dtype_policy
        self.up = factors and Conv3DTranspose(
            filters,
            self.factors,
            strides=self.factors,
            kernel_initializer="he_normal",
            dtype=policy,
            name="up",
        )
        self.convolutions, self.norms = [], []
        for number in (1, 2):
            self.convolutions.append(
                Conv3D(
                    filters,
                    3,
                    padding="same",
                    use_bias=False,
                    kernel_initializer="he_normal",
                    dtype=policy,
                    name=f"conv_{number}",
                )
            )
            self.norms.append(
                InstanceNormalization(dtype=policy, name=f"norm_{number}")
            )

    def build(self, shapes):
        """Build all layers, so that nothing is made while the block is computed."""
        shape = shapes
        if self.up:
            self.up.build(shapes[0])
            parts = len(shapes) if self.skip == "concat" else 1
            shape = (*shapes[1][:-1], parts * self.filters)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            convolution.build(shape)
            shape = (*shape[:-1], self.filters)
            norm.build(shape)

    def call(self, inputs):
        """One tensor, or [to be upsampled, skip, ...], to (..., filters)."""
        tensors = inputs if self.up else [inputs]
        if self.remat:
            return tf.recompute_grad(self._forward)(*tensors)
        return self._forward(*tensors)

    def _forward(self, x, *skips):
        if self.up:
            x = self.up(x)
            x = sum(skips, x) if self.skip == "add" else tf.concat([x, *skips], -1)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = tf.nn.relu(norm(convolution(x)))
        return x

    def compute_output_shape(self, shapes):
        """The shape of the input, or of the skips, with `filters` channels."""
        shape = shapes[1] if self.up else shapes
        return (*shape[:-1], self.filters)

    def get_config(self) -> dict:
        """The arguments, for saving."""
        names = ("filters", "factors", "skip", "remat")
        return {**super().get_config(), **{n: getattr(self, n) for n in names}}


def training_gigabytes(model: keras.Model, batch: int, policy: str) -> float:
    """Memory that a training step of a network of blocks takes, in 10^9 bytes.

    Counts what the step holds when its largest block, most often the last of the top
    row, computes its gradients. How many copies that block then needs was measured on
    a CPU; the benchmark `volume3d.py` shows the estimate beside the measured peak.

    Args:
        model: A network of `Block`.
        batch: Samples of a batch.
        policy: Dtype policy of the training; the model may have another.
    """
    width = 4 if policy == "float32" else 2
    kept, working = 0, 0
    for layer in model.layers:
        kept += sum(_size(tensor) for tensor in keras.tree.flatten(layer.output))
        if isinstance(layer, Block):
            inside, gradients = _block_sizes(layer)
            kept += 0 if layer.remat else inside
            working = max(working, gradients + (inside if layer.remat else 0))
    # Weights, gradients and Adam's two moments in float32, and Python with TensorFlow.
    fixed = 4 * 4 * model.count_params() + 0.95e9
    return (fixed + width * batch * (kept + working)) / 1e9


def _size(tensor) -> int:
    return math.prod(tensor.shape[1:])


def _block_sizes(block: Block) -> tuple[int, int]:
    """Elements within a block that gradients need, and that computing them takes."""
    output = _size(block.output)
    skips = len(block.input) if block.up else 0
    parts = skips if block.skip == "concat" else 1
    joined = parts * output if block.up else _size(block.input)
    inside = joined + 3 * output
    # Gradients of this block and of the row before it, convolutions' reordered copies.
    gradients = 2 * joined + 10 * output
    return inside, gradients + (3 * output if block.remat else 0)
