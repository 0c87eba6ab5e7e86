"""Run the rows of tables: finished ones are kept, the others trained and evaluated."""

import dataclasses
import functools
import json
import logging
import pathlib
import time
from collections.abc import Callable, Iterable, Sequence

from ich_tf import data, files, paths
from ich_tf.experiments import profiles, provenance, runner, spec, tasks
from ich_tf.experiments.runner import Folders, Run
from ich_tf.experiments.task import DoesNotApply
from ich_tf.models import weights as model_weights
from ich_tf.synthetic import layouts
from ich_tf.training import checkpoint, distribute, fit

LOGGER = logging.getLogger(__name__)
NO_CUDA = (
    "An NVIDIA driver is installed, but TensorFlow sees no GPU. `pip install "
    "'tensorflow[and-cuda]'` of the version in requirements.txt brings CUDA."
)
OUT_OF_MEMORY = (
    "The device has too little memory for it; the other rows go on. Run it with fewer "
    "samples a batch, on another device, or on the CPU (CUDA_VISIBLE_DEVICES=-1)."
)


def prepare(
    names: Iterable[str],
    profile: str,
    folders: Folders,
    say: Callable[[str], None],
    seed: int = runner.SEED,
) -> list[Run]:
    """The runs behind table names and experiment ids, each once.

    Rows that the profile does not have are left out.

    Without a folder of the real data the demo profile writes the phantom in its
    layout under the results, and reads it back as it would read the real data.

    Raises:
        ValueError: if a name is unknown, or real data are needed and not given.
    """
    experiments = {row.id: row for name in names for row in spec.find(name)}
    open_data = functools.cache(functools.partial(_open_data, folders, say))
    open_phantom = functools.cache(functools.partial(_open_phantom, folders, say))
    runs = []
    for row in experiments.values():
        if not spec.has_profile(row, profile):
            say(f"{row.id}: not in profile {profile}")
            continue
        chosen = profiles.profile(row.task, profile).for_row(row.id)
        phantom = tuple(chosen.phantom.items())
        dataset = open_data(row.dataset, phantom)
        heads = open_phantom("ct-ich", phantom) if tasks.of(row).needs_phantom else None
        runs.append(Run(row, chosen, dataset, folders, seed, heads))
    return runs


def _open_data(folders: Folders, say, name: str, phantom: tuple) -> data.Dataset:
    """The real data set, or its phantom where no folder of it is given."""
    given = {"ct-ich": folders.ct_ich, "rsna": folders.rsna}[name]
    if given is None and phantom:
        return _open_phantom(folders, say, name, phantom)
    if name != "ct-ich" or not folders.leave_out:
        return data.open_dataset(name, paths.data_set(name, given))
    dataset = data.open_dataset(name, paths.data_set(name, given), leave_out=True)
    for problem in dataset.problems():
        if problem.kind == "unreadable":
            say(f"{problem.file}: {problem.message}")
    return dataset


def _open_phantom(folders: Folders, say, name: str, phantom: tuple) -> data.Dataset:
    """Phantom heads in the layout of a data set, written if they are absent."""
    with distribute.chief_first():
        root = layouts.phantom_as(
            name, folders.results / "phantom", **dict(phantom), say=say
        )
    return data.open_dataset(name, root)


