"""Two rows on the same held-out scans: what does the second one add?"""

import math
import pathlib
from collections.abc import Sequence

import numpy as np

from ich_tf import files, labels, metrics
from ich_tf.evidence import tables
from ich_tf.experiments import results as stored
from ich_tf.experiments import spec
from ich_tf.metrics import classification as scoring
from ich_tf.metrics import evaluation, intervals

PROTOCOL = "hssayeni2020"
COLUMNS = ("jaccard", "dice", "sensitivity", "specificity")
_DIFFER = "{} was not evaluated on the same scans with the same truth ({})."


def results_of(
    experiment_id: str, results: pathlib.Path, profile: str, seeds: Sequence[int]
) -> list[dict]:
    """The results of a row's runs.

    Raises:
        ValueError: if it is no single row, or a run is missing or of other settings
            than the row has now; the message says how to make it.
    """
    row = spec.find(experiment_id)[0]
    if row.id != experiment_id:
        raise ValueError(f"{experiment_id} is not one row: nothing to compare.")
    found = []
    for seed in seeds:
        path = stored.result_file(results, profile, experiment_id, seed)
        if not path.is_file():
            raise ValueError(
                f"There is no {path}. Run `ich-tf reproduce {experiment_id} --profile "
                f"{profile} --seed {seed}`."
            )
        result = files.read_json(path)
        if not stored.is_current(result, row, profile):
            raise ValueError(
                f"{path} was {stored.OTHER_SETTINGS}. Run `ich-tf reproduce "
                f"{experiment_id} --profile {profile} --seed {seed}`."
            )
        found.append(result)
    return found


def paired(first: Sequence[dict], second: Sequence[dict]) -> dict[str, dict]:
    """Scores of two models, and their difference on the same draws of patients.

    Args:
        first: Results of one model, one for each seed; their mean counts.
        second: Results of the other on the same scans.

    Returns:
        "auc_scan any", "auc_slice epidural", ..., "validation_loss" and
        "weighted_log_loss", or "dice", ... under `PROTOCOL`, to `first` and `second`
        (means) and `difference`, the `intervals.Interval` of second minus first; of an
        AUC also `delong`, by DeLong's (at slice level Obuchowski's) variance.

    Raises:
        ValueError: if the scans, or what is true of them, differ.
    """
    if "counts" in first[0] and "counts" in second[0]:
        return _paired_masks(first, second)
    scans = _same_scans([*first, *second])
    found = {}
    for level in scoring.LEVELS:
        models = [
            [_pool(result, scans, level) for result in results]
            for results in (first, second)
        ]
        units = models[0][0]
        for k, name in enumerate(labels.CLASSES):
            answers = [
                np.array([pooled.probability[:, k] for pooled in model])
                for model in models
            ]
            truth = units.truth[:, k]
            about = {"patients": units.patients, "folds": units.folds}
            first_auc, second_auc = (
                intervals.bootstrap_auc(truth, of_model, **about).mean
                for of_model in answers
            )
            found[f"auc_{level} {name}"] = {
                "first": first_auc,
                "second": second_auc,
                "difference": intervals.bootstrap_auc_difference(
                    truth, *answers, **about
                ),
                "delong": intervals.delong_auc_difference(truth, *answers, **about),
            }
    for name, loss in (
        ("validation_loss", evaluation.scan_losses),
        ("weighted_log_loss", _challenge_losses),
    ):
        models = [
            [loss(_ordered(result, scans)) for result in results]
            for results in (first, second)
        ]
        patients = models[0][0][1]
        values = [np.mean([losses for losses, _ in model], axis=0) for model in models]
        found[name] = {
            "first": float(values[0].mean()),
            "second": float(values[1].mean()),
            "difference": intervals.bootstrap_mean(values[1] - values[0], patients),
        }
    return found


