"""The scales an experiment runs at."""

import dataclasses

from ich_tf.experiments.spec import Profile

PAPER = Profile(
    name="paper",
    size=512,
    tile=128,
    stride=64,
    inference_stride=64,
    folds="hssayeni2020",
    epochs=100,
    steps_per_epoch=None,
    batch=32,
    learning_rate=1e-5,
    schedule="inverse_time",
    decay=1e-5 / 100,
    lesion_share=None,
    augmentation="hssayeni2020",
    batch_norm_momentum=None,
    output_bias=None,
    validation_crops=None,
    phantom={},
)

DEMO = Profile(
    name="demo",
    size=192,
    tile=64,
    stride=32,
    inference_stride=64,
    folds="holdout",
    epochs=1,
    steps_per_epoch=40,
    batch=8,
    learning_rate=2e-3,
    schedule="cosine",
    decay=0.0,
    lesion_share=0.6,
    augmentation="hssayeni2020_flip",
    batch_norm_momentum=0.9,
    output_bias=-3.0,
    validation_crops=320,
    phantom={
        "cases": 90,
        "seed": 0,
        "slices": 20,
        "size": 192,
        "bleeding_share": 0.7,
    },
    slices="all",
    split=(0.77, 0.05, 0.18),
    deviations=(
        "the phantom instead of ct-ich: 90 heads of 20 slices, seven of ten bleeding",
        "slices of 192 pixels instead of 512, crops of 64 at stride 32, joined at "
        "inference from tiles side by side",
        "one hold-out split by patient instead of five folds",
        "40 steps of 8 crops instead of 100 epochs; 800 for "
        "table2/densenet169-imagenet-jaccard, which Table III shows too and whose "
        "tiles overlap at inference",
        "crops of all slices, six of ten with hemorrhage, drawn evenly from the heads",
        "Adam from 2e-3 down to 0 on a cosine instead of 1e-5",
        "batch-normalisation momentum 0.9 instead of 0.99, since the run is short",
        "the last bias starts at -3 instead of 0",
        "left and right mirrored besides the augmentation of [2]",
        "random weights where ImageNet weights cannot be had, said in the row",
    ),
    row_changes={
        "table2/densenet169-imagenet-jaccard": {
            "epochs": 8,
            "steps_per_epoch": 100,
            "inference_stride": 32,
        }
    },
)

# The network behind `predict`: a small UNet++ on the phantom at half the in-plane size.
SHIPPED = dataclasses.replace(
    DEMO,
    name="shipped",
    size=256,
    tile=128,
    stride=64,
    epochs=36,
    steps_per_epoch=125,
    validation_crops=1600,
    phantom={"cases": 200, "seed": 1, "size": 256, "bleeding_share": 0.6},
    split=(0.75, 0.08, 0.17),
    deviations=(),
    row_changes={},
)

PROFILES = {"paper": PAPER, "demo": DEMO, "shipped": SHIPPED}