def reproduce(
    names: Iterable[str],
    folders: Folders,
    *,
    profile: str = "demo",
    seed: int = runner.SEED,
    strategy: str = "one",
    resume: bool = False,
    fresh: bool = False,
    say: Callable[[str], None] = LOGGER.info,
) -> list[dict]:
    """Run every row of tables or experiment ids and return the results.

    Finished rows are read, interrupted ones go on, new ones start; rows that the data
    or the device's memory cannot serve are left out, and said so. At paper scale the
    expected time is said first.

    Args:
        names: Table names and experiment ids.
        folders: Where data, weights and results are.
        profile: "demo", "paper" or another of the rows' profiles.
        seed: Of weights and order of training. Tables show seed 0; `compare` takes
            several.
        strategy: Devices to train on, see `distribution.choose`.
        resume: Insist that something was begun and is not finished.
        fresh: Forget what is there and start anew.
        say: Takes a line of progress.

    Raises:
        ValueError: if `resume` is set and there is nothing to resume, a result of
            real data would be replaced by one of other data, or the strategy cannot
            be had or has several workers.
    """
    if distribute.choose(strategy) == "multiworker":
        raise ValueError(
            "Several workers train but do not evaluate: run `train ID --fold K "
            "--strategy multiworker` on all of them, then `reproduce` with `--strategy "
            "one` (without TF_CONFIG) on one, which keeps what was trained."
        )
    prepared = prepare(names, profile, folders, say, seed)
    runs = [run for run in prepared if _applies(run, say)]
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
    if not fresh:
        _keep_real_results(waiting)
    weights = [_weight(run) for run in waiting]
    if profile.startswith("paper"):
        weights = _say_forecast(waiting, say)
    results, began, ran = [], time.monotonic(), 0
    for run in runs:
        if run not in waiting:
            say(f"{run.experiment.id}: finished before, kept")
        else:
            ran += 1
            say(f"{run.experiment.id}: row {ran} of {len(waiting)}")
        try:
            results.append(runner.execute(run, fresh=fresh, say=say))
        except fit.OutOfMemory:
            say(f"{run.experiment.id}: not run. {OUT_OF_MEMORY}")
        except checkpoint.Diverged as error:
            say(f"{run.experiment.id}: not run. {error}")
        if run in waiting and ran < len(waiting):
            pace = (time.monotonic() - began) / sum(weights[:ran])
            say(f"about {pace * sum(weights[ran:]) / 60:.0f} minutes left")
    _say_left_out(results, say)
    return results


def _keep_real_results(waiting: list[Run]) -> None:
    """Refuse to replace a result of real data by one of other data.

    Raises:
        ValueError: if that would be done; the message names the file.
    """
    for run in waiting:
        if not run.file.is_file():
            continue
        before = files.read_json(run.file).get("data", {}).get("identity", "phantom")
        now = run.fingerprint["identity"]
        if before not in ("phantom", now):
            raise ValueError(
                f"{run.file} is of {before} and would be replaced by one of {now}. "
                "Give the folder of that data, other --results, or --fresh."
            )


def _say_left_out(results: list[dict], say: Callable[[str], None]) -> None:
    """Name the files that no row could use, and count them."""
    distinct = {json.dumps(result.get("left_out")): result for result in results}
    for left_out in (result.get("left_out") for result in distinct.values()):
        if not left_out:
            continue
        for line in left_out["named"]:
            say(f"left out: {line}")
        images, scans = sum(left_out["images"].values()), left_out["scans"]
        say(
            f"left out in all: {images} images with damaged headers or labels, {scans} "
            f"scans and {left_out['slices']} slices of others with unreadable pixels"
        )


def _applies(run: Run, say: Callable[[str], None]) -> bool:
    """Whether the data serve the row; damaged data are no reason to leave it out."""
    try:
        run.task.check(run)
    except DoesNotApply as error:
        say(f"{run.experiment.id}: not run. {error}")
        return False
    return True


def check(
    names: Iterable[str],
    folders: Folders,
    *,
    profile: str,
    say: Callable[[str], None] = LOGGER.info,
) -> None:
    """Look whether the data and the weights that unfinished rows begin with are there.

    Args:
        names: As in `reproduce`.
        folders: As in `reproduce`.
        profile: As in `reproduce`.
        say: Takes a line of progress.

    Raises:
        ValueError: if something is missing; the message names all of it.
    """
    missing = []
    for run in prepare(names, profile, folders, say):
        if runner.state_of(run) == "finished":
            continue
        try:
            run.task.check_weights(run)
        except model_weights.WeightsUnavailable as error:
            missing.append(f"{run.experiment.id}: {error}")
    if missing:
        raise ValueError("Before anything is trained:\n" + "\n".join(missing))


def forecast(
    names: Iterable[str],
    folders: Folders,
    *,
    profile: str,
    say: Callable[[str], None] = LOGGER.info,
) -> float:
    """Estimate what the unfinished rows take, from three measured steps each.

    Args:
        names: Table names and experiment ids.
        folders: Where data, weights and results are.
        profile: Name of the rows' profile.
        say: Takes a line for each row: time, memory and disk.

    Returns:
        Hours on this device.

    Raises:
        ValueError: if data or weights are missing.
    """
    runs = [run for run in prepare(names, profile, folders, say) if _applies(run, say)]
    waiting = [run for run in runs if runner.state_of(run) != "finished"]
    if not waiting:
        say("every row is finished")
    return sum(_say_forecast(waiting, say))


def _duration(hours: float) -> str:
    return f"{hours * 60:.0f} minutes" if hours < 2 else f"{hours:.1f} hours"


