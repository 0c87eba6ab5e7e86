"""The training loop for several devices or machines.

Predictions and truth of all replicas are gathered before the loss. So loss and
gradients are the same as on one device with the same batch, whatever the loss, and
neither learning rate nor number of steps depends on the number of replicas.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from ich_tf.training import distribute, keras_private
from ich_tf.training.distribute import Devices


def fit(
    model: keras.Model,
    batches: tf.data.Dataset,
    validation: tf.data.Dataset | None,
    devices: Devices,
    *,
    epochs: int,
    initial_epoch: int,
    steps_per_epoch: int,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: int | str,
) -> None:
    """Train a compiled model as Keras' `fit` does, under any strategy.

    Keras 3.15's own `fit` fails with several workers.

    Args:
        model: Built and compiled after `devices.enter`.
        batches: Global batches; every worker makes them all and takes its share.
        validation: Global batches; None for none.
        devices: Several, or a TPU.
        epochs: Number of the last epoch.
        initial_epoch: Epochs that are done.
        steps_per_epoch: Batches of an epoch.
        callbacks: Keras' callbacks, in the order of their calls.
        verbose: 0 for no progress, "auto" or 1 for a bar, 2 for a line an epoch.

    Raises:
        ConnectionError: if a worker was lost.
    """
    learn = _on_all(model, train_step, devices)
    test = _on_all(model, _test_step, devices)
    with devices.apart():
        callback_list = keras.callbacks.CallbackList(
            list(callbacks),
            add_progbar=verbose != 0,
            model=model,
            verbose=1 if verbose == "auto" else verbose,
            epochs=epochs,
            steps=steps_per_epoch,
        )
        model.stop_training = False
        callback_list.on_train_begin()
    with distribute.lost_workers_named():
        iterator = iter(_shares(batches, devices))
        held_out = None if validation is None else _shares(validation, devices)
        for epoch in range(initial_epoch, epochs):
            callback_list.on_epoch_begin(epoch)
            model.reset_metrics()
            for step in range(steps_per_epoch):
                callback_list.on_train_batch_begin(step)
                callback_list.on_train_batch_end(step, {"loss": learn(next(iterator))})
            scores = model.get_metrics_result()
            if held_out is not None:
                model.reset_metrics()
                for batch in held_out:
                    test(batch)
                validated = model.get_metrics_result()
                scores |= {f"val_{name}": value for name, value in validated.items()}
            scores = {name: float(value) for name, value in scores.items()}
            with devices.apart():
                callback_list.on_epoch_end(epoch, scores)
            if model.stop_training:
                break
    with devices.apart():
        callback_list.on_train_end()


def train_on_batch(model: keras.Model, devices: Devices) -> Callable[..., float]:
    """Keras' method of this name on several devices, given a global batch."""
    learn = _on_all(model, train_step, devices)

    def train(*batch) -> float:
        share = _shares(tf.data.Dataset.from_tensors(batch), devices)
        return float(learn(next(iter(share))))

    return train


def _shares(
    batches: tf.data.Dataset, devices: Devices
) -> tf.distribute.DistributedDataset:
    """Each replica's rows of every global batch, in order.

    Raises:
        ValueError: if the batches cannot be divided evenly.
    """
    for spec in tf.nest.flatten(batches.element_spec):
        devices.per_replica(spec.shape[0] or devices.replicas)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        count = context.num_replicas_in_sync
        local = count // context.num_input_pipelines
        first = context.input_pipeline_id * local

        def share(tensor):
            rows = tensor.shape[0]
            inner = tf.shape(tensor)[1:]
            parts = tf.reshape(tensor, tf.concat([[count, -1], inner], 0))
            static = None if rows is None else rows // count
            parts = tf.ensure_shape(parts, (count, static, *tensor.shape[1:]))
            return parts[first : first + local]

        def split(*batch):
            return tf.nest.map_structure(share, batch)

        return batches.map(split).unbatch().prefetch(2)

    return devices.strategy.distribute_datasets_from_function(of_worker)


def _on_all(model: keras.Model, step: Callable, devices: Devices) -> Callable:
    """A step of each replica as one call; returns the loss of the global batch."""
    strategy = devices.strategy

    @tf.function(reduce_retracing=True, autograph=False)
    def everywhere(batch):
        losses = strategy.run(step, args=(model, batch))
        return strategy.experimental_local_results(losses)[0]

    return everywhere


def train_step(model: keras.Model, batch: tuple) -> tf.Tensor:
    """Train on a replica's share of a batch; compiles with XLA for static shapes.

    Args:
        model: Compiled.
        batch: Inputs, truth and maybe weights of samples.

    Returns:
        The loss of the global batch.
    """
    inputs, truth, weights = keras.utils.unpack_x_y_sample_weight(batch)
    with tf.GradientTape() as tape:
        predicted = model(inputs, training=True)
        loss = _global_loss(model, truth, predicted, weights, training=True)
        scaled = model.optimizer.scale_loss(loss)
    gradients = tape.gradient(scaled, model.trainable_weights)
    model.optimizer.apply_gradients(
        zip(gradients, model.trainable_weights, strict=True)
    )
    return _tracked(model, loss, truth, predicted, weights)


def _test_step(model: keras.Model, batch: tuple) -> tf.Tensor:
    inputs, truth, weights = keras.utils.unpack_x_y_sample_weight(batch)
    predicted = model(inputs, training=False)
    loss = _global_loss(model, truth, predicted, weights, training=False)
    return _tracked(model, loss, truth, predicted, weights)


def _global_loss(model, truth, predicted, weights, training: bool) -> tf.Tensor:
    """The loss of the whole batch, divided by the number of replicas.

    Keras divides it, because gradients are summed over the replicas.
    """
    return model.compute_loss(
        y=tf.nest.map_structure(distribute.gather, truth),
        y_pred=tf.nest.map_structure(_gather_predictions, predicted),
        sample_weight=None if weights is None else distribute.gather(weights),
        training=training,
    )


def _tracked(model, loss, truth, predicted, weights) -> tf.Tensor:
    """Add to the metrics, which are sums over the replicas; return the global loss."""
    loss *= tf.distribute.get_strategy().num_replicas_in_sync
    for metric in model.metrics:
        if metric.name == "loss":
            metric.update_state(loss)
    model.compute_metrics(None, truth, predicted, weights)
    return loss


def _gather_predictions(predicted: tf.Tensor) -> tf.Tensor:
    """Gather logits where there are any: Keras' cross-entropy is exact with them."""
    logits = keras_private.logits(predicted)
    if logits is None:
        return distribute.gather(predicted)
    return keras.ops.sigmoid(distribute.gather(logits))
