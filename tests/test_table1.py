"""Table I end to end on a few small phantom heads in the layout of RSNA 2019."""

import dataclasses
import shutil

import keras
import markdown_rows
import numpy as np
import pytest
import small
from PIL import Image as image

from ich_tf import cli, files, labels
from ich_tf.data.rsna import dataset as rsna
from ich_tf.evidence import (
    classification_page,
    compare,
    held_out_figures,
    localization,
    render,
)
from ich_tf.experiments import (
    reproduce,
    runner,
    ship,
    steps,
    submission,
    trained_classifier,
)
from ich_tf.experiments.catalog import CATALOG
from ich_tf.experiments.tasks import classifier_networks as networks
from ich_tf.experiments.tasks import slice_data
from ich_tf.metrics import evaluation
from ich_tf.models import probe, weights
from ich_tf.prediction import classify, explain, figures
from ich_tf.synthetic import layouts
from ich_tf.training import checkpoint

SLICES, SCANS = "table1/resnext101", "table1/resnext101-lstm"
pytestmark = pytest.mark.usefixtures("float32")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return runner.Folders(results=folder / "results", weights=folder / "weights")


@pytest.fixture(scope="module")
def done(folders):
    return small.reproduce(["table1"], folders)


def test_slices_and_scans_are_scored_on_the_same_held_out_scans(folders, done):
    alone, chained = done
    assert (alone.experiment, chained.experiment) == (SLICES, SCANS)
    assert alone.identity == "phantom"
    (fold,) = alone.folds
    assert len(fold["train"]) + len(fold["test"]) == 8
    assert not set(fold["train"]) & set(fold["test"])
    assert set(alone.predictions) == set(chained.predictions) == set(fold["test"])
    for case_id, scan in chained.predictions.items():
        assert scan["truth"] == alone.predictions[case_id]["truth"]
        assert np.shape(scan["truth"]) == np.shape(scan["probability"]) == (6, 6)
    assert [epoch["epoch"] for epoch in alone.history[0]] == [1, 2]
    assert alone.init == chained.init == "random"


def test_an_edited_prediction_is_found(done):
    for result in done:
        row = small.CATALOG.row(result.experiment)
        assert result.faults(row, "demo") == []
        first = next(iter(result.predictions))
        probability = [list(of) for of in result.predictions[first]["probability"]]
        for value, reason in (
            (0.123, "is not what its cases give"),
            (float("nan"), "must lie in [0, 1]"),
        ):
            probability[0][labels.index("any")] = value
            (fault, *_) = edited(result, first, probability).faults(row, "demo")
            assert reason in fault
        lost = {
            name: scan for name, scan in result.predictions.items() if name != first
        }
        (fault,) = dataclasses.replace(result, predictions=lost).faults(row, "demo")
        assert "held-out scans" in fault


def edited(result, case_id, probability):
    scan = {**result.predictions[case_id], "probability": probability}
    predictions = {**result.predictions, case_id: scan}
    return dataclasses.replace(result, predictions=predictions)


def test_the_split_of_1_and_unreadable_scans_are_no_faults(done, elsewhere):
    run = small.run(SLICES, elsewhere)
    row = dataclasses.replace(
        run.experiment,
        settings={"demo": dataclasses.replace(run.profile, split="burduja2020")},
    )
    run = dataclasses.replace(run, experiment=row, profile=row.settings["demo"])
    (result,) = reproduce.reproduce([run], say=lambda line: None)
    (fold,) = result.folds
    assert set(result.predictions) == set(fold["validation"])
    assert result.faults(row, "demo") == []

    unread, *others = done[0].predictions
    fewer = {name: done[0].predictions[name] for name in others}
    summary = evaluation.score_slices(fewer)
    result = dataclasses.replace(done[0], predictions=fewer, summary=summary)
    assert result.faults(row, "demo")
    left_out = {**result.left_out, "scan_ids": [unread]}
    assert dataclasses.replace(result, left_out=left_out).faults(row, "demo") == []


def test_scores_follow_from_the_predictions(folders, done):
    for result in done:
        scans = result.predictions.values()
        truth = np.concatenate([scan["truth"] for scan in scans])
        probability = np.concatenate([scan["probability"] for scan in scans])
        right = (probability > 0.5) == truth
        summary = result.summary
        for k, name in enumerate(labels.CLASSES):
            score = summary[name]["accuracy_slice"]
            assert score["mean"] == pytest.approx(right[:, k].mean())
            assert score["n"] == len(truth)
        loss = -np.log(np.where(truth, probability, 1 - probability)).mean()
        assert summary["all"]["validation_loss"]["mean"] == pytest.approx(loss)


