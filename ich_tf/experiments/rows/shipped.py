"""The small networks behind `predict` and `explain`; no rows of the report."""

import dataclasses

from ich_tf.experiments import spec
from ich_tf.experiments.rows import painted, table1, table2
from ich_tf.experiments.settings import RealHeadsSettings

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
    lesion_share=0.6,
    validation_crops=400,
    phantom=painted.SHIPPED.phantom,
    split=painted.SHIPPED.split,
    deviations=(),
)
# Whole painted scans, with three neighbouring slices as channels.
REAL_HEADS = RealHeadsSettings(
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
        "Not in the report: the network behind `predict`.",
        begins_with="unetplusplus-phantom",
        settings={"shipped": painted.SHIPPED},
    ),
    spec.RealHeadsExperiment(
        id="shipped/real-heads",
        title="UNet++, plain, subtypes on three slices of painted scans",
        model="unetplusplus",
        arguments={
            **spec.SMALL_UNETPLUSPLUS,
            "classes": 6,
            "activation": "subtypes",
        },
        loss="subtype_tversky",
        approach="approach1",
        channels=3,
        reported={},
        states="Not in the report: mask, subtypes and probabilities from one network.",
        begins_with="unetplusplus-painted",
        settings={"shipped": REAL_HEADS},
    ),
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
