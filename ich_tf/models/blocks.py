"""The node of a 3-D UNet++ and its normalization, both lean in memory.

Training keeps the activations of the forward pass for the gradients. In 3-D they are
most of the memory, so a block can keep its output alone and compute what lies between
once more when its gradients are due.

Reference:
    Chen et al. 2016, Training deep nets with sublinear memory cost (arXiv:1604.06174);
    Ulyanov et al. 2016, Instance normalization (arXiv:1607.08022).
"""

import keras
import tensorflow as tf

from ich_tf.models import cpu_layers

SPACE, EPSILON = (1, 2, 3), 1e-5


@keras.saving.register_keras_serializable(package="ich_tf")
class InstanceNormalization(keras.layers.Layer):
    """Mean 0 and variance 1 for each sample and channel, then scale and offset.

    It does not depend on the batch, so it works at batch size 1, and has no running
    statistics. It computes in float32 and keeps only its input for the gradients.
    `keras.layers.GroupNormalization(groups=-1)` computes the same; six of them in
    mixed_bfloat16 took 325 MB for a gradient, these 248 MB (16 channels of
    16 x 128 x 128); they took 1.05 to 1.1 times the processor time (CPU, Keras 3.15).
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
    """Instance normalization that keeps only `x` for its gradient.

    TensorFlow's fused batch normalization, with the samples as channels, would need
    as little memory, but sometimes returns NaN for bfloat16 on a CPU (2.21).
    """
    wide = tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(wide, SPACE, keepdims=True)
    rate = tf.math.rsqrt(variance + EPSILON)
    y = tf.cast((wide - mean) * (rate * gamma) + beta, x.dtype)

    def gradient(upstream):
        # After `upstream`, or TensorFlow would reuse the forward pass's float32 values
        # and keep them in memory until now.
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

    Given one tensor it only convolves; given a list, it upsamples the
    first and joins the others. A convolution is 3x3x3, followed by instance
    normalization and ReLU; upsampling is a transposed convolution.

    Args:
        filters: Channels of the output.
        factors: Factors of the upsampling (depth, height, width); None without.
        skip: "concat" or "add": how the upsampled and the skips are joined.
        remat: Keep no activations within the block, but compute them again for the
            gradients: less memory, the time of one more forward pass, equal results.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, filters, factors=None, skip="concat", remat=False, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.factors = filters, factors and tuple(factors)
        self.skip, self.remat = skip, remat
        policy = self.dtype_policy
        self.up = factors and cpu_layers.layer("Conv3DTranspose")(
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
                cpu_layers.layer("Conv3D")(
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
        """Build all layers before the block is computed for the first time."""
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
            return keras.remat(self._forward)(*tensors)
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
