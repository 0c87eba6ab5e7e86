"""Run an experiment: train its folds, evaluate their test cases, write one result.

A finished fold is a file, a finished experiment is a file; whatever is missing is
run. So a second start repeats nothing, and a killed one continues where it was.
"""

import dataclasses
import functools
import json
import logging
import pathlib
import time
import zlib
from collections.abc import Callable

from ich_tf import files, typed_json
from ich_tf.data import Dataset, splits
from ich_tf.experiments import catalog, damage, provenance
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import Catalog
from ich_tf.experiments.results import FOLD_FILE, Result
from ich_tf.experiments.settings import Settings
from ich_tf.experiments.spec import Row
from ich_tf.experiments.task import Task
from ich_tf.training import checkpoint, distribute, precision
from ich_tf.training.distribute import Devices

LOGGER = logging.getLogger(__name__)
SEED = 0
# Runs of other seeds hold out the same patients, so that they can be compared.
SPLIT_SEED = 0


@dataclasses.dataclass(frozen=True)
class Folders:
    """Where data are read and results go.

    Attributes:
        results: Folder of results.
        weights: Folder of weights.
        ct_ich: Folder of ct-ich; None takes the phantom, in profiles that have one.
        rsna: Folder of RSNA 2019, likewise.
        leave_out: Whether cases of ct-ich that cannot be read are left out; else they
            are an error.
    """

    results: pathlib.Path
    weights: pathlib.Path
    ct_ich: pathlib.Path | None = None
    rsna: pathlib.Path | None = None
    leave_out: bool = False

    def given(self, dataset: str) -> pathlib.Path | None:
        """The folder of a data set by its name in `DATASETS`, None without one."""
        return {"ct-ich": self.ct_ich, "rsna": self.rsna}[dataset]


@dataclasses.dataclass(frozen=True)
class Run:
    """One experiment at one scale on one data set.

    Attributes:
        experiment: The row.
        profile: The row's settings at one scale.
        dataset: The data that the row is about.
        folders: Where results go and weights are.
        seed: Seed of the weights and of the order of training; not of the split.
        phantom: Phantom heads that the row trains on besides `dataset`; None where
            its kind needs none.
        catalog: Where other rows are found by id.
        devices: What trains; the numbers do not depend on it.
    """

    experiment: Row
    profile: Settings
    dataset: Dataset
    folders: Folders
    seed: int = SEED
    phantom: Dataset | None = None
    catalog: Catalog = catalog.CATALOG
    devices: Devices = distribute.ONE

    @property
    def folder(self) -> pathlib.Path:
        """Where checkpoints, weights and probabilities go."""
        return self.file.with_suffix("")

    @property
    def file(self) -> pathlib.Path:
        """Where the result goes."""
        return stored.result_file(
            self.folders.results, self.profile.name, self.experiment.id, self.seed
        )

    @property
    def task(self) -> Task:
        """The kind of experiment that the row is."""
        # `tasks` imports this module.
        from ich_tf.experiments import tasks

        return tasks.of(self.experiment)

    @functools.cached_property
    def fingerprint(self) -> dict:
        """What the data are."""
        return self.dataset.fingerprint()

    @functools.cached_property
    def folds(self) -> tuple[splits.Fold, ...]:
        """The patients, or scans, of each fold."""
        return self.task.folds(self)

    @property
    def spec(self) -> dict:
        """Everything that decides the numbers, as JSON; reads files, writes none."""
        source = self.task.depends_on(self)
        if source is None:
            return self._own_spec
        content = source.file.read_bytes() if source.file.is_file() else b""
        return {**self._own_spec, "built_on": f"{zlib.crc32(content):08x}"}

    @functools.cached_property
    def _own_spec(self) -> dict:
        spec = {
            **self.experiment.spec(self.profile),
            "data": provenance.digest(self.fingerprint),
            "precision": precision.precision_policy(self.task.precision(self)),
            "seed": self.seed,
            **self.task.inputs(self),
        }
        return json.loads(json.dumps(spec))

    def fold_folder(self, number: int) -> pathlib.Path:
        """Where state, weights and result of one fold go."""
        return self.folder / f"fold-{number}"

    def fold_spec(self, number: int) -> dict:
        """What decides the weights of one fold, as JSON."""
        spec = {**self.spec, "fold": dataclasses.asdict(self.folds[number])}
        return json.loads(json.dumps(spec))


def other_row(run: Run, experiment_id: str) -> Run:
    """The run of another row on the same data, at the same profile and seed."""
    row = run.catalog.row(experiment_id)
    settings = row.settings[run.profile.name]
    return dataclasses.replace(run, experiment=row, profile=settings)


def load(run: Run) -> Result | None:
    """The run's result file, None without one; `spec` may be of other settings.

    Raises:
        ValueError: if the file is damaged.
    """
    if not run.file.exists():
        return None
    return run.experiment.result_type.load(run.file)


def state_of(run: Run) -> str:
    """One of "finished", "interrupted" (there is something to resume) and "new"."""
    result = load(run)
    if result and _same(result.spec, run.spec):
        return "finished"
    folds = range(len(run.folds))
    if any(_same(_stored_spec(run, k), run.fold_spec(k)) for k in folds):
        return "interrupted"
    return "new"


def check_finished(run: Run) -> None:
    """Refuse a run that is not finished.

    Raises:
        ValueError: if it is not; the message has the command that finishes it.
    """
    if state_of(run) != "finished":
        name, profile = run.experiment.id, run.profile.name
        raise ValueError(
            f"{name} is not finished at profile {profile}. Run "
            f"{stored.command(name, profile, run.seed)}."
        )


