"""Classifiers of single voxels, as the report's related work learns them."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from ich_tf.models import classical

LEARNED = ("random_forest", "logistic_regression")

FEATURES = ("hu", "mean", "deviation", "smooth", "smoother", "symmetry", "depth")


def voxel_features(hu: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Features of each voxel within the skull, of the kinds that [22] uses.

    Args:
        hu: (z, y, x), Hounsfield units.
        inside: (z, y, x), bool, from `classical.intracranial`.

    Returns:
        (voxels, features) float32 in the order of `FEATURES`: value, local mean and
        deviation, two smoothings, difference from the mirrored slice, and distance
        from the skull in shares of the slice.
    """
    from scipy import ndimage

    values = np.clip(hu, -20, 120).astype(np.float32)
    side = max(3, hu.shape[1] // 64 * 2 + 1)
    mean = ndimage.uniform_filter(values, (1, side, side))
    square = ndimage.uniform_filter(values**2, (1, side, side))
    sigma = hu.shape[1] / 128
    smooth = ndimage.gaussian_filter(values, (0, sigma, sigma))
    smoother = ndimage.gaussian_filter(values, (0.5, 3 * sigma, 3 * sigma))
    depth = np.stack([ndimage.distance_transform_edt(skull) for skull in inside])
    images = (
        values,
        mean,
        np.sqrt(np.maximum(square - mean**2, 0)),
        smooth,
        smoother,
        smoother - smoother[:, :, ::-1],
        depth / hu.shape[1],
    )
    return np.stack([image[inside] for image in images], axis=-1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class VoxelClassifier:
    """A classifier of voxels within the skull.

    Attributes:
        model: A fitted scikit-learn classifier.
    """

    model: object

    def __call__(self, hu: np.ndarray) -> np.ndarray:
        """(z, y, x) Hounsfield units to float32 probabilities."""
        inside = classical.intracranial(hu)
        probability = np.zeros(hu.shape, np.float32)
        if inside.any():
            features = voxel_features(hu, inside)
            probability[inside] = self.model.predict_proba(features)[:, 1]
        return probability


def fit_voxels(
    kind: str,
    cases: Iterable[tuple[np.ndarray, np.ndarray]],
    seed: int,
    voxels_per_case: int = 2000,
) -> VoxelClassifier:
    """Fit a classifier on voxels drawn from cases, half of them blood where there is.

    Args:
        kind: "random_forest" or "logistic_regression".
        cases: HU (z, y, x) and mask (z, y, x) of each.
        seed: Seed of the draw and the forest.
        voxels_per_case: At most.

    Raises:
        ValueError: if the kind is unknown or no case has blood.
    """
    from sklearn import ensemble, linear_model, pipeline, preprocessing

    kinds = {
        "random_forest": lambda: ensemble.RandomForestClassifier(
            n_estimators=60, min_samples_leaf=5, random_state=seed, n_jobs=1
        ),
        "logistic_regression": lambda: pipeline.make_pipeline(
            preprocessing.StandardScaler(), linear_model.LogisticRegression()
        ),
    }
    if kind not in kinds:
        raise ValueError(f"Unknown classifier {kind!r}. Known: {', '.join(kinds)}.")
    generator = np.random.default_rng(seed)
    drawn: list[np.ndarray] = []
    truth: list[np.ndarray] = []
    for hu, mask in cases:
        inside = classical.intracranial(hu)
        blood, features = mask[inside] > 0, voxel_features(hu, inside)
        for label in (True, False):
            places = np.flatnonzero(blood == label)
            count = min(len(places), voxels_per_case // 2)
            chosen = generator.choice(places, count, replace=False)
            drawn.append(features[chosen])
            truth.append(np.full(count, label))
    if not truth or not np.concatenate(truth).any():
        raise ValueError("No case has blood within the skull: nothing to learn.")
    model = kinds[kind]()
    model.fit(np.concatenate(drawn), np.concatenate(truth))
    return VoxelClassifier(model)
