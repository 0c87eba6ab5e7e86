"""What a segmentation network trains on: crops of slices that are stored on disk."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ich_tf.experiments import provenance
from ich_tf.experiments.runner import Run
from ich_tf.experiments.tasks.masks import cases
from ich_tf.preprocessing import augment, tensor_augment, windows
from ich_tf.preprocessing.segmentation import pipeline, slices, tensor_pipeline, tiles
from ich_tf.training import plans


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What the training loop takes.

    Attributes:
        plan: Length and hyperparameters of the training.
        batches: From first step (inclusive) and last step (exclusive) to their
            batches.
        validation: Batches after every epoch; None leaves validation out.
    """

    plan: plans.Plan
    batches: Callable[[int, int], Any]
    validation: Any


def channels(run: Run) -> Callable[[np.ndarray], np.ndarray]:
    """From Hounsfield units to the network's input channels."""
    return functools.partial(
        windows.channels,
        approach=run.experiment.approach,
        count=run.experiment.channels,
    )


def stored_slices(run: Run, case_ids: Iterable[str], rule: str) -> slices.Slices:
    """The cases' slices on disk, written if they are absent.

    Args:
        run: The run.
        case_ids: The cases.
        rule: Name in `slices.RULES`.
    """
    key = provenance.digest(
        [run.fingerprint, case_ids, run.profile.size, rule, run.seed]
    )
    with run.devices.chief_first():
        return slices.store(
            run.folders.results / run.profile.name / "slices" / key,
            cases(run, case_ids),
            functools.partial(slices.RULES[rule], seed=run.seed),
        )


def crops_of(run: Run, train: slices.Slices, validation: slices.Slices) -> TrainingData:
    """Plan and batches of crops of stored slices."""
    profile = run.profile
    grid = tiles.TileGrid(profile.size, profile.size, profile.tile, profile.stride)
    crops = {
        part: pipeline.crops(
            stored,
            grid.positions,
            profile.tile,
            profile.crops,
            training=part == "train",
        )
        for part, stored in (("train", train), ("validation", validation))
    }
    plan = plans.Plan(
        epochs=profile.epochs,
        steps_per_epoch=profile.steps_per_epoch
        or pipeline.steps_per_epoch(crops["train"], profile.batch),
        batch=profile.batch,
        learning_rate=profile.learning_rate,
        schedule=profile.schedule,
        warmup_steps=profile.warmup_steps,
        decay=profile.decay,
        batch_norm_momentum=profile.batch_norm_momentum,
        output_bias=profile.output_bias,
        seed=run.seed,
        devices=run.devices,
        cpu_layers=run.profile.cpu_layers,
        patience=profile.patience,
        keep_last=profile.keep_last,
    )
    return TrainingData(plan, *crop_batches(run, crops["train"], crops["validation"]))


def crop_batches(run: Run, training_crops, validation_crops) -> tuple:
    """Training batches by step, and validation batches or None.

    On a TPU the batches are made by TensorFlow alone, without Python.
    """
    profile = run.profile
    common = {"channels": run.experiment.channels, "batch": profile.batch}
    if run.devices.are_tpu:
        to_channels = windows.approach_windows(run.experiment.approach)
        change = tensor_augment.augmenter(profile.augmentation)
        make = tensor_pipeline.training_batches
        validate = tensor_pipeline.validation_batches
    else:
        to_channels = channels(run)
        change = augment.augmenter(profile.augmentation)
        make, validate = pipeline.training_batches, pipeline.validation_batches

    def batches(first_step: int, last_step: int):
        return make(
            training_crops,
            to_channels,
            first_step=first_step,
            last_step=last_step,
            seed=run.seed,
            lesion_share=profile.lesion_share,
            augment=change,
            **common,
        )

    limit = profile.validation_crops
    if limit == 0:
        return batches, None
    return batches, validate(validation_crops, to_channels, limit=limit, **common)
