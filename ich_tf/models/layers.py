"""Batch normalization by TensorFlow's fused operation."""

import keras
import tensorflow as tf


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
        count = tf.cast(tf.size(x) // width, tf.float32)
        variance *= tf.maximum(count - 1, 1) / count
        for running, new in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            running.assign(running * self.momentum + new * (1 - self.momentum))
        return tf.cast(y, self.compute_dtype)

    def _fusible(self, inputs, mask) -> bool:
        last = self.axis in (-1, len(inputs.shape) - 1)
        plain = mask is None and not self.synchronized and not self.renorm
        return plain and last and len(inputs.shape) == 4
