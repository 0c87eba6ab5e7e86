"""A row with everything that it is trained with, as text."""

import json

from ich_tf.experiments.spec import Row


def describe(row: Row, profile: str) -> str:
    """The row, its settings and its deviations, one field a line.

    Args:
        row: The row.
        profile: Name of the profile.

    Raises:
        ValueError: if the row does not have the profile.
    """
    settings = row.settings.get(profile)
    if settings is None:
        known = ", ".join(row.settings)
        raise ValueError(f"{row.id}: not in profile {profile}. Known: {known}")
    spec = row.spec(settings)
    parts = [
        _part(f"{row.id}: {row.title}", spec["experiment"]),
        _part(f"profile {profile}", spec["profile"]),
        _listed("the report states", [row.states]),
        _listed("it leaves open", row.leaves_open),
        _listed("assumed", row.assumptions),
        _listed("deviations", [deviation.text for deviation in settings.deviations]),
    ]
    return "\n".join(part for part in parts if part)


def _part(title: str, fields: dict) -> str:
    lines = [f"  {name} = {json.dumps(value)}" for name, value in fields.items()]
    return "\n".join([title, *lines]) + "\n"


def _listed(title: str, lines) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)]) + "\n" if lines else ""
