"""Section V of the report: a 3-D UNet++ over whole volumes, and its two remedies.

The report ran out of GPU memory and prints no number. Its remedies, training on the
CPU and adding the skips instead of concatenating them, are rows here; computing
activations again is a third. The 2-D row is trained for as long, on the same cases;
the best row of Table II stands beside them, as long as that was trained.
"""

from ich_tf.experiments import spec

STATES = (
    "'training the model has always faced GPU memory allocation issues', so it prints "
    "no number; it proposes the CPU, or adding the tensors of the skip connections"
)
ASSUMPTIONS = (
    "UNet++ of five levels with 3x3x3 convolutions and instance normalization",
    "depth halved at the lowest two levels only, because slices are thick",
    "binary cross-entropy and Jaccard distance, Adam from 1e-3 down to 0 on a cosine",
)


def _row(name, title, skip, remat, trained_as=None):
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
        leaves_open=("all but the proposal to add or to use the CPU",),
        assumptions=ASSUMPTIONS,
        trained_as=trained_as,
    )


ROWS = (
    _row("concat", "3-D UNet++, concatenated", "concat", False),
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
        arguments={
            "filters": (8, 16, 32, 64, 128),
            "upsampling": "nearest",
            "batch_normalization": True,
        },
        loss="bce_jaccard",
        approach="approach1",
        channels=1,
        reported={},
        states="nothing of this network",
        leaves_open=("everything",),
        assumptions=("the same levels and filters as the 3-D rows of the demo",),
    ),
)
SHOWN = (*(row.id for row in ROWS), "table2/densenet169-imagenet-jaccard")
