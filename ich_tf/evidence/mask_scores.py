"""What `evaluate` returns: scores of masks, as JSON and as Markdown."""

import dataclasses
import math
from collections import Counter

from ich_tf.evidence import conventions as sweep
from ich_tf.evidence.mask_files import Fault
from ich_tf.metrics import display
from ich_tf.metrics.resampling import Interval

COMPARED = ("jaccard", "dice", "sensitivity", "specificity")
SHOWN = {
    "dice": "Dice",
    "jaccard": "Jaccard",
    "sensitivity": "sensitivity, slices",
    "specificity": "specificity, slices",
    "pixel_sensitivity": "sensitivity, pixels",
    "pixel_specificity": "specificity, pixels",
    "volume_error_ml": "volume error, ml",
}
"""Scores of the table, in its order."""
ONE_CASE = "(one case: no interval)"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A printed number and ours under a protocol.

    Attributes:
        score: One of `COMPARED`.
        protocol: Name of the protocol.
        printed: The printed number.
        ours: Our number with its interval.
        verdict: One of `verdicts.VERDICTS`.
    """

    score: str
    protocol: str
    printed: float
    ours: Interval
    verdict: str


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The scores of a set of masks.

    Attributes:
        cases: Name to `truth_ml` and `predicted_ml` (None without spacing),
            `truth_pixels`, `predicted_pixels` and, for each protocol, `scores`.
        protocols: Name to what the protocol does.
        summary: Label ("any" for all together) to protocol to score to its mean with a
            95 % interval over cases.
        conventions: "any" under every convention.
        comparisons: Printed numbers with ours.
        faults: What was left out, and why.
        notes: What else a reader of the numbers must know.
    """

    cases: dict[str, dict]
    protocols: dict[str, str]
    summary: dict[str, dict[str, dict[str, Interval]]]
    conventions: list[sweep.Convention]
    comparisons: list[Comparison]
    faults: list[Fault]
    notes: list[str]

    @property
    def title(self) -> str:
        """How many pairs of masks were scored."""
        count = len(self.cases)
        return f"{count} pair{'' if count == 1 else 's'} of masks"

    def to_json(self) -> dict:
        """Everything as JSON has it; what is undefined is None."""
        return _json(dataclasses.asdict(self))

    def to_markdown(self) -> str:
        """Tables of the scores, of the conventions and of the comparisons."""
        lines = [f"**{self.title}**", ""]
        interval = "[95 % interval]" if len(self.cases) > 1 else ONE_CASE
        for label, summary in self.summary.items():
            lines += [*_table(label, summary, interval), ""]
        lines += [*sweep.spread(self.conventions), ""]
        if self.comparisons:
            lines += [*_comparisons(self.comparisons, interval), ""]
            printed = {each.score: each.printed for each in self.comparisons}
            ranked = sweep.ranked(self.conventions, printed)
            lines += ["Conventions nearest to the printed numbers:", ""]
            lines += [*sweep.nearest(ranked, 5), ""]
        lines += [f"Note: {note}." for note in self.notes]
        counts = Counter(fault.kind for fault in self.faults)
        if counts:
            shown = ", ".join(f"{kind} {count}" for kind, count in counts.items())
            lines += [f"Left out: {shown}.", ""]
        lines += [
            f"- {fault.kind}: {fault.case}: {fault.message}" for fault in self.faults
        ]
        return "\n".join(lines).rstrip() + "\n"


def _table(
    label: str, summary: dict[str, dict[str, Interval]], interval: str
) -> list[str]:
    title = "All labels together" if label == "any" else f"Label {label}"
    lines = [
        f"{title}, mean {interval}:",
        "",
        "| " + " | ".join(["protocol", *SHOWN.values()]) + " |",
        "|" + " --- |" * (len(SHOWN) + 1),
    ]
    for protocol, scores in summary.items():
        cells = [_cell(scores[score]) for score in SHOWN]
        lines.append("| " + " | ".join([protocol, *cells]) + " |")
    return lines


def _comparisons(comparisons: list[Comparison], interval: str) -> list[str]:
    lines = [
        f"| score | protocol | printed | ours {interval} | verdict |",
        "|" + " --- |" * 5,
    ]
    for each in comparisons:
        cells = [each.score, each.protocol, f"{each.printed:g}", _cell(each.ours)]
        lines.append("| " + " | ".join([*cells, each.verdict]) + " |")
    return lines


def _cell(interval: Interval) -> str:
    mean, low, high = (
        None if math.isnan(value) else value
        for value in (interval.mean, interval.low, interval.high)
    )
    if low is None:
        return display.number(mean)
    return f"{display.number(mean)} [{display.number(low)}, {display.number(high)}]"


def _json(content):
    if isinstance(content, dict):
        return {name: _json(value) for name, value in content.items()}
    if isinstance(content, Interval):
        return _json(content._asdict())
    if isinstance(content, list | tuple):
        return [_json(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
