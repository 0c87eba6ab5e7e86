"""Checks that return what is wrong instead of printing it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes:
        kind: A short word, e.g. "mask", "labels", "slices", "not head CT".
        file: The file, folder or case.
        message: What is wrong, with the values.
    """

    kind: str
    file: str
    message: str
