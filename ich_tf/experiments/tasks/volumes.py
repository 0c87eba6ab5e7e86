"""Rows of a 3-D segmentation network, trained on patches of volumes."""

import dataclasses
import functools
import pathlib
from typing import Any

from ich_tf import files, models
from ich_tf.data import splits
from ich_tf.experiments import provenance, runner
from ich_tf.experiments.mask_results import MaskResult
from ich_tf.experiments.runner import Run
from ich_tf.experiments.task import DoesNotApply, Forecast, Say, TrainedFold
from ich_tf.experiments.tasks import crop_data, segmentation
from ich_tf.experiments.tasks.crop_data import TrainingData
from ich_tf.experiments.tasks.masks import Predict
from ich_tf.experiments.tasks.segmentation import SegmentationTask
from ich_tf.models import memory as step_memory
from ich_tf.prediction import segment
from ich_tf.preprocessing import augment, host_batches
from ich_tf.preprocessing.segmentation import patches
from ich_tf.training import checkpoint, fit, plans, precision

MEMORY, CONTAINER = pathlib.Path("/proc/meminfo"), pathlib.Path("/sys/fs/cgroup")


class VolumesTask(SegmentationTask):
    """A network on patches as deep as memory allows, at best whole volumes."""

    sweeps_protocols = "has no crops in slices, which one convention averages"

    def check(self, run: Run) -> None:
        """Refuse saturated windows, a TPU, and a step that exceeds free memory."""
        super().check(run)
        if run.devices.are_tpu:
            raise DoesNotApply(
                "Python cuts the patches, so a TPU cannot train on them."
            )
        if runner.state_of(run) == "finished" or precision.device_name():
            return
        needed, free = _estimated_gb(run), free_gb()
        if free is not None and needed > free:
            raise DoesNotApply(
                f"A training step takes about {needed:.1f} GB of memory, and "
                f"{free:.1f} GB are free. volume3d/add-remat takes least; a smaller "
                "`patch` in experiments/rows/volume3d.py takes less."
            )

    def check_weights(self, run: Run) -> None:
        """3-D networks begin with random weights: there is nothing to look for."""

    def depends_on(self, run: Run) -> Run | None:
        """The run whose weights this row takes over, if it is not trained itself."""
        if run.experiment.trained_as is None:
            return None
        return runner.other_row(run, run.experiment.trained_as)

    def train(
        self,
        run: Run,
        number: int,
        *,
        resume: bool = False,
        fresh: bool = False,
        say: Say,
    ) -> TrainedFold:
        """Train one fold, or measure a row that takes over another row's weights.

        An epoch of a measured row lasts as long as the other row's epoch times the
        ratio of their steps, which are timed here one after the other.
        """
        gigabytes = _estimated_gb(run)
        say(f"{run.experiment.id}: a step takes about {gigabytes:.1f} GB of memory")
        deeper, every = deeper_than_patch(run)
        say(
            f"{run.experiment.id}: {deeper} of {every} volumes are deeper than a patch "
            f"of {run.profile.patch[0]} slices and are predicted from several"
        )
        source = self._finished_source(run)
        if source is None:
            return super().train(run, number, resume=resume, fresh=fresh, say=say)
        return self._measure(run, source, number, say)

    def _measure(self, run: Run, source: Run, number: int, say: Say) -> TrainedFold:
        name = source.experiment.id
        say(f"{run.experiment.id}: measured, with the weights of {name}")
        data = self.training_data(run, run.folds[number])
        _, _, other_seconds = self.timed_step(source, data, say)
        provenance.restart_memory_peak()
        model, init, own_seconds = self.timed_step(run, data, say)
        own_file = run.fold_folder(number) / checkpoint.FINAL
        own_file.parent.mkdir(parents=True, exist_ok=True)
        files.link(source.fold_folder(number) / checkpoint.FINAL, own_file)
        checkpoint.load_weights(model, own_file)
        trained = runner.load(source).history[number]
        ratio = own_seconds / other_seconds
        history = [
            {**epoch, "seconds": round(ratio * epoch["seconds"], 2)}
            for epoch in trained
        ]
        return TrainedFold(model, history, init)

    def timed_step(self, run: Run, data: TrainingData, say: Say) -> tuple:
        """The built model, its initialisation, and seconds of a training step."""
        model, init = self.build(run, data.plan, say)
        expected = fit.estimate(model, data.batches(0, 4), data.plan)
        return model, init, expected.seconds_per_step

    def training_data(self, run: Run, fold: splits.Fold) -> TrainingData:
        """Patches of all slices of the fold's cases."""
        profile = run.profile
        change = augment.augmenter(profile.augmentation)

        def batches_of(case_ids, first, last, seed, augmenter):
            stored = crop_data.stored_slices(run, case_ids, "all")
            load = patches.PatchBatches(
                patches.volumes(stored),
                profile.patch,
                crop_data.channels(run),
                size=profile.batch,
                seed=seed,
                lesion_share=profile.lesion_share,
                augment=augmenter,
            )
            return host_batches.of_steps(
                load,
                first,
                last,
                (profile.batch, *profile.patch),
                run.experiment.channels,
                # Validation is read again after every epoch.
                threads=augmenter is None,
            )

        def batches(first_step: int, last_step: int):
            return batches_of(fold.train, first_step, last_step, run.seed, change)

        steps = profile.validation_steps
        validation = batches_of(fold.validation, 0, steps, run.seed, None)
        return TrainingData(_plan(run), batches, validation)

    def build(self, run: Run, plan: plans.Plan, say: Say) -> tuple[Any, str]:
        """The compiled model, and "random": there are no weights to start from."""
        plans.start(plan)
        model = _model(run)
        plans.compile_model(model, run.experiment.loss, plan, [plans.SoftJaccard()])
        return model, "random"

    def predictor(self, run: Run, model: Any) -> Predict:
        """From Hounsfield units to probabilities, joined from overlapping patches."""
        return functools.partial(
            segment.predict_in_patches,
            model.predict_on_batch,
            crop_data.channels(run),
            patch=run.profile.patch,
            overlap=run.profile.overlap,
        )

    def forecast(self, run: Run, say: Say) -> Forecast:
        """Measure three steps; memory is the estimate for the whole graph."""
        expected = super().forecast(run, say)
        return dataclasses.replace(expected, memory_gb=_estimated_gb(run))

    def steps_of_fold(self, run: Run, data: TrainingData) -> float:
        """Training steps of a fold; a measured row runs four of them."""
        if self._finished_source(run):
            return 4
        return super().steps_of_fold(run, data)

    def describe(self, run: Run, result: MaskResult) -> dict:
        """Architecture, preprocessing and score of the network."""
        profile, row = run.profile, run.experiment
        return {
            "build": {"name": row.model, "kwargs": _arguments(run)},
            "preprocessing": {
                "approach": row.approach,
                "channels": row.channels,
                "size": profile.size,
                "patch": profile.patch,
                "overlap": profile.overlap,
            },
            "metric": segmentation.dice_of_volumes(result, run.fingerprint["identity"]),
        }

    def precision(self, run: Run) -> str:
        """The profile's."""
        return run.profile.precision

    def _finished_source(self, run: Run) -> Run | None:
        """The finished run whose weights this row takes over; None to train it.

        Where memory is too small for the other row, this one is trained itself.
        """
        source = self.depends_on(run)
        return source if source and runner.state_of(source) == "finished" else None