def test_a_second_start_repeats_nothing(folders, done):
    lines = []
    assert small.reproduce(["table1"], folders, say=lines.append) == done
    kept = [f"{name}: finished before, kept" for name in (SLICES, SCANS)]
    assert lines[:2] == kept
    assert [line[:31] for line in lines[2:]] == ["left out in all: 0 images with "]


def test_phantom_numbers_are_never_a_reproduction(folders, done):
    shown = [small.TABLES[name] for name in ("table1", "table1-losses")]
    text = render.render(shown, folders.results, "demo")
    title = "any: ResNeXt-101, PCA, BiLSTM [run from random weights]"
    reported, *_, verdict = markdown_rows.row(text, title)
    assert (reported, verdict) == ("0.9822", "not comparable")
    assert f"phantom, not {shown[0].identity}" in text
    assert "reproduced" not in text


def _decided(result) -> dict:
    """A result without what the clock and the memory say of the run."""
    measured = ("seconds", "peak_memory_gb", "history")
    kept = {
        name: value for name, value in result.as_json().items() if name not in measured
    }
    losses = [[epoch["loss"] for epoch in fold] for fold in result.history]
    return {**kept, "losses": losses}


def test_the_sequence_model_makes_its_slice_network_first(done, elsewhere):
    lines = []
    (result,) = small.reproduce([SCANS], elsewhere, say=lines.append)
    assert result.predictions == done[1].predictions
    slices = runner.load(small.run(SLICES, elsewhere))
    assert _decided(slices) == _decided(done[0])


def test_figures_show_phantom_heads_that_no_one_trained_on(folders, done):
    run = small.run(SLICES, folders)
    out = localization.of_run(run, print, heads=2)
    content = files.read_json(out / localization.MEASURED)
    assert content["heads"] == 2
    drawn = [
        subtype["figure"]
        for subtype in content["subtypes"].values()
        if subtype["figure"]
    ]
    assert drawn and sorted(path.name for path in out.glob("*.png")) == sorted(drawn)
    text = localization.describe(content)
    assert len(text.splitlines()) == len(labels.SUBTYPES)


def test_figures_of_held_out_scans_show_slices_at_their_own_size(folders, done):
    """The phantom in the layout of RSNA 2019 stands for the real folder."""
    run = small.run(SLICES, folders)
    out = held_out_figures.of_run(run, print, shown=2)
    content = held_out_figures.read(out)
    chosen = held_out_figures.choose(done[0], shown=2)
    drawn = [figure["figure"] for figure in content["subtypes"].values()]
    assert any(drawn)
    for number, (subtype, slices) in enumerate(chosen.items(), 3):
        name = f"figure-{number}-{labels.SHORT[subtype]}.png" if slices else None
        assert content["subtypes"][subtype]["figure"] == name
        if name:
            with image.open(out / name) as picture:
                # Three panels of 64 pixels, enlarged four times, under two lines.
                row = 4 * 64 + 2 * figures.TITLE
                assert picture.size == (3 * 4 * 64, len(slices) * row)
    text, pictures = held_out_figures.figures_and_captions(run.folder)
    assert text.startswith(f"Real slices: Grad-CAM by {held_out_figures.TABLE1}")
    held_out = [out / name for name in drawn if name]
    assert list(pictures)[: len(held_out)] == held_out
    assert list(held_out_figures.captions(run.folder)) == held_out
    before = (out / held_out_figures.CHOSEN).stat().st_mtime_ns
    held_out_figures.of_run(run, print, shown=2)
    assert (out / held_out_figures.CHOSEN).stat().st_mtime_ns == before


def test_a_figure_takes_true_slices_by_their_probability_one_a_scan(done):
    """EDH is class 0. Scan a: slices 0 and 1 show it (0.6, 0.8), slice 2 (0.9) does
    not; scan b: slice 0 shows it (0.95); scan c shows nothing. So b's slice 0 comes
    first and a's slice 1 second, although a's slice 2 has more than that."""

    def scan(*slices):
        truth, probability = (
            [[value, 0, 0, 0, 0, value] for value in column]
            for column in zip(*slices, strict=True)
        )
        return {"patient": "p", "truth": truth, "probability": probability}

    scans = {
        "a": scan((1, 0.6), (1, 0.8), (0, 0.9)),
        "b": scan((1, 0.95), (0, 0.1)),
        "c": scan((0, 0.99)),
    }
    result = dataclasses.replace(done[0], predictions=scans)
    chosen = held_out_figures.choose(result)
    epidural = [tuple(of.values()) for of in chosen.pop("epidural")]
    assert epidural == [("b", 0, 0.95), ("a", 1, 0.8)]
    assert not any(chosen.values())
    (best,) = held_out_figures.choose(result, shown=1)["epidural"]
    assert best["case_id"] == "b"


