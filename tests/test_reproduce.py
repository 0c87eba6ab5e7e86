import dataclasses
import shutil

import keras
import numpy as np
import pytest

from ich_tf import cli, files, models
from ich_tf.data import ct_ich
from ich_tf.evidence import readme, tables
from ich_tf.experiments import profiles, reproduce, runner, ship
from ich_tf.experiments import results as stored
from ich_tf.experiments.rows import table3
from ich_tf.experiments.tasks import crop_data, masks, segmentation
from ich_tf.models import weights
from ich_tf.synthetic import layouts
from ich_tf.training import checkpoint, fit, precision

ROW = "table3/unet-hssayeni"
TINY = dataclasses.replace(
    profiles.DEMO,
    size=64,
    tile=32,
    stride=16,
    inference_stride=32,
    epochs=2,
    steps_per_epoch=2,
    batch=2,
    validation_crops=4,
    phantom={
        "cases": 8,
        "seed": 4,
        "slices": 6,
        "size": 64,
        "bleeding_share": 0.5,
    },
    split=(0.5, 0.25, 0.25),
    row_changes={},
)


# The row's network with few filters: with its 31 million weights most of the time
# would go to writing checkpoints.
SMALL_ROWS = tuple(
    dataclasses.replace(row, arguments={"filters": (4, 8, 8)}) for row in table3.ROWS
)


def make_small(patch):
    """The demo on a few small heads, and the row with a small network."""
    patch.setitem(profiles.PROFILES, "demo", TINY)
    patch.setattr(table3, "ROWS", SMALL_ROWS)
    patch.delenv("ICH_TF_CT_ICH", raising=False)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    make_small(monkeypatch)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return runner.Folders(results=folder / "results", weights=folder / "weights")


@pytest.fixture(scope="module")
def done(folders):
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        lines = []
        (result,) = reproduce.reproduce([ROW], folders, say=lines.append)
    keras.config.set_dtype_policy("float32")
    return result, lines


