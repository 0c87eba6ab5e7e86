"""The small networks behind `predict` and `explain`; no rows of the report."""

from ich_tf.experiments import spec
from ich_tf.experiments.rows import painted

RESNEXT = {
    "depths": (1, 1, 1, 1),
    "cardinality": 8,
    "width": 4,
    "filters": 32,
}

ROWS = (
    spec.Experiment(
        id="shipped/unetplusplus-phantom",
        title="UNet++, plain, small",
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
        states="Not in the report: whole slices of 256 pixels, so that `predict` is "
        "quick on a laptop.",
    ),
    painted.row(
        "shipped/unetplusplus-painted",
        "UNet++, plain, on painted and phantom slices",
        "Not in the report: the network behind `predict`.",
        begins_with="unetplusplus-phantom",
    ),
    spec.RealHeadsExperiment(
        id="shipped/real-heads",
        title="UNet++, plain, subtypes on three slices of painted scans",
        model="unetplusplus",
        arguments={
            "filters": (16, 32, 64, 128, 256),
            "upsampling": "nearest",
            "batch_normalization": True,
            "classes": 6,
            "activation": "softmax",
        },
        loss="subtype_tversky",
        approach="approach1",
        channels=3,
        reported={},
        states="Not in the report: mask, subtypes and probabilities from one network.",
        begins_with="unetplusplus-painted",
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
    ),
)
