"""The classifier on the slices of ct-ich: real labels, few patients, one window.

Not in the report, and another data set than Table I's: five folds by patient, every
patient held out once, numbers pooled over the folds. One row learns from painted
hemorrhage first: does that help where labels are few?
"""

import dataclasses

from ich_tf.experiments import spec
from ich_tf.experiments.rows import table1
from ich_tf.experiments.settings import TrainingStage

# Five folds by patient, images of the one window that the files have.
DEMO = dataclasses.replace(
    table1.DEMO,
    images="brain",
    split=5,
    slices=dataclasses.replace(table1.DEMO.slices, steps_per_epoch=80, batch=32),
    phantom={**table1.DEMO.phantom, "cases": 200},
    network={},
    sequence_arguments={},
    deviations=(),
)
_COMMON = {
    "model": "resnext",
    "arguments": spec.SMALL_RESNEXT,
    "loss": "bce",
    "reported": {},
    "states": "Not in the report.",
    "dataset": "ct-ich",
    "settings": {"demo": DEMO, "quick": table1.QUICK},
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
    spec.PretrainedClassifier(
        id="ct-ich-slices/resnext-painted",
        title="ResNeXt, small, after painted slices",
        slices_from=None,
        sequence=None,
        copies=8,
        pretraining=TrainingStage(
            epochs=1,
            parts=5,
            steps_per_epoch=80,
            batch=32,
            learning_rate=2e-3,
            schedule="cosine",
        ),
        **_COMMON,
    ),
)
