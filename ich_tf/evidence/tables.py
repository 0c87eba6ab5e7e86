"""Tables of the report with its printed numbers beside ours, from result files."""

import csv
import dataclasses
import html
import importlib
import io
import itertools
import json
import math
import pathlib
from collections.abc import Collection

import numpy as np

from ich_tf import labels, metrics, suggestions
from ich_tf.evidence import terminal
from ich_tf.experiments import results as stored
from ich_tf.experiments import spec
from ich_tf.experiments.spec import Baseline, Classifier, Experiment
from ich_tf.metrics import display

Row = Experiment | Baseline | Classifier

REPRODUCED, CLOSE = 0.02, 0.05
OTHER_DATA = "the data of each paper"
"""Of numbers that the report quotes; nothing run here is about the same data."""

# Table -> its caption, the data identity its numbers are about, its columns.
TABLES = {
    "table1": (
        "Table I: slices and scans classified on RSNA 2019",
        "RSNA 2019 stage 2",
        ("auc_scan", "auc_slice", "accuracy_scan", "accuracy_slice"),
    ),
    "table1-losses": (
        "Validation loss beside Table I",
        "RSNA 2019 stage 2",
        ("validation_loss", "weighted_log_loss"),
    ),
    "table1-more": (
        "Beyond Table I: what the report does not print, at slice level",
        "RSNA 2019 stage 2",
        ("sensitivity_slice", "specificity_slice", "calibration_error_slice"),
    ),
    "ct-ich-slices": (
        "Not in the report: slices of ct-ich 1.0 classified, five folds by patient",
        "ct-ich 1.0",
        ("auc_scan", "auc_slice"),
    ),
    "table2": ("Table II: UNet++ on ct-ich", "ct-ich 1.3.1", ("jaccard", "dice")),
    "table3": (
        "Table III: UNet++ against the U-Net of [2]",
        "ct-ich 1.3.1",
        ("jaccard", "dice", "sensitivity", "specificity"),
    ),
    "related": (
        "Section II: related work without networks, beside Table III's networks",
        OTHER_DATA,
        ("jaccard", "dice", "sensitivity", "specificity"),
    ),
    "volume3d": (
        "Section V: the 3-D UNet++ that the report could not train, beside 2-D",
        "ct-ich 1.3.1",
        ("jaccard", "dice", "seconds_per_epoch", "peak_memory_gb"),
    ),
}
# What is not merely capitalized in a table's head.
HEADINGS = {
    "auc_scan": "AUC, scans",
    "auc_slice": "AUC, slices",
    "accuracy_scan": "Accuracy, scans",
    "accuracy_slice": "Accuracy, slices",
    "validation_loss": "Validation loss",
    "weighted_log_loss": "Weighted log loss",
    "sensitivity_slice": "Sensitivity",
    "specificity_slice": "Specificity",
    "calibration_error_slice": "Calibration error",
    "seconds_per_epoch": "Seconds per epoch",
    "peak_memory_gb": "Peak memory, GB",
}
FORMATS = ("text", "md", "csv", "latex", "html", "json")
_RUN_FROM = " [run from "


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number of the report and ours.

    Attributes:
        table: Name of the table.
        row: Title of the row.
        experiment: Id of the experiment behind it.
        column: "jaccard", "dice", ...
        reported: The printed number; None where the report prints none.
        ours: Our number; None if not run or undefined.
        low: Lower bound of our 95 % confidence interval.
        high: Upper bound.
        cases: Number of patients or slices in the average.
        undefined: Number left out of it because they have no defined value.
        verdict: "reproduced", "close", "differs", "not comparable", "not run".
        reason: Why a number cannot be compared.
    """

    table: str
    row: str
    experiment: str
    column: str
    reported: float | None
    ours: float | None
    low: float | None
    high: float | None
    cases: int | None
    undefined: int | None
    verdict: str
    reason: str

    @property
    def difference(self) -> float | None:
        """Ours minus the report's."""
        if self.ours is None or self.reported is None:
            return None
        return self.ours - self.reported


def shown(table: str) -> tuple[Row, ...]:
    """The experiments a table shows, in its order."""
    if table.startswith("table1"):
        return spec.rows("table1")
    if table in ("table3", "related", "volume3d"):
        module = importlib.import_module(f"ich_tf.experiments.rows.{table}")
        return tuple(spec.find(name)[0] for name in module.SHOWN)
    return spec.rows(table)


