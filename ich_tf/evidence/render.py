"""Tables as Markdown, CSV, LaTeX, HTML or JSON."""

import csv
import dataclasses
import html
import io
import json
import pathlib
from collections.abc import Iterable, Sequence

from ich_tf import metrics
from ich_tf.evidence import table_cells, tables, terminal
from ich_tf.evidence.table_cells import Cell
from ich_tf.evidence.tables import Table
from ich_tf.metrics import display

# Headings that are not just the capitalised column name.
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


def heading(column: str) -> str:
    """The heading of a column."""
    return HEADINGS.get(column, column.capitalize())


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, without a line break at its end."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def parsed_rows(text: str) -> list[list[str]]:
    """The cells of every row of every Markdown table, headers too, without rulers."""
    lines = (line.strip() for line in text.splitlines())
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|")
    ]
    return [row for row in cells if not set("".join(row)) <= set(":- ")]


def recorded_section(page: pathlib.Path, heading: str) -> str:
    """What a page of the documentation has under a heading; "" if it has none."""
    text = page.read_text("utf-8") if page.is_file() else ""
    return text.partition(f"{heading}\n")[2].partition("\n## ")[0].strip()


def render(
    shown: Sequence[Table],
    results: pathlib.Path,
    profile: str,
    format_: str = "md",
    protocol: str = tables.PROTOCOL,
) -> str:
    """Tables as text.

    Args:
        shown: The tables.
        results: Folder of results.
        profile: Name of the profile.
        format_: One of `FORMATS`.
        protocol: Name of the protocol of masks.

    Raises:
        ValueError: if the format or the protocol is unknown, or a result is damaged.
    """
    if format_ not in FORMATS:
        raise ValueError(f"Unknown format {format_!r}. Known: {', '.join(FORMATS)}")
    metrics.protocol(protocol)
    made = [
        (table, table_cells.of_table(table, results, profile, protocol))
        for table in shown
    ]
    if format_ == "json":
        flat = [as_json(cell) for _, cells in made for cell in cells]
        return json.dumps(flat, indent=1) + "\n"
    if format_ == "csv":
        return _csv([cell for _, cells in made for cell in cells])
    blocks = []
    for table, cells in made:
        scale = f"profile {profile}"
        notes = table_cells.notes_of(table, cells, results, profile)
        if table.is_of_masks:
            scale += f", protocol {protocol}"
            description = metrics.protocol(protocol).description
            notes.insert(0, f"protocol {protocol}: {description}")
        caption = f"{table.caption} ({scale})"
        blocks.append(_WRITERS[format_](caption, *text_grid(table, cells), notes))
    return "\n".join(blocks)


def as_json(cell: Cell) -> dict:
    """A cell and its difference from the report, as JSON."""
    return {**dataclasses.asdict(cell), "difference": cell.difference}


def by_row(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Title of a row to its cells, in the order of the columns."""
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.row, []).append(cell)
    return rows


def text_grid(table: Table, cells: Iterable[Cell]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table as text.

    Each score has the reported number and ours, without columns of dashes; the last
    column is the verdict on the row.
    """
    cells = list(cells)
    rows = by_row(cells)
    bounded = {cell.column for cell in cells if cell.low is not None}
    header = [
        f"{heading(column)}: {kind}"
        for column in table.columns
        for kind in ("reported", "ours [95 % CI]" if column in bounded else "ours")
    ]
    body = [
        [
            title,
            *(text for cell in of_row for text in numbers(table, cell)),
            row_verdict(of_row),
        ]
        for title, of_row in rows.items()
    ]
    return without_dashes(["Row", *header, "Verdict"], body)


def without_dashes(
    header: Sequence[str], body: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """A table without the columns that hold nothing but dashes."""
    dash = display.number(None)
    kept = [
        place
        for place in range(len(header))
        if any(line[place] != dash for line in body)
    ]
    shown = [[line[place] for place in kept] for line in [header, *body]]
    return shown[0], shown[1:]


def numbers(table: Table, cell: Cell) -> tuple[str, str]:
    """The reported number and ours with its interval, as text.

    An accuracy is followed by the accuracy of never predicting hemorrhage.
    """
    score = {
        "mean": cell.ours,
        "low": cell.low,
        "high": cell.high,
        "n": cell.cases,
        "n_undefined": cell.undefined,
    }
    ours = display.with_interval(score, table.digits)
    if cell.trivial is not None:
        ours += f"; never predicted: {display.number(cell.trivial, table.digits)}"
    return display.number(cell.reported, table.digits), ours


def verdict(cell: Cell) -> str:
    """The verdict, with the difference where one was judged."""
    if cell.difference is None or cell.verdict in ("not comparable", "not run"):
        return cell.verdict
    return f"{cell.verdict} ({cell.difference:+.3f})"


def row_verdict(cells: Sequence[Cell]) -> str:
    """One verdict for a row; each score's own where they differ."""
    names = {cell.verdict for cell in cells}
    if len(names) == 1:
        return names.pop()
    return "; ".join(f"{heading(cell.column)}: {verdict(cell)}" for cell in cells)


def _csv(cells: Iterable[Cell]) -> str:
    text = io.StringIO()
    names = [field.name for field in dataclasses.fields(Cell)]
    writer = csv.DictWriter(text, [*names, "difference"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(as_json, cells))
    return text.getvalue()


def _markdown(caption, header, body, notes) -> str:
    lines = [f"**{caption}**", "", markdown(header, body), ""]
    return "\n".join([*lines, *(f"- {note}" for note in notes), ""])


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
