"""The small network behind `predict`, trained on the phantom; no row of the report."""

from ich_tf.experiments import spec

ROWS = (
    spec.Experiment(
        id="shipped/unetplusplus-phantom",
        title="UNet++, plain, small",
        model="unetplusplus",
        arguments={
            "filters": (16, 24, 48, 96, 160),
            "upsampling": "nearest",
            "batch_normalization": True,
        },
        loss="bce_jaccard",
        approach="approach1",
        channels=1,
        reported={},
        states="Not in the report: whole slices of 256 pixels, so that `predict` is "
        "quick on a laptop.",
    ),
)