def showing(names: list[str]) -> list[str]:
    """The tables that show any of these tables' rows or experiment ids.

    A 2-D row that only stands beside the 3-D ones does not ask for their table.
    """
    ids = {row.id for name in names for row in spec.find(name)}
    return [table for table in TABLES if ids & {row.id for row in own(table)}]


def own(table: str) -> tuple[Row, ...]:
    """The experiments a table is about: all it shows but what stands beside them."""
    return spec.rows(table) if table in ("related", "volume3d") else shown(table)


def worth_showing(results: pathlib.Path, profile: str) -> list[str]:
    """Tables that hold a number: of the report, or of a row that was run."""
    return [
        table
        for table in TABLES
        if any(
            row.reported or stored.result_file(results, profile, row.id).is_file()
            for row in own(table)
        )
    ]


def cells(
    table: str,
    results: pathlib.Path,
    profile: str,
    protocol: str = "hssayeni2020",
    without: Collection[str] = (),
) -> list[Cell]:
    """Every number of a table beside ours.

    What was made with other settings is shown, and compared with nothing. The results
    of experiments in `without` are passed over.

    Raises:
        ValueError: if the table is unknown.
    """
    if table not in TABLES:
        near = suggestions.did_you_mean(table, TABLES)
        raise ValueError(f"Unknown table {table!r}.{near} Known: {', '.join(TABLES)}")
    found = []
    for group, experiment in itertools.product(groups(table, protocol), shown(table)):
        result = stored.load_result(results, profile, experiment.id, without)
        row = row_cells(table, experiment, result, group)
        if result and not stored.is_current(result, experiment, profile):
            judged = {
                "verdict": "not comparable",
                "reason": stored.OTHER_SETTINGS,
            }
            row = [dataclasses.replace(cell, **judged) for cell in row]
        found += row
    return found


def row_cells(
    table: str, experiment: Row, result: dict | None, group: str
) -> list[Cell]:
    """Every number of one row: of a protocol, or of a class."""
    return [
        _cell(table, experiment, column, result, group) for column in TABLES[table][2]
    ]


def groups(table: str, protocol: str) -> tuple[str, ...]:
    """What each experiment has a row for: a protocol, or each class."""
    if table == "table1-losses":
        return ("all",)
    if shown(table)[0].task == "classification":
        return (labels.ANY, *labels.SUBTYPES)
    return (protocol,)


def _cell(table, experiment, column, result, group) -> Cell:
    printed = experiment.reported.get(table.removesuffix("-losses"), {})
    if experiment.task == "classification":
        printed = printed.get(group, {})
    reported = printed.get(column)
    score = _score(result, group, column) if result else {}
    title = _title(table, experiment, group)
    if result and result["init"] != result["wanted_init"]:
        title += f"{_RUN_FROM}{result['init']} weights]"
    verdict, reason = judge(reported, score, result, TABLES[table][1])
    return Cell(
        table,
        title,
        experiment.id,
        column,
        reported,
        score.get("mean"),
        score.get("low"),
        score.get("high"),
        score.get("n"),
        score.get("n_undefined"),
        verdict,
        reason,
    )


def untagged(row: str) -> str:
    """A row's name without the weights that it ran from."""
    return row.split(_RUN_FROM)[0]


def _score(result: dict, group: str, column: str) -> dict:
    """`mean`, `low`, ... of a column; what a run took has a mean alone."""
    if column == "peak_memory_gb":
        return {"mean": max(filter(None, result[column]), default=None)}
    if column == "seconds_per_epoch":
        seconds = [epoch["seconds"] for fold in result["history"] for epoch in fold]
        return {"mean": float(np.median(seconds))}
    return result["summary"][group][column]


def _title(table: str, experiment: Row, group: str) -> str:
    if table == "table3" and experiment.id != "table3/unet-hssayeni":
        return "UNet++"
    if experiment.task == "classification" and group != "all":
        return f"{labels.SHORT[group]}: {experiment.title}"
    return experiment.title


