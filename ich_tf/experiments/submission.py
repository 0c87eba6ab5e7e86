"""Probabilities of the test part of RSNA 2019 in the file that Kaggle scores.

The labels of the test part are not public. A late submission is therefore the only way
to check a number on the report's test split.
"""

import csv
import pathlib
from collections.abc import Iterator

import numpy as np

from ich_tf import files, labels
from ich_tf.data.rsna.dataset import Rsna
from ich_tf.data.rsna.scan import read_scan
from ich_tf.experiments import runner, spec, trained_classifier
from ich_tf.experiments.runner import Run
from ich_tf.experiments.task import Say
from ich_tf.experiments.tasks import classifier_networks as networks
from ich_tf.prediction import classify
from ich_tf.preprocessing.classification import sequences

UNKNOWN = 0.5
"""Probability written for an image that cannot be read: the file must have all."""


def write(run: Run, test: Rsna, out: pathlib.Path, say: Say) -> int:
    """Predict every image of the test part with a finished row's first network.

    Args:
        run: A finished run of a classifier.
        test: The test part.
        out: The file to write: `ID,Label`, six rows for each image.
        say: Takes a line of progress.

    Returns:
        Number of images that could not be read, whose probabilities are `UNKNOWN`.

    Raises:
        ValueError: if the row is no classifier or not finished.
    """
    if not isinstance(run.experiment, spec.Classifier):
        raise ValueError(f"{run.experiment.id} gives no probabilities of slices.")
    runner.check_finished(run)
    unread = test.left_out_images()
    count, every = len(unread), len(test.case_ids())
    with files.atomic(out) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("ID", "Label"))
        for image in unread:
            writer.writerows(_rows(image, np.full(len(labels.CLASSES), UNKNOWN)))
        for number, (names, probabilities) in enumerate(_scans(run, test, say), 1):
            for image, values in zip(names, probabilities, strict=True):
                count += bool(np.isnan(values).any())
                writer.writerows(_rows(image, np.nan_to_num(values, nan=UNKNOWN)))
            if number % 100 == 0:
                say(f"{number} of {every} scans")
    return count


def _rows(image: str, values: np.ndarray) -> Iterator[tuple[str, str]]:
    for name, value in zip(labels.CLASSES, values, strict=True):
        yield f"{image}_{name}", f"{value:.6g}"


def _scans(run: Run, test: Rsna, say: Say) -> Iterator[tuple]:
    """Names of a scan's images and (z, 6) probabilities, NaN where unread."""
    slices = run if run.experiment.sequence is None else networks.slice_run(run)
    network = trained_classifier.of_run(slices)
    sequence = None
    if run.experiment.sequence is not None:
        width = network.model.get_layer("features").output.shape[-1]
        sequence = networks.load_sequence(run, width)
    for case_id in test.case_ids():
        scan = test.slices(case_id)
        values = np.full((len(scan.files), len(labels.CLASSES)), np.nan)
        try:
            volume, kept = read_scan(scan.files)
        except ValueError as error:
            say(f"not read: {error}")
        else:
            features, probabilities = classify.slice_answers(network, volume)
            if sequence is not None:
                alone = sequences.Scans(
                    features, probabilities, np.array([len(features)])
                )
                (probabilities,) = sequences.by_scan(
                    alone, 1, sequence.predict_on_batch
                )
            values[kept] = probabilities
        yield scan.image_ids, values
