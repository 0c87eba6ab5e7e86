"""A row that adds subtypes to a shipped network of one class, whose mask stays."""

from ich_tf import models
from ich_tf.experiments import runner
from ich_tf.experiments.runner import Run
from ich_tf.experiments.task import Forecast, Say, TrainedFold
from ich_tf.experiments.tasks import real_heads_data
from ich_tf.experiments.tasks.real_heads import RealHeadsTask
from ich_tf.models import subtype_head, weights, widen
from ich_tf.preprocessing import augment
from ich_tf.preprocessing.segmentation import scan_crops
from ich_tf.training import checkpoint, plans

PIXELS_PER_IMAGE = 70
SEED = 21
"""Of the crops and pixels, apart from the paint's."""


class SubtypeHeadTask(RealHeadsTask):
    """A linear head of subtypes on the features of a shipped network."""

    def train(
        self,
        run: Run,
        number: int,
        *,
        resume: bool = False,
        fresh: bool = False,
        say: Say,
    ) -> TrainedFold:
        """Fit the head; it takes minutes, so that there is nothing to resume."""
        profile, fold = run.profile, run.folds[number]
        plans.start(
            plans.Plan(1, 1, profile.batch, 0.0, seed=run.seed, devices=run.devices)
        )
        shape = (profile.tile, profile.tile, run.experiment.channels)
        model = models.build(
            run.experiment.model, input_shape=shape, **run.experiment.arguments
        )
        init = run.experiment.begins_with or "random"
        if run.experiment.begins_with is not None:
            small = weights.load_shipped(init, run.folders.weights)
            widen.transfer(small, model, seed=run.seed)
        runner.begin_fold(run, number, init=init, resume=False, fresh=True, say=say)
        batches = scan_crops.batches(
            scan_crops.source(real_heads_data.stored(run, fold.train, profile.copies)),
            None,
            real_heads_data.recipe(run),
            augment.augmenter(profile.augmentation),
            SEED,
            0,
            profile.steps_per_epoch,
        )
        drawn = subtype_head.samples(model, batches, PIXELS_PER_IMAGE, SEED)
        share = subtype_head.fit(model, *drawn)
        folder = run.fold_folder(number)
        folder.mkdir(parents=True, exist_ok=True)
        weights.save_weights(model, folder / checkpoint.FINAL)
        history = [{"epoch": 1, "right_subtype": round(share, 4), "seconds": 0.0}]
        return TrainedFold(model, history, init)

    def forecast(self, run: Run, say: Say) -> Forecast:
        """Painting and one forward pass over the crops, as they were once timed."""
        return Forecast(0.2, 2.0, 2.0)
