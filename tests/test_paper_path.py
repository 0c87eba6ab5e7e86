"""The report's setting on a folder like ct-ich 1.3.1, at reduced size.

75 patients under their numbers (049 to 130 without 059 to 065), the five folds of [2]
and the `paper` profile, from the folder to the verdict. The heads are phantoms,
so that no number is compared.
"""

import dataclasses
import itertools

import numpy as np
import pytest

from ich_tf.data import splits
from ich_tf.evidence import tables, verify
from ich_tf.experiments import reproduce, runner
from ich_tf.experiments.catalog import CATALOG, Catalog
from ich_tf.experiments.rows import table2
from ich_tf.synthetic import ct_ich_writer, phantom

ROW = "table3/unet-hssayeni"
SMALL = dataclasses.replace(
    table2.PAPER,
    size=64,
    tile=32,
    stride=16,
    inference_stride=16,
    epochs=1,
    steps_per_epoch=2,
    batch=4,
    validation_crops=8,
)
ROWS = Catalog(
    {
        "table3": tuple(
            dataclasses.replace(row, settings={"paper": SMALL})
            for row in CATALOG.rows("table3")
        )
    }
)
TABLE = tables.TABLES["table3"]
TABLE = dataclasses.replace(TABLE, rows=(TABLE.rows[0], ROWS.row(ROW)))


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
@pytest.mark.usefixtures("float32")
def test_from_the_folder_to_the_verdict(folder, tmp_path):
    folders = runner.Folders(tmp_path, tmp_path / "weights", ct_ich=folder)
    lines = []

    def run():
        return reproduce.reproduce_by_name(
            [ROW], folders, profile="paper", rows=ROWS, say=lines.append
        )

    (result,) = run()
    said = "\n".join(lines)
    assert "fold 5 of 5" in said

    patients = splits.subject_order_75()
    assert set(result.data["cases"]) == set(patients)
    assert not {f"{number:03d}" for number in range(59, 66)} & set(patients)
    expected = splits.folds_hssayeni2020(list(patients))
    assert [tuple(fold["test"]) for fold in result.folds] == [
        fold.test for fold in expected
    ]
    assert sorted(result.held_out) == sorted(patients)
    assert [len(history) for history in result.history] == [1] * 5
    assert result.identity == "phantom"
    dice = result.summary["hssayeni2020"]["dice"]
    assert dice["n"] + dice["n_undefined"] == len(patients)

    assert run() == [result]
    assert lines[-1] == f"{ROW}: finished before, kept"

    def recount():
        checks = verify.verify(
            tmp_path, "paper", ["table3"], folders, known={"table3": TABLE}
        )
        return checks, verify.status(checks)

    checks, status = recount()
    assert (len(checks), status) == (8, 2)
    assert {check.kind for check in checks} == {verify.REGRESSION}
    assert {check.verdict for check in checks} == {"not run", "not comparable"}

    path = next((tmp_path / "paper" / ROW).glob("*.npz"))
    with np.load(path) as content:
        other = 255 - content["probability"]
    np.savez_compressed(path, probability=other)
    checks, status = recount()
    assert status == 1
    assert "differs" in {check.verdict for check in checks}
