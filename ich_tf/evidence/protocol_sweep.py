"""A run's stored prediction under every convention that the report may have used.

The report does not say how its averages are taken. Stored probabilities are scored
under each convention; on the report's own data the conventions are ranked by their
distance to its numbers. On other data only the spread is given.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np

from ich_tf import metrics, typed_json
from ich_tf.evidence import conventions, table_cells, tables
from ich_tf.evidence.conventions import Convention
from ich_tf.experiments import lookup, runner, tasks
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG, Catalog
from ich_tf.metrics import Protocol
from ich_tf.preprocessing.segmentation import tiles


def open_result(
    name: str,
    profile: str,
    folders: runner.Folders,
    say: Callable[[str], None],
    rows: Catalog = CATALOG,
) -> runner.Run:
    """The finished run of an experiment id, or of a result file.

    Args:
        name: Experiment id, or path of a result file (".json").
        profile: Name of the profile, for an experiment id.
        folders: Where data and results are.
        say: Takes a line of progress.
        rows: Where the row is looked up.

    Raises:
        ValueError: if it is not finished, its kind cannot be scored under conventions,
            or it was made from other data than the folder holds.
    """
    seed = runner.SEED
    if name.endswith(".json"):
        path = pathlib.Path(name).resolve()
        if not path.is_file():
            raise ValueError(f"There is no {path}.")
        header = typed_json.read(path, _Header)
        name, profile = header["experiment"], header["profile"]
        seed = header["spec"]["seed"]
        depth = len(pathlib.PurePath(profile, name).parts)
        folders = dataclasses.replace(folders, results=path.parents[depth - 1])
    unsuited = tasks.of(rows.row(name)).sweeps_protocols
    if unsuited:
        raise ValueError(f"{name} {unsuited}.")
    file = stored.result_file(folders.results, profile, name, seed)
    again = f"Run {stored.command(name, profile, seed)}."
    if not file.is_file():
        # Looking for the run may write a phantom first.
        raise ValueError(f"There is no {file}. {again}")
    run = lookup.find_run(name, profile, folders, say, seed, rows)
    result = runner.load(run)
    if result is None:
        raise ValueError(f"There is no {run.file}. {again}")
    if result.data != run.fingerprint:
        raise ValueError(
            f"{run.file} was made from other data than {run.dataset.root}."
        )
    # The probabilities may belong to a later, unfinished run.
    if not result.is_current(run.experiment):
        raise ValueError(f"{run.file} was {stored.OTHER_SETTINGS}. {again}")
    return run


class _Seed(TypedDict):
    seed: int


class _Header(TypedDict):
    """What says which run a result file belongs to."""

    experiment: str
    profile: str
    spec: _Seed


def sweep(run: runner.Run, say: Callable[[str], None]) -> list[Convention]:
    """Score a run's stored predictions under every convention.

    Returns:
        Ranked by distance where the data are the report's and its row has numbers,
        else in a fixed order.

    Raises:
        ValueError: if a file of probabilities is missing.
    """
    ct_ich = run.fingerprint["identity"].startswith("ct-ich")
    choices = itertools.product(conventions.THRESHOLDS, (False, True))
    rules = [conventions.rule(*choice) for choice in choices]
    scored = conventions.score(rules, _count(run, rules, say), ct_ich)
    return conventions.ranked(scored, _reported(run))


def describe(run: runner.Run, scored: Sequence[Convention], shown: int = 10) -> str:
    """The sweep as Markdown: the spread, and the nearest conventions where ranked."""
    identity = run.fingerprint["identity"]
    lines = [
        f"**{run.experiment.id} on {identity}**",
        "",
        *conventions.spread(scored),
        "",
    ]
    if scored[0].distance is None:
        lines.append(
            f"Not ranked: the report has no number for this row on {identity}, or the "
            "run is not evaluated as the report's."
        )
    else:
        lines += [
            "Nearest to the report's numbers:",
            "",
            *conventions.nearest(scored, shown),
        ]
    return "\n".join(lines) + "\n"


def _count(run: runner.Run, rules: Sequence[Protocol], say) -> list[tuple[list, list]]:
    """For each rule the counts of each case, slice by slice and crop by crop."""
    counted: list[tuple[list, list]] = [([], []) for _ in rules]
    profile = run.profile
    grid = tiles.TileGrid(profile.size, profile.size, profile.tile, profile.stride)
    say(f"{run.experiment.id}: {len(rules)} masks of each case")
    for case, coded in run.task.stored_predictions(run):
        probability = coded.astype(np.float32) / 255
        truth = case.mask.astype(bool)
        names = {"case_id": case.case_id, "patient_id": case.patient_id}
        truth_crops = grid.cut(truth)
        for rule, (of_slices, of_crops) in zip(rules, counted, strict=True):
            mask = metrics.binarise(probability, rule)
            of_slices.append(metrics.case_counts(truth, mask, rule, **names))
            crops = grid.cut(mask)
            of_crops.append(metrics.case_counts(truth_crops, crops, rule, **names))
    return counted


def _reported(run: runner.Run) -> dict[str, float]:
    """The report's numbers of the row: all four where Table III prints them.

    None where the run says nothing about them.
    """
    if table_cells.not_comparable(runner.load(run), tables.TABLES["table3"].identity):
        return {}
    reported = run.experiment.reported
    return dict(reported.get("table3") or reported.get("table2") or {})
