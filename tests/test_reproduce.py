import dataclasses
import json
import shutil

import keras
import markdown_rows
import numpy as np
import pytest
import small

from ich_tf import files, models
from ich_tf.data import ct_ich
from ich_tf.evidence import readme, recorded, render, table_cells, tables
from ich_tf.experiments import reproduce, results, runner, ship
from ich_tf.experiments.catalog import CATALOG
from ich_tf.experiments.rows import table2
from ich_tf.experiments.tasks import crop_data, masks, segmentation
from ich_tf.models import published_weights
from ich_tf.synthetic import layouts
from ich_tf.training import checkpoint, fit

ROW = "table3/unet-hssayeni"
TABLE = small.TABLES["table3"]
pytestmark = pytest.mark.usefixtures("float32")


@pytest.fixture
def done(finished):
    return finished(ROW)


@pytest.fixture
def folders(done):
    return done.run.folders


@pytest.fixture
def copied(folders, tmp_path):
    """The folders with a copy of the results, to be spoilt."""
    copy = tmp_path / "results"
    ignore = shutil.ignore_patterns("phantom", "slices", "shards")
    shutil.copytree(folders.results, copy, ignore=ignore)
    (copy / "phantom").symlink_to(folders.results / "phantom")
    return dataclasses.replace(folders, results=copy)


