"""What the notebooks share: which results they read, and how these are shown."""

import dataclasses
import os
import typing

from ich_tf import paths
from ich_tf.evidence import readme, recorded, render, table_cells, tables
from ich_tf.experiments import lookup, runner
from ich_tf.experiments.results import Result
from ich_tf.report import forest, page, plots

if typing.TYPE_CHECKING:
    from IPython import display
    from matplotlib.figure import Figure

PHANTOM = "phantom"
NOT_A_REPRODUCTION = (
    "Numbers of the phantom, a synthetic head CT: they show that everything runs, and "
    "say nothing about the report."
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
        """Id to result of each row of these tables that was run."""
        rows = {row.id for name in names for row in tables.table(name).rows}
        found = page.read_results(self.folders.results, self.profile)[0]
        return {name: result for name, result in found.items() if name in rows}

    def table(self, name: str) -> "display.Markdown":
        """A table of the report next to ours, below its forest plot.

        Where no row of it was run, the demo's recorded numbers are shown, or the
        command that makes them.
        """
        from IPython import display

        table = tables.table(name)
        if self.results(name):
            cells = table_cells.of_table(table, self.folders.results, self.profile)
            figure = forest.plot(cells, table.caption)
            if figure is not None:
                display.display(show(figure))
            return display.Markdown(_compact(table, cells, self))
        names = " ".join(dict.fromkeys(row.id.split("/")[0] for row in table.rows))
        command = f"`ich-tf reproduce {names} --profile {self.profile}`"
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

    def missing(self, *names: str) -> "display.Markdown":
        """That rows or tables were not run, and the command that makes them."""
        from IPython import display

        return display.Markdown(
            f"Not run here: `ich-tf reproduce {' '.join(names)} --profile "
            f"{self.profile}` makes what belongs here."
        )

    def run(self, experiment_id: str) -> runner.Run:
        """The run of a row, with its data.

        Raises:
            ValueError: if the id is unknown or real data are not where they were.
        """
        return lookup.find_run(
            experiment_id, self.profile, self.folders, lambda line: None
        )


def _compact(
    table: tables.Table, cells: list[table_cells.Cell], session: Session
) -> str:
    """A table with one column of verdicts, and its notes folded."""
    results, profile = session.folders.results, session.profile
    header = ["Row"]
    for column in table.columns:
        header += [f"{render.heading(column)}: reported", "ours [95 % CI]"]
    rows = []
    for title, of_row in render.by_row(cells).items():
        numbers = [text for cell in of_row for text in render.numbers(table, cell)]
        verdicts = dict.fromkeys(render.verdict(cell) for cell in of_row)
        rows.append([title, *numbers, "; ".join(verdicts)])
    grid = render.markdown([*header, "verdict"], rows)
    notes = [
        f"- {note}" for note in table_cells.notes_of(table, cells, results, profile)
    ]
    caption = f"**{table.caption} (profile {profile})**"
    folded = "<details><summary>Notes and deviations</summary>"
    return "\n".join([caption, "", grid, "", folded, "", *notes, "", "</details>"])


def start(data: str, name: str = "ct-ich") -> Session:
    """Choose what a notebook shows, and say it with the device.

    Args:
        data: "phantom", or the folder of a real data set.
        name: Which set the folder holds: "ct-ich" or "rsna".

    Raises:
        ValueError: if the folder does not exist.
    """
    from IPython import display

    from ich_tf.experiments import provenance

    real = {"ct-ich": paths.ct_ich, "rsna": paths.rsna}[name]
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
    line = f"On {session.device}. Data: {shown}. Profile {profile}: {ran} rows."
    if session.phantom:
        line += f" {NOT_A_REPRODUCTION}"
    display.display(display.Markdown(line))
    return session


def show(figure: "Figure") -> "display.Image":
    """A figure as a notebook shows it."""
    from IPython import display

    return display.Image(plots.png(figure))
