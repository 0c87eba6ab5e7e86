"""Table II of the report: UNet++ with five backbones on ct-ich."""

import dataclasses

from ich_tf.experiments import spec
from ich_tf.experiments.reported import reported
from ich_tf.experiments.settings import Deviation, SegmentationSettings

LEAVES_OPEN = (
    "folds, optimizer, learning rate and batch size",
    "which crops are trained on",
    "threshold, post-processing and how 'Avg.' is taken",
    "which of UNet++'s two published graphs, and its upsampling",
    "the range of the input",
    "which of two losses is meant by 'Jaccard Distance', and its sums",
    "how the decoder is initialised",
)
CROPS = (
    "training with the crops that hold blood of the slices with hemorrhage, and with "
    "all 49 crops of one random slice without per subject; validation with the crops "
    "that hold blood alone; as in [2]'s code for JPG files"
)
ASSUMPTIONS = (
    "folds, Adam 1e-5 with its decay, batch 32 and augmentation of [2]",
    CROPS,
    "protocol hssayeni2020",
    "graph 'official' (the published Keras code of [5]) with nearest upsampling",
    "channels in [0, 1], which a pretrained encoder gets in its ImageNet range",
    "the soft Jaccard distance over a batch; keras-contrib's is a row of the audit",
    "a decoder over a backbone starts as in [5]'s code (glorot_uniform)",
)


# The setting of the report, as far as it is known, else of [2].
PAPER = SegmentationSettings(
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
    crops="hssayeni2020_jpg",
    cpu_layers=False,
)

# Every row in minutes on two cores.
DEMO = SegmentationSettings(
    name="demo",
    size=64,
    tile=32,
    stride=16,
    inference_stride=32,
    folds="holdout",
    epochs=4,
    steps_per_epoch=75,
    batch=8,
    learning_rate=1e-3,
    schedule="cosine",
    warmup_steps=75,
    keep_last=True,
    decay=0.0,
    lesion_share=0.75,
    augmentation="flip",
    batch_norm_momentum=0.9,
    output_bias=-3.0,
    validation_crops=96,
    phantom={
        "cases": 80,
        "seed": 0,
        "slices": 20,
        "size": 128,
        "bleeding_share": 0.7,
    },
    slices="all",
    split=(0.7, 0.05, 0.25),
    deviations=(
        Deviation(
            "the phantom instead of ct-ich: 80 heads of 20 slices, seven of ten "
            "bleeding",
            phantom_only=True,
        ),
        Deviation(
            "slices of 64 pixels instead of 512, 9 crops of 32 at stride 16 instead of "
            "49 of 128 at stride 64, joined at inference from 4 tiles side by side"
        ),
        Deviation("one hold-out split by patient instead of five folds"),
        Deviation(
            "four epochs of 75 steps of 8 crops for every row instead of 100 epochs: "
            "enough to learn something, not to show what a row can do"
        ),
        Deviation(
            "crops of all slices, three of four with hemorrhage, drawn evenly from the "
            "heads"
        ),
        Deviation(
            "Adam up to 1e-3 within the first epoch, then down to 0 on a cosine, "
            "instead of 1e-5; the last epoch is kept, not the best, since four "
            "validation heads are too few to choose by"
        ),
        Deviation(
            "batch-normalisation momentum 0.9 instead of 0.99, since the run is short"
        ),
        Deviation("the last bias starts at -3 instead of 0"),
        Deviation(
            "left and right mirrored instead of the augmentation of [2], since few "
            "crops are seen twice"
        ),
        Deviation(
            "random weights where ImageNet weights cannot be had, stated in the row"
        ),
    ),
)

# `run_all.sh --quick`: the demo cut so short that its numbers mean nothing.
QUICK_PHANTOM = {
    "cases": 16,
    "seed": 0,
    "slices": 12,
    "size": 128,
    "bleeding_share": 0.7,
}
QUICK_DEVIATIONS = (
    Deviation(
        "the settings of the demo on 16 phantom heads of 12 slices, with a few "
        "training steps: it shows that everything runs, and nothing else"
    ),
)
QUICK = dataclasses.replace(
    DEMO,
    name="quick",
    epochs=1,
    steps_per_epoch=10,
    warmup_steps=0,
    validation_crops=0,
    phantom=QUICK_PHANTOM,
    split=(0.6, 0.15, 0.25),
    deviations=QUICK_DEVIATIONS,
)

