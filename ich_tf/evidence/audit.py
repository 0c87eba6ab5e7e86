"""The report checked against itself, the published data sets and trained rows.

Every verdict is computed, from the report's own numbers (reported.yaml), the facts of
the published releases (reference.yaml, ct_ich_1_3_1.csv) and result files.
"""

import csv
import dataclasses
import functools
import itertools
import json
import pathlib
import statistics
from collections.abc import Callable, Collection, Iterator

import yaml

from ich_tf.data import ct_ich
from ich_tf.evidence import render as as_text
from ich_tf.evidence import table_cells, tables
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG, Catalog
from ich_tf.experiments.mask_results import MaskResult
from ich_tf.experiments.reported import reported
from ich_tf.experiments.results import Result
from ich_tf.experiments.rows import audit as audit_rows
from ich_tf.experiments.rows import table3
from ich_tf.metrics import display, intervals

HOLDS, CONTRADICTED, OPEN, NOT_RUN = "holds", "contradicted", "open", "not run"
PROTOCOL = "hssayeni2020"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One statement of the report, and what speaks for or against it.

    Attributes:
        name: Short name.
        claim: What the report states, or what is asked.
        evidence: The calculation, with its numbers.
        verdict: "holds", "contradicted", "open" (nothing decides it) or "not run".
    """

    name: str
    claim: str
    evidence: str
    verdict: str


@functools.cache
def reference() -> dict:
    """Facts about the published data sets, from reference.yaml."""
    path = pathlib.Path(__file__).with_name("reference.yaml")
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


def audit(
    results: pathlib.Path,
    profile: str,
    ct_ich_folder: pathlib.Path | None = None,
    without: Collection[str] = (),
    rows: Catalog = CATALOG,
) -> list[Finding]:
    """Every finding.

    Args:
        results: Folder of results, for what needs training; those made with other
            settings than their rows have now count as not run.
        profile: Whose results.
        ct_ich_folder: Folder of ct-ich, for what stands only in its files.
        without: Ids of rows that count as not run.
        rows: Where rows are looked up.
    """
    printed = reported()

    def load(row_id: str) -> Result | None:
        return stored.load_current(results, profile, rows.row(row_id), without)

    return [
        *split_sums(printed),
        *overlap_bounds(printed),
        *whole_slices(printed),
        scan_accuracies(printed),
        *ct_ich_release(printed),
        demographics(printed, ct_ich_folder),
        crops_per_slice(printed),
        lstm_width(printed),
        evaluation_slips(load),
        lesion_crops(load),
        *other_crops(load, profile),
        *second_approach(load),
        contrib_loss(load),
    ]


def render(findings: list[Finding], as_json: bool = False) -> str:
    """The findings as Markdown or JSON."""
    if as_json:
        content = [dataclasses.asdict(finding) for finding in findings]
        return json.dumps(content, indent=1) + "\n"
    header = ["finding", "the report", "evidence", "verdict"]
    return as_text.markdown(header, map(dataclasses.astuple, findings)) + "\n"


def split_sums(printed: dict) -> Iterator[Finding]:
    """Whether the parts of RSNA 2019 make up the whole, and are the published ones."""
    stated, published = printed["datasets"]["rsna2019"], reference()["rsna2019"]
    for unit, total in (
        ("slices", stated["slices_stated"]),
        ("scans", stated["scans"]),
    ):
        parts = stated[f"split_{unit}"]
        found = sum(parts.values())
        gap = f"{found - total:+,} against the total" if found != total else "the total"
        labelled, test = published[f"labelled_{unit}"], published[f"test_{unit}"]
        yield Finding(
            f"RSNA {unit}",
            f"{total:,} {unit}",
            f"{' + '.join(f'{part:,}' for part in parts.values())} = {found:,}, {gap}; "
            f"published: {labelled:,} labelled + {test:,} test = {labelled + test:,}",
            _holds(found == total == labelled + test),
        )
    parts = stated["split_slices"]
    labelled = parts["train"] + parts["validation"]
    yield Finding(
        "RSNA labelled slices",
        f"{parts['train']:,} for training, {parts['validation']:,} for validation",
        f"together {labelled:,}; published with labels: "
        f"{published['labelled_slices']:,}",
        _holds(labelled == published["labelled_slices"]),
    )
    average = stated["slices_per_scan"]["average"]
    ratios = {
        part: parts[part] / scans for part, scans in stated["split_scans"].items()
    }
    ratios["all"] = sum(parts.values()) / stated["scans"]
    yield Finding(
        "RSNA slices of a scan",
        f"about {average} on average",
        "; ".join(f"{part}: {ratio:.1f}" for part, ratio in ratios.items()),
        _holds(round(ratios["all"]) == average),
    )


def overlap_bounds(printed: dict) -> Iterator[Finding]:
    """Whether a mean Jaccard can go with its mean Dice.

    Of each item J = D / (2 - D), which is convex: so the mean of J lies between that
    of the mean D and the mean D itself, for means over the same items.
    """
    rows = [
        (f"Table II, {row['backbone']}, {row['init']}, {row['loss']}", row)
        for row in printed["table2"]["rows"]
    ]
    columns = printed["table3"]["columns"]
    rows += [
        (f"Table III, {name}", dict(zip(columns, row, strict=True)))
        for name, row in printed["table3"]["rows"].items()
    ]
    rows += [
        (f"related work [{row['ref']}]", row)
        for row in printed["related_work"]
        if "jaccard" in row and "dice" in row
    ]
    for name, row in rows:
        digits = max(_digits(row["dice"]), _digits(row["jaccard"]))
        half = 0.5 * 10**-digits
        low, high = row["dice"] - half, row["dice"] + half
        low = low / (2 - low)
        fits = low <= row["jaccard"] + half and row["jaccard"] - half <= high
        yield Finding(
            f"Jaccard and Dice: {name}",
            f"Jaccard {row['jaccard']}, Dice {row['dice']}",
            f"this Dice allows a mean Jaccard from {low:.3f} to {high:.3f}",
            _holds(fits),
        )


def whole_slices(printed: dict) -> Iterator[Finding]:
    """Which whole numbers of slices Table III's rates can be, and their precision."""
    release = reference()["ct_ich"]["nifti"]
    positive = release["slices_with_hemorrhage"]
    negative = release["slices"] - positive
    columns = printed["table3"]["columns"]
    chance = {
        total: len({f"{k / total:.3f}" for k in range(total + 1)}) / 1001
        for total in (positive, negative)
    }
    for name, values in printed["table3"]["rows"].items():
        row = dict(zip(columns, values, strict=True))
        found = whole_numbers(row["sensitivity"], positive)
        passed = whole_numbers(row["specificity"], negative)
        evidence = (
            f"sensitivity {_range(found)} of {positive} slices with hemorrhage (a rate "
            f"of three digits fits by chance with probability {chance[positive]:.2f}); "
            f"specificity {_range(passed)} of {negative} others (by chance "
            f"{chance[negative]:.2f})"
        )
        if found and passed:
            lowest = found[0] / (found[0] + negative - passed[0])
            highest = found[-1] / (found[-1] + negative - passed[-1])
            low, high = intervals.wilson(found[0], found[0] + negative - passed[0])
            evidence += (
                f"; so precision is {lowest:.3f} to {highest:.3f} (95 % {low:.3f} to "
                f"{high:.3f} if slices were independent, which those of a patient are "
                "not)"
            )
        yield Finding(
            f"whole slices: {name}",
            f"sensitivity {row['sensitivity']}, specificity {row['specificity']}",
            evidence,
            _holds(bool(found and passed)),
        )


