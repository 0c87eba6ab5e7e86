"""Compare two folders of results: do two commits give the same numbers?

    python benchmarks/same_numbers.py BEFORE/results AFTER/results --profile quick

`spec`, `counts` and `predictions` must be equal. `summary` and the losses of the
epochs must be equal for 2-D networks, and within 1e-6 for 3-D ones, whose sums a
computer with several cores adds in no fixed order. Exits with 1 if a row differs or is
missing on one side.
"""

import argparse
import math
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from ich_tf import files

EXACT = ("spec", "folds", "counts", "predictions", "painted", "labelled")
TOLERANCE_3D = 1e-6


def differences(
    before: Any, after: Any, tolerance: float, place: str = ""
) -> Iterator[str]:
    """Places where two JSON values differ by more than a tolerance."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if key not in before or key not in after:
                yield f"{place}.{key} is on one side only"
            else:
                yield from differences(
                    before[key], after[key], tolerance, f"{place}.{key}"
                )
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield f"{place} has {len(before)} and {len(after)} items"
            return
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, tolerance, f"{place}[{number}]")
    elif not _equal(before, after, tolerance):
        yield f"{place}: {before} and {after}"


def _equal(before: Any, after: Any, tolerance: float) -> bool:
    if isinstance(before, float) and isinstance(after, float):
        return math.isclose(before, after, rel_tol=tolerance, abs_tol=tolerance)
    return before == after


def losses(result: dict) -> list[list[float]]:
    """Loss of each epoch of each fold."""
    return [[epoch.get("loss") for epoch in fold] for fold in result["history"]]


def compare(before: dict, after: dict) -> Iterator[str]:
    """Places where two results of one row differ."""
    tolerance = TOLERANCE_3D if "patch" in before["spec"]["profile"] else 0.0
    for result in (before, after):
        # A checksum of another row's file, which holds seconds.
        result["spec"].pop("built_on", None)
    for key in EXACT:
        yield from differences(before.get(key), after.get(key), 0.0, key)
    yield from differences(before["summary"], after["summary"], tolerance, "summary")
    yield from differences(losses(before), losses(after), tolerance, "loss")


def main() -> int:
    """Print a line for each row; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=pathlib.Path)
    parser.add_argument("after", type=pathlib.Path)
    parser.add_argument("--profile", default="quick")
    options = parser.parse_args()
    folders = [options.before / options.profile, options.after / options.profile]
    names = [
        {path.relative_to(folder) for path in folder.glob("*/*.json")}
        for folder in folders
    ]
    status = 0
    for name in sorted(names[0] | names[1]):
        if name not in names[0] or name not in names[1]:
            print(f"{name}: on one side only")
            status = 1
            continue
        pair = [files.read_json(folder / name) for folder in folders]
        differing = list(compare(*pair))
        print(
            f"{name}: {'equal' if not differing else f'{len(differing)} differences'}"
        )
        for line in differing[:5]:
            print(f"  {line}")
        status = status or int(bool(differing))
    return status


if __name__ == "__main__":
    sys.exit(main())
