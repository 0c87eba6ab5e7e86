"""Rows of the related work: a method without a network, fold by fold."""

from collections.abc import Callable

import numpy as np

from ich_tf.experiments.mask_results import MaskResult
from ich_tf.experiments.runner import Run
from ich_tf.experiments.task import DoesNotApply, Forecast, Say, TrainedFold
from ich_tf.experiments.tasks.masks import MaskTask, Predict, cases
from ich_tf.models import classical, voxels


class BaselineTask(MaskTask):
    """A method of `models.classical`, fitted to the training cases if it learns."""

    trains_network = False

    def check(self, run: Run) -> None:
        """Refuse volumes that are saturated below bone, as JPG files are."""
        first = run.dataset.load(next(iter(run.fingerprint["cases"])))
        window = first.volume.hu_window
        if window is not None and window[1] < classical.BONE_HU:
            raise DoesNotApply(
                f"{run.experiment.method} finds the skull above "
                f"{classical.BONE_HU:g} HU, but the volume was saturated at "
                f"{window[1]:g} HU."
            )

    def check_weights(self, run: Run) -> None:
        """There is nothing to look for."""

    def forecast(self, run: Run, say: Say) -> Forecast:
        """Seconds for each head, and no weights."""
        return Forecast(0.0, 1.0, 0.0)

    def train(
        self,
        run: Run,
        number: int,
        *,
        resume: bool = False,
        fresh: bool = False,
        say: Say,
    ) -> TrainedFold:
        """Fit the method where it learns; there is no state to resume.

        Returns:
            A function from Hounsfield units to a mask or probabilities, no history,
            and "random".
        """
        method = run.experiment.method
        if method in classical.METHODS:
            return TrainedFold(classical.METHODS[method], [], "random")
        fold = run.folds[number]
        known = (
            (case.volume.hu, case.mask)
            for case in cases(run, (*fold.train, *fold.validation))
        )
        say(f"{run.experiment.id}: fitting {method}")
        fitted = voxels.fit_voxels(method, known, run.seed)
        return TrainedFold(fitted, [], "random")

    def predictor(self, run: Run, model: Callable) -> Predict:
        """From Hounsfield units to probabilities; a mask gives 0 and 1."""
        return lambda hu: np.asarray(model(hu), np.float32)

    def describe(self, run: Run, result: MaskResult) -> dict:
        """A method without weights cannot be published.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"{run.experiment.id} has no weights to publish.")
