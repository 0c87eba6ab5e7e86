"""Run an experiment: train its folds, predict their test cases, write one result.

A finished fold is a file, a finished experiment is a file; whatever is missing is
run. So a second start does nothing anew, and a killed one goes on where it was.
"""

import dataclasses
import functools
import json
import logging
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable

import numpy as np

from ich_tf import files, inference, metrics, models, training
from ich_tf.data import splits
from ich_tf.experiments import evaluation, provenance
from ich_tf.experiments.spec import Experiment, Profile
from ich_tf.models import weights as model_weights
from ich_tf.preprocessing import augment, pipeline, slices, tiles, windows
from ich_tf.volume import Case

LOGGER = logging.getLogger(__name__)
SEED = 0


@dataclasses.dataclass(frozen=True)
class Folders:
    """Where data are read and results go.

    Attributes:
        results: Folder of results.
        weights: Folder of weights.
        ct_ich: Folder of ct-ich; None takes the phantom, in profiles that have one.
    """

    results: pathlib.Path
    weights: pathlib.Path
    ct_ich: pathlib.Path | None = None


@dataclasses.dataclass(frozen=True)
class Run:
    """One experiment at one scale on one data set.

    Attributes:
        experiment: The row.
        profile: The scale, with the row's own changes applied.
        dataset: Has `case_ids()`, `load(case_id)` and `fingerprint()`.
        folders: Where results go and weights are.
    """

    experiment: Experiment
    profile: Profile
    dataset: object
    folders: Folders

    @property
    def file(self) -> pathlib.Path:
        """Where the result goes."""
        return self.folders.results / self.profile.name / f"{self.experiment.id}.json"

    @property
    def folder(self) -> pathlib.Path:
        """Where checkpoints, weights and probabilities go."""
        return self.folders.results / self.profile.name / self.experiment.id

    @functools.cached_property
    def fingerprint(self) -> dict:
        """What the data are."""
        return self.dataset.fingerprint()

    @functools.cached_property
    def spec(self) -> dict:
        """What decides the numbers, as JSON."""
        row = dataclasses.asdict(self.experiment)
        for prose in ("title", "states", "leaves_open", "assumptions", "reported"):
            row.pop(prose)
        scale = dataclasses.asdict(self.profile)
        for prose in ("deviations", "row_changes"):
            scale.pop(prose)
        spec = {
            "experiment": row,
            "profile": scale,
            "data": provenance.digest(self.fingerprint),
            "precision": training.precision_policy(),
            "seed": SEED,
        }
        return json.loads(json.dumps(spec))

    def fold_spec(self, fold: splits.Fold) -> dict:
        """What decides the weights of one fold, as JSON."""
        spec = {**self.spec, "fold": dataclasses.asdict(fold)}
        return json.loads(json.dumps(spec))

    def folds(self) -> tuple[splits.Fold, ...]:
        """The patients of each fold: of [2] for its subjects, five for other data."""
        cases = self.fingerprint["cases"]
        bleeding = [bool(facts["mask_voxels"]) for facts in cases.values()]
        if self.profile.folds == "holdout":
            shares = self.profile.split
            return (splits.patient_split(list(cases), shares, SEED, bleeding),)
        subjects = (splits.subject_order_75(), splits.subject_order_82())
        if set(cases) in map(set, subjects):
            return tuple(splits.folds_hssayeni2020(list(cases)))
        return tuple(
            splits.patient_folds(list(cases), 5, SEED, has_hemorrhage=bleeding)
        )


def state_of(run: Run) -> str:
    """One of "finished", "interrupted" (there is something to resume) and "new"."""
    if run.file.is_file() and files.read_json(run.file)["spec"] == run.spec:
        return "finished"
    for number, fold in enumerate(run.folds()):
        folder = run.folder / f"fold-{number}"
        if _without_init(training.stored_spec(folder)) == run.fold_spec(fold):
            return "interrupted"
    return "new"


def _without_init(spec: dict | None) -> dict | None:
    return spec and {key: value for key, value in spec.items() if key != "init"}


