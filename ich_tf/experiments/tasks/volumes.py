"""How a row of a 3-D network is trained and evaluated: as in 2-D, but for the data.

Training takes patches of volumes (as large as the whole volume, if memory allows).
"""

import functools
import logging
import pathlib
from collections.abc import Callable

import numpy as np

from ich_tf import files, models
from ich_tf.data import splits
from ich_tf.experiments import profiles, provenance, runner, spec
from ich_tf.experiments.runner import Run
from ich_tf.experiments.tasks import segmentation
from ich_tf.experiments.tasks.segmentation import evaluate, folds, summarise
from ich_tf.models import layers
from ich_tf.prediction import segment
from ich_tf.preprocessing import augment
from ich_tf.preprocessing.segmentation import patches, pipeline
from ich_tf.training import distribute, loop

__all__ = ["evaluate", "folds", "summarise"]

LOGGER = logging.getLogger(__name__)
MEMORY, CONTAINER = pathlib.Path("/proc/meminfo"), pathlib.Path("/sys/fs/cgroup")


def check_applies(run: Run) -> None:
    """Refuse a row that the data or the memory cannot serve, before it is trained.

    Raises:
        DoesNotApply: if the row needs HU and the data are saturated windows (JPG), or
            if a training step on the CPU takes more memory than is free.
        ValueError: if the first case cannot be read.
    """
    segmentation.check_applies(run)
    if distribute.is_tpu():
        raise runner.DoesNotApply(
            "Python cuts the patches, so a TPU cannot train on them."
        )
    if runner.state_of(run) == "finished" or loop.device_name():
        return
    needed, free = _estimated_gigabytes(run), _free_gigabytes()
    if free is not None and needed > free:
        raise runner.DoesNotApply(
            f"A training step takes about {needed:.1f} GB of memory, and {free:.1f} "
            "GB are free. volume3d/add-remat takes least; a smaller patch in "
            "`profiles.VOLUME_PROFILES` takes less."
        )


def built_on(run: Run) -> Run | None:
    """The run whose weights this row has, if it is not trained itself."""
    name = run.experiment.trained_as
    if name is None:
        return None
    (row,) = spec.find(name)
    profile = profiles.profile(row.task, run.profile.name).for_row(row.id)
    return Run(row, profile, run.dataset, run.folders, run.seed)


def train(
    run: Run,
    number: int,
    *,
    resume: bool = False,
    fresh: bool = False,
    say: Callable[[str], None] = LOGGER.info,
):
    """Train one fold, or measure a row that has a finished one's weights.

    Returns:
        The model with its best weights, its history and the initialisation it had. An
        epoch of a measured row takes the other's seconds times the ratio of a step of
        each, measured here one after the other.

    Raises:
        ValueError: if `resume` is set and there is nothing to resume.
    """
    gigabytes = _estimated_gigabytes(run)
    say(f"{run.experiment.id}: a step takes about {gigabytes:.1f} GB of memory")
    before = _finished_before(run)
    if before is None:
        return segmentation.train(run, number, resume=resume, fresh=fresh, say=say)
    say(f"{run.experiment.id}: measured, with the weights of {before.experiment.id}")
    plan, sampler, _ = training_data(run, run.folds[number])
    _, _, other = _step(before, plan, sampler, say)
    provenance.restart_memory_peak()
    model, init, own = _step(run, plan, sampler, say)
    own_file = run.fold_folder(number) / loop.FINAL
    own_file.parent.mkdir(parents=True, exist_ok=True)
    files.link(before.fold_folder(number) / loop.FINAL, own_file)
    loop.load_weights(model, own_file)
    trained = files.read_json(before.file)["history"][number]
    ratio = own / other
    history = [
        {**epoch, "seconds": round(ratio * epoch["seconds"], 2)} for epoch in trained
    ]
    return model, history, init


def _step(run: Run, plan: loop.Plan, sampler, say) -> tuple:
    """The model as built, its initialisation, and seconds of a training step."""
    model, init = build(run, plan, say)
    return model, init, loop.estimate(model, sampler(0, 4), plan).seconds_per_step


