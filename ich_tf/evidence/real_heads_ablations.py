"""What each ingredient of the network for real heads is worth, as a section."""

import os
import pathlib

from ich_tf.evidence import render
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG, Catalog
from ich_tf.experiments.mask_results import RealHeadsResult
from ich_tf.experiments.rows import real_heads as rows
from ich_tf.metrics import display, painted_slices
from ich_tf.prediction import detection

HEADING = "## One ingredient changed"
PROFILE = "shipped"
COLUMNS = (
    "changed",
    "AUC any, slices",
    "AUC any, patients",
    "AUC subarachnoid, slices",
    "AUC subdural, slices",
    "false mm2 in a clean slice",
    "marked over true volume",
    "Dice, painted",
    "false mm2, painted",
)
_WORDS = (
    "600 steps each, more in the last two rows; identical except for what the row "
    "names. Only the last does not start from `unetplusplus-painted`. They show what "
    "an ingredient is worth, not the best attainable result. Validation and held-out "
    "scans have mimics in all rows. The first six numbers are for the judges and the "
    "8 patients without hemorrhage who were not painted on, at a threshold of 0.5 in "
    "all slices; Dice is by slice, on painted scans of held-out patients, and the "
    "last column is for their slices without blood, which show mimics. "
    "`ich-tf reproduce real-heads --profile shipped --ct-ich DIR` trains them, "
    f"`{rows.SHIPPED_ROW.id}` and `{rows.WIDE_ROW.id}` instead of `real-heads` the "
    "last two."
)

_LONGER = {
    rows.SHIPPED_ROW.id: "the shipped network: five times the steps",
    rows.WIDE_ROW.id: "twice the width: the shipped network, each filter doubled, "
    "trained 900 steps more",
}
"""Rows outside the group of ablations -> what they change."""


def section(
    results: str | os.PathLike, recorded: pathlib.Path, catalog: Catalog = CATALOG
) -> list[str]:
    """The ablations as lines of Markdown.

    Args:
        results: Folder of results.
        recorded: The page that shows what was recorded of rows that were not run here.
        catalog: Where the rows are looked up.

    Returns:
        Lines; none if the rows were neither run nor recorded. Results of other settings
        than the row's count as not run.
    """
    results = pathlib.Path(results)
    titles = {row.id: row.title for row in rows.ROWS}
    titles |= _LONGER
    found = {
        title: _scores(result)
        for id_, title in titles.items()
        if (result := stored.load_current(results, PROFILE, catalog.row(id_)))
    }
    cells = {**_recorded(recorded), **found}
    if not cells:
        return []
    missing = ["not run", *[""] * (len(COLUMNS) - 2)]
    table = [[title, *cells.get(title, missing)] for title in titles.values()]
    return [HEADING, "", _WORDS, "", render.markdown(list(COLUMNS), table), ""]


def _recorded(page: pathlib.Path) -> dict[str, list[str]]:
    """Title of a row -> its other cells on the page; without rows not run."""
    table = render.parsed_rows(render.recorded_section(page, HEADING))[1:]
    return {cells[0]: cells[1:] for cells in table if cells[1] != "not run"}


def _scores(result: RealHeadsResult) -> list[str]:
    """The cells of a row, without its title."""
    labelled, slices = result.slices["labelled"], result.slices["painted"]
    judged = detection.judges(labelled, result.labelled["data"])
    clean = [row for row in slices if not row["truth"]]
    of_painted = [
        display.with_interval(result.painted["all"]),
        display.with_interval(painted_slices.false_mm2(clean)),
    ]
    if judged is None:
        return [*["no judges"] * 6, *of_painted]
    scores = [
        judged["auc"]["any"]["slice"],
        judged["auc"]["any"]["patient"],
        judged["auc"]["subarachnoid"]["slice"],
        judged["auc"]["subdural"]["slice"],
        judged["false_mm2"],
        judged["volume"] and judged["volume"]["share"],
    ]
    cells = [score and display.with_interval(score) for score in scores]
    return [*(cell or "not known" for cell in cells), *of_painted]
