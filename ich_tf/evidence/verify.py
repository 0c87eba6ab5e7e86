"""A verdict for each number of the report, from result files that are checked first.

Means are computed again from the counts of each case, so that an edited file is
noticed. Results on the phantom are compared with the phantom's own recorded numbers
instead: a regression check, which says nothing about the report.
"""

import dataclasses
import itertools
import json
import logging
import math
import pathlib
import typing
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ich_tf.evidence import recorded, render, table_cells, tables, verdicts
from ich_tf.evidence.recorded import Recorded, RecordedCell
from ich_tf.evidence.table_cells import Cell
from ich_tf.evidence.tables import PROTOCOL, Table
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import Catalog
from ich_tf.experiments.results import Result
from ich_tf.experiments.spec import Row
from ich_tf.metrics import display

if typing.TYPE_CHECKING:
    from ich_tf.experiments import runner

LOGGER = logging.getLogger(__name__)
REPORT, REGRESSION = "report", "regression"
AS_RECORDED = 0.0005
MEASURED = ("seconds_per_epoch", "peak_memory_gb")
"""Columns that depend on the machine; a record of them is only known to exist."""
PASSED = (verdicts.EQUIVALENT, "as recorded", "within", "measured")
OTHER = (verdicts.BETTER, verdicts.WORSE, "differs")
"""Verdicts on a number that is shown to be another one."""
RULES = {
    REPORT: f"{verdicts.RULE}; differs: the result file contradicts itself",
    REGRESSION: (
        "regression check on the phantom, no reproduction. As recorded: within "
        f"{AS_RECORDED} of the record; within: inside the recorded 95 % interval, "
        "as after training on another machine; measured: time or memory, which depend "
        "on the machine; not comparable: no record with the same settings, or a number "
        "outside its interval after training in another precision; differs: everything "
        "else"
    ),
}


@dataclasses.dataclass(frozen=True)
class Check:
    """One number and what is expected of it.

    Attributes:
        kind: `REPORT` or `REGRESSION`.
        expected: The report's number, or the recorded one.
        cell: Ours with its verdict; on the phantom also "as recorded", "within" and
            "measured".
    """

    kind: str
    expected: float | None
    cell: Cell

    @property
    def verdict(self) -> str:
        """The verdict on our number."""
        return self.cell.verdict


@dataclasses.dataclass(frozen=True)
class CheckedResult:
    """A row's result, as far as its file is believed.

    Attributes:
        result: None if the row was not run, or its file is faulty.
        faults: Why the file is not believed.
    """

    result: Result | None
    faults: tuple[str, ...] = ()


def verify(
    results: pathlib.Path,
    profile: str,
    names: Sequence[str] = (),
    folders: "runner.Folders | None" = None,
    *,
    all_tables: Mapping[str, Table] = tables.TABLES,
    record: pathlib.Path | None = None,
) -> list[Check]:
    """Check every number that the report prints or the profile's record holds.

    Args:
        results: Folder of results.
        profile: Name of the profile.
        names: Tables; none takes all.
        folders: Where the data are, to compare with the stored predictions; None
            believes the counts, as far as they agree.
        all_tables: By name.
        record: The file of recorded numbers; None takes the profile's, and the demo's
            for a profile without.

    Returns:
        One check for each reported number. Where all results are of the phantom, one
        for each recorded number instead.

    Raises:
        ValueError: if a table is unknown, the record is damaged, or the report prints
            no number of a named table and the record has none.
    """
    unknown = [name for name in names if name not in all_tables]
    if unknown:
        listed = ", ".join(all_tables)
        raise ValueError(f"Unknown table {unknown[0]!r}. Known: {listed}")
    known = recorded.RECORDS.get(profile, recorded.RECORDED)
    numbers = recorded.read(record or known)
    for name in names:
        if name not in numbers and not all_tables[name].has_reported_numbers:
            raise ValueError(f"The report prints no number of {name!r}.")
    chosen = [all_tables[name] for name in names or all_tables]
    chosen = [table for table in chosen if table.has_profile(profile)]
    rows = Catalog({table.name: table.shown for table in all_tables.values()})
    checked = {
        row.id: _checked(results, profile, row, folders, rows)
        for table in chosen
        for row in table.shown
    }
    phantom = _identities(checked.values()) == {"phantom"}
    checks = []
    for table in chosen:
        own = _identities(checked[row.id] for row in table.shown)
        if table.name not in numbers and not table.has_reported_numbers:
            continue
        if own == {"phantom"} or (not own and phantom):
            checks += _regression(table, checked, numbers, profile, results)
        elif table.has_reported_numbers:
            checks += _comparison(table, checked, results)
    return checks


