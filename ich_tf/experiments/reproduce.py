"""Run the rows of tables: finished ones are kept, the others trained and evaluated."""

import json
import logging
import pathlib
import time
from collections.abc import Callable, Iterable, Sequence

from ich_tf import files
from ich_tf.experiments import catalog, damage, lookup, provenance, runner
from ich_tf.experiments.catalog import Catalog
from ich_tf.experiments.results import Result
from ich_tf.experiments.runner import Folders, Run
from ich_tf.experiments.task import DoesNotApply
from ich_tf.models import published_weights
from ich_tf.training import checkpoint, distribute, fit
from ich_tf.training.distribute import Devices

LOGGER = logging.getLogger(__name__)
NO_CUDA = (
    "An NVIDIA driver is installed, but TensorFlow sees no GPU. `pip install "
    "'tensorflow[and-cuda]'` of the version in requirements.txt brings CUDA."
)
OUT_OF_MEMORY = (
    "The device has too little memory for it; the other rows still run. Run it with "
    "fewer samples a batch, on another device, or on the CPU (CUDA_VISIBLE_DEVICES=-1)."
)


def reproduce_by_name(
    names: Iterable[str],
    folders: Folders,
    *,
    profile: str = "demo",
    seed: int = runner.SEED,
    rows: Catalog = catalog.CATALOG,
    strategy: str = "one",
    resume: bool = False,
    fresh: bool = False,
    say: Callable[[str], None] = LOGGER.info,
) -> list[Result]:
    """Look names up and `reproduce` them.

    Args:
        names: Table names and experiment ids.
        folders: Where data, weights and results are.
        profile: "demo", "paper" or another of the rows' profiles.
        seed: Seed of weights and order of training. Tables show seed 0; `compare`
            takes several.
        rows: Where the names are looked up.
        strategy: Devices to train on, see `distribute.choose`.
        resume: Insist that something was begun and is not finished.
        fresh: Discard earlier results.
        say: Takes a line of progress.

    Raises:
        ValueError: see `lookup.find_runs` and `reproduce`.
    """
    # Before the data are opened, which may take long.
    devices = choose_devices(strategy)
    runs = lookup.find_runs(names, profile, folders, say, seed, rows, devices)
    return reproduce(runs, resume=resume, fresh=fresh, say=say)


def choose_devices(strategy: str) -> Devices:
    """The devices that the rows train on.

    Raises:
        ValueError: if the strategy is unavailable or has several workers.
    """
    devices = distribute.choose(strategy)
    if devices.name == "multiworker":
        raise ValueError(
            "Several workers train but do not evaluate: run `train ID --fold K "
            "--strategy multiworker` on all of them, then `reproduce` with `--strategy "
            "one` (without TF_CONFIG) on one, which keeps what was trained."
        )
    return devices


def reproduce(
    runs: Iterable[Run],
    *,
    resume: bool = False,
    fresh: bool = False,
    say: Callable[[str], None] = LOGGER.info,
) -> list[Result]:
    """Run every row that is not finished.

    Finished rows are read and interrupted ones resumed. A row that the data or the
    device's memory cannot serve is left out, with a line that says so. At full scale
    the expected time is printed first.

    Args:
        runs: The rows with their data.
        resume: Insist that something was begun and is not finished.
        fresh: Discard earlier results; a damaged file is moved aside.
        say: Takes a line of progress.

    Returns:
        The results, without the rows that were left out.

    Raises:
        ValueError: if `resume` is set and there is nothing to resume, a result is
            damaged, a result of real data would be replaced by one of other data, or
            the folder of results cannot be written.
    """
    # A row's twin runs first, whose training the row may share.
    runs = sorted(runs, key=lambda run: run.experiment.random_twin is not None)
    if fresh:
        for run in runs:
            damage.set_aside(run, say)
    runs = [run for run in runs if _applies(run, say)]
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
    for run in waiting:
        # Training may take days; report beforehand if nothing can be written.
        files.check_folder(run.folder)
    if not fresh:
        _keep_real_results(waiting)
    if any(run.profile.is_full_scale for run in waiting):
        costs = _say_forecast(waiting, say)
    else:
        costs = [_cost(run) for run in waiting]
    results = _execute_all(runs, waiting, costs, fresh, say)
    _say_left_out(results, say)
    return results


