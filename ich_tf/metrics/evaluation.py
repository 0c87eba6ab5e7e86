"""From stored probabilities to counts, and from counts to scores with intervals."""

from collections.abc import Sequence

import numpy as np

from ich_tf import labels, metrics
from ich_tf.metrics import auc_intervals, seeds
from ich_tf.metrics import classification as scoring
from ich_tf.metrics.resampling import Interval
from ich_tf.volume import Case


def encode(probability: np.ndarray) -> np.ndarray:
    """Probability in [0, 1] as uint8, the form in which result files store it.

    Half levels are rounded down, so that encoding keeps which values exceed one half.
    """
    return np.ceil(probability * 255 - 0.5).astype(np.uint8)


def count(coded: np.ndarray, case: Case) -> dict[str, dict]:
    """Counts of a case under every protocol.

    Args:
        coded: (z, y, x), uint8, from `encode`.
        case: With its mask.

    Returns:
        Protocol name to `metrics.case_counts`.
    """
    probability = coded.astype(np.float32) / 255
    truth = case.mask.astype(bool)
    return {
        name: metrics.case_counts(
            truth,
            metrics.binarise(probability, protocol),
            protocol,
            case.volume.slice_pixel_ml,
            case_id=case.case_id,
            patient_id=case.patient_id,
        )
        for name, protocol in metrics.PROTOCOLS.items()
    }


def summarise(
    counts: dict[str, dict], identity: str, *others: dict[str, dict]
) -> dict[str, dict]:
    """Means with 95 % intervals over patients (and seeds), as JSON.

    Args:
        counts: Protocol name to the counts of each case by case id.
        identity: Identity of the data; protocols exclude patients by number in ct-ich
            only.
        *others: Counts of the same cases by further seeds of training.

    Returns:
        Protocol name to metric name to `mean`, `low`, `high`, `n`, `n_undefined`;
        undefined values are None.
    """
    summary = {}
    for name, cases in counts.items():
        protocol = metrics.protocol(name)
        summary[name] = {}
        for metric in metrics.METRICS:
            runs = []
            for run in (counts, *others):
                *terms, patients = metrics.terms(
                    [run[name][case_id] for case_id in cases],
                    protocol,
                    metric,
                    identity.startswith("ct-ich"),
                )
                runs.append(tuple(terms))
            interval = seeds.bootstrap_ratio(runs, patients)
            summary[name][metric] = as_json(interval)
    return summary


def largest_areas(mask: np.ndarray) -> np.ndarray:
    """Pixels of the largest connected part of each slice.

    Args:
        mask: (z, y, x), true = hemorrhage.

    Returns:
        (z,), int; 0 where a slice shows nothing.
    """
    import cv2

    areas = []
    for image in mask.astype(np.uint8):
        _, _, statistics, _ = cv2.connectedComponentsWithStats(image)
        areas.append(statistics[1:, cv2.CC_STAT_AREA].max(initial=0))
    return np.array(areas, int)


def label_and_area(case: Case, probability: np.ndarray) -> dict[str, list[int]]:
    """Label and largest predicted area of each slice of a case.

    Args:
        case: With labels.
        probability: (z, y, x).

    Returns:
        `truth`, 1 where a slice shows hemorrhage, and `largest`, the pixels of the
        largest connected part above 1/2.
    """
    return {
        "truth": case.labels[:, -1].tolist(),
        "largest": largest_areas(probability > 0.5).tolist(),
    }


def detection(cases: dict[str, dict]) -> dict[str, dict]:
    """Area under the ROC curve of the largest predicted area, as JSON.

    Args:
        cases: Case id to `label_and_area`; a case is a patient.

    Returns:
        "slice" and "patient" (its largest slice) to `mean`, `low`, `high`, `n` and
        `n_undefined`.
    """
    truth = {name: np.array(case["truth"], bool) for name, case in cases.items()}
    areas = {name: np.array(case["largest"]) for name, case in cases.items()}
    owners = [name for name, flags in truth.items() for _ in flags]
    by_slice = auc_intervals.delong_auc(
        np.concatenate([*truth.values()]), np.concatenate([*areas.values()]), owners
    )
    by_patient = auc_intervals.delong_auc(
        [flags.any() for flags in truth.values()],
        [largest.max() for largest in areas.values()],
    )
    return {"slice": as_json(by_slice), "patient": as_json(by_patient)}


