"""Numbers and intervals as text."""


def number(value: float | None, table: str = "") -> str:
    """As many decimals as the report prints; a dash for what is undefined."""
    digits = 4 if table.startswith("table1") else 3
    return "–" if value is None else f"{value:.{digits}f}"


def with_interval(score: dict, table: str = "") -> str:
    """`mean` [`low`, `high`] (n=`n`), as far as defined; "n=12 of 16": 4 are not."""
    mean, low, high = (number(score[key], table) for key in ("mean", "low", "high"))
    if score["n"] is None:
        return mean
    count = f"n={score['n']}"
    if score["n_undefined"]:
        count += f" of {score['n'] + score['n_undefined']}"
    bounds = "" if score["low"] is None else f" [{low}, {high}]"
    return f"{mean}{bounds} ({count})"
