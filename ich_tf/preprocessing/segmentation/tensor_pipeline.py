"""tf.data pipelines of crops in TensorFlow's own operations, for a TPU.

The rules are the same as in `pipeline`, the random numbers are not.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from ich_tf.preprocessing.segmentation import pipeline
from ich_tf.preprocessing.windows import Window

TensorAugment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def training_batches(
    crops: pipeline.Crops,
    shown: Sequence[Window],
    *,
    channels: int,
    batch: int,
    first_step: int,
    last_step: int,
    seed: int,
    lesion_share: float | None = None,
    augment: TensorAugment | None = None,
) -> tf.data.Dataset:
    """Batches of steps `first_step` to `last_step` - 1; keeps all slices in memory.

    Args:
        crops: The crops.
        shown: The windows (`windows.approach_windows`); one fills all channels.
        channels: Channels of the images.
        batch: Crops of a batch.
        first_step: Number of the first batch since the start of training.
        last_step: Number of the batch after the last one.
        seed: Seed of order and augmentation.
        lesion_share: Share of crops with hemorrhage in each batch; None takes the crops
            as they come, see `pipeline.batch_indices`.
        augment: From `tensor_augment.augmenter`.
    """
    if lesion_share is None:
        indices = _passes(crops, batch, first_step, last_step, seed)
    else:
        draw = _draw(crops, batch, seed, lesion_share)
        indices = tf.data.Dataset.range(first_step, last_step).map(draw).unbatch()
    places = tf.data.Dataset.range(first_step * batch, last_step * batch)
    cut = _crop(crops, shown, channels)

    def load(place, index):
        image, mask = cut(index)
        if augment is not None:
            image, mask = augment(image, mask, tf.stack([seed, place]))
        return image, mask

    loaded = tf.data.Dataset.zip(places, indices).map(
        load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return _batched(loaded, batch)


def validation_batches(
    crops: pipeline.Crops,
    shown: Sequence[Window],
    *,
    channels: int,
    batch: int,
    limit: int | None = None,
) -> tf.data.Dataset:
    """The crops in order, in whole batches; `limit` takes evenly spread ones."""
    indices = tf.data.Dataset.from_tensor_slices(
        pipeline.spread(crops, batch, limit).ravel()
    )
    return _batched(indices.map(_crop(crops, shown, channels)), batch)


def _passes(crops, batch, first_step, last_step, seed) -> tf.data.Dataset:
    """Indices of crops, each pass over them in a new order, in whole batches."""
    steps = pipeline.steps_per_epoch(crops, batch)

    def of_epoch(epoch):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(crops), dtype=tf.int64), tf.stack([seed, epoch]), alg="philox"
        )
        order = tf.tile(order, [-(-batch // len(crops))])
        return tf.data.Dataset.from_tensor_slices(order[: steps * batch])

    epochs = tf.data.Dataset.range(first_step // steps, -(-last_step // steps))
    indices = epochs.flat_map(of_epoch).skip(first_step % steps * batch)
    return indices.take((last_step - first_step) * batch)


def _draw(crops, batch, seed, lesion_share) -> Callable:
    """From a step to the indices of its crops; every case has the same chance."""
    lesion, chances = (tf.constant(part) for part in crops.lesion_chances)
    other = tf.constant(np.flatnonzero(~crops.has_lesion))
    count = pipeline.lesions_of_a_batch(crops, batch, lesion_share)
    borders = tf.cumsum(chances)

    def draw(step):
        number = tf.random.stateless_uniform(
            (batch,), tf.stack([seed, step]), dtype=tf.float64, alg="philox"
        )
        picked = []
        if count:
            places = tf.searchsorted(borders, number[:count] * borders[-1], "right")
            picked.append(tf.gather(lesion, places))
        if count < batch:
            place = number[count:] * tf.cast(tf.size(other), tf.float64)
            picked.append(tf.gather(other, tf.cast(place, tf.int64)))
        return tf.concat(picked, 0)

    return draw


def _crop(crops, shown, channels) -> Callable:
    """From the index of a crop to its image and mask (tile, tile, 1), float32."""
    if len(shown) not in (1, channels):
        raise ValueError(f"{len(shown)} windows do not fill {channels} channels.")
    if not all(window.scaled for window in shown):
        raise ValueError("Windows in Hounsfield units have no input without Python.")
    with tf.device("CPU:0"):
        hu, mask = (tf.constant(part) for part in (crops.slices.hu, crops.slices.mask))
        places = tf.constant(crops.places)
    low = np.array([window.bounds_hu[0] for window in shown], np.float32)
    width = np.array([window.width for window in shown], np.float32)
    size = [1, crops.tile, crops.tile]

    def cut(index):
        image = tf.slice(hu, places[index], size)[0][..., tf.newaxis]
        image = tf.clip_by_value((image - low) / width, 0.0, 1.0)
        image = tf.repeat(image, channels // len(shown), axis=-1)
        truth = tf.slice(mask, places[index], size)[0][..., tf.newaxis]
        image = tf.ensure_shape(image, (crops.tile, crops.tile, channels))
        return image, tf.cast(truth, tf.float32)

    return cut


def _batched(loaded: tf.data.Dataset, batch: int) -> tf.data.Dataset:
    return loaded.batch(batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
