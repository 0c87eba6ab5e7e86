"""The verb `info`: what a bug report needs, and what is here to work with."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
from typing import Any

import ich_tf
from ich_tf import paths
from ich_tf.cli import options as shared
from ich_tf.cli.options import Verb
from ich_tf.models import manifest


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    shared.add_folders(parser)


def gather(options: argparse.Namespace) -> dict[str, Any]:
    """Collect versions, devices, weights, data and results.

    Args:
        options: The folders, as `options.add_folders` adds them.

    Returns:
        JSON content without the name of any folder: it is made to be published.
    """
    from ich_tf.experiments import provenance

    return {
        "ich_tf": ich_tf.__version__,
        "commit": provenance.commit(),
        "installed_as": "checkout" if paths.IN_CHECKOUT else "package",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "versions": provenance.versions(),
        "tensorflow_from": [
            name
            for name in provenance.DISTRIBUTIONS["tensorflow"]
            if _is_installed(name)
        ],
        "devices": _devices(),
        "data": {
            "ct-ich": _state(options.ct_ich or os.environ.get("ICH_TF_CT_ICH")),
            "rsna": _state(options.rsna or os.environ.get("ICH_TF_RSNA")),
        },
        "weights": _weights(paths.weights(options.weights_dir)),
        "results": shared.finished_rows(paths.results(options.results)),
    }


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _devices() -> list[str]:
    if importlib.util.find_spec("tensorflow") is None:
        return []
    from ich_tf.training import precision

    return [precision.device_name() or f"CPU ({platform.machine()})"]


def _state(folder: str | None) -> str:
    if not folder:
        return "not set"
    return "found" if pathlib.Path(folder).is_dir() else "set, but not a folder"


def _weights(folder: pathlib.Path) -> dict[str, str]:
    path = folder / manifest.MANIFEST
    if not path.is_file():
        return {}
    return {
        name: "here" if (folder / entry["file"]).is_file() else "downloaded when used"
        for name, entry in manifest.read(path).items()
    }


def _run(options: argparse.Namespace) -> None:
    content = gather(options)
    if options.json:
        print(json.dumps(content, indent=1))
        return
    for name, value in content.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {inner}" for key, inner in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        print(f"{name.replace('_', ' '):16}{value if value else 'none'}")


VERB = Verb(
    "info",
    "show versions, devices, weights, data and results; for bug reports too",
    _run,
    _add_options,
    ("ich-tf info", "ich-tf info --json"),
)
