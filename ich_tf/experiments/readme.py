"""The README's table, pasted by code between two markers."""

import dataclasses
import os
import pathlib

from ich_tf import files, paths
from ich_tf.experiments import tables

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
DOCS = paths.PROJECT / "docs"
RECORDED = DOCS / "demo.json"
README = paths.PROJECT / "README.md"


def update(results: str | os.PathLike) -> None:
    """Record the demo's numbers in docs/demo.json and paste them into the README.

    Rows that were not run are recorded, and shown, as such; tables without any row
    that was run are left out, and so are those of real data: the block says "phantom".

    Raises:
        ValueError: if no row was run on the phantom.
    """
    results = pathlib.Path(results)
    recorded = {"tables": {}, "commits": [], "devices": [], "versions": []}
    for table in tables.TABLES:
        rows = [
            tables.load_result(results, "demo", experiment.id)
            for experiment in tables.shown(table)
        ]
        run = [result for result in rows if result is not None]
        if {result["data"]["identity"] for result in run} != {"phantom"}:
            continue
        found = tables.cells(table, results, "demo")
        recorded["tables"][table] = [dataclasses.asdict(cell) for cell in found]
        for result in run:
            for name in ("commits", "devices", "versions"):
                for value in result[name]:
                    if value not in recorded[name]:
                        recorded[name].append(value)
    if not recorded["commits"]:
        raise ValueError(
            f"No row of the demo was run on the phantom: {results} has no such result."
        )
    files.write_json(RECORDED, recorded)
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    block = f"{BEGIN}\n{render(recorded)}{END}"
    files.write_bytes(README, (before + block + after).encode())


def render(recorded: dict) -> str:
    """The README's block from the content of docs/demo.json."""
    lines = []
    for table, found in recorded["tables"].items():
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
            ours = "not run" if not_run else tables.number(cell["ours"], table)
            row += [tables.number(cell["reported"], table), ours]
        lines += ["| " + " | ".join(row) + " |" for row in rows.values()]
        lines.append("")
    verdicts = {cell["verdict"] for cell in sum(recorded["tables"].values(), [])}
    lines.append(
        f"Verdicts: {', '.join(sorted(verdicts))} (the phantom is other data). "
        f"Made at commit {', '.join(recorded['commits'])} on "
        f"{', '.join(recorded['devices'])} with Keras {_versions(recorded, 'keras')} "
        f"and TensorFlow {_versions(recorded, 'tensorflow')}."
    )
    return "\n".join(lines) + "\n"


def _versions(recorded: dict, package: str) -> str:
    return ", ".join(sorted({versions[package] for versions in recorded["versions"]}))
