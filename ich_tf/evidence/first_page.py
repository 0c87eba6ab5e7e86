"""The numbers on the first page (README.md), written by code between two markers."""

import pathlib

from ich_tf import files, paths
from ich_tf.evidence import real_heads
from ich_tf.metrics import display

BEGIN, END = "<!-- numbers: begin -->", "<!-- numbers: end -->"
PAGE = paths.PROJECT / "README.md"


def numbers() -> str:
    """How well hemorrhage is found in real slices, in a paragraph.

    Raises:
        ValueError: if the weights or their measurements are not there.
    """
    judges = real_heads.read_measured()["judges"]
    after = judges["after"]
    score, false_mm2 = after["auc"]["any"]["slice"], after["false_mm2"]
    volume, error = after["volume"]["share"], after["volume"]["error_ml"]
    return (
        f"On {after['patients']} patients of {judges['data']} who were not used for "
        "training, the network separates slices with hemorrhage from slices without at "
        f"an AUC of {display.with_interval(score)}. In patients with hemorrhage, the "
        f"outlined volume is {display.with_interval(volume)} times the published "
        f"volume; the mean absolute error is {display.number(error['mean'], 1)} ml. In "
        "a slice without hemorrhage it outlines "
        f"{display.number(false_mm2['mean'], 1)} mm² on average. Its two thresholds "
        "were chosen on the same patients. There is no Dice, because their true masks "
        "were not available. Brackets: 95 % intervals."
    )


def update(page: pathlib.Path = PAGE) -> None:
    """Write the numbers between the markers of the page.

    Args:
        page: The file, which has both markers.

    Raises:
        ValueError: as `numbers` does.
    """
    first, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, last = rest.split(END)
    text = f"{first}{BEGIN}\n{numbers()}\n{END}{last}"
    files.write_bytes(page, text.encode())
