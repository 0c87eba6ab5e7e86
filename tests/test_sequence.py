"""The sequence model against PyTorch's LSTM, its padding, its batches and the chain."""

import functools
import pathlib

import keras
import numpy as np
import pytest

from ich_tf import models
from ich_tf.models import chain, sequence
from ich_tf.preprocessing import windows
from ich_tf.preprocessing.classification import images, sequences
from ich_tf.training import fit, plans

FIXTURE = pathlib.Path(__file__).parent / "fixtures" / "lstm.npz"
SMALL = {"features": 8, "components": 4, "hidden": 5, "layers": 2}
WINDOWS = [
    (window.level, window.width)
    for window in windows.WINDOWS["classification"].values()
]


def predict(model, inputs):
    """Without a graph, whose tracing takes longer than these small inputs."""
    return keras.ops.convert_to_numpy(model(inputs))


def some_scans(lengths, features=8, seed=0):
    generator = np.random.default_rng(seed)
    count = sum(lengths)
    return sequences.Scans(
        generator.normal(size=(count, features)).astype(np.float32),
        generator.random((count, 6), dtype=np.float32),
        np.array(lengths),
        generator.integers(2, size=(count, 6), dtype=np.uint8),
    )


def model_of_fixture():
    """The recorded network. PyTorch's gates i f g o are Keras' i f c o; Keras has one
    bias, the sum of PyTorch's two."""
    with np.load(FIXTURE) as file:
        stored = dict(file)
    model = models.build(
        "sequence",
        features=7,
        components=5,
        hidden=4,
        layers=3,
        pca=(stored["pca_kernel"], stored["pca_bias"]),
    )
    for number in range(3):
        weights = []
        for end in (f"l{number}", f"l{number}_reverse"):
            weights += [
                stored[f"weight_ih_{end}"].T,
                stored[f"weight_hh_{end}"].T,
                stored[f"bias_ih_{end}"] + stored[f"bias_hh_{end}"],
            ]
        model.get_layer(f"lstm_{number + 1}").set_weights(weights)
    linear = [stored["linear.weight"].T, stored["linear.bias"]]
    model.get_layer("logits").set_weights(linear)
    return model, stored


def test_parity_with_pytorch():
    model, stored = model_of_fixture()
    scans = sequences.Scans(
        stored["features"], stored["probabilities"], stored["lengths"]
    )
    logits = keras.Model(model.input, model.get_layer("logits").output)
    answers = sequences.by_scan(scans, 4, functools.partial(predict, logits))
    assert [len(scan) for scan in answers] == [1, 4, 9]
    np.testing.assert_allclose(np.concatenate(answers), stored["logits"], atol=1e-5)
    assert np.ptp(stored["logits"]) > 1
    probabilities = sequences.by_scan(scans, 1, functools.partial(predict, model))
    expected = 1 / (1 + np.exp(-stored["logits"]))
    np.testing.assert_allclose(np.concatenate(probabilities), expected, atol=1e-5)


def test_padding_changes_nothing():
    model = sequence.build_sequence(**SMALL)
    scans = some_scans([1, 3, 11, 16])
    together = sequences.by_scan(scans, 4, functools.partial(predict, model))
    for number, padded in enumerate(together):
        rows = scans.rows(number)
        alone = predict(
            model,
            {
                "features": scans.features[np.newaxis, rows],
                "probabilities": scans.probabilities[np.newaxis, rows],
                "mask": np.ones((1, len(padded)), bool),
            },
        )
        assert alone.shape == (1, scans.lengths[number], 6)
        np.testing.assert_allclose(padded, alone[0], atol=1e-6)


def test_what_stands_in_the_padding_does_not_matter():
    model = sequence.build_sequence(**SMALL)
    inputs, _, _ = sequences.scan_batch(some_scans([5, 12]), np.array([0, 1]), 2)
    clean = predict(model, inputs)
    for name in ("features", "probabilities"):
        inputs[name] = np.where(inputs["mask"][..., np.newaxis], inputs[name], 9.0)
    dirty = predict(model, inputs)
    real = inputs["mask"]
    np.testing.assert_array_equal(clean[real], dirty[real])
    assert np.abs(clean - dirty)[~real].max() > 1e-3


