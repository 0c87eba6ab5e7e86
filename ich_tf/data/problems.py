"""One finding about data."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes:
        kind: "empty", "unreadable", "values", "geometry", "slices", "mask", "labels",
            "repeated" or "not head CT".
        file: The file, folder or case.
        message: What is wrong, with the values.
    """

    kind: str
    file: str
    message: str
