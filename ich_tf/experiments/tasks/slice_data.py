"""The slices of a classifier's run on disk: shards to train on, and features.

Shards hold the images of all scans, features what a slice network makes of them; both
are made once and read with bounded memory.
"""

import dataclasses
import functools
import itertools
import logging
import pathlib
import shutil
from collections.abc import Callable, Sequence

import numpy as np

from ich_tf import arrays, files, labels
from ich_tf.experiments import provenance
from ich_tf.experiments.results import ADVICE
from ich_tf.experiments.runner import Run
from ich_tf.prediction import segment
from ich_tf.preprocessing.classification import (
    image_pipeline,
    records,
    sequences,
    shard_index,
)
from ich_tf.preprocessing.classification import shards as shards_of_slices
from ich_tf.preprocessing.segmentation.slices import at_size
from ich_tf.synthetic import painted, painting

LOGGER = logging.getLogger(__name__)
TRAIN, HELD_OUT = "train", "held-out"
# Scans that a network answers at once.
SCANS_AT_ONCE = 16
# A compressed image takes about a quarter of its pixels.
COMPRESSED = 0.25
# Of what is left out, so many are named; all are counted.
NAMED = 50


def to_images(run: Run) -> Callable:
    """From a volume to the slice network's images."""
    return functools.partial(records.IMAGES[run.profile.images], size=run.profile.size)


def folder_of_shards(run: Run) -> pathlib.Path:
    """Where a run's shards lie, shared by all rows with the same data and images."""
    key = provenance.digest([run.fingerprint, run.profile.size, run.profile.images])
    return run.folders.results / run.profile.name / "shards" / key


def all_shards(run: Run, say, options: Sequence[str] = ()) -> pathlib.Path:
    """The folder of a run's shards, which are made if they are absent.

    Args:
        run: The run.
        say: Takes a line of progress.
        options: Flags for Apache Beam, see `shards.run`.
    """
    folder = folder_of_shards(run)
    with run.devices.chief_first():
        if not (folder / records.INDEX).is_file():
            say(f"preparing shards of {len(run.fingerprint['cases'])} scans")
            shards_of_slices.run(
                functools.partial(type(run.dataset), run.dataset.root),
                folder,
                size=run.profile.size,
                to_images=to_images(run),
                options=options,
                progress=lambda done, total: say(f"{done} of {total} shards"),
            )
    return folder


def painted_shards(run: Run, number: int, say) -> records.Shards:
    """Painted slices of a fold's training patients without hemorrhage, made if absent.

    The slices of all patients are made at once; a fold takes its own.
    """
    row = run.experiment
    size = functools.partial(at_size, size=row.painted_size)
    painter = painted.PaintedHeads(run.dataset, size, run.seed)
    names = [
        f"{patient}:{copy}"
        for copy in range(row.copies)
        for patient in painter.patients()
    ]
    key = provenance.digest(
        [run.fingerprint, names, row.painted_size, run.profile.size]
        + [run.profile.images, run.seed, painting.VERSION]
    )
    folder = run.folders.results / run.profile.name / "shards" / f"painted-{key}"
    with run.devices.chief_first():
        if not (folder / records.INDEX).is_file():
            say(f"painting {len(names)} copies of heads without hemorrhage")
            shards_of_slices.run(
                functools.partial(dataclasses.replace, painter),
                folder,
                size=run.profile.size,
                case_ids=names,
                to_images=to_images(run),
                progress=lambda done, total: say(f"{done} of {total} shards"),
            )
    own = set(run.folds[number].train)
    return records.Shards(folder, [name for name in names if name.split(":")[0] in own])


