"""Table I of the report: ResNeXt-101 32x8d, PCA and bidirectional LSTM on RSNA 2019.

The report prints one row of numbers for each class, of the whole chain. The slice
network alone stands beside it, to show what the sequence model adds.
"""

from ich_tf import labels
from ich_tf.experiments import spec

_table = spec.reported()["table1"]


def _numbers() -> dict[str, dict[str, float]]:
    """Class to column to the printed number."""
    return {
        labels.CLASSES[labels.index(name)]: dict(
            zip(_table["columns"], numbers, strict=True)
        )
        for name, numbers in _table["rows"].items()
    }


WEIGHTS = "the WSL weights of [1]'s code; the report says ImageNet"
_SLICES = {
    "model": "resnext101_32x8d",
    "arguments": {"init": "wsl"},
    "loss": "bce",
}

ROWS = (
    spec.Classifier(
        id="table1/resnext101",
        title="ResNeXt-101",
        slices_from=None,
        sequence=None,
        reported={},
        states="No numbers of the slice network alone; its third epoch is used.",
        leaves_open=("optimizer, learning rate, batch size",),
        assumptions=(
            "Adam 1e-5, batch 32 and 3 epochs as in [1]'s code",
            WEIGHTS,
        ),
        **_SLICES,
    ),
    spec.Classifier(
        id="table1/resnext101-lstm",
        title="ResNeXt-101, PCA, BiLSTM",
        slices_from="table1/resnext101",
        sequence={
            "components": 120,
            "hidden": 256,
            "layers": 3,
            "dropout": 0.3,
            "head_dropout": 0.5,
        },
        reported={
            "table1": {
                **_numbers(),
                "all": {"validation_loss": _table["validation_loss"]},
            }
        },
        states="CNN of the third epoch, LSTM of the fifth; 744 validation scans.",
        leaves_open=(
            "optimizer, learning rate, batch size, dropout",
            "how scans are scored from slices",
            "which 744 scans are held out",
        ),
        assumptions=(
            "Adam 3e-5, 5 epochs and dropout of [1]'s code",
            "a scan's probability is the maximum over its slices, as in [1]",
            "the last 744 series in order of first appearance, as in [1]; without a "
            "metadata table that is the order of the images' names",
            WEIGHTS,
        ),
        **_SLICES,
    ),
)
