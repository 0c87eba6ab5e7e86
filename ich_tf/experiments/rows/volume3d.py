"""Section V of the report: a 3-D UNet++ over whole volumes, and its two remedies.

The report ran out of GPU memory and prints no number. Its remedies, training on the
CPU and adding the skips instead of concatenating them, are rows here; computing
activations again is a third. The 2-D row is trained for as long, on the same cases;
the best row of Table II is compared with them, trained for as long.
"""

import dataclasses

from ich_tf.experiments import spec
from ich_tf.experiments.rows import table2
from ich_tf.experiments.settings import Deviation, VolumeSettings, changed

STATES = (
    "'training the model has always faced GPU memory allocation issues', so it prints "
    "no number; it proposes the CPU, or adding the tensors of the skip connections"
)
ASSUMPTIONS = (
    "UNet++ of five levels with 3x3x3 convolutions and instance normalization",
    "depth halved at the lowest two levels only, because slices are thick",
    "binary cross-entropy and Jaccard distance, Adam from 1e-3 down to 0 on a cosine",
)


# Whole volumes of up to 40 slices: 12 of the 75 scans of ct-ich 1.3.1 are deeper (68
# exceed 32). The depth is halved twice, so a multiple of 4 needs no padding.
PAPER = VolumeSettings(
    name="paper",
    size=512,
    patch=(40, 512, 512),
    overlap=0.5,
    filters=16,
    folds="hssayeni2020",
    epochs=100,
    steps_per_epoch=60,
    batch=1,
    learning_rate=1e-3,
    schedule="cosine",
    lesion_share=0.6,
    augmentation="hssayeni2020_flip",
    output_bias=-3.0,
    validation_steps=8,
    phantom={},
    cpu_layers=False,
)
# On the heads and the split of the 2-D demo.
DEMO = dataclasses.replace(
    PAPER,
    name="demo",
    size=table2.DEMO.size,
    patch=(16, 32, 32),
    filters=8,
    # TensorFlow 2.21 on a CPU now and then gives NaN for bfloat16 convolutions of
    # fewer than 16 channels.
    precision="float32",
    folds=table2.DEMO.folds,
    split=table2.DEMO.split,
    epochs=4,
    steps_per_epoch=75,
    batch=4,
    learning_rate=3e-3,
    validation_steps=4,
    phantom=table2.DEMO.phantom,
    deviations=(
        Deviation(
            "3-D rows: patches of 16x32x32, which hold most lesions whole, six of ten "
            "around hemorrhage, from slices of 64 pixels instead of whole volumes of "
            "512; 8 filters instead of 16"
        ),
        Deviation(
            "4 epochs of 75 steps, of 4 patches for the 3-D rows and of 8 whole slices "
            "for the 2-D row, instead of 100 epochs"
        ),
        Deviation("3-D rows: Adam from 3e-3 instead of 1e-3, in float32"),
    ),
)
QUICK = dataclasses.replace(
    DEMO,
    name="quick",
    patch=(8, 32, 32),
    epochs=1,
    steps_per_epoch=6,
    validation_steps=2,
    phantom=table2.QUICK_PHANTOM,
    split=table2.QUICK.split,
    deviations=table2.QUICK_DEVIATIONS,
)
STUDY = dataclasses.replace(
    DEMO,
    name="study",
    size=table2.STUDY.size,
    patch=(16, 64, 64),
    epochs=16,
    steps_per_epoch=40,
    batch=2,
    learning_rate=2e-3,
    schedule="inverse_time",
    validation_steps=8,
    patience=4,
    phantom=table2.STUDY.phantom,
    split=table2.STUDY.split,
    deviations=(
        Deviation(
            "3-D rows: patches of 16x64x64, six of ten around hemorrhage, from slices "
            "of 128 pixels instead of whole volumes of 512; 8 filters instead of 16"
        ),
        Deviation(
            "epochs of 40 steps of 2 patches for the 3-D rows, of 50 steps of 4 crops "
            "of 64x64 for the 2-D row, until the validation score has not risen for 4 "
            "epochs, 16 at most, instead of 100 epochs"
        ),
        Deviation("Adam at 2e-3, in float32 for the 3-D rows"),
    ),
)
SETTINGS = {"paper": PAPER, "demo": DEMO, "quick": QUICK, "study": STUDY}

# The 2-D row, trained as the 3-D rows and on as many voxels: 1200 steps of 32 crops of
# 128x128 are 60 volumes of 512x512x40.
FLAT_SETTINGS = changed(
    table2.SETTINGS,
    paper={
        "steps_per_epoch": 1200,
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "decay": 0.0,
        "lesion_share": 0.6,
        "augmentation": "hssayeni2020_flip",
        "output_bias": -3.0,
        "slices": "all",
        "crops": "all",
    },
    demo={"tile": 64, "stride": 64, "inference_stride": 64},
)


def _row(
    name: str,
    title: str,
    skip: str,
    remat: bool,
    trained_as: str | None = None,
) -> spec.VolumeExperiment:
    return spec.VolumeExperiment(
        id=f"volume3d/{name}",
        title=title,
        model="unetplusplus_3d",
        arguments={"skip": skip, "remat": remat},
        loss="bce_jaccard",
        approach="approach1",
        channels=1,
        reported={},
        states=STATES,
        leaves_open=("everything except the proposal to add or to use the CPU",),
        assumptions=ASSUMPTIONS,
        trained_as=trained_as,
        settings=SETTINGS,
    )


ROWS = (
    _row(
        "concat",
        "3-D UNet++, concatenated",
        "concat",
        False,
    ),
    _row("add", "3-D UNet++, added", "add", False),
    _row(
        "add-remat",
        "3-D UNet++, added, recomputed",
        "add",
        True,
        trained_as="volume3d/add",
    ),
    spec.Experiment(
        id="volume3d/2d",
        title="2-D UNet++, plain, trained as long",
        model="unetplusplus",
        arguments=spec.SMALL_UNETPLUSPLUS,
        loss="bce_jaccard",
        approach="approach1",
        channels=1,
        reported={},
        states="nothing of this network",
        leaves_open=("everything",),
        assumptions=("the same levels and filters as the 3-D rows of the demo",),
        settings=FLAT_SETTINGS,
    ),
)
# Shown next to these rows.
BESIDE = ("table2/densenet169-imagenet-jaccard",)