# Every row until it no longer improves, in a night on two cores.
STUDY = dataclasses.replace(
    DEMO,
    name="study",
    size=128,
    tile=64,
    stride=32,
    inference_stride=64,
    epochs=16,
    steps_per_epoch=50,
    batch=4,
    learning_rate=1e-3,
    schedule="inverse_time",
    warmup_steps=0,
    keep_last=False,
    validation_crops=128,
    patience=4,
    phantom={**DEMO.phantom, "cases": 160},
    split=(0.7, 0.1, 0.2),
    deviations=(
        Deviation(
            "the phantom instead of ct-ich: 160 heads of 20 slices, seven of ten "
            "bleeding",
            phantom_only=True,
        ),
        Deviation(
            "slices of 128 pixels instead of 512, 9 crops of 64 at stride 32 instead "
            "of 49 of 128 at stride 64, joined at inference from 4 tiles side by side"
        ),
        Deviation("one hold-out split by patient instead of five folds"),
        Deviation(
            "epochs of 50 steps of 4 crops until the soft Jaccard of the validation "
            "heads has not risen for 4 epochs, 16 at most, instead of 100 epochs"
        ),
        Deviation(
            "crops of all slices, three of four with hemorrhage, drawn evenly from the "
            "heads"
        ),
        Deviation("Adam at 1e-3 instead of 1e-5"),
        *DEMO.deviations[-4:],
    ),
)

SETTINGS = {"paper": PAPER, "demo": DEMO, "quick": QUICK, "study": STUDY}


def _row(printed: dict) -> spec.Experiment:
    backbone, init, loss = printed["backbone"], printed["init"], printed["loss"]
    numbers = {"jaccard": printed["jaccard"], "dice": printed["dice"]}
    tables = {"table2": numbers}
    if (backbone, init, loss) == ("densenet169", "imagenet", "jaccard"):
        table3 = reported()["table3"]
        columns = zip(table3["columns"], table3["rows"]["unetpp"], strict=True)
        tables["table3"] = dict(columns)
    return _experiment(
        f"table2/{backbone}-{init}-{loss}",
        backbone,
        init,
        loss,
        "approach1",
        tables,
        "100 epochs, crops of 128 at stride 64, brain window 40/120 in three channels.",
    )


def _experiment(id_, backbone, init, loss, approach, tables, states, suffix=""):
    names = {"imagenet": "imagenet", "random": "RI", "bce": "BCE", "jaccard": "JD"}
    return spec.Experiment(
        id=id_,
        title=f"{backbone}, {names[init]}, {names[loss]}{suffix}",
        model="unetplusplus",
        arguments={"backbone": backbone, "graph": "official", "init": init},
        loss=loss,
        approach=approach,
        channels=3,
        reported=tables,
        states=states,
        leaves_open=LEAVES_OPEN,
        assumptions=ASSUMPTIONS,
        settings=SETTINGS,
        random_twin=_random_twin(backbone, init, loss),
    )


def _random_twin(backbone: str, init: str, loss: str) -> str | None:
    """Id of the printed row that differs in its random weights alone, if any."""
    twins = (
        printed
        for printed in reported()["table2"]["rows"]
        if init != "random"
        and (printed["backbone"], printed["init"], printed["loss"])
        == (backbone, "random", loss)
    )
    return next((f"table2/{backbone}-random-{loss}" for _ in twins), None)


ROWS = (
    *(_row(printed) for printed in reported()["table2"]["rows"]),
    _experiment(
        "table2/approach2",
        "densenet169",
        "imagenet",
        "jaccard",
        "approach2",
        {},
        "Three windows as three channels: 'did not segment any ICH region and "
        "predicted only black pixels'.",
        " (approach 2)",
    ),
)
