"""Numbers and intervals as text."""

from collections.abc import Mapping


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals; a dash for what is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def with_interval(score: Mapping, digits: int = 3) -> str:
    """`mean` [`low`, `high`] (n=`n`), as far as defined; "n=12 of 16": 4 are not."""
    mean, low, high = (number(score[key], digits) for key in ("mean", "low", "high"))
    if score["n"] is None:
        return mean
    count = f"n={score['n']}"
    if score["n_undefined"]:
        count += f" of {score['n'] + score['n_undefined']}"
    bounds = "" if score["low"] is None else f" [{low}, {high}]"
    return f"{mean}{bounds} ({count})"
