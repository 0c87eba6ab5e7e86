"""The diffs of CONTRIBUTING.md, applied to a copy of the package, which then runs."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

PROJECT = pathlib.Path(__file__).resolve().parent.parent
TEXT = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DIFFS = re.findall(r"### (.*?)\n.*?```diff\n(.*?)```", TEXT, re.DOTALL)

LIGHT = """
import pathlib, numpy as np
from ich_tf import datasets
root = pathlib.Path("cases")
root.mkdir()
np.save(root / "a.npy", np.zeros((3, 32, 32)))
np.save(root / "a.mask.npy", np.ones((3, 32, 32)))
dataset = datasets.open_dataset("numpy", root)
assert dataset.fingerprint()["cases"]["a"]["mask_voxels"] == 3 * 32 * 32
assert dataset.problems() == ()

from ich_tf.evidence import render, table_cells, tables
from ich_tf.experiments import show, spec
from ich_tf.experiments.catalog import CATALOG
row = CATALOG.row("table3/unet-jaccard")
assert 'loss = "jaccard"' in show.describe(row, "paper")
table = tables.table("thresholds")
assert [cell.verdict for cell in table_cells.empty(table)] == ["not run"] * 4
text = render.render([table], pathlib.Path("results"), "demo")
assert "| HU threshold | " in text
"""

HEAVY = """
import pathlib
from ich_tf.experiments import reproduce, runner, spec, tasks
from ich_tf.experiments.catalog import Catalog
from ich_tf.experiments.rows import table2
from ich_tf.models import backbones
from ich_tf.training import losses
assert losses.get("brier")
assert "densenet201" in backbones.BACKBONES
row = spec.Nothing(
    id="x/nothing", title="nothing", reported={}, states="", settings=table2.SETTINGS
)
assert type(tasks.of(row)).__name__ == "NothingTask"
folders = runner.Folders(pathlib.Path("results"), pathlib.Path("weights"))
(result,) = reproduce.reproduce_by_name(
    ["x"], folders, profile="quick", rows=Catalog({"x": (row,)}), say=print
)
assert result.score("per_volume", "bleeding_dice")["mean"] == 0
assert result.faults(row, "quick") == []
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The package with every diff applied."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "ich_tf", folder / "ich_tf", ignore=ignored)
    for _, diff in DIFFS:
        subprocess.run(
            ["git", "apply", "-"], cwd=folder, input=diff, text=True, check=True
        )
    return folder


def run(code, folder):
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_there_is_a_diff_for_each_thing_to_add():
    assert [title for title, _ in DIFFS] == [
        *("A data set", "A backbone", "A loss", "A table row", "A table"),
        "A kind of experiment",
    ]


def test_data_set_row_and_table_work_as_described(copy):
    run(LIGHT, copy)


@pytest.mark.slow
def test_backbone_loss_and_kind_of_experiment_work_as_described(copy):
    run(HEAVY, copy)