def test_a_scan_is_explained_by_the_network_of_a_finished_row(folders, done, tmp_path):
    network = trained_classifier.of_row(SLICES, "demo", folders, small.CATALOG)
    run = small.run(SLICES, folders)
    case_id, scan = next(iter(done[0].predictions.items()))
    dicom = tmp_path / "scan"
    dicom.mkdir()
    for path in run.dataset.slices(case_id).files:
        shutil.copy(path, dicom)
    answer = explain.explain(
        dicom,
        tmp_path / "out",
        "any",
        explainer=explain.GradCam(network),
        force=True,
    )
    # Shards hold whole levels of 255.
    expected = [slice_[labels.index("any")] for slice_ in scan["probability"]]
    assert answer["slice_probability"] == pytest.approx(expected, abs=0.01)
    assert answer["network"] == f"{SLICES} (profile demo)"
    assert answer["weights"]["trained_on"] == "phantom"


def test_the_verb_names_the_row_that_explains(folders, done, tmp_path, capsys):
    arguments = ["explain", str(tmp_path), "--subtype", "SDH", "--out", str(tmp_path)]
    arguments += ["--results", str(folders.results), "--run", "table1/resnext"]
    assert cli.main(arguments) == 2
    assert "table1/resnext101" in capsys.readouterr().err


def test_a_number_of_held_out_slices_needs_held_out_scans(tmp_path, capsys):
    arguments = ["figures", "--slices", "2", "--results", str(tmp_path)]
    assert cli.main(arguments) == 2
    assert "--rsna" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("row", [SLICES, SCANS])
def test_figures_of_an_unfinished_row_are_refused(written, tmp_path, capsys, row):
    arguments = ["figures", "--run", row, "--profile", "paper", "--rsna", str(written)]
    assert cli.main([*arguments, "--results", str(tmp_path)]) == 2
    assert SLICES in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "profile", "message"),
    [
        (SCANS, "demo", f"Its slice network is {SLICES}"),
        ("table3/unet-hssayeni", "demo", "segments and does not classify"),
        (SLICES, "shipped", "not in profile shipped"),
        ("table1-imagenet/resnext101", "paper", "is not finished"),
    ],
)
def test_a_row_without_a_finished_slice_network_is_refused(
    folders, done, row, profile, message
):
    with pytest.raises(ValueError, match=message):
        trained_classifier.of_row(row, profile, folders, small.CATALOG)


