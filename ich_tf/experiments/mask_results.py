"""Results of rows that predict masks."""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from ich_tf import metrics
from ich_tf.experiments.result_types import (
    Counts,
    LabelledScores,
    MaskFold,
    PaintedEvidence,
    PaintedFold,
    Score,
)
from ich_tf.experiments.results import Result, unequal
from ich_tf.metrics import display, evaluation, painted_slices
from ich_tf.synthetic.painted import PHANTOM

LEARNED = 0.15
"""`MaskResult.dice_of_heads` from which on a row has learned to segment."""
FULL_SIZE = 512
"""Side in pixels of ct-ich 1.3.1's slices, whose masks are published as counts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskResult(Result):
    """The result of a row that predicts masks.

    Attributes:
        counts: Protocol to case id to pixel counts.
    """

    counts: dict[str, dict[str, Counts]]
    fold_type: ClassVar[type] = MaskFold

    def recompute(self) -> dict[str, dict[str, Score]]:
        """Scores of each protocol from the counts."""
        return evaluation.summarise(self.counts, self.identity)

    def pooled(self, others: Sequence[Self]) -> Self:
        """This result with the scores of several seeds."""
        counts = [other.counts for other in others]
        summary = evaluation.summarise(self.counts, self.identity, *counts)
        return dataclasses.replace(self, summary=summary)

    def details(self) -> str:
        """Dice and false positives per volume, and the precision."""
        dice, alarm = (
            self.score("per_volume", name)
            for name in ("bleeding_dice", "false_positive_ml")
        )
        return (
            f"mean Dice per volume {display.number(dice['mean'])} over {dice['n']} "
            f"bleeding heads; false positives {display.number(alarm['mean'])} ml in a "
            f"head without (mean of {alarm['n']}); {self.spec['precision']}"
        )

    def dice_of_cases(self) -> list[float]:
        """Dice of each held-out head with hemorrhage, whole volume at threshold 0.5."""
        return [
            dice(counts)
            for counts in self.counts["per_volume"].values()
            if counts["truth_pixels"]
        ]

    def dice_of_heads(self) -> float:
        """Mean Dice of the held-out heads with hemorrhage; NaN without any."""
        values = self.dice_of_cases()
        return statistics.fmean(values) if values else math.nan

    def _case_faults(self) -> list[str]:
        faults, tested = [], set(self.held_out)
        if missing := sorted(set(metrics.PROTOCOLS) - set(self.counts)):
            listed = ", ".join(missing)
            faults.append(
                f"it lacks the protocols {listed}: an earlier version made it"
            )
        if unknown := sorted(set(self.counts) - set(metrics.PROTOCOLS)):
            faults.append(f"it has counts of unknown protocols: {', '.join(unknown)}")
        for name, counts in self.counts.items():
            if set(counts) != tested:
                lost = ", ".join(sorted(tested ^ set(counts)))
                faults.append(f"{name}: its counts are not of the test cases: {lost}")
            for case_id in sorted(tested & set(counts)):
                fault = self._case_fault(case_id, counts[case_id])
                if fault:
                    faults.append(f"{name}, case {case_id}: {fault}")
        return faults

    def _case_fault(self, case_id: str, counts: Counts) -> str | None:
        facts = self.data["cases"][case_id]
        if len(counts["tp"]) != facts["slices"]:
            return f"counts of other slices than the data's {facts['slices']}"
        in_full = self.spec["profile"]["size"] == FULL_SIZE
        if in_full and self.identity == "ct-ich 1.3.1":
            if counts["truth_pixels"] != facts["mask_voxels"]:
                return "counted in another mask"
        return count_fault(case_id, counts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaintedResult(MaskResult):
    """The result of a row that is trained on painted slices.

    Attributes:
        painted: "all", a subtype or a size to the mean Dice of painted slices.
        false_mm2: Mean area predicted in painted slices without blood.
        labelled: Area under the ROC curve on slices with labels alone.
        slices: What these scores are computed from.
    """

    painted: dict[str, Score]
    false_mm2: Score
    labelled: LabelledScores
    slices: PaintedEvidence
    fold_type: ClassVar[type] = PaintedFold

    @property
    def held_out(self) -> list[str]:
        """Case ids of the held-out phantom heads."""
        return [
            name.removeprefix(PHANTOM)
            for name in super().held_out
            if name.startswith(PHANTOM)
        ]

    @property
    def covers_reported_cases(self) -> bool:
        """Never: the report has no such row."""
        return False

    def recompute(self) -> dict[str, dict[str, Score]]:
        """Scores of each protocol from the counts of phantom heads."""
        return evaluation.summarise(self.counts, "phantom")

    def _number_faults(self) -> list[str]:
        evidence, identity = self.slices, self.labelled["data"]
        scores = painted_slices.score_slices(
            evidence["painted"], evidence["labelled"], identity
        )
        stated = {
            "painted": self.painted,
            "labelled": {k: self.labelled[k] for k in ("slice", "patient")},
            "false": {"mm2": self.false_mm2},
        }
        computed = {
            "painted": scores["painted"],
            "labelled": {k: scores["labelled"][k] for k in ("slice", "patient")},
            "false": {"mm2": scores["false_mm2"]},
        }
        return super()._number_faults() + [
            f"its score of {group}, {name} is not what its slices give"
            for group, name in unequal(stated, computed)
        ]

    def _case_fault(self, case_id: str, counts: Counts) -> str | None:
        # The file has no fingerprint of the phantom heads.
        return count_fault(case_id, counts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RealHeadsResult(PaintedResult):
    """The result of a network of subtypes.

    Attributes:
        classes: `metrics.detection.score` of the labelled cases.
    """

    classes: dict[str, Any]

    def _number_faults(self) -> list[str]:
        # Labelled cases are records of `detection`, scored by class.
        return MaskResult._number_faults(self)


def dice(counts: Counts) -> float | None:
    """Dice of a volume from its counts; None where neither mask has a pixel."""
    total = counts["truth_pixels"] + counts["predicted_pixels"]
    return 2 * sum(counts["tp"]) / total if total else None


def count_fault(case_id: str, counts: Counts) -> str | None:
    """A contradiction within the counts of one case; None if they agree."""
    depth, height, width = counts["shape"]
    columns = [counts["tp"], counts["fp"], counts["fn"], counts["tn"]]
    if counts["case_id"] != case_id:
        return f"the counts are of {counts['case_id']}"
    if any(len(column) != depth for column in columns):
        return f"counts of other slices than its shape's {depth}"
    if any(pixels < 0 for column in columns for pixels in column):
        return "a count is negative"
    if any(sum(pixels) != height * width for pixels in zip(*columns, strict=True)):
        return f"a slice's counts do not sum to its {height * width} pixels"
    tp, fp, fn, _ = (sum(column) for column in columns)
    if (tp + fn, tp + fp) != (counts["truth_pixels"], counts["predicted_pixels"]):
        return "the slices' pixels are not the case's"
    return None
