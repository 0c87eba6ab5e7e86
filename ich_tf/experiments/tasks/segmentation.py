"""Rows of a 2-D segmentation network: Tables II and III."""

import functools
from typing import Any

from ich_tf import files, models
from ich_tf.data import splits
from ich_tf.experiments import runner
from ich_tf.experiments.mask_results import MaskResult
from ich_tf.experiments.runner import Run
from ich_tf.experiments.task import (
    Forecast,
    Say,
    TrainedFold,
    applying,
    weights_bytes,
)
from ich_tf.experiments.tasks import crop_data
from ich_tf.experiments.tasks.crop_data import TrainingData
from ich_tf.experiments.tasks.masks import MaskTask, Predict
from ich_tf.metrics import display
from ich_tf.models import backbones, published_weights
from ich_tf.prediction import segment
from ich_tf.preprocessing import windows
from ich_tf.training import checkpoint, fit, plans
from ich_tf.volume import Case

BYTES_PER_PIXEL = 5
"""For a stored slice: Hounsfield units in float32, and the mask."""


class SegmentationTask(MaskTask):
    """A network on 2-D crops, joined from tiles or run on whole slices."""

    def check(self, run: Run) -> None:
        """Refuse data that are saturated within the row's windows (JPG)."""
        check_windows(run, run.dataset.load(next(iter(run.fingerprint["cases"]))))

    def check_weights(self, run: Run) -> None:
        """Fetch the ImageNet weights of the encoder, if the row begins with them."""
        if run.experiment.arguments.get("init") == "imagenet":
            _untrained(run, run.profile.tile)

    def train(
        self,
        run: Run,
        number: int,
        *,
        resume: bool = False,
        fresh: bool = False,
        say: Say,
    ) -> TrainedFold:
        """Train the network; the best epoch of the validation, or the last, is kept.

        A row that is the same training as its twin takes over the twin's weights.
        """
        data = self.training_data(run, run.folds[number])
        model, init = self.build(run, data.plan, say)
        twin = run.experiment.random_twin
        if twin is not None and init != run.experiment.wanted_init:
            return take_over(run, runner.other_row(run, twin), number, model, say)
        spec, interrupted = runner.begin_fold(
            run, number, init=init, resume=resume, fresh=fresh, say=say
        )
        history = fit.fit(
            model,
            data.batches,
            data.validation,
            data.plan,
            run.fold_folder(number),
            spec=spec,
            resume=interrupted,
        )
        return TrainedFold(model, history, init)

    def training_data(self, run: Run, fold: splits.Fold) -> TrainingData:
        """Crops of the fold's slices, which are stored on disk first."""
        rule = run.profile.slices
        return crop_data.crops_of(
            run,
            crop_data.stored_slices(run, fold.train, rule),
            crop_data.stored_slices(run, fold.validation, rule),
        )

    def build(self, run: Run, plan: plans.Plan, say: Say) -> tuple[Any, str]:
        """The compiled model, and the initialisation that could be had.

        Raises:
            WeightsUnavailable: if the row's ImageNet weights cannot be had and the
                profile does not allow random ones.
        """
        plans.start(plan)
        init = run.experiment.arguments.get("init", "random")
        try:
            model = _untrained(run, run.profile.tile)
        except published_weights.WeightsUnavailable as error:
            init = random_init(run, error, say)
            plans.start(plan)
            model = _untrained(run, run.profile.tile, imagenet=False)
        plans.compile_model(model, run.experiment.loss, plan, [plans.SoftJaccard()])
        return model, init

    def predictor(self, run: Run, model: Any) -> Predict:
        """From Hounsfield units to probabilities, through tiles or whole slices."""
        return functools.partial(segment.predict_volume, network(run, model))

    def forecast(self, run: Run, say: Say) -> Forecast:
        """Build the network and measure three training steps of the first fold."""
        data = self.training_data(run, run.folds[0])
        model, _ = self.build(run, data.plan, say)
        expected = fit.estimate(model, data.batches(0, 4), data.plan)
        seconds = expected.seconds_per_step * self.steps_of_fold(run, data)
        hours = seconds * len(run.folds) / 3600
        return Forecast(hours, expected.gigabytes, self.disk_gb(run, model))

    def steps_of_fold(self, run: Run, data: TrainingData) -> float:
        """Training steps of a fold, with validation in units of training steps."""
        steps = data.plan.steps_per_epoch
        if data.validation is not None:
            # A validation batch is one forward pass, a third of a training step.
            steps += int(data.validation.cardinality()) / 3
        return steps * data.plan.epochs

    def disk_gb(self, run: Run, model: Any) -> float:
        """Upper bound of weights and stored slices of all folds, in 10^9 bytes."""
        facts = run.fingerprint["cases"]
        stored = sum(
            facts[case_id]["slices"]
            for fold in run.folds
            for case_id in (*fold.train, *fold.validation)
        )
        pixels = BYTES_PER_PIXEL * stored * run.profile.size**2
        return (weights_bytes(run, model) + pixels) / 1e9

    def describe(self, run: Run, result: MaskResult) -> dict:
        """Architecture, preprocessing and score of the network."""
        profile, row = run.profile, run.experiment
        tile, stride = _inference_tiles(profile)
        shape = (tile, tile, row.channels)
        return {
            "build": {
                "name": row.model,
                "kwargs": {**row.arguments, "input_shape": shape},
            },
            "preprocessing": {
                "approach": row.approach,
                "channels": row.channels,
                "size": profile.size,
                "tile": tile,
                "stride": stride,
            },
            "metric": dice_of_volumes(result, run.fingerprint["identity"]),
        }

    def steps(self, run: Run) -> int:
        """Training steps of a fold, 0 where an epoch is one pass over all crops."""
        return (run.profile.steps_per_epoch or 0) * run.profile.epochs


