"""Table I end to end on a few small phantom heads in the layout of RSNA 2019."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image as image

from ich_tf import cli, files, labels
from ich_tf.evidence import compare, docs, localization, tables, verify
from ich_tf.experiments import profiles, reproduce, runner, ship, spec
from ich_tf.experiments import results as stored
from ich_tf.experiments.tasks import slice_data
from ich_tf.metrics import evaluation
from ich_tf.models import weights
from ich_tf.prediction import classify
from ich_tf.synthetic import layouts
from ich_tf.training import checkpoint

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


def test_verify_finds_an_edited_prediction(done):
    for result, row in zip(done, spec.rows("table1"), strict=True):
        assert verify.faults(result, row, "demo") == []
        edited = json.loads(json.dumps(result))
        scan = next(iter(edited["predictions"].values()))
        scan["probability"][0][labels.index("any")] = 0.123
        (fault, *_) = verify.faults(edited, row, "demo")
        assert "is not what its cases give" in fault
        scan["probability"][0][0] = float("nan")
        (fault,) = verify.faults(edited, row, "demo")
        assert "must lie in [0, 1]" in fault
        edited["predictions"].popitem()
        (fault,) = verify.faults(edited, row, "demo")
        assert "not those of its folds' held-out scans" in fault


def test_verify_takes_the_split_of_1_and_scans_that_could_not_be_read(
    done, elsewhere, monkeypatch
):
    held_out_as_validation = dataclasses.replace(TINY, split="burduja2020")
    monkeypatch.setitem(profiles.CLASSIFIER_PROFILES, "demo", held_out_as_validation)
    (result,) = reproduce.reproduce([SLICES], elsewhere, say=lambda line: None)
    (fold,) = result["folds"]
    assert set(result["predictions"]) == set(fold["validation"])
    (row,) = spec.find(SLICES)
    assert verify.faults(result, row, "demo") == []

    fewer = json.loads(json.dumps(done[0]))
    unread, _ = fewer["predictions"].popitem()
    fewer["summary"] = evaluation.score_slices(fewer["predictions"])
    assert verify.faults(fewer, row, "demo")
    fewer["left_out"]["scan_ids"] = [unread]
    assert verify.faults(fewer, row, "demo") == []


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
    kept = [f"{name}: finished before, kept" for name in (SLICES, SCANS)]
    assert lines[:2] == kept
    assert [line[:31] for line in lines[2:]] == ["left out in all: 0 images with "]


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


def test_the_sequence_model_makes_its_slice_network_first(done, elsewhere):
    lines = []
    (result,) = reproduce.reproduce([SCANS], elsewhere, say=lines.append)
    assert result["predictions"] == done[1]["predictions"]
    slices = files.read_json(stored.result_file(elsewhere.results, "demo", SLICES))
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


def test_a_run_killed_while_it_wrote_features_goes_on(folders, done):
    run = reproduce.find_run(SLICES, "demo", folders, print)
    run.file.unlink()
    (run.fold_folder(0) / "fold.json").unlink()
    held_out = run.fold_folder(0) / "features-held-out"
    (held_out / "lengths.npy").unlink()
    again = runner.execute(run, say=lambda line: None)
    assert again["predictions"] == done[0]["predictions"]
    assert (held_out / "lengths.npy").is_file()


def test_a_slice_network_trained_anew_makes_the_sequence_model_stale(folders, done):
    run = reproduce.find_run(SCANS, "demo", folders, print)
    slices = reproduce.find_run(SLICES, "demo", folders, print)
    runner.execute(run, say=lambda line: None)
    assert runner.state_of(run) == "finished"
    runner.execute(slices, fresh=True, say=lambda line: None)
    assert runner.state_of(run) == "new"


def test_seeds_hold_out_the_same_scans_and_are_compared(folders, done, capsys):
    names = {"first": SLICES, "second": SCANS}
    for seed in (0, 1):
        reproduce.reproduce(["table1"], folders, seed=seed, say=lambda line: None)
    results = [
        compare.results_of(name, folders.results, "demo", (0, 1))
        for name in names.values()
    ]
    assert results[0][0]["folds"] == results[1][1]["folds"]
    assert results[0][0]["predictions"] != results[0][1]["predictions"]
    found = compare.paired(*results)
    for name in ("auc_slice any", "validation_loss"):
        row = found[name]
        assert row["difference"].mean == pytest.approx(row["second"] - row["first"])
    for result, key in zip(results, names, strict=True):
        losses = [one["summary"]["all"]["validation_loss"]["mean"] for one in result]
        assert found["validation_loss"][key] == pytest.approx(np.mean(losses))
    call = ["compare", SLICES, SCANS, "--seeds", "0", "1"]
    assert cli.main([*call, "--results", str(folders.results)]) == 0
    assert "| any: AUC, slices |" in capsys.readouterr().out
    with pytest.raises(ValueError, match="reproduce table1/resnext101 .*--seed 9"):
        compare.results_of(SLICES, folders.results, "demo", (9,))


def test_compare_refuses_other_scans(folders, done):
    fewer = {**done[1], "predictions": dict([*done[1]["predictions"].items()][1:])}
    with pytest.raises(ValueError, match="not evaluated on the same scans"):
        compare.paired([done[0]], [fewer])


def test_train_tells_the_scores_of_the_epoch_it_keeps(folders, done):
    trained = reproduce.train_one(SLICES, 0, folders, say=lambda line: None)
    assert trained.scores["epoch"] == 2
    assert trained.file.is_file()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rsna")
    return layouts.phantom_as("rsna", folder, say=print, **TINY.phantom)


@pytest.fixture
def root(written, tmp_path):
    """The layout of RSNA 2019, to be spoilt."""
    return shutil.copytree(written, tmp_path / "rsna")


def test_damaged_files_are_named_and_counted(done, root, tmp_path):
    damaged = sorted((root / "stage_2_train").glob("*.dcm"))[:3]
    damaged[0].write_bytes(b"no DICOM")
    damaged[1].write_bytes(damaged[1].read_bytes()[:-500])
    content = damaged[2].read_bytes()
    damaged[2].write_bytes(content[: content.rindex(b"\xe0\x7f\x10\x00")])
    folders = runner.Folders(tmp_path / "results", tmp_path / "weights", rsna=root)
    lines = []
    (result,) = reproduce.reproduce([SLICES], folders, say=lines.append)
    named = " ".join(line for line in lines if line.startswith("left out: "))
    assert all(path.name in named for path in damaged)
    assert lines[-1].startswith("left out in all: 3 images with damaged headers")
    held_out = sum(len(scan["truth"]) for scan in result["predictions"].values())
    complete = sum(len(scan["truth"]) for scan in done[0]["predictions"].values())
    assert complete - 3 <= held_out <= complete


def test_a_data_set_of_damaged_files_is_refused(done, root, tmp_path):
    for path in (root / "stage_2_train").glob("*.dcm"):
        path.write_bytes(b"no DICOM")
    folders = runner.Folders(tmp_path / "results", tmp_path / "weights", rsna=root)
    for call in (
        lambda: reproduce.reproduce([SLICES], folders, say=print),
        lambda: reproduce.train_one(SLICES, 0, folders),
    ):
        with pytest.raises(ValueError, match=r"no scan can be read.*\.dcm: "):
            call()


def _height(path) -> int:
    with image.open(path) as opened:
        return opened.height


def test_the_documentation_is_made_of_results(folders, done, monkeypatch):
    with pytest.raises(ValueError, match="reproduce ct-ich-slices/resnext-lstm"):
        docs.classification(folders.results)
    for name, value in {
        "SEEDS": (0,),
        "REAL_SLICES": SLICES,
        "REAL_SCANS": SCANS,
    }.items():
        monkeypatch.setattr(docs, name, value)
    reproduce.reproduce(["table1"], folders, say=lambda line: None)
    run = reproduce.find_run(SLICES, "demo", folders, print)
    localization.of_run(run, print, heads=2)
    text = docs.classification(folders.results)
    found = files.read_json(stored.result_file(folders.results, "demo", SCANS))
    loss = found["summary"]["all"]["validation_loss"]["mean"]
    assert f"| {loss:.4f} |" in text
    assert text.count("| epidural |") == 1
    assert "8 patients, 48 slices of phantom" in text
    docs.draw_figures(folders.results, folders.results / "stacked.png")
    single = sorted((run.folder / localization.FOLDER).glob("*.png"))
    stacked = folders.results / "stacked.png"
    assert _height(stacked) == sum(map(_height, single))


def test_shipped_classifiers_say_what_the_trained_ones_said(folders, done):
    for name, kept in ((SLICES, classify.SLICES), (SCANS, classify.SEQUENCE)):
        run = reproduce.find_run(name, "demo", folders, print)
        entry = ship.ship(run)
        assert entry["trained_on"] == "phantom"
        assert entry["metric"].startswith("AUC of any hemorrhage")
        model = weights.load_shipped(name.split("/")[1], folders.weights)
        weights.check_probe(model, entry)
        # What `predict` loads is what `shipped/...` is shipped as.
        assert [row.id for row in spec.find(f"shipped/{kept}")] == [f"shipped/{kept}"]


def test_the_whole_classifier_is_one_file(folders, done, tmp_path, monkeypatch):
    names = [name.split("/")[1] for name in (SLICES, SCANS)]
    for name in (SLICES, SCANS):
        ship.ship(reproduce.find_run(name, "demo", folders, print))
    for constant, name in zip(("SLICES", "SEQUENCE"), names, strict=True):
        monkeypatch.setattr(classify, constant, name)
    classify.whole(folders.weights, *names).save(tmp_path / "whole.keras")
    model = keras.saving.load_model(tmp_path / "whole.keras")
    run = reproduce.find_run(SCANS, "demo", folders, print)
    volume = run.dataset.load(run.dataset.case_ids()[0]).volume
    wanted, _ = classify.scan_answers(volume, folders.weights)
    found = model.predict(volume.hu[np.newaxis])[0]
    np.testing.assert_allclose(found, wanted, atol=0.02)


@pytest.mark.slow
def test_a_row_learns_from_painted_slices_of_its_own_patients_first(
    folders, monkeypatch
):
    brain = dataclasses.replace(TINY, images="brain", split=3)
    monkeypatch.setitem(profiles.CLASSIFIER_PROFILES, "demo", brain)
    run = reproduce.find_run("ct-ich-slices/resnext-painted", "demo", folders, print)
    few = dataclasses.replace(TINY.slices, parts=1, learning_rate=1e-2)
    row = dataclasses.replace(
        run.experiment, copies=2, painted_size=64, pretraining=few
    )
    run = dataclasses.replace(run, experiment=row)
    source = slice_data.painted_shards(run, 0, print)
    names = [name for group in source.groups for name in group.case_ids]
    patients = {name.split(":")[0] for name in names}
    assert len(names) == 2 * len(patients) > 0
    assert patients <= set(run.folds[0].train)
    said = []
    result = runner.execute(run, say=said.append)
    assert sum("training on painted slices" in line for line in said) == 3
    assert len(result["predictions"]) == 8
    weights_before = run.folder / "pretraining-0" / checkpoint.FINAL
    written = weights_before.stat().st_mtime_ns
    # Killed while it learned from real slices, it does not learn from paint again.
    (run.fold_folder(0) / "fold.json").unlink()
    run.file.unlink()
    again = runner.execute(run, say=lambda line: None)
    assert again["predictions"] == result["predictions"]
    assert weights_before.stat().st_mtime_ns == written
