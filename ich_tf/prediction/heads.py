"""The scan that a user gives, refused if it cannot be a head CT."""

import os

from ich_tf.data import checks
from ich_tf.prediction import inputs
from ich_tf.volume import Case

DISCLAIMER = "Research reproduction, not a medical device."


class NotHeadCT(ValueError):
    """The input cannot be a head CT in Hounsfield units."""


def read(
    source: str | os.PathLike,
    spacing_mm: tuple[float, float, float] | None = None,
    series_uid: str | None = None,
) -> Case:
    """Read one scan.

    Args:
        source: A NIfTI file, a DICOM file or folder, or a ct-ich patient folder.
        spacing_mm: (z, y, x), for inputs without.
        series_uid: Which series of a DICOM folder with several.

    Raises:
        NotHeadCT: if the content cannot be a head CT; the message says why.
        ValueError: if the input cannot be read.
    """
    case = inputs.read_any(source, spacing_mm, series_uid)
    problems = checks.refuse_not_head_ct(case.volume)
    if problems:
        reasons = "; ".join(problem.message for problem in problems)
        raise NotHeadCT(f"{source} is refused: {reasons}")
    return case
