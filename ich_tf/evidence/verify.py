"""A verdict for each number of the report, from result files that are checked first.

Means are computed again from the counts of each case, so that an edited file is
found. Results on the phantom are held against the phantom's own recorded numbers
instead: a regression check, which says nothing about the report.
"""

import dataclasses
import itertools
import json
import logging
import math
import pathlib
import typing
from collections.abc import Sequence

from ich_tf import files, metrics
from ich_tf.data import ct_ich
from ich_tf.evidence import readme, tables
from ich_tf.experiments import profiles, provenance, spec
from ich_tf.experiments import results as stored
from ich_tf.metrics import display, evaluation

if typing.TYPE_CHECKING:
    from ich_tf.experiments import runner

LOGGER = logging.getLogger(__name__)
REPORT, REGRESSION = "report", "regression"
PROTOCOL = "hssayeni2020"
AS_RECORDED = 0.0005
FULL_SIZE = 512
"""Side in pixels of ct-ich 1.3.1's slices, whose masks are published as counts."""
PASSED = ("reproduced", "close", "as recorded", "within")
RULES = {
    REPORT: (
        f"reproduced: within {tables.REPRODUCED} of the report and the reported number "
        f"inside our 95 % interval; close: within {tables.CLOSE}; differs: all else"
    ),
    REGRESSION: (
        f"regression check on the phantom, no reproduction. As recorded: within "
        f"{AS_RECORDED} of docs/demo.json; within: inside the recorded 95 % interval, "
        "as training on another machine may be; differs: all else"
    ),
}


@dataclasses.dataclass(frozen=True)
class Check:
    """One number held against what is expected of it.

    Attributes:
        kind: `REPORT` or `REGRESSION`.
        expected: The report's number, or the recorded one.
        cell: Ours with its verdict; of the phantom also "as recorded" and "within".
    """

    kind: str
    expected: float | None
    cell: tables.Cell

    @property
    def verdict(self) -> str:
        """The verdict on our number."""
        return self.cell.verdict


def verify(
    results: pathlib.Path,
    profile: str,
    names: Sequence[str] = (),
    folders: "runner.Folders | None" = None,
) -> list[Check]:
    """Check every number the report prints, in the order of its tables.

    Args:
        results: Folder of results.
        profile: Name of the profile.
        names: Names in `tables.TABLES`; none: all that hold a reported number.
        folders: Where the data are, to count masks again from the stored
            probabilities; None believes the counts, as far as they agree.

    Returns:
        One check for each reported number. Of a table whose results are all of the
        phantom, one for each recorded number.

    Raises:
        ValueError: if a table is unknown or the report prints none of its numbers, or
            if masks are to be counted again and the data are missing.
    """
    # What the report quotes from other papers is about their data.
    known = [
        name
        for name, (_, about, _) in tables.TABLES.items()
        if about != tables.OTHER_DATA and _cells(name)
    ]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"The report prints no number of {unknown[0]!r}. Known: {', '.join(known)}"
        )
    read = {
        experiment.id: _read(results, profile, experiment, folders)
        for name in names or known
        for experiment in tables.shown(name)
    }
    return [check for name in names or known for check in _table(name, profile, read)]


def status(checks: Sequence[Check]) -> int:
    """0 if every number passed, 1 if one differs, 2 if one was not run or compared."""
    verdicts = {check.verdict for check in checks}
    if "differs" in verdicts:
        return 1
    return 0 if verdicts and verdicts <= set(PASSED) else 2


def render(checks: Sequence[Check], as_json: bool = False) -> str:
    """The checks as text, one a line, or as JSON with the rules and the status."""
    kinds = list(dict.fromkeys(check.kind for check in checks))
    if as_json:
        content = {
            "status": status(checks),
            "rules": {kind: RULES[kind] for kind in kinds},
            "checks": [_as_json(check) for check in checks],
        }
        return json.dumps(content, indent=1, allow_nan=False) + "\n"
    lines = [f"{kind}: {RULES[kind]}" for kind in kinds]
    for table, found in itertools.groupby(checks, lambda check: check.cell.table):
        lines += ["", tables.TABLES[table][0]]
        lines += [_line(check) for check in found]
    counts = {}
    for check in checks:
        counts[check.verdict] = counts.get(check.verdict, 0) + 1
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return "\n".join([*lines, "", said or "nothing was checked"]) + "\n"


def faults(result: dict, experiment: spec.Experiment, profile: str) -> list[str]:
    """Why a result file is not to be believed: what in it contradicts the rest.

    Args:
        result: Content of the file.
        experiment: The row it should be of.
        profile: The profile it should be of.
    """
    try:
        return _identity_faults(result, experiment, profile) + _number_faults(result)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        return [f"it is damaged ({type(error).__name__}: {error})"]


