"""The manifest of weights files, read with every entry checked.

A manifest decides which network is built and which file is opened, so that a damaged
one must be an error with a name and never a network of another size.
"""

import pathlib
from typing import Any, NotRequired, TypedDict

from ich_tf import typed_json

MANIFEST = "manifest.json"
MAX_SIDE = 4096
"""Largest whole number among the arguments of a network: filters, features, pixels."""
ADVICE = "Restore it from the copy that the weights came with."


class Build(TypedDict):
    """The arguments of `models.build`."""

    name: str
    kwargs: NotRequired[dict[str, Any]]


class Probe(TypedDict):
    """Log-odds that the network computes for seeded inputs."""

    seed: int
    log_odds: list[float]


class Companion(TypedDict):
    """A file that belongs to the weights."""

    file: str
    sha256: str
    url: NotRequired[str]


class Segmentation(TypedDict):
    """How slices become the crops that a segmentation network sees.

    With `head_box` slices have pixels of one physical size and are cut to the head.
    `metrics.operating_point` explains the two thresholds.
    """

    approach: str
    channels: int
    size: int
    tile: int
    stride: int
    threshold: NotRequired[float]
    slice_threshold: NotRequired[float]
    head_box: NotRequired[bool]


class Patches(TypedDict):
    """How volumes become the patches (depth, rows, columns) that a 3-D network sees."""

    approach: str
    channels: int
    size: int
    patch: list[int]
    overlap: float


class SliceImages(TypedDict):
    """How slices become the images that a classifier sees."""

    images: str
    size: int


class Entry(TypedDict):
    """Weights in the manifest; keys for people only are not listed."""

    build: Build
    file: str
    sha256: str
    bytes: int
    parameters: int
    shapes: dict[str, str]
    probe: Probe
    preprocessing: NotRequired[Segmentation | Patches | SliceImages]
    trained_on: NotRequired[str]
    metric: NotRequired[str]
    seen: NotRequired[list[str]]
    companions: NotRequired[dict[str, Companion]]
    url: NotRequired[str]


def read(path: pathlib.Path) -> dict[str, Entry]:
    """Read a manifest.

    Raises:
        ValueError: if it is no JSON, lacks a value, has one of another type, names a
            file outside its folder or a network larger than any of this suite.
    """
    entries = typed_json.read(path, dict[str, Entry], ADVICE)
    for name, entry in entries.items():
        listed = [entry["file"]]
        listed += [each["file"] for each in entry.get("companions", {}).values()]
        for file in listed:
            if pathlib.PurePath(file).name != file:
                raise ValueError(f"{path} lists {file!r} in {name!r}. {ADVICE}")
        largest = max(_whole_numbers(entry["build"].get("kwargs", {})), default=0)
        if largest > MAX_SIDE:
            raise ValueError(f"{path}: {name!r} builds with {largest}. {ADVICE}")
    return entries


def _whole_numbers(arguments: Any) -> list[int]:
    """Every whole number in nested arguments, without its sign."""
    if isinstance(arguments, dict):
        arguments = list(arguments.values())
    if isinstance(arguments, list):
        return [number for each in arguments for number in _whole_numbers(each)]
    return [abs(arguments)] if isinstance(arguments, int) else []
