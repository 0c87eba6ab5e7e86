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
from collections.abc import Mapping, Sequence

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
        f"{AS_RECORDED} of docs/demo.json; within: inside the recorded 95 % interval, "
        "as after training on another machine; measured: time or memory, which depend "
        "on the machine; differs: everything else"
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
class Read:
    """A row's result file.

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
    known: Mapping[str, Table] = tables.TABLES,
    record: pathlib.Path = recorded.RECORDED,
) -> list[Check]:
    """Check every number that the report prints or docs/demo.json records.

    Args:
        results: Folder of results.
        profile: Name of the profile.
        names: Tables; none takes all.
        folders: Where the data are, to compare with the stored predictions; None
            believes the counts, as far as they agree.
        known: All tables by name.
        record: The file of recorded numbers.

    Returns:
        One check for each reported number. Where all results are of the phantom, one
        for each recorded number instead.

    Raises:
        ValueError: if a table is unknown, the record is damaged, or the report prints
            no number of a named table and the record has none.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"Unknown table {unknown[0]!r}. Known: {', '.join(known)}")
    numbers = recorded.read(record)
    for name in names:
        if name not in numbers and not known[name].has_reported_numbers:
            raise ValueError(f"The report prints no number of {name!r}.")
    chosen = [known[name] for name in names or known]
    chosen = [table for table in chosen if table.has_profile(profile)]
    rows = Catalog({table.name: table.shown for table in known.values()})
    read = {
        row.id: _read(results, profile, row, folders, rows)
        for table in chosen
        for row in table.shown
    }
    phantom = _identities(read.values()) == {"phantom"}
    checks = []
    for table in chosen:
        own = _identities(read[row.id] for row in table.shown)
        if table.name not in numbers and not table.has_reported_numbers:
            continue
        if own == {"phantom"} or (not own and phantom):
            checks += _regression(table, read, numbers, profile)
        elif table.has_reported_numbers:
            checks += _comparison(table, read, results)
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
    known: Mapping[str, Table] = tables.TABLES,
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
        lines += ["", known[name].caption]
        lines += [_line(check, known[name].digits) for check in of_table]
    return "\n".join([*lines, "", conclusion(checks)]) + "\n"


def _read(
    results: pathlib.Path, profile: str, row: Row, folders, rows: Catalog
) -> Read:
    path = stored.result_file(results, profile, row.id)
    try:
        result = stored.load_result(results, profile, row)
    except ValueError as error:
        return Read(None, (str(error),))
    if result is None:
        return Read(None)
    faults = result.faults(row, profile)
    if folders and not faults and result.is_current(row):
        faults = _recount(result, row, profile, folders, rows)
    if faults:
        again = (
            f"`ich-tf reproduce {row.id} --profile {profile} --fresh` makes it again"
        )
        return Read(None, (*(f"{path}: {fault}" for fault in faults), again))
    return Read(result)


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


def _identities(read) -> set[str]:
    return {row_result.result.identity for row_result in read if row_result.result}


def _comparison(
    table: Table, read: Mapping[str, Read], results: pathlib.Path
) -> list[Check]:
    """A check for each number that the report prints."""
    checks = []
    pooled = {
        row.id: table_cells.with_seeds(table, row, read[row.id].result, results)
        for row in table.shown
    }
    for group, row in itertools.product(table.groups_under(PROTOCOL), table.shown):
        result, seeds = pooled[row.id]
        for cell in table_cells.row_cells(table, row, result, group, seeds):
            if cell.reported is not None:
                unusable = _unusable(read[row.id], row)
                checks.append(_check(REPORT, cell.reported, cell, unusable))
    return checks


def _regression(
    table: Table, read: Mapping[str, Read], numbers: Recorded, profile: str
) -> list[Check]:
    """A check for each number of a table on the phantom, each training once."""
    known = recorded.Lookup(table, numbers, profile)
    checks = []
    for group, row in itertools.product(table.groups_under(PROTOCOL), table.shown):
        for cell in table_cells.row_cells(table, row, read[row.id].result, group):
            if cell.same_training:
                continue
            before = known.find(cell)
            verdict = _unusable(read[row.id], row) or judge_recorded(before, cell)
            expected = before["ours"] if before else None
            checks.append(_check(REGRESSION, expected, cell, verdict))
    return checks


def _check(
    kind: str, expected: float | None, cell: Cell, judged: tuple[str, str] | None
) -> Check:
    if judged is not None:
        verdict, reason = judged
        cell = dataclasses.replace(cell, verdict=verdict, reason=reason)
    return Check(kind, expected, cell)


def judge_recorded(before: RecordedCell | None, cell: Cell) -> tuple[str, str]:
    """The verdict on a number of the phantom, and its reason: see `RULES`.

    Args:
        before: The record, or None.
        cell: Ours.
    """
    if cell.verdict == "not run":
        return "not run", cell.reason
    if before is None or before["verdict"] == "not run":
        return "not comparable", "there is no record of it, or of other settings"
    if before["row"] != cell.row:
        return "not comparable", f"recorded as {before['row']!r}"
    if cell.column in MEASURED:
        return "measured", "depends on the machine"
    if before["cases"] != cell.cases:
        return "differs", f"recorded over {before['cases']}, ours over {cell.cases}"
    if cell.ours is None or before["ours"] is None:
        same = cell.ours is None and before["ours"] is None
        return ("as recorded", "undefined") if same else ("differs", "undefined")
    if not math.isfinite(cell.ours):
        return "differs", "not finite"
    if abs(cell.ours - before["ours"]) <= AS_RECORDED:
        return "as recorded", ""
    low, high = before["low"], before["high"]
    inside = low is not None and low <= cell.ours <= high
    return ("within", "") if inside else ("differs", "")


def _unusable(read: Read, row: Row) -> tuple[str, str] | None:
    """Why a row's numbers are not judged, None if they are."""
    if read.faults:
        return "differs", "; ".join(read.faults)
    if read.result and not read.result.is_current(row):
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
