"""Table III of the report: the best UNet++ against the U-Net of [2].

The UNet++ row is the last row of Table II; it is trained once, there.
"""

from ich_tf.experiments import spec
from ich_tf.experiments.reported import reported
from ich_tf.experiments.rows import table2
from ich_tf.experiments.settings import changed

# Without normalisation, the rate of the other rows leaves the network at 0.
SETTINGS = changed(
    table2.SETTINGS, demo={"learning_rate": 5e-4}, study={"learning_rate": 2.5e-4}
)
_table = reported()["table3"]

ROWS = (
    spec.Experiment(
        id="table3/unet-hssayeni",
        title="UNet [2]",
        model="unet_hssayeni",
        arguments={},
        loss="bce",
        approach="approach1",
        channels=1,
        reported={
            "table3": dict(
                zip(_table["columns"], _table["rows"]["unet_hssayeni"], strict=True)
            )
        },
        states="Numbers quoted from [2]: five folds, 100 epochs, brain window 40/120.",
        leaves_open=("which of [2]'s two published codes (JPG or NIfTI) they are of",),
        assumptions=(
            "the rules of [2]'s paper and of its code for JPG files",
            table2.CROPS,
        ),
        settings=SETTINGS,
    ),
)
UNETPP = "table2/densenet169-imagenet-jaccard"
SHOWN = (UNETPP, "table3/unet-hssayeni")
