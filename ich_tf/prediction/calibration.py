"""From a slice's pixel probabilities to calibrated probabilities of slice and scan.

A slice's score is the mean of its highest pixel probabilities; the scan's is the sum
over its slices. A logistic function of the score's log-odds (slice) or logarithm
(scan), fitted per class on held-out patients, makes probabilities of them (Platt
1999, Probabilistic outputs for support vector machines).
"""

import dataclasses
import os
import pathlib

import numpy as np

from ich_tf import files, labels, typed_json

HIGHEST = 60
"""Pixels of a slice whose mean probability is its score."""

_FLOOR = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Slope and intercept of each class, in the order of `labels.CLASSES`.

    Attributes:
        slices: (6, 2), of the log-odds of a slice's score.
        scan: (6, 2), of the logarithm of the sum of a scan's scores.
    """

    slices: np.ndarray
    scan: np.ndarray

    def probabilities(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of slices (z, 6) and of the scan (6,), float32.

        No subtype is more probable than any hemorrhage.

        Args:
            scores: (z, 6), from `scores`.
        """
        of_slices = _logistic(log_odds(scores), self.slices)
        of_scan = _logistic(log_sums(scores[np.newaxis]), self.scan)[0]
        for values in (of_slices, of_scan):
            values[..., :-1] = np.minimum(values[..., :-1], values[..., -1:])
        return of_slices, of_scan


def scores(answers: np.ndarray) -> np.ndarray:
    """The score of each slice and class.

    Args:
        answers: (z, h, w, 6), probabilities of background and `labels.SUBTYPES`.

    Returns:
        (z, 6), float32, in the order of `labels.CLASSES`.
    """
    depth, height, width, _ = answers.shape
    count = min(HIGHEST, height * width)
    maps = np.concatenate([answers[..., 1:], 1 - answers[..., :1]], axis=-1)
    flat = maps.reshape(depth, height * width, -1)
    highest = np.partition(flat, height * width - count, axis=1)[:, -count:]
    return highest.mean(axis=1).astype(np.float32)


def log_odds(scores: np.ndarray) -> np.ndarray:
    """Log-odds of scores, same shape; scores below 1e-5 count as that."""
    inside = np.clip(scores.astype(np.float64), _FLOOR, 1 - _FLOOR)
    return np.log(inside / (1 - inside))


def log_sums(scores: np.ndarray) -> np.ndarray:
    """(scans, classes), logarithm of the sums of (scans, z, classes) scores."""
    return np.log(scores.astype(np.float64).sum(axis=1) + _FLOOR)


def _logistic(values: np.ndarray, lines: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-(values * lines[:, 0] + lines[:, 1])))).astype(np.float32)


def fit_line(values: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of a logistic regression of one value.

    Args:
        values: (n,).
        truth: (n,), bool.

    Returns:
        Slope, not below 0, and intercept. With truth of one kind only, a slope of 0
        and the intercept of one example more of each kind.
    """
    truth = np.asarray(truth, bool)
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return 0.0, float(np.log((positive + 1) / (negative + 1)))
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=10.0).fit(np.asarray(values)[:, None], truth)
    return max(0.0, float(fitted.coef_[0, 0])), float(fitted.intercept_[0])


def save(path: str | os.PathLike, calibration: Calibration, states: str) -> None:
    """Write a JSON file.

    Args:
        path: The file.
        calibration: What to write.
        states: On which data it was fitted.
    """
    content = {
        "fitted_on": states,
        "classes": list(labels.CLASSES),
        "slices": calibration.slices.round(4).tolist(),
        "scan": calibration.scan.round(4).tolist(),
    }
    files.write_json(path, content)


@dataclasses.dataclass(frozen=True)
class _Lines:
    """What the file holds: slope and intercept of each class."""

    slices: list[list[float]]
    scan: list[list[float]]


def load(path: str | os.PathLike) -> Calibration:
    """Read what `save` wrote.

    Raises:
        ValueError: if the file is absent or damaged; the message names it.
    """
    path = pathlib.Path(path)
    try:
        content = typed_json.read(path, _Lines)
    except FileNotFoundError as error:
        raise ValueError(f"{path} is absent.") from error
    for lines in (content.slices, content.scan):
        if [len(line) for line in lines] != [2] * len(labels.CLASSES):
            raise ValueError(f"{path} is damaged: it needs six pairs of numbers.")
    return Calibration(np.array(content.slices), np.array(content.scan))
