"""Published data sets as people have them: downloaded, unpacked, copied, edited."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from ich_tf.data import checks, ct_ich, ct_ich_files, ct_ich_table
from ich_tf.data.rsna import dataset as rsna
from ich_tf.data.rsna import labels as rsna_labels
from ich_tf.io import jpg, table
from ich_tf.synthetic import ct_ich_writer, phantom, rsna_writer


@pytest.fixture(scope="module")
def cases():
    return [
        phantom.generate(0, number, slices=3, size=64, bleeding=number == 0).case
        for number in range(2)
    ]


@pytest.fixture
def nifti_root(cases, tmp_path):
    ct_ich_writer.write_nifti_layout(cases, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def jpg_root(cases, tmp_path):
    ct_ich_writer.write_jpg_layout(cases, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def rsna_root(cases, tmp_path):
    rsna_writer.write_layout(cases, tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize(
    "below", ["physionet.org/files/ct-ich/1.3.1", "a/b", "ct-ich.zip_unpacked"]
)
def test_the_tree_of_a_download_is_searched(nifti_root, tmp_path, below):
    place = tmp_path / "downloads" / below
    place.parent.mkdir(parents=True)
    nifti_root.rename(place)
    (place / "index.html").write_text("<html>")
    (place / "ct_scans" / "index.html").write_text("<html>")
    (tmp_path / "downloads" / "loop").symlink_to(tmp_path / "downloads")
    assert ct_ich.CtIch(tmp_path / "downloads").root == place


def test_backups_of_files_are_no_patients(nifti_root):
    scan = nifti_root / "ct_scans" / "049.nii"
    for name in ("049.nii.bak", "049.nii.gz.part", "049 (1).txt"):
        shutil.copy(scan, scan.with_name(name))
    assert ct_ich.CtIch(nifti_root).case_ids() == ["049", "050"]
    scan.rename(scan.with_name("049.NII"))
    assert ct_ich.CtIch(nifti_root).load("049").mask.any()


@pytest.mark.parametrize("ending", [".JPG", ".Jpg", ".jpeg"])
def test_pictures_with_other_endings_are_read(jpg_root, ending):
    before = ct_ich.CtIch(jpg_root).load("049")
    for path in list(jpg_root.rglob("*.jpg")):
        if ending == ".jpeg" and "Seg" in path.name:
            continue
        path.rename(path.with_suffix(ending))
    after = ct_ich.CtIch(jpg_root).load("049")
    np.testing.assert_array_equal(after.volume.hu, before.volume.hu)
    np.testing.assert_array_equal(after.mask, before.mask)


def test_folders_without_zeros_in_front_are_the_same_patients(jpg_root):
    before = ct_ich.CtIch(jpg_root).fingerprint()
    for folder in list((jpg_root / "Patients_CT").iterdir()):
        folder.rename(folder.with_name(folder.name.lstrip("0")))
    assert ct_ich.CtIch(jpg_root).fingerprint() == before


def test_copies_of_slices_are_named_and_system_files_are_not(jpg_root):
    brain = jpg_root / "Patients_CT" / "049" / "brain"
    for name in ("1 (1).jpg", "1 - Kopie.jpg", "Thumbs.db", ".DS_Store", "._1.jpg"):
        shutil.copy(brain / "1.jpg", brain / name)
    dataset = ct_ich.CtIch(jpg_root)
    assert len(dataset.load("049").volume.hu) == 3
    named = [os.path.basename(problem.file) for problem in dataset.problems()]
    assert named == ["1 (1).jpg", "1 - Kopie.jpg"]


def test_a_slice_number_out_of_all_reason_takes_no_time(jpg_root):
    brain = jpg_root / "Patients_CT" / "049" / "brain"
    shutil.copy(brain / "1.jpg", brain / "99999999.jpg")
    volume = ct_ich.read_patient_folder(brain.parent)
    (note,) = [note for note in volume.notes if note.kind == "missing slices"]
    assert note.text.endswith("4-99999998")


def test_a_pipe_among_the_slices_is_refused_without_waiting(jpg_root):
    path = jpg_root / "Patients_CT" / "049" / "brain" / "2.jpg"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"2\.jpg: is a pipe"):
        ct_ich.CtIch(jpg_root).load("049")


@pytest.mark.parametrize("layout", ["nifti_root", "jpg_root"])
def test_a_faulty_case_is_named_and_can_be_left_out(layout, request):
    root = request.getfixturevalue(layout)
    faulty = (
        "ct_scans/049.nii" if layout == "nifti_root" else "Patients_CT/049/brain/2.jpg"
    )
    (root / faulty).write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match=os.path.basename(faulty)):
        ct_ich.CtIch(root).load("049")
    dataset = ct_ich.CtIch(root, leave_out=True)
    assert dataset.case_ids() == ["050"]
    assert sum(dataset.left_out().values()) == 1
    problems = checks.check_dataset(dataset)
    (problem,) = [problem for problem in problems if problem.kind == "unreadable"]
    assert problem.file == "049"
    assert os.path.basename(faulty) in problem.message


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace("\r\n", "\n"),
        lambda text: text.replace("\r\n", "\r\n\r\n"),
        lambda text: text.replace("49,", "49.0,").replace("50,", '"50",'),
        lambda text: text + ",,,,,,,,\r\n",
        lambda text: text + text.splitlines()[-1] + "\r\n",
        lambda text: text.replace(",0\r\n", "\r\n").replace("Number,", "Number ,", 1),
    ],
)
def test_a_table_that_a_spreadsheet_saved_is_the_same(jpg_root, change):
    path = jpg_root / "hemorrhage_diagnosis.csv"
    before = ct_ich_table.read(path)
    path.write_text(change(path.read_text("utf-8-sig")), encoding="utf-8", newline="")
    after = ct_ich_table.read(path)
    assert before.keys() == after.keys()
    for patient, slices in before.items():
        for number, values in slices.items():
            np.testing.assert_array_equal(after[patient][number], values)


@pytest.mark.parametrize(
    "content", [b"", b"a\0b\n", b"\xff\xfea\0", b'"' + b"x" * 200_000]
)
def test_a_damaged_table_is_refused_by_name(tmp_path, content):
    path = tmp_path / "hemorrhage_diagnosis.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"hemorrhage_diagnosis\.csv"):
        ct_ich_table.read(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("49", 49), (" 49 ", 49), ("49.0", 49), ("49,00", 49), ("-1", -1)],
)
def test_whole_numbers(text, value):
    assert table.whole(text) == value


@pytest.mark.parametrize("text", ["", "4.5", "x", "1e3", "9" * 50])
def test_what_is_no_whole_number(text):
    with pytest.raises(ValueError, match="no whole number"):
        table.whole(text)


def test_numbers_as_ranges():
    assert ct_ich_files.ranges([3, 1, 4, 5]) == "1, 3-5"
    assert ct_ich_files.gaps([2, 3, 7]) == "1, 4-6"


def _images(root):
    return sorted((root / "stage_2_train").iterdir())


def _nest(root):
    inner = root / "stage_2_train" / "stage_2_train"
    inner.mkdir()
    for path in _images(root):
        if path.is_file():
            path.rename(inner / path.name)


def _capitals(root):
    for path in _images(root)[::2]:
        path.rename(path.with_suffix(".DCM"))


def _csv(change):
    def edit(root):
        path = root / "stage_2_train.csv"
        path.write_text(change(path.read_text()), encoding="utf-8", newline="")

    return edit


@pytest.mark.parametrize(
    "change",
    [
        _nest,
        _capitals,
        _csv(lambda text: "\ufeff" + text.replace("\n", "\r\n")),
        _csv(lambda text: text.replace(",", ";")),
        _csv(lambda text: text.replace(",0", ",0.0").replace(",1", ",1.0")),
        _csv(lambda text: "".join(f"7,{line}\n" for line in text.splitlines())),
        _csv(lambda text: "".join(f'"{a}","{b}"\n' for a, b in _pairs(text))),
        _csv(lambda text: text.replace("\n", "\n\n")),
    ],
)
def test_rsna_is_read_however_it_was_unpacked_or_saved(rsna_root, change):
    before = rsna.Rsna(rsna_root, workers=1).fingerprint()
    change(rsna_root)
    dataset = rsna.Rsna(rsna_root, workers=1)
    assert dataset.problems() == []
    assert dataset.fingerprint() == before
    assert dataset.load(dataset.case_ids()[0]).labels is not None


def _pairs(text):
    return [line.split(",") for line in text.splitlines()]


def test_pictures_and_stage_1_are_named(rsna_root):
    for path in _images(rsna_root):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(path.with_suffix(".png"))
        path.unlink()
    with pytest.raises(ValueError, match=r"6 file\(s\) \.png"):
        rsna.Rsna(rsna_root, workers=1)
    (rsna_root / "stage_2_train").rename(rsna_root / "stage_1_train_images")
    with pytest.raises(ValueError, match="stage 1 of the challenge"):
        rsna.Rsna(rsna_root, workers=1)


def test_a_pivoted_label_table_is_refused_with_its_header(tmp_path):
    path = tmp_path / "stage_2_train.csv"
    path.write_text("Image,any,epidural\nID_1,1,0\n")
    with pytest.raises(ValueError, match="not 'Image,any,epidural'"):
        rsna_labels.read(path)


def test_damaged_images_are_listed_and_the_others_read(rsna_root):
    paths = _images(rsna_root)
    paths[0].write_bytes(b"")
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    paths[2].unlink()
    os.mkfifo(paths[2])
    dataset = rsna.Rsna(rsna_root, workers=1)
    assert {os.path.basename(p.file) for p in dataset.problems()} >= {
        paths[0].name,
        paths[1].name,
    }
    assert sum(len(dataset.load(name).volume.hu) for name in dataset.case_ids()) == 3


def test_a_data_set_without_a_place_for_its_index_is_read(rsna_root, tmp_path):
    # A file stands where the folder of the index would be.
    (tmp_path / "taken").write_text("")
    dataset = rsna.Rsna(
        rsna_root, index_file=tmp_path / "taken" / "index.npz", workers=1
    )
    assert len(dataset.case_ids()) == 2


def test_a_picture_of_another_size_is_refused(tmp_path):
    path = tmp_path / "1.jpg"
    Image.fromarray(np.zeros((512, 512), np.uint8)).save(path, "JPEG")
    with pytest.raises(ValueError, match=r"1\.jpg: must be 650x650"):
        jpg.read_slice(path)