def _paired_masks(first: Sequence[dict], second: Sequence[dict]) -> dict[str, dict]:
    protocol = metrics.protocol(PROTOCOL)
    truth = {
        case_id: np.add(counts["tp"], counts["fn"]).tolist()
        for case_id, counts in first[0]["counts"][PROTOCOL].items()
    }
    ct_ich = first[0]["data"]["identity"].startswith("ct-ich")
    for result in (*first, *second):
        own = result["counts"][PROTOCOL]
        if own.keys() != truth.keys() or any(
            np.add(counts["tp"], counts["fn"]).tolist() != truth[case_id]
            for case_id, counts in own.items()
        ):
            raise ValueError(_DIFFER.format(result["experiment"], PROTOCOL))
    found = {}
    for name in COLUMNS:
        models = []
        for results in (first, second):
            terms = []
            for result in results:
                own = result["counts"][PROTOCOL]
                cases = [own[case_id] for case_id in truth]
                *values, patients = metrics.terms(cases, protocol, name, ct_ich)
                terms.append(values)
            models.append(tuple(np.mean(terms, axis=0)))
        means = [intervals.bootstrap_ratio(*model, patients).mean for model in models]
        difference = intervals.bootstrap_ratio_difference(*models, patients)
        found[name] = {
            "first": means[0],
            "second": means[1],
            "difference": difference,
        }
    return found


def render(
    first: str,
    second: str,
    results: pathlib.Path,
    profile: str,
    seeds: Sequence[int] = (0,),
) -> str:
    """`paired` of two experiments as Markdown."""
    one, other = (results_of(name, results, profile, seeds) for name in (first, second))
    rows = paired(one, other)
    if "counts" in one[0]:
        scans = one[0]["counts"][PROTOCOL].values()
        patients = {scan["patient_id"] for scan in scans}
    else:
        scans = one[0]["predictions"].values()
        patients = {scan["patient"] for scan in scans}
    runs = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    lines = [
        f"**{second} against {first}: {one[0]['data']['identity']}, profile {profile}, "
        f"{runs}, {len(scans)} held-out scans of {len(patients)} "
        "patients**",
        "",
        f"| | {first} | {second} | difference [95 % CI] | DeLong |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        column, _, of_class = name.partition(" ")
        title = tables.HEADINGS.get(column, column.capitalize())
        if of_class:
            title = f"{labels.SHORT[of_class]}: {title}"
        cells = [_number(row["first"]), _number(row["second"])]
        cells.append(f"{_number(row['difference'].mean, '+')} {_bounds(row)}")
        cells.append(_bounds(row, "delong") if "delong" in row else "")
        lines.append("| " + " | ".join([title, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _bounds(row: dict, method: str = "difference") -> str:
    low, high = (_number(bound, "+") for bound in row[method][1:3])
    return f"[{low}, {high}]"


def _number(value: float, sign: str = "") -> str:
    return "–" if math.isnan(value) else f"{value:{sign}.4f}"


def _same_scans(results: Sequence[dict]) -> dict:
    """The predictions of the first result; all have its scans, labels and folds."""
    scans = results[0].get("predictions", {})
    for result in results:
        others = result.get("predictions", {})
        if others.keys() != scans.keys() or any(
            others[case_id]["truth"] != scan["truth"] for case_id, scan in scans.items()
        ):
            raise ValueError(_DIFFER.format(result["experiment"], "labels"))
        if any(
            others[case_id].get("fold", 0) != scan.get("fold", 0)
            for case_id, scan in scans.items()
        ):
            raise ValueError(_DIFFER.format(result["experiment"], "folds"))
    return scans


def _ordered(result: dict, scans: dict) -> dict:
    """A result's predictions in the order of the scans."""
    return {case_id: result["predictions"][case_id] for case_id in scans}


def _pool(result: dict, scans: dict, level: str) -> scoring.Pooled:
    return evaluation.pool(_ordered(result, scans), level)


def _challenge_losses(predictions: dict) -> tuple[np.ndarray, np.ndarray]:
    """The challenge's loss of each slice, and the slice's patient."""
    slices = evaluation.pool(predictions, "slice")
    return scoring.weighted_log_loss(slices), slices.patients
