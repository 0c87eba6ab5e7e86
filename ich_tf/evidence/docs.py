"""Pages of the documentation that are made from result files."""

import dataclasses
import os
import pathlib

import numpy as np

from ich_tf import files
from ich_tf.evidence import (
    audit,
    compare,
    localization,
    real_heads,
    render,
    tables,
)
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG, Catalog
from ich_tf.experiments.results import Result
from ich_tf.experiments.rows import audit as audit_rows
from ich_tf.experiments.rows import painted
from ich_tf.experiments.rows import shipped as shipped_rows
from ich_tf.metrics import display, evaluation
from ich_tf.prediction import figures

SLICES, SCANS = "table1/resnext101", "table1/resnext101-lstm"
PRETRAINED = "ct-ich-slices/resnext-painted"
SHIPPED = "shipped/unetplusplus-painted"
INGREDIENTS, NETWORK = "## One ingredient less", "## The network behind `predict`"


@dataclasses.dataclass(frozen=True)
class ClassifierPage:
    """The rows of docs/classification.md.

    Attributes:
        seeds: Seeds of the rows of Table I.
        real_slices: Row of the slice network on real slices.
        real_scans: Row of the sequence model on them.
        rows: Where rows are looked up.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    real_slices: str = "ct-ich-slices/resnext"
    real_scans: str = "ct-ich-slices/resnext-lstm"
    rows: Catalog = CATALOG


CLASSIFIERS = ClassifierPage()


def classification(
    results: str | os.PathLike,
    profile: str = "demo",
    sources: ClassifierPage = CLASSIFIERS,
) -> str:
    """What the classifier reaches where its numbers can be had without RSNA 2019.

    Args:
        results: Folder of results.
        profile: Name of the profile.
        sources: The rows.

    Returns:
        Markdown.

    Raises:
        ValueError: if a result is missing; the message says how to make it.
    """
    results, rows = pathlib.Path(results), sources.rows
    (real,) = compare.results_of(sources.real_scans, results, profile, (0,), rows)
    return "\n".join(
        [
            "# Classification: what was measured",
            "",
            "Made by `ich-tf tables --docs` from result files. Intervals are "
            "95 %, expanded percentiles of 2,000 resamples of patients, next to "
            "DeLong's.",
            "",
            "## Does the sequence model help? The phantom",
            "",
            "Three seeds of weights and order of training, the same held-out heads. A "
            "network's number is the mean over the seeds; the difference is a paired "
            "bootstrap over patients. The phantom is no reproduction: real blood "
            "continues from slice to slice in other ways.",
            "",
            compare.render(SLICES, SCANS, results, profile, sources.seeds, rows),
            "## Where the slice network looks: Figures 3-7 on the phantom",
            "",
            "Share of Grad-CAM's energy inside the lesion, how often its maximum lies "
            "there (pointing game), and the values of a heatmap that knows nothing "
            "except where the head is (chance).",
            "",
            _localization(results, profile),
            "",
            "## Real slices: ct-ich 1.0",
            "",
            "8-bit slices in one brain window, a small network from random weights, "
            "five folds by patient, every patient held out once; an AUC counts the "
            "pairs within a fold. A small data set, and another one than Table I's: "
            "few patients have each subtype, so the intervals are wide and rough.",
            "",
            f"{len(real.data['cases'])} patients, {real.data['slices']} slices"
            f" of {real.identity} (doi:10.13026/w8q8-ky94, CC BY 4.0).",
            "",
            render.render([tables.table("ct-ich-slices")], results, profile),
            compare.render(
                sources.real_slices, sources.real_scans, results, profile, rows=rows
            ),
        ]
    )


def synthetic(results: str | os.PathLike, profile: str = "demo") -> str:
    """How far synthetic hemorrhage carries, on data that was not synthetic.

    Args:
        results: Folder of results: the rows of `painted`, the network that is shipped
            (profile "shipped"), and `detection/<weights>/detection.json`.
        profile: Name of the profile of the rows.

    Returns:
        Markdown.

    Raises:
        ValueError: if no row was run, or the shipped network's result is missing; the
            message says how to make it.
    """
    results = pathlib.Path(results)
    shipped = stored.load_result(results, "shipped", CATALOG.row(SHIPPED))
    if shipped is None:
        raise ValueError(
            f"{SHIPPED} was not run. Run `ich-tf reproduce {SHIPPED} --profile shipped "
            "--ct-ich DIR`."
        )
    labelled = shipped.slices["labelled"]
    bleeding = sum(any(one["truth"]) for one in labelled.values())
    lines = [
        "# How far synthetic hemorrhage carries",
        "",
        "Made by `ich-tf tables --docs` from result files. No network here "
        "has seen a real mask, or a real slice with hemorrhage: it is painted onto "
        "slices of patients without (`ich_tf/synthetic/painting.py`), and phantom "
        "heads are mixed in.",
        "",
        f"Judged on {shipped.labelled['data']} (doi:10.13026/w8q8-ky94, CC BY 4.0) "
        f"by the labels of its slices: all {bleeding} patients with hemorrhage, and "
        f"{len(labelled) - bleeding} of those without, which were not painted on for "
        "training. The paint was improved after a look at what earlier weights missed "
        "in these patients, so other patients may fare worse. The score of a slice is "
        "the largest connected area that the network finds in it, that of a patient "
        "its largest slice. Dice is of painted slices of held-out patients and, by "
        "volume, of held-out phantom heads; false mm2 is the mean area found in "
        "painted slices without blood, which have look-alikes alone. Intervals are "
        "95 %, patients resampled or DeLong's.",
        "",
        INGREDIENTS,
        "",
        "Small networks, trained briefly and alike; they tell what each ingredient is "
        "worth, not what can be had.",
        "",
        _painted_table([row.id for row in painted.ROWS], results, profile),
        "",
        NETWORK,
        "",
        _painted_table([SHIPPED], results, "shipped"),
        "",
        render.markdown(
            ["painted slices with", "Dice"],
            [
                [kind, display.with_interval(score)]
                for kind, score in shipped.painted.items()
            ],
        ),
    ]
    lines += ["", *_before_and_after(results), *_pretrained(results, profile)]
    return "\n".join(lines) + "\n"


def audited(
    results: str | os.PathLike, profile: str = "demo", rows: Catalog = CATALOG
) -> str:
    """The report checked against itself, with the rows that were trained for it.

    Args:
        results: Folder of results: the rows of `audit`, and those they vary.
        profile: Name of the profile.
        rows: Where rows are looked up.

    Returns:
        Markdown.

    Raises:
        ValueError: if a row was not run; the message says how to make it.
    """
    results = pathlib.Path(results)
    names = (
        audit_rows.EVERY_CROP,
        audit_rows.LESION_CROPS,
        audit_rows.APPROACH2,
        *audit_rows.VARIANTS.values(),
        audit_rows.CONTRIB,
    )
    made = {
        name: stored.load_current(results, profile, rows.row(name)) for name in names
    }
    missing = [name for name, result in made.items() if result is None]
    if missing:
        raise ValueError(
            f"{missing[0]} was not run with its present settings. Run `ich-tf "
            f"reproduce {' '.join(missing)}`."
        )
    lines = [
        "# The report checked against itself",
        "",
        "Made by `ich-tf tables --docs`. Sums, bounds and whole numbers are "
        "computed from what the report prints and from the published facts of its data "
        "sets (`ich_tf/evidence/reference.yaml`); no data are needed, and `ich-tf "
        "audit` prints them at once. The last findings are of rows that "
        "were trained to try the report's explanations; on the phantom they decide "
        "nothing about the report.",
        "",
        audit.render(audit.audit(results, profile, rows=rows)),
        render.markdown(
            ["row", "data", "epochs", "initial weights", "commit"],
            [_training(name, result) for name, result in made.items()],
        ),
    ]
    return "\n".join(lines) + "\n"


def _training(name: str, result: Result) -> list[str]:
    """What a row was trained with, as a line of a table."""
    scale = result.spec["profile"]
    steps = scale["steps_per_epoch"]
    length = f"{steps} batches of {scale['batch']} crops" if steps else "all crops"
    commits = ", ".join(filter(None, result.commits))
    epochs = f"{scale['epochs']} of {length}"
    return [name, result.identity, epochs, result.init, commits]


def ingredients(results: str | os.PathLike, recorded: pathlib.Path) -> str:
    """What each ingredient of the paint is worth, as Markdown.

    Args:
        results: Folder of results: the rows of `painted` at demo scale.
        recorded: The page that `synthetic` made, shown where no row was run.
    """
    results, names = pathlib.Path(results), [row.id for row in painted.ROWS]
    if any(stored.load_result(results, "demo", CATALOG.row(name)) for name in names):
        return _painted_table(names, results, "demo")
    text = recorded.read_text(encoding="utf-8")
    section = text.partition(INGREDIENTS)[2].partition(NETWORK)[0].strip()
    command = "`ich-tf reproduce painted --ct-ich DIR`"
    said = f"No row was run here: these are recorded. {command} makes them."
    return f"{section}\n\n{said}"


def detected(
    results: str | os.PathLike,
) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """What `detection` found, as `plots.roc_curves` takes it.

    Args:
        results: Folder of results, with `detection/<weights>/detection.json`.

    Returns:
        "slice" and "patient" to the weights' name to truth (n,) and largest area (n,),
        of the patients that none of the weights has seen. Empty if nothing was run.
    """
    curves = {}
    for name, cases in _detections(results).items():
        truth = [np.array(one["truth"], bool) for one in cases.values()]
        areas = [np.array(one["largest"]) for one in cases.values()]
        units = {
            "slice": (np.concatenate(truth), np.concatenate(areas)),
            "patient": (
                np.array([flags.any() for flags in truth]),
                np.array([found.max() for found in areas]),
            ),
        }
        for unit, answer in units.items():
            curves.setdefault(unit, {})[name] = answer
    return curves


def _detections(results: str | os.PathLike) -> dict[str, dict]:
    """Cases of each `detection.json`: those that are in all of them."""
    found = {
        path.parent.name: files.read_json(path)["cases"]
        for path in sorted(
            (pathlib.Path(results) / "detection").glob("*/detection.json")
        )
    }
    common = sorted(set.intersection(*map(set, found.values()))) if found else []
    return {
        name: {case: cases[case] for case in common} for name, cases in found.items()
    }


def _painted_table(names, results: pathlib.Path, profile: str) -> str:
    header = ["trained on", "AUC, slices", "AUC, patients", "Dice, painted"]
    header += ["painted, false mm2 a slice", "Dice, phantom", "phantom, false ml"]
    rows = []
    for name in names:
        result = stored.load_result(results, profile, CATALOG.row(name))
        if result is None:
            rows.append([name, "not run", *[""] * 5])
            continue
        volume = result.summary["per_volume"]
        scores = (
            result.labelled["slice"],
            result.labelled["patient"],
            result.painted["all"],
            result.false_mm2,
            volume["bleeding_dice"],
            volume["false_positive_ml"],
        )
        rows.append([result.title, *map(display.with_interval, scores)])
    return render.markdown(header, rows)


def _before_and_after(results: pathlib.Path) -> list[str]:
    """What `detection` found with each of the shipped weights."""
    found = _detections(results)
    if not found:
        return []
    count = len(next(iter(found.values())))
    scores = {name: evaluation.detection(cases) for name, cases in found.items()}
    rows = [
        [name, *(display.with_interval(score[unit]) for unit in ("slice", "patient"))]
        for name, score in scores.items()
    ]
    return [
        "## Weights trained on the phantom alone, and these",
        "",
        "`ich-tf detection --ct-ich DIR --weights NAME --out "
        f"results/detection/NAME`; the {count} patients that none has seen, at "
        "their own pixels. They differ in more than the paint: "
        f"{_recipe(shipped_rows.SEGMENTATION)} for the phantom's, "
        f"{_recipe(painted.SHIPPED)} for the others, which begin with the "
        "phantom's as they were then (`begins_with` in the manifest). The rows above "
        "differ in nothing else than what they name.",
        "",
        render.markdown(["weights", "AUC, slices", "AUC, patients"], rows),
    ]


def _recipe(scale) -> str:
    return (
        f"augmentation '{scale.augmentation}', tiles of {scale.tile} and "
        f"{scale.epochs} epochs of {scale.steps_per_epoch} steps"
    )


def _pretrained(results: pathlib.Path, profile: str) -> list[str]:
    """Whether painted slices help a classifier of real ones; empty if not run."""
    if not stored.load_result(results, profile, CATALOG.row(PRETRAINED)):
        return []
    return [
        "",
        "## A classifier that first learns from painted slices",
        "",
        "It is then trained on the real labels, as the other row is from the start; "
        "five folds by patient, painted are only patients of a fold's own training.",
        "",
        compare.render(CLASSIFIERS.real_slices, PRETRAINED, results, profile),
    ]


def write(results: str | os.PathLike, docs: pathlib.Path, say) -> None:
    """Write every page whose results are there; say what the others lack.

    Args:
        results: Folder of results.
        docs: Folder of the documentation.
        say: Takes a line.
    """
    made = (
        ("classification", classification, draw_figures),
        ("synthetic", synthetic, None),
        ("real-heads", lambda _: real_heads.page(), None),
        ("audit", audited, None),
    )
    for name, make, draw in made:
        try:
            page = make(results)
        except ValueError as error:
            say(f"docs/{name}.md stays as it is: {error}")
            continue
        files.write_bytes(docs / f"{name}.md", page.encode())
        if draw is not None:
            draw(results, docs / "figures-3-7.png")


def draw_figures(results: str | os.PathLike, out: str | os.PathLike) -> None:
    """Figures 3-7 of the demo's phantom, one below the other in one picture.

    Raises:
        ValueError: if they were not drawn yet; the message says how to make them.
    """
    folder, found = _measured(pathlib.Path(results), "demo")
    names = [measured["figure"] for measured in found["subtypes"].values()]
    figures.stack([folder / name for name in names if name], out)


def _measured(results: pathlib.Path, profile: str) -> tuple[pathlib.Path, dict]:
    run = stored.result_file(results, profile, SLICES).with_suffix("")
    folder = run / localization.FOLDER
    if not (folder / localization.MEASURED).is_file():
        raise ValueError(f"There are no {folder}. Run `ich-tf reproduce table1`.")
    return folder, files.read_json(folder / localization.MEASURED)


def _localization(results: pathlib.Path, profile: str) -> str:
    _, found = _measured(results, profile)
    header = ["subtype", "slices", "predicted positive", "energy inside"]
    header += ["pointing game", "chance"]
    rows = []
    for subtype, measured in found["subtypes"].items():
        cells = [subtype, str(measured["slices"]), str(measured["detected"])]
        for name in ("energy_share", "pointing_game", "chance_head"):
            cells.append(display.with_interval(measured[name]))
        rows.append(cells)
    return render.markdown(header, rows)
