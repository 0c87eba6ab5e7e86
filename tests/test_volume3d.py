"""The 3-D rows end to end on a few small phantom heads."""

import copy
import dataclasses
import re

import markdown_rows
import numpy as np
import pytest
import small
import tensorflow as tf

from ich_tf.evidence import render, table_cells, tables
from ich_tf.experiments import reproduce, runner, steps
from ich_tf.experiments.catalog import CATALOG
from ich_tf.experiments.tasks import volumes
from ich_tf.models import unet3d
from ich_tf.training import checkpoint

ADD, REMAT = "volume3d/add", "volume3d/add-remat"
TABLE = small.TABLES["volume3d"]
pytestmark = pytest.mark.usefixtures("float32")


@pytest.fixture
def folders(finished):
    return finished(ADD).run.folders


@pytest.fixture
def done(finished):
    """Results of the trained and of the measured row, and what was said."""
    added, measured = finished(ADD), finished(REMAT)
    return [added.result, measured.result], added.lines + measured.lines


def test_memory_is_said_before_the_run(done):
    _, lines = done
    said = [line for line in lines if "a step takes about" in line]
    assert [line.split(":")[0] for line in said] == [ADD, REMAT]


def test_volumes_that_do_not_fit_a_patch_are_counted(finished):
    """Eight heads of six slices: all exceed 4 slices, none exceeds 6."""
    run = finished(ADD).run
    for depth, deeper in ((4, 8), (6, 0)):
        profile = dataclasses.replace(run.profile, patch=(depth, 32, 32))
        counted = volumes.deeper_than_patch(dataclasses.replace(run, profile=profile))
        assert counted == (deeper, 8)


def test_the_patch_of_the_paper_holds_the_median_scan_without_padding():
    """The median scan of ct-ich 1.3.1 has 36 slices."""
    row = CATALOG.row(ADD)
    patch = row.settings["paper"].patch
    assert patch[0] >= 36
    pools = unet3d.pooling(levels=5, depth_halvings=2)
    assert unet3d.padding(patch, pools) == (0, 0, 0)


def test_recomputation_has_the_same_weights_and_its_own_seconds(folders, done):
    (added, recomputed), _ = done
    for counts in (added.counts, recomputed.counts):
        assert len(counts["per_volume"]) == 2
    keys = ("tp", "fp", "fn")
    for case_id, counts in added.counts["per_volume"].items():
        other = recomputed.counts["per_volume"][case_id]
        assert [counts[key] for key in keys] == [other[key] for key in keys]
    losses = [
        [epoch["loss"] for epoch in result.history[0]] for result in (added, recomputed)
    ]
    assert losses[0] == losses[1]
    first, second = (
        np.array([epoch["seconds"] for epoch in result.history[0]])
        for result in (added, recomputed)
    )
    # Each epoch takes the other row's seconds times one ratio, rounded to 0.01 s.
    ratio = second[0] / first[0]
    assert second[1] == pytest.approx(ratio * first[1], abs=0.03)
    assert recomputed.spec["built_on"]
    run = small.run(REMAT, folders)
    again = steps.train_one(run, 0, say=lambda line: None)
    assert again.file.is_file()


def test_a_second_start_trains_nothing(folders, done):
    lines = []
    again = small.reproduce([ADD, REMAT], folders, say=lines.append)
    assert again == done[0]
    assert [line.split(":")[0] for line in lines] == [ADD, REMAT]


def test_the_recomputed_row_is_trained_if_the_other_is_not(folders, done, elsewhere):
    run, alone = small.run(REMAT, folders), small.run(REMAT, elsewhere)
    data = run.task.training_data(run, run.folds[0])
    measured = run.task.steps_of_fold(run, data)
    trained = alone.task.steps_of_fold(alone, data)
    # Two epochs of two steps and a validation batch.
    assert (measured, trained) == (4, pytest.approx(2 * (2 + 1 / 3)))


def test_a_row_that_does_not_fit_is_reported_and_left_out(folders):
    run = small.run("volume3d/concat", folders)
    large = dataclasses.replace(run.profile, batch=10**6)
    lines = []
    run = dataclasses.replace(run, profile=large)
    assert reproduce.reproduce([run], say=lines.append) == []
    assert lines[0].startswith("volume3d/concat: not run.")
    needed, free = map(float, re.findall(r"([\d.]+) GB", lines[0]))
    assert needed > free


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
def test_a_row_that_cannot_be_trained_leaves_the_others(folders, done, error, said):
    run = small.run(ADD, folders, seed=7)
    fields = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    lines = []
    results = reproduce.reproduce(
        [FailingRun(**fields, error=error), small.run(REMAT, folders)],
        say=lines.append,
    )
    assert results == [done[0][1]]
    assert f"{ADD}: not run. {said}" in lines


class FailingTask(volumes.VolumesTask):
    def __init__(self, error):
        self.error = error

    def train(self, *arguments, **options):
        raise self.error


@dataclasses.dataclass(frozen=True)
class FailingRun(runner.Run):
    """A run whose training ends with an error."""

    error: Exception | None = None

    @property
    def task(self):
        return FailingTask(self.error)


def test_the_table_says_that_the_report_has_no_numbers(folders, done):
    cells = table_cells.of_table(TABLE, folders.results, "demo")
    assert {cell.reported for cell in cells if "densenet" not in cell.experiment} == {
        None
    }
    ran = [cell for cell in cells if cell.experiment == REMAT]
    assert [cell.column for cell in ran] == list(TABLE.columns)
    assert {cell.verdict for cell in ran} == {"not comparable"}
    assert ran[2].ours > 0 and ran[3].ours > 0.1
    text = render.render([TABLE], folders.results, "demo")
    states = CATALOG.row(ADD).states
    assert states and states in text
    longer = markdown_rows.row(text, "2-D UNet++, plain, trained as long")
    assert set(longer[:-1]) == {"–"} and longer[-1] == "not run"
    assert [table.name for table in tables.showing(["volume3d"])] == ["volume3d"]


def test_interrupted_training_resumes(done, elsewhere):
    written = checkpoint.Checkpoint.on_epoch_end

    def interrupt(self, epoch, logs=None):
        written(self, epoch, logs)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.Checkpoint, "on_epoch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            steps.train_one(small.run(ADD, elsewhere), 0, say=lambda line: None)
    (result,) = small.reproduce([ADD], elsewhere, resume=True)
    expected = copy.deepcopy(done[0][0])
    for left, right in zip(expected.history[0], result.history[0], strict=True):
        # The sums of this score alone were seen to differ, in their last bit.
        score = left.pop("soft_jaccard")
        assert right.pop("soft_jaccard") == pytest.approx(score, rel=1e-6)
        assert {**left, "seconds": 0} == {**right, "seconds": 0}
    assert result.counts == expected.counts


def test_rows_of_two_and_three_dimensions_hold_out_the_same_heads():
    flat, solid = (
        CATALOG.row(name).settings["demo"]
        for name in ("volume3d/2d", "volume3d/concat")
    )
    for name in ("size", "phantom", "split", "folds"):
        assert getattr(flat, name) == getattr(solid, name)
