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

from ich_tf import files, inference, intervals, labels, models, training
from ich_tf.data import splits
from ich_tf.experiments import provenance, runner, spec
from ich_tf.experiments.runner import Run
from ich_tf.metrics import classification as scoring
from ich_tf.models import sequence
from ich_tf.models import weights as model_weights
from ich_tf.preprocessing import (
    augment,
    image_pipeline,
    images,
    records,
    sequences,
)

LOGGER = logging.getLogger(__name__)
# Scans of a batch when the sequence model is evaluated.
SCANS_AT_ONCE = 16
TRAIN, HELD_OUT = "train", "held-out"


def folds(run: Run) -> tuple[splits.Fold, ...]:
    """The scans of each fold: [1]'s one split by series, or splits by patient."""
    case_ids, split = run.dataset.case_ids(), run.profile.split
    if split == "burduja2020":
        return (splits.split_burduja2020(case_ids),)
    positive = run.dataset.scan_labels()[:, labels.index(labels.ANY)] > 0
    patients = run.dataset.patient_ids()
    if isinstance(split, float):
        shares = (1 - split, 0.0, split)
        return (splits.scan_split(case_ids, patients, shares, run.seed, positive),)
    by_patient = splits.patient_folds(
        patients, split, run.seed, has_hemorrhage=positive
    )
    return tuple(
        splits.Fold((*fold.train, *fold.validation), (), fold.test)
        for fold in by_patient
    )


def check_applies(run: Run) -> None:
    """Refuse a row that the data cannot serve, before anything is trained.

    Raises:
        ValueError: if there are no labels, or no Hounsfield units where the windows
            need them.
    """
    first = run.dataset.load(next(iter(run.fingerprint["cases"])))
    if first.labels is None:
        raise ValueError(f"Case {first.case_id} has no labels: nothing to train on.")
    _images(run)(first.volume)


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
        _write_features(run, number, model, say)
        scans = _features(run, number, HELD_OUT)
        answers = [scans.probabilities[scans.rows(k)] for k in range(len(scans))]
    else:
        scans = _features(_slice_run(run), number, HELD_OUT)
        answers = sequences.by_scan(scans, SCANS_AT_ONCE, model.predict_on_batch)
    patients = dict(zip(run.dataset.case_ids(), run.dataset.patient_ids(), strict=True))
    predictions = {}
    for position, case_id in enumerate(_stored_case_ids(run, number)):
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
    """`predictions` of all folds and the `summary` of scores with intervals."""
    predictions = {}
    for fold in done:
        predictions.update(fold["predictions"])
    return {"predictions": predictions, "summary": score(predictions)}


def score(predictions: dict[str, dict]) -> dict:
    """Scores with 95 % intervals over patients, as JSON; undefined is None.

    Args:
        predictions: As `evaluate` gives them.

    Returns:
        Class to "auc_scan", "auc_slice", "accuracy_scan", ... to `mean`, `low`,
        `high`, `n` and `n_undefined`; "all" to "validation_loss" and
        "weighted_log_loss".
    """
    truth, probability = (
        {case_id: np.array(one[name]) for case_id, one in predictions.items()}
        for name in ("truth", "probability")
    )
    patients = {case_id: one["patient"] for case_id, one in predictions.items()}
    found = {name: {} for name in (*labels.CLASSES, "all")}
    for level in scoring.LEVELS:
        units = scoring.pool(truth, probability, level, patients)
        for k, name in enumerate(labels.CLASSES):
            for column, interval in _class_intervals(units, k).items():
                found[name][f"{column}_{level}"] = interval
    slices = scoring.pool(truth, probability, "slice", patients)
    losses = {
        "validation_loss": scoring.cross_entropy(slices).mean(axis=1),
        "weighted_log_loss": scoring.weighted_log_loss(slices),
    }
    for column, values in losses.items():
        found["all"][column] = intervals.bootstrap_mean(values, slices.patients)
    return {
        name: {column: _as_json(interval) for column, interval in columns.items()}
        for name, columns in found.items()
    }