def take_over(run: Run, source: Run, number: int, model: Any, say: Say) -> TrainedFold:
    """The weights and history of another row, which is run first if need be.

    Args:
        run: The run.
        source: The run of the other row.
        number: The fold's number.
        model: The untrained model, which gets the weights.
        say: Takes a line of progress.
    """
    say(f"{run.experiment.id}: same training as {source.experiment.id}")
    trained = runner.execute(source, say=say)
    own_file = run.fold_folder(number) / checkpoint.FINAL
    own_file.parent.mkdir(parents=True, exist_ok=True)
    files.link(source.fold_folder(number) / checkpoint.FINAL, own_file)
    checkpoint.load_weights(model, own_file)
    return TrainedFold(model, trained.history[number], trained.init)


def check_windows(run: Run, case: Case) -> None:
    """Refuse a case that was saturated within the row's windows.

    Raises:
        DoesNotApply: if it was.
    """
    needed = windows.approach_windows(run.experiment.approach)
    with applying():
        windows.check_window(case.volume.hu_window, needed)


def dice_of_volumes(result: MaskResult, identity: str) -> str:
    """Dice and false positives per volume, as the manifest of weights states them."""
    volume = result.summary["per_volume"]
    dice, alarm = volume["bleeding_dice"], volume["false_positive_ml"]
    return (
        f"Dice {display.with_interval(dice)}, mean per volume of the held-out heads "
        f"with hemorrhage of the {identity}; {display.with_interval(alarm)} ml of "
        "false positives in a head without"
    )


def random_init(
    run: Run, reason: published_weights.WeightsUnavailable, say: Say
) -> str:
    """Name of the random initialisation, where the wanted weights are unavailable.

    Args:
        run: The run.
        reason: Why they are unavailable.
        say: Takes a line of progress.

    Raises:
        WeightsUnavailable: `reason`, if the profile does not allow random weights.
    """
    if run.profile.is_full_scale:
        raise reason
    say(f"{run.experiment.id}: runs from random weights. {reason}")
    return "random"


def network(run: Run, model: Any, layer: str | None = None) -> segment.TiledNetwork:
    """The model with its preprocessing, ready for a volume.

    Where whole slices are predicted, the network is rebuilt at their size with the
    same weights.

    Args:
        run: The run.
        model: Its trained model.
        layer: Name of the layer whose features are wanted; see `segment.predictor`.
    """
    tile, stride = _inference_tiles(run.profile)
    whole = tile != run.profile.tile
    batch = segment.SLICES_AT_ONCE if whole else segment.TILES_PER_BATCH
    return segment.predictor(
        at_inference_size(run, model),
        crop_data.channels(run),
        tile,
        stride,
        batch,
        layer,
    )


def at_inference_size(run: Run, model: Any) -> Any:
    """The model for the tiles that are predicted, with the same weights."""
    tile, _ = _inference_tiles(run.profile)
    if tile == run.profile.tile:
        return model
    whole = _untrained(run, tile, imagenet=False, like=model)
    whole.set_weights(model.get_weights())
    return whole


def _inference_tiles(profile) -> tuple[int, int]:
    """Side and stride in pixels of the tiles that are predicted."""
    if profile.inference_stride is None:
        return profile.size, profile.size
    return profile.tile, profile.inference_stride


def _untrained(run: Run, side: int, *, imagenet: bool = True, like=None):
    """The row's network for squares, before training.

    Args:
        run: The run.
        side: Side of the squares in pixels.
        imagenet: Whether to load the ImageNet weights that the row wants; without
            them the network begins with random weights.
        like: Model whose input scaling to copy; scaling has no weights.

    Raises:
        WeightsUnavailable: if ImageNet weights are wanted and cannot be had.
    """
    arguments = dict(run.experiment.arguments)
    if arguments.get("init") == "imagenet":
        if imagenet:
            arguments["weights_dir"] = run.folders.weights
        else:
            arguments["init"] = "random"
        if like is not None:
            arguments["input_scaling"] = backbones.input_scaling_of(like)
    shape = (side, side, run.experiment.channels)
    return models.build(run.experiment.model, **arguments, input_shape=shape)
