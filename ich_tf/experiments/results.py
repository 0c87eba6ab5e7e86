"""Result files: where they lie and whether they still fit their row."""

import pathlib
from collections.abc import Collection

from ich_tf import files
from ich_tf.experiments import profiles, spec
from ich_tf.experiments.spec import Row

OTHER_SETTINGS = "made with other settings than this row has now"


def result_file(
    results: pathlib.Path, profile: str, experiment_id: str, seed: int = 0
) -> pathlib.Path:
    """Where the result of an experiment lies."""
    name = experiment_id + (f"-seed{seed}" if seed else "")
    return results / profile / f"{name}.json"


def load_result(
    results: pathlib.Path,
    profile: str,
    experiment_id: str,
    without: Collection[str] = (),
) -> dict | None:
    """The result of an experiment, None if it was not run or is in `without`."""
    if experiment_id in without:
        return None
    path = result_file(results, profile, experiment_id)
    return files.read_json(path) if path.is_file() else None


def load_current(
    results: pathlib.Path, profile: str, row: str, without: Collection[str] = ()
) -> dict | None:
    """As `load_result`; None also if it was not run with its present settings."""
    result = load_result(results, profile, row, without)
    return result if result and is_current(result, spec.find(row)[0], profile) else None


def is_current(result: dict, experiment: Row, profile: str) -> bool:
    """Whether a result was made with the settings that its row has now."""
    scale = profiles.profile(experiment.task, profile).for_row(experiment.id)
    wanted = spec.settings(experiment, scale)
    return {name: result["spec"].get(name) for name in wanted} == wanted