def _class_intervals(units: scoring.Pooled, k: int) -> dict:
    truth, probability = units.truth[:, k], units.probability[:, k]
    called = probability > scoring.THRESHOLD
    ratio = functools.partial(intervals.bootstrap_ratio, patients=units.patients)
    one = scoring.class_scores(truth, probability)
    return {
        "auc": intervals.bootstrap_auc(truth, probability, units.patients),
        "accuracy": ratio(truth == called, np.ones(len(truth))),
        "sensitivity": ratio(truth & called, truth),
        "specificity": ratio(~truth & ~called, ~truth),
        "calibration_error": intervals.Interval(
            one["calibration_error"], np.nan, np.nan, len(truth), 0
        ),
    }


def _as_json(interval: intervals.Interval) -> dict:
    return {
        key: None if np.isnan(value) else value
        for key, value in interval._asdict().items()
    }


def describe(run: Run, result: dict) -> dict:
    """What the manifest of shipped weights says of this network and its score."""
    if run.experiment.sequence is None:
        name, kwargs = _slice_network(run)
    else:
        width = _features(_slice_run(run), 0, TRAIN).features.shape[1]
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
    model.load_weights(run.fold_folder(0) / training.FINAL)
    return model


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
        model = _build_sequence(run, plan, 2048, None)
        typical = int(np.median([cases[case_id]["slices"] for case_id in fold.train]))
        inputs = {
            "features": np.zeros((plan.batch, typical, 2048), np.float32),
            "probabilities": np.zeros((plan.batch, typical, 6), np.float32),
            "mask": np.ones((plan.batch, typical), bool),
        }
        batch = (inputs, inputs["probabilities"], np.ones((plan.batch, typical)))
    expected = training.estimate(model, [batch] * 4, plan)
    hours = expected.seconds_per_step * plan.steps * len(run.folds) / 3600
    # Per weight: state (weight and two moments of Adam), best and final file.
    disk = 4 * 5 * model.count_params() * len(run.folds)
    return runner.Forecast(hours, expected.gigabytes, disk / 1e9)


def _train_slices(run: Run, number: int, begin, say):
    source = _source(run, number, TRAIN, say)
    stage = run.profile.slices
    plan = _plan(run, stage, image_pipeline.steps_per_epoch(source, stage.batch))
    model, init = _build_slices(run, plan, say)
    wanted, interrupted = begin(init=init)

    def batches(first_step: int, last_step: int):
        return image_pipeline.training_batches(
            source,
            batch=plan.batch,
            first_step=first_step,
            last_step=last_step,
            seed=run.seed,
            augment=augment.image_augmenter(run.profile.augmentation),
        )

    history = training.fit(
        model,
        batches,
        None,
        plan,
        run.fold_folder(number),
        spec=wanted,
        monitor=None,
        resume=interrupted,
    )
    return model, history, init


def _train_sequence(run: Run, number: int, begin, say):
    slices = _slice_run(run)
    init = runner.execute(slices, say=say)["init"]
    scans = _features(slices, number, TRAIN)
    stage = run.profile.sequence
    plan = _plan(run, stage, sequences.steps_per_epoch(scans, stage.batch))
    components = _sequence_arguments(run)["components"]
    pca = sequence.fit_pca(_in_parts(scans.features), components)
    model = _build_sequence(run, plan, scans.features.shape[1], pca)
    wanted, interrupted = begin(init=init)

    def batches(first_step: int, last_step: int):
        return sequences.training_batches(
            scans,
            batch=plan.batch,
            first_step=first_step,
            last_step=last_step,
            seed=run.seed,
        )

    history = training.fit(
        model,
        batches,
        None,
        plan,
        run.fold_folder(number),
        spec=wanted,
        monitor=None,
        resume=interrupted,
    )
    return model, history, init


def _in_parts(features: np.ndarray, rows: int = 4096) -> Iterator[np.ndarray]:
    for first in range(0, len(features), rows):
        yield np.asarray(features[first : first + rows])


def _slice_run(run: Run) -> Run:
    """The run whose slice network a sequence model stands on."""
    (experiment,) = spec.find(run.experiment.slices_from)
    return dataclasses.replace(run, experiment=experiment)


