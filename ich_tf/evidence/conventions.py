"""Conventions of evaluation: one prediction scored in every way the field uses.

Threshold, post-processing, unit, empty masks, excluded patients and limits of detection
are combined; nothing here reads files or results.
"""

import dataclasses
import itertools
from collections.abc import Sequence

from ich_tf import metrics
from ich_tf.metrics import PROTOCOLS, Protocol, display

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
    "unit": "what an averaged value covers",
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
        threshold: A pixel is positive above this probability.
        post_processing: Whether masks are closed and opened as in [2].
        excluded: Whether a patient is left out of the overlap: patient 70 of ct-ich.
        truth_detection_pixels: A slice is positive in truth above this number of
            pixels, whatever the unit of the overlap.
        predicted_detection_pixels: A slice is predicted positive above this number of
            pixels.
        scores: "jaccard", "dice", "sensitivity", "specificity"; None if undefined.
        is_published: Whether it is the convention of [2], the protocol `hssayeni2020`.
            Data without patient 70 of ct-ich have nobody to exclude.
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
    is_published: bool = False
    distance: float | None = None

    @property
    def has_published_limits(self) -> bool:
        """Whether slices are detected as in [2]."""
        limits = (self.truth_detection_pixels, self.predicted_detection_pixels)
        return limits == LIMITS[0]

    def is_of(self, excludes: bool) -> bool:
        """Whether it is that of [2], for data with or without a patient to exclude."""
        return (
            (self.unit, self.empty) == (PUBLISHED.unit, PUBLISHED.empty)
            and self.threshold == PUBLISHED.threshold
            and self.has_published_limits
            and self.post_processing
            and self.excluded == excludes
        )


def rule(threshold: float, post_processing: bool) -> Protocol:
    """How a mask is made: by a threshold, and closed and opened as in [2] or not."""
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


def mask_rules() -> list[Protocol]:
    """Rules for masks that somebody else thresholded: as given, and closed and opened.

    Any threshold within (0, 1) leaves a mask as it is.
    """
    return [rule(0.5, post_processing) for post_processing in (False, True)]


def score(
    rules: Sequence[Protocol], counted: Sequence[tuple[list, list]], ct_ich: bool
) -> list[Convention]:
    """Score counted masks under every convention.

    Args:
        rules: How the masks were made.
        counted: For each rule the counts of each case, slice by slice and crop by crop;
            no counts of crops leave that unit out.
        ct_ich: Whether the patients belong to ct-ich, whose patient 70 [2] excludes.
    """
    conventions = []
    excludes = ct_ich and any(metrics.excluded(of, PUBLISHED) for of, _ in counted)
    for rule, (of_slices, of_crops) in zip(rules, counted, strict=True):
        rates = {limits: _rates(of_slices, rule, limits, ct_ich) for limits in LIMITS}
        for unit, empty, excluded in _overlap_choices(excludes):
            if unit == "crop" and not of_crops:
                continue
            overlap = _means(
                of_crops if unit == "crop" else of_slices,
                rule,
                OVERLAPS,
                ct_ich,
                unit="slice" if unit == "crop" else unit,
                empty="nan" if unit == "pooled" else empty,
                excluded_patients=PUBLISHED.excluded_patients if excluded else (),
            )
            made = [
                Convention(
                    unit,
                    empty,
                    rule.threshold,
                    bool(rule.closing),
                    excluded,
                    *limits,
                    {**overlap, **of_limits},
                )
                for limits, of_limits in rates.items()
            ]
            conventions += [
                dataclasses.replace(each, is_published=each.is_of(excludes))
                for each in made
            ]
    return conventions


