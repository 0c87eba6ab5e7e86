"""The 3-D rows end to end on a few small phantom heads."""

import copy
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from ich_tf.evidence import tables
from ich_tf.experiments import profiles, reproduce, runner, spec
from ich_tf.experiments.rows import volume3d
from ich_tf.experiments.tasks import volumes
from ich_tf.training import checkpoint

ADD, REMAT = "volume3d/add", "volume3d/add-remat"
TINY = dataclasses.replace(
    profiles.VOLUME_DEMO,
    size=64,
    patch=(4, 32, 32),
    filters=2,
    epochs=2,
    steps_per_epoch=2,
    batch=2,
    validation_steps=1,
    phantom={"cases": 8, "seed": 4, "slices": 6, "size": 64, "bleeding_share": 0.5},
    split=(0.5, 0.25, 0.25),
    row_changes={},
)
# Most of the time of these tests is that of tracing levels.
ROWS = tuple(
    dataclasses.replace(row, arguments={**row.arguments, "levels": 3})
    if isinstance(row, spec.VolumeExperiment)
    else row
    for row in volume3d.ROWS
)


def make_small(patch):
    """The demo on a few small heads, and the rows with small networks."""
    patch.setitem(profiles.VOLUME_PROFILES, "demo", TINY)
    patch.setattr(volume3d, "ROWS", ROWS)
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
        found = reproduce.reproduce([ADD, REMAT], folders, say=lines.append)
    keras.config.set_dtype_policy("float32")
    return found, lines


def test_memory_is_said_before_the_run(done):
    _, lines = done
    said = [line for line in lines if "a step takes about" in line]
    assert [line.split(":")[0] for line in said] == [ADD, REMAT]


def test_recomputation_has_the_same_weights_and_its_own_seconds(folders, done):
    (added, recomputed), _ = done
    for counts in (added["counts"], recomputed["counts"]):
        assert len(counts["per_volume"]) == 2
    keys = ("tp", "fp", "fn")
    for case_id, counts in added["counts"]["per_volume"].items():
        other = recomputed["counts"]["per_volume"][case_id]
        assert [counts[key] for key in keys] == [other[key] for key in keys]
    losses = [
        [epoch["loss"] for epoch in result["history"][0]]
        for result in (added, recomputed)
    ]
    assert losses[0] == losses[1]
    first, second = (
        np.array([epoch["seconds"] for epoch in result["history"][0]])
        for result in (added, recomputed)
    )
    # Each epoch takes the other row's seconds times one ratio, rounded to 0.01 s.
    ratio = second[0] / first[0]
    assert second[1] == pytest.approx(ratio * first[1], abs=0.03)
    assert recomputed["spec"]["built_on"]
    again = reproduce.train_one(REMAT, 0, folders, say=lambda line: None)
    assert again.file.is_file()


def test_a_second_start_does_nothing_anew(folders, done):
    lines = []
    again = reproduce.reproduce([ADD, REMAT], folders, say=lines.append)
    assert again == done[0]
    assert all("finished before, kept" in line for line in lines)


def test_the_recomputed_row_is_trained_if_the_other_is_not(folders, done, monkeypatch):
    run = reproduce.find_run(REMAT, "demo", folders, print)
    data = run.task.training_data(run, run.folds[0])
    measured = run.task.steps_of_fold(run, data)
    monkeypatch.setattr(runner, "state_of", lambda other: "new")
    trained = run.task.steps_of_fold(run, data)
    # Two epochs of two steps and a validation batch.
    assert (measured, trained) == (4, pytest.approx(2 * (2 + 1 / 3)))


def test_a_row_that_does_not_fit_is_reported_and_left_out(folders, monkeypatch):
    monkeypatch.setattr(volumes, "free_gb", lambda: 0.5)
    lines = []
    assert reproduce.reproduce(["volume3d/concat"], folders, say=lines.append) == []
    assert "not run. A training step takes about" in lines[0]
    assert "0.5 GB are free" in lines[0]


def test_free_memory_is_that_of_the_container(tmp_path):
    memory = tmp_path / "meminfo"
    memory.write_text("MemTotal:  9000000 kB\nMemAvailable:  8000000 kB\n")
    assert volumes.free_gb(memory, tmp_path) == pytest.approx(8.192)
    (tmp_path / "memory.current").write_text("500000000\n")
    (tmp_path / "memory.stat").write_text("anon 400000000\ninactive_file 0\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert volumes.free_gb(memory, tmp_path) == pytest.approx(8.192)
    (tmp_path / "memory.max").write_text("4000000000\n")
    assert volumes.free_gb(memory, tmp_path) == pytest.approx(3.5)
    # Files read lately count as used and are given up.
    (tmp_path / "memory.stat").write_text("anon 400000000\ninactive_file 100000000\n")
    assert volumes.free_gb(memory, tmp_path) == pytest.approx(3.6)
    memory.unlink()
    assert volumes.free_gb(memory, tmp_path) is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM"),
            reproduce.OUT_OF_MEMORY,
        ),
        (checkpoint.Diverged("loss: nan"), "loss: nan"),
    ],
)
def test_a_row_that_cannot_be_trained_leaves_the_others(
    folders, done, monkeypatch, error, said
):
    execute = runner.execute

    def too_large(run, **named):
        if run.experiment.id == ADD:
            raise error
        return execute(run, **named)

    monkeypatch.setattr(runner, "execute", too_large)
    lines = []
    found = reproduce.reproduce([ADD, REMAT], folders, say=lines.append)
    assert found == [done[0][1]]
    assert f"{ADD}: not run. {said}" in lines


def test_the_table_says_that_the_report_has_no_numbers(folders, done):
    found = tables.cells("volume3d", folders.results, "demo")
    assert {cell.reported for cell in found if "densenet" not in cell.experiment} == {
        None
    }
    ran = [cell for cell in found if cell.experiment == REMAT]
    assert [cell.column for cell in ran] == list(tables.TABLES["volume3d"][2])
    assert {cell.verdict for cell in ran} == {"not comparable"}
    assert ran[2].ours > 0 and ran[3].ours > 0.1
    text = tables.render(["volume3d"], folders.results, "demo")
    assert "always faced GPU memory allocation issues', so it prints no number" in text
    assert "| 2-D UNet++, plain, trained as long | – | – | not run |" in text
    assert tables.showing(["volume3d"]) == ["volume3d"]


def test_interrupted_training_goes_on_where_it_was(done, elsewhere):
    written = checkpoint.Checkpoint.on_epoch_end

    def interrupt(self, epoch, logs=None):
        written(self, epoch, logs)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.Checkpoint, "on_epoch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            reproduce.train_one(ADD, 0, elsewhere, say=lambda line: None)
    (result,) = reproduce.reproduce([ADD], elsewhere, resume=True)
    expected = copy.deepcopy(done[0][0])
    for one, other in zip(expected["history"][0], result["history"][0], strict=True):
        # The sums of this score alone were seen to differ, in their last bit.
        score = one.pop("soft_jaccard")
        assert other.pop("soft_jaccard") == pytest.approx(score, rel=1e-6)
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert result["counts"] == expected["counts"]


def test_rows_of_two_and_three_dimensions_hold_out_the_same_heads(folders, done):
    flat = profiles.DEMO.for_row("volume3d/2d")
    solid = profiles.VOLUME_DEMO.for_row("volume3d/concat")
    for name in ("size", "phantom", "split", "folds"):
        assert getattr(flat, name) == getattr(solid, name)
    assert [row.id for row in spec.rows("volume3d")][:3] == [
        "volume3d/concat",
        ADD,
        REMAT,
    ]
