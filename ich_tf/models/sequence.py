"""All slices of a scan at once: PCA of their features, then a bidirectional LSTM.

Reference:
    Burduja et al. 2020, "Accurate and efficient intracranial hemorrhage detection and
    subtype classification in 3D CT scans" (doi:10.3390/s20195611), [1] below.
"""

from collections.abc import Iterable, Iterator

import keras
import numpy as np


def build_sequence(
    features: int = 2048,
    components: int = 120,
    classes: int = 6,
    hidden: int = 256,
    layers: int = 3,
    dropout: float = 0.3,
    head_dropout: float = 0.5,
    pca: tuple[np.ndarray, np.ndarray] | None = None,
) -> keras.Model:
    """Build the sequence model of [1].

    The features of each slice pass a frozen PCA and join the slice's own
    probabilities; the LSTM's output joins them once more before the last layer.

    Args:
        features: Features of a slice, as the slice model gives them.
        components: Principal components that are kept.
        classes: Independent sigmoid outputs, and probabilities of a slice.
        hidden: Units of the LSTM in each direction.
        layers: Bidirectional layers.
        dropout: Between the layers, not after the last one and not within them.
        head_dropout: Before the last, dense layer.
        pca: Kernel and bias from `fit_pca`; None if weights are loaded later.

    Returns:
        A model from a dict of "features" (batch, slices, features), "probabilities"
        (batch, slices, classes) and "mask" (batch, slices), bool, False at the padding
        on the right, to float32 probabilities (batch, slices, classes). What it says
        at the padding has no meaning. Train it with `scan_loss`.

    Raises:
        ValueError: if there are more components than features, no layer, or a PCA of
            another shape.
    """
    _check(features, components, layers, pca)
    inputs = {
        "features": keras.Input((None, features), name="features"),
        "probabilities": keras.Input((None, classes), name="probabilities"),
        "mask": keras.Input((None,), dtype="bool", name="mask"),
    }
    # float32 in every policy: the bias subtracts the mean of the features.
    project = keras.layers.Dense(
        components, trainable=False, dtype="float32", name="pca"
    )
    projected = project(inputs["features"])
    join = keras.layers.Concatenate(name="slice_concat")
    x = join([projected, inputs["probabilities"]])
    # Deviation: Keras initializes the LSTM (Glorot, orthogonal, forget bias 1), which
    # suits recurrences; the PyTorch of [1] draws every weight from one uniform range.
    for number in range(1, layers + 1):
        if number > 1:
            x = keras.layers.Dropout(dropout, name=f"lstm_{number}_dropout")(x)
        # Named, so that the weights of every build have the same paths.
        one_way = keras.layers.LSTM(hidden, return_sequences=True, name="lstm")
        both_ways = keras.layers.Bidirectional(one_way, name=f"lstm_{number}")
        x = both_ways(x, mask=inputs["mask"])
    x = keras.layers.Concatenate(name="lstm_concat")([x, inputs["probabilities"]])
    x = keras.layers.Dropout(head_dropout, name="logits_dropout")(x)
    x = keras.layers.Dense(classes, name="logits")(x)
    outputs = keras.layers.Activation("sigmoid", dtype="float32", name="predictions")(x)
    if pca is not None:
        project.set_weights(pca)
    return keras.Model(inputs, outputs, name="sequence")


def _check(features, components, layers, pca) -> None:
    if not 1 <= components <= features:
        raise ValueError(
            "`components` must be between 1 and the number of features. Received: "
            f"components={components}, features={features}"
        )
    if layers < 1:
        raise ValueError(f"`layers` must be 1 or more. Received: {layers}")
    if pca is None:
        return
    shapes = tuple(np.shape(part) for part in pca)
    if shapes != ((features, components), (components,)):
        raise ValueError(
            f"`pca` must be a kernel of shape {(features, components)} and a bias of "
            f"shape {(components,)}, as `fit_pca` gives them. Received: {shapes}"
        )


def scan_loss() -> keras.losses.Loss:
    """Binary cross-entropy over the real slices of a batch of scans.

    [1] trains on one scan at a time and takes the mean over all its slices and
    classes. A batch of several scans takes the mean of these means, if the sample
    weights (batch, slices) are 1 / (slices of the scan) at the real slices and 0 at
    the padding, as `preprocessing.sequences` gives them: the sum of the weighted
    values is divided by the sum of the weights, so padding adds nothing and long
    scans count as much as short ones. Weights of 1 and 0 would count slices alike.

    Reckoned from the logits, which Keras finds behind the sigmoid.

    Example:
        >>> model.compile(keras.optimizers.Adam(3e-5), scan_loss())
    """
    return keras.losses.BinaryCrossentropy(reduction="mean_with_sample_weight")


def fit_pca(
    batches: Iterable[np.ndarray], components: int = 120
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a PCA without whitening, in bounded memory.

    Args:
        batches: Features of training slices, (n, features) each; n may differ.
        components: Principal components to keep.

    Returns:
        Kernel (features, components) and bias (components,), float32, so that
        `x @ kernel + bias` are the components of x.

    Raises:
        ValueError: if batches differ in their features, if there are fewer features
            or fewer samples than components, or if a value is not finite.
    """
    from sklearn.decomposition import IncrementalPCA

    pca, samples = IncrementalPCA(components), 0
    # One decomposition of many rows is both faster and closer to the PCA of all rows
    # than many of few.
    for rows in _chunks(batches, 5 * components):
        if samples == 0 and min(rows.shape) < components:
            raise ValueError(
                f"A PCA of {components} components needs as many slices and features "
                f"or more. Received: {len(rows)} slices of {rows.shape[1]} features. "
                "Ask for fewer components or give it more slices."
            )
        pca.partial_fit(rows)
        samples += len(rows)
    if samples == 0:
        raise ValueError("No slice to fit a PCA on.")
    kernel = pca.components_.T
    bias = -pca.mean_ @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32)


def _chunks(batches: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """The batches joined, so that each except the last has `rows` rows or more."""
    waiting, count = [], 0
    for batch in batches:
        waiting.append(np.asarray(batch, np.float64))
        count += len(batch)
        if count >= rows:
            yield np.concatenate(waiting)
            waiting, count = [], 0
    if count:
        yield np.concatenate(waiting)
