"""The scales an experiment runs at."""

import dataclasses

from ich_tf.experiments.spec import (
    SMALL_RESNEXT,
    ClassifierProfile,
    PaintedProfile,
    Profile,
    RealHeadsProfile,
    Stage,
    VolumeProfile,
)

PHANTOM_INSTEAD = "the phantom instead of "
"""How the deviation begins that is none where real data were given."""

# As the 3-D rows beside it, and as many voxels: 960 steps of 32 crops of 128x128 are
# 60 volumes of 512x512x32.
_BESIDE_3D = {
    "steps_per_epoch": 960,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "decay": 0.0,
    "lesion_share": 0.6,
    "augmentation": "hssayeni2020_flip",
    "output_bias": -3.0,
    "slices": "all",
    "crops": "all",
}
_LESION_CROPS = {"crops": "lesion", "lesion_share": None}

PAPER = Profile(
    name="paper",
    cpu_layers=False,
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
    crops="hssayeni2020_jpg",
    row_changes={
        "volume3d/2d": _BESIDE_3D,
        "audit/lesion-crops": {**_BESIDE_3D, **_LESION_CROPS},
        "audit/unet-hssayeni-lesion-crops": {"crops": "lesion"},
        "audit/unet-hssayeni-all-crops": {"crops": "all"},
        "audit/densenet169-lesion-crops": {"crops": "lesion"},
        "audit/densenet169-all-crops": {"crops": "all"},
    },
)

# A row that is trained long enough to segment, and one that is to show how it fails.
_LONGER = {
    "epochs": 4,
    "steps_per_epoch": 225,
    "inference_stride": None,
    "validation_crops": 320,
}
_APPROACH2 = {"steps_per_epoch": 96}
# As long a training as the 3-D rows have.
_BESIDE_3D_DEMO = {
    "epochs": 4,
    "steps_per_epoch": 190,
    "inference_stride": None,
    "validation_crops": 96,
}

DEMO = Profile(
    name="demo",
    size=64,
    tile=32,
    stride=16,
    inference_stride=32,
    folds="holdout",
    epochs=1,
    steps_per_epoch=24,
    batch=8,
    learning_rate=2e-3,
    schedule="cosine",
    decay=0.0,
    lesion_share=0.6,
    augmentation="flip",
    batch_norm_momentum=0.9,
    output_bias=-3.0,
    validation_crops=0,
    phantom={
        "cases": 120,
        "seed": 0,
        "slices": 20,
        "size": 128,
        "bleeding_share": 0.7,
    },
    slices="all",
    split=(0.8, 0.05, 0.15),
    deviations=(
        PHANTOM_INSTEAD + "ct-ich: 120 heads of 20 slices, seven of ten bleeding",
        "slices of 64 pixels instead of 512, 9 crops of 32 at stride 16 instead of 49 "
        "of 128 at stride 64, joined at inference from 4 tiles side by side",
        "one hold-out split by patient instead of five folds",
        "24 steps of 8 crops in one epoch without validation instead of 100 epochs: "
        "enough to see that a row runs, not what it can do; 900 for "
        "table2/vgg16-random-bce, which needs no ImageNet weights and answers whole "
        "slices; 96 for approach 2",
        "crops of all slices, six of ten with hemorrhage (three of four for the row "
        "that is trained longer), drawn evenly from the heads",
        "Adam from 2e-3 down to 0 on a cosine instead of 1e-5",
        "batch-normalisation momentum 0.9 instead of 0.99, since the run is short",
        "the last bias starts at -3 instead of 0",
        "left and right mirrored instead of the augmentation of [2], since few crops "
        "are seen twice",
        "random weights where ImageNet weights cannot be had, said in the row",
    ),
    row_changes={
        "table2/vgg16-random-bce": {**_LONGER, "lesion_share": 0.75},
        "table2/approach2": _APPROACH2,
        "audit/approach2-bce": _APPROACH2,
        "audit/approach2-random": _APPROACH2,
        "audit/approach2-hu": _APPROACH2,
        "volume3d/2d": _BESIDE_3D_DEMO,
        "audit/lesion-crops": {**_BESIDE_3D_DEMO, **_LESION_CROPS},
    },
)

# The network behind `predict`: a small UNet++ on the phantom at half the in-plane size.
# Many heads, few passes over each.
SHIPPED = dataclasses.replace(
    DEMO,
    name="shipped",
    size=256,
    tile=128,
    stride=64,
    inference_stride=64,
    epochs=10,
    steps_per_epoch=600,
    validation_crops=400,
    phantom={"cases": 450, "seed": 1, "size": 256, "bleeding_share": 0.75},
    split=(0.86, 0.05, 0.09),
    deviations=(),
    row_changes={},
)