def test_result_can_be_traced(folders, done):
    result, lines = done
    assert files.read_json(stored.result_file(folders.results, "demo", ROW)) == result
    assert result["data"]["identity"] == "phantom"
    assert len(result["data"]["cases"]) == 8
    (fold,) = result["folds"]
    parts = [set(fold[name]) for name in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [4, 2, 2]
    assert set.union(*parts) == set(result["data"]["cases"])
    assert set(result["counts"]["per_volume"]) == parts[2]
    assert len(result["history"][0]) == 2
    assert result["versions"][0]["keras"] == keras.__version__
    assert result["deviations"] == list(TINY.deviations)
    assert result["spec"]["seed"] == 0
    assert result["spec"]["profile"]["steps_per_epoch"] == 2
    assert result["peak_memory_gb"][0] is None or result["peak_memory_gb"][0] > 0.1
    assert lines[-1].startswith(f"{ROW}: predicting 2 heads")


def test_counts_are_those_of_the_stored_probabilities(folders, done):
    result, _ = done
    dataset = ct_ich.CtIch(
        layouts.phantom_as(
            "ct-ich",
            folders.results / "phantom",
            **TINY.phantom,
            say=lambda line: None,
        )
    )
    for case_id, counts in result["counts"]["per_volume"].items():
        stored = folders.results / "demo" / ROW / f"{case_id}.npz"
        with np.load(stored) as content:
            predicted = content["probability"] > 127
        truth = dataset.load(case_id).mask.astype(bool)
        assert sum(counts["tp"]) == np.count_nonzero(truth & predicted)
        assert sum(counts["fp"]) == np.count_nonzero(~truth & predicted)
        assert counts["truth_pixels"] == np.count_nonzero(truth)


def test_whole_slices_are_answered_by_the_network_trained_on_tiles(folders, done):
    """Without a stride: the same weights, built at the size of a slice."""
    (run,) = reproduce.prepare([ROW], "demo", folders, say=lambda line: None)
    run = dataclasses.replace(
        run, profile=dataclasses.replace(run.profile, inference_stride=None)
    )
    arguments = {**run.experiment.arguments, "input_shape": (32, 32, 1)}
    model = models.build(run.experiment.model, **arguments)
    checkpoint.load_weights(model, run.fold_folder(0) / checkpoint.FINAL)
    whole = models.build(
        run.experiment.model, **{**arguments, "input_shape": (64, 64, 1)}
    )
    whole.set_weights(model.get_weights())
    (case, *_) = masks.cases(run, run.folds[0].test)
    shown = crop_data.channels(run)(case.volume.hu)
    np.testing.assert_allclose(
        run.task.predictor(run, model)(case.volume.hu),
        whole.predict_on_batch(shown)[..., 0],
        atol=1e-5,
    )
    described = run.task.describe(run, done[0])
    assert described["preprocessing"]["tile"] == 64
    assert described["preprocessing"]["stride"] == 64
    assert described["build"]["kwargs"]["input_shape"] == (64, 64, 1)


def test_whole_slices_keep_the_input_scaling_of_imagenet_weights(folders, monkeypatch):
    """Scaling has no weights that would show that it is absent."""
    (run,) = reproduce.prepare(
        ["table2/vgg16-random-bce"], "demo", folders, say=lambda line: None
    )
    arguments = run.experiment.arguments
    pretrained = dataclasses.replace(
        run,
        experiment=dataclasses.replace(
            run.experiment, arguments={**arguments, "init": "imagenet"}
        ),
        profile=dataclasses.replace(run.profile, inference_stride=None),
    )
    model = models.build(
        run.experiment.model,
        **{**arguments, "input_scaling": "imagenet"},
        input_shape=(32, 32, 3),
    )
    monkeypatch.setattr(segmentation.segment, "predictor", lambda built, *_: built)
    whole = segmentation.network(pretrained, model)
    assert whole.input_shape == (None, 64, 64, 3)
    (scaling,) = (one for one in whole.layers if one.name == "input_scaling")
    assert scaling.scale == model.get_layer("input_scaling").scale


def test_a_finished_run_is_kept_on_a_device_of_another_precision(
    folders, done, monkeypatch, tmp_path
):
    here = dataclasses.replace(folders, results=tmp_path / "results")
    shutil.copytree(folders.results, here.results)
    monkeypatch.setattr(precision, "precision_policy", lambda name="auto": "elsewhere")
    run = reproduce.find_run(ROW, "demo", here, print)
    assert runner.state_of(run) == "finished"
    run.file.unlink()
    (run.fold_folder(0) / "fold.json").unlink()
    assert runner.state_of(run) == "interrupted"
    with pytest.raises(ValueError, match="was begun in .* trains in elsewhere"):
        runner.begin_fold(
            run, 0, init="random", resume=False, fresh=False, say=lambda line: None
        )


def test_results_of_real_data_are_not_replaced_by_the_phantoms(folders, done, tmp_path):
    here = dataclasses.replace(folders, results=tmp_path / "results")
    shutil.copytree(folders.results, here.results)
    path = stored.result_file(here.results, "demo", ROW)
    real = files.read_json(path)
    real["data"]["identity"] = "ct-ich 1.0"
    real["spec"]["data"] = "0"
    files.write_json(path, real)
    with pytest.raises(ValueError, match="is of ct-ich 1.0 and would be replaced"):
        reproduce.reproduce([ROW], here, say=lambda line: None)
    assert files.read_json(path) == real


def test_damage_in_the_first_case_ends_the_run(folders, done, tmp_path):
    """Only what the data cannot serve is left out, never what is broken."""
    root = layouts.phantom_as("ct-ich", tmp_path, **TINY.phantom, say=lambda line: None)
    first = sorted(ct_ich.CtIch(root).case_ids())[0]
    (mask,) = root.glob(f"masks/*{first}*")
    mask.unlink()
    given = dataclasses.replace(folders, ct_ich=root, results=tmp_path / "results")
    with pytest.raises(ValueError, match=first):
        reproduce.reproduce([ROW], given, say=lambda line: None)


def test_a_second_start_does_nothing_anew(folders, done, monkeypatch):
    result, _ = done

    def never(*arguments, **named):
        raise RuntimeError("trained again")

    monkeypatch.setattr(fit, "fit", never)
    lines = []
    (again,) = reproduce.reproduce([ROW], folders, say=lines.append)
    assert again == result
    assert lines == [f"{ROW}: finished before, kept"]


def test_resume_needs_an_interrupted_run(folders, done, capsys):
    arguments = ["reproduce", ROW, "--resume", "--results", str(folders.results)]
    assert cli.main(arguments) == 2
    assert f"Nothing to resume among {ROW} (finished)" in capsys.readouterr().err


def test_an_interrupted_run_goes_on(done, elsewhere, monkeypatch):
    def interrupt(self, epoch, logs=None):
        written(self, epoch, logs)
        raise KeyboardInterrupt

    written = checkpoint.Checkpoint.on_epoch_end
    monkeypatch.setattr(checkpoint.Checkpoint, "on_epoch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        reproduce.reproduce([ROW], elsewhere)
    monkeypatch.setattr(checkpoint.Checkpoint, "on_epoch_end", written)
    run = reproduce.find_run(ROW, "demo", elsewhere, print)
    assert runner.state_of(run) == "interrupted"
    (result,) = reproduce.reproduce([ROW], elsewhere, resume=True)
    assert [epoch["epoch"] for epoch in result["history"][0]] == [1, 2]
    assert result["counts"] == done[0]["counts"]


def test_phantom_numbers_are_never_a_reproduction(folders, done):
    text = tables.render(["table3"], folders.results, "demo")
    assert "not comparable" in text
    for verdict in ("reproduced", "close (", "differs"):
        assert verdict not in text.replace("Deviation", "")


def test_readme_shows_what_was_run_and_what_not(folders, done, monkeypatch, tmp_path):
    (tmp_path / "README.md").write_text(f"a\n{readme.BEGIN}\nold\n{readme.END}\nb\n")
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    monkeypatch.setattr(readme, "RECORDED", tmp_path / "demo.json")
    readme.update(folders.results)
    text = (tmp_path / "README.md").read_text()
    # No row of Table II was run, so it is left out; one of the two of Table III was.
    assert text.startswith(f"a\n{readme.BEGIN}\n**Table III")
    assert text.endswith(f"{readme.END}\nb\n")
    assert "| UNet++ | 0.338 | not run |" in text
    unet = next(line for line in text.splitlines() if line.startswith("| UNet [2]"))
    assert "not run" not in unet
    assert "old" not in text
    with pytest.raises(ValueError, match="No row of the demo was run on the phantom"):
        readme.update(tmp_path)


@pytest.mark.parametrize(
    ("table", "reported", "shown"),
    [("table3", 0.3, True), ("volume3d", None, False), ("related", 0.3, False)],
)
def test_readme_shows_the_tables_of_the_report(
    table, reported, shown, monkeypatch, tmp_path
):
    """What the report does not print, or quotes from others, is recorded only."""
    (tmp_path / "README.md").write_text(f"{readme.BEGIN}\n{readme.END}\n")
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    monkeypatch.setattr(readme, "RECORDED", tmp_path / "demo.json")
    score = (reported, 0.5, 0.4, 0.6, 9, 0)
    cell = tables.Cell(table, "a row", "id", "dice", *score, "not comparable", "")
    result = {
        "experiment": "id",
        "data": {"identity": "phantom"},
        "spec": {"experiment": 1, "profile": 2},
        "commits": ["c"],
        "devices": ["d"],
        "versions": [{"keras": "3", "tensorflow": "2"}],
    }
    monkeypatch.setattr(tables, "TABLES", {table: tables.TABLES[table]})
    monkeypatch.setattr(tables, "load_result", lambda *named: result)
    monkeypatch.setattr(tables, "cells", lambda *named: [cell])
    readme.update(tmp_path)
    assert list(files.read_json(readme.RECORDED)) == [table]
    assert ("a row" in readme.README.read_text()) is shown


def test_readme_never_calls_real_data_phantom(folders, done, monkeypatch, tmp_path):
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    monkeypatch.setattr(readme, "RECORDED", tmp_path / "demo.json")
    result, _ = done
    path = stored.result_file(tmp_path, "demo", ROW)
    files.write_json(path, {**result, "data": {**result["data"], "identity": "real"}})
    with pytest.raises(ValueError, match="No row of the demo was run on the phantom"):
        readme.update(tmp_path)


def test_changed_settings_start_anew(folders, done, monkeypatch, tmp_path):
    run = reproduce.find_run(ROW, "demo", folders, print)
    assert runner.state_of(run) == "finished"
    changed = dataclasses.replace(TINY, learning_rate=0.5)
    run = dataclasses.replace(run, profile=changed)
    assert runner.state_of(run) == "new"


@pytest.fixture
def offline(monkeypatch):
    def refuse(*arguments, **named):
        raise OSError("no network")

    monkeypatch.setattr("pooch.retrieve", refuse)


def test_paper_fails_without_imagenet_weights(folders, done, offline, monkeypatch):
    paper = dataclasses.replace(TINY, name="paper")
    monkeypatch.setitem(profiles.PROFILES, "paper", paper)
    run = reproduce.find_run("table2/resnet50-imagenet-bce", "paper", folders, print)
    with pytest.raises(weights.WeightsUnavailable, match="resnet50_imagenet"):
        runner.execute(run)


def test_demo_says_that_a_row_ran_from_random_weights(
    folders, done, offline, monkeypatch
):
    history = [{"epoch": 1, "seconds": 1.0}]
    monkeypatch.setattr(fit, "fit", lambda *of, **modes: history)
    run = reproduce.find_run("table2/resnet50-imagenet-bce", "demo", folders, print)
    run = dataclasses.replace(run, profile=dataclasses.replace(TINY, epochs=1))
    lines = []
    result = runner.execute(run, say=lines.append)
    assert (result["wanted_init"], result["init"]) == ("imagenet", "random")
    assert "runs from random weights" in lines[0]
    text = tables.render(["table2"], folders.results, "demo")
    assert "resnet50, imagenet, BCE [run from random weights]" in text


def test_shipping_needs_a_finished_run(folders, done):
    run = reproduce.find_run("shipped/unetplusplus-phantom", "demo", folders, print)
    with pytest.raises(ValueError, match="is not finished at profile demo"):
        ship.ship(run)


def test_a_folder_without_masks_is_refused(folders, tmp_path, done):
    layouts.write_phantom("ct-ich-v1", tmp_path / "v1", cases=4, slices=4, size=64)
    for mask in (tmp_path / "v1").rglob("*_HGE_Seg.jpg"):
        mask.unlink()
    with_jpg = dataclasses.replace(folders, ct_ich=tmp_path / "v1")
    with pytest.raises(ValueError, match="mask"):
        reproduce.reproduce([ROW], with_jpg)


def test_recorded_demo_is_what_the_readme_shows():
    text = readme.README.read_text(encoding="utf-8")
    block = text.split(readme.BEGIN)[1].split(readme.END)[0]
    assert block.strip() == readme.block(files.read_json(readme.RECORDED)).strip()
