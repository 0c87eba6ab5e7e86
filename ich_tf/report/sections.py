"""The sections of the report page, as its template takes them."""

import base64
import json
import pathlib
import re
from collections.abc import Callable, Collection

from ich_tf.evidence import (
    audit,
    held_out_figures,
    render,
    study,
    table_cells,
    tables,
    verdicts,
)
from ich_tf.evidence.table_cells import Cell
from ich_tf.evidence.tables import Table
from ich_tf.experiments import lookup, runner
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import Catalog
from ich_tf.experiments.mask_results import MaskResult, PaintedResult
from ich_tf.experiments.results import Result
from ich_tf.experiments.rows.table1 import FIGURES_ROW
from ich_tf.experiments.slice_results import SliceResult
from ich_tf.prediction import classify
from ich_tf.report import forest, plots, viewer


def of_tables(
    shown: list[tuple[Table, list[Cell]]],
    results: pathlib.Path,
    profile: str,
    faulty: Collection[str],
) -> dict:
    """The tables with their verdicts."""
    made = []
    for table, cells in shown:
        header, lines = render.text_grid(table, cells)
        figure = forest.plot(cells)
        made.append(
            {
                "caption": table.caption,
                # The verdict is beside the row's name, seen before the page scrolls.
                "header": [
                    name.replace("95 % CI", "95\u00a0%\u00a0CI")
                    for name in (header[0], header[-1], *header[1:-1])
                ],
                "rows": [
                    [_text(title), _verdict(verdict), *map(_number, numbers)]
                    for title, *numbers, verdict in lines
                ],
                "svg": None if figure is None else _svg(figure),
                "notes": table_cells.notes_of(table, cells, results, profile, faulty),
            }
        )
    rule = f"{verdicts.RULE}. Only a run on the report's own data is compared."
    rule = rule[0].upper() + rule[1:]
    return {"id": "tables", "title": "Tables", "text": rule, "tables": made}


def _verdict(text: str) -> dict:
    """The verdict on a row, coloured where it is one for all scores, else in lines."""
    return _text(text.replace("; ", "\n"), text if ";" not in text else "")


def _number(text: str) -> dict:
    """A number and its count, below them its interval, below that what follows."""
    lines = re.sub(r" (\[[^]]*\]) (\([^)]*\))", r" \2\n\1", text)
    return _text(lines.replace("; ", "\n").replace(": ", ":\n"))


def _text(text: str, verdict: str = "") -> dict:
    """A cell of a table, styled by a verdict."""
    kind = f"verdict {verdict.replace(' ', '-')}" if verdict else ""
    return {"text": text, "kind": kind}


