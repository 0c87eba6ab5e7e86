"""The numbers that the report prints, in one place."""

import functools
import pathlib
from typing import Any

import yaml


@functools.cache
def reported() -> dict[str, Any]:
    """Every number of the report, from `rows/reported.yaml`."""
    path = pathlib.Path(__file__).parent / "rows" / "reported.yaml"
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
