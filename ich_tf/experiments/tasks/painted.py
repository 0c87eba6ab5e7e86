"""Rows of a network that is trained on painted slices and phantom heads.

Three kinds of held-out data judge it: phantom heads, as any data set with masks;
painted copies of patients who were not painted on for training (Dice by subtype and
size); and slices with labels alone, real ones where real data are given: how well the
largest predicted area separates slices with hemorrhage from the others.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ich_tf.data import splits
from ich_tf.experiments import provenance
from ich_tf.experiments.mask_results import PaintedResult
from ich_tf.experiments.runner import SPLIT_SEED, Run
from ich_tf.experiments.task import DoesNotApply, Say, applying, weights_bytes
from ich_tf.experiments.tasks import crop_data, painted_data, segmentation
from ich_tf.experiments.tasks.crop_data import TrainingData
from ich_tf.experiments.tasks.segmentation import SegmentationTask
from ich_tf.metrics import display, evaluation, painted_slices
from ich_tf.models import weights
from ich_tf.prediction import ood, segment
from ich_tf.preprocessing.segmentation import slices
from ich_tf.synthetic import painted, painting
from ich_tf.training import plans
from ich_tf.volume import Case


class PaintedTask(SegmentationTask):
    """A 2-D network that never saw a real mask."""

    needs_phantom = True
    sweeps_protocols = "is scored on painted slices and leaves no real volumes"

    def folds(self, run: Run) -> tuple[splits.Fold, ...]:
        """One split by patient, of the heads to paint on and of the phantom heads.

        Where the phantom itself is painted on, a head is in one part however it is
        used.
        """
        facts = run.phantom.fingerprint()["cases"]
        bleeding = [bool(case["mask_voxels"]) for case in facts.values()]
        heads = splits.patient_split(
            list(facts), run.profile.split, SPLIT_SEED, bleeding
        )
        quiet = painted_data.painter_of(run).patients()
        if run.dataset.root == run.phantom.root:
            to_paint = [
                [name for name in part if name in quiet] for part in _parts(heads)
            ]
        else:
            to_paint = _parts(
                splits.patient_split(quiet, run.profile.painted_split, SPLIT_SEED)
            )
        pairs = zip(to_paint, _parts(heads), strict=True)
        return (splits.Fold(*(_named(*pair) for pair in pairs)),)

    def inputs(self, run: Run) -> dict[str, Any]:
        """Version of the paint, the phantom heads, and the first weights."""
        begins_with = _first_weights(run)
        return {
            "painting": painting.VERSION,
            "phantom": provenance.digest(run.phantom.fingerprint()),
            "begins_with": begins_with and begins_with["sha256"],
        }

    def check(self, run: Run) -> None:
        """Refuse data that cannot be painted on, and unsuitable first weights.

        Data are refused without labels, without a head free of hemorrhage, or with
        windows too narrow for the network; weights if they may have seen phantom
        heads that are held out here.
        """
        begins_with = _first_weights(run)
        if begins_with and (
            begins_with["profile"] != run.profile.name
            or begins_with["data"] != provenance.digest(run.phantom.fingerprint())
        ):
            raise DoesNotApply(
                f"{run.experiment.begins_with} was trained on other phantom heads than "
                f"profile {run.profile.name} has, which may hold out what it has seen. "
                f"Use `--profile {begins_with['profile']}`."
            )
        with applying():
            patients = painted_data.painter_of(run).patients()
        segmentation.check_windows(run, run.dataset.load(patients[0]))

    def check_weights(self, run: Run) -> None:
        """Look for the published weights that training begins with."""
        _first_weights(run)

    def training_data(self, run: Run, fold: splits.Fold) -> TrainingData:
        """Crops of painted and phantom slices, as far as they are the row's sources."""
        train = painted_data.stored_slices(run, fold.train, run.profile.copies)
        validation = painted_data.stored_slices(
            run, fold.validation, painted_data.HELD_OUT_COPIES
        )
        return crop_data.crops_of(run, train, validation)

    def build(self, run: Run, plan: plans.Plan, say: Say) -> tuple[Any, str]:
        """The compiled model, with the weights that the row begins with.

        Raises:
            ValueError: if these weights are missing, or do not fit.
        """
        model, init = super().build(run, plan, say)
        if run.experiment.begins_with is not None:
            init = run.experiment.begins_with
            shipped = weights.load_shipped(init, run.folders.weights)
            model.set_weights(shipped.get_weights())
        return model, init

    def disk_gb(self, run: Run, model: Any) -> float:
        """Upper bound of weights and stored slices, in 10^9 bytes."""
        (fold,) = run.folds
        stored = painted_data.stored_count(run, fold.train, run.profile.copies)
        stored += painted_data.stored_count(
            run, fold.validation, painted_data.HELD_OUT_COPIES
        )
        pixels = segmentation.BYTES_PER_PIXEL * stored * run.profile.size**2
        return (weights_bytes(run, model) + pixels) / 1e9

    def test_masks(self, run: Run, number: int) -> tuple[str, ...]:
        """The held-out phantom heads."""
        test = run.folds[number].test
        return tuple(name for name in test if name.startswith(painted.PHANTOM))

    def load_masks(self, run: Run, names: Iterable[str]) -> Iterator[Case]:
        """Phantom heads at the profile's in-plane size."""
        return painted_data.load_cases(run, names, 1)

    def evaluate(self, run: Run, number: int, model: Any, say: Say) -> dict:
        """Predict the held-out phantom heads, painted slices and labelled slices.

        Returns:
            `counts` of the phantom heads; `painted`, for each painted slice its
            labels, pixels and areas; `labelled`, case id to truth and largest
            predicted area of each slice, of all cases that were not trained on.
        """
        content = super().evaluate(run, number, model, say)
        predict = self.predictor(run, model)
        say(f"{run.experiment.id}: predicting painted and labelled slices")
        test = run.folds[number].test
        quiet = [name for name in test if name.startswith(painted.PAINTED)]
        return {
            **content,
            "painted": painted_data.painted_slices(run, predict, quiet),
            "labelled": painted_data.labelled_slices(run, predict, run.folds[number]),
        }

    def summarise(self, run: Run, folds: list[dict]) -> dict:
        """Score the phantom heads, the painted and the labelled slices.

        Returns:
            `counts` and `summary` of the phantom heads; `painted`, from "all", a
            subtype or a size to the mean Dice of the slices with blood; `false_mm2`,
            the mean area predicted in painted slices without blood, which show mimics
            alone; `labelled`, "slice" and "patient" to the area under the ROC curve,
            and `data`, the identity of that data; `slices`, the evidence behind them.
        """
        (fold,) = folds
        return {
            "counts": fold["counts"],
            "summary": evaluation.summarise(fold["counts"], "phantom"),
            "slices": {name: fold[name] for name in ("painted", "labelled")},
            **painted_slices.score_slices(
                fold["painted"], fold["labelled"], run.fingerprint["identity"]
            ),
        }

    def recount(self, run: Run, result: PaintedResult) -> list[str]:
        """Count the phantom heads' stored probabilities against their masks."""
        if provenance.digest(run.phantom.fingerprint()) != result.spec["phantom"]:
            return ["it was made from other phantom heads than the folder holds"]
        return super().recount(run, result)

    def describe(self, run: Run, result: PaintedResult) -> dict:
        """Manifest fields, with the score on labelled slices and what was seen."""
        described = super().describe(run, result)
        (fold,) = run.folds
        judged_on = result.labelled["data"]
        sources = {
            "painted": f"slices without hemorrhage of {judged_on}, painted on",
            "phantom": "phantom heads",
        }
        described["trained_on"] = ", and ".join(
            sources[name] for name in run.experiment.sources
        )
        described["seen"] = painted.patients_of((*fold.train, *fold.validation))
        described["begins_with"] = result.spec["begins_with"] and {
            "name": run.experiment.begins_with,
            "sha256": result.spec["begins_with"],
        }
        described["painting"] = result.spec["painting"]
        described["metric"] = _metric(result)
        return described

    def artifacts(self, run: Run, model: Any) -> dict[str, Callable]:
        """The out-of-distribution detector of `predict`, from unpainted slices.

        Slices of the patients who were painted on for training are the reference;
        slices of the other patients without hemorrhage set the limit.
        """
        layer = ood.deepest_layer(model)
        network = segmentation.network(run, model, layer)
        (fold,) = run.folds

        def features(names):
            parts = []
            for patient in painted.patients_of(names):
                case = run.dataset.load(patient)
                small = slices.at_size(case, run.profile.size).volume.hu
                parts.append(segment.predict_with_features(network, small)[1])
            return np.concatenate(parts)

        others = (*fold.validation, *fold.test)
        detector = ood.fit(layer, features(fold.train), features(others))
        return {"likeness.npz": functools.partial(ood.save, likeness=detector)}


def _metric(result: PaintedResult) -> str:
    phantom = segmentation.dice_of_volumes(result, "phantom")
    labelled = result.labelled
    slices_auc, patients_auc = (
        display.with_interval(labelled[name]) for name in ("slice", "patient")
    )
    dice = display.with_interval(result.painted["all"])
    return (
        f"{phantom}; Dice {dice} of painted slices of patients held out; area under "
        f"the ROC curve of the largest predicted area on the labelled slices of "
        f"{labelled['data']}: {slices_auc} by slice, {patients_auc} by patient"
    )


def _first_weights(run: Run) -> dict | None:
    """Manifest entry of the weights that training begins with."""
    name = run.experiment.begins_with
    return name and weights.shipped(name, run.folders.weights)[1]


def _parts(fold: splits.Fold) -> tuple[tuple[str, ...], ...]:
    return fold.train, fold.validation, fold.test


def _named(painted_on: Iterable[str], as_they_are: Iterable[str]) -> tuple[str, ...]:
    return (
        *(painted.PAINTED + name for name in painted_on),
        *(painted.PHANTOM + name for name in as_they_are),
    )