def _cells(table: str) -> list[tables.Cell]:
    """The table's numbers as the report prints them, nothing run."""
    return [
        cell
        for group in tables.groups(table, PROTOCOL)
        for experiment in tables.shown(table)
        for cell in tables.row_cells(table, experiment, None, group)
        if cell.reported is not None
    ]


def _read(results: pathlib.Path, profile: str, experiment, folders) -> tuple:
    """A result, None if it was not run or is faulty, and its faults."""
    path = stored.result_file(results, profile, experiment.id)
    try:
        result = stored.load_result(results, profile, experiment.id)
    except ValueError as error:
        return None, [str(error)]
    if result is None:
        return None, []
    said = faults(result, experiment, profile)
    if folders and not said:
        from ich_tf.experiments import reproduce

        (run,) = reproduce.prepare([experiment.id], profile, folders, LOGGER.info)
        try:
            said = run.task.recount(run, result)
        except ValueError as error:
            said = [str(error)]
    found = [f"{path}: {fault}" for fault in said]
    return (None if found else result), found


def _table(table: str, profile: str, read: dict) -> list[Check]:
    rows = tables.shown(table)
    results = [read[row.id][0] for row in rows]
    identities = {result["data"]["identity"] for result in results if result}
    recorded = _recorded(table, profile) if identities == {"phantom"} else None
    checks = []
    for group, row in itertools.product(tables.groups(table, PROTOCOL), rows):
        result, found = read[row.id]
        unusable = _unusable(result, found, row, profile)
        for cell in tables.row_cells(table, row, result, group):
            if recorded is not None:
                before = recorded.get((row.id, tables.untagged(cell.row), cell.column))
                kind, expected = REGRESSION, before["ours"] if before else None
                judged = judge_recorded(before, cell, profile)
            elif cell.reported is not None:
                kind, expected = REPORT, cell.reported
                judged = cell.verdict, cell.reason
            else:
                continue
            verdict, reason = unusable or judged
            cell = dataclasses.replace(cell, verdict=verdict, reason=reason)
            checks.append(Check(kind, expected, cell))
    return checks


def _recorded(table: str, profile: str) -> dict[tuple, dict]:
    """The recorded cells by experiment, row without its initialisation, and column.

    Rows that were recorded with other settings than they have now are left out.
    """
    known = files.read_json(readme.RECORDED) if readme.RECORDED.is_file() else {}
    record = known.get(table, {"cells": []})
    settings = record.get("settings", {})
    changed = {
        row.id
        for row in tables.shown(table)
        if row.id in settings and settings[row.id] != _settings_digest(row, profile)
    }
    return {
        (cell["experiment"], tables.untagged(cell["row"]), cell["column"]): cell
        for cell in record["cells"]
        if cell["experiment"] not in changed
    }


def _settings_digest(row, profile: str) -> str:
    scale = profiles.profile(row.task, profile).for_row(row.id)
    return readme.settings_digest(spec.settings(row, scale))


def judge_recorded(
    recorded: dict | None, cell: tables.Cell, profile: str
) -> tuple[str, str]:
    """The verdict on a number of the phantom, and its reason: see `RULES`.

    Args:
        recorded: The cell in docs/demo.json, or None.
        cell: Ours.
        profile: What ours was made at; only the demo is recorded.
    """
    if cell.verdict == "not run":
        return "not run", cell.reason
    if profile != "demo" or recorded is None or recorded["verdict"] == "not run":
        return "not comparable", "there is no record of it, or of other settings"
    if recorded["row"] != cell.row:
        return "not comparable", f"recorded as {recorded['row']!r}"
    if recorded["cases"] != cell.cases:
        return "differs", f"recorded over {recorded['cases']}, ours over {cell.cases}"
    if cell.ours is None or recorded["ours"] is None:
        same = cell.ours is None and recorded["ours"] is None
        return ("as recorded", "undefined") if same else ("differs", "undefined")
    if abs(cell.ours - recorded["ours"]) <= AS_RECORDED:
        return "as recorded", ""
    low, high = recorded["low"], recorded["high"]
    inside = low is not None and low <= cell.ours <= high
    return ("within", "") if inside else ("differs", "")


def _unusable(result, found, experiment, profile) -> tuple[str, str] | None:
    """Why a row's numbers are not looked at, None if they are."""
    if found:
        return "differs", "; ".join(found)
    if result and not stored.is_current(result, experiment, profile):
        return "not comparable", stored.OTHER_SETTINGS
    return None


def _as_json(check: Check) -> dict:
    cell = dataclasses.asdict(check.cell)
    return {"kind": check.kind, "expected": check.expected, **cell}