def test_the_graph_of_the_report():
    model = models.build("sequence")
    # Four gates of 256, two directions: 126 inputs, then 512; 6 classes from 518.
    lstm = 2 * 4 * 256 * ((126 + 256 + 1) + 2 * (512 + 256 + 1))
    pca = 2048 * 120 + 120
    assert model.count_params() == lstm + (512 + 6 + 1) * 6 + pca
    assert [w.path for w in model.non_trainable_weights if "seed" not in w.path] == [
        "pca/kernel",
        "pca/bias",
    ]
    rates = {
        layer.name: layer.rate
        for layer in model.layers
        if isinstance(layer, keras.layers.Dropout)
    }
    assert rates == {
        "lstm_2_dropout": 0.3,
        "lstm_3_dropout": 0.3,
        "logits_dropout": 0.5,
    }
    assert model.get_layer("slice_concat").output.shape == (None, None, 126)
    assert model.get_layer("lstm_concat").output.shape == (None, None, 518)
    assert model.output.shape == (None, None, 6)


def test_mixed_precision_keeps_the_pca_and_the_output_in_float32():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = sequence.build_sequence(**SMALL)
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.output.dtype == "float32"
    assert model.get_layer("pca").compute_dtype == "float32"
    assert model.get_layer("lstm_1").compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": 8, "components": 9}, "components=9, features=8"),
        ({"layers": 0}, "`layers` must be 1 or more"),
        ({**SMALL, "pca": (np.zeros((8, 4)), np.zeros(8))}, r"\(\(8, 4\), \(8,\)\)"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sequence.build_sequence(**arguments)


def test_loss_is_the_mean_of_the_scans_means():
    # Entropy of 0.5 is log 2 whatever the label; a sure error costs its logit, 40.
    inputs = keras.Input((None, 1))
    model = keras.Model(inputs, keras.layers.Activation("sigmoid")(inputs))
    model.compile(loss=sequence.scan_loss(), run_eagerly=True)
    logits = np.array([[0, 0, 0, 0], [40, 0, 99, 99]], np.float32)[..., np.newaxis]
    weights = np.array([[0.25] * 4, [0.5, 0.5, 0, 0]], np.float32)
    loss = model.test_on_batch(logits, np.zeros_like(logits), weights)
    log_2 = np.log(2)
    np.testing.assert_allclose(loss, (log_2 + (40 + log_2) / 2) / 2, rtol=1e-6)


def test_a_batch_trains_as_its_scans_one_at_a_time():
    """Gradients of a padded batch are the mean of the scans' gradients."""
    model = sequence.build_sequence(**SMALL, dropout=0.0, head_dropout=0.0)
    before = model.get_weights()
    scans = some_scans([2, 9, 5])

    model.compile(keras.optimizers.SGD(1.0), sequence.scan_loss(), run_eagerly=True)

    def gradient(indices, rows):
        model.set_weights(before)
        model.train_on_batch(*sequences.scan_batch(scans, np.array(indices), rows))
        return [old - new for old, new in zip(before, model.get_weights(), strict=True)]

    together = gradient([0, 1, 2], 4)
    alone = [gradient([number], 1) for number in range(3)]
    for name, batch, *single in zip(model.weights, together, *alone, strict=True):
        np.testing.assert_allclose(
            batch, np.mean(single, axis=0), atol=1e-6, err_msg=name.path
        )
    frozen = {
        w.path for w, g in zip(model.weights, together, strict=True) if not g.any()
    }
    assert frozen == {"pca/kernel", "pca/bias"}


def test_fit_pca_equals_scikit_learn_on_all_rows():
    from sklearn.decomposition import PCA

    generator = np.random.default_rng(0)
    rows = generator.normal(size=(203, 3)) @ generator.normal(size=(3, 10)) * 5
    rows = (rows + 7 + 0.01 * generator.normal(size=rows.shape)).astype(np.float32)
    batches = [rows[first : first + 8] for first in range(0, 203, 8)]
    kernel, bias = sequence.fit_pca(batches, components=3)
    assert (kernel.shape, bias.shape) == ((10, 3), (3,))
    assert kernel.dtype == bias.dtype == np.float32
    expected = PCA(3).fit(rows).transform(rows)
    np.testing.assert_allclose(
        np.abs(rows @ kernel + bias), np.abs(expected), atol=0.01
    )


def test_fit_pca_takes_a_short_last_batch_and_as_many_rows_as_components():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(21, 6))
    for batches in ([rows[:20], rows[20:]], [rows[:2], rows[2:4]]):
        kernel, _ = sequence.fit_pca(iter(batches), components=4)
        np.testing.assert_allclose(kernel.T @ kernel, np.eye(4), atol=1e-6)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([np.zeros((2, 8)), np.zeros((1, 8))], "Received: 3 slices of 8 features"),
        ([np.zeros((50, 3))], "Received: 50 slices of 3 features"),
        ([], "No slice"),
        ([np.eye(30, 8), np.eye(30, 9)], "9 features"),
        ([np.full((30, 8), np.nan)], "NaN"),
    ],
)
def test_fit_pca_refuses(batches, message):
    with pytest.raises(ValueError, match=message):
        sequence.fit_pca(batches, components=4)


