"""The report's setting on a folder like ct-ich 1.3.1, at reduced size.

75 patients under their numbers (049 to 130 without 059 to 065), the five folds of [2]
and the `paper` profile, from the command line to the verdict. The heads are phantoms,
so that no number is compared.
"""

import dataclasses
import itertools

import keras
import numpy as np
import pytest

from ich_tf import cli, files
from ich_tf.data import splits
from ich_tf.experiments import profiles
from ich_tf.experiments import results as stored
from ich_tf.synthetic import ct_ich_writer, phantom

ROW = "table3/unet-hssayeni"
SMALL = dataclasses.replace(
    profiles.PAPER,
    size=64,
    tile=32,
    stride=16,
    inference_stride=16,
    epochs=1,
    steps_per_epoch=2,
    batch=4,
    validation_crops=8,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A few heads, again and again, under the 75 numbers."""
    heads = [
        phantom.generate(3, index, slices=3, size=64, bleeding=index % 2 == 0).case
        for index in range(4)
    ]
    out = tmp_path_factory.mktemp("data") / "ct-ich"
    numbers = sorted(map(int, splits.subject_order_75()))
    cases = itertools.islice(itertools.cycle(heads), len(numbers))
    ct_ich_writer.write_nifti_layout(cases, out, patient_numbers=numbers)
    return out


@pytest.mark.slow
def test_from_the_folder_to_the_verdict(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(profiles.PROFILES, "paper", SMALL)
    where = ["--profile", "paper", "--results", str(tmp_path), "--ct-ich", str(folder)]
    try:
        assert cli.main(["reproduce", ROW, *where]) in (0, None)
    finally:
        keras.config.set_dtype_policy("float32")
    said = capsys.readouterr().out
    assert "all rows: about" in said
    assert "fold 5 of 5" in said

    result = files.read_json(stored.result_file(tmp_path, "paper", ROW))
    patients = splits.subject_order_75()
    assert set(result["data"]["cases"]) == set(patients)
    assert not {f"{number:03d}" for number in range(59, 66)} & set(patients)
    expected = splits.folds_hssayeni2020(list(patients))
    assert [tuple(fold["test"]) for fold in result["folds"]] == [
        fold.test for fold in expected
    ]
    tested = [case_id for fold in result["folds"] for case_id in fold["test"]]
    assert sorted(tested) == sorted(patients)
    assert [len(history) for history in result["history"]] == [1] * 5
    assert result["data"]["identity"] == "phantom"
    dice = result["summary"]["hssayeni2020"]["dice"]
    assert dice["n"] + dice["n_undefined"] == len(patients)

    assert cli.main(["reproduce", ROW, *where]) in (0, None)
    assert f"{ROW}: finished before, kept" in capsys.readouterr().out

    recount = ["verify", "table3", "--recount", *where]
    assert cli.main(recount) == 2
    verdict = capsys.readouterr().out
    assert "regression check on the phantom, no reproduction" in verdict
    assert "4 not run, 4 not comparable" in verdict
    assert "reproduced:" not in verdict

    path = next((tmp_path / "paper" / ROW).glob("*.npz"))
    with np.load(path) as content:
        other = 255 - content["probability"]
    np.savez_compressed(path, probability=other)
    assert cli.main(recount) == 1
    assert "the stored probabilities give other counts" in capsys.readouterr().out