def ranked(
    conventions: Sequence[Convention], reported: dict[str, float]
) -> list[Convention]:
    """The conventions with their distance to reported numbers, nearest first."""
    if not reported:
        return list(conventions)
    with_distance = []
    for each in conventions:
        ours = [each.scores[name] for name in reported]
        distance = None
        if None not in ours:
            pairs = zip(ours, reported.values(), strict=True)
            distance = max(abs(mine - theirs) for mine, theirs in pairs)
        with_distance.append(dataclasses.replace(each, distance=distance))
    if not set(reported) & set(DETECTION):
        with_distance = [each for each in with_distance if each.has_published_limits]
    return sorted(
        with_distance, key=lambda each: (each.distance is None, each.distance or 0)
    )


def spread(conventions: Sequence[Convention]) -> list[str]:
    """How far each score moves by convention, as lines of Markdown."""
    lines = [
        f"One prediction, {len(conventions)} conventions:",
        "",
        "| score | lowest | highest | as [2] |",
        "| --- | --- | --- | --- |",
    ]
    published = next((each for each in conventions if each.is_published), None)
    for name in (*OVERLAPS, *DETECTION):
        values = _defined(conventions, name)
        bounds = [min(values), max(values)] if values else [None, None]
        of_published = published.scores[name] if published else None
        cells = [display.number(value) for value in (*bounds, of_published)]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return [
        *lines,
        "",
        "Largest change of Dice by one choice alone:",
        "",
        *(
            f"- {FACTORS[factor]}: {display.number(moved)}"
            for factor, moved in influence(conventions, "dice").items()
        ),
    ]


def nearest(conventions: Sequence[Convention], shown: int = 10) -> list[str]:
    """The first of `ranked` as a table, lines of Markdown."""
    differing = [
        factor
        for factor in FACTORS
        if len({getattr(each, factor) for each in conventions}) > 1
    ]
    names = ("distance", *differing, *OVERLAPS, *DETECTION)
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for convention in conventions[:shown]:
        cells = [display.number(convention.distance)]
        cells += [str(getattr(convention, factor)) for factor in differing]
        cells += [display.number(convention.scores[name]) for name in names[-4:]]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def influence(conventions: Sequence[Convention], score: str) -> dict[str, float]:
    """How far a score moves when one factor changes and the others stay, at most."""
    scored = [each for each in conventions if each.scores[score] is not None]
    rules = list(dict.fromkeys(each.empty for each in scored))
    moves = {}
    for factor in FACTORS:
        groups: dict[tuple, list[float]] = {}
        for each in scored:
            # Pooled voxels are the same under each rule for empty masks.
            pooled = factor == "unit" and each.unit == "pooled"
            for empty in rules if pooled else [each.empty]:
                same = dataclasses.replace(each, empty=empty)
                others = tuple(
                    getattr(same, name) for name in FACTORS if name != factor
                )
                groups.setdefault(others, []).append(each.scores[score])
        moved = max((max(group) - min(group) for group in groups.values()), default=0)
        if moved:
            moves[factor] = moved
    return dict(sorted(moves.items(), key=lambda item: -item[1]))


def _rates(cases: list, rule: Protocol, limits: tuple[int, int], ct_ich: bool) -> dict:
    truth, predicted = limits
    return _means(
        cases,
        rule,
        DETECTION,
        ct_ich,
        truth_detection_pixels=truth,
        predicted_detection_pixels=predicted,
    )


def _overlap_choices(excludes: bool) -> list[tuple[str, str, bool]]:
    chosen = [
        *itertools.product(UNITS[:-1], EMPTY, (True, False)),
        *itertools.product(UNITS[-1:], ("–",), (True, False)),
    ]
    # Elsewhere there is no patient that [2] leaves out.
    return [choice for choice in chosen if excludes or not choice[2]]


def _means(cases, rule: Protocol, names, ct_ich: bool, **changes) -> dict:
    protocol = dataclasses.replace(rule, **changes)
    means = {}
    for name in names:
        numerators, denominators, _ = metrics.terms(cases, protocol, name, ct_ich)
        whole = sum(denominators)
        means[name] = sum(numerators) / whole if whole else None
    return means


def _defined(conventions: Sequence[Convention], name: str) -> list[float]:
    values = [each.scores[name] for each in conventions]
    return [value for value in values if value is not None]
