"""Series described in a line, and chosen from.

What is shown of a series never holds data of the patient.
"""

import pathlib
from collections.abc import Iterable

from ich_tf.io.dicom.series import Series
from ich_tf.io.source import InputError

MAX_LISTED = 20
ALL, LARGEST = "all", "largest"


def name_files(paths: Iterable[pathlib.Path]) -> str:
    """The first file's name, and how many more there are."""
    names = [path.name for path in paths]
    more = f" and {len(names) - 1} more file(s)" if len(names) > 1 else ""
    return f"{names[0]}{more}"


def describe(series: Series) -> str:
    """One line about a series, without data of the patient.

    The description is left out where a part of it occurs in the patient's name,
    identifiers or dates.
    """
    if series.kind not in ("ct", "reformat"):
        why = series.reason.removeprefix(f"{series.files[0]}: ")
        if series.kind == "no image":
            why = ""
        return f"{series.kind}: {name_files(series.files)}" + (
            f": {why}" if why else ""
        )
    thickness = "/".join(f"{value:g}" for value in series.thickness_mm)
    facts = [
        f"{series.slices} image(s)",
        f'"{series.description}"' if series.description else "",
        f"kernel {series.kernel}" if series.kernel else "",
        f"{thickness} mm thick" if thickness else "",
        "with contrast agent" if series.contrast else "no contrast agent noted",
        "{}x{}".format(*series.matrix) if series.matrix else "",
        series.orientation,
        name_files(series.files),
    ]
    return f"{series.kind}: {', '.join(fact for fact in facts if fact)}"


def _choices(listed: list[Series]) -> str:
    return "\n".join(f"  {series.uid}: {describe(series)}" for series in listed)


def _listing(listed: list[Series]) -> str:
    lines = [describe(series) for series in listed[:MAX_LISTED]]
    more = len(listed) - MAX_LISTED
    return "\n".join(
        f"  {line}" for line in [*lines, *([f"and {more} more"] * (more > 0))]
    )


def usable(listed: list[Series]) -> list[Series]:
    """The series that can be read as scans."""
    stacks = [series for series in listed if series.kind == "ct"]
    others = [s for s in listed if s.kind not in ("no image", "localizer", "not CT")]
    if not stacks and len(others) == 1 and others[0].kind == "ct without geometry":
        return others
    return stacks


def select(
    name: str, listed: list[Series], wanted: str | None, *, several: bool = False
) -> list[Series]:
    """The series that a user names.

    Args:
        name: The input, for messages.
        listed: From `find_series`.
        wanted: A UID, `UID#number` for one stack of several under one UID, "largest"
            (most images, of these the first in the list), "all", or None for the only
            series there is.
        several: Whether the user may take several at once; the message about a missing
            choice then names "all" and "largest", too.

    Returns:
        One series; for "all" every series that can be read.

    Raises:
        InputError: if no series can be read, or several can; the message lists
            every one that can be chosen.
    """
    choosable = usable(listed)
    if not choosable:
        described = [s for s in listed if s.reason] + [
            s for s in listed if not s.reason
        ]
        listing = _listing(described)
        raise InputError(
            f"{name}: no axial CT series{_wanted(wanted)}. Found:\n{listing}"
        )
    if wanted == ALL:
        return choosable
    if wanted == LARGEST:
        return [max(choosable, key=lambda series: series.slices)]
    matching = choosable
    if wanted is not None:
        matching = [s for s in choosable if wanted in (s.uid, *s.uids)]
        exact = [s for s in choosable if s.uid == wanted]
        matching = exact or matching
    if not matching:
        raise InputError(
            f"{name}: no axial CT series{_wanted(wanted)}. There are:\n"
            f"{_choices(choosable)}"
        )
    if len(matching) > 1:
        more = ""
        if several:
            more = (
                ", each with `--series all`, or of each study the one with the most "
                "images with `--series largest`"
            )
        raise InputError(
            f"{name}: {len(matching)} CT series; choose one with `--series "
            f"UID` (`series_uid`), with its #number if there is one{more}:\n"
            f"{_choices(matching)}"
        )
    return matching


def _wanted(wanted: str | None) -> str:
    return f" {wanted}" if wanted not in (None, ALL, LARGEST) else ""
