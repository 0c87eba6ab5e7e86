"""Rows of a classifier: Table I, and slices of ct-ich.

A slice network learns from single slices, in shuffled order, from shards. Its features
of every slice are kept with its weights; a sequence model learns from those, scan by
scan. Both keep the weights of the last epoch, as [1] does: nothing is chosen on the
scans that are scored.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ich_tf import labels
from ich_tf.data import Dataset, splits
from ich_tf.experiments import results, runner
from ich_tf.experiments.runner import SPLIT_SEED, Run
from ich_tf.experiments.slice_results import SliceResult
from ich_tf.experiments.task import (
    DoesNotApply,
    Forecast,
    Say,
    Task,
    TrainedFold,
    applying,
    weights_bytes,
)
from ich_tf.experiments.tasks import classifier_networks as networks
from ich_tf.experiments.tasks import slice_data
from ich_tf.metrics import evaluation
from ich_tf.models import convert
from ich_tf.preprocessing.classification import sequences
from ich_tf.training import fit
from ich_tf.volume import Case

FEATURES = 2048
"""Features of a slice by ResNeXt-101, for the forecast."""


class ClassificationTask(Task):
    """A network that gives each slice six probabilities, alone or within its scan."""

    sweeps_protocols = "has no masks: nothing to score under conventions"

    def folds(self, run: Run) -> tuple[splits.Fold, ...]:
        """[1]'s single split by series, or splits by patient."""
        case_ids, split = run.dataset.case_ids(), run.profile.split
        if split == "burduja2020":
            return (splits.split_burduja2020(case_ids),)
        positive = run.dataset.scan_labels()[:, labels.index(labels.ANY)] > 0
        patients = run.dataset.patient_ids()
        if isinstance(split, float):
            shares = (1 - split, 0.0, split)
            by_scan = splits.scan_split(
                case_ids, patients, shares, SPLIT_SEED, positive
            )
            return (by_scan,)
        by_patient = splits.patient_folds(
            patients, split, SPLIT_SEED, has_hemorrhage=positive
        )
        return tuple(
            splits.Fold((*fold.train, *fold.validation), (), fold.test)
            for fold in by_patient
        )

    def check(self, run: Run) -> None:
        """Refuse data without labels or the needed windows, and sequences on a TPU."""
        if (
            run.devices.are_tpu
            and run.experiment.slices_from
            and runner.state_of(run) != "finished"
        ):
            raise DoesNotApply(
                "Scans differ in length and Python makes their batches, so a TPU "
                "cannot train on them. It takes minutes with `--strategy one`."
            )
        first = _first_readable(run.dataset)
        if first.labels is None:
            raise DoesNotApply(
                f"Case {first.case_id} has no labels: nothing to train on."
            )
        with applying():
            slice_data.to_images(run)(first.volume)

    def check_weights(self, run: Run) -> None:
        """Look for the converted weights that the slice network begins with."""
        _, arguments = networks.slice_network(run.experiment, run.profile)
        if arguments.get("init") in convert.PUBLISHED:
            convert.find(arguments["init"], run.folders.weights)

    def write_shards(self, run: Run, say: Say, options: Sequence[str]) -> pathlib.Path:
        """Write the shards of all scans; `options` are flags of Apache Beam."""
        return slice_data.all_shards(run, say, options)

    def depends_on(self, run: Run) -> Run | None:
        """The run whose slice network a sequence model builds on."""
        return None if run.experiment.sequence is None else networks.slice_run(run)

    def train(
        self,
        run: Run,
        number: int,
        *,
        resume: bool = False,
        fresh: bool = False,
        say: Say,
    ) -> TrainedFold:
        """Train the slice network, or the sequence model after its slice network."""
        if run.experiment.sequence is None:
            return networks.train_slices(
                run, number, resume=resume, fresh=fresh, say=say
            )
        return networks.train_sequence(run, number, resume=resume, fresh=fresh, say=say)

    def evaluate(self, run: Run, number: int, model: Any, say: Say) -> dict:
        """Predict every slice of the test scans.

        A slice network also leaves its features of all scans of the fold, for a
        sequence model to learn from.

        Returns:
            `predictions`: case id to its `patient`, and `truth` and `probability` of
            each slice and class.
        """
        if run.experiment.sequence is None:
            slice_data.write_features(run, number, model, say)
            scans = slice_data.features(run, number, slice_data.HELD_OUT)
            predicted = [scans.probabilities[scans.rows(k)] for k in range(len(scans))]
        else:
            slices = networks.slice_run(run)
            scans = slice_data.features(slices, number, slice_data.HELD_OUT)
            predicted = sequences.by_scan(
                scans, slice_data.SCANS_AT_ONCE, model.predict_on_batch
            )
        patients = _patients(run)
        predictions = {}
        for position, case_id in enumerate(slice_data.held_out_ids(run, number)):
            predictions[case_id] = {
                "patient": patients[case_id],
                "truth": scans.labels[scans.rows(position)].astype(int).tolist(),
                "probability": rounded(predicted[position]),
            }
        return {"predictions": predictions}

    def summarise(self, run: Run, folds: list[dict]) -> dict:
        """Pool the predictions of all folds and score them.

        Returns:
            `predictions`; `summary` of scores with intervals; `left_out`, see
            `slice_data.left_out`; and `leakage`: for each fold the number of held-out
            scans of patients who were trained on (`splits.leakage`).
        """
        predictions = {
            case_id: {"fold": number, **scan}
            for number, fold in enumerate(folds)
            for case_id, scan in fold["predictions"].items()
        }
        ids = run.dataset.case_ids(), run.dataset.patient_ids()
        return {
            "predictions": predictions,
            "summary": evaluation.score_slices(predictions),
            "left_out": slice_data.left_out(run),
            "leakage": [
                dataclasses.asdict(splits.leakage(fold, *ids)) for fold in run.folds
            ],
        }

    def stored_predictions(self, run: Run) -> Iterator[tuple[Case, dict]]:
        """Every held-out scan of a finished run with its stored prediction.

        Yields:
            The case with its labels, and `fold`, `patient`, `truth` and `probability`
            from the fold's file.

        Raises:
            ValueError: if a fold's file is missing or damaged.
        """
        for number in range(len(run.folds)):
            path = run.fold_folder(number) / results.FOLD_FILE
            if not path.is_file():
                raise ValueError(f"There is no {path}: its run left no predictions.")
            stored = run.experiment.result_type.load_fold(path)
            for case_id, scan in stored["predictions"].items():
                yield run.dataset.load(case_id), {"fold": number, **scan}

    def recount(self, run: Run, result: SliceResult) -> list[str]:
        """Compare with the stored predictions and with the data's labels.

        Returns:
            A sentence for each scan that differs.

        Raises:
            ValueError: if predictions are missing or damaged.
        """
        if run.fingerprint != result.data:
            return ["it was made from other data than the folder holds"]
        faults, known = [], dict(result.predictions)
        for case, stored in self.stored_predictions(run):
            if known.pop(case.case_id, None) != stored:
                faults.append(f"case {case.case_id}: its fold stored other predictions")
            elif case.labels.tolist() != stored["truth"]:
                faults.append(f"case {case.case_id}: the data have other labels")
        return faults + [f"case {case_id}: no fold predicted it" for case_id in known]

    def describe(self, run: Run, result: SliceResult) -> dict:
        """Architecture, preprocessing and score of the network."""
        if run.experiment.sequence is None:
            name, kwargs = networks.slice_network(run.experiment, run.profile)
        else:
            slices = networks.slice_run(run)
            stored = slice_data.features(slices, 0, slice_data.TRAIN)
            arguments = networks.sequence_arguments(run)
            name = "sequence"
            kwargs = {"features": stored.features.shape[1], **arguments}
        return {
            "build": {"name": name, "kwargs": kwargs},
            "preprocessing": {"images": run.profile.images, "size": run.profile.size},
            "metric": result.metric,
        }

    def forecast(self, run: Run, say: Say) -> Forecast:
        """Measure three training steps on zeros; reading the data is not counted."""
        if run.experiment.sequence is None:
            plan, model, batch = _example_slices(run, say)
            disk = slice_data.disk_bytes(run, width=FEATURES)
        else:
            plan, model, batch = _example_scans(run)
            disk = 0
        expected = fit.estimate(model, [batch] * 4, plan)
        hours = expected.seconds_per_step * plan.steps * len(run.folds) / 3600
        disk += weights_bytes(run, model)
        return Forecast(hours, expected.gigabytes, disk / 1e9)

    def steps(self, run: Run) -> int:
        """Training steps of a fold, 0 where an epoch is one pass over the data."""
        stage = _stage(run)
        return (stage.steps_per_epoch or 0) * stage.epochs * stage.parts

    def precision(self, run: Run) -> str:
        """The precision that the network's settings name."""
        return _stage(run).precision


