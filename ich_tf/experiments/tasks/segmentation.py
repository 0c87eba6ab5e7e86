"""How a row of Tables II and III is trained and evaluated, fold by fold.

`volumes` trains on 3-D patches instead: it shares all but `training_data`, `build`,
`predictor` and `forecast`.
"""

import functools
import logging
import zipfile
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ich_tf import files, metrics, models
from ich_tf.data import splits
from ich_tf.experiments import provenance, runner
from ich_tf.experiments.runner import SPLIT_SEED, Run
from ich_tf.metrics import display, evaluation
from ich_tf.models import backbones
from ich_tf.models import weights as model_weights
from ich_tf.prediction import segment
from ich_tf.preprocessing import augment, tensor_augment, windows
from ich_tf.preprocessing.segmentation import pipeline, slices, tiles
from ich_tf.training import distribute, loop
from ich_tf.volume import Case

LOGGER = logging.getLogger(__name__)


def folds(run: Run) -> tuple[splits.Fold, ...]:
    """The patients of each fold: of [2] for its subjects, five for other data."""
    cases = run.fingerprint["cases"]
    bleeding = [bool(facts["mask_voxels"]) for facts in cases.values()]
    if run.profile.folds == "holdout":
        shares = run.profile.split
        return (splits.patient_split(list(cases), shares, SPLIT_SEED, bleeding),)
    subjects = (splits.subject_order_75(), splits.subject_order_82())
    if set(cases) in map(set, subjects):
        return tuple(splits.folds_hssayeni2020(list(cases)))
    return tuple(
        splits.patient_folds(list(cases), 5, SPLIT_SEED, has_hemorrhage=bleeding)
    )


def check_applies(run: Run) -> None:
    """Refuse a row that the data cannot serve, before anything is trained.

    Raises:
        DoesNotApply: if the row needs HU and the data are saturated windows (JPG).
        ValueError: if the first case cannot be read.
    """
    check_windows(run, run.dataset.load(next(iter(run.fingerprint["cases"]))))


def check_windows(run: Run, case: Case) -> None:
    """Refuse a case that was saturated within the row's windows.

    Raises:
        DoesNotApply: if it was.
    """
    needed = windows.approach_windows(run.experiment.approach)
    with runner.applying():
        windows.check_window(case.volume.hu_window, needed)


def built_on(run: Run) -> None:
    """No row needs another one."""


