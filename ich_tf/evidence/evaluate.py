"""Scores of any masks under every protocol that needs only masks.

Published Dice scores of one and the same masks differ by how empty slices count, what
is averaged, and whether masks are closed and opened first. Here one pair of folders is
scored under all of these conventions, so that a printed number can be placed.
"""

import dataclasses
import os
import re
from collections.abc import Callable, Mapping

import numpy as np

from ich_tf import metrics
from ich_tf.evidence import conventions, mask_counts, mask_files, verdicts
from ich_tf.evidence.mask_counts import ANY, PairCounts
from ich_tf.evidence.mask_files import Fault
from ich_tf.evidence.mask_scores import COMPARED, Comparison, Evaluation
from ich_tf.metrics import PROTOCOLS, Protocol, intervals
from ich_tf.metrics.resampling import Interval

AS_GIVEN = "_as_given"
"""End of the name of a protocol without its closing and opening."""
PIXELS = {
    "pixel_sensitivity": ("tp", "fn"),
    "pixel_specificity": ("tn", "fp"),
}
"""Shares of all pixels of all cases that the protocol keeps: the first count among the
sum of both."""


def evaluate(
    prediction: str | os.PathLike,
    truth: str | os.PathLike,
    *,
    ct_ich_subjects: bool = False,
    reported: Mapping[str, str | float] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Score predicted masks against true ones.

    One case is in memory at a time. Masks may hold one label or several; with several
    on both sides each label is scored, and all together as "any".

    Args:
        prediction: A NIfTI file or a folder of them.
        truth: Likewise; `mask_files.match` says which names belong together.
        ct_ich_subjects: Whether the cases are patients of ct-ich, named by their
            numbers (49 to 130), so that a protocol's exclusions apply.
        reported: Score ("jaccard", "dice", "sensitivity", "specificity") to a printed
            number; as text, its digits decide to how many ours are rounded.
        say: Takes a line of progress.

    Returns:
        The scores; cases with a fault are left out and listed.

    Raises:
        ValueError: if no pair of masks can be compared, a printed number is not within
            [0, 1], or a ct-ich patient's number is missing from a name.

    Example:
        >>> scores = evaluate("predicted", "masks", reported={"dice": "0.433"})
        >>> scores.summary["any"]["hssayeni2020"]["dice"].mean
    """
    printed = _check_reported(reported or {})
    pairs, faults, notes = mask_files.match(prediction, truth)
    chosen = _protocols(ct_ich_subjects)
    rules = list({str(rule.mask_rule()): rule for rule in chosen.values()}.values())
    counted: list[PairCounts] = []
    for number, pair in enumerate(pairs, start=1):
        patient = _patient(pair.case) if ct_ich_subjects else pair.case
        try:
            counted.append(mask_counts.count(pair, rules, patient))
        except mask_counts.FaultyPair as error:
            faults.append(error.fault)
        if number % 20 == 0:
            say(f"{number} of {len(pairs)} pairs of masks")
    if not counted:
        first = f"{faults[0].case}: {faults[0].message}"
        raise ValueError(f"No pair of masks can be compared. {first}")
    scores = _evaluation(counted, chosen, rules, faults, printed, ct_ich_subjects)
    return dataclasses.replace(scores, notes=[*notes, *scores.notes])


def _evaluation(
    counted: list[PairCounts],
    chosen: dict[str, Protocol],
    rules: list[Protocol],
    faults: list[Fault],
    printed: dict[str, str],
    ct_ich: bool,
) -> Evaluation:
    by_label, notes = _by_label(counted)
    cases_of = {
        label: {
            name: _counts(counted, value, rules, protocol)
            for name, protocol in chosen.items()
        }
        for label, value in by_label.items()
    }
    summary = {
        label: {
            name: _scores(cases, chosen[name], ct_ich) for name, cases in of.items()
        }
        for label, of in cases_of.items()
    }
    if ct_ich:
        notes += _no_exclusion(cases_of["any"], chosen)
    sweep = conventions.mask_rules()
    swept = conventions.score(
        sweep, [(_counts(counted, ANY, rules, rule), []) for rule in sweep], ct_ich
    )
    return Evaluation(
        cases=_cases(cases_of["any"], chosen),
        protocols={name: protocol.description for name, protocol in chosen.items()},
        summary=summary,
        conventions=swept,
        comparisons=_compare(summary["any"], printed),
        faults=faults,
        notes=notes,
    )


def _no_exclusion(
    cases_of: dict[str, list[dict]], chosen: dict[str, Protocol]
) -> list[str]:
    """A note if no protocol finds a patient that it excludes."""
    if any(metrics.excluded(cases, chosen[name]) for name, cases in cases_of.items()):
        return []
    first = next(iter(cases_of.values()))[0]
    patients = ", ".join(map(str, conventions.PUBLISHED.excluded_patients))
    return [
        f"the exclusions of ct-ich patients had no effect: no case is patient "
        f"{patients} ({first['case_id']} counts as patient {int(first['patient_id'])})"
    ]


def _protocols(ct_ich: bool) -> dict[str, Protocol]:
    """Every protocol, those with closing and opening also without."""
    chosen = {}
    for name, protocol in PROTOCOLS.items():
        # The bugs of [2]'s code drop patients by their numbers.
        if protocol.published_bugs and not ct_ich:
            continue
        chosen[name] = protocol
        if (protocol.closing or protocol.opening) and not protocol.published_bugs:
            chosen[name + AS_GIVEN] = dataclasses.replace(
                protocol,
                name=name + AS_GIVEN,
                description=f"{name} without closing and opening: masks as given.",
                closing=0,
                opening=0,
            )
    return chosen


def _by_label(counted: list[PairCounts]) -> tuple[dict[str, int], list[str]]:
    """What is scored: name to label value; and notes."""
    truths = sorted({value for pair in counted for value in pair.truth_labels})
    predicted = sorted({value for pair in counted for value in pair.predicted_labels})
    scored, notes = {"any": ANY}, []
    if len(truths) > 1 and len(predicted) > 1:
        scored |= {str(value): value for value in sorted({*truths, *predicted})}
        for side, only in (
            ("predicted", set(predicted) - set(truths)),
            ("true", set(truths) - set(predicted)),
        ):
            if only:
                shown = ", ".join(map(str, sorted(only)))
                notes.append(f"labels in {side} masks only: {shown}")
    elif len(truths) > 1 or len(predicted) > 1:
        notes.append(
            f"true masks hold labels {truths}, predicted ones {predicted}: scored "
            "together as one"
        )
    return scored, notes


def _counts(
    counted: list[PairCounts], label: int, rules: list[Protocol], wanted: Protocol
) -> list[dict]:
    """The counts of each case for a label under the rule of a protocol."""
    number = [rule.mask_rule() for rule in rules].index(wanted.mask_rule())
    return [
        pair.counts.get((label, number))
        or mask_counts.without_pixels(pair.counts[ANY, number])
        for pair in counted
    ]


def _scores(cases: list[dict], protocol: Protocol, ct_ich: bool) -> dict[str, Interval]:
    scores = {
        name: intervals.bootstrap_ratio(*metrics.terms(cases, protocol, name, ct_ich))
        for name in metrics.METRICS
    }
    kept = metrics.kept(cases, protocol) if ct_ich else cases
    patients = [case["patient_id"] for case in kept]
    for name, (hit, missed) in PIXELS.items():
        hits, misses = (
            np.array([sum(case[count]) for case in kept]) for count in (hit, missed)
        )
        scores[name] = intervals.bootstrap_ratio(hits, hits + misses, patients)
    return scores


def _cases(cases_of: dict[str, list[dict]], chosen: dict[str, Protocol]) -> dict:
    """The volumes of each case as given, and its own scores under each protocol."""
    as_given = next(name for name, rule in chosen.items() if not rule.closing)
    kept = ("truth_pixels", "predicted_pixels", "truth_ml", "predicted_ml")
    cases = {
        case["case_id"]: {**{name: case[name] for name in kept}, "scores": {}}
        for case in cases_of[as_given]
    }
    for name, counts in cases_of.items():
        for case in counts:
            scores = metrics.case_scores(case, chosen[name])
            cases[case["case_id"]]["scores"][name] = scores
    return cases


def _compare(
    summary: dict[str, dict[str, Interval]], printed: dict[str, str]
) -> list[Comparison]:
    comparisons = []
    for score, text in printed.items():
        digits = len(text.partition(".")[2])
        for protocol, scores in summary.items():
            ours, value = scores[score], float(text)
            verdict = verdicts.decide(score, value, ours.low, ours.high, digits=digits)
            comparisons.append(Comparison(score, protocol, value, ours, verdict.name))
    return comparisons


def _check_reported(reported: Mapping[str, str | float]) -> dict[str, str]:
    checked = {}
    for score, value in reported.items():
        text = str(value)
        if score not in COMPARED:
            raise ValueError(
                f"A printed {score!r} cannot be compared. Known: {', '.join(COMPARED)}."
            )
        if not re.fullmatch(r"[01](\.[0-9]+)?", text) or float(text) > 1:
            raise ValueError(f"A printed {score} lies in [0, 1]. Received: {text}")
        checked[score] = text
    return checked


def _patient(case: str) -> str:
    """The number of a ct-ich patient in the name of a case, as three digits."""
    numbers = re.findall(r"[0-9]+", case)
    if not numbers or len(numbers[-1].lstrip("0")) > 3:
        raise ValueError(
            f"{case} names no patient of ct-ich; their names are numbers, such as 049. "
            "Leave --ct-ich-subjects out for other data."
        )
    return f"{int(numbers[-1]):03d}"