def training_data(run: Run, fold: splits.Fold):
    """The plan, from first and last step to batches, and the validation batches."""
    profile = run.profile
    change = augment.augmenter(profile.augmentation)

    def batches(part, first, last, seed, augmenter):
        case_ids = getattr(fold, part)
        source = patches.volumes(segmentation.stored_slices(run, case_ids, "all"))

        def load(step):
            return patches.batch(
                source,
                profile.patch,
                segmentation.channels(run),
                size=profile.batch,
                step=int(step),
                seed=seed,
                lesion_share=profile.lesion_share,
                augment=augmenter,
            )

        shape = (profile.batch, *profile.patch)
        return pipeline.of_steps(load, first, last, shape, run.experiment.channels)

    def sampler(first_step: int, last_step: int):
        return batches("train", first_step, last_step, run.seed, change)

    validation = batches("validation", 0, profile.validation_steps, run.seed, None)
    return _plan(run), sampler, validation


def build(run: Run, plan: loop.Plan, say: Callable[[str], None]) -> tuple:
    """The compiled model, and "random": there are no weights to start from."""
    loop.start(plan)
    model = _model(run)
    loop.compile_model(model, run.experiment.loss, plan, [loop.SoftJaccard()])
    return model, "random"


def predictor(run: Run, model) -> Callable[[np.ndarray], np.ndarray]:
    """From HU (z, h, w) to probabilities of the same shape."""
    return functools.partial(
        segment.predict_in_patches,
        model.predict_on_batch,
        segmentation.channels(run),
        patch=run.profile.patch,
        overlap=run.profile.overlap,
    )


def forecast(run: Run, say: Callable[[str], None] = LOGGER.info) -> runner.Forecast:
    """Build the network, measure three training steps and reckon up."""
    plan, sampler, validation = training_data(run, run.folds[0])
    model, _ = build(run, plan, say)
    batches = plan.steps_per_epoch + int(validation.cardinality()) / 3
    seconds = loop.estimate(model, sampler(0, 4), plan).seconds_per_step
    hours = seconds * batches * plan.epochs * len(run.folds) / 3600
    if _finished_before(run):
        hours = seconds * 4 * len(run.folds) / 3600
    disk = segmentation.disk_gigabytes(run, model)
    return runner.Forecast(hours, _estimated_gigabytes(run), disk)


def _finished_before(run: Run) -> Run | None:
    """The run whose weights this row can take over, None if it must be trained.

    Where memory is too small for the other row, this one is trained itself.
    """
    before = built_on(run)
    return before if before and runner.state_of(before) == "finished" else None


def _plan(run: Run) -> loop.Plan:
    profile = run.profile
    return loop.Plan(
        epochs=profile.epochs,
        steps_per_epoch=profile.steps_per_epoch,
        batch=profile.batch,
        learning_rate=profile.learning_rate,
        schedule=profile.schedule,
        output_bias=profile.output_bias,
        precision=profile.precision,
        seed=run.seed,
    )


def _model(run: Run):
    return models.build(
        run.experiment.model,
        input_shape=(*run.profile.patch, run.experiment.channels),
        filters=run.profile.filters,
        **run.experiment.arguments,
    )


def _estimated_gigabytes(run: Run) -> float:
    policy = loop.precision_policy(run.profile.precision)
    return layers.training_gigabytes(_model(run), run.profile.batch, policy)


def _free_gigabytes() -> float | None:
    """Memory that a new process can have, in 10^9 bytes; None if it is not told."""
    try:
        lines = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines())
    except OSError:
        return None
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        limit, used, parts = (
            (CONTAINER / f"memory.{name}").read_text()
            for name in ("max", "current", "stat")
        )
        # Files that were read lately count as used, and are given up when needed.
        cached = int(dict(line.split() for line in parts.splitlines())["inactive_file"])
        free = min(free, int(limit) - int(used) + cached)
    except (OSError, ValueError, KeyError):
        pass  # In no container, or in one without a limit ("max").
    return free / 1e9