def rounded(probability: np.ndarray) -> list[list[float]]:
    """Probabilities with six digits, enough for the log loss of a certain answer."""
    return [[float(f"{value:.6g}") for value in row] for row in probability]


def _stage(run: Run):
    return run.profile.sequence if run.experiment.sequence else run.profile.slices


def _patients(run: Run) -> dict[str, str]:
    return dict(zip(run.dataset.case_ids(), run.dataset.patient_ids(), strict=True))


def _example_slices(run: Run, say: Say) -> tuple:
    """Plan, slice network and a batch of zeros."""
    facts, train = run.fingerprint["cases"], run.folds[0].train
    slices = sum(facts[case_id]["slices"] for case_id in train)
    stage = run.profile.slices
    plan = networks.plan_of(run, stage, slices // stage.batch)
    model, _ = networks.build_slices(run, plan, say)
    shape = (plan.batch, *model.input_shape[1:])
    truth = np.zeros((plan.batch, len(labels.CLASSES)), np.float32)
    return plan, model, (np.zeros(shape, np.float32), truth)


def _example_scans(run: Run) -> tuple:
    """Plan, sequence model and a batch of zeros as long as the median scan."""
    facts, train = run.fingerprint["cases"], run.folds[0].train
    plan = networks.plan_of(run, run.profile.sequence, len(train))
    model = networks.build_sequence(run, plan, FEATURES, None)
    length = int(np.median([facts[case_id]["slices"] for case_id in train]))
    shape, classes = (plan.batch, length), len(labels.CLASSES)
    inputs = {
        "features": np.zeros((*shape, FEATURES), np.float32),
        "probabilities": np.zeros((*shape, classes), np.float32),
        "mask": np.ones(shape, bool),
    }
    return plan, model, (inputs, inputs["probabilities"], np.ones(shape))


def _first_readable(dataset: Dataset) -> Case:
    reason = "it has no scan"
    for case_id in dataset.case_ids():
        try:
            return dataset.load(case_id)
        except ValueError as error:
            reason = str(error)
    problems = dataset.problems()
    reasons = [
        reason,
        *(f"{problem.file}: {problem.message}" for problem in problems[:3]),
    ]
    raise ValueError(f"{dataset.root}: no scan can be read: {'; '.join(reasons)}")
