"""Model cards: facts from the manifest as YAML, then prose that is kept."""

import os
import pathlib
from typing import Any

import yaml

from ich_tf import files, paths
from ich_tf.models import weights

FENCE = "---\n"
DISCLAIMER = "Research use. Not a medical device; not for diagnosis."
SEGMENTS = "Marks intracranial hemorrhage in axial slices of a non-contrast head CT."
CLASSIFIES = (
    "Gives the probabilities of five subtypes of intracranial hemorrhage, and of any, "
    "for the slices of a non-contrast head CT."
)


def write(folder: str | os.PathLike | None = None) -> list[pathlib.Path]:
    """Write the card of every shipped network next to its weights.

    Args:
        folder: The weights folder; default `paths.weights()`.

    Returns:
        The cards. The prose of a card that exists is kept, its facts are replaced.
    """
    folder = paths.weights(folder)
    written = []
    for name, entry in weights.read_manifest(folder).items():
        path = folder / f"{name}.md"
        prose = _prose(path) or _first_prose(name, entry)
        with files.atomic(path) as partial:
            pathlib.Path(partial).write_text(
                front_matter(name, entry) + prose, encoding="utf-8"
            )
        written.append(path)
    return written


def front_matter(name: str, entry: dict[str, Any]) -> str:
    """The facts of one network as YAML between two lines of dashes.

    Args:
        name: Key in the manifest.
        entry: Its entry.
    """
    facts = {
        "name": name,
        "license": "apache-2.0",
        "library_name": "keras",
        "pipeline_tag": _task(entry),
        "tags": ["computed-tomography", "intracranial-hemorrhage", "research-only"],
        "network": entry["build"]["name"],
        "parameters": entry["parameters"],
        "preprocessing": entry["preprocessing"],
        "trained_on": entry["trained_on"],
        "metric": entry["metric"],
        "experiment": entry["experiment"],
        "commit": entry["commit"],
        "file": entry["file"],
        "sha256": entry["sha256"],
    }
    text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=88)
    return f"{FENCE}{text}{FENCE}"


def _task(entry: dict[str, Any]) -> str:
    classifies = entry["build"]["name"] in ("resnext", "sequence")
    return "image-classification" if classifies else "image-segmentation"


def _prose(path: pathlib.Path) -> str:
    if not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8")
    return text.split(FENCE, 2)[2] if text.startswith(FENCE) else f"\n{text}"


def _first_prose(name: str, entry: dict[str, Any]) -> str:
    does = CLASSIFIES if _task(entry) == "image-classification" else SEGMENTS
    return (
        f"\n# Model card: {name}\n\n{does}\n\n"
        f"Trained on: {entry['trained_on']}. Measured: {entry['metric']}.\n\n"
        f"{DISCLAIMER}\n"
    )
