"""What all kinds share that predict a mask: folds, evaluation, counts and scores."""

import abc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ich_tf import arrays, files, metrics
from ich_tf.data import splits
from ich_tf.experiments.mask_results import MaskResult
from ich_tf.experiments.results import ADVICE
from ich_tf.experiments.runner import SPLIT_SEED, Run
from ich_tf.experiments.task import Say, Task
from ich_tf.metrics import evaluation
from ich_tf.preprocessing.segmentation import slices
from ich_tf.volume import Case

Predict = Callable[[np.ndarray], np.ndarray]
"""From Hounsfield units (z, y, x) to probabilities of the same shape in [0, 1]."""


def cases(run: Run, case_ids: Iterable[str]) -> Iterator[Case]:
    """Cases of the data set at the profile's in-plane size, one at a time."""
    for case_id in case_ids:
        yield slices.at_size(run.dataset.load(case_id), run.profile.size)


class MaskTask(Task):
    """A kind of experiment whose prediction is a probability for each voxel."""

    @abc.abstractmethod
    def predictor(self, run: Run, model: Any) -> Predict:
        """From Hounsfield units (z, y, x) to probabilities of the same shape."""

    def folds(self, run: Run) -> tuple[splits.Fold, ...]:
        """The folds of [2] for its subjects, five folds by patient for other data.

        A profile with `folds` "holdout" has a single split by patient.
        """
        facts = run.fingerprint["cases"]
        bleeding = [bool(case["mask_voxels"]) for case in facts.values()]
        if run.profile.folds == "holdout":
            shares = run.profile.split
            return (splits.patient_split(list(facts), shares, SPLIT_SEED, bleeding),)
        subjects = (splits.subject_order_75(), splits.subject_order_82())
        if set(facts) in map(set, subjects):
            return tuple(splits.folds_hssayeni2020(list(facts)))
        return tuple(
            splits.patient_folds(list(facts), 5, SPLIT_SEED, has_hemorrhage=bleeding)
        )

    def evaluate(self, run: Run, number: int, model: Any, say: Say) -> dict:
        """Predict the test cases of a fold, store probabilities and count pixels.

        Returns:
            `counts`: protocol name to case id to `metrics.case_counts`.
        """
        test = self.test_masks(run, number)
        say(f"{run.experiment.id}: predicting {len(test)} heads")
        predict = self.predictor(run, model)
        return {"counts": count_and_store(run, predict, self.load_masks(run, test))}

    def test_masks(self, run: Run, number: int) -> tuple[str, ...]:
        """Names of the held-out cases with masks in one fold."""
        return run.folds[number].test

    def load_masks(self, run: Run, names: Iterable[str]) -> Iterator[Case]:
        """The cases behind `test_masks`, at the profile's in-plane size."""
        return cases(run, names)

    def summarise(self, run: Run, folds: list[dict]) -> dict:
        """Pool the counts of all folds and score them.

        Returns:
            `counts` as in `evaluate`, and `summary`: protocol name to metric name to
            mean and interval.
        """
        counts = {name: {} for name in metrics.PROTOCOLS}
        for fold in folds:
            for name, of_cases in fold["counts"].items():
                counts[name].update(of_cases)
        summary = evaluation.summarise(counts, run.fingerprint["identity"])
        return {"counts": counts, "summary": summary}

    def stored_predictions(self, run: Run) -> Iterator[tuple[Case, np.ndarray]]:
        """Every test case of a finished run with its stored probabilities.

        Yields:
            The case with its mask, and (z, y, x), uint8, from `evaluation.encode`.

        Raises:
            ValueError: if a file is missing or damaged.
        """
        for number in range(len(run.folds)):
            for case in self.load_masks(run, self.test_masks(run, number)):
                yield case, _stored_probability(run, case)

    def recount(self, run: Run, result: MaskResult) -> list[str]:
        """Count the stored probabilities against the data's masks.

        Returns:
            A sentence for each case and protocol with other counts.

        Raises:
            ValueError: if probabilities are missing or damaged.
        """
        if run.fingerprint != result.data:
            return ["it was made from other data than the folder holds"]
        return [
            f"{name}, case {case.case_id}: the stored probabilities give other counts"
            for case, coded in self.stored_predictions(run)
            for name, counts in evaluation.count(coded, case).items()
            if counts != result.counts[name].get(case.case_id)
        ]


def count_and_store(run: Run, predict: Predict, held_out: Iterable[Case]) -> dict:
    """Predict cases with masks; store probabilities as files and count pixels.

    Args:
        run: The run; files go to its folder as `<case id>.npz`.
        predict: From `MaskTask.predictor`.
        held_out: The cases.

    Returns:
        Protocol name to case id to `metrics.case_counts`.
    """
    counts = {name: {} for name in metrics.PROTOCOLS}
    for case in held_out:
        coded = evaluation.encode(predict(case.volume.hu))
        with files.atomic(_file(run, case)) as partial:
            np.savez_compressed(partial, probability=coded)
        for name, of_case in evaluation.count(coded, case).items():
            counts[name][case.case_id] = of_case
    return counts


def _file(run: Run, case: Case):
    return run.folder / f"{case.case_id}.npz"


def _stored_probability(run: Run, case: Case) -> np.ndarray:
    path = _file(run, case)
    if not path.is_file():
        raise ValueError(f"There is no {path}: its run left no probabilities.")
    coded = arrays.read(path, ["probability"], ADVICE)["probability"]
    if coded.dtype != np.uint8 or coded.shape != case.volume.hu.shape:
        raise ValueError(
            f"{path} is damaged: it holds {coded.dtype} of shape {coded.shape}, case "
            f"{case.case_id} has shape {case.volume.hu.shape}."
        )
    return coded
