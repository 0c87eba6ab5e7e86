"""The printed numbers of the report, checked against each other and the releases.

Nothing here needs data or training, except `demographics`, which reads a table of
ct-ich's folder.
"""

import csv
import functools
import itertools
import pathlib
import statistics
from collections.abc import Iterator

import yaml

from ich_tf.data import ct_ich
from ich_tf.evidence import findings
from ich_tf.evidence.findings import Finding
from ich_tf.experiments.catalog import CATALOG
from ich_tf.metrics import intervals


@functools.cache
def reference() -> dict:
    """Facts about the published data sets, from reference.yaml."""
    path = pathlib.Path(__file__).with_name("reference.yaml")
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


def split_sums(printed: dict) -> Iterator[Finding]:
    """Whether the parts of RSNA 2019 make up the whole, and are the published ones."""
    stated, published = printed["datasets"]["rsna2019"], reference()["rsna2019"]
    for unit, total in (
        ("slices", stated["slices_stated"]),
        ("scans", stated["scans"]),
    ):
        parts = stated[f"split_{unit}"]
        together = sum(parts.values())
        gap = (
            f"{together - total:+,} against the total"
            if together != total
            else "the total"
        )
        labelled, test = published[f"labelled_{unit}"], published[f"test_{unit}"]
        yield Finding(
            f"RSNA {unit}",
            f"{total:,} {unit}",
            f"{' + '.join(f'{part:,}' for part in parts.values())} = {together:,}, "
            f"{gap}; published: {labelled:,} labelled + {test:,} test = "
            f"{labelled + test:,}",
            findings.holds(together == total == labelled + test),
        )
    parts = stated["split_slices"]
    labelled = parts["train"] + parts["validation"]
    yield Finding(
        "RSNA labelled slices",
        f"{parts['train']:,} for training, {parts['validation']:,} for validation",
        f"together {labelled:,}; published with labels: "
        f"{published['labelled_slices']:,}",
        findings.holds(labelled == published["labelled_slices"]),
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
        findings.holds(round(ratios["all"]) == average),
    )


def overlap_bounds(printed: dict) -> Iterator[Finding]:
    """Whether a mean Jaccard can go with its mean Dice.

    For each item J = D / (2 - D), which is convex. So, over the same items, the mean of
    J lies between J of the mean D and the mean D itself.
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
            findings.holds(fits),
        )


def whole_slices(printed: dict) -> Iterator[Finding]:
    """Which whole numbers of slices Table III's rates can be, and their precision."""
    release = reference()["ct_ich"]["nifti"]
    positive = release["slices_with_hemorrhage"]
    negative = release["slices"] - positive
    columns = printed["table3"]["columns"]
    fitting = {total: _fitting(total, 3) for total in (positive, negative)}
    for name, values in printed["table3"]["rows"].items():
        row = dict(zip(columns, values, strict=True))
        detected = whole_numbers(row["sensitivity"], positive)
        passed = whole_numbers(row["specificity"], negative)
        evidence = (
            f"sensitivity {_range(detected)} of {positive} slices with hemorrhage "
            f"({100 * fitting[positive]:.0f} % of all rates with three digits can come "
            f"from whole numbers of {positive} slices); specificity {_range(passed)} "
            f"of {negative} others ({100 * fitting[negative]:.0f} % of all rates can)"
        )
        if detected and passed:
            lowest = detected[0] / (detected[0] + negative - passed[0])
            highest = detected[-1] / (detected[-1] + negative - passed[-1])
            low, high = intervals.wilson(
                detected[0], detected[0] + negative - passed[0]
            )
            evidence += (
                f"; so precision is {lowest:.3f} to {highest:.3f} (95 % {low:.3f} to "
                f"{high:.3f} if slices were independent, which a patient's slices are "
                "not)"
            )
        yield Finding(
            f"whole slices: {name}",
            f"sensitivity {row['sensitivity']}, specificity {row['specificity']}",
            evidence,
            findings.holds(bool(detected and passed)),
        )


