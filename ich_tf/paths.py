"""Where data, weights and results live, resolved only when they are needed.

Each folder comes from an argument, else from an environment variable, else (for
weights and results) from a default beside the project.
"""

import os
import pathlib

PROJECT = pathlib.Path(__file__).resolve().parent.parent


def _resolve(
    argument: str | os.PathLike | None,
    variable: str,
    option: str,
    default: pathlib.Path | None = None,
) -> pathlib.Path:
    value = argument or os.environ.get(variable)
    if value:
        return pathlib.Path(value).expanduser()
    if default is None:
        raise ValueError(
            f"No folder given. Pass {option} DIR or set the environment variable "
            f"{variable}; README.md, section 'With the real data', says what the "
            "folder must hold."
        )
    return default


def _existing(folder: pathlib.Path, variable: str, option: str) -> pathlib.Path:
    if not folder.is_dir():
        raise ValueError(
            f"{folder} is not a folder. It was given by {option} or {variable}."
        )
    return folder


def ct_ich(argument: str | os.PathLike | None = None) -> pathlib.Path:
    """Folder of the PhysioNet ct-ich data set (`--ct-ich`, ICH_TF_CT_ICH)."""
    folder = _resolve(argument, "ICH_TF_CT_ICH", "--ct-ich")
    return _existing(folder, "ICH_TF_CT_ICH", "--ct-ich")


def rsna(argument: str | os.PathLike | None = None) -> pathlib.Path:
    """Folder of the RSNA 2019 data set (`--rsna`, ICH_TF_RSNA)."""
    folder = _resolve(argument, "ICH_TF_RSNA", "--rsna")
    return _existing(folder, "ICH_TF_RSNA", "--rsna")


def data_set(name: str, argument: str | os.PathLike | None = None) -> pathlib.Path:
    """Folder of "ct-ich" or "rsna"."""
    return {"ct-ich": ct_ich, "rsna": rsna}[name](argument)


def weights(argument: str | os.PathLike | None = None) -> pathlib.Path:
    """Folder of the weights (`--weights-dir`, ICH_TF_WEIGHTS, else `weights/`)."""
    return _resolve(argument, "ICH_TF_WEIGHTS", "--weights-dir", PROJECT / "weights")


def results(argument: str | os.PathLike | None = None) -> pathlib.Path:
    """Folder of the results (`--results`, ICH_TF_RESULTS, else `results/`)."""
    return _resolve(argument, "ICH_TF_RESULTS", "--results", PROJECT / "results")
