"""Damaged files of a run: found by reading all, moved aside for a fresh start."""

import itertools
import os
import pathlib
import typing
from collections.abc import Callable

from ich_tf import arrays
from ich_tf.experiments.results import FOLD_FILE
from ich_tf.training import checkpoint

if typing.TYPE_CHECKING:
    from ich_tf.experiments.runner import Run

ENDING = ".damaged"


def of_run(run: "Run") -> dict[pathlib.Path, str]:
    """Read every file of a run.

    Args:
        run: The run; no file of it need exist.

    Returns:
        Each damaged file and what is wrong with it: result, folds, states, weights and
        stored probabilities.
    """
    kind = run.experiment.result_type
    damaged = _tried(kind.load, [run.file])
    if not run.folder.is_dir():
        return damaged
    probabilities = run.folder.glob("*.npz")
    damaged.update(_tried(arrays.read, sorted(probabilities)))
    for folder in sorted(path for path in run.folder.iterdir() if path.is_dir()):
        damaged.update(_tried(kind.load_fold, [folder / FOLD_FILE]))
        damaged.update(checkpoint.check(folder))
    return damaged


def set_aside(run: "Run", say: Callable[[str], None]) -> None:
    """Rename damaged files of a run, so that it can start again.

    The result file goes to `<name>.json.damaged` next to it, files of the run's folder
    to the folder `<name>.damaged`, which a fresh start does not remove.

    Args:
        run: The run.
        say: Takes a line for each file.
    """
    for path, reason in of_run(run).items():
        if path == run.file:
            aside = path.with_name(path.name + ENDING)
        else:
            kept = run.folder.with_name(run.folder.name + ENDING)
            aside = kept / path.relative_to(run.folder)
        aside = _free(aside)
        aside.parent.mkdir(parents=True, exist_ok=True)
        os.rename(path, aside)
        say(f"{reason} It is now {aside}.")


def _tried(
    read: Callable[[pathlib.Path], object], paths: list[pathlib.Path]
) -> dict[pathlib.Path, str]:
    """The paths that exist and cannot be read, and why."""
    damaged = {}
    for path in paths:
        if not os.path.lexists(path):
            continue
        try:
            read(path)
        except (OSError, ValueError) as error:
            damaged[path] = str(error)
    return damaged


def _free(path: pathlib.Path) -> pathlib.Path:
    """The path, with a number where there is such a file from an earlier time."""
    numbered = (path.with_name(f"{path.name}-{n}") for n in itertools.count(2))
    return next(
        name for name in itertools.chain([path], numbered) if not os.path.lexists(name)
    )