def train(
    run: Run,
    number: int,
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
    plan, sampler, validation = run.task.training_data(run, run.folds[number])
    model, init = run.task.build(run, plan, say)
    spec, interrupted = runner.begin_fold(
        run, number, init=init, resume=resume, fresh=fresh, say=say
    )
    history = loop.fit(
        model,
        sampler,
        validation,
        plan,
        run.fold_folder(number),
        spec=spec,
        resume=interrupted,
    )
    return model, history, init


def evaluate(run: Run, number: int, model, *, say: Callable[[str], None]) -> dict:
    """Predict the test cases of a fold; keep probabilities as files and count.

    Returns:
        `counts`: protocol name to case id to `metrics.case_counts`.
    """
    test = run.folds[number].test
    say(f"{run.experiment.id}: predicting {len(test)} heads")
    predict = run.task.predictor(run, model)
    return {"counts": predict_cases(run, predict, cases(run, test))}


def predict_cases(run: Run, predict: Callable, found: Iterable[Case]) -> dict:
    """Predict cases with masks; keep probabilities as files and count.

    Args:
        run: The run.
        predict: From `predictor`.
        found: The cases.

    Returns:
        Protocol name to case id to `metrics.case_counts`.
    """
    counts = {name: {} for name in metrics.PROTOCOLS}
    for case in found:
        coded = evaluation.encode(predict(case.volume.hu))
        with files.atomic(run.folder / f"{case.case_id}.npz") as partial:
            np.savez_compressed(partial, probability=coded)
        for name, of_case in evaluation.count(coded, case).items():
            counts[name][case.case_id] = of_case
    return counts


def summarise(run: Run, done: list[dict]) -> dict:
    """`counts` of all folds' cases and the `summary` of each protocol."""
    counts = {name: {} for name in metrics.PROTOCOLS}
    for fold in done:
        for name, cases in fold["counts"].items():
            counts[name].update(cases)
    summary = evaluation.summarise(counts, run.fingerprint["identity"])
    return {"counts": counts, "summary": summary}


def stored_predictions(run: Run) -> Iterator[tuple[Case, np.ndarray]]:
    """Every test case of a finished run with its stored probabilities.

    Yields:
        The case, and (z, y, x), uint8, from `evaluation.encode`.

    Raises:
        ValueError: if a file is missing.
    """
    for fold in run.folds:
        for case in cases(run, fold.test):
            path = run.folder / f"{case.case_id}.npz"
            if not path.is_file():
                raise ValueError(f"There is no {path}: its run left no probabilities.")
            try:
                with np.load(path) as content:
                    probability = content["probability"]
            except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
                raise ValueError(f"{path} is damaged: {error}") from error
            yield case, probability


def describe(run: Run, result: dict) -> dict:
    """What the manifest of shipped weights says of this network and its score."""
    profile, experiment = run.profile, run.experiment
    tile, stride = _inference_tiles(profile)
    shape = (tile, tile, experiment.channels)
    volume = result["summary"]["per_volume"]
    dice, alarm = volume["bleeding_dice"], volume["false_positive_ml"]
    return {
        "build": {
            "name": experiment.model,
            "kwargs": {**experiment.arguments, "input_shape": shape},
        },
        "preprocessing": {
            "approach": experiment.approach,
            "channels": experiment.channels,
            "size": profile.size,
            "tile": tile,
            "stride": stride,
        },
        "metric": (
            f"Dice {display.with_interval(dice)}, mean per volume of the held-out "
            f"heads with hemorrhage of the {run.fingerprint['identity']}; "
            f"{display.with_interval(alarm)} ml of false positives in a head without"
        ),
    }


def predictor(run: Run, model) -> Callable[[np.ndarray], np.ndarray]:
    """From HU (z, h, w) to probabilities of the same shape."""
    return functools.partial(segment.predict_volume, network(run, model))


def network(run: Run, model, layer: str | None = None) -> segment.Predictor:
    """The model with what it expects; for whole slices, built anew at their size.

    Args:
        run: The run.
        model: Its trained model.
        layer: Of the features, see `inference.predictor`.
    """
    tile, stride = _inference_tiles(run.profile)
    batch = segment.TILES_PER_BATCH
    if tile != run.profile.tile:
        batch = segment.SLICES_AT_ONCE
        whole = _untrained(run, tile, imagenet=False, like=model)
        whole.set_weights(model.get_weights())
        model = whole
    return segment.predictor(model, channels(run), tile, stride, batch, layer)


def _inference_tiles(profile) -> tuple[int, int]:
    """Side and stride of the tiles that are answered."""
    if profile.inference_stride is None:
        return profile.size, profile.size
    return profile.tile, profile.inference_stride


def cases(run: Run, case_ids: Iterable[str]) -> Iterable[Case]:
    """Cases at the profile's size, one at a time."""
    for case_id in case_ids:
        yield slices.at_size(run.dataset.load(case_id), run.profile.size)


def channels(run: Run) -> Callable[[np.ndarray], np.ndarray]:
    """From HU to the network's channels."""
    return functools.partial(
        windows.channels,
        approach=run.experiment.approach,
        count=run.experiment.channels,
    )


def stored_slices(run: Run, case_ids: Iterable[str], rule: str) -> slices.Slices:
    """The cases' slices on disk, written if they are not there.

    Args:
        run: The run.
        case_ids: The cases.
        rule: Name in `slices.RULES`.
    """
    key = provenance.digest(
        [run.fingerprint, case_ids, run.profile.size, rule, run.seed]
    )
    with distribute.chief_first():
        return slices.store(
            run.folders.results / run.profile.name / "slices" / key,
            cases(run, case_ids),
            functools.partial(slices.RULES[rule], seed=run.seed),
        )


def training_data(run: Run, fold: splits.Fold):
    """The plan, from first and last step to batches, and validation batches or None."""
    stored = (
        stored_slices(run, getattr(fold, part), run.profile.slices)
        for part in ("train", "validation")
    )
    return plan_and_batches(run, *stored)


def plan_and_batches(run: Run, train: slices.Slices, validation: slices.Slices):
    """As `training_data`, from stored slices."""
    profile = run.profile
    grid = tiles.TileGrid(profile.size, profile.size, profile.tile, profile.stride)
    crops = {
        part: pipeline.crops(
            stored,
            grid.positions,
            profile.tile,
            profile.crops,
            training=part == "train",
        )
        for part, stored in (("train", train), ("validation", validation))
    }
    plan = loop.Plan(
        epochs=profile.epochs,
        steps_per_epoch=profile.steps_per_epoch
        or pipeline.steps_per_epoch(crops["train"], profile.batch),
        batch=profile.batch,
        learning_rate=profile.learning_rate,
        schedule=profile.schedule,
        decay=profile.decay,
        batch_norm_momentum=profile.batch_norm_momentum,
        output_bias=profile.output_bias,
        seed=run.seed,
    )

    return plan, *_batches(run, crops["train"], crops["validation"])


def _batches(run: Run, training_crops, validation_crops):
    """Batches of training crops from step to step, and of validation crops or None.

    For a TPU without Python.
    """
    profile = run.profile
    common = {"channels": run.experiment.channels, "batch": profile.batch}
    if distribute.is_tpu():
        shown = windows.approach_windows(run.experiment.approach)
        change = tensor_augment.augmenter(profile.augmentation)
        make = pipeline.tensor_training_batches
        validate = pipeline.tensor_validation_batches
    else:
        shown = channels(run)
        change = augment.augmenter(profile.augmentation)
        make, validate = pipeline.training_batches, pipeline.validation_batches

    def sampler(first_step: int, last_step: int):
        return make(
            training_crops,
            shown,
            first_step=first_step,
            last_step=last_step,
            seed=run.seed,
            lesion_share=profile.lesion_share,
            augment=change,
            **common,
        )

    limit = profile.validation_crops
    if limit == 0:
        return sampler, None
    return sampler, validate(validation_crops, shown, limit=limit, **common)


def build(run: Run, plan: loop.Plan, say) -> tuple:
    """The compiled model and the initialisation that could be had.

    Raises:
        WeightsUnavailable: if the row's ImageNet weights cannot be had and the
            profile is not demo.
    """
    loop.start(plan)
    init = run.experiment.arguments.get("init", "random")
    try:
        model = _untrained(run, run.profile.tile)
    except model_weights.WeightsUnavailable as error:
        if run.profile.name != "demo":
            raise
        say(f"{run.experiment.id}: runs from random weights. {error}")
        init = "random"
        loop.start(plan)
        model = _untrained(run, run.profile.tile, imagenet=False)
    loop.compile_model(model, run.experiment.loss, plan, [loop.SoftJaccard()])
    return model, init


def _untrained(run: Run, side: int, *, imagenet: bool = True, like=None):
    """The row's network for squares of a side; without ImageNet weights from random.

    Args:
        run: The run.
        side: In pixels.
        imagenet: Whether to begin with the ImageNet weights that the row wants.
        like: A network of the row whose input scaling is taken over, which decides
            no weight.

    Raises:
        WeightsUnavailable: if ImageNet weights are wanted and cannot be had.
    """
    arguments = dict(run.experiment.arguments)
    if arguments.get("init") == "imagenet":
        if imagenet:
            arguments["weights_dir"] = run.folders.weights
        else:
            arguments["init"] = "random"
        if like is not None:
            arguments["input_scaling"] = backbones.input_scaling_of(like)
    shape = (side, side, run.experiment.channels)
    return models.build(run.experiment.model, **arguments, input_shape=shape)


def check_weights(run: Run) -> None:
    """Fetch the weights that the row begins with, if they are not there.

    Raises:
        WeightsUnavailable: if they cannot be had.
    """
    if run.experiment.arguments.get("init") == "imagenet":
        _untrained(run, run.profile.tile)


def forecast(run: Run, say: Callable[[str], None] = LOGGER.info) -> runner.Forecast:
    """Build the network, measure three training steps and reckon up.

    Raises:
        WeightsUnavailable: if the row's ImageNet weights cannot be had.
    """
    plan, sampler, validation = training_data(run, run.folds[0])
    model, _ = build(run, plan, say)
    # A validation batch is one forward pass, about a third of a training step.
    batches = plan.steps_per_epoch
    if validation is not None:
        batches += int(validation.cardinality()) / 3
    expected = loop.estimate(model, sampler(0, 4), plan)
    seconds = expected.seconds_per_step * batches * plan.epochs * len(run.folds)
    disk = disk_gigabytes(run, model)
    return runner.Forecast(seconds / 3600, expected.gigabytes, disk)


def disk_gigabytes(run: Run, model) -> float:
    """What weights and stored slices of all folds take, in 10^9 bytes, at most."""
    cases = run.fingerprint["cases"]
    stored = sum(
        cases[case_id]["slices"]
        for fold in run.folds
        for case_id in (*fold.train, *fold.validation)
    )
    # Per pixel: HU in float32 and the mask.
    pixels = 5 * stored * run.profile.size**2
    return (runner.weights_bytes(run, model) + pixels) / 1e9
