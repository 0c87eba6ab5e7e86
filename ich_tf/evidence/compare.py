"""Two rows on the same held-out scans: what does the second one add?"""

import math
import pathlib
from collections.abc import Sequence

import numpy as np

from ich_tf import labels, metrics
from ich_tf.evidence import render as tables_as_text
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG, Catalog
from ich_tf.experiments.mask_results import MaskResult
from ich_tf.experiments.results import Result
from ich_tf.experiments.slice_results import SliceResult
from ich_tf.metrics import auc_intervals, evaluation
from ich_tf.metrics import classification as scoring
from ich_tf.metrics import seeds as over_seeds

PROTOCOL = "hssayeni2020"
COLUMNS = ("jaccard", "dice", "sensitivity", "specificity")
_DIFFER = "{} was not evaluated on the same scans with the same truth ({})."


def results_of(
    experiment_id: str,
    results: pathlib.Path,
    profile: str,
    seeds: Sequence[int],
    rows: Catalog = CATALOG,
) -> list[Result]:
    """The results of a row's runs, one for each seed.

    Args:
        experiment_id: Id of the row.
        results: Folder of results.
        profile: Name of the profile.
        seeds: The seeds.
        rows: Where the row is looked up.

    Raises:
        ValueError: if there is no such row, or a run is missing, damaged or made with
            other settings than the row has now, or is the same training as another
            row; the message says what to do.
    """
    row = rows.row(experiment_id)
    loaded = []
    for seed in seeds:
        path = stored.result_file(results, profile, experiment_id, seed)
        again = f"Run {stored.command(experiment_id, profile, seed)}."
        if not path.is_file():
            raise ValueError(f"There is no {path}. {again}")
        result = row.result_type.load(path)
        if not result.is_current(row):
            raise ValueError(f"{path} was {stored.OTHER_SETTINGS}. {again}")
        twin = row.same_training(result)
        if twin is not None:
            raise ValueError(
                f"{path} is the same training as {twin}, since {result.wanted_init} "
                f"weights could not be loaded. Compare {twin} instead."
            )
        loaded.append(result)
    return loaded


