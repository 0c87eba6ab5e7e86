"""What is published with the network of real heads, and how it was chosen.

The threshold is chosen on painted scans of held-out patients. The calibration is fitted
on the same scans, and for any hemorrhage of a slice on real slices of patients who
neither train nor judge. Judges are predicted last, by the network before and the new
one.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ich_tf import files, labels
from ich_tf.experiments.runner import Run
from ich_tf.experiments.task import Say
from ich_tf.experiments.tasks import real_heads_data
from ich_tf.metrics import display, painted_slices
from ich_tf.prediction import calibration, detection, ood, real_heads
from ich_tf.synthetic import painted

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""The threshold is chosen among these."""
MEASURED = "measured.json"
"""What the page about the network shows."""

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
        `fields` with the threshold and the score, and name of a file to its writer.
    """
    say("statistics of training slices")
    known = _known(run, network)
    say("painted scans of patients held out")
    rows, scored = _painted(run, network)
    threshold = painted_slices.choose_threshold(rows)
    say("real slices of patients who neither train nor judge")
    fitted = fit_calibration(scored, _real(run, network))
    entry = dict(network.entry)
    entry["preprocessing"] = {
        **entry["preprocessing"],
        "threshold": float(threshold),
    }
    chosen = dataclasses.replace(
        network, entry=entry, likeness=known, calibration=fitted
    )
    say("judges")
    measured = {
        "before": run.experiment.begins_with,
        "threshold": float(threshold),
        "judges": _judges(run, chosen),
        "painted": painted_scores(rows, threshold),
    }
    described = {
        **fields,
        "preprocessing": entry["preprocessing"],
        "metric": _metric(measured),
    }
    return described, {
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


def painted_scores(rows: dict[str, list[dict]], threshold: str) -> dict:
    """Scores of painted held-out scans, as JSON.

    Args:
        rows: Threshold to `real_heads_data.painted_rows`.
        threshold: The chosen one.

    Returns:
        `dice` and `boundary_mm` by kind of slice, `false_mm2` of slices without
        blood, `halves` (the threshold chosen on one half of the patients and the
        Dice of the other), and `subtypes`.
    """
    chosen = rows[threshold]
    bleeding = [row for row in chosen if row["truth"]]
    return {
        "dice": painted_slices.dice_by_kind(bleeding),
        "boundary_mm": painted_slices.boundary_by_kind(bleeding),
        "false_mm2": painted_slices.false_mm2(
            [row for row in chosen if not row["truth"]]
        ),
        "halves": painted_slices.choose_by_halves(rows),
        "subtypes": painted_slices.subtype_confusion(chosen),
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
    run: Run, network: real_heads.Network
) -> tuple[dict[str, list[dict]], list[Scores]]:
    """Rows of the held-out scans by threshold, and each scan's labels and scores."""
    (fold,) = run.folds
    scans = real_heads_data.stored(run, fold.test, real_heads_data.HELD_OUT_COPIES)
    rows: dict[str, list[dict]] = {str(threshold): [] for threshold in THRESHOLDS}
    scored = []
    for case, subtypes in real_heads_data.as_cases(scans):
        answer = network.segment(case)
        scored.append((case.labels, answer.scores))
        for threshold in THRESHOLDS:
            rows[str(threshold)] += real_heads_data.rows_of(
                case, subtypes, answer, threshold
            )
    return rows, scored


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
    (fold,) = run.folds
    trained = painted.patients_of((*fold.train, *fold.validation))
    before = real_heads.load(run.folders.weights, run.experiment.begins_with)
    published = detection.published_scans(identity)
    judged = {"before": before, "after": network}
    records: dict[str, dict] = {title: {} for title in judged}
    for name in run.dataset.case_ids():
        if name in trained:
            continue
        case = run.dataset.load(name)
        if name in detection.JUDGES or not case.labels.any():
            for title, by in judged.items():
                made, _ = detection.record(by, case, published.get(name))
                records[title][name] = made
    for title, cases in records.items():
        scores[title] = detection.judges(cases, identity)
    return scores


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
