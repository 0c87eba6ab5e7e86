"""Rows that the audit of the report needs trained; the report prints none of them.

`audit` shows them when they were run (`reproduce audit`).
"""

import dataclasses

from ich_tf.experiments import spec
from ich_tf.experiments.rows import table2, volume3d

# A small network that the demo trains long enough to segment, in minutes.
EVERY_CROP = "volume3d/2d"
LESION_CROPS = "audit/lesion-crops"
APPROACH2 = "table2/approach2"
# What is changed of approach 2 -> the row.
VARIANTS = {
    "cross-entropy": "audit/approach2-bce",
    "random weights": "audit/approach2-random",
    "windows in HU": "audit/approach2-hu",
}


def _change(of: str, id_: str, title: str, states: str, **changes) -> spec.Experiment:
    (row,) = (row for row in (*table2.ROWS, *volume3d.ROWS) if row.id == of)
    return dataclasses.replace(
        row, id=id_, title=title, states=states, reported={}, **changes
    )


_SILENT = "Nothing; approach 2 is stated to predict only black pixels."
_RANDOM = {"backbone": "densenet169", "graph": "official", "init": "random"}
ROWS = (
    _change(
        EVERY_CROP,
        LESION_CROPS,
        "2-D UNet++, plain, lesion crops only",
        "Nothing; the published code of [2] for NIfTI keeps only crops with blood.",
    ),
    _change(
        APPROACH2,
        VARIANTS["cross-entropy"],
        "densenet169, imagenet, BCE (approach 2)",
        _SILENT,
        loss="bce",
    ),
    _change(
        APPROACH2,
        VARIANTS["random weights"],
        "densenet169, RI, JD (approach 2)",
        _SILENT,
        arguments=_RANDOM,
    ),
    _change(
        APPROACH2,
        VARIANTS["windows in HU"],
        "densenet169, imagenet, JD (approach 2, not scaled to [0, 1])",
        _SILENT,
        approach="approach2_hu",
    ),
)
