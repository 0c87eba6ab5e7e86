"""Verdicts: what the interval of a number says about a reference number.

A verdict is a test of equivalence. Each column has a margin on its own scale, chosen
before any result was seen. The 95 % interval of our number, over patients and seeds,
decides: inside the margin around the reference, outside it on one side, or neither.
A difference that few patients cannot settle is therefore "undecided", never "close".

Reference:
    Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15(6):657-680, 1987,
    doi:10.1007/BF01068419 (equivalence by intervals).
"""

import dataclasses
import math

from ich_tf.metrics.resampling import Interval

EQUIVALENT, BETTER, WORSE = "equivalent", "better", "worse"
UNDECIDED, NOT_COMPARABLE, NOT_RUN = "undecided", "not comparable", "not run"
VERDICTS = (EQUIVALENT, BETTER, WORSE, UNDECIDED, NOT_COMPARABLE, NOT_RUN)


@dataclasses.dataclass(frozen=True)
class Margin:
    """How far from a reference a number may lie and still be equivalent.

    Attributes:
        scale: What is bounded. "difference": x - reference. "errors": (1 - x) /
            (1 - reference). "ratio": x / reference.
        low: Lower bound on that scale.
        high: Upper bound on that scale.
        higher_is_better: Whether a larger x is better.
    """

    scale: str
    low: float
    high: float
    higher_is_better: bool = True

    def bounds(self, reference: float) -> tuple[float, float]:
        """The least and the largest x that are equivalent to the reference."""
        if self.scale == "difference":
            return reference + self.low, reference + self.high
        if self.scale == "errors":
            return 1 - self.high * (1 - reference), 1 - self.low * (1 - reference)
        return self.low * reference, self.high * reference

    def __str__(self) -> str:
        """The margin in words."""
        if self.scale == "difference":
            return f"a difference of at most {self.high:g}"
        if self.scale == "errors":
            return f"a ratio of errors 1 - x within [{self.low:g}, {self.high:g}]"
        return f"within {self.high - 1:.0%} of the reference"


OVERLAP = Margin("difference", -0.05, 0.05)
ERRORS = Margin("errors", 0.8, 1.25)
LOSSES = Margin("ratio", 0.9, 1.1, higher_is_better=False)
MARGINS = {
    "jaccard": OVERLAP,
    "dice": OVERLAP,
    "sensitivity": OVERLAP,
    "specificity": OVERLAP,
    "auc": ERRORS,
    "accuracy": ERRORS,
    "validation_loss": LOSSES,
    "weighted_log_loss": LOSSES,
}
RULE = (
    "equivalent: the 95 % interval of our number, over patients and seeds, lies within "
    "the margin around the reference; better, worse: it lies wholly outside the "
    "margin; undecided: neither. Margins: Dice, Jaccard, sensitivity and specificity: "
    f"{OVERLAP}; AUC and accuracy: {ERRORS}; losses: {LOSSES}. Numbers are compared at "
    "the printed digits. An accuracy is equivalent or better only if its gain over "
    "never predicting hemorrhage has an interval above 0"
)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A verdict and its reason.

    Attributes:
        name: One of `VERDICTS`.
        reason: Why nothing was decided; "" where the interval says all.
    """

    name: str
    reason: str = ""


def margin(column: str) -> Margin | None:
    """The margin of a column; None for a column that is compared with nothing.

    Args:
        column: A key of `MARGINS`, which may end in "_scan" or "_slice".
    """
    return MARGINS.get(column.removesuffix("_scan").removesuffix("_slice"))


def decide(
    column: str,
    reference: float,
    low: float | None,
    high: float | None,
    *,
    digits: int | None = None,
    gain_low: float | None = None,
) -> Verdict:
    """What the interval of our number says about a reference.

    Args:
        column: Name of the column, which decides the margin.
        reference: The number to compare with.
        low: Lower bound of our number; None or NaN if it is undefined.
        high: Upper bound.
        digits: Decimals of the printed reference, to which all numbers are rounded;
            None rounds nothing.
        gain_low: For an accuracy, the lower bound of its gain over the classifier that
            never predicts hemorrhage; needed to be equivalent or better.

    Raises:
        ValueError: if the column has no margin, or an accuracy comes without the gain.

    Example:
        >>> decide("dice", 0.433, 0.40, 0.48).name
        'equivalent'
        >>> decide("dice", 0.433, 0.40, 0.58).name
        'undecided'
    """
    of_column = _known_margin(column)
    is_accuracy = column.startswith("accuracy")
    if is_accuracy and gain_low is None:
        raise ValueError(f"`gain_low` is needed for column {column!r}.")
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return Verdict(UNDECIDED, "no interval")
    verdict = _place(of_column, reference, low, high, digits)
    if is_accuracy and verdict in (EQUIVALENT, BETTER) and not gain_low > 0:
        return Verdict(UNDECIDED, "not shown to exceed never predicting hemorrhage")
    return Verdict(verdict)


def decide_pair(column: str, first: float, difference: Interval) -> Verdict:
    """What the paired difference says about a second model against a first one.

    Args:
        column: Name of the column, which decides the margin.
        first: The first model's number. Margins that are ratios are taken around it as
            if it were exact.
        difference: The second model's number minus the first one's, paired.

    Raises:
        ValueError: if the column has no margin.

    Example:
        >>> decide_pair("dice", 0.40, Interval(0.01, -0.02, 0.04, 35, 0)).name
        'equivalent'
    """
    of_column = _known_margin(column)
    if math.isnan(first) or math.isnan(difference.low) or math.isnan(difference.high):
        return Verdict(UNDECIDED, "no interval")
    low, high = first + difference.low, first + difference.high
    return Verdict(_place(of_column, first, low, high))


def _known_margin(column: str) -> Margin:
    of_column = margin(column)
    if of_column is None:
        known = ", ".join(MARGINS)
        raise ValueError(f"Column {column!r} has no margin. Known: {known}")
    return of_column


def _place(
    of_column: Margin,
    reference: float,
    low: float,
    high: float,
    digits: int | None = None,
) -> str:
    """The verdict on the interval [low, high]."""
    least, most = of_column.bounds(reference)
    if digits is not None:
        least, most, low, high = (
            round(value, digits) for value in (least, most, low, high)
        )
    if least <= low and high <= most:
        return EQUIVALENT
    if low > most:
        return BETTER if of_column.higher_is_better else WORSE
    if high < least:
        return WORSE if of_column.higher_is_better else BETTER
    return UNDECIDED