def whole_numbers(rate: float, total: int, digits: int = 3) -> list[int]:
    """The counts out of `total` that print as `rate`, whichever way a half goes."""
    half = 0.5 * 10**-digits + 1e-9
    return [count for count in range(total + 1) if abs(count / total - rate) <= half]


def _fitting(total: int, digits: int) -> float:
    """The share of all rates of `digits` decimals that a count out of `total` gives."""
    rates = {f"{count / total:.{digits}f}" for count in range(total + 1)}
    return len(rates) / (10**digits + 1)


def scan_accuracies(printed: dict) -> Finding:
    """Whether Table I's scan accuracies are whole numbers of the validation scans."""
    scans = printed["datasets"]["rsna2019"]["split_scans"]["validation"]
    column = printed["table1"]["columns"].index("accuracy_scan")
    rows = printed["table1"]["rows"]
    counts = {
        name: whole_numbers(row[column], scans, digits=4) for name, row in rows.items()
    }
    fitting = _fitting(scans, 4)
    said = ", ".join(f"{name} {_range(right)}" for name, right in counts.items())
    return Finding(
        "Table I is on the validation scans",
        f"accuracies over scans, {scans} validation scans",
        f"correct scans of {scans}: {said}; {100 * fitting:.1f} % of all rates with "
        f"four digits can come from whole numbers of {scans} scans, all {len(rows)} by "
        f"chance with probability {fitting ** len(rows):.0e}",
        findings.holds(all(counts.values())),
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
        findings.holds(len(cases) == stated["scans"]),
    )
    bleeding = sum(case["mask_voxels"] > 0 for case in cases.values())
    yield Finding(
        "ct-ich scans with hemorrhage",
        f"{stated['scans_with_ich']} scans",
        f"masks of 1.3.1 that are not empty: {bleeding}",
        findings.holds(bleeding == stated["scans_with_ich"]),
    )
    low, high = (stated["slices_per_scan"][end] for end in ("lowest", "highest"))
    yield Finding(
        "ct-ich slices of a scan",
        f"{low} to {high}",
        f"1.3.1: {min(slices)} to {max(slices)}, median {statistics.median(slices):g}; "
        f"{jpg['scans']} scans of {low} or more would have at least "
        f"{jpg['scans'] * low:,} slices, versions {jpg['versions']} have "
        f"{jpg['slices']:,}",
        findings.holds((min(slices), max(slices)) == (low, high)),
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
        return Finding(name, claim, f"needs the data: {where}", findings.OPEN)
    rows = list(csv.reader(paths[0].read_text("utf-8-sig").splitlines()))
    columns = {}
    for column, values in zip(rows[0], itertools.zip_longest(*rows[1:]), strict=False):
        columns[column.strip().lower()[:3]] = [value for value in values if value]
    sexes = [value.strip().lower()[:1] for value in columns.get("gen", [])]
    ages = [float(age) for age in columns.get("age", []) if _is_number(age)]
    if not ages or not sexes:
        return Finding(name, claim, f"{paths[0].name} states neither", findings.OPEN)
    males = sexes.count("m")
    return Finding(
        name,
        claim,
        f"{paths[0].name}: {statistics.mean(ages):.1f} years over {len(ages)}, "
        f"{males} males of {len(sexes)}",
        findings.holds(
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
        findings.holds(row**2 == stated["crops_per_slice"]),
    )


def resnext_blocks(printed: dict) -> Finding:
    """What the 101 in the network's name counts."""
    stated = printed["training"]["classification"]["resnext_blocks"]
    groups = reference()["networks"]["resnext101_blocks"]
    blocks = sum(groups)
    return Finding(
        "ResNeXt blocks",
        f"{stated} blocks",
        f"[3]: {' + '.join(map(str, groups))} = {blocks} blocks of three layers; with "
        f"the first and the last layer these are the {3 * blocks + 2} of the name",
        findings.holds(stated == blocks),
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
        findings.holds(stated == hidden * directions),
    )


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
