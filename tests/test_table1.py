"""Table I end to end on a few small phantom heads in the layout of RSNA 2019."""

import dataclasses

import keras
import numpy as np
import pytest

from ich_tf import files, labels
from ich_tf.experiments import profiles, reproduce, runner, ship, tables
from ich_tf.models import weights
from ich_tf.report import classifier, localization

pytest.importorskip("apache_beam", reason="shards need Apache Beam")

SLICES, SCANS = "table1/resnext101", "table1/resnext101-lstm"
TINY = dataclasses.replace(
    profiles.CLASSIFIER_DEMO,
    size=32,
    split=0.4,
    slices=dataclasses.replace(
        profiles.CLASSIFIER_DEMO.slices, parts=2, steps_per_epoch=2, batch=4
    ),
    sequence=dataclasses.replace(profiles.CLASSIFIER_DEMO.sequence, epochs=2, batch=2),
    phantom={"cases": 8, "seed": 4, "slices": 6, "size": 64, "bleeding_share": 0.5},
    network={
        "model": "resnext",
        "arguments": {"cardinality": 2, "width": 2, "filters": 4, "init": "random"},
    },
    sequence_arguments={"components": 4, "hidden": 4, "layers": 1},
    row_changes={},
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return runner.Folders(results=folder / "results", weights=folder / "weights")


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("demo", "shipped"):
            patch.setitem(profiles.CLASSIFIER_PROFILES, name, TINY)
        yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def done(folders):
    return reproduce.reproduce(["table1"], folders, say=lambda line: None)


def test_slices_and_scans_are_scored_on_the_same_held_out_scans(folders, done):
    alone, chained = done
    assert (alone["experiment"], chained["experiment"]) == (SLICES, SCANS)
    assert alone["data"]["identity"] == "phantom"
    (fold,) = alone["folds"]
    assert len(fold["train"]) + len(fold["test"]) == 8
    assert not set(fold["train"]) & set(fold["test"])
    assert set(alone["predictions"]) == set(chained["predictions"]) == set(fold["test"])
    for case_id, scan in chained["predictions"].items():
        assert scan["truth"] == alone["predictions"][case_id]["truth"]
        assert np.shape(scan["truth"]) == np.shape(scan["probability"]) == (6, 6)
    assert [epoch["epoch"] for epoch in alone["history"][0]] == [1, 2]
    assert alone["init"] == chained["init"] == "random"


def test_scores_are_those_of_the_predictions(folders, done):
    for result in done:
        scans = result["predictions"].values()
        truth = np.concatenate([scan["truth"] for scan in scans])
        probability = np.concatenate([scan["probability"] for scan in scans])
        right = (probability > 0.5) == truth
        summary = result["summary"]
        for k, name in enumerate(labels.CLASSES):
            found = summary[name]["accuracy_slice"]
            assert found["mean"] == pytest.approx(right[:, k].mean())
            assert found["n"] == len(truth)
        loss = -np.log(np.where(truth, probability, 1 - probability)).mean()
        assert summary["all"]["validation_loss"]["mean"] == pytest.approx(loss)


def test_a_second_start_does_nothing_anew(folders, done):
    lines = []
    assert reproduce.reproduce(["table1"], folders, say=lines.append) == done
    assert lines == [f"{name}: finished before, kept" for name in (SLICES, SCANS)]


def test_phantom_numbers_are_never_a_reproduction(folders, done):
    text = tables.render(["table1", "table1-losses"], folders.results, "demo")
    assert (
        "| any: ResNeXt-101, PCA, BiLSTM [run from random weights] | 0.9822 |" in text
    )
    assert "data: phantom, not RSNA 2019 stage 2" in text
    assert "reproduced" not in text


def _decided(result: dict) -> dict:
    """A result without what the clock and the memory say of the run."""
    measured = ("seconds", "peak_memory_gb", "history")
    kept = {name: value for name, value in result.items() if name not in measured}
    losses = [[epoch["loss"] for epoch in fold] for fold in result["history"]]
    return {**kept, "losses": losses}


def test_the_sequence_model_makes_its_slice_network_first(folders, done, tmp_path):
    elsewhere = dataclasses.replace(folders, results=tmp_path)
    lines = []
    (result,) = reproduce.reproduce([SCANS], elsewhere, say=lines.append)
    assert result["predictions"] == done[1]["predictions"]
    slices = files.read_json(tables.result_file(tmp_path, "demo", SLICES))
    assert _decided(slices) == _decided(done[0])


def test_figures_show_phantom_heads_that_no_one_trained_on(folders, done):
    run = reproduce.find_run(SLICES, "demo", folders, print)
    out = localization.of_run(run, print, heads=2)
    found = files.read_json(out / localization.MEASURED)
    assert found["heads"] == 2
    drawn = [one["figure"] for one in found["subtypes"].values() if one["figure"]]
    assert drawn and sorted(path.name for path in out.glob("*.png")) == sorted(drawn)
    text = localization.describe(found)
    assert len(text.splitlines()) == len(labels.SUBTYPES)


def test_shipped_classifiers_say_what_the_trained_ones_said(folders, done):
    for name, kept in ((SLICES, classifier.SLICES), (SCANS, classifier.SEQUENCE)):
        run = reproduce.find_run(name, "demo", folders, print)
        entry = ship.ship(run)
        assert entry["trained_on"] == "phantom"
        assert entry["metric"].startswith("AUC of any hemorrhage")
        model = weights.load_shipped(name.split("/")[1], folders.weights)
        weights.check_probe(model, entry)
        assert kept.startswith("resnext")
