"""tf.data pipelines of slices for the classifier, from shards or a data set's files.

Every batch is a pure function of the seed and the step: see `records` for the order.
From shards, and without augmentation or with that of `tensor_augment`, all work is done
by TensorFlow's own operations.
"""

import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from ich_tf.labels import CLASSES
from ich_tf.preprocessing.classification import records

Augment = Callable[[np.ndarray, int], np.ndarray]
TensorAugment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Source = records.Shards | records.Scans

_FEATURES = {
    "image": tf.io.FixedLenFeature((), tf.string),
    "labels": tf.io.FixedLenFeature((len(CLASSES),), tf.int64),
}
_NAMES = {
    "image_id": tf.io.FixedLenFeature((), tf.string),
    "case_id": tf.io.FixedLenFeature((), tf.string),
}


def steps_per_epoch(source: Source, batch: int) -> int:
    """Whole batches in one pass over the slices; one at least."""
    return max(1, _total(source) // batch)


def training_batches(
    source: Source,
    *,
    batch: int,
    first_step: int,
    last_step: int,
    seed: int,
    augment: Augment | None = None,
    tensor_augment: TensorAugment | None = None,
) -> tf.data.Dataset:
    """Batches of steps `first_step` to `last_step` - 1 in shuffled order.

    The passes over the slices follow each other without a break: a batch may hold the
    end of one and the beginning of the next.

    Args:
        source: Shards or scans.
        batch: Slices of a batch.
        first_step: Number of the first batch since the start of training.
        last_step: Number of the batch after the last one.
        seed: Of order and augmentation.
        augment: Changes an image, given a seed (`augment.image_augmenter`).
        tensor_augment: The same without Python (`tensor_augment.image_augmenter`).

    Returns:
        Images (batch, size, size, 3) in [0, 1] and labels (batch, 6), float32.
    """
    first, last = first_step * batch, last_step * batch
    visits, skipped = _visits(source, first, last, seed)

    def shuffled(number, visit, *group):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(tf.shape(group[0])[0]), tf.stack([seed, visit]), alg="philox"
        )
        return _elements(group, order)

    slices = _groups(source, visits).flat_map(shuffled)
    slices = slices.skip(skipped).take(last - first)
    places = tf.data.Dataset.range(first, last)
    finish = _finish(source, augment, tensor_augment, seed)
    return _batched(tf.data.Dataset.zip(places, slices), finish, batch)


def validation_batches(
    source: Source, *, batch: int, limit: int | None = None
) -> tf.data.Dataset:
    """The slices in stored order, never augmented, in whole batches.

    Slices that fill no whole batch at the end are left out; `scans` has them all.

    Args:
        source: Shards or scans, which come in shuffled order already.
        batch: Slices of a batch.
        limit: Most slices, from the beginning; None for all.

    Raises:
        ValueError: if there are fewer slices than a batch holds.
    """
    # Deviation: [1] validated with the training augmentation, a slip of its code.
    count = min(limit or _total(source), _total(source))
    if count < batch:
        raise ValueError(
            f"{count} slices do not fill a batch of {batch}. Take a smaller batch."
        )
    slices = _ordered(source).take(count)
    places = tf.data.Dataset.range(count)
    return _batched(tf.data.Dataset.zip(places, slices), _finish(source), batch)


