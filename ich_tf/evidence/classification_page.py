"""docs/classification.md: what the classifier reaches without RSNA 2019."""

import dataclasses
import os
import pathlib

from ich_tf.evidence import compare, localization, render, tables
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG, Catalog
from ich_tf.metrics import display
from ich_tf.prediction import figures

SLICES, SCANS = "table1/resnext101", "table1/resnext101-lstm"


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


def page(
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
            "Made by `ich-tf tables --docs` from result files. Brackets hold 95 % "
            "intervals from 2,000 resamples of patients. They are percentiles, taken "
            "slightly further out, because plain ones are too narrow for few patients. "
            "The column DeLong has the interval of the same difference by DeLong's "
            "formula, without resampling.",
            "",
            "## Does the sequence model help? The phantom",
            "",
            "Three seeds of weights and order of training, the same held-out heads. A "
            "network's number is the mean over the seeds; the difference is a paired "
            "bootstrap over patients. The phantom is not a reproduction: real "
            "blood continues from slice to slice differently.",
            "",
            compare.render(SLICES, SCANS, results, profile, sources.seeds, rows),
            "## Is Table I's slice network's Grad-CAM on the blood? The phantom",
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
            "pairs within a fold. The data set is small and not Table I's: few "
            "patients have each subtype, so the intervals are wide and rough.",
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


def draw_figures(results: str | os.PathLike, out: str | os.PathLike) -> None:
    """Figures 3-7 by the network of `predict`, one below the other in one picture.

    Raises:
        ValueError: if they were not drawn yet; the message says how to make them.
    """
    folder, content = _measured(
        pathlib.Path(results), "demo", localization.OF_PREDICT, "`ich-tf figures`"
    )
    names = [measured["figure"] for measured in content["subtypes"].values()]
    figures.stack([folder / name for name in names if name], out)


def _measured(
    results: pathlib.Path, profile: str, name: str, again: str
) -> tuple[pathlib.Path, localization.Measured]:
    """A folder of figures of the row, and its content; `again` is what makes it."""
    folder = stored.result_file(results, profile, SLICES).with_suffix("") / name
    if not (folder / localization.MEASURED).is_file():
        raise ValueError(f"There is no {folder}. Run {again}.")
    return folder, localization.read(folder)


def _localization(results: pathlib.Path, profile: str) -> str:
    again = stored.command("table1", profile)
    _, content = _measured(results, profile, localization.FOLDER, again)
    header = ["subtype", "slices", "predicted positive", "energy inside"]
    header += ["pointing game", "chance"]
    rows = []
    for subtype, measured in content["subtypes"].items():
        cells = [subtype, str(measured["slices"]), str(measured["detected"])]
        for name in ("energy_share", "pointing_game", "chance_head"):
            cells.append(display.with_interval(measured[name]))
        rows.append(cells)
    return render.markdown(header, rows)
