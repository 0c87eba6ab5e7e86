"""The report as one HTML file that needs no network: tables, figures, slices."""

import dataclasses
import os
import pathlib
from collections import Counter
from collections.abc import Callable, Mapping

from ich_tf import files, owned_folder
from ich_tf.evidence import study, table_cells, tables, verdicts, verify
from ich_tf.evidence.table_cells import Cell
from ich_tf.evidence.tables import Table
from ich_tf.experiments import results as stored
from ich_tf.experiments import runner
from ich_tf.experiments.catalog import Catalog
from ich_tf.experiments.results import Result
from ich_tf.experiments.spec import Row
from ich_tf.report import sections
from ich_tf.viewer import page as html

TEMPLATES = pathlib.Path(__file__).with_name("templates")
TITLE = "Intracranial hemorrhage in head CT: reported and measured"
VERDICTS = (*verify.PASSED, *verify.OTHER, *verdicts.VERDICTS[3:])
# How the page names the verdicts on the phantom's numbers.
RECORDED = {
    "as recorded": "phantom: as recorded",
    "within": "phantom: within the recorded interval",
    "measured": "phantom: time or memory",
}


def write(
    folders: runner.Folders,
    out: str | os.PathLike | None = None,
    *,
    profile: str = "demo",
    cases: int = 6,
    all_tables: Mapping[str, Table] = tables.TABLES,
    say: Callable[[str], None],
) -> pathlib.Path:
    """Write the report of everything that was run.

    The page holds its style, script, figures and slices; its content security policy
    keeps it from asking a network for anything. The same results give the same bytes.

    Args:
        folders: Where results, data and weights are.
        out: The HTML file; None writes `report.html` in the profile's results.
        profile: Name of the profile.
        cases: Number of held-out cases in the slice viewer.
        all_tables: By name.
        say: Takes a line of progress.

    Returns:
        The HTML file.

    Raises:
        ValueError: if nothing was run, or `out` is a file that `report` did not write.
    """
    if out is not None:
        out = pathlib.Path(out)
        owned_folder.check(out.parent, _writer(out), [out.name])
    else:
        files.check_folder(folders.results / profile)
    results, faulty = read_results(folders.results, profile, all_tables)
    if not results and not faulty:
        raise ValueError(
            f"{folders.results / profile} has no result. Run "
            f"{stored.command('TABLE', profile)} first."
        )
    checks = verify.verify(folders.results, profile, all_tables=all_tables)
    shown = []
    for table in tables.worth_showing(folders.results, profile, all_tables):
        cells = table_cells.of_table(table, folders.results, profile, without=faulty)
        shown.append((table, _checked(cells, checks, faulty)))
    compared = distinct(results, all_tables)
    answers = study.known(folders.results, profile)
    content = html.render(
        "report.html",
        TEMPLATES,
        title=TITLE,
        summary=_summary(results, profile, faulty),
        verdicts=_counted(checks),
        sections=[
            sections.of_tables(shown, folders.results, profile, faulty),
            *([sections.studied(answers)] if answers else []),
            sections.audited(folders, profile, faulty),
            sections.conventions(results, folders.results, profile),
            sections.scores(compared),
            sections.classified(compared),
            sections.localized(folders.results, profile),
            sections.trained(compared),
            sections.provenance(results),
        ],
        viewer=sections.slice_viewer(
            folders,
            compared,
            Catalog({"": tuple(rows_of(all_tables))}),
            profile,
            cases,
            say,
        ),
        footer="Made by `ich-tf report`. Research use, not a medical device.",
    )
    if out is not None:
        owned_folder.write_file(out, _writer(out), content)
        return out
    out = folders.results / profile / "report.html"
    files.write_bytes(out, content)
    return out


def _writer(out: pathlib.Path) -> str:
    """Several reports may lie in a folder."""
    return f"report --out {out.name}"


def read_results(
    folder: pathlib.Path, profile: str, all_tables: Mapping[str, Table] = tables.TABLES
) -> tuple[dict[str, Result], dict[str, list[str]]]:
    """Everything that was run.

    Returns:
        Id to result of each row, in the order of the tables; and id to faults of each
        row whose file is not to be believed.
    """
    results, faulty = {}, {}
    for row in rows_of(all_tables):
        try:
            result = stored.load_result(folder, profile, row)
        except ValueError as error:
            faulty[row.id] = [str(error)]
            continue
        if result is None:
            continue
        faults = result.faults(row, profile)
        if faults:
            faulty[row.id] = faults
        else:
            results[row.id] = result
    return results, faulty


def distinct(
    results: Mapping[str, Result], all_tables: Mapping[str, Table] = tables.TABLES
) -> dict[str, Result]:
    """The results without rows that share the training of another row."""
    return {
        row.id: results[row.id]
        for row in rows_of(all_tables)
        if row.id in results and not row.same_training(results[row.id])
    }


def rows_of(all_tables: Mapping[str, Table]) -> list[Row]:
    """Each row of the tables once."""
    rows = {row.id: row for table in all_tables.values() for row in table.shown}
    return list(rows.values())


def _summary(results: dict[str, Result], profile: str, faulty: dict) -> str:
    identities = sorted({result.identity for result in results.values()})
    count = len(results)
    text = f"{count} row{'' if count == 1 else 's'} run, profile {profile}"
    text += f", on {', '.join(identities)}." if identities else "."
    if faulty:
        text += f" Left out, since their files are faulty: {', '.join(faulty)}."
    if "phantom" in identities:
        text += (
            " Numbers on the phantom show that every row runs and what it learns from "
            "synthetic heads; they reproduce nothing and are not compared."
        )
    return text


def _checked(
    cells: list[Cell], checks: list[verify.Check], faulty: dict[str, list[str]]
) -> list[Cell]:
    """Cells with the verdicts of `verify`; faulty files, left out before, differ."""
    judged = {
        check.cell.place: check.cell for check in checks if check.kind == verify.REPORT
    }
    shown = []
    for cell in cells:
        if cell.experiment in faulty:
            reason = "; ".join(faulty[cell.experiment])
            cell = dataclasses.replace(cell, verdict="differs", reason=reason)
        elif cell.place in judged:
            cell = dataclasses.replace(judged[cell.place], row=cell.row)
        shown.append(cell)
    return shown


def _counted(checks: list[verify.Check]) -> dict[str, int]:
    counts = Counter(check.verdict for check in checks)
    return {
        RECORDED.get(verdict, verdict): counts[verdict]
        for verdict in VERDICTS
        if counts[verdict]
    }
