"""The numbers on the first page (README.md), written by code between two markers."""

import pathlib

from ich_tf import files, paths
from ich_tf.evidence import real_heads
from ich_tf.metrics import display
from ich_tf.models import weights

BEGIN, END = "<!-- numbers: begin -->", "<!-- numbers: end -->"
PAGE = paths.PROJECT / "README.md"


def numbers() -> str:
    """How well hemorrhage is found in real slices, in one sentence.

    Raises:
        ValueError: if the weights or their measurements are not there.
    """
    _, entry = weights.shipped(real_heads.NAME)
    path = weights.companion(entry, real_heads.MEASURED)
    if path is None:
        raise ValueError(f"{real_heads.NAME} has no {real_heads.MEASURED}.")
    judges = files.read_json(path)["judges"]
    after = judges["after"]
    score, false_mm2 = after["auc"]["any"]["slice"], after["false_mm2"]
    volume = after["volume"]["share"]
    return (
        f"On {after['patients']} patients of {judges['data']} who were used to choose "
        "the two thresholds but not for training, the AUC of slices with hemorrhage "
        f"against slices without is {display.with_interval(score)}. The outlined "
        f"volume is {display.with_interval(volume)} of the published true volume; a "
        f"clean slice has on average {display.number(false_mm2['mean'], 1)} mm² of "
        "false outline."
    )


def update(page: pathlib.Path = PAGE) -> None:
    """Write the sentence between the markers of the page.

    Args:
        page: The file, which has both markers.

    Raises:
        ValueError: as `numbers` does.
    """
    first, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, last = rest.split(END)
    text = f"{first}{BEGIN}\n{numbers()}\n{END}{last}"
    files.write_bytes(page, text.encode())
