"""Grouped convolutions at a fair pace without a GPU."""

import keras

from ich_tf.models import cpu_layers


@keras.saving.register_keras_serializable(package="ich_tf")
class GroupedConv2D(cpu_layers.Conv2D):
    """A grouped convolution that also trains at a fair pace without a GPU.

    Keras 3.15 gives grouped convolutions to XLA, whose gradient on a CPU takes 30 to
    100 times as long as the groups' own. So there the groups are convolved one by one;
    the kernel stays one array.
    """

    def convolution_op(self, inputs, kernel):
        """Convolve, without bias and activation."""
        convolve = super().convolution_op
        if not cpu_layers.no_accelerator():
            return convolve(inputs, kernel)
        groups = zip(
            keras.ops.split(inputs, self.groups, axis=-1),
            keras.ops.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        return keras.ops.concatenate([convolve(*group) for group in groups], axis=-1)