def audited(folders: runner.Folders, profile: str, faulty: Collection[str]) -> dict:
    """The findings of `audit`."""
    findings = audit.audit(folders.results, profile, folders.ct_ich, faulty)
    rows = [
        [
            *map(_text, (finding.name, finding.claim, finding.evidence)),
            _text(finding.verdict, finding.verdict),
        ]
        for finding in findings
    ]
    return {
        "id": "audit",
        "title": "The report checked against itself",
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


def studied(answers: list[study.Answer]) -> dict:
    """The study's answers to the report's questions."""
    return {
        "id": "study",
        "title": "The report's questions on the phantom",
        "text": "From the profile study: each row trained until it no longer improves. "
        "Differences are paired over heads and seeds; nothing here is a statement "
        "about real scans.",
        "tables": [
            {
                "caption": "Answers of the study",
                "header": ["question", "answer", "seeds", "verdict"],
                "rows": [
                    [
                        *map(_text, (of["question"], of["words"], str(of["seeds"]))),
                        _text(of["verdict"], of["verdict"]),
                    ]
                    for of in answers
                ],
                "prose": True,
            }
        ],
    }


def conventions(results: dict[str, Result], folder: pathlib.Path, profile: str) -> dict:
    """The figure of `protocols`, of each row that was swept."""
    section = {"id": "conventions", "title": "One prediction, many averages"}
    section["figures"] = [
        {
            "picture": _address(path),
            "caption": f"Dice of {name} under each convention that the report leaves "
            "open: what is averaged, and how an empty mask counts.",
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


def scores(results: dict[str, Result]) -> dict:
    """The figure of Dice of each held-out head."""
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


def classified(results: dict[str, Result]) -> dict:
    """The ROC curves of Table I."""
    of_table1 = {row.id for row in tables.table("table1").rows}
    networks = {
        name: result
        for name, result in results.items()
        if isinstance(result, SliceResult) and name in of_table1
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


def localized(results: pathlib.Path, profile: str) -> dict:
    """Figures 3-7."""
    text, shown = held_out_figures.figures_and_captions(
        _run_folder(results, profile, FIGURES_ROW)
    )
    return {
        "id": "heat",
        "title": "Figures 3-7: where a network sees each subtype",
        "text": text
        or f"Figures 3-7 were not drawn: `ich-tf figures --profile {profile}`.",
        "figures": [
            {"picture": _address(picture), "caption": caption}
            for picture, caption in shown.items()
        ],
    }


def trained(results: dict[str, Result]) -> dict:
    """The curves of training."""
    section = {"id": "training", "title": "Training", "figures": []}
    histories = plots.histories(results)
    if not histories:
        section["text"] = "No network was trained for two epochs or more."
        return section
    caption = (
        "First fold of each experiment: loss, and soft Jaccard where there is one."
    )
    svg = _svg(plots.training_curves(histories))
    section["figures"].append({"svg": svg, "caption": caption})
    return section


def provenance(results: dict[str, Result]) -> dict:
    """What each number was made with."""
    records = []
    for name, result in results.items():
        seconds = [sum(fold.values()) for fold in result.seconds]
        facts = {
            "Report": result.states,
            "It leaves open": "; ".join(result.leaves_open),
            "Taken instead": "; ".join(result.assumptions),
            "Deviations": "; ".join(result.deviations),
            "Data": f"{result.identity}, fingerprint "
            f"{result.spec['data']}, {len(result.data['cases'])} cases",
            "Initial weights": f"{result.init} (this row asks for "
            f"{result.wanted_init})",
            "Left out": "; ".join(result.unread["named"]) if result.unread else "",
            "Seed": str(result.spec["seed"]),
            "Precision": result.spec["precision"],
            "Commit": ", ".join(_distinct(result.commits)),
            "Device": ", ".join(_distinct(result.devices)),
            "Seconds": ", ".join(f"{value:.0f}" for value in seconds),
            "Peak memory, GB": ", ".join(_distinct(result.peak_memory_gb)),
            "Versions": "; ".join(
                _distinct(
                    ", ".join(f"{key} {value}" for key, value in versions.items())
                    for versions in result.versions
                )
            ),
            "Settings": json.dumps(result.spec, sort_keys=True),
        }
        records.append({"title": name, "facts": {k: v for k, v in facts.items() if v}})
    return {
        "id": "provenance",
        "title": "Where each number comes from",
        "records": records,
    }


def _distinct(values) -> list[str]:
    return list(dict.fromkeys(str(value) for value in values if value is not None))


def slice_viewer(
    folders: runner.Folders,
    results: dict[str, Result],
    rows: Catalog,
    profile: str,
    cases: int,
    say: Callable[[str], None],
) -> dict | None:
    """The slice viewer's cases; None where no segmentation was run."""
    masks = {
        name: result
        for name, result in results.items()
        # A painted row has no masks of its data set's own heads.
        if isinstance(result, MaskResult) and not isinstance(result, PaintedResult)
    }
    if not masks or not cases:
        return None
    try:
        runs = lookup.find_runs(masks, profile, folders, say, rows=rows)
    except ValueError as error:
        return {"cases": [], "text": f"No slices to show: {error}"}
    # Patients of other data may have the same names. The best row chooses the cases.
    runs = sorted(
        (run for run in runs if run.fingerprint == masks[run.experiment.id].data),
        key=lambda run: -(_dice(masks[run.experiment.id]) or 0.0),
    )
    if not runs:
        return {
            "cases": [],
            "text": "No slices to show: the data set has changed since this run.",
        }
    try:
        network = classify.load(weights_dir=folders.weights)
        heat = f"Heatmap: Grad-CAM of any hemorrhage by {classify.SLICES}."
    except classify.NotClassified as error:
        network, heat = None, f"No heatmap: {error}"
    chosen = [masks[run.experiment.id] for run in runs]
    made = viewer.cases(runs, chosen, cases, network, say)
    text = (
        f"{len(made)} held-out cases of {chosen[0].identity}: from the "
        f"highest to the lowest Dice of {chosen[0].title}, evenly spread, and one "
        f"without hemorrhage where there is one. {heat}"
    )
    return {"cases": made, "text": text}


def _dice(result: MaskResult) -> float | None:
    return result.score("per_volume", "bleeding_dice")["mean"]


def _svg(figure):
    import markupsafe

    return markupsafe.Markup(plots.svg(figure))
