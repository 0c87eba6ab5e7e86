"""The network of real heads, and shorter trainings that each change one ingredient.

Not in the report. The wide network begins with `real-heads`, the others with
`unetplusplus-painted`. All learn from painted scans; `weak-labels` alone also sees real
slices with hemorrhage.
"""

import dataclasses

from ich_tf.experiments import spec
from ich_tf.experiments.rows import painted
from ich_tf.experiments.settings import RealHeadsSettings

# Whole painted scans, with three neighbouring slices as channels.
SHIPPED = RealHeadsSettings(
    name="shipped",
    size=256,
    tile=160,
    stride=80,
    inference_stride=None,
    folds="holdout",
    split=painted.SHIPPED.split,
    epochs=50,
    steps_per_epoch=60,
    batch=8,
    learning_rate=1e-3,
    schedule="cosine",
    decay=0.0,
    lesion_share=0.65,
    augmentation="any_scanner",
    batch_norm_momentum=None,
    output_bias=None,
    validation_crops=96,
    phantom=painted.SHIPPED.phantom,
    slices="all",
    copies=12,
    phantom_heads=60,
    warmup_steps=50,
    average=0.99,
)
SHORT = dataclasses.replace(
    SHIPPED, epochs=10, phantom={**painted.SHIPPED.phantom, "cases": 60, "seed": 2}
)
"""600 steps, which all ablations share. Their phantom heads have another seed than
those that the first weights were trained on."""
_NETWORK = {
    **spec.SMALL_UNETPLUSPLUS,
    "classes": 6,
    "activation": "subtypes",
}


def _row(id_: str, title: str, settings: RealHeadsSettings, **changed):
    arguments = {
        "model": "unetplusplus",
        "arguments": _NETWORK,
        "loss": "subtype_tversky",
        "approach": "approach1",
        "channels": 3,
        "reported": {},
        "states": "Not in the report: mask, subtypes and probabilities from one "
        "network.",
        "begins_with": "unetplusplus-painted",
        "settings": {"shipped": settings},
    }
    return spec.RealHeadsExperiment(id=id_, title=title, **{**arguments, **changed})


SHIPPED_ROW = _row(
    "shipped/real-heads",
    "UNet++, plain, subtypes on three slices of painted scans",
    SHIPPED,
)
"""The network behind `predict`."""
WIDE_ROW = _row(
    "shipped/real-heads-wide",
    "UNet++ of twice the width, subtypes on three slices of painted scans",
    dataclasses.replace(SHIPPED, epochs=15, learning_rate=4e-4),
    arguments={**_NETWORK, "filters": (16, 32, 64, 128, 256)},
    begins_with="real-heads",
)
"""It starts as `real-heads`, each of whose filters it has twice, and trains on."""
BASE = "real-heads/base"
ROWS = (
    _row(BASE, "the recipe of the shipped network, 600 steps", SHORT),
    _row("real-heads/one-slice", "one slice instead of three", SHORT, channels=1),
    _row(
        "real-heads/context",
        "neighbouring slices read from the start, a fifth of the first kernel each",
        SHORT,
        context_share=0.2,
    ),
    _row(
        "real-heads/painted-apart",
        "every slice painted alone, so that neighbours disagree",
        SHORT,
        painted_apart=True,
    ),
    _row(
        "real-heads/jaccard",
        "Jaccard distance instead of Tversky",
        SHORT,
        loss="subtype_jaccard",
    ),
    _row(
        "real-heads/without-mimics",
        "no mimics in training",
        SHORT,
        with_mimics=False,
    ),
    _row(
        "real-heads/painted-only",
        "no phantom heads",
        SHORT,
        sources=("painted",),
    ),
    _row(
        "real-heads/weak-labels",
        "a quarter of the crops from real scans with hemorrhage, marked by the "
        "shipped network",
        SHORT,
        weak_labels_by="real-heads",
    ),
)