def _same(stored: dict | None, wanted: dict) -> bool:
    """Whether settings are the same; each device may have its own "auto" precision."""
    return bool(stored) and {**stored, "precision": wanted["precision"]} == wanted


def _stored_spec(run: Run, number: int) -> dict | None:
    """What the state of a fold belongs to, but for the initialisation it got."""
    spec = checkpoint.stored_spec(run.fold_folder(number))
    return spec and {key: value for key, value in spec.items() if key != "init"}


def execute(
    run: Run, *, fresh: bool = False, say: Callable[[str], None] = LOGGER.info
) -> Result:
    """Train and evaluate every fold that is not finished; write and return the result.

    If several processes share a results folder, one runs the row; the others wait
    and then read its result.

    Args:
        run: The run.
        fresh: Discard what is there; damaged files are moved aside.
        say: Takes a line of progress.

    Raises:
        ValueError: if a file of the run is damaged and `fresh` is not set.
    """
    if not fresh and state_of(run) == "finished":
        return load(run)
    run.folder.mkdir(parents=True, exist_ok=True)
    name = run.experiment.id
    with files.locked(run.folder, lambda: say(f"{name}: another process runs it")):
        return _execute(run, fresh, say)


def _execute(run: Run, fresh: bool, say: Callable[[str], None]) -> Result:
    """Do what `execute` does, while no other process does."""
    if fresh:
        damage.set_aside(run, say)
        run.file.unlink(missing_ok=True)
        # The folder itself is locked and stays.
        files.empty(run.folder)
    elif state_of(run) == "finished":
        return load(run)
    done = []
    for number in range(len(run.folds)):
        if len(run.folds) > 1:
            say(f"{run.experiment.id}: fold {number + 1} of {len(run.folds)}")
        done.append(_fold(run, number, say))
    result = typed_json.convert(_result(run, done), run.experiment.result_type)
    result.save(run.file)
    return load(run)


def begin_fold(
    run: Run,
    number: int,
    *,
    init: str,
    resume: bool,
    fresh: bool,
    say: Callable[[str], None],
) -> tuple[dict, bool]:
    """The spec to train a fold under, and whether its state is to be continued.

    Args:
        run: The run.
        number: The fold's.
        init: The initialisation that could be had.
        resume: Insist on a state to continue.
        fresh: Forget the state.
        say: Takes a line of progress.

    Raises:
        ValueError: if `resume` is set and there is nothing to resume, or the fold was
            begun on a device with another precision.
    """
    folder, wanted = run.fold_folder(number), run.fold_spec(number)
    stored = None if fresh else checkpoint.stored_spec(folder)
    if resume and not _same(_stored_spec(run, number), wanted):
        reason = "is of other settings" if stored else "does not exist"
        raise ValueError(f"Nothing to resume: {folder / checkpoint.STATE} {reason}.")
    wanted["init"] = init
    if stored != wanted and _same(stored, wanted):
        raise ValueError(
            f"{folder} was begun in {stored['precision']}, and this device trains in "
            f"{wanted['precision']}. Continue on a device like the first, or start "
            "again with --fresh."
        )
    interrupted = stored == wanted
    if stored and not interrupted:
        changed = checkpoint.differences(stored, wanted)
        say(f"{run.experiment.id}: its settings changed ({changed}), starting again")
    return wanted, interrupted


def _fold(run: Run, number: int, say: Callable[[str], None]) -> dict:
    path = run.fold_folder(number) / FOLD_FILE
    if path.is_file():
        stored = run.experiment.result_type.load_fold(path)
        if _same(stored["spec"], run.spec):
            return stored
    provenance.restart_memory_peak()
    commit = provenance.commit()
    began = time.monotonic()
    trained = run.task.train(run, number, say=say)
    ended = time.monotonic()
    evaluated = run.task.evaluate(run, number, trained.model, say)
    content = {
        "spec": run.spec,
        "fold": dataclasses.asdict(run.folds[number]),
        "init": trained.init,
        **evaluated,
        "history": trained.history,
        "seconds": {
            # Of a resumed training also the epochs before.
            "training": round(max(ended - began, _seconds(trained.history)), 1),
            "inference": round(time.monotonic() - ended, 1),
        },
        "peak_memory_gb": provenance.memory_peak_gb(),
        "device": provenance.device(),
        "versions": provenance.versions(),
        "commit": commit,
    }
    files.write_json(path, content)
    return run.experiment.result_type.load_fold(path)


def _seconds(history: list[dict]) -> float:
    return sum(epoch.get("seconds", 0.0) for epoch in history)


def _result(run: Run, done: list[dict]) -> dict:
    return {
        "experiment": run.experiment.id,
        "title": run.experiment.title_with(run.profile),
        "profile": run.profile.name,
        "spec": run.spec,
        "init": done[0]["init"],
        "wanted_init": run.experiment.wanted_init,
        "data": run.fingerprint,
        "folds": [fold["fold"] for fold in done],
        "states": run.experiment.states,
        "leaves_open": list(run.experiment.leaves_open),
        "assumptions": list(run.experiment.assumptions),
        "deviations": [
            deviation.text
            for deviation in run.profile.deviations
            if not deviation.phantom_only or run.fingerprint["identity"] == "phantom"
        ],
        **run.task.summarise(run, done),
        "history": [fold["history"] for fold in done],
        "seconds": [fold["seconds"] for fold in done],
        "peak_memory_gb": [fold["peak_memory_gb"] for fold in done],
        "devices": [fold["device"] for fold in done],
        "versions": [fold["versions"] for fold in done],
        "commits": [fold["commit"] for fold in done],
    }