# The same without real masks: three of four lesions painted on real heads.
PAINTED_SHIPPED = PaintedProfile(
    **{
        **{
            field.name: getattr(SHIPPED, field.name)
            for field in dataclasses.fields(SHIPPED)
        },
        "tile": 192,
        "inference_stride": None,
        "epochs": 14,
        "steps_per_epoch": 250,
        "augmentation": "any_scanner",
        "validation_crops": 400,
        "copies": 20,
    }
)

PAINTED_DEMO = dataclasses.replace(
    PAINTED_SHIPPED,
    name="demo",
    inference_stride=64,
    epochs=4,
    steps_per_epoch=200,
    phantom={**SHIPPED.phantom, "cases": 120},
    copies=8,
)

REAL_HEADS_SHIPPED = RealHeadsProfile(
    **{
        **{
            field.name: getattr(PAINTED_SHIPPED, field.name)
            for field in dataclasses.fields(PAINTED_SHIPPED)
        },
        "tile": 128,
        "batch": 4,
        "epochs": 34,
        "steps_per_epoch": 60,
        "learning_rate": 1e-3,
        "lesion_share": 0.65,
        "batch_norm_momentum": None,
        "output_bias": None,
        "validation_crops": 96,
        "copies": 12,
    },
    phantom_heads=60,
    warmup_steps=50,
    average=0.99,
)

CLASSIFIER_PAPER = ClassifierProfile(
    name="paper",
    cpu_layers=False,
    size=256,
    images="windows",
    split="burduja2020",
    slices=Stage(epochs=3, batch=32, learning_rate=1e-5, parts=10),
    sequence=Stage(epochs=5, batch=16, learning_rate=3e-5, precision="float32"),
    augmentation="burduja2020",
    phantom={},
    deviations=(
        "slices in shuffled order; [1] did not shuffle",
        "16 scans of like length at a time in the sequence model instead of one",
        "principal components of the features of all training slices instead of the "
        "first 1,000 batches'",
    ),
)

# The same without the leak of [1]'s split: as many scans held out, by patient.
CLASSIFIER_PAPER_BY_PATIENT = dataclasses.replace(
    CLASSIFIER_PAPER,
    name="paper-by-patient",
    split=744 / 21_744,
    deviations=(
        *CLASSIFIER_PAPER.deviations,
        "scans held out by patient instead of the last 744 series",
    ),
)

_DEMO_SLICES = Stage(
    epochs=1,
    parts=5,
    steps_per_epoch=240,
    batch=16,
    learning_rate=2e-3,
    schedule="cosine",
)
CLASSIFIER_DEMO = ClassifierProfile(
    name="demo",
    size=128,
    images="windows",
    split=0.25,
    slices=_DEMO_SLICES,
    sequence=Stage(
        epochs=20,
        batch=8,
        learning_rate=1e-3,
        schedule="cosine",
        precision="float32",
    ),
    augmentation="burduja2020_mild",
    phantom={
        "cases": 200,
        "seed": 0,
        "slices": 20,
        "size": 128,
        "bleeding_share": 0.7,
    },
    network={
        "model": "resnext",
        "arguments": {**SMALL_RESNEXT, "init": "random"},
    },
    sequence_arguments={"components": 32, "hidden": 48, "layers": 2},
    row_changes=dict.fromkeys(
        (
            "ct-ich-slices/resnext",
            "ct-ich-slices/resnext-lstm",
            "ct-ich-slices/resnext-painted",
        ),
        {
            "images": "brain",
            "split": 5,
            "slices": dataclasses.replace(_DEMO_SLICES, steps_per_epoch=80, batch=32),
            "network": {},
            "sequence_arguments": {},
            "deviations": (),
        },
    ),
    deviations=(
        PHANTOM_INSTEAD + "RSNA 2019: 200 heads of 20 slices, seven of ten bleeding",
        "a small ResNeXt (one block a stage) from random weights instead of "
        "ResNeXt-101 32x8d from Instagram weights, images of 128 pixels instead of 256",
        "a quarter of the patients held out instead of the last 744 series",
        "1200 steps of 16 slices from 2e-3 down to 0 on a cosine instead of 3 epochs "
        "at 1e-5",
        "images rotated by 10 degrees at most instead of 45, brightness and contrast "
        "as they are",
        "32 components instead of 120, two LSTM layers of 48 instead of three of 256, "
        "20 epochs from 1e-3 instead of 5 at 3e-5, 8 scans at a time instead of one",
    ),
)

