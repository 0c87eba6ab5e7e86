"""How a network is trained: the plan, and what is set before and after it is built."""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from ich_tf.models import cpu_layers, walk
from ich_tf.training import distribute, keras_private, losses, precision

MONITOR = "val_soft_jaccard"
"""The score whose highest value marks the best epoch."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Attributes:
        epochs: Number of epochs; validation and a checkpoint after each.
        steps_per_epoch: Batches of an epoch.
        batch: Crops of the global batch, which the replicas share.
        learning_rate: Adam's, at the start; the same for any number of replicas, since
            the batch is the same.
        schedule: "inverse_time" (Keras' classic decay, `decay` per step), or
            "cosine" down to zero over the whole run, after `warmup_steps`.
        decay: Decay per step of "inverse_time".
        batch_norm_momentum: Momentum of the running statistics; None keeps each
            layer's own (0.99), which needs several hundred steps to settle.
        output_bias: First value of the last layer's bias; None keeps it.
        precision: "float32", "mixed_bfloat16", "mixed_float16" or "auto".
        seed: Seed of weights, order of crops, augmentation and dropout.
        deterministic: Whether every operation must be repeatable to the bit; None means
            on a CPU only.
        cpu_layers: Whether the network has the layers of `models.cpu_layers`.
        warmup_steps: Steps over which "cosine" first rises from zero.
        average: Momentum of a moving average of the weights, which is validated and
            kept instead of them; None for none.
        devices: What trains, see `training_devices`.
        patience: Training ends after this number of epochs without a higher
            `SoftJaccard` of the validation; None trains all epochs.
        keep_last: Whether the last epoch is kept and not the best one, for a short run
            with too few validation heads to choose by.
    """

    epochs: int
    steps_per_epoch: int
    batch: int
    learning_rate: float
    schedule: str = "inverse_time"
    decay: float = 0.0
    batch_norm_momentum: float | None = None
    output_bias: float | None = None
    precision: str = "auto"
    seed: int = 0
    deterministic: bool | None = None
    cpu_layers: bool = True
    warmup_steps: int = 0
    average: float | None = None
    devices: distribute.Devices = distribute.ONE
    patience: int | None = None
    keep_last: bool = False

    @property
    def training_devices(self) -> distribute.Devices:
        """The devices that share each batch.

        Raises:
            ValueError: if the devices were asked for and cannot share it evenly.
        """
        return self.devices.for_batch(self.batch)

    @property
    def steps(self) -> int:
        """Number of batches of the whole run."""
        return self.epochs * self.steps_per_epoch


def has_stopped(plan: Plan, history: Sequence[Mapping[str, float]]) -> bool:
    """Whether the validation score has not risen for `Plan.patience` epochs.

    Args:
        plan: The plan.
        history: Metrics of each finished epoch, as `fit.fit` returns them.
    """
    if plan.patience is None or not history:
        return False
    scores = [epoch[MONITOR] for epoch in history]
    return len(scores) - 1 - scores.index(max(scores)) >= plan.patience


def start(plan: Plan) -> None:
    """Set seeds, determinism, precision, layers and the devices.

    Call it before the model is built.

    Raises:
        ValueError: if the replicas cannot share the batch evenly.
    """
    devices = plan.training_devices
    keras.backend.clear_session()
    devices.enter()
    keras.utils.set_random_seed(plan.seed)
    if precision.is_deterministic(plan.deterministic):
        tf.config.experimental.enable_op_determinism()
    cpu_layers.use(plan.cpu_layers)
    if precision.device_name() is None:
        # On a CPU TensorFlow's graph rewriting takes a third of the tracing time (a
        # dozen seconds for DenseNet169) and makes no step faster.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    keras.config.set_dtype_policy(precision.precision_policy(plan.precision))


def compile_model(
    model: keras.Model,
    loss: str | keras.losses.Loss,
    plan: Plan,
    metrics: Sequence = (),
) -> None:
    """Give the model Adam, the loss (or the one of that name) and the metrics."""
    if plan.output_bias is not None:
        for layer in walk.all_layers(model):
            if layer.name.endswith("_logits"):
                layer.bias.assign(keras.ops.full(layer.bias.shape, plan.output_bias))
    if plan.batch_norm_momentum is not None:
        for layer in walk.all_layers(model):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = plan.batch_norm_momentum
    plan.training_devices.synchronize(model)
    model.compile(
        optimizer=keras_private.FusedAdam(
            learning_rate(plan),
            use_ema=plan.average is not None,
            ema_momentum=plan.average or 0.99,
        ),
        loss=losses.get(loss) if isinstance(loss, str) else loss,
        metrics=list(metrics),
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)


class SoftJaccard(keras.metrics.Metric):
    """Soft Jaccard of all pixels since the last reset, which chooses the best epoch.

    Sums over all batches, because a mean over batches would mostly say how many of
    them hold no hemorrhage.
    """

    def __init__(self, name: str = "soft_jaccard"):
        """Start from nothing."""
        super().__init__(name=name)
        # Made here and not within the first step, which TensorFlow would then trace
        # twice (half a minute for DenseNet169).
        self.intersection = self.add_variable((), "zeros", name="intersection")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch of masks and probabilities."""
        y_true = keras.ops.cast(y_true, y_pred.dtype)
        self.intersection.assign_add(keras.ops.sum(y_true * y_pred))
        self.total.assign_add(keras.ops.sum(y_true) + keras.ops.sum(y_pred))

    def result(self):
        """Intersection over union; 0 if both are empty."""
        union = self.total - self.intersection
        return keras.ops.divide_no_nan(self.intersection, union)


class HemorrhageJaccard(SoftJaccard):
    """`SoftJaccard` of hemorrhage, from subtypes and a softmax over them."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch of subtypes (b, h, w, 1), 0 is background, and probabilities."""
        bleeds = keras.ops.cast(y_true > 0, y_pred.dtype)
        super().update_state(bleeds, 1.0 - y_pred[..., :1])


def learning_rate(plan: Plan) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate by step.

    Raises:
        ValueError: if the schedule is unknown, or the warm-up as long as the run.
    """
    if plan.schedule == "cosine":
        if not plan.warmup_steps:
            return keras.optimizers.schedules.CosineDecay(
                plan.learning_rate, plan.steps
            )
        if plan.warmup_steps >= plan.steps:
            raise ValueError(
                f"{plan.warmup_steps} steps of warm-up leave none of {plan.steps} for "
                "the cosine; choose fewer."
            )
        return keras.optimizers.schedules.CosineDecay(
            0.0,
            plan.steps - plan.warmup_steps,
            warmup_target=plan.learning_rate,
            warmup_steps=plan.warmup_steps,
        )
    if plan.schedule != "inverse_time":
        raise ValueError(
            f"Unknown schedule {plan.schedule!r}. Known: inverse_time, cosine"
        )
    return keras.optimizers.schedules.InverseTimeDecay(
        plan.learning_rate, decay_steps=1, decay_rate=plan.decay
    )
