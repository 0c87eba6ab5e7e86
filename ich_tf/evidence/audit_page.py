"""docs/audit.md: the report checked against itself."""

import os
import pathlib

from ich_tf.evidence import audit, render
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG, Catalog
from ich_tf.experiments.results import Result
from ich_tf.experiments.rows import audit as audit_rows


def page(
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
            f"{missing[0]} was not run with its present settings. Run "
            f"{stored.command(' '.join(missing), profile)}."
        )
    lines = [
        "# The report checked against itself",
        "",
        "Made by `ich-tf tables --docs`. Sums, bounds and whole numbers are "
        "computed from what the report prints and from the published facts of its data "
        "sets (`ich_tf/evidence/reference.yaml`); no data are needed, and `ich-tf "
        "audit` prints them at once. The last findings come from "
        "rows trained to test the report's explanations; on the phantom they decide "
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
