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
    validation_crops=None,
    phantom={},
)

DEMO = Profile(
    name="demo",
    size=256,
    tile=64,
    stride=32,
    inference_stride=64,
    folds="holdout",
    epochs=4,
    steps_per_epoch=40,
    batch=16,
    learning_rate=1e-3,
    schedule="cosine",
    decay=0.0,
    lesion_share=0.5,
    augmentation="none",
    batch_norm_momentum=0.9,
    validation_crops=128,
    phantom={"cases": 64, "seed": 0, "slices": 24, "size": 256},
    deviations=(
        "the phantom instead of ct-ich",
        "half the in-plane size: slices of 256 pixels, crops of 64 at stride 32 "
        "(the same field of view), joined at inference from tiles side by side",
        "one hold-out split by patient instead of five folds",
        "160 steps of 16 crops, half of them with hemorrhage, instead of 100 epochs",
        "Adam from 1e-3 down to 0 on a cosine instead of 1e-5",
        "batch-normalisation momentum 0.9 instead of 0.99, since the run is short",
        "no augmentation",
    ),
)

SHIPPED = dataclasses.replace(
    DEMO,
    name="shipped",
    tile=256,
    stride=256,
    inference_stride=256,
    epochs=20,
    steps_per_epoch=150,
    batch=8,
    lesion_share=0.7,
    augmentation="hssayeni2020_flip",
    validation_crops=None,
    phantom={"cases": 200, "seed": 1, "size": 256},
    slices="all",
    split=(0.7, 0.04, 0.26),
    deviations=(),
)

PROFILES = {"paper": PAPER, "demo": DEMO, "shipped": SHIPPED}
