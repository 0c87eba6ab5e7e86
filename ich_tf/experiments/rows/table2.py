"""Table II of the report: UNet++ with five backbones on ct-ich."""

from ich_tf.experiments import spec

LEAVES_OPEN = (
    "folds, optimizer, learning rate and batch size",
    "which crops are trained on",
    "threshold, post-processing and how 'Avg.' is taken",
    "which of UNet++'s two published graphs, and its upsampling",
    "the range of the input",
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
)


def _row(reported: dict) -> spec.Experiment:
    backbone, init, loss = reported["backbone"], reported["init"], reported["loss"]
    numbers = {"jaccard": reported["jaccard"], "dice": reported["dice"]}
    tables = {"table2": numbers}
    if (backbone, init, loss) == ("densenet169", "imagenet", "jaccard"):
        table3 = spec.reported()["table3"]
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
    )


ROWS = (
    *(_row(reported) for reported in spec.reported()["table2"]["rows"]),
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
