"""Rows of Tables II and III through the runner, with a threshold for a network.

What is tested with it reads result files; training would only take time.
"""

import dataclasses

import numpy as np
import pytest

from ich_tf.data import ct_ich
from ich_tf.experiments import profiles, reproduce, runner
from ich_tf.experiments.task import TrainedFold
from ich_tf.experiments.tasks.segmentation import SegmentationTask

BEST, UNET = "table2/densenet169-imagenet-jaccard", "table3/unet-hssayeni"
TINY = dataclasses.replace(
    profiles.DEMO,
    size=64,
    tile=32,
    stride=16,
    inference_stride=32,
    phantom={"cases": 8, "seed": 4, "slices": 6, "size": 64, "bleeding_share": 0.6},
    split=(0.25, 0.25, 0.5),
    row_changes={},
)
FOLDS = dataclasses.replace(TINY, name="paper", folds="hssayeni2020")


class Threshold:
    """Answers as a network does: what is above a level in its window is blood."""

    compiled = True

    def __init__(self, level):
        self.level = level

    def predict_on_batch(self, images):
        return 1 / (1 + np.exp(-30 * (images[..., :1] - self.level)))


def run(folders: runner.Folders, names, profile="demo", identity=None, level=0.62):
    """Results of rows at a tiny scale; `identity` is what the phantom passes for."""

    def train(task, of, number, say, **modes):
        init = of.experiment.arguments.get("init", "random")
        return TrainedFold(Threshold(level), [{"epoch": 1, "seconds": 1.0}], init)

    told = ct_ich.CtIch._identity
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch)
        patch.setattr(SegmentationTask, "train", train)
        patch.setattr(
            ct_ich.CtIch,
            "_identity",
            lambda self, counts: identity or told(self, counts),
        )
        return reproduce.reproduce(
            names, folders, profile=profile, say=lambda line: None
        )


def tiny(patch) -> None:
    """Make both profiles tiny, on the phantom."""
    patch.setitem(profiles.PROFILES, "demo", TINY)
    patch.setitem(profiles.PROFILES, "paper", FOLDS)
    patch.setattr(
        reproduce, "_say_forecast", lambda waiting, say: [1.0 for _ in waiting]
    )
    patch.delenv("ICH_TF_CT_ICH", raising=False)
