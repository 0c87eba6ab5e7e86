"""What the notebooks share: which results they read, and how these are shown."""

import dataclasses
import os
import typing

from ich_tf import files, paths
from ich_tf.evidence import readme, tables
from ich_tf.experiments import reproduce, runner
from ich_tf.report import page, plots

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

    def results(self, *names: str) -> dict[str, dict]:
        """Id to result of each row of these tables that was run."""
        rows = {row.id for name in names for row in tables.own(name)}
        found = page.results_of(self.folders.results, self.profile)
        return {name: result for name, result in found.items() if name in rows}

    def table(self, name: str) -> "display.Markdown":
        """A table of the report beside ours.

        Where no row of it was run, the demo's recorded numbers are shown, or the
        command that makes them.
        """
        from IPython import display

        if self.results(name):
            return display.Markdown(_compact(name, self))
        made_with = name.removesuffix("-losses")
        command = f"`ich-tf reproduce {made_with} --profile {self.profile}`"
        recorded = files.read_json(readme.RECORDED).get(name)
        if recorded is None:
            return display.Markdown(
                f"**{tables.TABLES[name][0]}**\n\nNo row of it was run here, and none "
                f"is recorded. {command} makes it."
            )
        return display.Markdown(
            f"{readme.render({name: recorded})}\n\nNo row was run here: these are the "
            f"recorded numbers of the demo. {command} makes your own."
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
        return reproduce.find_run(
            experiment_id, self.profile, self.folders, lambda line: None
        )


def _compact(table: str, session: Session) -> str:
    """A table with one column of verdicts, and its notes folded."""
    results, profile = session.folders.results, session.profile
    cells = tables.cells(table, results, profile)
    header, body = tables.grid(cells)
    pairs = [number for number in range(1, len(header)) if number % 3]
    rows = [[header[0], *(header[k] for k in pairs), "verdict"]]
    rows.append(["---"] * len(rows[0]))
    for row in body:
        verdicts = "; ".join(dict.fromkeys(row[3::3]))
        rows.append([row[0], *(row[k] for k in pairs), verdicts])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    notes = [f"- {note}" for note in tables.notes_of(table, cells, results, profile)]
    caption = f"**{tables.TABLES[table][0]} (profile {profile})**"
    folded = "<details><summary>Notes and deviations</summary>"
    return "\n".join([caption, "", *lines, "", folded, "", *notes, "", "</details>"])


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
    ran = len(page.results_of(folders.results, profile))
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
