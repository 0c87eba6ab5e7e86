"""What `protocols` writes: the conventions as JSON and as a figure."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

from ich_tf import files, owned_folder
from ich_tf.evidence import protocol_sweep
from ich_tf.evidence.conventions import Convention
from ich_tf.experiments import runner
from ich_tf.report import sweep_figure

WRITER = "protocols"
NUMBERS = "protocols.json"
FIGURE = "protocols.png"


def write(
    run: runner.Run,
    say: Callable[[str], None],
    out: str | os.PathLike | None = None,
) -> tuple[list[Convention], pathlib.Path]:
    """Sweep a finished run; write `protocols.json` and `protocols.png`.

    Args:
        run: The run, finished.
        say: Takes a line of progress.
        out: Folder for both files; None takes the run's own.

    Returns:
        The conventions and the figure's path.

    Raises:
        ValueError: if a file of probabilities is missing, or `out` holds files of
            these names that `protocols` did not write.
    """
    if out is None:
        files.check_folder(run.folder)
        return _write(run, run.folder, say), run.folder / FIGURE
    owned_folder.check(out, WRITER, (NUMBERS, FIGURE))
    with owned_folder.replacing(out, WRITER) as folder:
        conventions = _write(run, folder, say)
    return conventions, pathlib.Path(out) / FIGURE


def _write(
    run: runner.Run, folder: pathlib.Path, say: Callable[[str], None]
) -> list[Convention]:
    conventions = protocol_sweep.sweep(run, say)
    rows = [dataclasses.asdict(convention) for convention in conventions]
    files.write_json(folder / NUMBERS, rows)
    identity = run.fingerprint["identity"]
    reported = conventions[0].distance is not None and run.experiment.reported
    line = next(iter(reported.values()))["dice"] if reported else None
    title = f"{run.experiment.title}: {identity}"
    sweep_figure.draw(conventions, folder / FIGURE, title, line)
    return conventions
