"""What is published with the network of real heads, and how it was chosen.

The calibration is fitted on painted scans of held-out patients, and for any hemorrhage
of a slice on real slices of patients who neither train nor judge. The operating point
is chosen on judges whose true volumes are published, else on the painted scans; what
each half of the patients chooses is scored on the other half. Judges are predicted
last, by the network before and the new one.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ich_tf import files, labels
from ich_tf.experiments.runner import Run
from ich_tf.experiments.task import Say
from ich_tf.experiments.tasks import real_heads_data
from ich_tf.metrics import display, operating_point, painted_slices
from ich_tf.metrics.operating_point import ScanCounts
from ich_tf.models import lite
from ich_tf.prediction import calibration, detection, lite_network, ood, real_heads
from ich_tf.synthetic import painted, painted_scans
from ich_tf.volume import Case

MEASURED = "measured.json"
"""What the page about the network shows."""

_ANY = labels.index(labels.ANY)
_THICKNESS_MM = 5.0
"""Of slices whose distance is unknown."""
_FITTED_ON = (
    "subtypes and scans: painted scans of patients held out; any hemorrhage of a "
    "slice: real slices of patients who neither train nor judge"
)

Scores = tuple[np.ndarray, np.ndarray]
"""Labels (z, 6) and scores (z, 6) of a scan, in the order of `labels.CLASSES`."""


def publish(
    run: Run, network: real_heads.Network, fields: dict, say: Say
) -> tuple[dict, dict[str, Callable]]:
    """Manifest fields and the files next to the weights.

    Args:
        run: A finished run.
        network: Its network, without statistics and calibration.
        fields: Manifest fields that do not depend on what is measured here.
        say: Takes a line of progress.

    Returns:
        `fields` with the operating point and the score, and name of a file to its
        writer.
    """
    say("statistics of training slices")
    known = _known(run, network)
    say("painted scans of patients held out")
    (fold,) = run.folds
    held_out = real_heads_data.stored(run, fold.test, real_heads_data.HELD_OUT_COPIES)
    scored, counts = _painted(network, held_out)
    say("real slices of patients who neither train nor judge")
    fitted = fit_calibration(scored, _real(run, network))
    calibrated = dataclasses.replace(network, likeness=known, calibration=fitted)
    say("operating point")
    points = {
        "painted": _points_of_painted(fitted, scored, counts),
        "judges": _points_of_judges(run, calibrated),
    }
    point = (points["judges"] or points["painted"])["all"]
    preprocessing = {**network.entry["preprocessing"], **point}
    chosen = dataclasses.replace(
        calibrated, entry={**network.entry, "preprocessing": preprocessing}
    )
    say("judges, and painted scans with the operating point")
    measured = {
        "before": run.experiment.begins_with,
        **point,
        "operating_point": points,
        "judges": _judges(run, chosen),
        "painted": painted_scores(real_heads_data.painted_rows(chosen, held_out)),
    }
    described = {
        **fields,
        "preprocessing": preprocessing,
        "metric": _metric(measured),
    }
    return described, {
        lite_network.FILE: functools.partial(
            lite.write_with_features, model=network.model, layer=known.layer
        ),
        real_heads.LIKENESS: functools.partial(ood.save, likeness=known),
        real_heads.CALIBRATION: functools.partial(
            calibration.save, calibration=fitted, states=_FITTED_ON
        ),
        MEASURED: functools.partial(files.write_json, content=measured),
    }


def fit_calibration(
    of_painted: list[Scores], of_real: list[Scores]
) -> calibration.Calibration:
    """Fit a line for each class, of slices and of scans.

    Args:
        of_painted: Painted scans.
        of_real: Real scans, for any hemorrhage of a slice; an empty list leaves that to
            the painted ones.
    """
    truth, scored = (np.concatenate(part) for part in zip(*of_painted, strict=True))
    odds = calibration.log_odds(scored)
    sums = np.concatenate(
        [calibration.log_sums(scores[np.newaxis]) for _, scores in of_painted]
    )
    bleeds = np.array([rows.any(axis=0) for rows, _ in of_painted])
    count = len(labels.CLASSES)
    of_slices = [calibration.fit_line(odds[:, k], truth[:, k]) for k in range(count)]
    of_scans = [calibration.fit_line(sums[:, k], bleeds[:, k]) for k in range(count)]
    if of_real:
        truth, scored = (np.concatenate(part) for part in zip(*of_real, strict=True))
        k = labels.index(labels.ANY)
        odds = calibration.log_odds(scored)
        of_slices[k] = calibration.fit_line(odds[:, k], truth[:, k])
    return calibration.Calibration(np.array(of_slices), np.array(of_scans))


def painted_scores(rows: list[dict]) -> dict:
    """Scores of painted held-out scans, as JSON.

    Args:
        rows: From `real_heads_data.painted_rows`.

    Returns:
        `dice` and `boundary_mm` by kind of slice, `false_mm2` of slices without
        blood, and `subtypes`.
    """
    bleeding = [row for row in rows if row["truth"]]
    return {
        "dice": painted_slices.dice_by_kind(bleeding),
        "boundary_mm": painted_slices.boundary_by_kind(bleeding),
        "false_mm2": painted_slices.false_mm2(
            [row for row in rows if not row["truth"]]
        ),
        "subtypes": painted_slices.subtype_confusion(rows),
    }


def _known(run: Run, network: real_heads.Network) -> ood.Likeness:
    """Statistics of unpainted slices.

    Patients who were painted on for training are the reference; the other patients
    without hemorrhage set the limit.
    """
    layer = ood.deepest_layer(network.model)
    # Features are only returned where a detector names their layer.
    unknown = ood.Likeness(layer, np.zeros(1), np.zeros((1, 1)), 0.0)
    asked = dataclasses.replace(network, likeness=unknown)

    def features(names):
        return np.concatenate(
            [
                asked.segment(run.dataset.load(name)).features
                for name in painted.patients_of(names)
            ]
        )

    (fold,) = run.folds
    others = (*fold.validation, *fold.test)
    return ood.fit(layer, features(fold.train), features(others))


def _painted(
    network: real_heads.Network, scans: painted_scans.StoredScans
) -> tuple[list[Scores], list[ScanCounts]]:
    """Answers to painted scans; the counts' probabilities are not calibrated."""
    pixel_ml = real_heads_data.PIXEL_MM**2 * _THICKNESS_MM / 1000
    scored, counts = [], []
    for case, subtypes in real_heads_data.as_cases(scans):
        answer = network.segment(case)
        scored.append((case.labels, answer.scores))
        truth_ml = float(np.count_nonzero(subtypes)) * pixel_ml
        probability = answer.scores[:, _ANY]
        counts.append(_counts(case, answer, probability, pixel_ml, truth_ml))
    return scored, counts