def score_slices(predictions: dict[str, dict], *others: dict[str, dict]) -> dict:
    """Scores with 95 % intervals over patients (and seeds), as JSON.

    Args:
        predictions: Case id to `patient`, `fold` (absent: there is one), and `truth`
            and `probability` of each slice and class.
        *others: Predictions of the same scans by further seeds of training.

    Returns:
        Class to "auc_scan", "auc_slice", "accuracy_scan", ... to `mean`, `low`,
        `high`, `n` and `n_undefined`, None where undefined; "all" to
        "validation_loss" and "weighted_log_loss". "trivial_accuracy_scan" is the
        accuracy of the classifier that never predicts hemorrhage,
        "accuracy_gain_scan" ours minus that one.
    """
    ordered = [{scan: run[scan] for scan in predictions} for run in others]
    runs = [predictions, *ordered]
    scores = {name: {} for name in (*labels.CLASSES, "all")}
    for level in scoring.LEVELS:
        units = [pool(run, level) for run in runs]
        for k, name in enumerate(labels.CLASSES):
            for column, interval in _class_intervals(units, k).items():
                scores[name][f"{column}_{level}"] = interval
    losses, (patients, *_) = zip(*map(scan_losses, runs), strict=True)
    scores["all"]["validation_loss"] = _mean(losses, patients)
    slices = [pool(run, "slice") for run in runs]
    losses = [scoring.weighted_log_loss(run) for run in slices]
    scores["all"]["weighted_log_loss"] = _mean(losses, slices[0].patients)
    return {
        name: {column: as_json(interval) for column, interval in columns.items()}
        for name, columns in scores.items()
    }


def scan_losses(predictions: dict[str, dict]) -> tuple[np.ndarray, list[str]]:
    """The cross-entropy of each scan: the mean over its slices and classes.

    [1]'s code validates its sequence model with a scan a batch, so that its validation
    loss is the mean of these, and a slice of a long scan weighs less.

    Args:
        predictions: The predictions that `score_slices` takes.

    Returns:
        (scans,) losses, and the patient of each scan.
    """
    losses = scoring.cross_entropy(pool(predictions, "slice")).mean(axis=1)
    lengths = [len(scan["truth"]) for scan in predictions.values()]
    starts = np.cumsum([0, *lengths[:-1]])
    means = np.add.reduceat(losses, starts) / lengths
    return means, [scan["patient"] for scan in predictions.values()]


def pool(predictions: dict[str, dict], level: str) -> scoring.Pooled:
    """`scoring.pool` of the predictions that `score_slices` takes."""
    truth, probability = (
        {case_id: np.array(scan[name]) for case_id, scan in predictions.items()}
        for name in ("truth", "probability")
    )
    patients = {case_id: scan["patient"] for case_id, scan in predictions.items()}
    folds = {case_id: scan.get("fold", 0) for case_id, scan in predictions.items()}
    return scoring.pool(truth, probability, level, patients, folds)


def _mean(runs: Sequence[np.ndarray], patients: Sequence[str]) -> Interval:
    terms = [(values, np.ones(len(values))) for values in runs]
    return seeds.bootstrap_ratio(terms, patients)


def _class_intervals(runs: Sequence[scoring.Pooled], k: int) -> dict:
    """Intervals of one class; the runs differ in their probabilities alone."""
    truth, owners, folds = runs[0].truth[:, k], runs[0].patients, runs[0].folds
    probabilities = [run.probability[:, k] for run in runs]
    predictions = [values > scoring.THRESHOLD for values in probabilities]
    correct = [(truth == predicted).astype(float) for predicted in predictions]
    every = np.ones(len(truth))

    def ratio(tops, bottom):
        return seeds.bootstrap_ratio([(top, bottom) for top in tops], owners)

    errors = [
        scoring.class_scores(truth, values)["calibration_error"]
        for values in probabilities
    ]
    return {
        "auc": seeds.bootstrap_auc(truth, probabilities, owners, folds=folds),
        "accuracy": ratio(correct, every),
        "trivial_accuracy": ratio([~truth], every),
        "accuracy_gain": ratio([values - ~truth for values in correct], every),
        "sensitivity": ratio([truth & of for of in predictions], truth),
        "specificity": ratio([~truth & ~of for of in predictions], ~truth),
        "calibration_error": Interval(
            float(np.mean(errors)), np.nan, np.nan, len(truth), 0
        ),
    }


def as_json(interval: Interval) -> dict:
    """An interval as JSON, None for what is undefined."""
    return {
        key: None if np.isnan(value) else value
        for key, value in interval._asdict().items()
    }