# The classifier behind `predict` and `explain`: the demo's, trained longer on more.
CLASSIFIER_SHIPPED = dataclasses.replace(
    CLASSIFIER_DEMO,
    name="shipped",
    phantom={**CLASSIFIER_DEMO.phantom, "cases": 260},
    slices=dataclasses.replace(_DEMO_SLICES, steps_per_epoch=460),
    network={},
    sequence_arguments={},
    row_changes={},
    deviations=(),
)

# Whole volumes of up to 32 slices, deeper ones in two patches.
VOLUME_PAPER = VolumeProfile(
    name="paper",
    cpu_layers=False,
    size=512,
    patch=(32, 512, 512),
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
)

# On the heads and the split of the 2-D demo.
VOLUME_DEMO = dataclasses.replace(
    VOLUME_PAPER,
    name="demo",
    size=DEMO.size,
    patch=(16, 32, 32),
    filters=8,
    # TensorFlow 2.21 on a CPU now and then gives NaN for bfloat16 convolutions of
    # fewer than 16 channels.
    precision="float32",
    folds=DEMO.folds,
    split=DEMO.split,
    epochs=4,
    steps_per_epoch=32,
    batch=4,
    learning_rate=3e-3,
    validation_steps=8,
    phantom=DEMO.phantom,
    deviations=(
        "3-D rows: patches of 16x32x32, six of ten around hemorrhage, from slices of "
        "64 pixels instead of whole volumes of 512; 8 filters instead of 16",
        "4 epochs of 32 steps of 4 patches for the added skips, of 20 for the "
        "concatenated, of 190 steps of 8 crops of 32x32 for the 2-D row: about as "
        "long a training for each on two cores without bfloat16",
        "3-D rows: Adam from 3e-3 instead of 1e-3, in float32",
    ),
    row_changes={"volume3d/concat": {"steps_per_epoch": 20}},
)

# `run_all.sh --quick`: the demo cut so short that its numbers mean nothing.
_QUICK_PHANTOM = {
    "cases": 16,
    "seed": 0,
    "slices": 12,
    "size": 128,
    "bleeding_share": 0.7,
}
_QUICK_DEVIATIONS = (
    "the settings of the demo on 16 phantom heads of 12 slices, with a few training "
    "steps: it shows that everything runs, and nothing else",
)
QUICK = dataclasses.replace(
    DEMO,
    name="quick",
    steps_per_epoch=10,
    phantom=_QUICK_PHANTOM,
    split=(0.6, 0.15, 0.25),
    deviations=_QUICK_DEVIATIONS,
    row_changes={},
)
VOLUME_QUICK = dataclasses.replace(
    VOLUME_DEMO,
    name="quick",
    patch=(8, 32, 32),
    epochs=1,
    steps_per_epoch=6,
    validation_steps=2,
    phantom=_QUICK_PHANTOM,
    split=QUICK.split,
    deviations=_QUICK_DEVIATIONS,
    row_changes={},
)
CLASSIFIER_QUICK = dataclasses.replace(
    CLASSIFIER_DEMO,
    name="quick",
    split=0.4,
    slices=dataclasses.replace(_DEMO_SLICES, parts=2, steps_per_epoch=20),
    sequence=dataclasses.replace(CLASSIFIER_DEMO.sequence, epochs=3, batch=4),
    phantom=_QUICK_PHANTOM,
    deviations=_QUICK_DEVIATIONS,
    row_changes={},
)

PROFILES = {"paper": PAPER, "demo": DEMO, "quick": QUICK, "shipped": SHIPPED}
PAINTED_PROFILES = {"demo": PAINTED_DEMO, "shipped": PAINTED_SHIPPED}
REAL_HEADS_PROFILES = {"shipped": REAL_HEADS_SHIPPED}
VOLUME_PROFILES = {"paper": VOLUME_PAPER, "demo": VOLUME_DEMO, "quick": VOLUME_QUICK}
CLASSIFIER_PROFILES = {
    "paper": CLASSIFIER_PAPER,
    "paper-by-patient": CLASSIFIER_PAPER_BY_PATIENT,
    "demo": CLASSIFIER_DEMO,
    "quick": CLASSIFIER_QUICK,
    "shipped": CLASSIFIER_SHIPPED,
}


def profile(task: str, name: str) -> Profile | VolumeProfile | ClassifierProfile:
    """The scale of a kind of experiments.

    Raises:
        ValueError: if there is none of this name; the message lists the known ones.
    """
    known = {
        "volumes": VOLUME_PROFILES,
        "synthetic": PAINTED_PROFILES,
        "real-heads": REAL_HEADS_PROFILES,
        "classification": CLASSIFIER_PROFILES,
    }.get(task, PROFILES)
    if name not in known:
        raise ValueError(
            f"There is no profile {name!r} for {task}. Known: {', '.join(known)}"
        )
    return known[name]
