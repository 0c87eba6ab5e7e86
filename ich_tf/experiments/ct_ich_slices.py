"""The classifier on the slices of ct-ich: real labels, few patients, one window.

Not in the report, and another data set than Table I's: five folds by patient, every
patient held out once, numbers pooled over the folds.
"""

from ich_tf.experiments import spec

_COMMON = {
    "model": "resnext",
    "arguments": spec.SMALL_RESNEXT,
    "loss": "bce",
    "reported": {},
    "states": "Not in the report.",
    "dataset": "ct-ich",
}

ROWS = (
    spec.Classifier(
        id="ct-ich-slices/resnext",
        title="ResNeXt, small",
        slices_from=None,
        sequence=None,
        **_COMMON,
    ),
    spec.Classifier(
        id="ct-ich-slices/resnext-lstm",
        title="ResNeXt, PCA, BiLSTM, small",
        slices_from="ct-ich-slices/resnext",
        sequence={"components": 32, "hidden": 48, "layers": 2},
        **_COMMON,
    ),
)
