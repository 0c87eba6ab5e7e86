"""One and the same prediction under every convention that the report may have used.

The report does not say how its averages are taken. Stored probabilities are scored
under each combination of threshold, post-processing, unit, empty masks, patients and
detection limit; on the report's own data the conventions are ranked by how near they
come to its numbers. On other data only the spread is said.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from ich_tf import files, metrics
from ich_tf.evidence import tables
from ich_tf.experiments import reproduce, runner, spec, tasks
from ich_tf.experiments import results as stored
from ich_tf.metrics import PROTOCOLS, Protocol, display
from ich_tf.preprocessing.segmentation import tiles

THRESHOLDS = (0.3, 0.5, 0.7)
UNITS = ("crop", "slice", "subject", "volume", "pooled")
EMPTY = ("skip", "nan", "zero", "one")
PUBLISHED = PROTOCOLS["hssayeni2020"]
OVERLAPS = ("jaccard", "dice")
DETECTION = ("sensitivity", "specificity")
# Limits of detection in pixels, in truth and in the prediction: [2]'s and another.
LIMITS = tuple(
    itertools.product(
        (PUBLISHED.truth_detection_pixels, PUBLISHED.predicted_detection_pixels),
        (PUBLISHED.predicted_detection_pixels, 0),
    )
)
# Attributes of a `Convention` in words.
FACTORS = {
    "unit": "what one averaged value belongs to",
    "empty": "units without truth",
    "threshold": "probability above which a pixel is positive",
    "post_processing": "closing and opening of [2]",
    "excluded": "patient 70 left out, as in [2]",
    "truth_detection_pixels": "pixels above which a slice is positive in truth",
    "predicted_detection_pixels": "pixels above which a slice is predicted positive",
}


@dataclasses.dataclass(frozen=True)
class Convention:
    """One way to score a prediction, and what it gives.

    Attributes:
        unit: One of `UNITS`.
        empty: One of `EMPTY`; see `metrics.Protocol`. "–" if pooled.
        threshold: See `metrics.Protocol`.
        post_processing: Whether masks are closed and opened as in [2].
        excluded: Whether patient 70 of ct-ich is left out of the overlap.
        truth_detection_pixels: See `metrics.Protocol`; slices are detected, whatever
            the unit of the overlap.
        predicted_detection_pixels: See `metrics.Protocol`.
        scores: "jaccard", "dice", "sensitivity", "specificity"; None if undefined.
        distance: Largest difference from a reported number; None where not compared.
    """

    unit: str
    empty: str
    threshold: float
    post_processing: bool
    excluded: bool
    truth_detection_pixels: int
    predicted_detection_pixels: int
    scores: dict[str, float | None]
    distance: float | None = None

    @property
    def is_published(self) -> bool:
        """Whether it is that of [2], the protocol `hssayeni2020`."""
        return (
            (self.unit, self.empty) == (PUBLISHED.unit, PUBLISHED.empty)
            and self.threshold == PUBLISHED.threshold
            and self.has_published_limits
            and self.post_processing
            and self.excluded
        )

    @property
    def has_published_limits(self) -> bool:
        """Whether slices are detected as in [2]."""
        limits = (self.truth_detection_pixels, self.predicted_detection_pixels)
        return limits == LIMITS[0]


def open_result(name: str, profile: str, folders: runner.Folders, say) -> runner.Run:
    """The finished run of an experiment id, or of a result file.

    Raises:
        ValueError: if it is not finished, is of a classifier, or was made of other
            data than the folder holds.
    """
    seed = runner.SEED
    if name.endswith(".json"):
        path = pathlib.Path(name).resolve()
        if not path.is_file():
            raise ValueError(f"There is no {path}.")
        content = files.read_json(path)
        name, profile = content["experiment"], content["profile"]
        seed = content["spec"]["seed"]
        depth = len(pathlib.PurePath(profile, name).parts)
        folders = dataclasses.replace(folders, results=path.parents[depth - 1])
    (row,) = spec.find(name)
    unsuited = tasks.of(row).sweeps_protocols
    if unsuited:
        raise ValueError(f"{name} {unsuited}.")
    run = reproduce.find_run(name, profile, folders, say, seed)
    if not run.file.is_file():
        raise ValueError(f"There is no {run.file}. Run `ich-tf reproduce {name}`.")
    result = files.read_json(run.file)
    if result["data"] != run.fingerprint:
        raise ValueError(f"{run.file} was made of other data than {run.dataset.root}.")
    # Probabilities beside it may by now be of a later, unfinished run.
    if not stored.is_current(result, run.experiment, profile):
        raise ValueError(f"{run.file} was {stored.OTHER_SETTINGS}.")
    return run


def sweep(run: runner.Run, say: Callable[[str], None]) -> list[Convention]:
    """Score a run's stored predictions under every convention.

    Returns:
        Ranked by distance where the data are the report's and its row has numbers,
        else in a fixed order.

    Raises:
        ValueError: if a file of probabilities is missing.
    """
    identity = run.fingerprint["identity"]
    ct_ich = identity.startswith("ct-ich")
    found = []
    rules = [_rule(*choice) for choice in itertools.product(THRESHOLDS, (False, True))]
    counted = _count(run, rules, say)
    for rule, (of_slices, of_crops) in zip(rules, counted, strict=True):
        detection = {
            limits: _means(
                of_slices,
                rule,
                DETECTION,
                ct_ich,
                truth_detection_pixels=limits[0],
                predicted_detection_pixels=limits[1],
            )
            for limits in LIMITS
        }
        for unit, empty, excluded in _overlap_choices(ct_ich):
            overlap = _means(
                of_crops if unit == "crop" else of_slices,
                rule,
                OVERLAPS,
                ct_ich,
                unit="slice" if unit == "crop" else unit,
                empty="nan" if unit == "pooled" else empty,
                excluded_patients=PUBLISHED.excluded_patients if excluded else (),
            )
            for limits, rates in detection.items():
                found.append(
                    Convention(
                        unit,
                        empty,
                        rule.threshold,
                        bool(rule.closing),
                        excluded or not ct_ich,
                        *limits,
                        {**overlap, **rates},
                    )
                )
    return ranked(found, _reported(run))


def ranked(
    conventions: Sequence[Convention], reported: dict[str, float]
) -> list[Convention]:
    """The conventions with their distance to reported numbers, nearest first."""
    if not reported:
        return list(conventions)
    with_distance = []
    for one in conventions:
        ours = [one.scores[name] for name in reported]
        distance = None
        if None not in ours:
            pairs = zip(ours, reported.values(), strict=True)
            distance = max(abs(mine - theirs) for mine, theirs in pairs)
        with_distance.append(dataclasses.replace(one, distance=distance))
    if not set(reported) & set(DETECTION):
        with_distance = [one for one in with_distance if one.has_published_limits]
    return sorted(
        with_distance, key=lambda one: (one.distance is None, one.distance or 0)
    )


def describe(
    run: runner.Run, conventions: Sequence[Convention], shown: int = 10
) -> str:
    """What was found, as Markdown: the spread, and the nearest where ranked."""
    identity = run.fingerprint["identity"]
    lines = [
        f"**{run.experiment.id} on {identity}: one prediction, {len(conventions)} "
        "conventions**",
        "",
        "| score | lowest | highest | as [2] |",
        "| --- | --- | --- | --- |",
    ]
    published = next((one for one in conventions if one.is_published), None)
    for name in (*OVERLAPS, *DETECTION):
        values = _defined(conventions, name)
        bounds = [min(values), max(values)] if values else [None, None]
        of_published = published.scores[name] if published else None
        cells = [display.number(value) for value in (*bounds, of_published)]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    lines += ["", "How far Dice moves by one choice alone, at most:", ""]
    lines += [
        f"- {FACTORS[factor]}: {display.number(moved)}"
        for factor, moved in influence(conventions, "dice").items()
    ]
    if conventions[0].distance is None:
        lines += [
            "",
            f"Not ranked: the report has no number of this row on {identity}, or the "
            "run is not evaluated as the report's.",
        ]
        return "\n".join(lines) + "\n"
    lines += ["", "Nearest to the report's numbers:", ""]
    names = ("distance", *FACTORS, *OVERLAPS, *DETECTION)
    lines += ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for one in conventions[:shown]:
        cells = [display.number(one.distance)]
        cells += [str(getattr(one, factor)) for factor in FACTORS]
        cells += [display.number(one.scores[name]) for name in names[-4:]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def influence(conventions: Sequence[Convention], score: str) -> dict[str, float]:
    """How far a score moves when one factor changes and the others stay, at most."""
    scored = [one for one in conventions if one.scores[score] is not None]
    rules = list(dict.fromkeys(one.empty for one in scored))
    found = {}
    for factor in FACTORS:
        groups: dict[tuple, list[float]] = {}
        for one in scored:
            # Pooled voxels are the same under each rule for empty masks.
            pooled = factor == "unit" and one.unit == "pooled"
            for empty in rules if pooled else [one.empty]:
                same = dataclasses.replace(one, empty=empty)
                others = tuple(
                    getattr(same, name) for name in FACTORS if name != factor
                )
                groups.setdefault(others, []).append(one.scores[score])
        moved = max((max(group) - min(group) for group in groups.values()), default=0)
        if moved:
            found[factor] = moved
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _rule(threshold: float, post_processing: bool) -> Protocol:
    published = post_processing and PUBLISHED
    return Protocol(
        name="sweep",
        description="",
        unit="slice",
        empty="skip",
        threshold=threshold,
        closing=published.closing if published else 0,
        opening=published.opening if published else 0,
    )


def _overlap_choices(ct_ich: bool) -> list[tuple[str, str, bool]]:
    chosen = [
        *itertools.product(UNITS[:-1], EMPTY, (True, False)),
        *itertools.product(UNITS[-1:], ("–",), (True, False)),
    ]
    # Only in ct-ich does a patient's number mean the patient that [2] leaves out.
    return [choice for choice in chosen if ct_ich or not choice[2]]


def _count(run: runner.Run, rules: Sequence[Protocol], say) -> list[tuple[list, list]]:
    """For each rule the counts of each case, slice by slice and crop by crop."""
    counted: list[tuple[list, list]] = [([], []) for _ in rules]
    profile = run.profile
    grid = tiles.TileGrid(profile.size, profile.size, profile.tile, profile.stride)
    say(f"{run.experiment.id}: {len(rules)} masks of each case")
    for case, coded in run.task.stored_predictions(run):
        probability = coded.astype(np.float32) / 255
        truth = case.mask.astype(bool)
        names = {"case_id": case.case_id, "patient_id": case.patient_id}
        truth_crops = grid.cut(truth)
        for rule, (of_slices, of_crops) in zip(rules, counted, strict=True):
            mask = metrics.binarise(probability, rule)
            of_slices.append(metrics.case_counts(truth, mask, rule, **names))
            crops = grid.cut(mask)
            of_crops.append(metrics.case_counts(truth_crops, crops, rule, **names))
    return counted


def _means(cases, rule: Protocol, names, ct_ich: bool, **changes) -> dict:
    protocol = dataclasses.replace(rule, **changes)
    found = {}
    for name in names:
        numerators, denominators, _ = metrics.terms(cases, protocol, name, ct_ich)
        whole = sum(denominators)
        found[name] = sum(numerators) / whole if whole else None
    return found


def _reported(run: runner.Run) -> dict[str, float]:
    """The report's numbers of the row: all four where Table III prints them.

    None where the run says nothing about them.
    """
    if tables.not_comparable(files.read_json(run.file), tables.TABLES["table3"][1]):
        return {}
    reported = run.experiment.reported
    return dict(reported.get("table3") or reported.get("table2") or {})


def _defined(conventions: Sequence[Convention], name: str) -> list[float]:
    values = [one.scores[name] for one in conventions]
    return [value for value in values if value is not None]
