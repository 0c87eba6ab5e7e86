"""From names of tables and rows to runs with their data."""

import functools
from collections.abc import Callable, Iterable

from ich_tf import datasets, paths
from ich_tf.data import Dataset
from ich_tf.experiments import catalog, runner, tasks
from ich_tf.experiments.catalog import Catalog
from ich_tf.experiments.runner import Folders, Run
from ich_tf.synthetic import layouts
from ich_tf.training import distribute
from ich_tf.training.distribute import Devices


def find_runs(
    names: Iterable[str],
    profile: str,
    folders: Folders,
    say: Callable[[str], None],
    seed: int = runner.SEED,
    rows: Catalog = catalog.CATALOG,
    devices: Devices = distribute.ONE,
) -> list[Run]:
    """The runs behind table names and experiment ids, each once.

    Rows that the profile does not have are left out. Where no folder of real data is
    given, the phantom is written in the layout of that data set, if the row's settings
    have one.

    Args:
        names: Table names and experiment ids.
        profile: Name of the profile.
        folders: Where data, weights and results are.
        say: Takes a line of progress.
        seed: Seed of the weights and of the order of training.
        rows: Where the names are looked up.
        devices: What the rows train on.

    Raises:
        ValueError: if a name is unknown, no row has the profile, or real data are
            needed and not given.
    """
    wanted = {row.id: row for name in names for row in rows.find(name)}
    open_data = functools.cache(functools.partial(_open_data, folders, say, devices))
    open_phantom = functools.cache(
        functools.partial(_open_phantom, folders, say, devices)
    )
    runs = []
    for row in wanted.values():
        settings = row.settings.get(profile)
        if settings is None:
            say(f"{row.id}: not in profile {profile}")
            continue
        phantom = tuple(settings.phantom.items())
        dataset = open_data(row.dataset, phantom)
        heads = open_phantom("ct-ich", phantom) if tasks.of(row).needs_phantom else None
        runs.append(Run(row, settings, dataset, folders, seed, heads, rows, devices))
    if wanted and not runs:
        known = dict.fromkeys(name for row in wanted.values() for name in row.settings)
        raise ValueError(
            f"{', '.join(wanted)}: not in profile {profile}. Known: {', '.join(known)}"
        )
    return runs


def find_run(
    name: str,
    profile: str,
    folders: Folders,
    say: Callable[[str], None],
    seed: int = runner.SEED,
    rows: Catalog = catalog.CATALOG,
    devices: Devices = distribute.ONE,
) -> Run:
    """The run of one experiment id, see `find_runs`.

    Raises:
        ValueError: if the name is unknown, a table's, or not in the profile.
    """
    runs = find_runs([name], profile, folders, say, seed, rows, devices)
    if len(runs) != 1 or runs[0].experiment.id != name:
        ids = ", ".join(run.experiment.id for run in runs)
        raise ValueError(f"{name} is a table. Choose one of {ids}.")
    return runs[0]


def _open_data(
    folders: Folders, say, devices: Devices, name: str, phantom: tuple
) -> Dataset:
    """The real data set, or its phantom where no folder of it is given."""
    given = folders.given(name)
    if given is None and phantom:
        return _open_phantom(folders, say, devices, name, phantom)
    if name != "ct-ich" or not folders.leave_out:
        return datasets.open_dataset(name, paths.data_set(name, given))
    dataset = datasets.open_dataset(name, paths.data_set(name, given), leave_out=True)
    for problem in dataset.problems():
        if problem.kind == "unreadable":
            say(f"{problem.file}: {problem.message}")
    return dataset


def _open_phantom(
    folders: Folders, say, devices: Devices, name: str, phantom: tuple
) -> Dataset:
    """Phantom heads in the layout of a data set, written if they are absent."""
    with devices.chief_first():
        root = layouts.phantom_as(
            name, folders.results / "phantom", **dict(phantom), say=say
        )
    return datasets.open_dataset(name, root)
