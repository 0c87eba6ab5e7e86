import subprocess
import sys

import keras
import numpy as np
import pytest

from ich_tf.models import sm_keras3
from ich_tf.training import losses

# TensorFlow variables lack an argument that NumPy 2 wants of `__array__`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)

# Two images of 1x4 pixels and one class.
MASK = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]]], "float32")[..., None]
PREDICTION = np.array([[[0.5, 1, 0.5, 0]], [[0, 0, 0, 1]]], "float32")[..., None]


def test_jaccard_distance_literal_values():
    # Batch: intersection 1.5, union 2 + 3 - 1.5 = 3.5.
    assert float(losses.jaccard_distance(MASK, PREDICTION)) == pytest.approx(
        1 - 1.5 / 3.5, abs=1e-5
    )
    # First image: intersection 1.5, union 2.5. Second: 0 of 1.
    np.testing.assert_allclose(
        losses.jaccard_distance(MASK, PREDICTION, per_image=True),
        [0.4, 1.0],
        atol=2e-5,
    )


def test_jaccard_distance_of_empty_masks():
    empty = np.zeros((1, 2, 2, 1), "float32")
    one_pixel = empty.copy()
    one_pixel[0, 0, 0, 0] = 1.0
    faint = np.full_like(empty, 2.5e-6)
    for per_image in (False, True):
        values = [
            float(np.squeeze(losses.jaccard_distance(empty, prediction, per_image)))
            for prediction in (empty, faint, one_pixel)
        ]
        # 1 - 1e-5 / (1e-5 + 1e-5) = 0.5 and 1 - 1e-5 / (1 + 1e-5).
        np.testing.assert_allclose(values, [0.0, 0.5, 0.99999], atol=1e-6)


def test_empty_image_weighs_differently_per_batch_and_per_image():
    perfect = MASK.copy()
    perfect[1, 0, 3, 0] = 1.0
    # Two pixels hit, one false positive on the empty image.
    batch = float(losses.jaccard_distance(MASK, perfect))
    image = np.asarray(losses.jaccard_distance(MASK, perfect, per_image=True))
    assert batch == pytest.approx(1 / 3, abs=1e-5)
    np.testing.assert_allclose(image, [0.0, 1.0], atol=2e-5)


@pytest.mark.parametrize("per_image", [False, True])
def test_jaccard_distance_equals_segmentation_models(per_image):
    random = np.random.default_rng(0)
    masks = (random.random((3, 8, 8, 2)) > 0.7).astype("float32")
    masks[1] = 0.0
    predictions = random.random((3, 8, 8, 2)).astype("float32")
    oracle = sm_keras3.package().losses.JaccardLoss(per_image=per_image)
    expected = float(oracle(keras.ops.array(masks), keras.ops.array(predictions)))
    ours = losses.get("jaccard", per_image=per_image)(masks, predictions)
    assert float(ours) == pytest.approx(expected, rel=1e-6)
    assert 0.5 < expected < 1.0


def test_bce_jaccard_literal_values():
    mask = np.array([[[[1.0], [0.0]]], [[[0.0], [0.0]]]], "float32")
    half = np.full_like(mask, 0.5)
    # Cross-entropy log 2; batch: 0.5 of 1 + 2 - 0.5; images: 0.5 of 1.5, and 0 of 1.
    batch = float(losses.bce_jaccard(mask, half))
    assert batch == pytest.approx(0.693147 + 0.8, abs=1e-5)
    np.testing.assert_allclose(
        losses.bce_jaccard(mask, half, per_image=True),
        [0.693147 + 2 / 3, 0.693147 + 1.0],
        atol=2e-5,
    )
    assert float(losses.get("bce_jaccard")(mask, half)) == pytest.approx(batch)


def test_keras_contribs_jaccard_distance_is_nearly_an_l1_loss():
    """100 (1 - (tp + 100) / (t + p - tp + 100)), pixel by pixel, and |t - p|.

    t = 1, p = 1/2: 100 (1 - 100.5 / 101) = 0.49505; t = 0, p = 1/2: 100 (1 - 100 /
    100.5) = 0.49751; t = 0, p = 1 and t = 1, p = 0: 100 (1 - 100 / 101) = 0.99010.
    """
    mask = np.array([[1, 0, 0, 1, 1, 0]], "float32")[..., None]
    prediction = np.array([[0.5, 0.5, 1, 0, 1, 0]], "float32")[..., None]
    pixels = [0.495050, 0.497512, 0.990099, 0.990099, 0.0, 0.0]
    distance = losses.keras_contrib_jaccard_distance(mask, prediction)
    np.testing.assert_allclose(distance, [pixels], atol=2e-5)
    np.testing.assert_allclose(distance, np.abs(mask - prediction)[..., 0], atol=0.01)
    loss = losses.get("keras_contrib_jaccard")
    assert float(loss(mask, prediction)) == pytest.approx(np.mean(pixels), abs=2e-5)


