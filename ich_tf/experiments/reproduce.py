"""Run the rows of tables: finished ones are kept, the others trained and evaluated."""

import dataclasses
import functools
import logging
import pathlib
import time
from collections.abc import Callable, Iterable

from ich_tf import data, paths, training
from ich_tf.data import layouts
from ich_tf.experiments import profiles, runner, spec
from ich_tf.experiments.runner import Folders, Run

LOGGER = logging.getLogger(__name__)


def prepare(names: Iterable[str], profile: str, folders: Folders, say) -> list[Run]:
    """The runs behind table names and experiment ids, each once.

    Without a folder of the real data the demo profile writes the phantom in its
    layout under the results, and reads it back as it would read the real data.

    Raises:
        ValueError: if a name is unknown, or real data are needed and not given.
    """
    experiments = {row.id: row for name in names for row in spec.find(name)}
    open_data = functools.cache(functools.partial(_open_data, folders, say))
    runs = []
    for row in experiments.values():
        chosen = profiles.profile(row.task, profile).for_row(row.id)
        dataset = open_data(row.dataset, tuple(chosen.phantom.items()))
        runs.append(Run(row, chosen, dataset, folders))
    return runs


def _open_data(folders: Folders, say, name: str, phantom: tuple):
    """The real data set, or its phantom where no folder of it is given."""
    given = {"ct-ich": folders.ct_ich, "rsna": folders.rsna}[name]
    if given is None and phantom:
        root = layouts.phantom_as(
            name, folders.results / "phantom", **dict(phantom), say=say
        )
    else:
        root = {"ct-ich": paths.ct_ich, "rsna": paths.rsna}[name](given)
    return data.open_dataset(name, root)


def reproduce(
    names: Iterable[str],
    folders: Folders,
    *,
    profile: str = "demo",
    resume: bool = False,
    fresh: bool = False,
    say: Callable[[str], None] = LOGGER.info,
) -> list[dict]:
    """Run every row of tables or experiment ids and return the results.

    Finished rows are read, interrupted ones go on, new ones start; rows that the data
    cannot serve are left out. At paper scale the expected time is said first.

    Args:
        names: Table names and experiment ids.
        folders: Where data, weights and results are.
        profile: "demo" or "paper".
        resume: Insist that something was begun and is not finished.
        fresh: Forget what is there and start anew.
        say: Takes a line of progress.

    Raises:
        ValueError: if `resume` is set and there is nothing to resume.
    """
    runs = [run for run in prepare(names, profile, folders, say) if _applies(run, say)]
    states = [runner.state_of(run) for run in runs]
    if resume and (set(states) <= {"new"} or set(states) <= {"finished"}):
        listed = ", ".join(
            f"{run.experiment.id} ({state})"
            for run, state in zip(runs, states, strict=True)
        )
        raise ValueError(f"Nothing to resume among {listed}.")
    waiting = [
        run
        for run, state in zip(runs, states, strict=True)
        if state != "finished" or fresh
    ]
    if profile == "paper":
        _say_forecast(waiting, say)
    results, began, ran = [], time.monotonic(), 0
    for run in runs:
        if run not in waiting:
            say(f"{run.experiment.id}: finished before, kept")
        else:
            ran += 1
            say(f"{run.experiment.id}: row {ran} of {len(waiting)}")
        results.append(runner.execute(run, fresh=fresh, say=say))
        if run in waiting and ran < len(waiting):
            minutes = (time.monotonic() - began) / ran * (len(waiting) - ran) / 60
            say(f"about {minutes:.0f} minutes left")
    return results


def _applies(run: Run, say: Callable[[str], None]) -> bool:
    try:
        run.task.check_applies(run)
    except ValueError as error:
        say(f"{run.experiment.id}: not run. {error}")
        return False
    return True


def _say_forecast(waiting: list[Run], say: Callable[[str], None]) -> None:
    """Print what all waiting rows will take; a missing weights file ends it here."""
    hours = disk = 0.0
    for run in waiting:
        row = run.task.forecast(run, say)
        hours, disk = hours + row.hours, disk + row.disk_gb
        say(
            f"{run.experiment.id}: about {row.hours:.1f} hours, {row.memory_gb:.1f} GB "
            f"of memory, {row.disk_gb:.1f} GB of disk"
        )
    if waiting:
        say(
            f"all rows: about {hours:.0f} hours and {disk:.0f} GB of disk on this "
            "device, from three measured steps each"
        )


def find_run(name: str, profile: str, folders: Folders, say) -> Run:
    """The run of one experiment id.

    Raises:
        ValueError: if the name is unknown or that of a table.
    """
    runs = prepare([name], profile, folders, say)
    if len(runs) != 1 or runs[0].experiment.id != name:
        ids = ", ".join(run.experiment.id for run in runs)
        raise ValueError(f"{name} is a table. Choose one of {ids}.")
    return runs[0]


@dataclasses.dataclass(frozen=True)
class Trained:
    """What `train_one` gives: the weights file and its best validation score."""

    file: pathlib.Path
    score: float


def train_one(
    name: str,
    fold: int,
    folders: Folders,
    *,
    profile: str = "demo",
    resume: bool = False,
    fresh: bool = False,
    say: Callable[[str], None] = LOGGER.info,
) -> Trained:
    """Train one fold of one experiment, without evaluating it.

    Raises:
        ValueError: if the name is a table, or the fold does not exist.
    """
    run = find_run(name, profile, folders, say)
    count = len(run.folds)
    if not 0 <= fold < count:
        raise ValueError(f"There are {count} folds, from 0 on. Received: {fold}")
    run.task.check_applies(run)
    _, history, _ = run.task.train(run, fold, resume=resume, fresh=fresh, say=say)
    scores = [epoch["val_soft_jaccard"] for epoch in history]
    return Trained(run.folder / f"fold-{fold}" / training.FINAL, max(scores))
