"""One TFRecord shard: the slices of some scans, one record each."""

import logging
import os
import pathlib
import zlib
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from ich_tf.labels import CLASSES
from ich_tf.preprocessing.classification import records

LOGGER = logging.getLogger(__name__)


def write(
    path: str | os.PathLike,
    dataset,
    case_ids: Iterable[str],
    to_images: Callable[..., np.ndarray],
) -> dict:
    """Write the slices of some scans, one scan in memory at a time.

    The bytes depend on the slices alone. A scan that cannot be read is left out.

    Args:
        path: The shard.
        dataset: Has `load(case_id) -> Case`.
        case_ids: The scans, in this order.
        to_images: Makes the images of a volume, see `records.load_scan`.

    Returns:
        What the shard holds, as JSON: `file`, `bytes`, `case_ids`, `counts` (slices of
        each scan), `positive` (slices of each class), `left_out` and `left_out_slices`
        with reasons.
    """
    path = pathlib.Path(path)
    facts = {
        "file": path.name,
        "case_ids": [],
        "counts": [],
        "positive": [0] * len(CLASSES),
        "left_out": [],
        "left_out_slices": [],
    }
    with tf.io.TFRecordWriter(str(path)) as writer:
        for case_id in case_ids:
            _write_scan(writer, dataset, case_id, to_images, facts)
    facts["bytes"] = path.stat().st_size
    return facts


def _write_scan(writer, dataset, case_id: str, to_images, facts: dict) -> None:
    try:
        scan = records.load_scan(dataset, case_id, to_images)
    except ValueError as error:
        LOGGER.warning("Scan %s is left out: %s", case_id, error)
        facts["left_out"].append({"case_id": case_id, "reason": str(error)})
        return
    facts["left_out_slices"] += [
        {"case_id": case_id, "reason": note} for note in scan.left_out
    ]
    for place in range(len(scan.labels)):
        writer.write(_record(scan, place))
    facts["case_ids"].append(case_id)
    facts["counts"].append(len(scan.labels))
    positive = scan.labels.sum(axis=0, dtype=int).tolist()
    facts["positive"] = [
        sum(pair) for pair in zip(facts["positive"], positive, strict=True)
    ]


def _record(scan: records.ScanImages, place: int) -> bytes:
    """A slice as a serialized tf.train.Example."""

    def texts(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def numbers(values: Iterable[int]) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = {
        "image": texts(zlib.compress(scan.images[place].tobytes(), level=1)),
        "labels": numbers(scan.labels[place].tolist()),
        "image_id": texts(scan.image_ids[place].encode()),
        "case_id": texts(scan.case_id.encode()),
        "place": numbers([place]),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)
