"""Where data, weights and results lie, resolved only when they are needed.

Each folder comes from an argument, else from an environment variable, else (for
weights and results) from a default: in a checkout the folders of the project, in an
installed package its own files for what is read and the current folder for results.
"""

import os
import pathlib

PACKAGE = pathlib.Path(__file__).resolve().parent
PROJECT = PACKAGE.parent
"""The checkout; of no meaning where `IN_CHECKOUT` is false."""
IN_CHECKOUT = (PROJECT / "pyproject.toml").is_file()
FIGURES = ("figures-held-out", "figures-predict", "figures")
"""Folders of Figures 3-7 in a row's folder, the best first: Table I's network on
held-out scans, the network of `predict` on the phantom, Table I's network there."""
SHIPPED = PACKAGE / "shipped"
"""Weights and recorded results within a wheel; setup.py copies them there."""


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
            f"{variable}; docs/real-data.md says what the "
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
    """Folder of the shipped weights and their manifest.

    `--weights-dir`, else ICH_TF_WEIGHTS, else `weights/` of the checkout or of the
    installed package.
    """
    default = (PROJECT if IN_CHECKOUT else SHIPPED) / "weights"
    return _resolve(argument, "ICH_TF_WEIGHTS", "--weights-dir", default)


def pretrained(argument: str | os.PathLike | None = None) -> pathlib.Path:
    """Folder of weights published by others, downloaded or converted.

    `imagenet/` in the folder of the weights; where that is the installed package,
    which may be read-only, `imagenet/` in the cache.
    """
    folder = weights(argument)
    return (cache() if folder == SHIPPED / "weights" else folder) / "imagenet"


def cache() -> pathlib.Path:
    """Folder of downloads: ICH_TF_CACHE, else `ich_tf` in the user's cache.

    It also takes the index of RSNA images in a folder that cannot be written.
    """
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    default = pathlib.Path(user).expanduser() / "ich_tf"
    return _resolve(None, "ICH_TF_CACHE", "", default)


def results(argument: str | os.PathLike | None = None) -> pathlib.Path:
    """Folder of the results (`--results`, ICH_TF_RESULTS, else `results/`).

    The default lies in the checkout, or in the current folder outside of one.
    """
    default = (PROJECT if IN_CHECKOUT else pathlib.Path.cwd()) / "results"
    return _resolve(argument, "ICH_TF_RESULTS", "--results", default)


def recorded(name: str) -> pathlib.Path:
    """Results recorded with the project, such as "demo.json"."""
    return (PROJECT / "docs" if IN_CHECKOUT else SHIPPED) / name
