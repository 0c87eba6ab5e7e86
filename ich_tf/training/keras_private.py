"""Everything this project uses of Keras that Keras does not document.

Each use has a public fallback that computes the same, so that a Keras without a name
costs speed and nothing else. Nothing private is used outside this file.
"""

import keras
import tensorflow as tf

ADAM_NAMES = (
    "_distributed_tf_update_step",
    "_get_variable_index",
    "_momentums",
    "_velocities",
)
"""Methods and attributes that `FusedAdam` needs of `keras.optimizers.Adam`."""

LOGITS = "_keras_logits"
"""The attribute in which an activation keeps what it was computed from."""


@keras.saving.register_keras_serializable(package="ich_tf", name="Adam")
class FusedAdam(keras.optimizers.Adam):
    """The same update as `keras.optimizers.Adam`, by TensorFlow's fused operation.

    Keras writes the update as about forty small operations for each variable. For an
    encoder with hundreds of variables these are more than half of the graph, which
    takes its time to trace and, on every step, to launch (`benchmarks/fused.py`).

    Reference:
        Kingma and Ba 2015, Adam (arXiv:1412.6980).
    """

    needs = ADAM_NAMES
    """Private names; where one is absent, Keras' own update is the fallback."""
    _fused, _shared = False, None

    def build(self, variables):
        """Make the moments, and see whether they can be updated by one operation."""
        super().build(variables)
        self._fused = all(hasattr(self, name) for name in self.needs)

    def _distributed_tf_update_step(self, distribute, pairs, learning_rate):
        """Compute what all variables share once, then update each."""
        step = tf.cast(tf.convert_to_tensor(self.iterations), tf.float32) + 1
        betas = [tf.constant(beta, tf.float32) for beta in (self.beta_1, self.beta_2)]
        self._shared = {
            "beta1_power": tf.pow(betas[0], step),
            "beta2_power": tf.pow(betas[1], step),
            "beta1": betas[0],
            "beta2": betas[1],
            "epsilon": tf.constant(self.epsilon, tf.float32),
        }
        super()._distributed_tf_update_step(distribute, pairs, learning_rate)

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable and its two moments."""
        possible = self._fused and self._shared is not None and not self.amsgrad
        if not possible or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index, dtype = self._get_variable_index(variable), variable.dtype
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            lr=tf.cast(learning_rate, dtype),
            grad=tf.cast(gradient, dtype),
            **{name: tf.cast(value, dtype) for name, value in self._shared.items()},
        )


def logits(probabilities: tf.Tensor, name: str = LOGITS) -> tf.Tensor | None:
    """What a sigmoid was computed from, for an exact cross-entropy.

    Args:
        probabilities: The output of a model.
        name: The private name.

    Returns:
        None where Keras does not say; then the cross-entropy of the probabilities is
        the fallback, which Keras clips to [1e-7, 1 - 1e-7].
    """
    return getattr(probabilities, name, None)
