"""What Keras does not document has a fallback that computes the same."""

import keras
import numpy as np
import pytest

from ich_tf import models
from ich_tf.training import keras_private


def trained(make, steps=5, policy="float32"):
    """Weights, and moments, after a few steps from the same start."""
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        model = models.build("unetplusplus", filters=(4, 8), input_shape=(8, 8, 1))
        schedule = keras.optimizers.schedules.CosineDecay(1e-2, 10)
        model.compile(make(schedule), "binary_crossentropy", jit_compile=False)
        images = np.random.default_rng(0).random((4, 8, 8, 1), dtype=np.float32)
        for _ in range(steps):
            model.train_on_batch(images, images > 0.5)
    finally:
        keras.config.set_dtype_policy("float32")
    return [
        np.asarray(variable)
        for variable in (*model.weights, *model.optimizer.variables)
    ]


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_training_ends_as_with_keras_adam(policy):
    fused = trained(keras_private.FusedAdam, policy=policy)
    expected = trained(keras.optimizers.Adam, policy=policy)
    assert len(fused) == len(expected)
    start = trained(keras_private.FusedAdam, steps=0, policy=policy)
    assert any(np.abs(a - b).max() > 1e-2 for a, b in zip(fused, start, strict=True))
    for ours, theirs in zip(fused, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-5)


def test_one_step_by_hand():
    variable = keras.Variable([1.0, 2.0])
    adam = keras_private.FusedAdam(0.1, epsilon=0.0)
    adam.build([variable])
    adam.apply([keras.ops.convert_to_tensor([0.5, -3.0])], [variable])
    # The first step of Adam is the learning rate against the gradient's sign.
    np.testing.assert_allclose(variable, [0.9, 2.1], rtol=1e-6)


def test_what_the_fused_operation_cannot_do_is_left_to_keras():
    variable = keras.Variable([1.0])
    adam = keras_private.FusedAdam(0.1, amsgrad=True)
    adam.build([variable])
    adam.apply([keras.ops.convert_to_tensor([2.0])], [variable])
    np.testing.assert_allclose(variable, [0.9], rtol=1e-5)


def test_a_model_is_saved_with_it_and_loads(tmp_path):
    model = models.build("unetplusplus", filters=(2, 4), input_shape=(8, 8, 1))
    model.compile(
        keras_private.FusedAdam(1e-3), "binary_crossentropy", jit_compile=False
    )
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.optimizer) is keras_private.FusedAdam


def stepped(optimizer):
    """A variable after five steps along given gradients, and the optimizer's state."""
    variable = keras.Variable(np.linspace(-1.0, 1.0, 6))
    optimizer.build([variable])
    generator = np.random.default_rng(0)
    for _ in range(5):
        gradient = keras.ops.convert_to_tensor(generator.normal(size=6), "float32")
        optimizer.apply([gradient], [variable])
    return [np.asarray(kept) for kept in (variable, *optimizer.variables)]


@pytest.mark.parametrize("name", keras_private.ADAM_NAMES)
def test_without_a_private_name_keras_own_update_gives_the_same(name):
    class Renamed(keras_private.FusedAdam):
        """As if this Keras had renamed what the fused update needs."""

        needs = (*keras_private.ADAM_NAMES, f"{name}_of_another_version")

    expected = stepped(keras.optimizers.Adam(0.1))
    for optimizer in (keras_private.FusedAdam(0.1), Renamed(0.1)):
        for kept, other in zip(stepped(optimizer), expected, strict=True):
            np.testing.assert_allclose(kept, other, rtol=1e-5, atol=1e-6)


def test_without_logits_the_loss_is_that_of_the_probabilities():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Activation("sigmoid")(inputs))
    values = np.array([[-3.0, 0.5, 4.0]], np.float32)
    predicted = model(values)
    logits = keras_private.logits(predicted)
    assert keras_private.logits(predicted, name="_renamed") is None
    truth = np.array([[0.0, 1.0, 1.0]], np.float32)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    if logits is not None:
        np.testing.assert_allclose(logits, values, rtol=1e-6)
        exact = float(loss(truth, logits))
        plain = keras.losses.BinaryCrossentropy()(truth, np.asarray(predicted))
        assert float(plain) == pytest.approx(exact, rel=1e-4)