def scans(source: Source) -> Iterator[records.Scan]:
    """All scans one after the other, group by group, slices from foot to head.

    The next slices are decoded while the caller works on a scan.

    Raises:
        ValueError: if a scan is unreadable or a shard is not what the index says.
    """
    if isinstance(source, records.Scans):
        for number in range(len(source.groups)):
            yield from source.read(number)
        return
    stored = _ordered(source).map(
        lambda record: _decoded(record, source.size, _FEATURES | _NAMES),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    stored = stored.prefetch(64).as_numpy_iterator()
    for group, path in zip(source.groups, source.paths, strict=True):
        for case_id, count in zip(group.case_ids, group.counts, strict=True):
            yield _scan(case_id, list(itertools.islice(stored, count)), path)


def _scan(case_id: str, slices: list[dict], path: str) -> records.Scan:
    """Join the decoded slices of a scan."""
    if any(one["case_id"].decode() != case_id for one in slices):
        raise ValueError(
            f"{path} does not hold what the index says: prepare the data set again."
        )
    return records.Scan(
        case_id,
        tuple(one["image_id"].decode() for one in slices),
        np.stack([one["image"] for one in slices]),
        np.stack([one["labels"] for one in slices]).astype(np.uint8),
    )


def _total(source: Source) -> int:
    return sum(len(group) for group in source.groups)


def _visits(
    source: Source, first: int, last: int, seed: int
) -> tuple[tf.data.Dataset, int]:
    """Visits to groups that give slices `first` to `last` - 1 of an endless stream.

    Returns:
        Pairs (group, number of the visit since the start of training), and how many
        slices of the first visit come before `first`.
    """
    sizes = np.array([len(group) for group in source.groups])
    total, visits, skipped = int(sizes.sum()), [], 0
    for epoch in range(first // total, -(-last // total)):
        order = np.random.default_rng([seed, epoch]).permutation(len(sizes))
        begins = epoch * total + np.cumsum(sizes[order]) - sizes[order]
        for place in np.flatnonzero((begins < last) & (begins + sizes[order] > first)):
            skipped = skipped if visits else max(0, first - int(begins[place]))
            visits.append((order[place], epoch * len(sizes) + place))
    visits = np.array(visits, np.int64).reshape(-1, 2)
    return tf.data.Dataset.from_tensor_slices((visits[:, 0], visits[:, 1])), skipped


def _groups(source: Source, visits: tf.data.Dataset) -> tf.data.Dataset:
    """What the visited groups hold; the next one is read while one is in use.

    Returns:
        Tuples of group, visit and (slices,) records or, from a data set, images
        (slices, size, size, 3) and labels (slices, 6), both uint8.
    """
    if isinstance(source, records.Shards):
        paths = tf.constant(source.paths)
        places = tf.RaggedTensor.from_row_lengths(
            np.concatenate(source.places), [len(rows) for rows in source.places]
        )

        def load(number, visit):
            stored = tf.data.TFRecordDataset(paths[number]).batch(2**31)
            return number, visit, tf.gather(stored.get_single_element(), places[number])

    else:

        def load(number, visit):
            images, labels = tf.numpy_function(
                functools.partial(_read_group, source), [number], (tf.uint8, tf.uint8)
            )
            images.set_shape((None, source.size, source.size, 3))
            labels.set_shape((None, len(CLASSES)))
            return number, visit, images, labels

    return visits.map(load).prefetch(1)


def _read_group(source: records.Scans, number: int) -> tuple[np.ndarray, np.ndarray]:
    slices = len(source.groups[number])
    images = np.empty((slices, source.size, source.size, 3), np.uint8)
    labels = np.empty((slices, len(CLASSES)), np.uint8)
    first = 0
    for scan in source.read(number):
        part = slice(first, first + len(scan.labels))
        images[part], labels[part], first = scan.images, scan.labels, part.stop
    return images, labels


def _ordered(source: Source) -> tf.data.Dataset:
    """The slices of all groups, as they are stored."""
    numbers = tf.data.Dataset.range(len(source.groups))
    groups = _groups(source, tf.data.Dataset.zip(numbers, numbers))
    return groups.flat_map(
        lambda number, visit, *group: _elements(group, tf.range(tf.shape(group[0])[0]))
    )


def _elements(group: tuple, order: tf.Tensor) -> tf.data.Dataset:
    """The slices of a group, one by one; the group is not copied."""
    parts = tf.data.Dataset.from_tensor_slices(order)
    if len(group) == 1:
        return parts.map(lambda place: group[0][place])
    return parts.map(lambda place: tuple(part[place] for part in group))


def _decoded(record: tf.Tensor, size: int, features: dict) -> dict:
    """A record of a shard with its image as (size, size, 3), uint8."""
    found = tf.io.parse_single_example(record, features)
    plain = tf.io.decode_compressed(found["image"], compression_type="ZLIB")
    image = tf.reshape(tf.io.decode_raw(plain, tf.uint8), (size, size, 3))
    return {**found, "image": image}


def _finish(
    source: Source,
    augment: Augment | None = None,
    tensor_augment: TensorAugment | None = None,
    seed: int = 0,
) -> Callable:
    """From the place of a slice in the stream and the slice to network input."""

    def change(image, place):
        generator = np.random.default_rng([seed, 1, int(place)])
        return augment(image, int(generator.integers(2**31)))

    def finish(place, stored):
        if isinstance(source, records.Shards):
            found = _decoded(stored, source.size, _FEATURES)
            image, labels = found["image"], found["labels"]
        else:
            image, labels = stored
        image = tf.cast(image, tf.float32) / 255
        if augment is not None:
            image = tf.numpy_function(change, [image, place], tf.float32)
            image.set_shape((source.size, source.size, 3))
        if tensor_augment is not None:
            image = tensor_augment(image, tf.stack([seed, place]))
        return image, tf.cast(labels, tf.float32)

    return finish


def _batched(slices: tf.data.Dataset, finish: Callable, batch: int) -> tf.data.Dataset:
    return (
        slices.map(finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch, drop_remainder=True)
        .prefetch(2)
    )
