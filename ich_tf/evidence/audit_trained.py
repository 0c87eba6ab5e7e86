"""What trained rows say about statements of the report that numbers do not decide."""

from collections.abc import Callable, Iterator

from ich_tf.evidence import findings, table_cells, tables
from ich_tf.evidence.findings import Finding
from ich_tf.evidence.tables import PROTOCOL
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG
from ich_tf.experiments.mask_results import MaskResult
from ich_tf.experiments.reported import reported
from ich_tf.experiments.rows import audit as audit_rows
from ich_tf.experiments.rows import table3
from ich_tf.metrics import display

LoadResult = Callable[[str], MaskResult | None]
"""Loads the current result of a row; None if it was not run."""


def evaluation_slips(load: LoadResult, profile: str) -> Finding:
    """What the slips of [2]'s evaluation code do to one and the same prediction."""
    name, claim = "slips of [2]'s evaluation", "none stated"
    result = load(audit_rows.EVERY_CROP)
    if result is None:
        return Finding(
            name, claim, _run(profile, audit_rows.EVERY_CROP), findings.NOT_RUN
        )
    changes = []
    for column in ("jaccard", "dice", "specificity"):
        before, after = (
            result.score(protocol, column)["mean"]
            for protocol in (PROTOCOL, f"{PROTOCOL}_published")
        )
        changes.append(f"{column} {display.number(before)} -> {display.number(after)}")
    return Finding(
        name,
        claim,
        f"{audit_rows.EVERY_CROP} on {result.identity}, by the rules of the "
        f"paper -> by the code as published: {', '.join(changes)}",
        findings.OPEN,
    )


def lesion_crops(load: LoadResult, profile: str) -> Finding:
    """What a network loses that never saw a crop without blood."""
    name = "training on lesion crops only"
    claim = (
        "the crops used for training are not stated; [2]'s code for NIfTI keeps only "
        "these"
    )
    both, only = load(audit_rows.EVERY_CROP), load(audit_rows.LESION_CROPS)
    if both is None or only is None:
        return Finding(
            name,
            claim,
            _run(profile, audit_rows.EVERY_CROP, audit_rows.LESION_CROPS),
            findings.NOT_RUN,
        )
    said = []
    share = both.spec["profile"]["lesion_share"]
    every = "all crops" if share is None else f"all crops, {share:.0%} with blood"
    for title, result in ((every, both), ("lesion crops only", only)):
        said.append(f"{title}: {_scores(result)}")
    identity = both.identity
    return Finding(name, claim, f"on {identity}: {'; '.join(said)}", findings.OPEN)


def other_crops(load: LoadResult, profile: str) -> Iterator[Finding]:
    """What each network of Table III reaches with each choice of crops.

    Only the profile "paper" has these rows.
    """
    titles = {"lesion": "[2]'s NIfTI code", "all": "all crops"}
    for network in table3.SHOWN:
        rows = {"[2]'s JPG code": network}
        for (of, crops), row in audit_rows.OTHER_CROPS.items():
            if of == network and profile in CATALOG.row(row).settings:
                rows[titles[crops]] = row
        if len(rows) == 1:
            continue
        name = f"crops of {network}"
        claim = "the crops used for training are not stated"
        results = {title: load(row) for title, row in rows.items()}
        missing = [rows[title] for title, result in results.items() if result is None]
        if missing:
            yield Finding(name, claim, _run(profile, *missing), findings.NOT_RUN)
            continue
        said = [f"{title}: {_scores(result)}" for title, result in results.items()]
        identity = next(iter(results.values())).identity
        yield Finding(name, claim, f"on {identity}: {'; '.join(said)}", findings.OPEN)


def _scores(result: MaskResult) -> str:
    return ", ".join(
        f"{column} {display.with_interval(result.score(PROTOCOL, column))}"
        for column in ("dice", "sensitivity", "specificity")
    )


def second_approach(load: LoadResult, profile: str) -> Iterator[Finding]:
    """Whether approach 2 predicts only black pixels, and what makes it so."""
    stated = reported()["table3"]["approach2"]
    yield _blackness(
        "approach 2, as stated", stated, audit_rows.APPROACH2, load, profile, True
    )
    for change, row in audit_rows.VARIANTS.items():
        claim = "does this make it fail?"
        yield _blackness(f"approach 2, {change}", claim, row, load, profile)


def contrib_loss(load: LoadResult, profile: str) -> Finding:
    """Whether the other loss named "Jaccard distance" predicts only black pixels."""
    return _blackness(
        "approach 1, keras-contrib's Jaccard distance",
        'the report names the loss "Jaccard Distance" and gives no formula; does this '
        "one predict only black pixels?",
        audit_rows.CONTRIB,
        load,
        profile,
    )


def _blackness(
    name, claim, row, load, profile: str, is_stated: bool = False
) -> Finding:
    """How much a row predicts; judged if the report states that it is nothing."""
    result = load(row)
    if result is None:
        return Finding(name, claim, _run(profile, row), findings.NOT_RUN)
    counts = result.counts["per_volume"].values()
    predicted = sum(case["predicted_pixels"] for case in counts)
    dice = result.summary["per_volume"]["bleeding_dice"]
    other = table_cells.not_comparable(result, tables.TABLES["table2"].identity)
    began = "" if result.began_as_wanted else f", from {result.init} weights"
    return Finding(
        name,
        claim,
        f"on {result.identity}{began}: {predicted:,} positive pixels in "
        f"{len(counts)} heads, Dice per volume {display.with_interval(dice)}"
        + (f"; decides nothing: {other}" if other else ""),
        findings.holds(predicted == 0) if is_stated and not other else findings.OPEN,
    )


def _run(profile: str, *rows: str) -> str:
    return f"{stored.command(' '.join(rows), profile)} makes it"
