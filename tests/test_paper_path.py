"""The report's setting on a folder like ct-ich 1.3.1, at reduced size.

75 patients under their numbers (049 to 130 without 059 to 065), the five folds of [2]
and the `paper` profile, from the folder to the verdict. The heads are phantoms,
so that no number is compared.
"""

import dataclasses
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import paper_run
import pytest

from ich_tf import paths
from ich_tf.data import splits
from ich_tf.evidence import audit, findings, protocol_sweep, verify
from ich_tf.experiments import runner
from ich_tf.report import sweep_files
from ich_tf.synthetic import ct_ich_writer, phantom

PATIENTS = splits.subject_order_75()
SCRIPT = pathlib.Path(__file__).with_name("paper_run.py")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("float32")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A few heads, again and again, under the 75 numbers."""
    heads = [
        phantom.generate(3, index, slices=3, size=64, bleeding=index % 2 == 0).case
        for index in range(4)
    ]
    out = tmp_path_factory.mktemp("data") / "ct-ich"
    numbers = sorted(map(int, PATIENTS))
    cases = itertools.islice(itertools.cycle(heads), len(numbers))
    ct_ich_writer.write_nifti_layout(cases, out, patient_numbers=numbers)
    return out


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """Folders and results of a run that nobody killed, and what was said."""
    lines = []
    names = (paper_run.ROW, *paper_run.OTHER_CROPS)
    results = tmp_path_factory.mktemp("whole")
    folders, done = paper_run.run(folder, results, names, lines.append)
    return folders, done, lines


def test_from_the_folder_to_the_result(folder, whole):
    folders, (result, *_), lines = whole
    said = "\n".join(lines)
    assert "fold 5 of 5" in said

    assert set(result.data["cases"]) == set(PATIENTS)
    assert not {f"{number:03d}" for number in range(59, 66)} & set(PATIENTS)
    expected = splits.folds_hssayeni2020(list(PATIENTS))
    assert [tuple(fold["test"]) for fold in result.folds] == [
        fold.test for fold in expected
    ]
    # [2]: int(75 / 5) = 15 patients validate and 15 are tested, so 45 train.
    assert [len(fold["train"]) for fold in result.folds] == [45] * 5
    assert sorted(result.held_out) == sorted(PATIENTS)
    assert [len(history) for history in result.history] == [2] * 5
    assert result.identity == "phantom"
    dice = result.summary["hssayeni2020"]["dice"]
    assert dice["n"] + dice["n_undefined"] == len(PATIENTS)

    again = []
    assert paper_run.run(folder, folders.results, say=again.append)[1] == [result]
    assert again[-1] == f"{paper_run.ROW}: finished before, kept"


def test_a_run_killed_within_a_fold_resumes_to_the_same_counts(folder, whole, tmp_path):
    _, (result, *_), _ = whole
    third = tmp_path / "paper" / paper_run.ROW / "fold-2"
    process = subprocess.Popen(
        [sys.executable, SCRIPT, folder, tmp_path],
        env={**os.environ, "PYTHONPATH": os.fspath(paths.PROJECT)},
        stdout=subprocess.DEVNULL,
    )
    while not (third / "state.npz").is_file():
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (third.parent / "fold-1" / runner.FOLD_FILE).is_file()
    assert not (third / runner.FOLD_FILE).is_file()

    _, (resumed,) = paper_run.run(folder, tmp_path, say=lambda line: None)
    assert resumed.counts == result.counts
    assert resumed.summary == result.summary


def verified(results, folders):
    """Checks of Table III after the masks are counted again."""
    known = {"table3": paper_run.TABLE}
    return verify.verify(results, "paper", ["table3"], folders, all_tables=known)


def test_verify_counts_the_stored_probabilities_again(whole, tmp_path):
    folders, _, _ = whole
    checks = verified(folders.results, folders)
    assert (len(checks), verify.status(checks)) == (8, 2)
    assert {check.kind for check in checks} == {verify.REGRESSION}
    assert {check.verdict for check in checks} == {"not run", "not comparable"}

    results = shutil.copytree(folders.results, tmp_path / "results")
    path = next((results / "paper" / paper_run.ROW).glob("*.npz"))
    with np.load(path) as content:
        other = 255 - content["probability"]
    np.savez_compressed(path, probability=other)
    changed = dataclasses.replace(folders, results=results)
    checks = verified(results, changed)
    assert verify.status(checks) == 1
    assert "differs" in {check.verdict for check in checks}


def test_conventions_hold_that_of_the_row_itself(whole, tmp_path):
    folders, (result, *_), _ = whole
    run = protocol_sweep.open_result(
        paper_run.ROW, "paper", folders, print, rows=paper_run.ROWS
    )
    swept, figure = sweep_files.write(run, print, tmp_path / "out")
    assert figure.is_file()
    (published,) = (each for each in swept if each.is_published)
    for name, ours in result.summary["hssayeni2020"].items():
        if name in published.scores:
            assert published.scores[name] == pytest.approx(ours["mean"])
    # The data are no ct-ich 1.3.1, so nothing is ranked.
    assert {each.distance for each in swept} == {None}


def test_the_audit_shows_the_three_choices_of_crops(folder, whole, tmp_path):
    folders, _, _ = whole

    def finding(results):
        every = audit.audit(results, "paper", folder, rows=paper_run.ROWS)
        name = f"crops of {paper_run.ROW}"
        (crops,) = (finding for finding in every if finding.name == name)
        return crops

    crops = finding(folders.results)
    assert crops.verdict == findings.OPEN
    for title in ("[2]'s JPG code", "[2]'s NIfTI code", "all crops"):
        assert f"{title}: dice" in crops.evidence
    assert finding(tmp_path).verdict == findings.NOT_RUN
