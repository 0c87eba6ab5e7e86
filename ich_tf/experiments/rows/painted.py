"""Networks that never saw a real mask: what synthetic hemorrhage is good for.

Not in the report. Hemorrhage is painted onto real heads that show none, mixed with
phantom heads; the rows leave out one ingredient each. Real heads with hemorrhage only
judge: how large is what a network finds in slices with and without.
"""

import dataclasses

from ich_tf.experiments import spec
from ich_tf.experiments.settings import PaintedSettings

# What the network behind `predict` begins with: whole slices of 256 pixels, many heads,
# and few passes over each. Three of four lesions are painted on real heads.
SHIPPED = PaintedSettings(
    name="shipped",
    size=256,
    tile=192,
    stride=64,
    inference_stride=None,
    folds="holdout",
    split=(0.86, 0.05, 0.09),
    epochs=14,
    steps_per_epoch=250,
    batch=8,
    learning_rate=2e-3,
    schedule="cosine",
    decay=0.0,
    lesion_share=0.6,
    augmentation="any_scanner",
    batch_norm_momentum=0.9,
    output_bias=-3.0,
    validation_crops=400,
    phantom={"cases": 450, "seed": 1, "size": 256, "bleeding_share": 0.75},
    slices="all",
    copies=20,
)
DEMO = dataclasses.replace(
    SHIPPED,
    name="demo",
    inference_stride=64,
    epochs=4,
    steps_per_epoch=200,
    phantom={**SHIPPED.phantom, "cases": 120},
    copies=8,
)


def row(
    id: str, title: str, states: str = "Not in the report.", **fields
) -> spec.PaintedExperiment:
    """A plain UNet++ on whole slices, at demo scale unless `settings` differ."""
    return spec.PaintedExperiment(
        id=id,
        title=title,
        model="unetplusplus",
        arguments=spec.SMALL_UNETPLUSPLUS,
        loss="bce_jaccard",
        approach="approach1",
        channels=1,
        reported={},
        states=states,
        **{"settings": {"demo": DEMO}, **fields},
    )


ROWS = (
    row("painted/both", "painted slices and phantom heads"),
    row(
        "painted/painted-only",
        "painted slices alone",
        sources=("painted",),
    ),
    row(
        "painted/phantom-only",
        "phantom heads alone",
        sources=("phantom",),
    ),
    row(
        "painted/without-mimics",
        "both, nothing painted that only looks like blood",
        with_mimics=False,
    ),
    row(
        "painted/without-mass-effect",
        "both, blood that pushes nothing aside",
        mass_effect=False,
    ),
)
