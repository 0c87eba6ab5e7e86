"""What the notebooks share: which results they read, and how these are shown."""

import contextlib
import dataclasses
import io
import os
import pathlib
import typing
from collections.abc import Mapping, Sequence

import numpy as np

from ich_tf import paths
from ich_tf.evidence import readme, recorded, render, table_cells, tables
from ich_tf.experiments import lookup, runner
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG, Catalog
from ich_tf.experiments.results import Result
from ich_tf.prediction import figures
from ich_tf.report import forest, page, plots

if typing.TYPE_CHECKING:
    from IPython import display
    from matplotlib.figure import Figure
    from PIL.Image import Image

PHANTOM = "phantom"
NOT_A_REPRODUCTION = (
    "Numbers of the phantom, a synthetic head CT: they show that everything runs, and "
    "say nothing about the report."
)
READ_WITH = (
    'The report: "Detection, Classification, and Segmentation of Intracranial '
    'Haemorrhages" (January 2021). Terms: [glossary](../docs/glossary.md).'
)


@dataclasses.dataclass(frozen=True)
class Session:
    """What a notebook shows.

    Attributes:
        profile: Whose results: "demo", or "paper" for real data.
        folders: Where data, weights and results are.
        phantom: Whether the data are the phantom.
        device: What computes here.
    """

    profile: str
    folders: runner.Folders
    phantom: bool
    device: str

    def results(self, *names: str) -> dict[str, Result]:
        """Id to result of each row of these tables with a training of its own."""
        rows = {row.id for name in names for row in tables.table(name).rows}
        by_row = page.distinct(page.read_results(self.folders.results, self.profile)[0])
        return {name: result for name, result in by_row.items() if name in rows}

    def table(self, name: str) -> "display.Markdown":
        """A table of the report next to ours, below its forest plot.

        Where no row of it was run, the demo's recorded numbers are shown, or the
        command that makes them.
        """
        from IPython import display

        table = tables.table(name)
        if self.results(name):
            cells = table_cells.of_table(table, self.folders.results, self.profile)
            caption = f"{table.caption} (ours: {self._shown(name)})"
            figure = forest.plot(cells, caption)
            if figure is not None:
                display.display(show(figure, f"Forest plot: {caption}"))
            return display.Markdown(_compact(table, caption, cells, self))
        names = " ".join(dict.fromkeys(row.id.split("/")[0] for row in table.rows))
        command = stored.command(names, self.profile)
        numbers = recorded.read().get(name)
        if numbers is None:
            return display.Markdown(
                f"**{table.caption}**\n\nNo row of it was run here, and no number is "
                f"recorded. {command} makes it."
            )
        return display.Markdown(
            f"{readme.render_recorded({name: numbers})}\n\nNo row was run here: these "
            f"are the recorded numbers of the demo. {command} makes your own."
        )

    def _shown(self, name: str) -> str:
        """The data and the profile of a table's results."""
        data = {result.identity for result in self.results(name).values()}
        return f"{', '.join(sorted(data))}, profile {self.profile}"

    def missing(self, *names: str) -> "display.Markdown":
        """That rows or tables were not run, and the command that makes them."""
        from IPython import display

        return display.Markdown(
            f"Not run here: {stored.command(' '.join(names), self.profile)} makes it."
        )

    def train(
        self, experiment_id: str, folder: str | os.PathLike, **changes
    ) -> tuple[runner.Run, Result]:
        """Train a row on the small phantom of the profile quick.

        Args:
            experiment_id: The row.
            folder: Folder of the results.
            **changes: Settings that differ from the profile quick.
        """
        row = CATALOG.row(experiment_id)
        settings = dataclasses.replace(row.settings["quick"], **changes)
        row = dataclasses.replace(row, settings={"quick": settings})
        folders = dataclasses.replace(
            self.folders, ct_ich=None, results=pathlib.Path(folder)
        )
        (run,) = lookup.find_runs(
            [experiment_id],
            "quick",
            folders,
            lambda line: None,
            rows=Catalog({"": (row,)}),
        )
        # Keras prints the time of each epoch.
        with contextlib.redirect_stdout(io.StringIO()):
            return run, runner.execute(run, say=lambda line: None)

    def run(self, experiment_id: str) -> runner.Run:
        """The run of a row, with its data.

        Raises:
            ValueError: if the id is unknown or real data are not where they were.
        """
        return lookup.find_run(
            experiment_id, self.profile, self.folders, lambda line: None
        )


