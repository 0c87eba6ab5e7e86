"""Scores of anybody's masks; expected values are worked out in the comments."""

import json

import nibabel
import numpy as np
import pytest

from ich_tf import cli
from ich_tf.evidence import conventions, evaluate, mask_files, mask_scores, readme
from ich_tf.prediction import saving

SHAPE = (4, 8, 8)
SPACING = (5.0, 1.0, 2.0)


def mask(*pixels, shape=SHAPE, value=1):
    """(z, y, x), with some pixels set."""
    array = np.zeros(shape, np.int16)
    for z, y, x in pixels:
        array[z, y, x] = value
    return array


def write(path, array, spacing=SPACING, flip=False, shift_mm=0.0):
    """Write (z, y, x) as a file of x, y, z; `flip` stores the rows upside down."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = array.transpose(2, 1, 0)
    affine = np.diag([*spacing[::-1], 1.0]) @ np.diag([-1, -1, 1, 1])
    affine[0, 3] = shift_mm
    if flip:
        data = data[:, ::-1]
        affine[1, 3] = affine[1, 1] * (data.shape[1] - 1)
        affine[1, 1] *= -1
    nibabel.Nifti1Image(np.ascontiguousarray(data), affine).to_filename(path)


ROW = [(1, 2, 1), (1, 2, 2), (1, 2, 3), (1, 2, 4)]
TRUTHS = {"049": mask(*ROW), "050": mask((0, 1, 1), (0, 1, 2))}
# 049: two pixels right, two elsewhere: TP 2, FP 2, FN 2. 050: both right, and one more
# in another slice: TP 2, FP 1, FN 0.
PREDICTED = {
    "049": mask(*ROW[:2], (1, 5, 1), (1, 5, 2)),
    "050": mask((0, 1, 1), (0, 1, 2), (3, 4, 4)),
}


@pytest.fixture
def folders(tmp_path):
    for folder, masks in (("truth", TRUTHS), ("predicted", PREDICTED)):
        for name, array in masks.items():
            write(tmp_path / folder / f"{name}.nii.gz", array)
    return tmp_path / "predicted", tmp_path / "truth"


def test_scores_of_two_heads(folders):
    scores = evaluate.evaluate(*folders)
    means = {
        protocol: {name: interval.mean for name, interval in values.items()}
        for protocol, values in scores.summary["any"].items()
    }
    # Dice 4/8 and 4/5, Jaccard 2/6 and 2/3 of the volumes.
    assert means["per_volume"]["dice"] == pytest.approx((0.5 + 0.8) / 2)
    assert means["per_volume"]["jaccard"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    # Over slices with truth the false alarm of 050 does not count: 0.5 and 1.
    assert means["hssayeni2020"]["dice"] == pytest.approx(0.75)
    # TP 4, FP 3, FN 2.
    assert means["pooled"]["dice"] == pytest.approx(8 / 13)
    assert means["pooled"]["pixel_sensitivity"] == pytest.approx(4 / 6)
    # Of 2 x 256 pixels 6 are true; of the other 506, 3 are predicted.
    assert means["pooled"]["pixel_specificity"] == pytest.approx(503 / 506)
    # Of 8 slices 2 are positive, both found; of the others one is a false alarm.
    assert means["per_volume"]["sensitivity"] == 1
    assert means["per_volume"]["specificity"] == pytest.approx(5 / 6)
    # A pixel is 5 x 1 x 2 mm: 0.01 ml. 049 has 4 and 4, 050 has 2 and 3.
    assert scores.cases["049"]["truth_ml"] == pytest.approx(0.04)
    assert scores.cases["050"]["predicted_ml"] == pytest.approx(0.03)
    assert means["per_volume"]["volume_error_ml"] == pytest.approx(0.005)
    interval = scores.summary["any"]["per_volume"]["dice"]
    assert interval.low <= 0.5 and interval.high >= 0.8
    assert scores.faults == [] and scores.notes == []


def test_an_interval_is_announced_only_where_there_is_one(folders):
    assert ", mean [95 % interval]:" in evaluate.evaluate(*folders).to_markdown()
    pair = [folder / "049.nii.gz" for folder in folders]
    one = evaluate.evaluate(*pair, reported={"dice": "0.5"}).to_markdown()
    assert f", mean {mask_scores.ONE_CASE}:" in one
    assert f"ours {mask_scores.ONE_CASE}" in one
    assert "95 %" not in one


def test_conventions_alone_move_the_number(folders):
    scores = evaluate.evaluate(*folders, reported={"dice": "0.750"})
    dice = [each.scores["dice"] for each in scores.conventions]
    # From volumes pooled (8/13) to slices where empty against empty is 1: six slices
    # are empty in truth, five in both: (0.5 + 1 + 5 + 0) / 8.
    assert min(dice) <= 8 / 13 < 6.5 / 8 <= max(dice)
    nearest = conventions.ranked(scores.conventions, {"dice": 0.75})[0]
    assert nearest.scores["dice"] == pytest.approx(0.75)
    assert {each.unit for each in scores.conventions} == {
        *("slice", "subject", "volume", "pooled")
    }
    verdicts = {each.protocol: each.verdict for each in scores.comparisons}
    assert set(verdicts) == set(scores.protocols)
    # Two heads decide nothing.
    assert verdicts["per_volume"] == "undecided"


def test_a_perfect_repetition_is_equivalent_only_to_its_own_number(tmp_path):
    for number in range(8):
        for folder in ("predicted", "truth"):
            write(tmp_path / folder / f"{number}.nii", mask(*ROW))
    arguments = tmp_path / "predicted", tmp_path / "truth"
    for printed, verdict in (("1.000", "equivalent"), ("0.338", "better")):
        scores = evaluate.evaluate(*arguments, reported={"jaccard": printed})
        assert {each.verdict for each in scores.comparisons} == {verdict}


def test_closing_and_opening_are_a_protocol_and_not_the_only_one(tmp_path):
    # At 512 pixels the opening of 5x5 removes a line that is one pixel wide.
    line = mask(*((0, 100, x) for x in range(200, 260)), shape=(1, 512, 512))
    for folder in ("predicted", "truth"):
        write(tmp_path / folder / "a.nii.gz", line)
    scores = evaluate.evaluate(tmp_path / "predicted", tmp_path / "truth").summary
    means = {name: values["dice"].mean for name, values in scores["any"].items()}
    assert means["hssayeni2020"] == 0
    assert means["hssayeni2020_as_given"] == means["per_volume"] == 1
    assert "hssayeni2020_published" not in means


@pytest.mark.parametrize("ct_ich_subjects", [False, True])
def test_the_page_explains_every_protocol(folders, ct_ich_subjects):
    page = (readme.DOCS / "evaluate.md").read_text()
    scores = evaluate.evaluate(*folders, ct_ich_subjects=ct_ich_subjects)
    for name in scores.protocols:
        assert f"`{name.removesuffix(evaluate.AS_GIVEN)}`" in page
    assert f"`{evaluate.AS_GIVEN}`" in page


def test_exclusions_of_ct_ich_need_to_be_asked_for(tmp_path):
    # Patient 70 is missed, patient 71 is found.
    for name, array in (("70", mask()), ("71", mask(*ROW))):
        write(tmp_path / "predicted" / f"{name}.nii", array)
        write(tmp_path / "truth" / f"0{name}.nii", mask(*ROW))
    arguments = tmp_path / "predicted", tmp_path / "truth"
    plain = evaluate.evaluate(*arguments).summary["any"]
    assert plain["hssayeni2020"]["dice"].mean == 0.5
    of_ct_ich = evaluate.evaluate(*arguments, ct_ich_subjects=True).summary["any"]
    assert of_ct_ich["hssayeni2020"]["dice"].mean == 1
    assert of_ct_ich["per_volume"]["dice"].mean == 0.5
    assert "hssayeni2020_published" in of_ct_ich
    # The detection of slices keeps patient 70, every other score leaves it out.
    ours, every = of_ct_ich["hssayeni2020_as_given"], of_ct_ich["per_volume"]
    assert ours["pixel_sensitivity"].mean == 1
    assert every["pixel_sensitivity"].mean == 0.5
    assert ours["volume_error_ml"].mean == 0
    assert every["volume_error_ml"].mean == pytest.approx(-0.02)
    assert ours["sensitivity"].n == every["sensitivity"].n


def test_a_convention_excludes_only_where_a_patient_is_left_out(folders):
    def written(predicted, truth, **flags):
        scores = evaluate.evaluate(predicted, truth, **flags)
        conventions = scores.to_json()["conventions"]
        (published,) = (each for each in conventions if each["is_published"])
        assert published["excluded"] == any(each["excluded"] for each in conventions)
        return {each["excluded"] for each in conventions}, scores.notes

    assert written(*folders) == ({False}, [])
    excluded, (note,) = written(*folders, ct_ich_subjects=True)
    assert excluded == {False} and "no effect" in note and "049" in note
    for folder in folders:
        write(folder / "070.nii.gz", mask(*ROW))
    assert written(*folders) == ({False}, [])
    assert written(*folders, ct_ich_subjects=True) == ({False, True}, [])


def test_files_may_be_stored_in_another_order(tmp_path):
    write(tmp_path / "predicted.nii", TRUTHS["049"], flip=True)
    write(tmp_path / "truth.nii.gz", TRUTHS["049"])
    scores = evaluate.evaluate(tmp_path / "predicted.nii", tmp_path / "truth.nii.gz")
    assert scores.summary["any"]["pooled"]["dice"].mean == 1


def test_each_of_several_labels_is_scored(tmp_path):
    both = mask(*ROW[:2], value=1) + mask((2, 2, 2), value=2)
    write(tmp_path / "truth" / "a.nii", both)
    write(tmp_path / "truth" / "b.nii", mask(*ROW, value=1))
    swapped = mask(*ROW[:2], value=2) + mask((2, 2, 2), value=1)
    write(tmp_path / "predicted" / "a.nii", swapped)
    write(tmp_path / "predicted" / "b.nii", mask(*ROW, value=1))
    scores = evaluate.evaluate(tmp_path / "predicted", tmp_path / "truth")
    dice = {
        label: protocols["pooled"]["dice"].mean
        for label, protocols in scores.summary.items()
    }
    # Together all is right. Label 1: TP 4, FP 1, FN 2. Label 2: FP 2, FN 1.
    assert dice == {"any": 1, "1": pytest.approx(8 / 11), "2": 0}


@pytest.mark.parametrize("value", [1, 255])
def test_one_label_has_any_value(tmp_path, value):
    write(tmp_path / "p.nii", mask(*ROW, value=value))
    write(tmp_path / "t.nii", mask(*ROW, value=255))
    scores = evaluate.evaluate(tmp_path / "p.nii", tmp_path / "t.nii")
    assert list(scores.summary) == ["any"]
    assert scores.summary["any"]["pooled"]["dice"].mean == 1


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("shape", lambda path: write(path, mask(shape=(4, 8, 9)))),
        ("spacing", lambda path: write(path, mask(), spacing=(5, 1, 1.9))),
        ("affine", lambda path: write(path, mask(), shift_mm=0.5)),
        ("labels", lambda path: write(path, mask(*ROW, value=-3))),
        ("labels", lambda path: write(path, mask(*ROW) * np.float32(0.4))),
        (
            "labels",
            lambda path: write(path, np.arange(256, dtype=np.int16).reshape(SHAPE)),
        ),
        ("unreadable", lambda path: path.write_bytes(b"no mask")),
        ("missing", lambda path: path.unlink()),
        ("extra", lambda path: write(path.with_name("051.nii.gz"), mask())),
    ],
)
def test_faults_are_named_and_left_out(folders, kind, change, capsys):
    change(folders[0] / "049.nii.gz")
    scores = evaluate.evaluate(*folders)
    (fault,) = scores.faults
    assert (fault.kind, fault.case) == (kind, "051" if kind == "extra" else "049")
    assert list(scores.cases) == (["049", "050"] if kind == "extra" else ["050"])
    assert cli.main(["evaluate", *map(str, folders)]) == 1
    assert fault.case in capsys.readouterr().out


def test_a_hundredth_of_a_millimetre_is_no_fault(folders):
    write(folders[0] / "049.nii.gz", PREDICTED["049"], shift_mm=0.01)
    assert evaluate.evaluate(*folders).faults == []


@pytest.mark.parametrize(
    ("predicted", "truth"),
    [
        ("case_001.nii.gz", "CASE_001.NII"),
        ("case_001_pred.nii.gz", "case_001_gt.nii.gz"),
        ("patient-49-segmentation.nii", "Patient049_mask.nii.gz"),
        ("49.nii", "masks/049.nii"),
        ("049/mask.nii.gz", "049.nii"),
        ("ich_049_v.nii", "hemorrhage049.nii"),
        ("a/scan.nii", "a/scan_truth.nii"),
    ],
)
def test_names_are_matched_by_tolerant_rules(tmp_path, predicted, truth):
    other = "other_7" if "scan" not in predicted else "b/scan"
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for root, name in ((ours, predicted), (theirs, truth)):
        for path in (root / name, root / f"{other}.nii"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    pairs, faults, notes = mask_files.match(ours, theirs)
    assert faults == notes == []
    assert (ours / predicted, theirs / truth) in [
        (pair.prediction, pair.truth) for pair in pairs
    ]


def test_names_that_fit_twice_are_not_guessed(tmp_path):
    for name in ("ours/1_a.nii", "ours/1_b.nii", "ours/2.nii", "theirs/1.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "theirs" / "2.nii").touch()
    pairs, faults, _ = mask_files.match(tmp_path / "ours", tmp_path / "theirs")
    assert [pair.case for pair in pairs] == ["2"]
    assert sorted((fault.kind, fault.case) for fault in faults) == [
        ("extra", "1_a"),
        ("extra", "1_b"),
        ("missing", "1"),
    ]
    for fault in faults:
        assert "ambiguous" in fault.message
        assert "1_a, 1_b" in fault.message and "true 1" in fault.message


def test_names_that_are_all_ambiguous_are_named(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for path in (
        *(ours / "pred_case_1.nii", ours / "case-01-mask.nii"),
        *(theirs / "case_1.nii", theirs / "case_2.nii"),
    ):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with pytest.raises(ValueError, match="ambiguous") as raised:
        mask_files.match(ours, theirs)
    for name in ("pred_case_1", "case-01-mask", "case_1"):
        assert name in str(raised.value)
    assert "case_2" not in str(raised.value)


def test_what_predict_writes_beside_a_mask_is_no_second_mask(folders):
    for name, array in PREDICTED.items():
        (folders[0] / f"{name}.nii.gz").unlink()
        for file in saving.PATTERNS:
            if file.endswith(mask_files.ENDINGS):
                write(folders[0] / name / file, array)
    assert cli.main(["evaluate", *map(str, folders)]) == 0
    scores = evaluate.evaluate(*folders)
    assert list(scores.cases) == ["049", "050"] and scores.faults == []
    # Without a mask beside them they count.
    (folders[0] / "050" / saving.MASK).unlink()
    left_out = {fault.case for fault in evaluate.evaluate(*folders).faults}
    assert left_out == {"050", "050/subtypes", "050/uncertainty"}


@pytest.mark.parametrize("single", [0, 1])
def test_a_single_file_asks_for_its_pair_only(folders, single, capsys):
    paths = list(folders)
    paths[single] /= "050.nii.gz"
    assert cli.main(["evaluate", *map(str, paths)]) == 0
    shown = capsys.readouterr().out
    assert "Left out" not in shown
    assert "**1 pair of masks**" in shown
    assert list(evaluate.evaluate(*paths).cases) == ["050"]


def test_the_fault_of_a_file_says_what_is_wrong_with_it(folders):
    values = mask(*ROW).astype(np.float32)
    values[0, 0, 0] = np.nan
    write(folders[0] / "049.nii.gz", values)
    (fault,) = evaluate.evaluate(*folders).faults
    assert "NaN" in fault.message and "scan" not in fault.message
    values[0, 0, 0] = -32768
    write(folders[0] / "049.nii.gz", values)
    (fault,) = evaluate.evaluate(*folders).faults
    assert "-32768" in fault.message
    (folders[0] / "049.nii.gz").write_text("no mask")
    (fault,) = evaluate.evaluate(*folders).faults
    assert "DICOM" not in fault.message and "text" in fault.message


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--reported", "dice"], "dice"),
        (["--reported", "dice=1.2"], "1.2"),
        (["--reported", "f1=0.4"], "f1"),
        (["--ct-ich-subjects"], "head"),
    ],
)
def test_wrong_calls_are_errors(tmp_path, arguments, named, capsys):
    write(tmp_path / "head.nii", mask(*ROW))
    paths = [str(tmp_path / "head.nii")] * 2
    assert cli.main(["evaluate", *paths, *arguments]) == 2
    assert named in capsys.readouterr().err


def test_the_verb_writes_json_and_the_figure(folders, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["evaluate", *map(str, folders), "--reported", "dice=0.75"]
    assert cli.main([*arguments, "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((out / "evaluation.json").read_text()) == printed
    assert printed["summary"]["any"]["pooled"]["dice"]["mean"] == pytest.approx(8 / 13)
    assert (out / "evaluation.png").stat().st_size > 10_000
    (out / "evaluation.png").write_text("theirs")
    assert cli.main([*arguments, "--out", str(out)]) == 2
    assert (out / "evaluation.png").read_text() == "theirs"