def _line(check: Check) -> str:
    cell = check.cell
    expected, ours = (
        display.number(value, cell.table) for value in (check.expected, cell.ours)
    )
    line = f"  {cell.row}, {cell.column}: {expected} | {ours}: {cell.verdict}"
    return f"{line} ({cell.reason})" if cell.reason else line


def _identity_faults(result: dict, experiment, profile: str) -> list[str]:
    """Whether the file is of this row, and the data are what it says they are."""
    found = []
    if (result["experiment"], result["profile"]) != (experiment.id, profile):
        found.append(f"it is of {result['experiment']}, profile {result['profile']}")
    if result["wanted_init"] != spec.wanted_init(experiment):
        found.append(f"the row does not start from {result['wanted_init']} weights")
    known = result["data"]
    if result["spec"]["data"] != provenance.digest(known):
        found.append("its data are not those its specification was made for")
    if known["identity"] == "ct-ich 1.3.1":
        counts = {
            case_id: {name: case[name] for name in ("slices", "mask_voxels")}
            for case_id, case in known["cases"].items()
        }
        if counts != ct_ich.published_counts():
            found.append("its data have other counts than ct-ich 1.3.1 as published")
    return found


def _number_faults(result: dict) -> list[str]:
    """Whether cases, counts and summary agree."""
    # A classifier chooses no epoch, so [1]'s split holds out a validation part alone.
    parts = ("validation", "test") if "predictions" in result else ("test",)
    tested = [
        case_id for fold in result["folds"] for part in parts for case_id in fold[part]
    ]
    if len(tested) != len(set(tested)):
        return ["a case is held out in two folds"]
    if "predictions" in result:
        read = set(tested).difference(result["left_out"].get("scan_ids", ()))
        if set(result["predictions"]) != read:
            return ["its predictions are not those of its folds' held-out scans"]
        found = []
        summary = evaluation.score_slices(result["predictions"])
    else:
        found = _count_faults(result, set(tested))
        if found:
            return found
        summary = evaluation.summarise(result["counts"], result["data"]["identity"])
    for group, name in _unequal(result["summary"], summary):
        found.append(f"its summary of {group}, {name} is not what its cases give")
    return found


def _count_faults(result: dict, tested: set[str]) -> list[str]:
    found, cases = [], result["data"]["cases"]
    in_full = result["spec"]["profile"]["size"] == FULL_SIZE
    truth_known = in_full and result["data"]["identity"] == "ct-ich 1.3.1"
    if set(result["counts"]) != set(metrics.PROTOCOLS):
        found.append(f"it has counts of the protocols {', '.join(result['counts'])}")
    for name, counts in result["counts"].items():
        if set(counts) != tested:
            lost = ", ".join(sorted(tested ^ set(counts)))
            found.append(f"{name}: its counts are not of the test cases: {lost}")
        for case_id in sorted(tested & set(counts)):
            fault = _case_fault(case_id, counts[case_id], cases[case_id])
            if fault:
                found.append(f"{name}, case {case_id}: {fault}")
            elif truth_known and (
                counts[case_id]["truth_pixels"] != cases[case_id]["mask_voxels"]
            ):
                found.append(f"{name}, case {case_id}: counted in another mask")
    return found


def _case_fault(case_id: str, counts: dict, facts: dict) -> str | None:
    depth, height, width = counts["shape"]
    columns = [counts[name] for name in ("tp", "fp", "fn", "tn")]
    if counts["case_id"] != case_id:
        return f"the counts are of {counts['case_id']}"
    if any(len(column) != depth for column in columns) or depth != facts["slices"]:
        return f"counts of other slices than the data's {facts['slices']}"
    if not all(
        type(pixels) is int and pixels >= 0 for column in columns for pixels in column
    ):
        return "a count is not a whole number from 0 on"
    if any(sum(pixels) != height * width for pixels in zip(*columns, strict=True)):
        return f"a slice's counts do not sum to its {height * width} pixels"
    tp, fp, fn, _ = (sum(column) for column in columns)
    if (tp + fn, tp + fp) != (counts["truth_pixels"], counts["predicted_pixels"]):
        return "the slices' pixels are not the case's"
    return None


def _unequal(stored: dict, computed: dict) -> list[tuple[str, str]]:
    """Group and name of each score that the file states otherwise than computed."""
    found = []
    for group, scores in computed.items():
        for name, score in scores.items():
            said = stored.get(group, {}).get(name)
            if said is None or any(
                not _same(said.get(key), value) for key, value in score.items()
            ):
                found.append((group, name))
    return found


def _same(said: float | None, computed: float | None) -> bool:
    if said is None or computed is None:
        return said is None and computed is None
    return math.isclose(said, computed, rel_tol=1e-6, abs_tol=1e-9)