@pytest.mark.parametrize(("share", "best"), [(0.4, 0.0), (0.6, 1.0)])
def test_keras_contribs_jaccard_distance_prefers_black_below_one_half(share, best):
    """One probability for ten pixels, four or six of them with blood: not the share."""
    mask = (np.arange(10) < 10 * share).astype("float32")[None, :, None]
    levels = np.linspace(0, 1, 11, dtype="float32")
    loss = losses.get("keras_contrib_jaccard")
    values = [float(loss(mask, np.full_like(mask, level))) for level in levels]
    assert levels[np.argmin(values)] == best


def test_bce_is_the_mean_over_pixels():
    mask = np.array([[[[1.0], [0.0]]]], "float32")
    prediction = np.array([[[[0.25], [0.5]]]], "float32")
    # -(log 0.25 + log 0.5) / 2
    value = float(losses.get("bce")(mask, prediction))
    assert value == pytest.approx(1.039721, abs=1e-5)


def test_integer_masks_are_accepted():
    value = losses.jaccard_distance(MASK.astype("uint8"), PREDICTION)
    assert float(value) == pytest.approx(1 - 1.5 / 3.5, abs=1e-5)


def test_unknown_loss():
    with pytest.raises(ValueError, match="'dice'. Known: bce, jaccard, "):
        losses.get("dice")


@pytest.mark.parametrize("name", ["jaccard", "bce_jaccard"])
def test_config_round_trip(name):
    loss = losses.get(name, per_image=True, smooth=1.0)
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(copy) is type(loss)
    assert (copy.per_image, copy.smooth) == (True, 1.0)


def test_config_round_trip_of_keras_contribs():
    loss = losses.get("keras_contrib_jaccard", smooth=7.0)
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(copy) is type(loss)
    assert copy.smooth == 7.0


def test_saved_model_loads_with_its_loss_in_a_fresh_process(tmp_path):
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1)(inputs))
    model.compile("adam", losses.get("bce_jaccard", smooth=0.5))
    model.save(tmp_path / "model.keras")
    code = (
        "import sys, ich_tf.training.losses, keras; "
        "print(keras.saving.load_model(sys.argv[1]).loss.smooth)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.keras")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "0.5", run.stderr


def _softmax_of(rows):
    """(1, n, 1, classes) predictions."""
    return np.array(rows, np.float32)[np.newaxis, :, np.newaxis]


def test_tversky_weighs_what_is_missed_and_what_is_false():
    truth = np.array([1.0, 1, 0, 0], np.float32).reshape(1, 4, 1, 1)
    predicted = np.array([1.0, 0, 1, 0], np.float32).reshape(1, 4, 1, 1)
    loss = losses.tversky_distance(truth, predicted, 0.3, 0.7, smooth=0.0)
    # One pixel right, one false and one missed: 1 - 1 / (1 + 0.3 + 0.7).
    assert float(loss) == pytest.approx(0.5)


def test_subtypes_and_hemorrhage_are_asked_apart():
    truth = np.array([0, 1, 2], np.float32).reshape(1, 3, 1, 1)
    right = _softmax_of([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    unsure = _softmax_of([[1, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]])
    loss = losses.SubtypeTversky(subtype_weight=0.5)
    assert float(loss(truth, right)) == pytest.approx(0, abs=1e-4)
    # Hemorrhage is right, both subtypes have half: 0.5 times log 2.
    assert float(loss(truth, unsure)) == pytest.approx(0.5 * np.log(2), abs=1e-4)


def test_each_subtype_of_a_batch_weighs_the_same():
    truth = np.array([1, 1, 1, 2], np.float32).reshape(1, 4, 1, 1)
    all_first = _softmax_of([[0, 0.9, 0.1]] * 4)
    loss = losses.SubtypeTversky(subtype_weight=1.0)(truth, all_first)
    # The mean of the two subtypes' losses, not of four pixels'.
    expected = -(np.log(0.9) + np.log(0.1)) / 2
    assert float(loss) == pytest.approx(expected, abs=1e-3)


def test_the_loss_of_subtypes_with_equal_weights_has_the_jaccard_distance():
    rng = np.random.default_rng(3)
    truth = (rng.random((2, 8, 8, 1)) < 0.3).astype(np.float32)
    predicted = rng.random((2, 8, 8, 1)).astype(np.float32)
    loss = losses.get("subtype_jaccard")
    weights = loss.get_config()["false"], loss.get_config()["missed"]
    both = float(np.sum(truth * predicted))
    union = float(truth.sum() + predicted.sum()) - both
    distance = losses.tversky_distance(truth, predicted, *weights, smooth=0.0)
    assert float(distance) == pytest.approx(1 - both / union, abs=1e-5)
    again = type(loss).from_config(loss.get_config())
    subtypes = rng.dirichlet(np.ones(6), (2, 8, 8)).astype(np.float32)
    assert float(again(truth, subtypes)) == float(loss(truth, subtypes))