def left_out(run: Run) -> dict:
    """What no network saw, as JSON.

    Returns:
        `images` (reason to the number of images with damaged headers or labels),
        `scans` and `slices` (numbers of those whose pixels cannot be read),
        `scan_ids`, and `named`: the file, or scan, and the reason of the first of them.
    """
    index = shard_index.read(folder_of_shards(run) / records.INDEX)
    images = run.dataset.left_out()
    named = [f"{entry['file']}: {entry['message']}" for entry in index["problems"]]
    for entry in (*index["left_out"], *index["left_out_slices"]):
        named.append(f"scan {entry['case_id']}: {entry['reason']}")
    return {
        "images": images,
        "scans": len(index["left_out"]),
        "scan_ids": [entry["case_id"] for entry in index["left_out"]],
        "slices": len(index["left_out_slices"]),
        "named": named[:NAMED],
    }


def disk_bytes(run: Run, width: int) -> int:
    """What shards and features of all scans will take.

    Args:
        run: The run.
        width: Features of a slice.
    """
    slices = sum(facts["slices"] for facts in run.fingerprint["cases"].values())
    image = COMPRESSED * 3 * run.profile.size**2
    answers = 4 * (width + len(labels.CLASSES)) + len(labels.CLASSES)
    return round(slices * (image + answers * len(run.folds)))


def held_out_ids(run: Run, number: int) -> tuple[str, ...]:
    """The held-out scans in the order of their features."""
    source = shards(run, number, HELD_OUT, LOGGER.info)
    return tuple(case_id for group in source.groups for case_id in group.case_ids)


def shards(run: Run, number: int, part: str, say) -> records.Shards:
    """Prepared slices of a part of a fold, made if absent."""
    folder = all_shards(run, say)
    fold = run.folds[number]
    wanted = fold.train if part == TRAIN else (*fold.validation, *fold.test)
    index = shard_index.read(folder / records.INDEX)
    left_out = {scan["case_id"] for scan in index["left_out"]}
    return records.Shards(
        folder, [scan_id for scan_id in wanted if scan_id not in left_out]
    )


def write_features(run: Run, number: int, model, say) -> None:
    """Features and probabilities of all slices of a fold, as memory-mapped arrays."""
    network = segment.feature_predictor(model)
    for part in (TRAIN, HELD_OUT):
        source = shards(run, number, part, say)
        say(f"{run.experiment.id}: features of {part}")
        lengths = [count for group in source.groups for count in group.counts]
        folder = _feature_folder(run, number, part)
        # Of a run that was killed before its fold was complete.
        shutil.rmtree(folder, ignore_errors=True)
        with files.new_folder(folder) as partial:
            written = _create(partial, sum(lengths), model)
            first, scans = 0, iter(image_pipeline.scans(source))
            # Several scans at a time fill the network's batches.
            while group := list(itertools.islice(scans, SCANS_AT_ONCE)):
                truth = np.concatenate([scan.labels for scan in group])
                last = first + len(truth)
                features, probabilities = network(
                    np.concatenate([scan.images for scan in group])
                )
                written["features"][first:last] = features
                written["probabilities"][first:last] = probabilities
                written["labels"][first:last] = truth
                first = last
            for array in written.values():
                array.flush()
            np.save(partial / "lengths.npy", lengths)


def _create(folder: pathlib.Path, slices: int, model) -> dict[str, np.memmap]:
    width = model.get_layer("features").output.shape[-1]
    shapes = {
        "features": ((slices, width), np.float32),
        "probabilities": ((slices, len(labels.CLASSES)), np.float32),
        "labels": ((slices, len(labels.CLASSES)), np.uint8),
    }
    return {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", dtype=dtype, shape=shape
        )
        for name, (shape, dtype) in shapes.items()
    }


def features(run: Run, number: int, part: str) -> sequences.Scans:
    """What `write_features` wrote of a part of a fold, memory-mapped."""
    folder = _feature_folder(run, number, part)
    return sequences.Scans(
        **{
            name: arrays.open_npy(folder / f"{name}.npy", ADVICE)
            for name in ("features", "probabilities", "lengths", "labels")
        }
    )


def _feature_folder(run: Run, number: int, part: str) -> pathlib.Path:
    return run.fold_folder(number) / f"features-{part}"
