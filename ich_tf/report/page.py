"""The report as one HTML file that needs no network: tables, figures, slices."""

import base64
import dataclasses
import hashlib
import json
import os
import pathlib
from collections import Counter
from collections.abc import Callable

from ich_tf import files, owned_folder
from ich_tf.evidence import audit, localization, tables, verify
from ich_tf.evidence.verify import REPORT
from ich_tf.experiments import reproduce, runner, spec
from ich_tf.experiments import results as stored
from ich_tf.prediction import classify
from ich_tf.report import plots, viewer

TEMPLATES = pathlib.Path(__file__).with_name("templates")
TITLE = "Intracranial hemorrhage in head CT: reported and measured"
VERDICTS = (*verify.PASSED, "differs", "not comparable", "not run")
# Of the phantom's numbers, which are held against its own record.
RECORDED = {
    "as recorded": "phantom: as recorded",
    "within": "phantom: within the recorded interval",
}
AUDITED = ("holds", "contradicted", "open")


def write(
    folders: runner.Folders,
    out: str | os.PathLike | None = None,
    *,
    profile: str = "demo",
    cases: int = 6,
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
        say: Takes a line of progress.

    Returns:
        The HTML file.

    Raises:
        ValueError: if nothing was run, or `out` is a file that `report` did not write.
    """
    import jinja2
    import markupsafe

    if out is not None:
        out = pathlib.Path(out)
        owned_folder.check(out.parent, _writer(out), [out.name])
    results = results_of(folders.results, profile)
    if not results:
        raise ValueError(
            f"{folders.results / profile} has no result. Run `ich-tf reproduce` first."
        )
    checks = verify.verify(folders.results, profile)
    faulty = {
        name: said
        for name, result in results.items()
        if (said := verify.faults(result, spec.find(name)[0], profile))
    }
    results = {name: one for name, one in results.items() if name not in faulty}
    found = {}
    for table in tables.worth_showing(folders.results, profile):
        cells = tables.cells(table, folders.results, profile, without=faulty)
        found[table] = _checked(cells, checks, faulty)
    script = (TEMPLATES / "viewer.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True
    )
    text = environment.get_template("report.html").render(
        title=TITLE,
        summary=_summary(results, profile, faulty),
        verdicts=_counted(checks),
        sections=[
            _tables(found, folders.results, profile, faulty),
            _audited(folders, profile, faulty),
            _conventions(results, folders.results, profile),
            _scores(results),
            _classified(results),
            _localized(folders.results, profile),
            _trained(results),
            _provenance(results),
        ],
        viewer=_viewer(folders, results, profile, cases, say),
        footer="Made by `ich-tf report`. Research use, no medical device.",
        style=markupsafe.Markup((TEMPLATES / "report.css").read_text("utf-8")),
        script=markupsafe.Markup(script),
        script_hash=_hash(script),
    )
    if out is not None:
        owned_folder.write_file(out, _writer(out), text.encode())
        return out
    out = folders.results / profile / "report.html"
    files.write_bytes(out, text.encode())
    return out


def _writer(out: pathlib.Path) -> str:
    """Several reports may lie in a folder."""
    return f"report --out {out.name}"


def results_of(folder: pathlib.Path, profile: str) -> dict[str, dict]:
    """Id to result of each experiment that was run, in the order of the tables."""
    found = {}
    for table in tables.TABLES:
        for experiment in tables.shown(table):
            result = stored.load_result(folder, profile, experiment.id)
            if result is not None:
                found[experiment.id] = result
    return found


def _summary(results: dict[str, dict], profile: str, faulty: dict) -> str:
    identities = sorted({result["data"]["identity"] for result in results.values()})
    text = f"{len(results)} experiments, profile {profile}"
    text += f", on {', '.join(identities)}." if identities else "."
    if faulty:
        text += f" Left out, since their files are faulty: {', '.join(faulty)}."
    if "phantom" in identities:
        text += (
            " Numbers of the phantom show that every row runs and what it learns from "
            "synthetic heads; they reproduce nothing and are not compared."
        )
    return text


def _checked(
    cells: list[tables.Cell], checks: list[verify.Check], faulty: dict[str, list[str]]
) -> list[tables.Cell]:
    """Cells with the verdicts of `verify`; faulty files, left out before, differ."""
    said = {_place(check.cell): check.cell for check in checks if check.kind == REPORT}
    shown = []
    for cell in cells:
        reasons = faulty.get(cell.experiment)
        if reasons:
            reason = "; ".join(reasons)
            cell = dataclasses.replace(cell, verdict="differs", reason=reason)
        elif _place(cell) in said:
            cell = dataclasses.replace(said[_place(cell)], row=cell.row)
        shown.append(cell)
    return shown


def _place(cell: tables.Cell) -> tuple[str, ...]:
    return cell.table, cell.experiment, tables.untagged(cell.row), cell.column


def _counted(checks: list[verify.Check]) -> dict[str, int]:
    counts = Counter(check.verdict for check in checks)
    return {
        RECORDED.get(verdict, verdict): counts[verdict]
        for verdict in VERDICTS
        if counts[verdict]
    }


def _tables(found: dict, results: pathlib.Path, profile: str, faulty: dict) -> dict:
    made = []
    for table, cells in found.items():
        header, body = tables.grid(cells)
        rows = [[{"text": text, "kind": _kind(text)} for text in row] for row in body]
        made.append(
            {
                "caption": tables.TABLES[table][0],
                "header": header,
                "rows": rows,
                "notes": tables.notes_of(table, cells, results, profile, faulty),
            }
        )
    rule = (
        f"Reproduced: within {tables.REPRODUCED} of the printed number, which lies in "
        f"our 95 % interval. Close: within {tables.CLOSE}. Only a run on the report's "
        "own data is compared. Intervals are over patients."
    )
    return {"id": "tables", "title": "Tables", "text": rule, "tables": made}


def _kind(text: str) -> str:
    """The style of a cell: that of its verdict, if it tells one."""
    words = text.split(" (")[0]
    known = words in (*VERDICTS, *AUDITED)
    return "verdict " + words.replace(" ", "-") if known else ""


def _audited(folders: runner.Folders, profile: str, faulty: dict) -> dict:
    found = audit.audit(folders.results, profile, folders.ct_ich, faulty)
    rows = [
        [{"text": text, "kind": _kind(text)} for text in dataclasses.astuple(one)]
        for one in found
    ]
    return {
        "id": "audit",
        "title": "The report held against itself",
        "text": "Computed from the report's own numbers, facts of the published data "
        "sets and codes, and trained rows where they were run.",
        "tables": [
            {
                "caption": "Findings",
                "header": ["finding", "the report", "evidence", "verdict"],
                "rows": rows,
                "prose": True,
            }
        ],
    }


def _conventions(results: dict[str, dict], folder: pathlib.Path, profile: str) -> dict:
    """The figure of `protocols`, of each row that was swept."""
    section = {"id": "conventions", "title": "One prediction, many averages"}
    section["figures"] = [
        {
            "picture": _address(path),
            "caption": f"Dice of {name} under each convention that the report leaves "
            "open: what is averaged, and what an empty mask counts.",
        }
        for name in results
        if (path := _run_folder(folder, profile, name) / "protocols.png").is_file()
    ]
    if not section["figures"]:
        section["text"] = "No row was swept: `ich-tf protocols ID`."
    return section


def _run_folder(results: pathlib.Path, profile: str, name: str) -> pathlib.Path:
    return stored.result_file(results, profile, name).with_suffix("")


def _address(path: pathlib.Path) -> str:
    """A PNG file as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _scores(results: dict[str, dict]) -> dict:
    scores = plots.dice_of_heads(results)
    section = {"id": "scores", "title": "Dice of each held-out head", "figures": []}
    if scores:
        caption = (
            "Each dot is a head with hemorrhage: Dice of the whole volume at threshold "
            "0.5. Boxes hold the middle half, the line is the median."
        )
        svg = _svg(plots.scores_per_case(scores, "Dice per volume"))
        section["figures"].append({"svg": svg, "caption": caption})
    else:
        section["text"] = "No segmentation was run."
    return section


def _classified(results: dict[str, dict]) -> dict:
    networks = {
        name: result
        for name, result in results.items()
        if "predictions" in result and name.startswith("table1/")
    }
    section = {"id": "roc", "title": "ROC curves of Table I", "figures": []}
    if not networks:
        section["text"] = "Table I was not run."
        return section
    answers = plots.slice_answers(networks)
    caption = "Slices of the held-out scans, each class against all other slices."
    section["figures"].append(
        {"svg": _svg(plots.roc_curves(answers)), "caption": caption}
    )
    return section


def _localized(results: pathlib.Path, profile: str) -> dict:
    section = {"id": "heat", "title": "Figures 3-7: Grad-CAM", "figures": []}
    run = _run_folder(results, profile, "table1/resnext101")
    path = run / localization.FOLDER / localization.MEASURED
    if not path.is_file():
        section["text"] = "Figures 3-7 were not drawn."
        return section
    found = files.read_json(path)
    section["text"] = (
        "Heatmap, overlay and slice of the largest lesion of each subtype, on phantom "
        "heads that no network was trained on, whatever the heatmap looks like."
    )
    for line, measured in zip(
        localization.describe(found).splitlines(),
        found["subtypes"].values(),
        strict=True,
    ):
        if measured["figure"]:
            address = _address(path.parent / measured["figure"])
            section["figures"].append({"picture": address, "caption": line})
    return section


def _trained(results: dict[str, dict]) -> dict:
    section = {"id": "training", "title": "Training", "figures": []}
    histories = plots.histories(results)
    if not histories:
        section["text"] = "No network was trained."
        return section
    caption = (
        "First fold of each experiment: loss, and soft Jaccard where there is one."
    )
    svg = _svg(plots.training_curves(histories))
    section["figures"].append({"svg": svg, "caption": caption})
    return section


def _provenance(results: dict[str, dict]) -> dict:
    records = []
    for name, result in results.items():
        seconds = [sum(fold.values()) for fold in result["seconds"]]
        facts = {
            "Report": result["states"],
            "It leaves open": "; ".join(result["leaves_open"]),
            "Taken instead": "; ".join(result["assumptions"]),
            "Deviations": "; ".join(result["deviations"]),
            "Data": f"{result['data']['identity']}, fingerprint "
            f"{result['spec']['data']}, {len(result['data']['cases'])} cases",
            "Weights at the start": f"{result['init']} (this row asks for "
            f"{result['wanted_init']})",
            "Left out": "; ".join((result.get("left_out") or {}).get("named", [])),
            "Seed": str(result["spec"]["seed"]),
            "Precision": result["spec"]["precision"],
            "Commit": ", ".join(_distinct(result["commits"])),
            "Device": ", ".join(_distinct(result["devices"])),
            "Seconds": ", ".join(f"{value:.0f}" for value in seconds),
            "Peak memory, GB": ", ".join(_distinct(result["peak_memory_gb"])),
            "Versions": "; ".join(
                _distinct(
                    ", ".join(f"{key} {value}" for key, value in versions.items())
                    for versions in result["versions"]
                )
            ),
            "Settings": json.dumps(result["spec"], sort_keys=True),
        }
        records.append({"title": name, "facts": {k: v for k, v in facts.items() if v}})
    return {
        "id": "provenance",
        "title": "Where each number comes from",
        "records": records,
    }


def _distinct(values) -> list[str]:
    return list(dict.fromkeys(str(value) for value in values if value is not None))


def _viewer(folders, results, profile: str, cases: int, say) -> dict | None:
    """The slice viewer's cases; None where no segmentation was run."""
    names = [name for name, result in results.items() if "counts" in result]
    if not names or not cases:
        return None
    try:
        runs = reproduce.prepare(names, profile, folders, say)
    except ValueError as error:
        return {"cases": [], "text": f"No slices to show: {error}"}
    # Patients of other data may have the same names. The best row chooses the cases.
    runs = sorted(
        (run for run in runs if run.fingerprint == results[run.experiment.id]["data"]),
        key=lambda run: -(_dice(results[run.experiment.id]) or 0.0),
    )
    if not runs:
        return {"cases": [], "text": "No slices to show: the data are others by now."}
    try:
        network = classify.load(weights_dir=folders.weights)
        heat = f"Heatmap: Grad-CAM of any hemorrhage by {classify.SLICES}."
    except classify.NotClassified as error:
        network, heat = None, f"No heatmap: {error}"
    chosen = [results[run.experiment.id] for run in runs]
    made = viewer.cases(runs, chosen, cases, network, say)
    text = (
        f"{len(made)} held-out cases of {chosen[0]['data']['identity']}: from the "
        f"highest to the lowest Dice of {chosen[0]['title']}, evenly spread, and one "
        f"without hemorrhage where there is one. {heat}"
    )
    return {"cases": made, "text": text}


def _dice(result: dict) -> float | None:
    return result["summary"]["per_volume"]["bleeding_dice"]["mean"]


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


def _svg(figure):
    import markupsafe

    return markupsafe.Markup(plots.svg(figure))
