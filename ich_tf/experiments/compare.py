"""Two classifiers on the same held-out scans: what does the second one add?"""

import math
import pathlib
from collections.abc import Sequence

import numpy as np

from ich_tf import files, intervals, labels
from ich_tf.experiments import spec, tables
from ich_tf.metrics import classification as scoring


def results_of(
    experiment_id: str, results: pathlib.Path, profile: str, seeds: Sequence[int]
) -> list[dict]:
    """The results of a classifier's runs.

    Raises:
        ValueError: if it is no classifier, or a run is missing; the message says how
            to make it.
    """
    (experiment,) = spec.find(experiment_id)[:1]
    if experiment.task != "classification" or experiment.id != experiment_id:
        raise ValueError(f"{experiment_id} is not one classifier: nothing to compare.")
    found = []
    for seed in seeds:
        path = tables.result_file(results, profile, experiment_id, seed)
        if not path.is_file():
            raise ValueError(
                f"There is no {path}. Run `ich-tf reproduce {experiment_id} --profile "
                f"{profile} --seed {seed}`."
            )
        found.append(files.read_json(path))
    return found


def paired(first: Sequence[dict], second: Sequence[dict]) -> dict[str, dict]:
    """AUC and losses of two models, and their difference on the same draws of patients.

    Args:
        first: Results of one model, one for each seed; their mean counts.
        second: Results of the other on the same scans.

    Returns:
        "auc_scan any", "auc_slice epidural", ..., "validation_loss" and
        "weighted_log_loss" to `first` and `second` (means) and `difference`, the
        `intervals.Interval` of second minus first.

    Raises:
        ValueError: if the scans, or what is true of them, differ.
    """
    truth, patients = _same_scans([*first, *second])
    found = {}
    for level in scoring.LEVELS:
        models = [
            [_pool(result, truth, level, patients) for result in results]
            for results in (first, second)
        ]
        units = models[0][0]
        for k, name in enumerate(labels.CLASSES):
            answers = [
                np.array([pooled.probability[:, k] for pooled in model])
                for model in models
            ]
            about = units.truth[:, k], units.patients
            found[f"auc_{level} {name}"] = {
                "first": intervals.bootstrap_auc(about[0], answers[0], about[1]).mean,
                "second": intervals.bootstrap_auc(about[0], answers[1], about[1]).mean,
                "difference": intervals.bootstrap_auc_difference(
                    about[0], *answers, about[1]
                ),
            }
    for name, loss in (
        ("validation_loss", lambda pooled: scoring.cross_entropy(pooled).mean(axis=1)),
        ("weighted_log_loss", scoring.weighted_log_loss),
    ):
        values = [np.mean([loss(one) for one in model], axis=0) for model in models]
        found[name] = {
            "first": float(values[0].mean()),
            "second": float(values[1].mean()),
            "difference": intervals.bootstrap_mean(
                values[1] - values[0], units.patients
            ),
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
    scans = one[0]["predictions"].values()
    lines = [
        f"**{second} against {first}: {one[0]['data']['identity']}, profile {profile}, "
        f"{len(seeds)} seeds, {len(scans)} held-out scans of "
        f"{len({scan['patient'] for scan in scans})} patients**",
        "",
        f"| | {first} | {second} | difference [95 % CI] |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in paired(one, other).items():
        column, _, of_class = name.partition(" ")
        title = tables.HEADINGS[column]
        if of_class:
            title = f"{labels.SHORT[of_class]}: {title}"
        cells = [_number(row["first"]), _number(row["second"])]
        low, high = (_number(bound, "+") for bound in row["difference"][1:3])
        cells.append(f"{_number(row['difference'].mean, '+')} [{low}, {high}]")
        lines.append("| " + " | ".join([title, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float, sign: str = "") -> str:
    return "–" if math.isnan(value) else f"{value:{sign}.4f}"


def _same_scans(results: Sequence[dict]) -> tuple[dict, dict]:
    scans = results[0]["predictions"]
    for result in results[1:]:
        others = result["predictions"]
        if others.keys() != scans.keys() or any(
            others[case_id]["truth"] != scan["truth"] for case_id, scan in scans.items()
        ):
            raise ValueError(
                f"{result['experiment']} and {results[0]['experiment']} were not "
                "evaluated on the same scans with the same labels."
            )
    truth = {case_id: np.array(scan["truth"]) for case_id, scan in scans.items()}
    return truth, {case_id: scan["patient"] for case_id, scan in scans.items()}


def _pool(result: dict, truth: dict, level: str, patients: dict) -> scoring.Pooled:
    answers = {
        case_id: np.array(result["predictions"][case_id]["probability"])
        for case_id in truth
    }
    return scoring.pool(truth, answers, level, patients)
