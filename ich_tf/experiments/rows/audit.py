"""Rows that the audit of the report needs; the report prints no number of them.

`reproduce audit` trains them, and `audit` then shows what they found.
"""

import dataclasses

from ich_tf.experiments import spec
from ich_tf.experiments.rows import table2, table3, volume3d
from ich_tf.experiments.settings import changed

# A small network that the demo trains long enough to segment, in minutes.
EVERY_CROP = "volume3d/2d"
LESION_CROPS = "audit/lesion-crops"
APPROACH2 = "table2/approach2"
# A network of Table III and other crops than there (see `pipeline.crops`) -> the row.
OTHER_CROPS = {
    ("table3/unet-hssayeni", "lesion"): "audit/unet-hssayeni-lesion-crops",
    ("table3/unet-hssayeni", "all"): "audit/unet-hssayeni-all-crops",
    (table3.SHOWN[0], "lesion"): "audit/densenet169-lesion-crops",
    (table3.SHOWN[0], "all"): "audit/densenet169-all-crops",
}
# What changes in approach 2 -> the row.
VARIANTS = {
    "cross-entropy": "audit/approach2-bce",
    "random weights": "audit/approach2-random",
    "windows in HU": "audit/approach2-hu",
    "keras-contrib's Jaccard distance": "audit/approach2-keras-contrib",
}
# The best row of Table II with the other loss that has the name "Jaccard distance".
CONTRIB = "audit/approach1-keras-contrib"


_CROPS = {
    "lesion": (
        "crops with blood alone",
        "Nothing of it; [2]'s code for NIfTI files trains and validates with the crops "
        "that hold blood, so that the network never sees another.",
    ),
    "all": (
        "all 49 crops",
        "Nothing of it; here all 49 crops train and validate, of the slices with "
        "hemorrhage and of one random slice without per subject.",
    ),
}


def _row(id_: str) -> spec.Experiment:
    known = (*table2.ROWS, *table3.ROWS, *volume3d.ROWS)
    return next(row for row in known if row.id == id_)


def _change(of: str, id_: str, title: str, states: str, **changes) -> spec.Experiment:
    return dataclasses.replace(
        _row(of), id=id_, title=title, states=states, reported={}, **changes
    )


def _with_other_crops(of: str, crops: str, id_: str) -> spec.Experiment:
    row = _row(of)
    name, states = _CROPS[crops]
    others = tuple(line for line in row.assumptions if line != table2.CROPS)
    return _change(
        of,
        id_,
        f"{row.title}, {name}",
        states,
        assumptions=others,
        # Only at full size do the crops differ enough to matter.
        settings={"paper": dataclasses.replace(row.settings["paper"], crops=crops)},
    )


_SILENT = "Nothing; approach 2 is stated to predict only black pixels."
_RANDOM = {"backbone": "densenet169", "graph": "official", "init": "random"}
_LESION_ONLY = {"crops": "lesion", "lesion_share": None}
ROWS = (
    _change(
        EVERY_CROP,
        LESION_CROPS,
        "2-D UNet++, plain, lesion crops only",
        "Nothing; the published code of [2] for NIfTI keeps only crops with blood.",
        settings=changed(volume3d.FLAT_SETTINGS, paper=_LESION_ONLY, demo=_LESION_ONLY),
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
    _change(
        APPROACH2,
        VARIANTS["keras-contrib's Jaccard distance"],
        "densenet169, imagenet, JD of keras-contrib (approach 2)",
        _SILENT,
        loss="keras_contrib_jaccard",
    ),
    _change(
        table3.UNETPP,
        CONTRIB,
        "densenet169, imagenet, JD of keras-contrib",
        'Nothing of it; "Jaccard Distance" is also the name of keras-contrib\'s loss.',
        loss="keras_contrib_jaccard",
    ),
    *(_with_other_crops(*key, id_) for key, id_ in OTHER_CROPS.items()),
)
