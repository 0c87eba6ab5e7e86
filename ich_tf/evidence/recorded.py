"""Recorded numbers of demo and study: what the phantom should give."""

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence
from typing import NotRequired, TypedDict

from ich_tf import files, paths, typed_json
from ich_tf.evidence import table_cells, tables
from ich_tf.evidence.table_cells import Cell
from ich_tf.evidence.tables import Table
from ich_tf.experiments import provenance
from ich_tf.experiments import results as stored
from ich_tf.experiments.mask_results import MaskResult
from ich_tf.experiments.results import Result
from ich_tf.experiments.spec import Row

PROFILE = "demo"
"""The profile whose numbers are recorded unless another is named."""
RECORDS = {name: paths.recorded(f"{name}.json") for name in (PROFILE, "study")}
"""Profile to the file of its recorded numbers."""
RECORDED = RECORDS[PROFILE]
MONITORED = "soft_jaccard"
"""What a learning curve shows."""


class RecordedCell(TypedDict):
    """One number: the fields of `Cell` that describe it."""

    table: str
    row: str
    experiment: str
    column: str
    reported: float | None
    ours: float | None
    low: float | None
    high: float | None
    cases: int | None
    undefined: int | None
    verdict: str
    reason: str


class RecordedTable(TypedDict):
    """The cells of one table, group by group, and what they were made with.

    `curves` holds, by title of a segmentation row, the soft Jaccard of training and of
    validation crops after each epoch; `dice` its mean Dice of held-out heads with
    hemorrhage. `precision` holds, by id of a row, the precision of its training.
    """

    cells: list[RecordedCell]
    curves: NotRequired[dict[str, list[list[float]]]]
    dice: NotRequired[dict[str, float]]
    settings: NotRequired[dict[str, str]]
    precision: NotRequired[dict[str, str]]
    commits: list[str | None]
    devices: list[str]
    versions: list[dict[str, str]]


Recorded = dict[str, RecordedTable]


def read(path: pathlib.Path = RECORDED) -> Recorded:
    """The recorded tables by name; empty if there is no such file.

    Raises:
        ValueError: if the file is damaged.
    """
    if not path.is_file():
        return {}
    return typed_json.read(path, Recorded, "Restore it with git.")


def record(
    results: pathlib.Path,
    shown: Iterable[Table] = tuple(tables.TABLES.values()),
    path: pathlib.Path = RECORDED,
    profile: str = PROFILE,
) -> Recorded:
    """Record a profile's numbers; return all that is recorded.

    Rows that were not run are recorded as such. A table without any row that was run
    keeps its record; tables of real data are left out.

    Args:
        results: Folder of results.
        shown: The tables, in their order.
        path: The file.
        profile: Name of the profile.

    Raises:
        ValueError: if no row was run on the phantom.
    """
    shown = tuple(shown)
    made = {}
    for table in shown:
        loaded = [stored.load_result(results, profile, row) for row in table.rows]
        ran = [result for result in loaded if result is not None]
        if {result.identity for result in ran} == {"phantom"}:
            made[table.name] = _table(table, results, profile, ran)
    if not made:
        raise ValueError(
            f"No row of profile {profile} was run on the phantom: {results} has no "
            "such result."
        )
    merged = {**read(path), **made}
    recorded = {
        table.name: merged[table.name] for table in shown if table.name in merged
    }
    files.write_json(path, recorded)
    return recorded


def _table(
    table: Table, results: pathlib.Path, profile: str, ran: Sequence[Result]
) -> RecordedTable:
    return {
        "cells": [
            _cell(cell) for cell in table_cells.of_table(table, results, profile)
        ],
        "curves": {result.title: curve for result in ran if (curve := _curve(result))},
        "dice": {
            result.title: round(result.dice_of_heads(), 4)
            for result in ran
            if isinstance(result, MaskResult) and result.dice_of_cases()
        },
        "settings": {result.experiment: settings_digest(result.spec) for result in ran},
        "precision": {result.experiment: result.spec["precision"] for result in ran},
        "commits": _distinct(commit for result in ran for commit in result.commits),
        "devices": _distinct(device for result in ran for device in result.devices),
        "versions": _distinct(version for result in ran for version in result.versions),
    }


def _curve(result: Result) -> list[list[float]]:
    """Scores of training and validation of the first fold; empty if not recorded."""
    epochs = result.history[0] if result.history else []
    names = MONITORED, f"val_{MONITORED}"
    if not all(name in epoch for epoch in epochs for name in names):
        return []
    return [[round(epoch[name], 4) for name in names] for epoch in epochs]


def _cell(cell: Cell) -> RecordedCell:
    content = dataclasses.asdict(cell)
    return {name: content[name] for name in RecordedCell.__annotations__}


def _distinct(values: Iterable) -> list:
    kept = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


def settings_digest(spec: dict) -> str:
    """Digest of the settings that decide a result's numbers, without seed and data.

    Args:
        spec: `Row.spec`, or the specification of a result.
    """
    return provenance.digest([spec["experiment"], spec["profile"]])


class RecordsOfTable:
    """The recorded cells of one table, found by row, column and group.

    Rows that were recorded with other settings than they have now are left out.

    Args:
        table: The table.
        recorded: All recorded tables.
        profile: Profile of the results that are compared.
    """

    def __init__(self, table: Table, recorded: Recorded, profile: str):
        self._groups = table.groups_under(tables.PROTOCOL)
        self._precision = _by_row(recorded, "precision")
        self._cells: dict[tuple[str, str], list[RecordedCell]] = {}
        made = recorded.get(table.name)
        if made is None:
            return
        rows = {row.id: row for row in table.shown}
        # A row that is shown for comparison has its settings with its own table.
        settings = _by_row(recorded, "settings")
        for cell in made["cells"]:
            row = rows.get(cell["experiment"])
            if row is not None and _is_current(row, settings.get(row.id), profile):
                key = cell["experiment"], cell["column"]
                # One for each group, in the order of the table's groups.
                self._cells.setdefault(key, []).append(cell)

    def other_precision(self, result: Result | None) -> str:
        """How the precision of a row's record differs; empty if it does not."""
        if result is None:
            return ""
        ours = result.spec["precision"]
        theirs = self._precision.get(result.experiment, ours)
        return "" if theirs == ours else f"recorded in {theirs}, ours in {ours}"

    def of_cell(self, cell: Cell) -> RecordedCell | None:
        """The record of a cell."""
        of_groups = self._cells.get((cell.experiment, cell.column), [])
        number = self._groups.index(cell.group)
        return of_groups[number] if number < len(of_groups) else None


def _by_row(recorded: Recorded, field: str) -> dict[str, str]:
    """What all tables hold in a field that has a value for each row."""
    tables_of_field = (of_table.get(field, {}) for of_table in recorded.values())
    return {name: value for of in tables_of_field for name, value in of.items()}


def _is_current(row: Row, digest: str | None, profile: str) -> bool:
    """Whether a row has the settings it was recorded with; a row that never ran has."""
    settings = row.settings.get(profile)
    if digest is None or settings is None:
        return digest is None
    return digest == settings_digest(row.spec(settings))
