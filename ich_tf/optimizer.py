"""Keras' Adam with one operation for each variable."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="ich_tf")
class Adam(keras.optimizers.Adam):
    """The same update as `keras.optimizers.Adam`, by TensorFlow's fused operation.

    Keras writes the update as about forty small operations for each variable. For an
    encoder with hundreds of variables these are more than half of the graph, which
    takes its time to trace and, on every step, to launch (`benchmarks/fused.py`).

    Reference:
        Kingma and Ba 2015, Adam (arXiv:1412.6980).
    """

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable and its two moments."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index, dtype = self._get_variable_index(variable), variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), step),
            lr=tf.cast(learning_rate, dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, dtype),
        )