def judge(
    reported: float | None, score: dict, result: dict | None, identity: str
) -> tuple[str, str]:
    """The verdict on one number, and its reason.

    "reproduced" is within 0.02 with the reported number inside our interval, "close"
    within 0.05, "differs" all else. Only a result on all cases of the report's own
    data, told by their fingerprint, is compared.

    Args:
        reported: The printed number, or None.
        score: `mean`, `low`, `high` of ours.
        result: The result file's content, or None.
        identity: The data the report's number is about.
    """
    if result is None:
        return "not run", "no result"
    reason = not_comparable(result, identity)
    if reason:
        return "not comparable", reason
    if reported is None:
        return "not comparable", "the report prints no number"
    mean = score.get("mean")
    if mean is None or not math.isfinite(mean):
        return "differs", "undefined"
    difference = abs(mean - reported)
    low, high = score.get("low"), score.get("high")
    inside = low is not None and low <= reported <= high
    if difference <= REPRODUCED and inside:
        return "reproduced", ""
    if difference <= CLOSE:
        return "close", ""
    return "differs", ""


def not_comparable(result: dict, identity: str) -> str:
    """Why a result says nothing about the report's numbers; "" if it does."""
    if result["data"]["identity"] != identity:
        return f"data: {result['data']['identity']}, not {identity}"
    if not _evaluated_as_reported(result):
        return "evaluated on other cases than the report's"
    if result["init"] != result["wanted_init"]:
        return f"initialised with {result['init']} weights"
    return ""


def _reported_held_out_slices() -> int:
    """Slices of the scans that Table I is on."""
    return spec.reported()["datasets"]["rsna2019"]["split_slices"]["validation"]


def _evaluated_as_reported(result: dict) -> bool:
    """All cases of ct-ich, each once; for RSNA, the scans [1] held out."""
    if "predictions" in result:
        slices = sum(len(scan["truth"]) for scan in result["predictions"].values())
        wanted = _reported_held_out_slices()
        # The split follows the order of a table that not every copy of the data has;
        # a few images may be damaged.
        same = abs(slices - wanted) <= 0.001 * wanted
        return same and result["spec"]["profile"]["split"] == "burduja2020"
    evaluated = {case for fold in result["folds"] for case in fold["test"]}
    return evaluated == set(result["data"]["cases"])


def render(
    tables: list[str],
    results: pathlib.Path,
    profile: str,
    format_: str = "md",
    protocol: str = "hssayeni2020",
) -> str:
    """Tables as text.

    Args:
        tables: Names in `TABLES`.
        results: Folder of results.
        profile: Name of the profile.
        format_: One of `FORMATS`.
        protocol: Name of the protocol the numbers are taken under.

    Raises:
        ValueError: if the format or a table is unknown.
    """
    if format_ not in FORMATS:
        raise ValueError(f"Unknown format {format_!r}. Known: {', '.join(FORMATS)}")
    metrics.protocol(protocol)
    content = {table: cells(table, results, profile, protocol) for table in tables}
    if format_ == "json":
        flat = [
            {**dataclasses.asdict(cell), "difference": cell.difference}
            for found in content.values()
            for cell in found
        ]
        return json.dumps(flat, indent=1) + "\n"
    if format_ == "csv":
        return _csv(content)
    blocks = []
    for table, found in content.items():
        header, body = grid(found)
        scale, notes = f"profile {profile}", notes_of(table, found, results, profile)
        if shown(table)[0].task != "classification":
            scale += f", protocol {protocol}"
            description = metrics.protocol(protocol).description
            notes.insert(0, f"protocol {protocol}: {description}")
        caption = f"{TABLES[table][0]} ({scale})"
        blocks.append(_WRITERS[format_](caption, header, body, notes))
    return "\n".join(blocks)


def _csv(content: dict[str, list[Cell]]) -> str:
    text = io.StringIO()
    names = [field.name for field in dataclasses.fields(Cell)]
    writer = csv.DictWriter(text, [*names, "difference"], lineterminator="\n")
    writer.writeheader()
    for found in content.values():
        for cell in found:
            writer.writerow({**dataclasses.asdict(cell), "difference": cell.difference})
    return text.getvalue()


def grid(found: list[Cell]) -> tuple[list[str], list[list[str]]]:
    """The head of a table and its rows as text, from the cells of `cells`."""
    columns = list(dict.fromkeys(cell.column for cell in found))
    header = ["Row"]
    for column in columns:
        name = HEADINGS.get(column, column.capitalize())
        header += [f"{name}: reported", "ours [95 % CI]", "verdict"]
    rows: dict[str, list[str]] = {}
    for cell in found:
        row = rows.setdefault(cell.row, [cell.row])
        row += [display.number(cell.reported, cell.table), _ours(cell), _verdict(cell)]
    return header, list(rows.values())