def paired(first: Sequence[Result], second: Sequence[Result]) -> dict[str, dict]:
    """Scores of two models, and their difference on the same draws of patients.

    Args:
        first: Results of one model, one for each seed; their mean counts.
        second: Results of the other on the same scans.

    Returns:
        "auc_scan any", "auc_slice epidural", ..., "validation_loss" and
        "weighted_log_loss", or "dice", ... under `PROTOCOL`, to `first` and `second`
        (means) and `difference`, the `Interval` of second minus first; of an
        AUC also `delong`, by DeLong's (at slice level Obuchowski's) variance.

    Raises:
        ValueError: if the scans, or what is true of them, differ.
    """
    if isinstance(first[0], MaskResult) and isinstance(second[0], MaskResult):
        return _paired_masks(first, second)
    scans = _same_scans([*first, *second])
    scores = {}
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
                auc_intervals.bootstrap_auc(truth, of_model, **about).mean
                for of_model in answers
            )
            scores[f"auc_{level} {name}"] = {
                "first": first_auc,
                "second": second_auc,
                "difference": over_seeds.bootstrap_auc_difference(
                    truth, *answers, **about
                ),
                "delong": auc_intervals.delong_auc_difference(truth, *answers, **about),
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
        values = [
            [(losses, np.ones(len(losses))) for losses, _ in model] for model in models
        ]
        scores[name] = {
            "first": over_seeds.bootstrap_ratio(values[0], patients).mean,
            "second": over_seeds.bootstrap_ratio(values[1], patients).mean,
            "difference": over_seeds.bootstrap_ratio_difference(*values, patients),
        }
    return scores


def _paired_masks(
    first: Sequence[MaskResult], second: Sequence[MaskResult]
) -> dict[str, dict]:
    protocol = metrics.protocol(PROTOCOL)
    truth = {
        case_id: np.add(counts["tp"], counts["fn"]).tolist()
        for case_id, counts in first[0].counts[PROTOCOL].items()
    }
    ct_ich = first[0].identity.startswith("ct-ich")
    for result in (*first, *second):
        own = result.counts[PROTOCOL]
        if own.keys() != truth.keys() or any(
            np.add(counts["tp"], counts["fn"]).tolist() != truth[case_id]
            for case_id, counts in own.items()
        ):
            raise ValueError(_DIFFER.format(result.experiment, PROTOCOL))
    scores = {}
    for name in COLUMNS:
        models = []
        for results in (first, second):
            terms = []
            for result in results:
                own = result.counts[PROTOCOL]
                cases = [own[case_id] for case_id in truth]
                *values, patients = metrics.terms(cases, protocol, name, ct_ich)
                terms.append(values)
            models.append(terms)
        means = [over_seeds.bootstrap_ratio(model, patients).mean for model in models]
        difference = over_seeds.bootstrap_ratio_difference(*models, patients)
        scores[name] = {
            "first": means[0],
            "second": means[1],
            "difference": difference,
        }
    return scores


def render(
    first: str,
    second: str,
    results: pathlib.Path,
    profile: str,
    seeds: Sequence[int] = (0,),
    rows: Catalog = CATALOG,
) -> str:
    """`paired` of two rows as Markdown, under the titles that tables give the rows."""
    runs = [results_of(name, results, profile, seeds, rows) for name in (first, second)]
    scans, patients = _held_out(runs[0][0])
    titles = [of_row[0].title + of_row[0].other_weights for of_row in runs]
    count = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    title = (
        f"**{titles[1]} against {titles[0]}: {runs[0][0].identity}, profile {profile}, "
        f"{count}, {scans} held-out scans of {patients} patients**"
    )
    header = ["", *titles, "difference [95 % CI]", "DeLong"]
    body = [_row(name, row) for name, row in paired(*runs).items()]
    return f"{title}\n\n{tables_as_text.markdown(header, body)}\n"


def _held_out(result: Result) -> tuple[int, int]:
    """Numbers of held-out scans and of their patients."""
    if isinstance(result, MaskResult):
        scans = result.counts[PROTOCOL].values()
        return len(scans), len({scan["patient_id"] for scan in scans})
    scans = result.predictions.values()
    return len(scans), len({scan["patient"] for scan in scans})


def _row(name: str, row: dict) -> list[str]:
    column, _, of_class = name.partition(" ")
    title = tables_as_text.heading(column)
    if of_class:
        title = f"{labels.SHORT[of_class]}: {title}"
    return [
        title,
        _number(row["first"]),
        _number(row["second"]),
        f"{_number(row['difference'].mean, '+')} {_bounds(row)}",
        _bounds(row, "delong") if "delong" in row else "",
    ]


def _bounds(row: dict, method: str = "difference") -> str:
    low, high = (_number(bound, "+") for bound in row[method][1:3])
    return f"[{low}, {high}]"


def _number(value: float, sign: str = "") -> str:
    return "–" if math.isnan(value) else f"{value:{sign}.4f}"


def _same_scans(results: Sequence[Result]) -> dict:
    """The predictions of the first result; all have its scans, labels and folds.

    Raises:
        ValueError: if they differ, or a result is of masks.
    """
    scans: dict = {}
    for number, result in enumerate(results):
        if not isinstance(result, SliceResult):
            raise ValueError(_DIFFER.format(result.experiment, "masks"))
        scans = result.predictions if number == 0 else scans
        others = result.predictions
        if others.keys() != scans.keys() or any(
            others[case_id]["truth"] != scan["truth"] for case_id, scan in scans.items()
        ):
            raise ValueError(_DIFFER.format(result.experiment, "labels"))
        if any(
            others[case_id].get("fold", 0) != scan.get("fold", 0)
            for case_id, scan in scans.items()
        ):
            raise ValueError(_DIFFER.format(result.experiment, "folds"))
    return scans


def _ordered(result: SliceResult, scans: dict) -> dict:
    """A result's predictions in the order of the scans."""
    return {case_id: result.predictions[case_id] for case_id in scans}


def _pool(result: SliceResult, scans: dict, level: str) -> scoring.Pooled:
    return evaluation.pool(_ordered(result, scans), level)


def _challenge_losses(predictions: dict) -> tuple[np.ndarray, np.ndarray]:
    """The challenge's loss of each slice, and the slice's patient."""
    slices = evaluation.pool(predictions, "slice")
    return scoring.weighted_log_loss(slices), slices.patients