def test_result_can_be_traced(done):
    result = done.result
    assert files.read_json(done.run.file) == result.as_json()
    assert result.identity == "phantom"
    assert len(result.data["cases"]) == 8
    (fold,) = result.folds
    parts = [set(fold[name]) for name in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [4, 2, 2]
    assert set.union(*parts) == set(result.data["cases"])
    assert set(result.counts["per_volume"]) == parts[2]
    assert len(result.history[0]) == 2
    assert result.versions[0]["keras"] == keras.__version__
    deviations = small.SEGMENTATION.deviations
    assert result.deviations == [deviation.text for deviation in deviations]
    assert result.spec["seed"] == 0
    assert result.spec["profile"]["steps_per_epoch"] == 2
    assert result.peak_memory_gb[0] is None or result.peak_memory_gb[0] > 0.1
    assert done.lines[-1].startswith(f"{ROW}: predicting 2 heads")


def test_counts_equal_the_stored_probabilities(folders, done):
    dataset = done.run.dataset
    for case_id, counts in done.result.counts["per_volume"].items():
        stored = folders.results / "demo" / ROW / f"{case_id}.npz"
        with np.load(stored) as content:
            predicted = content["probability"] > 127
        truth = dataset.load(case_id).mask.astype(bool)
        assert sum(counts["tp"]) == np.count_nonzero(truth & predicted)
        assert sum(counts["fp"]) == np.count_nonzero(~truth & predicted)
        assert counts["truth_pixels"] == np.count_nonzero(truth)


def test_whole_slices_are_answered_by_the_network_trained_on_tiles(folders, done):
    """Without a stride: the same weights, built at the size of a slice."""
    run = dataclasses.replace(
        done.run, profile=dataclasses.replace(done.run.profile, inference_stride=None)
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
    described = run.task.describe(run, done.result)
    assert described["preprocessing"]["tile"] == 64
    assert described["preprocessing"]["stride"] == 64
    assert described["build"]["kwargs"]["input_shape"] == (64, 64, 1)


def test_whole_slices_keep_the_input_scaling_of_imagenet_weights(done):
    """Scaling has no weights that would show that it is absent."""
    row = small.CATALOG.row("table2/vgg16-random-bce")
    row = dataclasses.replace(row, arguments={**row.arguments, "init": "imagenet"})
    whole = dataclasses.replace(small.SEGMENTATION, inference_stride=None)
    run = dataclasses.replace(done.run, experiment=row, profile=whole)
    arguments = {**row.arguments, "init": "random", "input_scaling": "imagenet"}
    model = models.build(row.model, **arguments, input_shape=(32, 32, 3))
    rebuilt = segmentation.at_inference_size(run, model)
    assert rebuilt.input_shape == (None, 64, 64, 3)
    scaling = rebuilt.get_layer("input_scaling")
    assert scaling.scale == model.get_layer("input_scaling").scale


def make_in(run, precision):
    """Let the files of a run say that they were made in this precision."""
    result = files.read_json(run.file)
    result["spec"]["precision"] = precision
    files.write_json(run.file, result)
    path = run.fold_folder(0) / checkpoint.STATE
    with np.load(path) as stored:
        arrays = dict(stored)
    meta = json.loads(arrays["meta"].tobytes())
    meta["spec"]["precision"] = precision
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(path, **arrays)


def test_a_finished_run_is_kept_on_a_device_of_another_precision(copied):
    run = small.run(ROW, copied)
    make_in(run, "bfloat8")
    assert runner.state_of(run) == "finished"
    run.file.unlink()
    (run.fold_folder(0) / results.FOLD_FILE).unlink()
    assert runner.state_of(run) == "interrupted"
    with pytest.raises(
        ValueError, match=f"was begun in bfloat8, .* trains in {run.spec['precision']}"
    ):
        runner.begin_fold(
            run, 0, init="random", resume=False, fresh=False, say=lambda line: None
        )


def test_a_dry_run_names_time_memory_and_disk_and_writes_nothing(copied):
    run = small.run(ROW, copied)
    run.file.unlink()
    shutil.rmtree(run.folder)
    lines = []
    hours = reproduce.forecast([run], say=lines.append)
    # Two epochs of two steps take less than the least that is said, a minute a row.
    assert hours == pytest.approx(1 / 60)
    (of_row,) = [line for line in lines if line.startswith(f"{ROW}: about")]
    for unit in ("minute", "GB of memory", "GB of disk"):
        assert unit in of_row
    assert lines[-1].startswith("all rows: about 1 minute and")
    assert not run.file.exists() and not run.folder.exists()


def test_a_dry_run_of_finished_rows_has_nothing_to_do(copied):
    lines = []
    assert reproduce.forecast([small.run(ROW, copied)], say=lines.append) == 0
    assert lines == ["every row is finished"]


def test_results_of_real_data_are_not_replaced_by_the_phantoms(copied):
    run = small.run(ROW, copied)
    real = files.read_json(run.file)
    real["data"]["identity"] = "ct-ich 1.0"
    real["spec"]["data"] = "0"
    files.write_json(run.file, real)
    with pytest.raises(ValueError, match="is of ct-ich 1.0 and would be replaced"):
        reproduce.reproduce([run], say=lambda line: None)
    assert files.read_json(run.file) == real


def test_damage_in_the_first_case_ends_the_run(folders, tmp_path):
    """Only what the data cannot serve is left out, never what is broken."""
    root = layouts.phantom_as(
        "ct-ich", tmp_path, **small.PHANTOM, say=lambda line: None
    )
    first = sorted(ct_ich.CtIch(root).case_ids())[0]
    (mask,) = root.glob(f"masks/*{first}*")
    mask.unlink()
    given = dataclasses.replace(folders, ct_ich=root, results=tmp_path / "results")
    with pytest.raises(ValueError, match=first):
        small.reproduce([ROW], given)


def test_a_second_start_trains_nothing(done):
    lines = []
    before = done.run.file.stat().st_mtime_ns
    (again,) = reproduce.reproduce([done.run], say=lines.append)
    assert again == done.result
    assert done.run.file.stat().st_mtime_ns == before
    assert lines == [f"{ROW}: finished before, kept"]


def test_resume_needs_an_interrupted_run(done):
    with pytest.raises(ValueError, match=rf"Nothing to resume among {ROW} \(finished"):
        reproduce.reproduce([done.run], resume=True)


def test_an_interrupted_run_is_resumed(done, elsewhere, monkeypatch):
    def interrupt(self, epoch, logs=None):
        written(self, epoch, logs)
        raise KeyboardInterrupt

    run = small.run(ROW, elsewhere)
    written = checkpoint.Checkpoint.on_epoch_end
    monkeypatch.setattr(checkpoint.Checkpoint, "on_epoch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        reproduce.reproduce([run])
    monkeypatch.setattr(checkpoint.Checkpoint, "on_epoch_end", written)
    assert runner.state_of(run) == "interrupted"
    (result,) = reproduce.reproduce([run], resume=True)
    assert [epoch["epoch"] for epoch in result.history[0]] == [1, 2]
    assert result.counts == done.result.counts


def test_phantom_numbers_are_never_a_reproduction(folders):
    cells = table_cells.of_table(TABLE, folders.results, "demo")
    assert {cell.verdict for cell in cells} == {"not comparable", "not run"}


@pytest.fixture
def page(tmp_path):
    """An empty page, and a file for the record."""
    path = tmp_path / "README.md"
    path.write_text(f"a\n{readme.BEGIN}\nold\n{readme.END}\nb\n")
    return path, tmp_path / "demo.json"


def test_readme_shows_what_was_run_and_what_not(folders, page):
    readme.update(folders.results, *page)
    text = page[0].read_text()
    assert text.startswith(f"a\n{readme.BEGIN}\n**Table")
    assert text.endswith(f"{readme.END}\nb\n")
    assert markdown_rows.row(text, "UNet++", "0.338")[0] == "not run"
    unet = next(line for line in text.splitlines() if line.startswith("| UNet [2]"))
    assert "not run" not in unet
    assert "old" not in text
    with pytest.raises(ValueError, match="No row of profile demo was run"):
        readme.update(page[0].parent, *page)


@pytest.mark.parametrize(
    ("table", "shown"), [("table3", True), ("volume3d", False), ("related", False)]
)
def test_readme_shows_the_tables_of_the_report(table, shown):
    """What the report does not print, or quotes from others, is recorded only."""
    cells = [
        {**dataclasses.asdict(cell), "verdict": "not comparable"}
        for cell in table_cells.empty(tables.table(table))
    ]
    versions = [{"keras": "3", "tensorflow": "2"}]
    made = {"cells": cells, "commits": ["c"], "devices": ["d"], "versions": versions}
    assert (tables.table(table).caption in readme.block({table: made})) is shown


def test_the_record_never_calls_real_data_phantom(done, tmp_path):
    path = tmp_path / "demo" / f"{ROW}.json"
    content = done.result.as_json()
    files.write_json(path, {**content, "data": {**content["data"], "identity": "real"}})
    with pytest.raises(ValueError, match="No row of profile demo was run"):
        recorded.record(tmp_path, [TABLE], tmp_path / "demo.json")


def test_a_result_without_a_score_is_damaged_and_named(done):
    summary = dict(done.result.summary)
    del summary["hssayeni2020"]
    damaged = dataclasses.replace(done.result, summary=summary)
    with pytest.raises(ValueError, match=rf"{ROW}\.json is damaged.*'hssayeni2020'"):
        damaged.score("hssayeni2020", "dice")


def test_changed_settings_start_again(done):
    assert runner.state_of(done.run) == "finished"
    changed = dataclasses.replace(done.run.profile, learning_rate=0.5)
    run = dataclasses.replace(done.run, profile=changed)
    assert runner.state_of(run) == "new"


@pytest.fixture
def offline(monkeypatch):
    """A proxy that does not answer: as on a machine without a network."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def test_full_scale_fails_without_imagenet_weights(done, offline):
    row = small.CATALOG.row("table2/resnet50-imagenet-bce")
    paper = dataclasses.replace(small.SEGMENTATION, name="paper", phantom={})
    run = dataclasses.replace(done.run, experiment=row, profile=paper)
    with pytest.raises(published_weights.WeightsUnavailable, match="resnet50_imagenet"):
        runner.execute(run)


def test_demo_says_that_a_row_ran_from_random_weights(
    folders, offline, monkeypatch, elsewhere
):
    history = [{"epoch": 1, "seconds": 1.0}]
    monkeypatch.setattr(fit, "fit", lambda *of, **modes: history)
    run = small.run("table2/densenet121-imagenet-bce", elsewhere)
    lines = []
    result = runner.execute(run, say=lines.append)
    assert (result.wanted_init, result.init) == ("imagenet", "random")
    assert lines[0].startswith(run.experiment.id)
    text = render.render([small.TABLES["table2"]], elsewhere.results, "demo")
    title = "densenet121, imagenet, BCE [run from random weights]"
    assert markdown_rows.row(text, title)


def test_a_row_takes_over_the_training_of_its_twin(done):
    twin = dataclasses.replace(done.run.experiment, id="table3/twin", random_twin=ROW)
    run = dataclasses.replace(done.run, experiment=twin)
    plan = run.task.training_data(run, run.folds[0]).plan
    model, _ = run.task.build(run, plan, lambda line: None)
    trained = segmentation.take_over(run, done.run, 0, model, lambda line: None)
    assert trained.history == done.result.history[0]
    expected = models.build(
        twin.model, **twin.arguments, input_shape=model.input_shape[1:]
    )
    checkpoint.load_weights(expected, done.run.fold_folder(0) / checkpoint.FINAL)
    for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (run.fold_folder(0) / checkpoint.FINAL).is_file()


def test_a_shared_training_is_shown_next_to_its_printed_numbers(done):
    """The row that wants ImageNet weights, run from random ones as its twin."""
    row = dataclasses.replace(small.CATALOG.row(ROW), random_twin="table3/twin")
    shared = dataclasses.replace(done.result, wanted_init="imagenet")
    assert row.same_training(None) is None
    assert row.same_training(done.result) is None
    assert row.same_training(shared) == "table3/twin"
    (first, *_) = table_cells.row_cells(TABLE, row, shared, tables.PROTOCOL)
    assert (first.reported, first.same_training) == (0.218, "table3/twin")
    assert first.ours == done.result.score(tables.PROTOCOL, first.column)["mean"]
    assert first.row == "UNet [2] [same training as the RI row]"


def test_rows_of_the_demo_differ_in_what_they_name_alone():
    rows = [CATALOG.row(row.id) for row in tables.TABLES["table2"].rows]
    assert all(row.settings["demo"] == table2.DEMO for row in rows)
    (unet,) = CATALOG.rows("table3")
    # Without normalisation the U-Net of [2] needs its own start.
    otherwise = dataclasses.replace(
        unet.settings["demo"],
        output_bias=table2.DEMO.output_bias,
        deviations=table2.DEMO.deviations,
    )
    assert otherwise == table2.DEMO
    twins = {row.id: row.random_twin for row in rows if row.random_twin}
    assert twins == {"table2/resnet50-imagenet-bce": "table2/resnet50-random-bce"}
    # Nothing but the initialisation differs.
    first, second = (CATALOG.row(name) for name in next(iter(twins.items())))
    arguments = {**first.arguments, "init": "random"}
    assert (arguments, first.loss) == (second.arguments, second.loss)


def test_publishing_needs_a_finished_run(folders):
    run = small.run("shipped/unetplusplus-phantom", folders)
    with pytest.raises(ValueError, match="is not finished at profile demo"):
        ship.ship(run, print)


def test_the_demo_shows_intervals_curves_and_which_rows_have_not_learned():
    cells = [
        {**dataclasses.asdict(cell), "verdict": "not comparable"}
        for cell in table_cells.empty(tables.table("table3"))
    ]
    first = {**cells[0], "ours": 0.25, "low": 0.125, "high": 0.5}
    versions = [{"keras": "3", "tensorflow": "2"}]
    made = {
        "cells": [first, *cells[1:]],
        "curves": {"long": [[0.1, 0.02], [0.3, 0.04]], "short": [[0.2, 0.01]]},
        "dice": {"long": 0.25, "short": 0.0625},
        "commits": ["c"],
        "devices": ["d"],
        "versions": versions,
    }
    text = readme.block({"table3": made})
    assert "0.250 [0.125, 0.500]" in text
    assert markdown_rows.row(text, "long") == ["0.250", "0.100, 0.020", "0.300, 0.040"]
    assert markdown_rows.row(text, "short") == ["0.062", "0.200, 0.010", ""]
    # Below 0.15 a row has not learned, and is named.
    (named,) = [line for line in text.splitlines() if "learned" in line]
    assert "short (0.062)" in named
    assert "long" not in named


def test_the_demo_has_no_column_of_dashes():
    """The report prints a validation loss, but no weighted one."""
    cells = [
        {**dataclasses.asdict(cell), "ours": 0.25, "verdict": "not comparable"}
        for cell in table_cells.empty(tables.table("table1-losses"))
    ]
    versions = [{"keras": "3", "tensorflow": "2"}]
    made = {"cells": cells, "commits": ["c"], "devices": ["d"], "versions": versions}
    header, *_ = render.parsed_rows(readme.block({"table1-losses": made}))
    losses = ["Validation loss: reported", "Validation loss: phantom"]
    assert header == ["Row", *losses, "Weighted log loss: phantom"]


def test_a_folder_without_masks_is_refused(folders, tmp_path):
    layouts.write_phantom("ct-ich-v1", tmp_path / "v1", cases=4, slices=4, size=64)
    for mask in (tmp_path / "v1").rglob("*_HGE_Seg.jpg"):
        mask.unlink()
    with_jpg = dataclasses.replace(folders, ct_ich=tmp_path / "v1")
    with pytest.raises(ValueError, match="mask"):
        small.reproduce([ROW], with_jpg)


def test_recorded_demo_is_what_the_readme_shows():
    text = readme.PAGE.read_text(encoding="utf-8")
    block = text.split(readme.BEGIN)[1].split(readme.END)[0]
    assert block.strip() == readme.block(recorded.read()).strip()
