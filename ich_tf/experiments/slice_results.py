"""Results of classifiers."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from ich_tf import labels
from ich_tf.experiments.reported import reported
from ich_tf.experiments.result_types import (
    FoldLeakage,
    ScanPrediction,
    Score,
    SliceFold,
    UnreadFiles,
)
from ich_tf.experiments.results import Result
from ich_tf.metrics import evaluation


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceResult(Result):
    """The result of a classifier.

    Attributes:
        predictions: Case id to truth and probability of each slice and class.
        left_out: What no network saw.
        leakage: Overlap of patients, fold by fold.
    """

    predictions: dict[str, ScanPrediction]
    left_out: UnreadFiles
    leakage: list[FoldLeakage]
    fold_type: ClassVar[type] = SliceFold

    @property
    def unread(self) -> UnreadFiles:
        """What no network saw because it is damaged."""
        return self.left_out

    @property
    def held_out(self) -> list[str]:
        """Case ids of the test and validation parts.

        A classifier chooses no epoch, so [1]'s split holds out a validation part.
        """
        return [
            case_id
            for fold in self.folds
            for part in ("validation", "test")
            for case_id in fold[part]
        ]

    @property
    def covers_reported_cases(self) -> bool:
        """Whether these are the scans that [1] held out."""
        slices = sum(len(scan["truth"]) for scan in self.predictions.values())
        wanted = reported()["datasets"]["rsna2019"]["split_slices"]["validation"]
        # The split follows the order of a table that not every copy of the data has;
        # a few images may be damaged.
        same = abs(slices - wanted) <= 0.001 * wanted
        return same and self.spec["profile"]["split"] == "burduja2020"

    def recompute(self) -> dict[str, dict[str, Score]]:
        """Scores of each class from the predictions."""
        return evaluation.score_slices(self.predictions)

    def pooled(self, others: Sequence[Self]) -> Self:
        """This result with the scores of several seeds."""
        predictions = [other.predictions for other in others]
        summary = evaluation.score_slices(self.predictions, *predictions)
        return dataclasses.replace(self, summary=summary)

    def details(self) -> str:
        """Numbers of scans, slices and patients, in all and with each class."""
        scans = self.predictions.values()
        truth = [np.array(scan["truth"], bool) for scan in scans]
        owners = np.array([scan["patient"] for scan in scans])
        in_scan = np.array([slices.any(axis=0) for slices in truth])
        slices = np.concatenate(truth)
        positive = ", ".join(
            f"{labels.SHORT[name]} {slices[:, k].sum()} and "
            f"{len(set(owners[in_scan[:, k]]))}"
            for k, name in enumerate(labels.CLASSES)
        )
        leaked = sum(fold["held_out_scans"] for fold in self.leakage)
        return (
            f"{len(truth)} held-out scans with {len(slices)} slices of "
            f"{len(set(owners))} patients; positive slices and patients: {positive}; "
            f"{leaked} held-out scans are of patients with other scans in training"
        )

    @property
    def metric(self) -> str:
        """The score that is written next to shipped weights."""
        score = self.summary[labels.ANY]
        scans, slices = score["auc_scan"], score["auc_slice"]
        return (
            f"AUC of any hemorrhage {slices['mean']:.3f} [{slices['low']:.3f}, "
            f"{slices['high']:.3f}] over {slices['n']} slices and "
            f"{scans['mean']:.3f} [{scans['low']:.3f}, {scans['high']:.3f}] over "
            f"{scans['n']} held-out scans of the {self.identity}"
        )

    def _case_faults(self) -> list[str]:
        read = set(self.held_out).difference(self.left_out["scan_ids"])
        if set(self.predictions) != read:
            return ["its predictions are not of its folds' held-out scans"]
        return []