def whole_numbers(rate: float, total: int, digits: int = 3) -> list[int]:
    """The counts out of `total` that print as `rate`, whichever way a half goes."""
    half = 0.5 * 10**-digits + 1e-9
    return [count for count in range(total + 1) if abs(count / total - rate) <= half]


def scan_accuracies(printed: dict) -> Finding:
    """Whether Table I's scan accuracies are whole numbers of the validation scans."""
    scans = printed["datasets"]["rsna2019"]["split_scans"]["validation"]
    column = printed["table1"]["columns"].index("accuracy_scan")
    rows = printed["table1"]["rows"]
    counts = {
        name: whole_numbers(row[column], scans, digits=4) for name, row in rows.items()
    }
    chance = len({f"{k / scans:.4f}" for k in range(scans + 1)}) / 10_001
    said = ", ".join(f"{name} {_range(found)}" for name, found in counts.items())
    return Finding(
        "Table I is on the validation scans",
        f"accuracies over scans, {scans} validation scans",
        f"right scans of {scans}: {said}; all {len(rows)} by chance with probability "
        f"{chance ** len(rows):.0e}",
        _holds(all(counts.values())),
    )


def ct_ich_release(printed: dict) -> Iterator[Finding]:
    """The stated facts of ct-ich against its two published layouts."""
    stated, published = printed["datasets"]["ct_ich"], reference()["ct_ich"]
    jpg, cases = published["jpg"], ct_ich.published_counts()
    slices = [case["slices"] for case in cases.values()]
    yield Finding(
        "ct-ich scans",
        f"{stated['scans']} scans in {stated['format']}",
        f"published in NIfTI (1.3.1): {len(cases)}; {jpg['scans']} scans only in JPG "
        f"({jpg['versions']})",
        _holds(len(cases) == stated["scans"]),
    )
    bleeding = sum(case["mask_voxels"] > 0 for case in cases.values())
    yield Finding(
        "ct-ich scans with hemorrhage",
        f"{stated['scans_with_ich']} scans",
        f"masks of 1.3.1 that are not empty: {bleeding}",
        _holds(bleeding == stated["scans_with_ich"]),
    )
    low, high = (stated["slices_per_scan"][end] for end in ("lowest", "highest"))
    yield Finding(
        "ct-ich slices of a scan",
        f"{low} to {high}",
        f"1.3.1: {min(slices)} to {max(slices)}, median {statistics.median(slices):g}; "
        f"{jpg['scans']} scans of {low} or more would have at least "
        f"{jpg['scans'] * low:,} slices, versions {jpg['versions']} have "
        f"{jpg['slices']:,}",
        _holds((min(slices), max(slices)) == (low, high)),
    )