def execute(
    run: Run, *, fresh: bool = False, say: Callable[[str], None] = LOGGER.info
) -> dict:
    """Train and evaluate every fold that is not finished; write and return the result.

    Args:
        run: The run.
        fresh: Forget what is there and start anew.
        say: Takes a line of progress.
    """
    if fresh:
        run.file.unlink(missing_ok=True)
        shutil.rmtree(run.folder, ignore_errors=True)
    if state_of(run) == "finished":
        return files.read_json(run.file)
    folds = run.folds()
    done = []
    for number, fold in enumerate(folds):
        if len(folds) > 1:
            say(f"{run.experiment.id}: fold {number + 1} of {len(folds)}")
        done.append(_fold(run, number, fold, say))
    files.write_json(run.file, _result(run, folds, done))
    return files.read_json(run.file)


def train(
    run: Run,
    fold_number: int,
    *,
    resume: bool = False,
    fresh: bool = False,
    say: Callable[[str], None] = LOGGER.info,
):
    """Train one fold.

    Returns:
        The model with its best weights, its history and the initialisation it had.

    Raises:
        ValueError: if `resume` is set and there is nothing to resume.
    """
    folder = run.folder / f"fold-{fold_number}"
    fold = run.folds()[fold_number]
    stored, wanted = training.stored_spec(folder), run.fold_spec(fold)
    if resume and _without_init(stored) != wanted:
        reason = "is of other settings" if stored else "does not exist"
        raise ValueError(f"Nothing to resume: {folder / training.STATE} {reason}.")
    plan, sampler, validation = _training_data(run, fold)
    model, init = _build(run, plan, say)
    wanted["init"] = init
    interrupted = stored == wanted and not fresh
    if stored and not interrupted and not fresh:
        say(f"{run.experiment.id}: its settings changed, starting anew")
    history = training.fit(
        model, sampler, validation, plan, folder, spec=wanted, resume=interrupted
    )
    return model, history, init


def _fold(run: Run, number: int, fold: splits.Fold, say) -> dict:
    path = run.folder / f"fold-{number}" / "fold.json"
    if path.is_file():
        stored = files.read_json(path)
        if stored["spec"] == run.spec:
            return stored
    provenance.restart_memory_peak()
    began = time.monotonic()
    model, history, init = train(run, number, say=say)
    trained = time.monotonic()
    say(f"{run.experiment.id}: predicting {len(fold.test)} heads")
    counts = {name: {} for name in metrics.PROTOCOLS}
    for case in _cases(run, fold.test):
        for name, of_case in _evaluate(run, model, case).items():
            counts[name][case.case_id] = of_case
    content = {
        "spec": run.spec,
        "fold": dataclasses.asdict(fold),
        "init": init,
        "counts": counts,
        "history": history,
        "seconds": {
            "training": round(trained - began, 1),
            "inference": round(time.monotonic() - trained, 1),
        },
        "peak_memory_gb": provenance.memory_peak_gb(),
        "device": provenance.device(),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
    }
    files.write_json(path, content)
    return content


def _cases(run: Run, case_ids: Iterable[str]) -> Iterable[Case]:
    for case_id in case_ids:
        yield slices.at_size(run.dataset.load(case_id), run.profile.size)


def _channels(run: Run):
    return functools.partial(
        windows.channels,
        approach=run.experiment.approach,
        count=run.experiment.channels,
    )


def _training_data(run: Run, fold: splits.Fold):
    profile = run.profile
    grid = tiles.TileGrid(profile.size, profile.size, profile.tile, profile.stride)
    crops = {}
    for part in ("train", "validation"):
        case_ids = getattr(fold, part)
        key = provenance.digest(
            [run.fingerprint, case_ids, profile.size, profile.slices, SEED]
        )
        stored = slices.store(
            run.folders.results / profile.name / "slices" / key,
            _cases(run, case_ids),
            functools.partial(slices.RULES[profile.slices], seed=SEED),
        )
        crops[part] = pipeline.crops(
            stored, grid.positions, profile.tile, profile.crops
        )
    plan = training.Plan(
        epochs=profile.epochs,
        steps_per_epoch=profile.steps_per_epoch
        or pipeline.steps_per_epoch(crops["train"], profile.batch),
        batch=profile.batch,
        learning_rate=profile.learning_rate,
        schedule=profile.schedule,
        decay=profile.decay,
        batch_norm_momentum=profile.batch_norm_momentum,
        output_bias=profile.output_bias,
        seed=SEED,
    )

    def sampler(first_step: int, last_step: int):
        return pipeline.training_batches(
            crops["train"],
            _channels(run),
            channels=run.experiment.channels,
            batch=profile.batch,
            first_step=first_step,
            last_step=last_step,
            seed=SEED,
            lesion_share=profile.lesion_share,
            augment=augment.augmenter(profile.augmentation),
        )

    validation = pipeline.validation_batches(
        crops["validation"],
        _channels(run),
        channels=run.experiment.channels,
        batch=profile.batch,
        limit=profile.validation_crops,
    )
    return plan, sampler, validation