def _say_forecast(waiting: list[Run], say: Callable[[str], None]) -> list[float]:
    """Print what all waiting rows will take; a missing weights file ends it here.

    Returns:
        The hours of each, at least one minute.
    """
    if waiting:
        device = provenance.device()
        say(f"on {device}")
        if device.startswith("CPU") and pathlib.Path("/proc/driver/nvidia").exists():
            say(NO_CUDA)
    hours, disk = [], 0.0
    for run in waiting:
        hours.append(1 / 60)
        try:
            row = run.task.forecast(run, say)
        except fit.OutOfMemory:
            say(f"{run.experiment.id}: {OUT_OF_MEMORY}")
            continue
        hours[-1], disk = max(row.hours, 1 / 60), disk + row.disk_gb
        say(
            f"{run.experiment.id}: about {_duration(hours[-1])}, "
            f"{row.memory_gb:.1f} GB of memory, {row.disk_gb:.1f} GB of disk"
        )
    if waiting:
        say(
            f"all rows: about {_duration(sum(hours))} and at most {disk:.1f} GB of "
            "disk on this device, from three measured steps each"
        )
    return hours


def find_run(
    name: str,
    profile: str,
    folders: Folders,
    say: Callable[[str], None],
    seed: int = runner.SEED,
) -> Run:
    """The run of one experiment id.

    Raises:
        ValueError: if the name is unknown, a table's, or not in the profile.
    """
    runs = prepare([name], profile, folders, say, seed)
    if not runs:
        raise ValueError(f"{name} is not in profile {profile}.")
    if len(runs) != 1 or runs[0].experiment.id != name:
        ids = ", ".join(run.experiment.id for run in runs)
        raise ValueError(f"{name} is a table. Choose one of {ids}.")
    return runs[0]


def prepare_shards(
    name: str,
    folders: Folders,
    *,
    profile: str,
    options: Sequence[str] = (),
    say: Callable[[str], None] = LOGGER.info,
) -> pathlib.Path:
    """Make a classifier's shards, so that `reproduce` finds them; return their folder.

    Args:
        name: An experiment id.
        folders: Where data and results are.
        profile: As in `reproduce`.
        options: Flags for Apache Beam, see `shards.run`.
        say: Takes a line of progress.

    Raises:
        ValueError: if it is no classifier, or its data cannot be used.
    """
    run = find_run(name, profile, folders, say)
    run.task.check(run)
    return run.task.prepare(run, say, options)


@dataclasses.dataclass(frozen=True)
class Trained:
    """What `train_one` gives.

    Attributes:
        file: The weights that were kept.
        scores: Metric to value in their epoch, and `epoch`.
    """

    file: pathlib.Path
    scores: dict[str, float]


def train_one(
    name: str,
    fold: int,
    folders: Folders,
    *,
    profile: str = "demo",
    seed: int = runner.SEED,
    strategy: str = "one",
    resume: bool = False,
    fresh: bool = False,
    say: Callable[[str], None] = LOGGER.info,
) -> Trained:
    """Train one fold of one experiment, without evaluating it.

    Raises:
        ValueError: if the name is a table, the fold does not exist, or the strategy
            cannot be had.
        ConnectionError: if another worker was lost.
    """
    strategy = distribute.choose(strategy)
    run = find_run(name, profile, folders, say, seed)
    if not run.task.trains_network:
        raise ValueError(f"{name} has no network to train. Use `reproduce {name}`.")
    run.task.check(run)
    count = len(run.folds)
    if not 0 <= fold < count:
        raise ValueError(f"There are {count} folds, from 0 on. Received: {fold}")
    before = run.task.depends_on(run)
    if strategy == "multiworker" and before and runner.state_of(before) != "finished":
        raise ValueError(
            f"{name} stands on {before.experiment.id}, which must be finished first: "
            f"`reproduce {before.experiment.id}` on one machine."
        )
    if profile != "demo":
        # Before shards are made, which can take hours.
        run.task.check_weights(run)
    trained = run.task.train(run, fold, resume=resume, fresh=fresh, say=say)
    # Without validation the last epoch is kept.
    kept = max(
        trained.history, key=lambda epoch: epoch.get("val_soft_jaccard", epoch["epoch"])
    )
    return Trained(run.fold_folder(fold) / checkpoint.FINAL, kept)


def _weight(run: Run) -> float:
    """Relative cost of a row in training steps (80 for building and predicting)."""
    return 80 + run.task.steps(run)
