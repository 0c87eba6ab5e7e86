"""The small networks behind `predict` and `explain`; no rows of the report."""

import dataclasses

from ich_tf.experiments import spec
from ich_tf.experiments.rows import painted, real_heads, table1, table2

# Slices at half the in-plane size; many heads, and few passes over each.
SEGMENTATION = dataclasses.replace(
    table2.DEMO,
    name="shipped",
    size=256,
    tile=128,
    stride=64,
    inference_stride=64,
    epochs=10,
    steps_per_epoch=600,
    learning_rate=2e-3,
    warmup_steps=0,
    keep_last=False,
    lesion_share=0.6,
    validation_crops=400,
    phantom=painted.SHIPPED.phantom,
    split=painted.SHIPPED.split,
    deviations=(),
)
# The demo's classifier, trained longer on more heads.
CLASSIFIER = dataclasses.replace(
    table1.DEMO,
    name="shipped",
    phantom={**table1.DEMO.phantom, "cases": 260},
    slices=dataclasses.replace(table1.DEMO.slices, steps_per_epoch=460),
    network={},
    sequence_arguments={},
    deviations=(),
)

ROWS = (
    spec.Experiment(
        id="shipped/unetplusplus-phantom",
        title="UNet++, plain, small",
        model="unetplusplus",
        arguments=spec.SMALL_UNETPLUSPLUS,
        loss="bce_jaccard",
        approach="approach1",
        channels=1,
        reported={},
        states="Not in the report: whole slices of 256 pixels, so that `predict` is "
        "quick on a laptop.",
        settings={"shipped": SEGMENTATION},
    ),
    painted.row(
        "shipped/unetplusplus-painted",
        "UNet++, plain, on painted and phantom slices",
        "Not in the report: the network that `real-heads` begins with.",
        begins_with="unetplusplus-phantom",
        settings={"shipped": painted.SHIPPED},
    ),
    real_heads.SHIPPED_ROW,
    real_heads.WIDE_ROW,
    spec.Classifier(
        id="shipped/resnext-phantom",
        title="ResNeXt, small",
        model="resnext",
        arguments=spec.SMALL_RESNEXT,
        slices_from=None,
        sequence=None,
        loss="bce",
        reported={},
        states="Not in the report: a small slice network.",
        settings={"shipped": CLASSIFIER},
    ),
    spec.Classifier(
        id="shipped/resnext-lstm-phantom",
        title="ResNeXt, PCA, BiLSTM, small",
        model="resnext",
        arguments=spec.SMALL_RESNEXT,
        slices_from="shipped/resnext-phantom",
        sequence={"components": 48, "hidden": 64, "layers": 2},
        loss="bce",
        reported={},
        states="Not in the report: the sequence model over the small slice network.",
        settings={"shipped": CLASSIFIER},
    ),
)