def slice_model(size):
    """A tiny classifier of slices with the layers that a chain needs."""
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(8, 3, strides=4, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    x = keras.layers.Dense(6, name="logits")(x)
    return keras.Model(
        inputs, keras.layers.Activation("sigmoid", name="probabilities")(x)
    )


def test_the_chain_equals_its_parts_and_survives_its_file(tmp_path):
    slices, scans = slice_model(32), sequence.build_sequence(**SMALL)
    model = chain.chain(slices, scans, 32, WINDOWS)
    hu = np.random.default_rng(0).uniform(-100, 200, (2, 37, 64, 48)).astype("float32")
    outputs = model.predict(hu, verbose=0)
    assert outputs.shape == (2, 37, 6)

    features = keras.Model(slices.input, slices.get_layer("features").output)
    for scan, output in zip(hu, outputs, strict=True):
        shown = images.slice_images(scan, 32)
        inputs = {
            "features": predict(features, shown)[np.newaxis],
            "probabilities": predict(slices, shown)[np.newaxis],
            "mask": np.ones((1, 37), bool),
        }
        np.testing.assert_allclose(output, predict(scans, inputs)[0], atol=1e-5)

    model.save(tmp_path / "chain.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["chain.keras"]
    loaded = keras.saving.load_model(tmp_path / "chain.keras")
    np.testing.assert_array_equal(loaded.predict(hu, verbose=0), outputs)
    # Called without `training`, dropout must not act.
    np.testing.assert_allclose(predict(loaded, hu), outputs, atol=1e-5)
    assert not loaded.get_layer("sequence").get_layer("pca").trainable
    assert loaded(hu[:1, :5]).shape == (1, 5, 6)


# Both resizers round coordinates up to 512 to float32 (3e-5); adjacent pixels here
# differ by a whole window. At 512 to 256 every coordinate is exact.
@pytest.mark.parametrize(("size", "tolerance"), [(256, 1e-6), (160, 4e-5), (512, 1e-6)])
def test_the_chain_sees_the_images_of_training(size, tolerance):
    hu = np.random.default_rng(0).uniform(-1100, 3000, (2, 512, 512))
    hu[0] = hu[0] / 20 + 20
    hu = hu.astype(np.float32)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        shown = chain.slice_images(hu[np.newaxis], size, WINDOWS)
    finally:
        keras.config.set_dtype_policy(policy)
    np.testing.assert_allclose(shown, images.slice_images(hu, size), atol=tolerance)


def test_a_chain_of_parts_that_do_not_fit_is_refused():
    scans = sequence.build_sequence(**SMALL)
    with pytest.raises(ValueError, match=r"images of \(32, 32, 3\).*\(64, 64, 3\)"):
        chain.chain(slice_model(32), scans, 64, WINDOWS)
    with pytest.raises(ValueError, match=r"\(32, 32, 2\)"):
        chain.chain(slice_model(32), scans, 32, WINDOWS[:2])
    other = sequence.build_sequence(**{**SMALL, "features": 9})
    with pytest.raises(ValueError, match="takes 9 features and 6 .* gives 8 and 6"):
        chain.chain(slice_model(32), other, 32, WINDOWS)


def test_every_scan_is_in_one_batch_of_an_epoch_with_its_like():
    lengths = np.random.default_rng(0).integers(1, 60, 101)
    first = sequences.epoch_batches(lengths, 10, seed=3, epoch=0)
    assert sorted(np.concatenate(first)) == list(range(101))
    assert sorted(len(group) for group in first) == [1] + [10] * 10
    padded = sum(len(group) * -(-lengths[group].max() // 8) * 8 for group in first)
    assert padded / lengths.sum() < 1.25
    again = sequences.epoch_batches(lengths, 10, seed=3, epoch=0)
    for left, right in zip(first, again, strict=True):
        np.testing.assert_array_equal(left, right)
    later = sequences.epoch_batches(lengths, 10, seed=3, epoch=1)
    assert not all(np.array_equal(a, b) for a, b in zip(first, later, strict=True))


def test_a_batch_is_padded_on_the_right_and_filled_with_weight_0():
    scans = some_scans([3, 1, 9])
    inputs, labels, weights = sequences.scan_batch(scans, np.array([1, 2]), 3)
    assert inputs["features"].shape == (3, 16, 8)
    assert inputs["probabilities"].shape == labels.shape == (3, 16, 6)
    assert inputs["mask"].sum(axis=1).tolist() == [1, 9, 1]
    assert inputs["mask"][1].tolist() == [True] * 9 + [False] * 7
    np.testing.assert_array_equal(inputs["features"][1, :9], scans.features[4:13])
    assert not inputs["features"][1, 9:].any()
    np.testing.assert_array_equal(labels[0, :1], scans.labels[3:4])
    np.testing.assert_allclose(weights.sum(axis=1), [1, 1, 0], rtol=1e-6)
    assert weights[1].tolist() == [np.float32(1 / 9)] * 9 + [0] * 7


def test_training_resumes_at_any_step():
    scans = some_scans(list(range(1, 12)))
    assert sequences.steps_per_epoch(scans, 4) == 3
    every = list(
        sequences.training_batches(scans, batch=4, first_step=0, last_step=7, seed=5)
    )
    assert len(every) == 7
    tail = list(
        sequences.training_batches(scans, batch=4, first_step=4, last_step=7, seed=5)
    )
    for (inputs, labels, weights), (inputs_2, labels_2, weights_2) in zip(
        every[4:], tail, strict=True
    ):
        for name in ("features", "probabilities", "mask"):
            np.testing.assert_array_equal(inputs[name], inputs_2[name])
        np.testing.assert_array_equal(labels, labels_2)
        np.testing.assert_array_equal(weights, weights_2)
    assert np.isclose(sum(weights.sum() for _, _, weights in every[:3]), 11)


def test_fit_takes_scans_of_any_length(tmp_path):
    """Also where the first two batches happen to be of one length."""
    lengths = [8, 8, 3, 30, 5]
    plan = plans.Plan(1, len(lengths), 2, 1e-3, precision="float32")
    plans.start(plan)
    model = sequence.build_sequence(**SMALL)
    plans.compile_model(model, sequence.scan_loss(), plan)

    def batches(first, last):
        for length in lengths[first:last]:
            scans = some_scans([length, max(1, length - 2)])
            yield sequences.scan_batch(scans, np.array([0, 1]), 2)

    history = fit.fit(model, batches, None, plan, tmp_path, spec={}, tensorboard=False)
    assert np.isfinite(history[0]["loss"])


def test_scans_that_do_not_fit_are_refused():
    features, probabilities = np.zeros((4, 8)), np.zeros((4, 6))
    with pytest.raises(ValueError, match="'lengths': 5, 'features': 4"):
        sequences.Scans(features, probabilities, np.array([2, 3]))
    with pytest.raises(ValueError, match="each with a slice or more"):
        sequences.Scans(features, probabilities, np.array([4, 0]))
    with pytest.raises(ValueError, match="'labels': 3"):
        sequences.Scans(features, probabilities, np.array([4]), np.zeros((3, 6)))
    unlabelled = sequences.Scans(features, probabilities, np.array([4]))
    with pytest.raises(ValueError, match="without labels"):
        next(
            sequences.training_batches(
                unlabelled, batch=1, first_step=0, last_step=1, seed=0
            )
        )