def demographics(printed: dict, folder: pathlib.Path | None) -> Finding:
    """Mean age and number of males against the table in the data set's folder."""
    stated = printed["datasets"]["ct_ich"]
    name, claim = (
        "ct-ich age and sex",
        f"{stated['mean_age_years']} years on average, {stated['males']} males",
    )
    paths = sorted(
        pathlib.Path(folder).rglob("patient_demographics.csv") if folder else ()
    )
    if not paths:
        where = "--ct-ich DIR with patient_demographics.csv"
        return Finding(name, claim, f"needs the data: {where}", OPEN)
    rows = list(csv.reader(paths[0].read_text("utf-8-sig").splitlines()))
    columns = {}
    for column, values in zip(rows[0], itertools.zip_longest(*rows[1:]), strict=False):
        columns[column.strip().lower()[:3]] = [value for value in values if value]
    sexes = [value.strip().lower()[:1] for value in columns.get("gen", [])]
    ages = [float(age) for age in columns.get("age", []) if _is_number(age)]
    if not ages or not sexes:
        return Finding(name, claim, f"{paths[0].name} states neither", OPEN)
    males = sexes.count("m")
    return Finding(
        name,
        claim,
        f"{paths[0].name}: {statistics.mean(ages):.1f} years over {len(ages)}, "
        f"{males} males of {len(sexes)}",
        _holds(
            round(statistics.mean(ages)) == stated["mean_age_years"]
            and males == stated["males"]
        ),
    )


def crops_per_slice(printed: dict) -> Finding:
    """Whether crop and stride give the stated number of crops."""
    stated = printed["preprocessing"]["segmentation"]
    (side, _), crop = printed["datasets"]["ct_ich"]["resolution"], stated["crop"]
    row = (side - crop) // stated["stride"] + 1
    return Finding(
        "crops of a slice",
        f"{stated['crops_per_slice']} crops of {crop}, stride {stated['stride']}",
        f"(({side} - {crop}) / {stated['stride']} + 1)^2 = {row**2}",
        _holds(row**2 == stated["crops_per_slice"]),
    )


def lstm_width(printed: dict) -> Finding:
    """The size of the LSTM's vectors, against the network of [1]."""
    stated = printed["training"]["classification"]["lstm_vector"]
    row = CATALOG.row("table1/resnext101-lstm")
    hidden = row.sequence["hidden"]
    directions = reference()["networks"]["lstm_directions"]
    return Finding(
        "LSTM vectors",
        f"{stated} values, from a bidirectional LSTM",
        f"[1]'s code: {hidden} in each of {directions} directions, joined to "
        f"{hidden * directions}",
        _holds(stated == hidden * directions),
    )