def _plan(run: Run, stage: spec.Stage, steps_of_a_pass: int) -> training.Plan:
    return training.Plan(
        epochs=stage.epochs * stage.parts,
        steps_per_epoch=stage.steps_per_epoch or max(1, steps_of_a_pass // stage.parts),
        batch=stage.batch,
        learning_rate=stage.learning_rate,
        schedule=stage.schedule,
        precision=stage.precision,
        seed=run.seed,
    )


def _build_slices(run: Run, plan: training.Plan, say) -> tuple:
    """The compiled slice network and the initialisation that could be had.

    Raises:
        WeightsUnavailable: if the row's weights cannot be had and the profile is not
            demo.
    """
    training.start(plan)
    name, arguments = _slice_network(run)
    try:
        model = models.build(name, **arguments, weights_dir=run.folders.weights)
    except model_weights.WeightsUnavailable as error:
        if run.profile.name != "demo":
            raise
        say(f"{run.experiment.id}: runs from random weights. {error}")
        training.start(plan)
        arguments["init"] = "random"
        model = models.build(name, **arguments)
    training.compile_model(model, run.experiment.loss, plan)
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


def _build_sequence(run: Run, plan: training.Plan, features: int, pca):
    training.start(plan)
    model = sequence.build_sequence(features, pca=pca, **_sequence_arguments(run))
    training.compile_model(model, sequence.scan_loss(), plan)
    return model


def _sequence_arguments(run: Run) -> dict:
    return {**run.experiment.sequence, **run.profile.sequence_arguments}


def _images(run: Run) -> Callable:
    """From a volume to the slice network's images."""
    return functools.partial(records.IMAGES[run.profile.images], size=run.profile.size)


def _stored_case_ids(run: Run, number: int) -> tuple[str, ...]:
    """The held-out scans in the order of their features."""
    source = _source(run, number, HELD_OUT, LOGGER.info)
    return tuple(case_id for group in source.groups for case_id in group.case_ids)


def _source(run: Run, number: int, part: str, say) -> records.Shards:
    """Prepared slices of a part of a fold, made if absent."""
    key = provenance.digest([run.fingerprint, run.profile.size, run.profile.images])
    folder = run.folders.results / run.profile.name / "shards" / key
    if not (folder / records.INDEX).is_file():
        # Apache Beam takes a while to import.
        from ich_tf import prepare

        say(f"preparing shards of {len(run.fingerprint['cases'])} scans")
        prepare.run(
            functools.partial(type(run.dataset), run.dataset.root),
            folder,
            size=run.profile.size,
            to_images=_images(run),
            progress=lambda done, total: say(f"{done} of {total} shards"),
        )
    fold = run.folds[number]
    wanted = fold.train if part == TRAIN else (*fold.validation, *fold.test)
    left_out = {
        one["case_id"] for one in files.read_json(folder / records.INDEX)["left_out"]
    }
    return records.Shards(folder, [one for one in wanted if one not in left_out])


def _write_features(run: Run, number: int, model, say) -> None:
    """Features and probabilities of all slices of a fold, as memory-mapped arrays."""
    network = inference.feature_predictor(model)
    for part in (TRAIN, HELD_OUT):
        source = _source(run, number, part, say)
        say(f"{run.experiment.id}: features of {part}")
        lengths = [count for group in source.groups for count in group.counts]
        with files.new_folder(_feature_folder(run, number, part)) as partial:
            arrays = _create(partial, sum(lengths), model)
            first = 0
            for scan in image_pipeline.scans(source):
                last = first + len(scan.labels)
                features, probabilities = network(scan.images)
                arrays["features"][first:last] = features
                arrays["probabilities"][first:last] = probabilities
                arrays["labels"][first:last] = scan.labels
                first = last
            for array in arrays.values():
                array.flush()
            np.save(partial / "lengths.npy", lengths)


def _create(folder: pathlib.Path, slices: int, model) -> dict[str, np.memmap]:
    width = model.get_layer("features").output.shape[-1]
    shapes = {
        "features": ((slices, width), np.float32),
        "probabilities": ((slices, len(labels.CLASSES)), np.float32),
        "labels": ((slices, len(labels.CLASSES)), np.uint8),
    }
    return {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", dtype=dtype, shape=shape
        )
        for name, (shape, dtype) in shapes.items()
    }


def _features(run: Run, number: int, part: str) -> sequences.Scans:
    folder = _feature_folder(run, number, part)
    return sequences.Scans(
        **{
            name: np.load(folder / f"{name}.npy", mmap_mode="r")
            for name in ("features", "probabilities", "lengths", "labels")
        }
    )


def _feature_folder(run: Run, number: int, part: str) -> pathlib.Path:
    return run.fold_folder(number) / f"features-{part}"