def _counts(
    case: Case,
    answer: real_heads.Segmentation,
    probability: np.ndarray,
    pixel_ml: float,
    truth_ml: float | None,
) -> ScanCounts:
    pixels = {
        threshold: np.count_nonzero(answer.hemorrhage > threshold, axis=(1, 2))
        for threshold in operating_point.THRESHOLDS
    }
    bleeds = np.asarray(case.labels[:, _ANY], bool)
    return ScanCounts(case.patient_id, bleeds, probability, pixels, pixel_ml, truth_ml)


def _points_of_painted(
    fitted: calibration.Calibration, scored: list[Scores], counts: list[ScanCounts]
) -> dict:
    """What painted scans choose."""
    calibrated = []
    for (_, scores), scan in zip(scored, counts, strict=True):
        of_slices, _ = fitted.probabilities(scores)
        calibrated.append(dataclasses.replace(scan, probability=of_slices[:, _ANY]))
    return operating_point.report(calibrated)


def _points_of_judges(run: Run, network: real_heads.Network) -> dict | None:
    """What judges choose; None where no true volume of a judge is published."""
    published = detection.published_scans(run.fingerprint["identity"])
    counts = []
    for name, case in _judged_cases(run) if published else ():
        answer = network.segment(case)
        probability = network.probabilities(answer).slices[:, _ANY]
        facts, width = published.get(name), case.volume.hu.shape[2]
        if facts is not None:
            volumes_ml = facts.marked_ml(1, width), facts.truth_ml
        else:
            pixel_mm2 = (detection.USUAL_FIELD_MM / width) ** 2
            truth_ml = None if case.labels.any() else 0.0
            volumes_ml = pixel_mm2 * _THICKNESS_MM / 1000, truth_ml
        counts.append(_counts(case, answer, probability, *volumes_ml))
    judges = {scan.patient for scan in counts} & set(detection.JUDGES)
    return operating_point.report(counts) if judges else None


def _real(run: Run, network: real_heads.Network) -> list[Scores]:
    """Labels and scores of real patients with labels who neither train nor judge."""
    (fold,) = run.folds
    parts = (*fold.train, *fold.validation, *fold.test)
    used = {*painted.patients_of(parts), *detection.JUDGES}
    scored = []
    for name in run.dataset.case_ids():
        if name not in used:
            case = run.dataset.load(name)
            scored.append((case.labels, network.segment(case).scores))
    return scored


def _judges(run: Run, network: real_heads.Network) -> dict:
    """Scores of ct-ich's judges by the network before and by this one."""
    identity = run.fingerprint["identity"]
    scores: dict[str, Any] = {"data": identity, "before": None, "after": None}
    if not identity.startswith("ct-ich") or run.experiment.begins_with is None:
        return scores
    before = real_heads.load(run.folders.weights, run.experiment.begins_with)
    published = detection.published_scans(identity)
    judged = {"before": before, "after": network}
    records: dict[str, dict] = {title: {} for title in judged}
    for name, case in _judged_cases(run):
        for title, by in judged.items():
            made, _ = detection.record(by, case, published.get(name))
            records[title][name] = made
    for title, cases in records.items():
        scores[title] = detection.judges(cases, identity)
    return scores


def _judged_cases(run: Run) -> Iterator[tuple[str, Case]]:
    """Judges, and cases without hemorrhage that were not painted on for training."""
    (fold,) = run.folds
    trained = painted.patients_of((*fold.train, *fold.validation))
    for name in run.dataset.case_ids():
        if name not in trained:
            case = run.dataset.load(name)
            if name in detection.JUDGES or not case.labels.any():
                yield name, case


def _metric(measured: dict) -> str:
    judges, dice = measured["judges"], measured["painted"]["dice"]["all"]
    parts = []
    if judges["after"] is not None:
        auc = judges["after"]["auc"][labels.ANY]
        of_slices, of_patients = (
            display.with_interval(auc[unit]) for unit in ("slice", "patient")
        )
        parts.append(
            "area under the ROC curve of any hemorrhage on judges of "
            f"{judges['data']}: {of_slices} by slice, {of_patients} by patient"
        )
    parts.append(
        f"Dice {display.with_interval(dice)} of painted slices of patients held out"
    )
    return "; ".join(parts)