def test_a_step_of_the_paper_takes_one_scan(folders, done):
    """21,000 scans, one a step, are 21,000 updates an epoch and 105,000 in all."""
    run = small.run(SCANS, folders)
    stage = CATALOG.row(SCANS).settings["paper"].sequence
    plan = networks.plan_of(run, stage, 21_000 // stage.batch)
    # Ten parts of 2,100 steps are an epoch.
    assert (plan.batch, plan.steps_per_epoch, plan.epochs) == (1, 2_100, 50)
    assert plan.steps == 105_000

    # The same on the small scans: five of eight train, in one part instead of ten.
    stage = dataclasses.replace(stage, parts=1)
    profile = dataclasses.replace(run.profile, sequence=stage)
    run = dataclasses.replace(run, profile=profile, seed=9)
    slices = small.run(SLICES, folders, seed=9)
    runner.execute(slices, say=lambda line: None)
    trained = run.task.train(run, 0, say=lambda line: None)
    scans = len(run.folds[0].train)
    assert int(trained.model.optimizer.iterations) == stage.epochs * scans


def test_a_run_killed_while_it_wrote_features_resumes(folders, done):
    run = small.run(SLICES, folders)
    run.file.unlink()
    (run.fold_folder(0) / "fold.json").unlink()
    held_out = run.fold_folder(0) / "features-held-out"
    (held_out / "lengths.npy").unlink()
    again = runner.execute(run, say=lambda line: None)
    assert again.predictions == done[0].predictions
    assert (held_out / "lengths.npy").is_file()


def test_a_slice_network_trained_again_makes_the_sequence_model_stale(folders, done):
    run = small.run(SCANS, folders)
    slices = small.run(SLICES, folders)
    runner.execute(run, say=lambda line: None)
    assert runner.state_of(run) == "finished"
    runner.execute(slices, fresh=True, say=lambda line: None)
    assert runner.state_of(run) == "new"


def test_seeds_hold_out_the_same_scans_and_are_compared(folders, done):
    names = {"first": SLICES, "second": SCANS}
    for seed in (0, 1):
        runs = small.runs(["table1"], folders, seed=seed)
        reproduce.reproduce(runs, say=lambda line: None)
    results = [
        compare.results_of(name, folders.results, "demo", (0, 1), small.CATALOG)
        for name in names.values()
    ]
    assert results[0][0].folds == results[1][1].folds
    assert results[0][0].predictions != results[0][1].predictions
    paired = compare.paired(*results)
    for name in ("auc_slice any", "validation_loss"):
        row = paired[name]
        assert row["difference"].mean == pytest.approx(row["second"] - row["first"])
    for result, key in zip(results, names, strict=True):
        losses = [
            of_seed.summary["all"]["validation_loss"]["mean"] for of_seed in result
        ]
        assert paired["validation_loss"][key] == pytest.approx(np.mean(losses))
    text = compare.render(SLICES, SCANS, folders.results, "demo", (0, 1), small.CATALOG)
    assert markdown_rows.row(text, "any: AUC, slices")
    with pytest.raises(ValueError, match="reproduce table1/resnext101 .*--seed 11"):
        compare.results_of(SLICES, folders.results, "demo", (11,), small.CATALOG)


def test_compare_refuses_other_scans(done):
    _, *others = done[1].predictions
    fewer = {name: done[1].predictions[name] for name in others}
    other = dataclasses.replace(done[1], predictions=fewer)
    with pytest.raises(ValueError, match="not evaluated on the same scans"):
        compare.paired([done[0]], [other])


def test_train_gives_the_scores_of_the_epoch_it_keeps(folders, done):
    run = small.run(SLICES, folders)
    trained = steps.train_one(run, 0, say=lambda line: None)
    assert trained.scores["epoch"] == 2
    assert trained.file.is_file()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rsna")
    return layouts.phantom_as("rsna", folder, say=print, **small.PHANTOM)


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
    (result,) = small.reproduce([SLICES], folders, say=lines.append)
    named = " ".join(line for line in lines if line.startswith("left out: "))
    assert all(path.name in named for path in damaged)
    assert lines[-1].startswith("left out in all: 3 images with damaged headers")
    held_out = sum(len(scan["truth"]) for scan in result.predictions.values())
    complete = sum(len(scan["truth"]) for scan in done[0].predictions.values())
    assert complete - 3 <= held_out <= complete


def test_a_data_set_of_damaged_files_is_refused(done, root, tmp_path):
    for path in (root / "stage_2_train").glob("*.dcm"):
        path.write_bytes(b"no DICOM")
    folders = runner.Folders(tmp_path / "results", tmp_path / "weights", rsna=root)
    for call in (
        lambda: small.reproduce([SLICES], folders),
        lambda: steps.train_one(small.run(SLICES, folders), 0),
    ):
        with pytest.raises(ValueError, match=r"no scan can be read.*\.dcm: "):
            call()


@pytest.mark.parametrize("row", [0, 1])
def test_a_submission_holds_what_the_row_predicts(folders, done, root, tmp_path, row):
    """Two held-out scans are the test part; of one an image is damaged."""
    result = done[row]
    whole, damaged = list(result.predictions)[:2]
    known = rsna.Rsna(root)
    (root / "stage_2_test").mkdir()
    for path in (*known.slices(whole).files, *known.slices(damaged).files):
        shutil.copy(path, root / "stage_2_test" / path.name)
    bad = known.slices(damaged).files[0].name
    (root / "stage_2_test" / bad).write_bytes(b"no DICOM")

    out = tmp_path / "submission.csv"
    run = small.run((SLICES, SCANS)[row], folders)
    unread = submission.write(run, rsna.Rsna(root, part="test"), out, print)
    assert unread == 1
    header, *lines = out.read_text().splitlines()
    assert header == "ID,Label"
    values = {key: float(value) for key, value in (line.split(",") for line in lines)}
    assert len(lines) == len(values) == 2 * 6 * len(labels.CLASSES)
    for name_of_image, expected in zip(
        known.slices(whole).image_ids,
        result.predictions[whole]["probability"],
        strict=True,
    ):
        submitted = [values[f"{name_of_image}_{name}"] for name in labels.CLASSES]
        # Shards hold whole levels of 255.
        assert submitted == pytest.approx(expected, abs=0.01)
    stem = bad.removesuffix(".dcm")
    assert [values[f"{stem}_{name}"] for name in labels.CLASSES] == [0.5] * 6


def test_an_unfinished_row_has_no_submission(folders, tmp_path):
    fresh = dataclasses.replace(folders, results=tmp_path / "none")
    run = small.run(SLICES, fresh)
    with pytest.raises(ValueError, match="is not finished.*reproduce table1"):
        submission.write(run, None, tmp_path / "submission.csv", print)


def _height(path) -> int:
    with image.open(path) as opened:
        return opened.height


def test_the_documentation_is_made_of_results(folders, done):
    sources = classification_page.ClassifierPage(
        seeds=(0,), real_slices=SLICES, real_scans=SCANS, rows=small.CATALOG
    )
    missing = dataclasses.replace(sources, real_scans="ct-ich-slices/resnext-lstm")
    with pytest.raises(ValueError, match="reproduce ct-ich-slices/resnext-lstm"):
        classification_page.page(folders.results, sources=missing)
    small.reproduce(["table1"], folders)
    run = small.run(SLICES, folders)
    localization.of_run(run, print, heads=2)
    text = classification_page.page(folders.results, sources=sources)
    loss = runner.load(small.run(SCANS, folders)).summary["all"]["validation_loss"]
    assert f"| {loss['mean']:.4f} |" in text
    assert text.count("| epidural |") == 1
    assert "8 patients, 48 slices" in text
    with pytest.raises(ValueError, match="ich-tf figures"):
        classification_page.draw_figures(folders.results, folders.results / "a.png")
    of_predict = localization.of_predict(run.folder, None, print, heads=1)
    classification_page.draw_figures(folders.results, folders.results / "stacked.png")
    single = sorted(of_predict.glob("*.png"))
    stacked = folders.results / "stacked.png"
    assert _height(stacked) == sum(map(_height, single))


def test_shipped_classifiers_say_what_the_trained_ones_said(folders, done):
    for name, kept in ((SLICES, classify.SLICES), (SCANS, classify.SEQUENCE)):
        run = small.run(name, folders)
        entry = ship.ship(run, print)
        assert entry["trained_on"] == "phantom"
        assert entry["metric"].startswith("AUC of any hemorrhage")
        model = weights.load_shipped(name.split("/")[1], folders.weights)
        probe.check(model, entry)
        # What `predict` loads is what `shipped/...` is shipped as.
        assert CATALOG.row(f"shipped/{kept}").settings["shipped"]


def test_the_whole_classifier_is_one_file(folders, done, tmp_path):
    names = [name.split("/")[1] for name in (SLICES, SCANS)]
    for name in (SLICES, SCANS):
        ship.ship(small.run(name, folders), print)
    classify.whole(folders.weights, *names).save(tmp_path / "whole.keras")
    model = keras.saving.load_model(tmp_path / "whole.keras")
    run = small.run(SCANS, folders)
    volume = run.dataset.load(run.dataset.case_ids()[0]).volume
    wanted, _ = classify.scan_answers(volume, folders.weights, *names)
    probability = model.predict(volume.hu[np.newaxis])[0]
    np.testing.assert_allclose(probability, wanted, atol=0.02)


@pytest.mark.slow
def test_a_row_learns_from_painted_slices_of_its_own_patients_first(folders):
    brain = dataclasses.replace(small.CLASSIFIER, images="brain", split=3)
    run = small.run("ct-ich-slices/resnext-painted", folders)
    few = dataclasses.replace(small.CLASSIFIER.slices, parts=1, learning_rate=1e-2)
    row = dataclasses.replace(
        run.experiment, copies=2, painted_size=64, pretraining=few
    )
    run = dataclasses.replace(run, experiment=row, profile=brain)
    source = slice_data.painted_shards(run, 0, print)
    names = [name for group in source.groups for name in group.case_ids]
    patients = {name.split(":")[0] for name in names}
    assert len(names) == 2 * len(patients) > 0
    assert patients <= set(run.folds[0].train)
    said = []
    result = runner.execute(run, say=said.append)
    assert [line.split(",")[0] for line in said if "painted" in line] == [
        f"{run.experiment.id}: fold {fold}" for fold in range(3)
    ]
    assert len(result.predictions) == 8
    weights_before = run.folder / "pretraining-0" / checkpoint.FINAL
    written = weights_before.stat().st_mtime_ns
    # Killed while it learned from real slices, it does not learn from paint again.
    (run.fold_folder(0) / "fold.json").unlink()
    run.file.unlink()
    again = runner.execute(run, say=lambda line: None)
    assert again.predictions == result.predictions
    assert weights_before.stat().st_mtime_ns == written
