"""How a row of Table I is trained and evaluated.

A slice network learns from single slices, in shuffled order, from shards. Its features
of every slice are kept beside its weights; a sequence model learns from those, scan by
scan. Both end with the weights of the last epoch, as in [1]: nothing is chosen on the
scans that are scored.
"""

import dataclasses
import functools
import logging
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from ich_tf import labels, models
from ich_tf.data import splits
from ich_tf.experiments import runner, spec
from ich_tf.experiments.runner import SPLIT_SEED, Run
from ich_tf.experiments.tasks import slice_data
from ich_tf.metrics import evaluation
from ich_tf.models import convert, sequence
from ich_tf.models import weights as model_weights
from ich_tf.preprocessing import augment, tensor_augment
from ich_tf.preprocessing.classification import image_pipeline, images, sequences
from ich_tf.synthetic import painting
from ich_tf.training import distribute, loop
from ich_tf.volume import Case

LOGGER = logging.getLogger(__name__)
# Of ResNeXt-101, for the forecast.
FEATURES = 2048


def folds(run: Run) -> tuple[splits.Fold, ...]:
    """The scans of each fold: [1]'s one split by series, or splits by patient."""
    case_ids, split = run.dataset.case_ids(), run.profile.split
    if split == "burduja2020":
        return (splits.split_burduja2020(case_ids),)
    positive = run.dataset.scan_labels()[:, labels.index(labels.ANY)] > 0
    patients = run.dataset.patient_ids()
    if isinstance(split, float):
        shares = (1 - split, 0.0, split)
        return (splits.scan_split(case_ids, patients, shares, SPLIT_SEED, positive),)
    by_patient = splits.patient_folds(
        patients, split, SPLIT_SEED, has_hemorrhage=positive
    )
    return tuple(
        splits.Fold((*fold.train, *fold.validation), (), fold.test)
        for fold in by_patient
    )


def check_applies(run: Run) -> None:
    """Refuse a row that the data cannot serve, before anything is trained.

    Raises:
        DoesNotApply: if there are no labels, or no Hounsfield units where the windows
            need them; if a TPU should train a sequence model.
        ValueError: if no scan can be read.
    """
    if (
        distribute.is_tpu()
        and run.experiment.slices_from
        and runner.state_of(run) != "finished"
    ):
        raise runner.DoesNotApply(
            "Scans differ in length and Python makes their batches, so a TPU cannot "
            "train on them. It takes minutes with `--strategy one`."
        )
    first = _first_readable(run.dataset)
    if first.labels is None:
        raise runner.DoesNotApply(
            f"Case {first.case_id} has no labels: nothing to train on."
        )
    with runner.applying():
        slice_data.to_images(run)(first.volume)


def _first_readable(dataset) -> Case:
    reason = "there is none"
    for case_id in dataset.case_ids():
        try:
            return dataset.load(case_id)
        except ValueError as error:
            reason = str(error)
    problems = dataset.problems() if hasattr(dataset, "problems") else ()
    reasons = [reason, *(f"{one.file}: {one.message}" for one in problems[:3])]
    raise ValueError(f"{dataset.root}: no scan can be read: {'; '.join(reasons)}")


