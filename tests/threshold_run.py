"""Rows of Tables II and III through the runner, with a threshold for a network.

What is tested with it reads result files; training would only take time.
"""

import dataclasses

import numpy as np
import small

from ich_tf.experiments import lookup, reproduce, runner
from ich_tf.experiments.catalog import Catalog
from ich_tf.experiments.task import TrainedFold
from ich_tf.experiments.tasks.segmentation import SegmentationTask

BEST, UNET = "table2/densenet169-imagenet-jaccard", "table3/unet-hssayeni"
PHANTOM = {"cases": 8, "seed": 4, "slices": 6, "size": 64, "bleeding_share": 0.6}
TINY = dataclasses.replace(small.SEGMENTATION, phantom=PHANTOM, split=(0.25, 0.25, 0.5))
STUDY = dataclasses.replace(TINY, name="study")
FOLDS = dataclasses.replace(TINY, name="paper", folds="hssayeni2020")


def with_settings(row):
    """The row with every profile small, on the phantom."""
    if "demo" not in row.settings or not hasattr(row.settings["demo"], "tile"):
        return row
    return dataclasses.replace(
        row, settings={"demo": TINY, "paper": FOLDS, "study": STUDY}
    )


CATALOG = Catalog(
    {
        name: tuple(map(with_settings, small.CATALOG.rows(name)))
        for name in small.CATALOG.names
    }
)
TABLES = {
    table.name: dataclasses.replace(
        table,
        rows=tuple(CATALOG.row(row.id) for row in table.rows),
        compared=tuple(CATALOG.row(row.id) for row in table.compared),
    )
    for table in small.TABLES.values()
}


class Threshold:
    """Predicts as a network does: what is above a level in its window is blood."""

    compiled = True

    def __init__(self, level):
        self.level = level

    def predict_on_batch(self, images):
        return 1 / (1 + np.exp(-30 * (images[..., :1] - self.level)))


class ThresholdTask(SegmentationTask):
    """The kind of experiment that needs no training."""

    def __init__(self, level):
        self.level = level

    def train(self, run, number, *, resume=False, fresh=False, say):
        init = run.experiment.wanted_init
        history = [{"epoch": 1, "seconds": 1.0}]
        return TrainedFold(Threshold(self.level), history, init)


class Renamed:
    """A data set under another identity."""

    def __init__(self, dataset, identity):
        self._dataset, self._identity = dataset, identity

    def __getattr__(self, name):
        return getattr(self._dataset, name)

    def fingerprint(self):
        return {**self._dataset.fingerprint(), "identity": self._identity}


@dataclasses.dataclass(frozen=True)
class ThresholdRun(runner.Run):
    """A run whose network is a threshold."""

    level: float = 0.62

    @property
    def task(self):
        if isinstance(super().task, SegmentationTask):
            return ThresholdTask(self.level)
        return super().task


def runs(folders, names, profile="demo", identity=None, level=0.62, seed=0):
    """Runs of small rows; `identity` is what the phantom passes for."""
    found = lookup.find_runs(names, profile, folders, print, seed, rows=CATALOG)
    for run in found:
        fields = {
            field.name: getattr(run, field.name) for field in dataclasses.fields(run)
        }
        if identity:
            fields["dataset"] = Renamed(run.dataset, identity)
        yield ThresholdRun(**fields, level=level)


def run(folders, names, profile="demo", identity=None, level=0.62, seed=0):
    """Results of `runs`."""
    made = runs(folders, names, profile, identity, level, seed)
    return reproduce.reproduce(made, say=lambda line: None)
