"""The numbers of a table: the report's next to ours, with the verdict on each."""

import dataclasses
import itertools
import math
import pathlib
from collections.abc import Collection, Iterable, Mapping

from ich_tf.evidence import verdicts
from ich_tf.evidence.tables import PROTOCOL, Table
from ich_tf.evidence.verdicts import Verdict
from ich_tf.experiments import results as stored
from ich_tf.experiments.results import Result
from ich_tf.experiments.spec import Row

POOLED = ("study",)
"""Profiles whose rows are trained with several seeds."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number of the report and ours.

    Attributes:
        table: Name of the table.
        row: Title of the row, with the weights it ran from if it wants others.
        experiment: Id of the row.
        group: Class or protocol.
        column: "jaccard", "dice", ...
        reported: The printed number; None where the report prints none.
        ours: Our number; None if not run or undefined.
        low: Lower bound of our 95 % confidence interval.
        high: Upper bound.
        cases: Number of patients or slices in the average.
        undefined: Number left out of it because they have no defined value.
        verdict: One of `verdicts.VERDICTS`; from `verify` also "differs", and on the
            phantom "as recorded", "within" and "measured".
        reason: Why a number cannot be compared, or differs.
        trivial: Accuracy of never predicting hemorrhage on the same cases; None where
            the column is no accuracy.
        seeds: Number of trainings that the number is the mean of.
        same_training: Id of the row whose training this is; such a cell is compared
            with nothing. "" where the row has its own.
    """

    table: str
    row: str
    experiment: str
    group: str
    column: str
    reported: float | None
    ours: float | None
    low: float | None
    high: float | None
    cases: int | None
    undefined: int | None
    verdict: str
    reason: str
    trivial: float | None = None
    seeds: int = 1
    same_training: str = ""

    @property
    def difference(self) -> float | None:
        """Ours minus the report's."""
        if self.ours is None or self.reported is None:
            return None
        return self.ours - self.reported

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Table, row, group and column."""
        return self.table, self.experiment, self.group, self.column


def empty(table: Table, protocol: str = PROTOCOL) -> list[Cell]:
    """The cells of a table as if nothing had been run."""
    return [
        cell
        for group, row in itertools.product(table.groups_under(protocol), table.shown)
        for cell in row_cells(table, row, None, group)
    ]


def of_table(
    table: Table,
    results: pathlib.Path,
    profile: str,
    protocol: str = PROTOCOL,
    without: Collection[str] = (),
) -> list[Cell]:
    """Every number of a table next to ours.

    A result that was made with other settings than the row has now is shown, and
    compared with nothing.

    Args:
        table: The table.
        results: Folder of results.
        profile: Name of the profile.
        protocol: Name of the protocol of masks.
        without: Ids of rows that count as not run.

    Raises:
        ValueError: if a result is damaged.
    """
    loaded = {}
    for row in table.shown:
        result = stored.load_result(results, profile, row, without)
        loaded[row.id] = with_seeds(table, row, result, results)
    made = []
    for group, row in itertools.product(table.groups_under(protocol), table.shown):
        result, seeds = loaded[row.id]
        of_row = row_cells(table, row, result, group, seeds)
        if result and not result.is_current(row):
            of_row = [
                dataclasses.replace(
                    cell, verdict="not comparable", reason=stored.OTHER_SETTINGS
                )
                for cell in of_row
            ]
        made += of_row
    return made


def with_seeds(
    table: Table, row: Row, result: Result | None, results: pathlib.Path
) -> tuple[Result | None, int]:
    """A result pooled with the row's other seeds, and the number of seeds.

    A result is pooled that is compared with the report or belongs to a profile of
    several seeds, and only with seeds that were made with the same settings from the
    same weights on the same data and agree with themselves.

    Args:
        table: The table.
        row: The row.
        result: The result of seed 0; None if it was not run.
        results: Folder of results.

    Raises:
        ValueError: if the file of a seed is damaged.
    """
    if result is None:
        return result, 1
    compared = row.reported and not not_comparable(result, table.identity)
    if not compared and result.profile not in POOLED:
        return result, 1
    others = [
        other
        for other in stored.further_seeds(results, result.profile, row)
        if other.is_current(row)
        and other.data == result.data
        and other.folds == result.folds
        and other.init == result.init
        and not other.faults(row, result.profile)
    ]
    if not others or not result.is_current(row):
        return result, 1
    return result.pooled(others), 1 + len(others)


def row_cells(
    table: Table, row: Row, result: Result | None, group: str, seeds: int = 1
) -> list[Cell]:
    """Every number of one row, for a protocol or a class."""
    return [_cell(table, row, column, result, group, seeds) for column in table.columns]


def _cell(
    table: Table,
    row: Row,
    column: str,
    result: Result | None,
    group: str,
    seeds: int,
) -> Cell:
    reported = row.number(table.reported_in, group, column)
    score = result.score(group, column) if result else {}
    title = table.title(row, group, result)
    trivial = gain = None
    if result and column.startswith("accuracy_"):
        level = column.removeprefix("accuracy_")
        # Results of an earlier version hold neither.
        scores = result.summary[group]
        trivial = scores.get(f"trivial_accuracy_{level}", {}).get("mean")
        gain = scores.get(f"accuracy_gain_{level}", {}).get("low")
    verdict = judge(table, column, reported, score, result, gain)
    return Cell(
        table=table.name,
        row=title,
        experiment=row.id,
        group=group,
        column=column,
        reported=reported,
        ours=score.get("mean"),
        low=score.get("low"),
        high=score.get("high"),
        cases=score.get("n"),
        undefined=score.get("n_undefined"),
        verdict=verdict.name,
        reason=verdict.reason,
        trivial=trivial,
        seeds=seeds,
        same_training=row.same_training(result) or "",
    )


def judge(
    table: Table,
    column: str,
    reported: float | None,
    score: Mapping,
    result: Result | None,
    gain_low: float | None = None,
) -> Verdict:
    """The verdict on one number, see `verdicts`.

    Only a result on all cases of the report's own data, recognised by their
    fingerprint, is compared.

    Args:
        table: The table.
        column: Name of the column.
        reported: The printed number, or None.
        score: `low` and `high` of ours.
        result: The result, or None.
        gain_low: Lower bound of an accuracy's gain over never predicting hemorrhage.
    """
    if result is None:
        return Verdict(verdicts.NOT_RUN, "no result")
    reason = not_comparable(result, table.identity)
    if reason:
        return Verdict(verdicts.NOT_COMPARABLE, reason)
    if reported is None:
        return Verdict(verdicts.NOT_COMPARABLE, "the report prints no number")
    gain = math.nan if gain_low is None else gain_low
    low, high = score.get("low"), score.get("high")
    return verdicts.decide(
        column, reported, low, high, digits=table.digits, gain_low=gain
    )


def not_comparable(result: Result, identity: str) -> str:
    """Why a result says nothing about the report's numbers; "" if it does."""
    if result.identity == f"{identity} (partial)":
        return f"data: a part of {identity}; patients or masks are missing"
    if result.identity != identity:
        return f"data: {result.identity}, not {identity}"
    if not result.covers_reported_cases:
        return "evaluated on other cases than the report's"
    if not result.began_as_wanted:
        return f"initialised with {result.init} weights"
    return ""


def notes_of(
    table: Table,
    made: Iterable[Cell],
    results: pathlib.Path,
    profile: str,
    without: Collection[str] = (),
) -> list[str]:
    """What should be read with a table: reasons, held-out cases, deviations.

    Args:
        table: The table.
        made: Its cells.
        results: Folder of results.
        profile: Name of the profile.
        without: Ids of rows that count as not run.
    """
    made = list(made)
    notes = list(
        dict.fromkeys(f"{cell.verdict}: {cell.reason}" for cell in made if cell.reason)
    )
    deviations: list[str] = []
    for row in table.shown:
        result = stored.load_result(results, profile, row, without)
        if result is None:
            continue
        if not row.reported:
            notes.append(f"{row.id}: the report says: {row.states}")
        deviations += [text for text in result.deviations if text not in deviations]
        notes.append(f"{row.id}: {result.details()}")
        seeds = {cell.seeds for cell in made if cell.experiment == row.id}
        if max(seeds, default=1) > 1:
            notes.append(f"{row.id}: mean of {max(seeds)} seeds")
    notes += [f"deviation: {text}" for text in deviations]
    return [*notes, *table.notes]