def _ours(cell: Cell) -> str:
    score = {
        "mean": cell.ours,
        "low": cell.low,
        "high": cell.high,
        "n": cell.cases,
        "n_undefined": cell.undefined,
    }
    return display.with_interval(score, cell.table)


def _verdict(cell: Cell) -> str:
    if cell.difference is None or cell.verdict in ("not comparable", "not run"):
        return cell.verdict
    return f"{cell.verdict} ({cell.difference:+.3f})"


def notes_of(
    table: str,
    found: list[Cell],
    results: pathlib.Path,
    profile: str,
    without: Collection[str] = (),
) -> list[str]:
    """What must be read with a table: reasons, held-out cases, deviations."""
    notes = []
    reasons = dict.fromkeys(
        f"{cell.verdict}: {cell.reason}" for cell in found if cell.reason
    )
    notes += list(reasons)
    deviations: list[str] = []
    for experiment in shown(table):
        result = stored.load_result(results, profile, experiment.id, without)
        if result is None:
            continue
        if not experiment.reported:
            notes.append(f"{experiment.id}: the report says: {experiment.states}")
        deviations += [text for text in result["deviations"] if text not in deviations]
        notes.append(f"{experiment.id}: {_details(experiment, result)}")
    notes += [f"deviation: {text}" for text in deviations]
    if table == "related":
        from ich_tf.experiments.rows import related

        for row in related.ROWS:
            notes.append(f"{row.id}: the report states: {row.states}")
        notes += [f"stated, not run here: {line}" for line in related.not_run()]
    return notes


def _details(experiment: Row, result: dict) -> str:
    """What a result holds beside its table's numbers."""
    if experiment.task == "classification":
        return _held_out(result)
    volume = result["summary"]["per_volume"]
    dice, alarm = volume["bleeding_dice"], volume["false_positive_ml"]
    return (
        f"mean Dice per volume {display.number(dice['mean'])} over {dice['n']} "
        f"bleeding heads; false positives {display.number(alarm['mean'])} ml in a head "
        f"without (mean of {alarm['n']}); {result['spec']['precision']}"
    )


def _held_out(result: dict) -> str:
    """How many scans, slices and patients a classifier's numbers are from."""
    scans = result["predictions"].values()
    truth = [np.array(scan["truth"], bool) for scan in scans]
    owners = np.array([scan["patient"] for scan in scans])
    any_slice = np.array([slices.any(axis=0) for slices in truth])
    slices = np.concatenate(truth)
    positive = ", ".join(
        f"{labels.SHORT[name]} {slices[:, k].sum()} and "
        f"{len(set(owners[any_slice[:, k]]))}"
        for k, name in enumerate(labels.CLASSES)
    )
    leaked = sum(fold["held_out_scans"] for fold in result["leakage"])
    return (
        f"{len(truth)} held-out scans with {len(slices)} slices of "
        f"{len(set(owners))} patients; positive slices and patients: {positive}; "
        f"{leaked} held-out scans are of patients with other scans in training"
    )


def _markdown(caption, header, body, notes) -> str:
    lines = [f"**{caption}**", "", "| " + " | ".join(header) + " |"]
    lines.append("|" + " --- |" * len(header))
    lines += ["| " + " | ".join(row) + " |" for row in body]
    lines += ["", *(f"- {note}" for note in notes), ""]
    return "\n".join(lines)


def _latex(caption, header, body, notes) -> str:
    lines = [
        r"\begin{table}",
        rf"\caption{{{_tex(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        r"\hline",
    ]
    for row in [header, *body]:
        lines.append(" & ".join(_tex(text) for text in row) + r" \\")
    lines += [r"\hline", r"\end{tabular}", r"\end{table}"]
    lines += [f"% {note}" for note in notes]
    return "\n".join(lines) + "\n"


def _tex(text: str) -> str:
    for character in "%&_#":
        text = text.replace(character, "\\" + character)
    return text.replace("–", "--")


def _html(caption, header, body, notes) -> str:
    def line(tag, row):
        inner = "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in row)
        return f"<tr>{inner}</tr>"

    lines = ["<table>", f"<caption>{html.escape(caption)}</caption>"]
    lines += [line("th", header), *(line("td", row) for row in body), "</table>"]
    lines += ["<ul>", *(f"<li>{html.escape(note)}</li>" for note in notes), "</ul>"]
    return "\n".join(lines) + "\n"


_WRITERS = {
    "text": terminal.text,
    "md": _markdown,
    "latex": _latex,
    "html": _html,
}