def status(checks: Sequence[Check]) -> int:
    """What all checks together mean.

    Returns:
        0 if every number passed, 1 if one is better, worse or differs, 2 if nothing
        did but a number is undecided, was not run or cannot be compared.
    """
    given = {check.verdict for check in checks}
    if given & set(OTHER):
        return 1
    return 0 if given and given <= set(PASSED) else 2


def conclusion(checks: Sequence[Check]) -> str:
    """What all checks together mean, in a sentence."""
    if not checks:
        return "nothing was checked"
    counts = Counter(check.verdict for check in checks)
    listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    if REGRESSION not in {check.kind for check in checks}:
        return listed
    outcome = {0: "passed", 1: "failed"}.get(status(checks), "is incomplete")
    if any(check.kind == REPORT for check in checks):
        return f"{listed}\nregression check {outcome} on the phantom's tables"
    return f"{listed}\nregression check {outcome}; nothing was reproduced"


def text(
    checks: Sequence[Check],
    as_json: bool = False,
    all_tables: Mapping[str, Table] = tables.TABLES,
) -> str:
    """The checks as text, one a line, or as JSON with the rules and the status."""
    kinds = list(dict.fromkeys(check.kind for check in checks))
    if as_json:
        content = {
            "status": status(checks),
            "conclusion": conclusion(checks),
            "rules": {kind: RULES[kind] for kind in kinds},
            "checks": [_as_json(check) for check in checks],
        }
        return json.dumps(content, indent=1, allow_nan=False) + "\n"
    lines = [f"{kind}: {RULES[kind]}" for kind in kinds]
    for name, of_table in itertools.groupby(checks, lambda check: check.cell.table):
        lines += ["", all_tables[name].caption]
        lines += [_line(check, all_tables[name].digits) for check in of_table]
    return "\n".join([*lines, "", conclusion(checks)]) + "\n"


def _checked(
    results: pathlib.Path, profile: str, row: Row, folders, rows: Catalog
) -> CheckedResult:
    path = stored.result_file(results, profile, row.id)
    try:
        result = stored.load_result(results, profile, row)
    except ValueError as error:
        return CheckedResult(None, (str(error),))
    if result is None:
        return CheckedResult(None)
    faults = result.faults(row, profile)
    if folders and not faults and result.is_current(row):
        faults = _recount(result, row, profile, folders, rows)
    if faults:
        command = stored.command(row.id, profile, options="--fresh")
        again = f"{command} makes it again"
        return CheckedResult(None, (*(f"{path}: {fault}" for fault in faults), again))
    return CheckedResult(result)


def _recount(
    result: Result, row: Row, profile: str, folders, rows: Catalog
) -> list[str]:
    """Disagreements with the stored predictions and the data."""
    # TensorFlow opens the data; without `--recount` it is not needed.
    from ich_tf.experiments import lookup

    (run,) = lookup.find_runs([row.id], profile, folders, LOGGER.info, rows=rows)
    try:
        return run.task.recount(run, result)
    except ValueError as error:
        return [str(error)]


def _identities(checked: Iterable[CheckedResult]) -> set[str]:
    return {each.result.identity for each in checked if each.result}


