import csv
import importlib.resources

import pytest

from ich_tf.data import splits

PATIENTS_82 = [f"{number:03d}" for number in range(49, 131)]
PATIENTS_75 = [patient for patient in PATIENTS_82 if not "059" <= patient <= "065"]
PEOPLE = [f"p{number:02d}" for number in range(20)]
BLEEDS = {patient: number % 4 == 0 for number, patient in enumerate(PEOPLE)}


def _bleeding_75():
    table = importlib.resources.files("ich_tf.data") / "ct_ich_1_3_1.csv"
    rows = csv.DictReader(table.read_text().splitlines())
    return {row["patient"] for row in rows if int(row["mask_voxels_512"]) > 0}


def _check_fold(fold, patients):
    parts = [*fold.train, *fold.validation, *fold.test]
    assert sorted(parts) == sorted(patients)


@pytest.mark.parametrize(
    ("patients", "sizes"),
    [
        (PATIENTS_82, [(50, 16, 16)] * 4 + [(48, 16, 18)]),
        (PATIENTS_75, [(45, 15, 15)] * 5),
    ],
)
def test_the_folds_of_hssayeni_have_the_published_sizes(patients, sizes):
    """int(82 / 5) = 16 are tested, 16 of the other 66 validate: 50 train.

    The last fold tests 82 - 4 x 16 = 18, so that 82 - 18 - 16 = 48 train. Of 75
    patients 15 are tested and 15 validate in each fold: 45 train.
    """
    folds = splits.folds_hssayeni2020(patients)
    parts = [(fold.train, fold.validation, fold.test) for fold in folds]
    assert [tuple(map(len, part)) for part in parts] == sizes
    for fold in folds:
        _check_fold(fold, patients)
    assert sorted(p for fold in folds for p in fold.test) == patients


def test_positive_patients_per_fold_are_the_published_ones():
    bleeding = _bleeding_75()
    assert len(bleeding) == 36
    folds = splits.folds_hssayeni2020(PATIENTS_75)
    counts = [len(bleeding & set(fold.test)) for fold in folds]
    assert counts == [8, 5, 5, 10, 8]


def test_the_first_fold_is_the_start_of_the_fixed_order():
    first = splits.folds_hssayeni2020(PATIENTS_75[::-1])[0]
    assert first.test[:3] == ("080", "088", "070")
    assert first.validation[:2] == ("122", "126")
    assert splits.subject_order_82()[:6] == ("080", "088", "070", "082", "083", "054")


def test_other_patients_have_no_hssayeni_folds():
    with pytest.raises(ValueError, match="missing for 1.3.1: 049, 050"):
        splits.folds_hssayeni2020(PATIENTS_75[2:])


def test_patient_folds_cover_everyone_once():
    folds = splits.patient_folds(
        PEOPLE, 5, seed=1, has_hemorrhage=list(BLEEDS.values())
    )
    assert sorted(p for fold in folds for p in fold.test) == PEOPLE
    for fold in folds:
        _check_fold(fold, PEOPLE)
        parts = (fold.train, fold.validation, fold.test)
        assert [len(part) for part in parts] == [12, 4, 4]
        assert [sum(BLEEDS[p] for p in part) for part in parts] == [3, 1, 1]


def test_patient_folds_depend_on_the_seed_only():
    folds = splits.patient_folds(PEOPLE, 4, seed=7)
    assert folds == splits.patient_folds(PEOPLE[::-1], 4, seed=7)
    assert folds != splits.patient_folds(PEOPLE, 4, seed=8)


def test_too_few_patients_are_an_error():
    with pytest.raises(ValueError, match="Received: 5 folds, 4 patients"):
        splits.patient_folds(PEOPLE[:4], 5, seed=0)
    with pytest.raises(ValueError, match="must not repeat"):
        splits.patient_folds(["a", "a", "b"], 3, seed=0)


def test_a_split_keeps_the_share_of_bleeding_patients():
    fold = splits.patient_split(
        PEOPLE, (0.6, 0.2, 0.2), seed=3, stratify=list(BLEEDS.values())
    )
    _check_fold(fold, PEOPLE)
    assert [len(fold.train), len(fold.validation), len(fold.test)] == [12, 4, 4]
    parts = (fold.train, fold.validation, fold.test)
    assert [sum(BLEEDS[p] for p in part) for part in parts] == [3, 1, 1]


def test_a_split_that_leaves_a_part_empty_is_an_error():
    with pytest.raises(ValueError, match="no one is left for validation"):
        splits.patient_split(["a", "b"], (0.5, 0.1, 0.4), seed=0)
    with pytest.raises(ValueError, match="sum to 1"):
        splits.patient_split(["a", "b"], (0.5, 0.1, 0.1), seed=0)
    assert splits.patient_split(["a", "b"], (0.5, 0.0, 0.5), seed=0).validation == ()


def _scans(count):
    """Scans of patients that have one, two or three of them, in mixed order."""
    patients = [
        f"p{number % 7}" if number % 3 else f"q{number}" for number in range(count)
    ]
    return [f"s{number}" for number in range(count)], patients


def test_the_split_of_the_report_is_by_scan_in_order():
    scans = [f"s{number}" for number in range(21_744)]
    fold = splits.split_burduja2020(scans)
    assert (len(fold.train), len(fold.validation), fold.test) == (21_000, 744, ())
    assert fold.train[-1] == "s20999" and fold.validation[0] == "s21000"
    small = splits.split_burduja2020(scans[:60])
    assert (len(small.train), len(small.validation)) == (58, 2)
    tiny = splits.split_burduja2020(["a", "b"])
    assert (tiny.train, tiny.validation) == (("a",), ("b",))
    with pytest.raises(ValueError, match="Two scans are needed"):
        splits.split_burduja2020(["a"])


def test_leakage_counts_patients_on_both_sides():
    scans, patients = list("abcdefg"), list("ppqqrsr")
    fold = splits.Fold(("a", "c", "d", "e"), ("b", "f"), ("g",))
    assert splits.leakage(fold, scans, patients) == splits.Leakage(
        patients=2, held_out_scans=2, train_scans=2, all_held_out_scans=3
    )


def test_a_split_of_scans_leaks_no_patient():
    scans, patients = _scans(90)
    bleeds = [number % 2 == 0 for number in range(90)]
    fold = splits.scan_split(scans, patients, (0.6, 0.2, 0.2), 5, bleeds)
    _check_fold(fold, scans)
    assert splits.leakage(fold, scans, patients).patients == 0
    assert min(len(fold.train), len(fold.validation), len(fold.test)) > 0
    assert [scans.index(scan) for scan in fold.train] == sorted(
        scans.index(scan) for scan in fold.train
    )
    assert splits.leakage(splits.split_burduja2020(scans), scans, patients).patients > 0
    with pytest.raises(ValueError, match="longer than argument 1"):
        splits.scan_split(scans, patients[:-1], (0.6, 0.2, 0.2), 5)
