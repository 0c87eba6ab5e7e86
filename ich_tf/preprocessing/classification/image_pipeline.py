"""tf.data pipelines of slices for the classifier, from shards.

Every batch is a pure function of the seed and the step: see `records` for the order.
TensorFlow reads; workers of `host_batches` decompress and augment, unless the
augmentation is that of `tensor_augment`.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from ich_tf.labels import CLASSES
from ich_tf.preprocessing import host_batches
from ich_tf.preprocessing.classification import image_batches, records

TensorAugment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

_FEATURES = {
    "image": tf.io.FixedLenFeature((), tf.string),
    "labels": tf.io.FixedLenFeature((len(CLASSES),), tf.int64),
}
_NAMES = {
    "image_id": tf.io.FixedLenFeature((), tf.string),
    "case_id": tf.io.FixedLenFeature((), tf.string),
}


def steps_per_epoch(shards: records.Shards, batch: int) -> int:
    """Whole batches in one pass over the slices; one at least."""
    return max(1, _total(shards) // batch)


def training_batches(
    shards: records.Shards,
    *,
    batch: int,
    first_step: int,
    last_step: int,
    seed: int,
    augment: image_batches.Augment | None = None,
    tensor_augment: TensorAugment | None = None,
) -> tf.data.Dataset:
    """Batches of steps `first_step` to `last_step` - 1 in shuffled order.

    The passes over the slices follow each other without a break: a batch may hold the
    end of one and the beginning of the next.

    Args:
        shards: The slices.
        batch: Slices of a batch.
        first_step: Number of the first batch since the start of training.
        last_step: Number of the batch after the last one.
        seed: Seed of order and augmentation.
        augment: Changes an image, given a seed (`augment.image_augmenter`).
        tensor_augment: The same without Python (`tensor_augment.image_augmenter`);
            ignored with `augment`.

    Returns:
        Images (batch, size, size, 3) in [0, 1] and labels (batch, 6), float32.
    """
    first, last = first_step * batch, last_step * batch
    visits, skipped = _visits(shards, first, last, seed)

    def shuffled(number, visit, group):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(tf.shape(group)[0]), tf.stack([seed, visit]), alg="philox"
        )
        return _elements(group, order)

    slices = _groups(shards, visits).flat_map(shuffled)
    slices = slices.skip(skipped).take(last - first)
    places = tf.data.Dataset.range(first, last)
    placed = tf.data.Dataset.zip(places, slices)
    if augment is not None:
        return _augmented(
            placed, shards.size, batch, last_step - first_step, augment, seed
        )
    finish = _finish(shards.size, tensor_augment, seed)
    return placed.map(
        finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    ).apply(lambda made: _batched(made, batch))


def scans(shards: records.Shards) -> Iterator[records.ScanImages]:
    """All scans one after the other, group by group, slices from foot to head.

    The next slices are decoded while the caller works on a scan.

    Raises:
        ValueError: if a scan is unreadable or a shard is not what the index says.
    """
    stored = _ordered(shards).map(
        lambda record: _decoded(record, shards.size, _FEATURES | _NAMES),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    stored = stored.prefetch(64).as_numpy_iterator()
    for group, path in zip(shards.groups, shards.paths, strict=True):
        for case_id, count in zip(group.case_ids, group.counts, strict=True):
            yield _scan(case_id, list(itertools.islice(stored, count)), path)


def _scan(case_id: str, slices: list[dict], path: str) -> records.ScanImages:
    """Join the decoded slices of a scan."""
    if any(slice_["case_id"].decode() != case_id for slice_ in slices):
        raise ValueError(
            f"{path} does not hold what the index says: prepare the data set again."
        )
    return records.ScanImages(
        case_id,
        tuple(slice_["image_id"].decode() for slice_ in slices),
        np.stack([slice_["image"] for slice_ in slices]),
        np.stack([slice_["labels"] for slice_ in slices]).astype(np.uint8),
    )


def _total(shards: records.Shards) -> int:
    return sum(len(group) for group in shards.groups)


def _visits(
    shards: records.Shards, first: int, last: int, seed: int
) -> tuple[tf.data.Dataset, int]:
    """Visits to groups that give slices `first` to `last` - 1 of an endless stream.

    Returns:
        Pairs (group, number of the visit since the start of training), and how many
        slices of the first visit come before `first`.
    """
    sizes = np.array([len(group) for group in shards.groups])
    total, visits, skipped = int(sizes.sum()), [], 0
    for epoch in range(first // total, -(-last // total)):
        order = np.random.default_rng([seed, epoch]).permutation(len(sizes))
        begins = epoch * total + np.cumsum(sizes[order]) - sizes[order]
        for place in np.flatnonzero((begins < last) & (begins + sizes[order] > first)):
            skipped = skipped if visits else max(0, first - int(begins[place]))
            visits.append((order[place], epoch * len(sizes) + place))
    visits = np.array(visits, np.int64).reshape(-1, 2)
    return tf.data.Dataset.from_tensor_slices((visits[:, 0], visits[:, 1])), skipped


def _groups(shards: records.Shards, visits: tf.data.Dataset) -> tf.data.Dataset:
    """Records of the visited groups; the next group is read while one is in use.

    Returns:
        Tuples of group, visit and (slices,) records.
    """
    paths = tf.constant(shards.paths)
    places = tf.RaggedTensor.from_row_lengths(
        np.concatenate(shards.places), [len(rows) for rows in shards.places]
    )

    def load(number, visit):
        stored = tf.data.TFRecordDataset(paths[number]).batch(2**31)
        return number, visit, tf.gather(stored.get_single_element(), places[number])

    return visits.map(load).prefetch(1)


def _ordered(shards: records.Shards) -> tf.data.Dataset:
    """The records of all groups, as they are stored."""
    numbers = tf.data.Dataset.range(len(shards.groups))
    groups = _groups(shards, tf.data.Dataset.zip(numbers, numbers))
    return groups.flat_map(
        lambda number, visit, group: _elements(group, tf.range(tf.shape(group)[0]))
    )


def _elements(group: tf.Tensor, order: tf.Tensor) -> tf.data.Dataset:
    """The records of a group, one by one; the group is not copied."""
    places = tf.data.Dataset.from_tensor_slices(order)
    return places.map(lambda place: group[place])


def _decoded(record: tf.Tensor, size: int, features: dict) -> dict:
    """A record of a shard with its image as (size, size, 3), uint8."""
    parsed = tf.io.parse_single_example(record, features)
    plain = tf.io.decode_compressed(parsed["image"], compression_type="ZLIB")
    image = tf.reshape(tf.io.decode_raw(plain, tf.uint8), (size, size, 3))
    return {**parsed, "image": image}


def _finish(
    size: int, tensor_augment: TensorAugment | None, seed: int
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """From the place of a slice in the stream and its record to network input."""

    def finish(place, record):
        decoded = _decoded(record, size, _FEATURES)
        image = tf.cast(decoded["image"], tf.float32) / 255
        if tensor_augment is not None:
            image = tensor_augment(image, tf.stack([seed, place]))
        return image, tf.cast(decoded["labels"], tf.float32)

    return finish


def _augmented(
    placed: tf.data.Dataset,
    size: int,
    batch: int,
    count: int,
    augment: image_batches.Augment,
    seed: int,
) -> tf.data.Dataset:
    """Parse in TensorFlow, the rest in workers."""

    def parse(place, record):
        parsed = tf.io.parse_single_example(record, _FEATURES)
        return place, parsed["image"], tf.cast(parsed["labels"], tf.float32)

    # An image travels as it is stored: a quarter of its pixels.
    stored = placed.map(
        parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    ).apply(lambda made: _batched(made, batch))
    load = image_batches.AugmentedImages(augment, seed)
    signature = (
        tf.TensorSpec((batch, size, size, 3), tf.float32),
        tf.TensorSpec((batch, len(CLASSES)), tf.float32),
    )
    return host_batches.in_order(load, stored.as_numpy_iterator, count, signature)


def _batched(slices: tf.data.Dataset, batch: int) -> tf.data.Dataset:
    return slices.batch(batch, drop_remainder=True).prefetch(2)