def _comparison(
    table: Table, checked: Mapping[str, CheckedResult], results: pathlib.Path
) -> list[Check]:
    """A check for each number that the report prints."""
    pooled = _pooled(table, checked, results)
    checks = []
    for group, row in itertools.product(table.groups_under(PROTOCOL), table.shown):
        result, seeds = pooled[row.id]
        for cell in table_cells.row_cells(table, row, result, group, seeds):
            if cell.reported is not None:
                unusable = _unusable(checked[row.id], row)
                checks.append(_check(REPORT, cell.reported, cell, unusable))
    return checks


def _pooled(
    table: Table, checked: Mapping[str, CheckedResult], results: pathlib.Path
) -> dict[str, tuple[Result | None, int]]:
    """Result and number of seeds of each row, by id."""
    return {
        row.id: table_cells.with_seeds(table, row, checked[row.id].result, results)
        for row in table.shown
    }


def _regression(
    table: Table,
    checked: Mapping[str, CheckedResult],
    numbers: Recorded,
    profile: str,
    results: pathlib.Path,
) -> list[Check]:
    """A check for each number of a table on the phantom, each training once."""
    records = recorded.RecordsOfTable(table, numbers, profile)
    pooled = _pooled(table, checked, results)
    checks = []
    for group, row in itertools.product(table.groups_under(PROTOCOL), table.shown):
        result, seeds = pooled[row.id]
        for cell in table_cells.row_cells(table, row, result, group, seeds):
            if cell.same_training:
                continue
            record = records.of_cell(cell)
            verdict = _unusable(checked[row.id], row) or judge_recorded(
                record, cell, records.other_precision(result)
            )
            expected = record["ours"] if record else None
            checks.append(_check(REGRESSION, expected, cell, verdict))
    return checks


def _check(
    kind: str, expected: float | None, cell: Cell, judged: tuple[str, str] | None
) -> Check:
    if judged is not None:
        verdict, reason = judged
        cell = dataclasses.replace(cell, verdict=verdict, reason=reason)
    return Check(kind, expected, cell)


def judge_recorded(
    record: RecordedCell | None, cell: Cell, other_precision: str = ""
) -> tuple[str, str]:
    """The verdict on a number of the phantom, and its reason: see `RULES`.

    Args:
        record: The recorded number, or None.
        cell: Ours.
        other_precision: How the precision of its training differs from the record's.
    """
    if cell.verdict == "not run":
        return "not run", cell.reason
    if record is None or record["verdict"] == "not run":
        return "not comparable", "no record of it, or only one with other settings"
    if record["row"] != cell.row:
        return "not comparable", f"recorded as {record['row']!r}"
    if cell.column in MEASURED:
        return "measured", "depends on the machine"
    if record["cases"] != cell.cases:
        return "differs", f"recorded over {record['cases']}, ours over {cell.cases}"
    if cell.ours is None or record["ours"] is None:
        same = cell.ours is None and record["ours"] is None
        return ("as recorded", "undefined") if same else ("differs", "undefined")
    if not math.isfinite(cell.ours):
        return "differs", "not finite"
    if abs(cell.ours - record["ours"]) <= AS_RECORDED:
        return "as recorded", ""
    low, high = record["low"], record["high"]
    inside = low is not None and low <= cell.ours <= high
    if not inside and other_precision:
        return "not comparable", other_precision
    return ("within", "") if inside else ("differs", "")


def _unusable(checked: CheckedResult, row: Row) -> tuple[str, str] | None:
    """Why a row's numbers are not judged, None if they are."""
    if checked.faults:
        return "differs", "; ".join(checked.faults)
    if checked.result and not checked.result.is_current(row):
        return "not comparable", stored.OTHER_SETTINGS
    return None


def _as_json(check: Check) -> dict:
    content = render.as_json(check.cell)
    return {"kind": check.kind, "expected": check.expected, **content}


def _line(check: Check, digits: int) -> str:
    cell = check.cell
    expected, ours = (
        display.number(value, digits) for value in (check.expected, cell.ours)
    )
    line = f"  {cell.row}, {cell.column}: {expected} | {ours}: {cell.verdict}"
    return f"{line} ({cell.reason})" if cell.reason else line