def built_on(run: Run) -> Run | None:
    """The run whose slice network a sequence model stands on."""
    return None if run.experiment.sequence is None else _slice_run(run)


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
        The model of the last epoch, its history and the initialisation it had.

    Raises:
        ValueError: if `resume` is set and there is nothing to resume.
    """
    begin = functools.partial(
        runner.begin_fold, run, number, resume=resume, fresh=fresh, say=say
    )
    if run.experiment.sequence is None:
        return _train_slices(run, number, begin, say)
    return _train_sequence(run, number, begin, say)


def evaluate(run: Run, number: int, model, *, say: Callable[[str], None]) -> dict:
    """Probabilities of every slice of the test scans.

    A slice network also leaves its features of all scans of the fold, for a sequence
    model to learn from.

    Returns:
        `predictions`: case id to its `patient`, and `truth` and `probability` of each
        slice and class.
    """
    if run.experiment.sequence is None:
        slice_data.write_features(run, number, model, say)
        scans = slice_data.features(run, number, slice_data.HELD_OUT)
        answers = [scans.probabilities[scans.rows(k)] for k in range(len(scans))]
    else:
        scans = slice_data.features(_slice_run(run), number, slice_data.HELD_OUT)
        answers = sequences.by_scan(
            scans, slice_data.SCANS_AT_ONCE, model.predict_on_batch
        )
    patients = dict(zip(run.dataset.case_ids(), run.dataset.patient_ids(), strict=True))
    predictions = {}
    for position, case_id in enumerate(slice_data.held_out_ids(run, number)):
        predictions[case_id] = {
            "patient": patients[case_id],
            "truth": scans.labels[scans.rows(position)].astype(int).tolist(),
            # Enough digits for the log loss of a very sure answer.
            "probability": [
                [float(f"{value:.6g}") for value in row] for row in answers[position]
            ],
        }
    return {"predictions": predictions}


def summarise(run: Run, done: list[dict]) -> dict:
    """`predictions` of all folds, the `summary` of scores with intervals, and more.

    Returns:
        Also `left_out` (`slice_data.left_out`) and `leakage`: how many patients of the
        held-out scans were trained on, fold by fold (`splits.leakage`).
    """
    predictions = {
        case_id: {"fold": number, **scan}
        for number, fold in enumerate(done)
        for case_id, scan in fold["predictions"].items()
    }
    ids = run.dataset.case_ids(), run.dataset.patient_ids()
    return {
        "predictions": predictions,
        "summary": evaluation.score_slices(predictions),
        "left_out": slice_data.left_out(run),
        "leakage": [
            dataclasses.asdict(splits.leakage(fold, *ids)) for fold in run.folds
        ],
    }


def describe(run: Run, result: dict) -> dict:
    """What the manifest of shipped weights says of this network and its score."""
    if run.experiment.sequence is None:
        name, kwargs = _slice_network(run)
    else:
        stored = slice_data.features(_slice_run(run), 0, slice_data.TRAIN)
        width = stored.features.shape[1]
        name, kwargs = "sequence", {"features": width, **_sequence_arguments(run)}
    found = result["summary"][labels.ANY]
    scans, slices = found["auc_scan"], found["auc_slice"]
    return {
        "build": {"name": name, "kwargs": kwargs},
        "preprocessing": {"images": run.profile.images, "size": run.profile.size},
        "metric": (
            f"AUC of any hemorrhage {slices['mean']:.3f} [{slices['low']:.3f}, "
            f"{slices['high']:.3f}] over {slices['n']} slices and {scans['mean']:.3f} "
            f"[{scans['low']:.3f}, {scans['high']:.3f}] over {scans['n']} held-out "
            f"scans of the {run.fingerprint['identity']}"
        ),
    }


def load_slice_network(run: Run):
    """The trained slice network of the first fold of a finished run."""
    name, arguments = _slice_network(run)
    model = models.build(name, **{**arguments, "init": "random"})
    loop.load_weights(model, run.fold_folder(0) / loop.FINAL)
    return model


def check_weights(run: Run) -> None:
    """Look for the converted weights that the slice network begins with.

    Raises:
        WeightsUnavailable: if they are not there; the message says how to make them.
    """
    _, arguments = _slice_network(run)
    if arguments.get("init") in convert.PUBLISHED:
        convert.find(arguments["init"], run.folders.weights)


def forecast(run: Run, say: Callable[[str], None] = LOGGER.info) -> runner.Forecast:
    """Build the network, measure three training steps and reckon up; input not counted.

    Raises:
        WeightsUnavailable: if the row's weights cannot be had.
    """
    fold = run.folds[0]
    cases = run.fingerprint["cases"]
    if run.experiment.sequence is None:
        slices = sum(cases[case_id]["slices"] for case_id in fold.train)
        plan = _plan(run, run.profile.slices, slices // run.profile.slices.batch)
        model, _ = _build_slices(run, plan, say)
        shape = (plan.batch, *model.input_shape[1:])
        batch = (np.zeros(shape, np.float32), np.zeros((plan.batch, 6), np.float32))
    else:
        plan = _plan(run, run.profile.sequence, len(fold.train))
        model = _build_sequence(run, plan, FEATURES, None)
        typical = int(np.median([cases[case_id]["slices"] for case_id in fold.train]))
        inputs = {
            "features": np.zeros((plan.batch, typical, FEATURES), np.float32),
            "probabilities": np.zeros((plan.batch, typical, 6), np.float32),
            "mask": np.ones((plan.batch, typical), bool),
        }
        batch = (inputs, inputs["probabilities"], np.ones((plan.batch, typical)))
    expected = loop.estimate(model, [batch] * 4, plan)
    hours = expected.seconds_per_step * plan.steps * len(run.folds) / 3600
    disk = runner.weights_bytes(run, model)
    if run.experiment.sequence is None:
        disk += slice_data.disk_bytes(run, width=FEATURES)
    return runner.Forecast(hours, expected.gigabytes, disk / 1e9)


def _train_slices(run: Run, number: int, begin, say):
    learned = None
    if run.experiment.pretraining:
        learned = _pretrain(run, number, say)
    source = slice_data.shards(run, number, slice_data.TRAIN, say)
    stage = run.profile.slices
    plan = _plan(run, stage, image_pipeline.steps_per_epoch(source, stage.batch))
    model, init = _build_slices(run, plan, say)
    if learned:
        loop.load_weights(model, learned)
    batches = _image_batches(run, source, plan)
    return model, _fit(run, number, model, batches, plan, begin(init=init)), init


def _pretrain(run: Run, number: int, say) -> pathlib.Path:
    """Train on painted slices, or go on with it; the file of weights."""
    source = slice_data.painted_shards(run, number, say)
    stage = run.experiment.pretraining
    plan = _plan(run, stage, image_pipeline.steps_per_epoch(source, stage.batch))
    model, _ = _build_slices(run, plan, say)
    # Beside the fold's folder, which is emptied when its own training begins.
    folder = run.folder / f"pretraining-{number}"
    wanted = {**run.fold_spec(number), "painting": painting.VERSION}
    say(f"{run.experiment.id}: fold {number}, training on painted slices")
    loop.fit(
        model,
        _image_batches(run, source, plan),
        None,
        plan,
        folder,
        spec=wanted,
        resume=loop.stored_spec(folder) == wanted,
    )
    return folder / loop.FINAL


def _image_batches(run: Run, source, plan: loop.Plan) -> Callable:
    """From first and last step to the batches between them."""

    def batches(first_step: int, last_step: int):
        return image_pipeline.training_batches(
            source,
            batch=plan.batch,
            first_step=first_step,
            last_step=last_step,
            seed=run.seed,
            **_augmentation(run),
        )

    return batches


def _augmentation(run: Run) -> dict[str, Callable | None]:
    """The argument of `image_pipeline.training_batches`, for a TPU without Python."""
    name = run.profile.augmentation
    if distribute.is_tpu():
        return {"tensor_augment": tensor_augment.image_augmenter(name)}
    return {"augment": augment.image_augmenter(name)}


def _train_sequence(run: Run, number: int, begin, say):
    slices = _slice_run(run)
    init = runner.execute(slices, say=say)["init"]
    scans = slice_data.features(slices, number, slice_data.TRAIN)
    stage = run.profile.sequence
    plan = _plan(run, stage, sequences.steps_per_epoch(scans, stage.batch))
    components = _sequence_arguments(run)["components"]
    pca = sequence.fit_pca(_in_parts(scans.features), components)
    model = _build_sequence(run, plan, scans.features.shape[1], pca)

    def batches(first_step: int, last_step: int):
        return sequences.training_batches(
            scans,
            batch=plan.batch,
            first_step=first_step,
            last_step=last_step,
            seed=run.seed,
        )

    return model, _fit(run, number, model, batches, plan, begin(init=init)), init


def _fit(run: Run, number: int, model, batches, plan, begun) -> list[dict]:
    wanted, interrupted = begun
    return loop.fit(
        model,
        batches,
        None,
        plan,
        run.fold_folder(number),
        spec=wanted,
        resume=interrupted,
    )


def _in_parts(features: np.ndarray, rows: int = 4096) -> Iterator[np.ndarray]:
    for first in range(0, len(features), rows):
        yield np.asarray(features[first : first + rows])


def _slice_run(run: Run) -> Run:
    """The run whose slice network a sequence model stands on."""
    (experiment,) = spec.find(run.experiment.slices_from)
    return dataclasses.replace(run, experiment=experiment)


def _plan(run: Run, stage: spec.Stage, steps_of_a_pass: int) -> loop.Plan:
    return loop.Plan(
        epochs=stage.epochs * stage.parts,
        steps_per_epoch=stage.steps_per_epoch or max(1, steps_of_a_pass // stage.parts),
        batch=stage.batch,
        learning_rate=stage.learning_rate,
        schedule=stage.schedule,
        precision=stage.precision,
        seed=run.seed,
    )


def _build_slices(run: Run, plan: loop.Plan, say) -> tuple:
    """The compiled slice network and the initialisation that could be had.

    Raises:
        WeightsUnavailable: if the row's weights cannot be had and the profile is not
            demo.
    """
    loop.start(plan)
    name, arguments = _slice_network(run)
    try:
        model = models.build(name, **arguments, weights_dir=run.folders.weights)
    except model_weights.WeightsUnavailable as error:
        if run.profile.name != "demo":
            raise
        say(f"{run.experiment.id}: runs from random weights. {error}")
        loop.start(plan)
        arguments["init"] = "random"
        model = models.build(name, **arguments)
    loop.compile_model(model, run.experiment.loss, plan)
    return model, arguments.get("init", "random")


def _slice_network(run: Run) -> tuple[str, dict]:
    """Name and arguments of the slice network, as `models.build` takes them."""
    name = run.profile.network.get("model", run.experiment.model)
    return name, {
        **run.experiment.arguments,
        **run.profile.network.get("arguments", {}),
        "input_shape": (run.profile.size, run.profile.size, 3),
        "mean": images.MEAN,
        "standard_deviation": images.STANDARD_DEVIATION,
    }


def _build_sequence(run: Run, plan: loop.Plan, features: int, pca):
    loop.start(plan)
    model = sequence.build_sequence(features, pca=pca, **_sequence_arguments(run))
    loop.compile_model(model, sequence.scan_loss(), plan)
    return model


def _sequence_arguments(run: Run) -> dict:
    return {**run.experiment.sequence, **run.profile.sequence_arguments}
