"""How a row of the related work is made: a method without a network, fold by fold."""

import logging
from collections.abc import Callable

import numpy as np

from ich_tf.experiments import runner
from ich_tf.experiments.runner import Run
from ich_tf.experiments.tasks import segmentation
from ich_tf.models import classical

LOGGER = logging.getLogger(__name__)

folds = segmentation.folds
built_on = segmentation.built_on
evaluate = segmentation.evaluate
summarise = segmentation.summarise
stored_predictions = segmentation.stored_predictions


def check_applies(run: Run) -> None:
    """Refuse data without Hounsfield units beyond the brain window.

    Raises:
        DoesNotApply: if the volumes are saturated below bone (JPG).
    """
    first = run.dataset.load(next(iter(run.fingerprint["cases"])))
    window = first.volume.hu_window
    if window is not None and window[1] < classical.BONE_HU:
        raise runner.DoesNotApply(
            f"{run.experiment.method} finds the skull above {classical.BONE_HU:g} HU, "
            f"but the volume was saturated at {window[1]:g} HU."
        )


def train(run: Run, number: int, *, say: Callable[[str], None], **mode) -> tuple:
    """The method, fitted to the training cases of a fold where it learns.

    Returns:
        A function from HU to a mask or probabilities, no history, and no
        initialisation ("random").
    """
    method = run.experiment.method
    if method in classical.METHODS:
        return classical.METHODS[method], [], "random"
    fold = run.folds[number]
    cases = (
        (case.volume.hu, case.mask)
        for case in segmentation.cases(run, (*fold.train, *fold.validation))
    )
    say(f"{run.experiment.id}: fitting {method}")
    return classical.fit_voxels(method, cases, run.seed), [], "random"


def predictor(run: Run, model) -> Callable[[np.ndarray], np.ndarray]:
    """From HU (z, h, w) to probabilities of the same shape; a mask gives 0 and 1."""
    return lambda hu: np.asarray(model(hu), np.float32)


def forecast(run: Run, say: Callable[[str], None] = LOGGER.info) -> runner.Forecast:
    """Little: seconds a head, no weights."""
    return runner.Forecast(0.0, 1.0, 0.0)
