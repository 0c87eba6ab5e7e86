"""The networks of a classifier: how they are built, and trained fold by fold."""

import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ich_tf import models
from ich_tf.experiments import runner, spec
from ich_tf.experiments.runner import Run
from ich_tf.experiments.settings import ClassifierSettings, TrainingStage
from ich_tf.experiments.task import Say, TrainedFold
from ich_tf.experiments.tasks import segmentation, slice_data
from ich_tf.models import published_weights, sequence
from ich_tf.preprocessing import augment, tensor_augment
from ich_tf.preprocessing.classification import image_pipeline, images, sequences
from ich_tf.synthetic import painting
from ich_tf.training import checkpoint, fit, plans


def slice_network(row: spec.Row, settings: ClassifierSettings) -> tuple[str, dict]:
    """Name and arguments of a row's slice network, as `models.build` takes them."""
    name = settings.network.get("model", row.model)
    return name, {
        **row.arguments,
        **settings.network.get("arguments", {}),
        "input_shape": (settings.size, settings.size, 3),
        "mean": images.MEAN,
        "standard_deviation": images.STANDARD_DEVIATION,
    }


def sequence_arguments(run: Run) -> dict[str, Any]:
    """Arguments of `sequence.build_sequence`, without features and components."""
    return {**run.experiment.sequence, **run.profile.sequence_arguments}


def slice_run(run: Run) -> Run:
    """The run whose slice network a sequence model builds on."""
    return runner.other_row(run, run.experiment.slices_from)


def load_sequence(run: Run, features: int):
    """The trained sequence model of the first fold of a finished run.

    Args:
        run: The run.
        features: Features of a slice.
    """
    model = sequence.build_sequence(features, **sequence_arguments(run))
    checkpoint.load_weights(model, run.fold_folder(0) / checkpoint.FINAL)
    return model


def plan_of(run: Run, stage: TrainingStage, steps_of_a_pass: int) -> plans.Plan:
    """The training of one network.

    Args:
        run: The run.
        stage: The network's settings.
        steps_of_a_pass: Batches in one pass over the data.
    """
    return plans.Plan(
        epochs=stage.epochs * stage.parts,
        steps_per_epoch=stage.steps_per_epoch or max(1, steps_of_a_pass // stage.parts),
        batch=stage.batch,
        learning_rate=stage.learning_rate,
        schedule=stage.schedule,
        precision=stage.precision,
        seed=run.seed,
        devices=run.devices,
        cpu_layers=run.profile.cpu_layers,
    )


def build_slices(run: Run, plan: plans.Plan, say: Say) -> tuple[Any, str]:
    """The compiled slice network and the initialisation that could be had.

    Raises:
        WeightsUnavailable: if the row's weights cannot be had and the profile does not
            allow random ones.
    """
    name, arguments = slice_network(run.experiment, run.profile)
    init = arguments.get("init", "random")
    plans.start(plan)
    try:
        model = models.build(name, **arguments, weights_dir=run.folders.weights)
    except published_weights.WeightsUnavailable as error:
        init = segmentation.random_init(run, error, say)
        plans.start(plan)
        model = models.build(name, **{**arguments, "init": init})
    plans.compile_model(model, run.experiment.loss, plan)
    return model, init


def build_sequence(
    run: Run, plan: plans.Plan, features: int, pca: Mapping | None
) -> Any:
    """The compiled sequence model.

    Args:
        run: The run.
        plan: Sets precision and seed before the model is built.
        features: Features of a slice.
        pca: Principal components, from `sequence.fit_pca`; None leaves them random.
    """
    plans.start(plan)
    model = sequence.build_sequence(features, pca=pca, **sequence_arguments(run))
    plans.compile_model(model, sequence.scan_loss(), plan)
    return model


def train_slices(
    run: Run, number: int, *, resume: bool, fresh: bool, say: Say
) -> TrainedFold:
    """Train the slice network of one fold; arguments as of `Task.train`."""
    learned = None
    if run.experiment.pretraining:
        learned = _pretrain(run, number, say)
    source = slice_data.shards(run, number, slice_data.TRAIN, say)
    stage = run.profile.slices
    plan = plan_of(run, stage, image_pipeline.steps_per_epoch(source, stage.batch))
    model, init = build_slices(run, plan, say)
    if learned:
        checkpoint.load_weights(model, learned)
    spec_of_fold, interrupted = runner.begin_fold(
        run, number, init=init, resume=resume, fresh=fresh, say=say
    )
    history = fit.fit(
        model,
        image_batches(run, source, plan),
        None,
        plan,
        run.fold_folder(number),
        spec=spec_of_fold,
        resume=interrupted,
    )
    return TrainedFold(model, history, init)


def train_sequence(
    run: Run, number: int, *, resume: bool, fresh: bool, say: Say
) -> TrainedFold:
    """Train the sequence model of one fold, after its slice network.

    Arguments as of `Task.train`.
    """
    slices = slice_run(run)
    init = runner.execute(slices, say=say).init
    scans = slice_data.features(slices, number, slice_data.TRAIN)
    stage = run.profile.sequence
    plan = plan_of(run, stage, sequences.steps_per_epoch(scans, stage.batch))
    components = sequence_arguments(run)["components"]
    pca = sequence.fit_pca(_in_parts(scans.features), components)
    model = build_sequence(run, plan, scans.features.shape[1], pca)

    def batches(first_step: int, last_step: int):
        return sequences.training_batches(
            scans,
            batch=plan.batch,
            first_step=first_step,
            last_step=last_step,
            seed=run.seed,
        )

    spec_of_fold, interrupted = runner.begin_fold(
        run, number, init=init, resume=resume, fresh=fresh, say=say
    )
    history = fit.fit(
        model,
        batches,
        None,
        plan,
        run.fold_folder(number),
        spec=spec_of_fold,
        resume=interrupted,
    )
    return TrainedFold(model, history, init)


def image_batches(run: Run, source, plan: plans.Plan) -> Callable[[int, int], Any]:
    """From first step (inclusive) and last step (exclusive) to batches of images.

    On a TPU the batches are made by TensorFlow alone, without Python.
    """
    name = run.profile.augmentation
    if run.devices.are_tpu:
        change = {"tensor_augment": tensor_augment.image_augmenter(name)}
    else:
        change = {"augment": augment.image_augmenter(name)}

    def batches(first_step: int, last_step: int):
        return image_pipeline.training_batches(
            source,
            batch=plan.batch,
            first_step=first_step,
            last_step=last_step,
            seed=run.seed,
            **change,
        )

    return batches


def _pretrain(run: Run, number: int, say: Say) -> pathlib.Path:
    """Train on painted slices, or resume that; return the file of weights."""
    source = slice_data.painted_shards(run, number, say)
    stage = run.experiment.pretraining
    plan = plan_of(run, stage, image_pipeline.steps_per_epoch(source, stage.batch))
    model, _ = build_slices(run, plan, say)
    # Outside the fold's folder, which is emptied when its own training begins.
    folder = run.folder / f"pretraining-{number}"
    wanted = {**run.fold_spec(number), "painting": painting.VERSION}
    say(f"{run.experiment.id}: fold {number}, training on painted slices")
    fit.fit(
        model,
        image_batches(run, source, plan),
        None,
        plan,
        folder,
        spec=wanted,
        resume=checkpoint.stored_spec(folder) == wanted,
    )
    return folder / checkpoint.FINAL


def _in_parts(features: np.ndarray, rows: int = 4096) -> Iterator[np.ndarray]:
    for first in range(0, len(features), rows):
        yield np.asarray(features[first : first + rows])