def _build(run: Run, plan: training.Plan, say) -> tuple:
    """The compiled model and the initialisation that could be had.

    Raises:
        WeightsUnavailable: if the row's ImageNet weights cannot be had and the
            profile is not demo.
    """
    training.start(plan)
    arguments = dict(run.experiment.arguments)
    init = arguments.get("init", "random")
    shape = (run.profile.tile, run.profile.tile, run.experiment.channels)
    build = functools.partial(models.build, run.experiment.model, input_shape=shape)
    if init == "imagenet":
        try:
            model = build(**arguments, weights_dir=run.folders.weights)
        except model_weights.WeightsUnavailable as error:
            if run.profile.name != "demo":
                raise
            say(f"{run.experiment.id}: runs from random weights. {error}")
            init = arguments["init"] = "random"
            training.start(plan)
    if init != "imagenet":
        model = build(**arguments)
    training.compile_model(model, run.experiment.loss, plan, [training.SoftJaccard()])
    return model, init


def _evaluate(run: Run, model, case: Case) -> dict[str, dict]:
    network = inference.predictor(
        model, _channels(run), run.profile.tile, run.profile.inference_stride
    )
    coded = evaluation.encode(inference.predict_volume(network, case.volume.hu))
    with files.atomic(run.folder / f"{case.case_id}.npz") as partial:
        np.savez_compressed(partial, probability=coded)
    return evaluation.count(coded, case)


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes:
        hours: Of training and validation, all folds.
        memory_gb: Weights, gradients, optimizer and activations.
        disk_gb: State, best and final weights of all folds.
    """

    hours: float
    memory_gb: float
    disk_gb: float


def forecast(run: Run, say: Callable[[str], None] = LOGGER.info) -> Forecast:
    """Build the network, measure three training steps and reckon up.

    Raises:
        WeightsUnavailable: if the row's ImageNet weights cannot be had.
    """
    folds = run.folds()
    plan, sampler, validation = _training_data(run, folds[0])
    model, _ = _build(run, plan, say)
    # A validation batch is one forward pass, about a third of a training step.
    batches = plan.steps_per_epoch + int(validation.cardinality()) / 3
    expected = training.estimate(model, sampler(0, 4), plan)
    seconds = expected.seconds_per_step * batches * plan.epochs * len(folds)
    # Per weight: state (weight and two moments of Adam), best and final file.
    disk = 4 * 5 * model.count_params() * len(folds)
    return Forecast(seconds / 3600, expected.gigabytes, disk / 1e9)


def check_applies(run: Run) -> None:
    """Refuse a row that the data cannot serve, before anything is trained.

    Raises:
        ValueError: if the row needs HU and the data are saturated windows (JPG).
    """
    first = run.dataset.load(next(iter(run.fingerprint["cases"])))
    needed = windows.approach_windows(run.experiment.approach)
    windows.check_window(first.volume.hu_window, needed)


def _result(run: Run, folds: tuple[splits.Fold, ...], done: list[dict]) -> dict:
    counts = {name: {} for name in metrics.PROTOCOLS}
    for fold in done:
        for name, cases in fold["counts"].items():
            counts[name].update(cases)
    return {
        "experiment": run.experiment.id,
        "title": run.experiment.title,
        "profile": run.profile.name,
        "spec": run.spec,
        "init": done[0]["init"],
        "wanted_init": run.experiment.arguments.get("init", "random"),
        "data": run.fingerprint,
        "folds": [dataclasses.asdict(fold) for fold in folds],
        "states": run.experiment.states,
        "leaves_open": list(run.experiment.leaves_open),
        "assumptions": list(run.experiment.assumptions),
        "deviations": list(run.profile.deviations),
        "counts": counts,
        "summary": evaluation.summarise(counts, run.fingerprint["identity"]),
        "history": [fold["history"] for fold in done],
        "seconds": [fold["seconds"] for fold in done],
        "peak_memory_gb": [fold["peak_memory_gb"] for fold in done],
        "devices": [fold["device"] for fold in done],
        "versions": [fold["versions"] for fold in done],
        "commits": [fold["commit"] for fold in done],
    }