def _compact(
    table: tables.Table,
    caption: str,
    cells: list[table_cells.Cell],
    session: Session,
) -> str:
    """A table with one column of verdicts, and its notes folded."""
    results, profile = session.folders.results, session.profile
    grid = render.markdown(*render.text_grid(table, cells))
    notes = [
        f"- {note}" for note in table_cells.notes_of(table, cells, results, profile)
    ]
    folded = "<details><summary>Notes and deviations</summary>"
    return "\n".join(
        [f"**{caption}**", "", grid, "", folded, "", *notes, "", "</details>"]
    )


def start(data: str, name: str = "ct-ich") -> Session:
    """Choose what a notebook shows, and say it with the device and what to read.

    Args:
        data: "phantom", or the folder of a real data set. For "phantom" the folder in
            the variable ICH_TF_CT_ICH or ICH_TF_RSNA, if it is set.
        name: Which set the folder holds: "ct-ich" or "rsna".

    Raises:
        ValueError: if the folder does not exist.
    """
    from IPython import display

    from ich_tf.experiments import provenance

    real = {"ct-ich": paths.ct_ich, "rsna": paths.rsna}[name]
    if data == PHANTOM:
        variable = {"ct-ich": "ICH_TF_CT_ICH", "rsna": "ICH_TF_RSNA"}[name]
        data = os.environ.get(variable, PHANTOM)
    given = None if data == PHANTOM else real(data)
    profile = os.environ.get("ICH_TF_PROFILE") or ("paper" if given else "demo")
    folders = runner.Folders(
        ct_ich=given if name == "ct-ich" else None,
        rsna=given if name == "rsna" else None,
        results=paths.results(),
        weights=paths.weights(),
    )
    session = Session(profile, folders, given is None, provenance.device())
    ran = len(page.read_results(folders.results, profile)[0])
    shown = "the phantom" if session.phantom else name
    line = f"On {session.device}. Data: {shown}. Profile: {profile}. "
    line += f"Experiments with results here: {ran}."
    if session.phantom:
        line += f" {NOT_A_REPRODUCTION}"
    display.display(display.Markdown(f"{line}\n\n{READ_WITH}"))
    return session


def show(figure: "Figure", alt: str) -> "display.Image":
    """A figure as a notebook shows it.

    Args:
        figure: The figure.
        alt: What it shows, for those who cannot see it.
    """
    from IPython import display

    return display.Image(plots.png(figure), alt=alt)


def curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> "display.Image":
    """Training curves as a notebook shows them; the alt text names what is drawn.

    Args:
        histories: As `plots.training_curves` takes them.
    """
    drawn = "Training loss"
    if any(plots.SCORE in epochs[0] for epochs in histories.values()):
        drawn += " and validation soft Jaccard"
    alt = f"{drawn} by epoch: {'; '.join(histories)}."
    return show(plots.training_curves(histories), alt)


def sheet(
    pictures: Mapping[str, np.ndarray],
    alt: str,
    columns: int = 6,
    side: int = figures.CELL,
) -> "display.Image":
    """Labelled pictures as a notebook shows them.

    Args:
        pictures: What is written on a picture -> the picture, as
            `figures.contact_sheet` takes them.
        alt: What they show, for those who cannot see them, in a sentence.
        columns: Pictures next to each other.
        side: Side of a cell, in pixels.
    """
    return picture(figures.contact_sheet(pictures, columns, side), alt)


def picture(image: "Image", alt: str) -> "display.Image":
    """A picture as a notebook shows it, as JPEG: slices are large as PNG.

    Args:
        image: The picture.
        alt: What it shows, for those who cannot see it.
    """
    from IPython import display

    data = io.BytesIO()
    image.convert("RGB").save(data, "JPEG", quality=90)
    return display.Image(data.getvalue(), alt=alt)