def evaluation_slips(load: Callable[[str], MaskResult | None]) -> Finding:
    """What the slips of [2]'s evaluation code do to one and the same prediction."""
    name, claim = "slips of [2]'s evaluation", "none stated"
    result = load(audit_rows.EVERY_CROP)
    if result is None:
        return Finding(name, claim, _run(audit_rows.EVERY_CROP), NOT_RUN)
    changes = []
    for column in ("jaccard", "dice", "specificity"):
        before, after = (
            result.summary[protocol][column]["mean"]
            for protocol in (PROTOCOL, f"{PROTOCOL}_published")
        )
        changes.append(f"{column} {display.number(before)} -> {display.number(after)}")
    return Finding(
        name,
        claim,
        f"{audit_rows.EVERY_CROP} on {result.identity}, by the rules of the "
        f"paper -> by the code as published: {', '.join(changes)}",
        OPEN,
    )


def lesion_crops(load: Callable[[str], MaskResult | None]) -> Finding:
    """What a network loses that never saw a crop without blood."""
    name = "training on lesion crops only"
    claim = "which crops are trained on is not stated; [2]'s code for NIfTI keeps those"
    both, only = load(audit_rows.EVERY_CROP), load(audit_rows.LESION_CROPS)
    if both is None or only is None:
        return Finding(
            name, claim, _run(audit_rows.EVERY_CROP, audit_rows.LESION_CROPS), NOT_RUN
        )
    said = []
    share = both.spec["profile"]["lesion_share"]
    every = "all crops" if share is None else f"all crops, {share:.0%} with blood"
    for title, result in ((every, both), ("lesion crops only", only)):
        said.append(f"{title}: {_scores(result)}")
    identity = both.identity
    return Finding(name, claim, f"on {identity}: {'; '.join(said)}", OPEN)


def other_crops(
    load: Callable[[str], MaskResult | None], profile: str
) -> Iterator[Finding]:
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
        name, claim = f"crops of {network}", "which crops are trained on is not stated"
        results = {title: load(row) for title, row in rows.items()}
        missing = [rows[title] for title, result in results.items() if result is None]
        if missing:
            yield Finding(name, claim, _run(*missing), NOT_RUN)
            continue
        said = [f"{title}: {_scores(result)}" for title, result in results.items()]
        identity = next(iter(results.values())).identity
        yield Finding(name, claim, f"on {identity}: {'; '.join(said)}", OPEN)


def _scores(result: MaskResult) -> str:
    scores = result.summary[PROTOCOL]
    return ", ".join(
        f"{column} {display.with_interval(scores[column])}"
        for column in ("dice", "sensitivity", "specificity")
    )


def second_approach(load: Callable[[str], MaskResult | None]) -> Iterator[Finding]:
    """Whether approach 2 predicts only black pixels, and what makes it so."""
    stated = reported()["table3"]["approach2"]
    yield _blackness("approach 2, as stated", stated, audit_rows.APPROACH2, load, True)
    for change, row in audit_rows.VARIANTS.items():
        claim = "does this make it fail?"
        yield _blackness(f"approach 2, {change}", claim, row, load)


def contrib_loss(load: Callable[[str], MaskResult | None]) -> Finding:
    """Whether the other loss named "Jaccard distance" predicts only black pixels."""
    return _blackness(
        "approach 1, keras-contrib's Jaccard distance",
        'the report names the loss "Jaccard Distance" and gives no formula; does this '
        "one predict only black pixels?",
        audit_rows.CONTRIB,
        load,
    )


def _blackness(name, claim, row, load, is_stated: bool = False) -> Finding:
    """How much a row predicts; judged if the report states that it is nothing."""
    result = load(row)
    if result is None:
        return Finding(name, claim, _run(row), NOT_RUN)
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
        _holds(predicted == 0) if is_stated and not other else OPEN,
    )


def _run(*rows: str) -> str:
    return f"`ich-tf reproduce {' '.join(rows)}` makes it"


def _holds(true: bool) -> str:
    return HOLDS if true else CONTRADICTED


def _range(counts: list[int]) -> str:
    if not counts:
        return "no whole number"
    if len(counts) == 1:
        return str(counts[0])
    return f"{counts[0]} to {counts[-1]}"


def _digits(value: float) -> int:
    return len(str(value).partition(".")[2])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