def deeper_than_patch(run: Run) -> tuple[int, int]:
    """Number of volumes that do not fit one patch from foot to head, and of all."""
    slices = [facts["slices"] for facts in run.fingerprint["cases"].values()]
    return sum(count > run.profile.patch[0] for count in slices), len(slices)


def _plan(run: Run) -> plans.Plan:
    profile = run.profile
    return plans.Plan(
        epochs=profile.epochs,
        steps_per_epoch=profile.steps_per_epoch,
        batch=profile.batch,
        learning_rate=profile.learning_rate,
        schedule=profile.schedule,
        warmup_steps=profile.warmup_steps,
        output_bias=profile.output_bias,
        precision=profile.precision,
        seed=run.seed,
        devices=run.devices,
        cpu_layers=profile.cpu_layers,
        patience=profile.patience,
        keep_last=profile.keep_last,
    )


def _arguments(run: Run) -> dict[str, Any]:
    return {
        "input_shape": (*run.profile.patch, run.experiment.channels),
        "filters": run.profile.filters,
        **run.experiment.arguments,
    }


def _model(run: Run):
    return models.build(run.experiment.model, **_arguments(run))


def _estimated_gb(run: Run) -> float:
    """Memory of a training step, in 10^9 bytes."""
    policy = precision.precision_policy(run.profile.precision)
    needed = step_memory.training_gigabytes(_model(run), run.profile.batch, policy)
    return needed + step_memory.PROCESS_GIGABYTES


def free_gb(
    memory: pathlib.Path = MEMORY, container: pathlib.Path = CONTAINER
) -> float | None:
    """Memory that this process can still take, in 10^9 bytes.

    Args:
        memory: The kernel's table of memory (Linux).
        container: Folder of the control group's limits.

    Returns:
        None where the system has no such table.
    """
    try:
        lines = dict(line.split(":", 1) for line in memory.read_text().splitlines())
    except OSError:
        return None
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        limit, used, parts = (
            (container / f"memory.{name}").read_text()
            for name in ("max", "current", "stat")
        )
        # Recently read files count as used, and are given up when needed.
        cached = int(dict(line.split() for line in parts.splitlines())["inactive_file"])
        free = min(free, int(limit) - int(used) + cached)
    except (OSError, ValueError, KeyError):
        pass  # In no container, or in one without a limit ("max").
    return free / 1e9
