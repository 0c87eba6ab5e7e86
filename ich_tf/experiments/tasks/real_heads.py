"""The row behind `predict`: one network for mask, subtypes and probabilities.

Trained on whole painted scans and phantom heads with subtypes, with three neighbouring
slices as channels. It begins with the weights of a smaller network of one class.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ich_tf import models
from ich_tf.data import splits
from ich_tf.experiments.mask_results import RealHeadsResult
from ich_tf.experiments.runner import Run
from ich_tf.experiments.task import DoesNotApply, Say, applying
from ich_tf.experiments.tasks import (
    masks,
    painted_data,
    real_heads_data,
    real_heads_shipping,
    segmentation,
    weak_labels,
)
from ich_tf.experiments.tasks.crop_data import TrainingData
from ich_tf.experiments.tasks.painted import PaintedTask
from ich_tf.metrics import detection as scores
from ich_tf.metrics import painted_slices
from ich_tf.models import weights, widen
from ich_tf.prediction import detection, real_heads
from ich_tf.preprocessing import augment
from ich_tf.preprocessing.segmentation import scan_crops
from ich_tf.synthetic import painted, scan_painting
from ich_tf.training import plans
from ich_tf.volume import Case, Volume


class RealHeadsTask(PaintedTask):
    """A network that answers subtypes of hemorrhage on neighbouring slices."""

    def inputs(self, run: Run) -> dict[str, Any]:
        """As for painted slices, with the version of the painted scans."""
        made = {**super().inputs(run), "scan_painting": scan_painting.VERSION}
        if run.experiment.weak_labels_by is not None:
            made["weak_labels_by"] = weak_labels.marked_by(run)
        return made

    def check_weights(self, run: Run) -> None:
        """Look for the weights that training begins with, and that mark real slices."""
        super().check_weights(run)
        if run.experiment.weak_labels_by is not None:
            weak_labels.marked_by(run)

    def check(self, run: Run) -> None:
        """Refuse data that cannot be painted on, and first weights that saw the test.

        Raises:
            DoesNotApply: if there is no head to paint on, if a window is too narrow,
                or if the first weights have seen a held-out head.
        """
        with applying():
            patients = painted_data.painter_of(run).patients()
        segmentation.check_windows(run, run.dataset.load(patients[0]))
        if run.experiment.begins_with is None:
            return
        entry = weights.shipped(run.experiment.begins_with, run.folders.weights)[1]
        held_out = {
            patient for fold in run.folds for patient in painted.patients_of(fold.test)
        }
        seen = sorted(held_out & set(entry.get("seen", ())))
        if seen and run.fingerprint["identity"] != "phantom":
            raise DoesNotApply(
                f"{run.experiment.begins_with} has seen {', '.join(seen)}, which are "
                "held out here. Begin with other weights."
            )

    def training_data(self, run: Run, fold: splits.Fold) -> TrainingData:
        """Crops of painted scans and of phantom heads."""
        profile = run.profile
        plan = plans.Plan(
            epochs=profile.epochs,
            steps_per_epoch=profile.steps_per_epoch,
            batch=profile.batch,
            learning_rate=profile.learning_rate,
            schedule=profile.schedule,
            seed=run.seed,
            devices=run.devices,
            cpu_layers=run.profile.cpu_layers,
            warmup_steps=profile.warmup_steps,
            average=profile.average,
            batch_norm_momentum=profile.batch_norm_momentum,
            deterministic=False,
        )
        train, others = real_heads_data.sources(run, fold)
        held_out = real_heads_data.stored(run, fold.validation, profile.copies)
        change = augment.augmenter(profile.augmentation)
        recipe = real_heads_data.recipe(run)

        def batches(first_step: int, last_step: int):
            return scan_crops.batches(
                train, others, recipe, change, run.seed, first_step, last_step
            )

        validation = real_heads_data.validation_batches(run, held_out)
        return TrainingData(plan, batches, validation)

    def build(self, run: Run, plan: plans.Plan, say: Say) -> tuple[Any, str]:
        """The compiled network, which answers as the weights it begins with."""
        plans.start(plan)
        shape = (run.profile.tile, run.profile.tile, run.experiment.channels)
        model = models.build(
            run.experiment.model, input_shape=shape, **run.experiment.arguments
        )
        init = run.experiment.begins_with
        if init is not None:
            small = weights.load_shipped(init, run.folders.weights)
            widen.transfer(
                small, model, seed=run.seed, context=run.experiment.context_share
            )
        score = plans.HemorrhageJaccard(name="soft_jaccard")
        plans.compile_model(model, run.experiment.loss, plan, [score])
        return model, init or "random"

    def predictor(self, run: Run, model: Any) -> masks.Predict:
        """From Hounsfield units to the probability of hemorrhage."""
        network = network_of(run, model)

        def predict(hu: np.ndarray) -> np.ndarray:
            volume = Volume(hu, None, None, None)
            return network.segment(Case("", "", volume)).hemorrhage

        return predict

    def evaluate(self, run: Run, number: int, model: Any, say: Say) -> dict:
        """Predict held-out phantom heads, painted scans and labelled slices.

        Returns:
            `counts` of the phantom heads; `painted`, the rows of the painted scans'
            slices; `labelled`, records of the cases that were not trained on.
        """
        network = network_of(run, model)
        of_phantom = masks.MaskTask.evaluate(self, run, number, model, say)
        say(f"{run.experiment.id}: predicting painted scans and labelled slices")
        fold = run.folds[number]
        held_out = real_heads_data.stored(
            run, fold.test, real_heads_data.HELD_OUT_COPIES
        )
        used = {
            *painted.patients_of((*fold.train, *fold.validation)),
            *weak_labels.patients(run),
        }
        judged = [name for name in run.dataset.case_ids() if name not in used]
        published = detection.published_scans(run.fingerprint["identity"])
        return {
            **of_phantom,
            "painted": real_heads_data.painted_rows(network, held_out),
            "labelled": {
                name: detection.record(
                    network, run.dataset.load(name), published.get(name)
                )[0]
                for name in judged
            },
        }

    def summarise(self, run: Run, folds: list[dict]) -> dict:
        """As for painted slices, with the scores by class.

        Returns:
            The fields of `PaintedTask.summarise`, and `classes`:
            `metrics.detection.score` of the labelled cases.
        """
        (fold,) = folds
        return {
            **super().summarise(run, folds),
            "painted": painted_slices.dice_by_kind(
                [row for row in fold["painted"] if row["truth"]]
            ),
            "classes": scores.score(fold["labelled"]),
        }

    def describe(self, run: Run, result: RealHeadsResult) -> dict:
        """Manifest fields: the network takes slices of any size."""
        described = super().describe(run, result)
        described.update(manifest_fields(run))
        described["scan_painting"] = result.spec["scan_painting"]
        return described

    def publish(
        self, run: Run, fields: dict, model: Any, say: Say
    ) -> tuple[dict, dict[str, Callable]]:
        """Manifest fields with the operating point, and files to ship with them.

        Raises:
            ValueError: if real slices with hemorrhage trained the network: it could not
                be calibrated on their patients, nor claim to have seen none.
        """
        if run.experiment.weak_labels_by is not None:
            raise ValueError(
                f"{run.experiment.id} is an ablation that saw real slices with "
                "hemorrhage. It is not shipped."
            )
        return real_heads_shipping.publish(run, network_of(run, model), fields, say)


def network_of(run: Run, model: Any) -> real_heads.Network:
    """A trained model as `predict` takes it, for slices of any size."""
    fields = manifest_fields(run)
    whole = models.build(fields["build"]["name"], **fields["build"]["kwargs"])
    whole.set_weights(model.get_weights())
    return real_heads.Network(whole, {**fields, "file": run.experiment.id}, None, None)


def manifest_fields(run: Run) -> dict:
    """`build` and `preprocessing` of the manifest."""
    return {
        "build": {
            "name": run.experiment.model,
            "kwargs": {
                **run.experiment.arguments,
                "input_shape": (None, None, run.experiment.channels),
            },
        },
        "preprocessing": {
            "approach": run.experiment.approach,
            "channels": run.experiment.channels,
            "size": run.profile.size,
            # Whole slices are predicted.
            "tile": run.profile.size,
            "stride": run.profile.size,
            "threshold": run.profile.threshold,
            "head_box": run.profile.head_box,
        },
    }
