"""Pages of the documentation that are made from result files."""

import os
import pathlib

from ich_tf import files
from ich_tf.experiments import compare, tables
from ich_tf.report import figures, localization

SLICES, SCANS = "table1/resnext101", "table1/resnext101-lstm"
REAL_SLICES, REAL_SCANS = "ct-ich-slices/resnext", "ct-ich-slices/resnext-lstm"
SEEDS = (0, 1, 2)


def classification(results: str | os.PathLike, profile: str = "demo") -> str:
    """What the classifier reaches where its numbers can be had without RSNA 2019.

    Args:
        results: Folder of results: Table I for `SEEDS`, and the slices of ct-ich.
        profile: Name of the profile.

    Returns:
        Markdown.

    Raises:
        ValueError: if a result is missing; the message says how to make it.
    """
    results = pathlib.Path(results)
    (real,) = compare.results_of(REAL_SCANS, results, profile, (0,))
    return "\n".join(
        [
            "# Classification: what was measured",
            "",
            "Made by `python -m ich_tf tables --docs` from result files. Intervals are "
            "95 % percentile intervals over 2,000 draws of patients.",
            "",
            "## Does the sequence model help? The phantom",
            "",
            "Three seeds of weights and order of training, the same held-out heads. A "
            "network's number is the mean over the seeds; the difference is taken on "
            "the same draws of patients. The phantom is no reproduction: real blood "
            "runs on from slice to slice in other ways.",
            "",
            compare.render(SLICES, SCANS, results, profile, SEEDS),
            "## Where the slice network looks: Figures 3-7 on the phantom",
            "",
            "Share of Grad-CAM's energy inside the lesion, how often its maximum lies "
            "there (pointing game), and what a heatmap would have that knows nothing "
            "but where the head is (chance).",
            "",
            _localization(results, profile),
            "",
            "## Real slices: ct-ich 1.0",
            "",
            "8-bit slices in one brain window, a small network from random weights, "
            "five folds by patient, every patient held out once, predictions pooled. "
            "A small data set, and another one than Table I's: few patients have each "
            "subtype, so the intervals are wide and rough.",
            "",
            f"{len(real['data']['cases'])} patients, {real['data']['slices']} slices"
            f" of {real['data']['identity']} (doi:10.13026/w8q8-ky94, CC BY 4.0).",
            "",
            tables.render(["ct-ich-slices"], results, profile),
            compare.render(REAL_SLICES, REAL_SCANS, results, profile),
        ]
    )


def draw_figures(results: str | os.PathLike, out: str | os.PathLike) -> None:
    """Figures 3-7 of the demo's phantom, one below the other in one picture.

    Raises:
        ValueError: if they were not drawn yet; the message says how to make them.
    """
    folder, found = _measured(pathlib.Path(results), "demo")
    names = [measured["figure"] for measured in found["subtypes"].values()]
    figures.stack([folder / name for name in names if name], out)


def _measured(results: pathlib.Path, profile: str) -> tuple[pathlib.Path, dict]:
    run = tables.result_file(results, profile, SLICES).with_suffix("")
    folder = run / localization.FOLDER
    if not (folder / localization.MEASURED).is_file():
        raise ValueError(f"There are no {folder}. Run `ich-tf reproduce table1`.")
    return folder, files.read_json(folder / localization.MEASURED)


def _localization(results: pathlib.Path, profile: str) -> str:
    _, found = _measured(results, profile)
    lines = [
        "| subtype | slices | called | energy inside | pointing game | chance |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for subtype, measured in found["subtypes"].items():
        cells = [subtype, str(measured["slices"]), str(measured["detected"])]
        for name in ("energy_share", "pointing_game", "chance_head"):
            cells.append(tables.with_interval(measured[name]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
