"""Whether a scan is like the slices a network was trained on.

A network gives an answer for any input. How far a slice's features lie from the
features of the training slices shows where its answers were never tried. The features
of the network's deepest row are averaged over each slice's area (`segment.predictor`
with a `layer`); distances are Mahalanobis'.

Reference:
    Lee et al. 2018, A simple unified framework for detecting out-of-distribution
    samples and adversarial attacks (arXiv:1807.03888).
"""

import dataclasses
import os

import numpy as np

from ich_tf import arrays, files

QUANTILE = 0.99
"""Of held-out slices, so many lie within the limit."""
OUTSIDE_SHARE = 0.5
"""A scan of which more slices lie beyond the limit is out of distribution."""


@dataclasses.dataclass(frozen=True, eq=False)
class Likeness:
    """Where the features of known slices lie.

    Attributes:
        layer: The network's layer that gives the features.
        mean: (d,), of the training slices' features.
        precision: (d, d), inverse of their covariance.
        limit: Distance within which 99 of 100 held-out slices lie.
    """

    layer: str
    mean: np.ndarray
    precision: np.ndarray
    limit: float

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Distances from the known slices.

        Args:
            features: (n, d), of slices.

        Returns:
            (n,), in standard deviations.
        """
        away = features - self.mean
        return np.sqrt(np.einsum("ni,ij,nj->n", away, self.precision, away))

    def out_of_distribution(self, features: np.ndarray) -> np.ndarray:
        """(n,), bool: which slices lie beyond the limit."""
        return self.distances(features) > self.limit


def fit(layer: str, known: np.ndarray, held_out: np.ndarray) -> Likeness:
    """Learn from features of slices.

    Args:
        layer: The network's layer they come from.
        known: (n, d), of training slices.
        held_out: (m, d), of slices of other patients; they set the limit.
    """
    from sklearn.covariance import LedoitWolf

    estimate = LedoitWolf().fit(known)
    likeness = Likeness(
        layer,
        estimate.location_.astype(np.float32),
        estimate.precision_.astype(np.float32),
        0.0,
    )
    limit = float(np.quantile(likeness.distances(held_out), QUANTILE))
    return dataclasses.replace(likeness, limit=limit)


def deepest_layer(model) -> str:
    """Name of the last activation of the row that sees the most of a slice."""
    names = [layer.name for layer in model.layers if layer.name.endswith("_relu")]
    row = max(int(name[1 : name.index("_")]) for name in names)
    return [name for name in names if name.startswith(f"x{row}_0")][-1]


def save(path: str | os.PathLike, likeness: Likeness) -> None:
    """Write an `.npz` file; it is never seen half written."""
    with files.atomic(path) as partial:
        np.savez(partial, **dataclasses.asdict(likeness))


def load(path: str | os.PathLike) -> Likeness:
    """Read what `save` wrote.

    Raises:
        ValueError: if the file is absent or damaged; the message names it.
    """
    names = [field.name for field in dataclasses.fields(Likeness)]
    try:
        content = arrays.read(path, names)
        layer, limit = content["layer"].item(), float(content["limit"])
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is absent or damaged: {error}") from error
    mean, precision = content["mean"], content["precision"]
    if mean.ndim != 1 or precision.shape != 2 * mean.shape or mean.dtype.kind != "f":
        raise ValueError(f"{path} is damaged: its arrays have other shapes.")
    return Likeness(str(layer), mean, precision, limit)
