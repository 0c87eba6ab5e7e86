"""A synthetic head CT, the embedded data set: anatomy, physics and hemorrhage."""

from ich_tf.synthetic.phantom.head import (
    MARKER,
    VERSION,
    PhantomDataset,
    PhantomHead,
    generate,
)

__all__ = ["MARKER", "VERSION", "PhantomDataset", "PhantomHead", "generate"]