def _execute_all(
    runs: Sequence[Run],
    waiting: Sequence[Run],
    costs: Sequence[float],
    fresh: bool,
    say: Callable[[str], None],
) -> list[Result]:
    """Run what is waiting, say the time that is left, and read the others."""
    results, began, ran = [], time.monotonic(), 0
    for run in runs:
        kept = run not in waiting
        if kept:
            say(f"{run.experiment.id}: finished before, kept")
        else:
            ran += 1
            say(f"{run.experiment.id}: row {ran} of {len(waiting)}")
        try:
            results.append(runner.execute(run, fresh=fresh and not kept, say=say))
        except fit.OutOfMemory:
            say(f"{run.experiment.id}: not run. {OUT_OF_MEMORY}")
        except checkpoint.Diverged as error:
            say(f"{run.experiment.id}: not run. {error}")
        if not kept and ran < len(waiting):
            pace = (time.monotonic() - began) / sum(costs[:ran])
            say(f"about {_duration(pace * sum(costs[ran:]) / 3600)} left")
    return results


def _keep_real_results(waiting: Sequence[Run]) -> None:
    """Refuse to replace a result of real data by one of other data.

    Raises:
        ValueError: if that would happen; the message names the file.
    """
    for run in waiting:
        result = runner.load(run)
        now = run.fingerprint["identity"]
        if result and result.identity not in ("phantom", now):
            raise ValueError(
                f"{run.file} is of {result.identity} and would be replaced by one of "
                f"{now}. Give the folder of that data, other --results, or --fresh."
            )


def _say_left_out(results: Sequence[Result], say: Callable[[str], None]) -> None:
    """Name the files that no row could use, and count them."""
    # Rows on the same data leave out the same files.
    distinct = {json.dumps(result.unread): result.unread for result in results}
    for left_out in distinct.values():
        if left_out is None:
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


def check(runs: Iterable[Run]) -> None:
    """Look for the weights that unfinished rows begin with.

    Raises:
        ValueError: if something is missing; the message names all of it.
    """
    missing = []
    for run in runs:
        if runner.state_of(run) == "finished":
            continue
        try:
            run.task.check_weights(run)
        except published_weights.WeightsUnavailable as error:
            missing.append(f"{run.experiment.id}: {error}")
    if missing:
        raise ValueError("Before anything is trained:\n" + "\n".join(missing))


def forecast(runs: Iterable[Run], *, say: Callable[[str], None] = LOGGER.info) -> float:
    """Estimate what the unfinished rows take, from three measured steps each.

    Args:
        runs: The rows with their data.
        say: Takes a line for each row: time, memory and disk.

    Returns:
        Hours on this device.

    Raises:
        ValueError: if weights are missing.
    """
    applying = [run for run in runs if _applies(run, say)]
    waiting = [run for run in applying if runner.state_of(run) != "finished"]
    if not waiting:
        say("every row is finished")
    return sum(_say_forecast(waiting, say))


def _duration(hours: float) -> str:
    minutes = round(hours * 60)
    if minutes < 120:
        return f"{minutes} minute{'' if minutes == 1 else 's'}"
    return f"{hours:.1f} hours"


def _say_forecast(waiting: Sequence[Run], say: Callable[[str], None]) -> list[float]:
    """Say what all waiting rows will take; missing weights end it here.

    Returns:
        The hours of each, at least one minute.
    """
    if not waiting:
        return []
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
    say(
        f"all rows: about {_duration(sum(hours))} and at most {disk:.1f} GB of disk "
        "on this device, from three measured steps each"
    )
    return hours


def _cost(run: Run) -> float:
    """Relative cost of a row in training steps (80 for building and predicting)."""
    return 80 + run.task.steps(run)
