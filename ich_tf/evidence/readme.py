"""The README's table, pasted by code between two markers."""

import dataclasses
import os
import pathlib

from ich_tf import files, paths
from ich_tf.evidence import tables
from ich_tf.experiments import provenance
from ich_tf.experiments import results as stored
from ich_tf.metrics import display

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
DOCS = paths.PROJECT / "docs"
RECORDED = paths.recorded("demo.json")
README = paths.PROJECT / "README.md"


def update(results: str | os.PathLike) -> None:
    """Record the demo's numbers in docs/demo.json and paste them into the README.

    The README shows the report's own tables, the notebooks all. Rows that were not run
    are recorded, and shown, as such. Of a table without any row that was run, what was
    recorded before stays; tables of real data are left out, because the block says
    "phantom".

    Raises:
        ValueError: if no row was run on the phantom.
    """
    results = pathlib.Path(results)
    made = {}
    for table in tables.TABLES:
        rows = [
            stored.load_result(results, "demo", experiment.id)
            for experiment in tables.own(table)
        ]
        run = [result for result in rows if result is not None]
        if {result["data"]["identity"] for result in run} != {"phantom"}:
            continue
        found = tables.cells(table, results, "demo")
        made[table] = {"cells": [dataclasses.asdict(cell) for cell in found]}
        made[table]["settings"] = {
            result["experiment"]: settings_digest(result["spec"]) for result in run
        }
        for name in ("commits", "devices", "versions"):
            values = [value for result in run for value in result[name]]
            made[table][name] = [
                value for k, value in enumerate(values) if value not in values[:k]
            ]
    if not made:
        raise ValueError(
            f"No row of the demo was run on the phantom: {results} has no such result."
        )
    before = files.read_json(RECORDED) if RECORDED.is_file() else {}
    known = {**before, **made}
    recorded = {table: known[table] for table in tables.TABLES if table in known}
    files.write_json(RECORDED, recorded)
    text = README.read_text(encoding="utf-8")
    first, rest = text.split(BEGIN)
    _, last = rest.split(END)
    shown = f"{BEGIN}\n{block(recorded)}{END}"
    files.write_bytes(README, (first + shown + last).encode())


def block(recorded: dict) -> str:
    """The README's block from the content of docs/demo.json: the report's tables."""
    return render(
        {name: made for name, made in recorded.items() if _is_reproduced(name, made)}
    )


def _is_reproduced(table: str, made: dict) -> bool:
    """Whether a recorded table is about the report's own numbers."""
    about_others = tables.TABLES[table][1] == tables.OTHER_DATA
    stated = any(cell["reported"] is not None for cell in made["cells"])
    return stated and not about_others


def settings_digest(made: dict) -> str:
    """Digest of what decides a result's numbers, but for seed and data.

    Args:
        made: `spec.settings`, or the specification of a result.
    """
    return provenance.digest([made["experiment"], made["profile"]])


def render(recorded: dict) -> str:
    """Recorded tables as Markdown."""
    lines = []
    for table, made in recorded.items():
        found = made["cells"]
        columns = list(dict.fromkeys(cell["column"] for cell in found))
        lines += [f"**{tables.TABLES[table][0]}**", ""]
        names = [tables.HEADINGS.get(name, name) for name in columns]
        header = ["Row", *(f"{name}: report | phantom" for name in names)]
        lines.append("| " + " | ".join(header) + " |")
        lines.append("|" + " --- |" * (1 + 2 * len(columns)))
        rows: dict[str, list[str]] = {}
        for cell in found:
            row = rows.setdefault(cell["row"], [cell["row"]])
            not_run = cell["verdict"] == "not run"
            ours = "not run" if not_run else display.number(cell["ours"], table)
            row += [display.number(cell["reported"], table), ours]
        lines += ["| " + " | ".join(row) + " |" for row in rows.values()]
        lines.append("")
    cells = [cell for made in recorded.values() for cell in made["cells"]]
    verdicts = sorted({cell["verdict"] for cell in cells})
    lines.append(
        f"Verdicts: {', '.join(verdicts)} (the phantom is other data). Made at commit "
        f"{_all(recorded, 'commits')} on {_all(recorded, 'devices')} with Keras "
        f"{_all(recorded, 'versions', 'keras')} and TensorFlow "
        f"{_all(recorded, 'versions', 'tensorflow')}."
    )
    return "\n".join(lines) + "\n"


def _all(recorded: dict, name: str, key: str | None = None) -> str:
    """Each value of all tables once, in order."""
    values = [value for made in recorded.values() for value in made[name]]
    return ", ".join(dict.fromkeys(value[key] if key else value for value in values))
