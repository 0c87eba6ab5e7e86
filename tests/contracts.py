"""What every network and every data set promises; one call checks it."""

import json

import keras
import numpy as np
import pytest


def check_model(build, folder, classes=None):
    """Check output, names, both kinds of file and mixed precision.

    Args:
        build: Function without arguments that returns a new model.
        folder: Empty folder for the model's files.
        classes: Of a classifier; None for a network that puts out one mask.
    """
    model, mixed = build(), build_in_mixed_precision(build)
    names = [layer.name for layer in model.layers]
    assert names == [layer.name for layer in mixed.layers]
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in model.layers)

    images = np.random.default_rng(0).random(
        (2, *model.input_shape[1:]), dtype="float32"
    )
    model.compile(run_eagerly=True)
    outputs = model.predict(images, verbose=0)
    assert outputs.shape == ((2, classes) if classes else (*images.shape[:-1], 1))
    assert outputs.dtype == np.float32
    assert outputs.min() >= 0.0 and outputs.max() <= 1.0 and outputs.std() > 0.0

    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras", compile=False)
    np.testing.assert_allclose(loaded(images), outputs, atol=1e-5)

    model.save_weights(folder / "model.weights.h5")
    mixed.load_weights(folder / "model.weights.h5")
    assert_same_weights(model, mixed)
    check_mixed_precision(mixed)


def build_in_mixed_precision(build):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(policy)


def check_mixed_precision(model):
    """Probabilities stay float32, while the convolutions compute in bfloat16."""
    assert model.output.dtype == "float32"
    kinds = (keras.layers.Conv2D, keras.layers.Conv3D)
    convolutions = [
        layer for layer in model._flatten_layers() if isinstance(layer, kinds)
    ]
    assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}
    assert {weight.dtype for weight in model.weights} == {"float32"}


def assert_same_weights(first, second):
    for left, right in zip(first.weights, second.weights, strict=True):
        assert left.path == right.path
        np.testing.assert_array_equal(left, right, err_msg=left.path)


def check_dataset(dataset):
    """Check what every data set promises: cases, their order, labels, fingerprint."""
    case_ids = dataset.case_ids()
    assert len(case_ids) == len(set(case_ids)) > 0
    slices = {}
    for case_id in case_ids:
        case = dataset.load(case_id)
        slices[case_id] = len(case.volume.hu)
        check_case(case_id, case)
    again = dataset.load(case_id)
    np.testing.assert_array_equal(again.volume.hu, case.volume.hu)
    with pytest.raises(ValueError, match="'no such case'"):
        dataset.load("no such case")
    if dataset.fingerprint():
        check_fingerprint(dataset, slices)


def check_case(case_id, case):
    """Types, slices from foot to head, and `any` that agrees with the subtypes."""
    assert case.case_id == case_id and case.patient_id
    assert case.volume.hu.dtype == np.float32
    positions = case.volume.slice_positions_mm
    assert positions is None or np.all(np.diff(positions) > 0)
    assert case.labels.dtype == np.uint8 and case.labels.max() <= 1
    subtypes = case.labels[:, :5].max(axis=1)
    np.testing.assert_array_equal(subtypes, case.labels[:, 5])


def check_fingerprint(dataset, slices):
    """It can be written as JSON, counts the slices and is the same again."""
    facts = dataset.fingerprint()
    assert json.loads(json.dumps(facts)) == facts == dataset.fingerprint()
    assert set(facts) == {"layout", "slices", "cases", "identity"}
    assert list(facts["cases"]) == list(dataset.case_ids())
    counts = {case_id: case["slices"] for case_id, case in facts["cases"].items()}
    assert counts == slices
    assert facts["slices"] == sum(slices.values())
    for case in facts["cases"].values():
        assert set(case) == {"slices", "mask_voxels", "crc32"}
