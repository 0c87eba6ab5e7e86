"""Fit the head of subtypes on a network whose other weights stay.

The head is linear in the features of all rows of UNet++, so that a logistic regression
on some pixels of hemorrhage finds its best weights, where gradient steps on small
batches would need thousands. The mask is left as it was, to the bit.
"""

from collections.abc import Iterable

import keras
import numpy as np

_INVERSE_PENALTY = 0.02
_ITERATIONS = 200
# Bias of a subtype that no sample shows.
_NEVER = -50.0


def head_layers(model: keras.Model) -> list:
    """The convolutions of the head, from the top row down.

    Args:
        model: UNet++ with the activation "subtypes".
    """
    names = [f"subtypes_{row}" for row in range(len(model.layers))]
    known = {layer.name for layer in model.layers}
    return [model.get_layer(name) for name in names if name in known]


def samples(
    model: keras.Model,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    per_image: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Features and subtypes of some pixels of hemorrhage.

    Args:
        model: UNet++ with the activation "subtypes".
        batches: Images (b, h, w, channels) and subtypes (b, h, w, 1), 0 is none.
        per_image: Pixels of an image, at most.
        seed: Of their choice.

    Returns:
        (n, features), float32, of all rows beside each other, and (n,), int.
    """
    rng = np.random.default_rng(seed)
    outputs = [layer.input for layer in head_layers(model)]
    network = keras.Model(model.input, outputs)
    network.compile(jit_compile=False)
    found, truth = [], []
    for images, subtypes in batches:
        features = [np.asarray(part) for part in network.predict_on_batch(images)]
        for number in range(len(images)):
            rows, columns = np.nonzero(subtypes[number, ..., 0] > 0)
            chosen = rng.permutation(len(rows))[:per_image]
            rows, columns = rows[chosen], columns[chosen]
            # Row r of the network has a pixel for 2**r of the image.
            found.append(
                np.concatenate(
                    [
                        part[number, rows >> row, columns >> row]
                        for row, part in enumerate(features)
                    ],
                    axis=1,
                )
            )
            truth.append(subtypes[number, rows, columns, 0].astype(int))
    return np.concatenate(found), np.concatenate(truth)


def fit(model: keras.Model, features: np.ndarray, subtypes: np.ndarray) -> float:
    """Give the head the weights of a logistic regression.

    Args:
        model: UNet++ with the activation "subtypes"; its head is changed.
        features: From `samples`.
        subtypes: From `samples`.

    Returns:
        Share of the samples whose subtype is right. A subtype without samples is
        never named.

    Raises:
        ValueError: if all samples show the same subtype.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    present = np.unique(subtypes)
    if len(present) < 2:
        raise ValueError(
            f"All samples show subtype {present[0]}: draw more batches, for one "
            "subtype there is nothing to learn."
        )
    scaler = StandardScaler().fit(features)
    fitted = LogisticRegression(
        C=_INVERSE_PENALTY, max_iter=_ITERATIONS, class_weight="balanced"
    ).fit(scaler.transform(features), subtypes)
    count = model.output_shape[-1] - 1
    slopes = np.zeros((count, features.shape[1]))
    biases = np.full(count, _NEVER)
    coefficients, intercepts = fitted.coef_ / scaler.scale_, fitted.intercept_
    intercepts = intercepts - coefficients @ scaler.mean_
    if len(present) == 2:
        # Of two, the regression gives the odds of the second alone.
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    slopes[present - 1], biases[present - 1] = coefficients, intercepts
    first = 0
    for row, layer in enumerate(head_layers(model)):
        kernel = layer.get_weights()[0]
        last = first + kernel.shape[2]
        new = [slopes[:, first:last].T[None, None].astype(np.float32)]
        layer.set_weights(new if row else [*new, biases.astype(np.float32)])
        first = last
    return float(fitted.score(scaler.transform(features), subtypes))
