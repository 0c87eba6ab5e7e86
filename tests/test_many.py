"""What a line about one of many scans says."""

import dataclasses
import importlib.util
import re

import nibabel
import numpy as np
import small_network

from ich_tf import cli
from ich_tf.prediction import many, scans
from ich_tf.synthetic import layouts


def test_warnings_and_notes_of_one_of_many_scans_are_counted(tmp_path, capsys):
    weights_dir, made = small_network.ship(tmp_path / "weights"), tmp_path / "made"
    layouts.write_phantom("ct-ich", made, cases=1, seed=3, slices=6, size=64)
    image = nibabel.load(made / "ct_scans" / "049.nii")
    # Slices of 1 mm, which a note states.
    image.affine[:, 2] /= 5
    path = tmp_path / "thin.nii"
    nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine).to_filename(path)
    found = scans.find(path).scans
    settings = many.PredictionSettings(weights_dir=weights_dir)
    (outcome,) = many.run(found, tmp_path / "out", settings)
    changed = {
        "out_of_distribution": {"scan": True},
        "contradictions": {"scan": [{}], "slices": [{}, {}]},
        "unmarked_slices": [4],
        "missing_mm": 36.0,
        "notes": ["left out: 1 other CT series", "gantry tilt"],
    }
    beyond = dataclasses.replace(outcome, numbers={**outcome.numbers, **changed})
    assert beyond.remarks == [
        *("out of distribution", "36 mm without slices", "3 contradictions"),
        *("1 unmarked slice", "2 notes"),
    ]
    nothing = {name: type(value)() for name, value in changed.items()}
    nothing["out_of_distribution"] = {"scan": None}
    quiet = dataclasses.replace(outcome, numbers={**outcome.numbers, **nothing})
    assert quiet.remarks == many.Outcome("a", many.FAILED, "", None, 1.0).remarks == []
    # The line of `predict` has what the outcome has.
    arguments = ["predict", path, "--out", tmp_path / "cli", "--anonymous"]
    assert cli.main([*map(str, arguments), "--weights-dir", str(weights_dir)]) == 0
    line = capsys.readouterr().out.partition("\n")[0]
    assert outcome.remarks and ", ".join(outcome.remarks) in line


def test_dicom_without_highdicom_ends_before_any_work(tmp_path, monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "highdicom" else find_spec(name),
    )
    arguments = ["predict", str(tmp_path / "absent.nii"), "--dicom"]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert re.search(r'`pip install .*"\.\[dicom\]"`', error)
    assert list(tmp_path.iterdir()) == []
