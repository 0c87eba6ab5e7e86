import csv
import dataclasses
import os
import platform

import nibabel
import numpy as np
import pytest
from PIL import Image

from ich_tf import datasets
from ich_tf.data import ct_ich
from ich_tf.io import jpg
from ich_tf.prediction import inputs
from ich_tf.synthetic import ct_ich_writer
from ich_tf.volume import Case, Volume

SIZE = 64


def _case(name="phantom-0", slices=4, bleeding=True, seed=0, size=SIZE):
    rng = np.random.default_rng(seed)
    hu = rng.integers(-1000, 1500, (slices, size, size)).astype(np.float32)
    mask = np.zeros(hu.shape, np.uint8)
    slice_labels = np.zeros((slices, 6), np.uint8)
    if bleeding and slices > 1:
        mask[1, 10:30, 20:40] = 1
        slice_labels[1, [4, 5]] = 1
    pixel_mm = 0.45 * 512 / size
    affine = np.array(
        [[0, 0, pixel_mm, -5], [0, pixel_mm, 0, -6], [5, 0, 0, 7], [0, 0, 0, 1.0]]
    )
    volume = Volume(
        hu,
        (5.0, pixel_mm, pixel_mm),
        7 + 5.0 * np.arange(slices),
        affine,
        origin=f"ich_tf phantom seed={seed}",
    )
    return Case(name, name, volume, mask, slice_labels)


def _unmarked(case):
    return dataclasses.replace(case, volume=dataclasses.replace(case.volume, origin=""))


@pytest.fixture(scope="module")
def nifti_root(tmp_path_factory):
    out = tmp_path_factory.mktemp("nifti") / "ct-ich"
    cases = (_case(f"p{i}", seed=i, bleeding=i != 1) for i in range(3))
    ct_ich_writer.write_nifti_layout(cases, out)
    return out


@pytest.fixture(scope="module")
def jpg_root(tmp_path_factory):
    out = tmp_path_factory.mktemp("jpg") / "ct-ich"
    cases = (_case(f"p{i}", seed=i, bleeding=i != 1) for i in range(2))
    ct_ich_writer.write_jpg_layout(cases, out)
    return out


def _files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _copy(root, out):
    for name, content in _files(root).items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return out


def test_the_nifti_layout_reads_back_as_written(nifti_root):
    dataset = datasets.open_dataset("ct-ich", nifti_root)
    assert dataset.name == "ct-ich 1.3.1"
    assert dataset.case_ids() == ["049", "050", "051"]
    for index, case_id in enumerate(dataset.case_ids()):
        written, case = _case(seed=index, bleeding=index != 1), dataset.load(case_id)
        np.testing.assert_array_equal(case.volume.hu, written.volume.hu)
        np.testing.assert_array_equal(case.mask, written.mask)
        np.testing.assert_array_equal(case.labels, written.labels)
        np.testing.assert_allclose(case.volume.affine, written.volume.affine, atol=1e-5)
        assert case.volume.notes == ()
        assert case.volume.origin == f"ich_tf phantom seed={index}"
    assert dataset.problems() == []


def test_the_nifti_files_are_stored_as_published(nifti_root):
    image = nibabel.load(nifti_root / "ct_scans" / "049.nii")
    assert nibabel.aff2axcodes(image.affine) == ("L", "A", "S")
    mask = np.asarray(nibabel.load(nifti_root / "masks" / "049.nii").dataobj)
    assert np.unique(mask).tolist() == [0, 255]
    table = (nifti_root / "hemorrhage_diagnosis_raw_ct.csv").read_bytes()
    assert table.startswith(b"PatientNumber,SliceNumber,Intraventricular,")
    assert table.splitlines(keepends=True)[2] == b"49,2,0,0,0,0,1,0,0\r\n"
    assert len(table.splitlines()) == 13


def test_labels_follow_the_files_slice_axis(nifti_root, tmp_path):
    root = _copy(nifti_root, tmp_path / "flipped")
    for folder in ("ct_scans", "masks"):
        path = root / folder / "049.nii"
        image = nibabel.load(path)
        array = np.asarray(image.dataobj)[:, :, ::-1]
        affine = image.affine @ [
            [1, 0, 0, 0],
            [0, 1, 0, 0],
            [0, 0, -1, 3],
            [0, 0, 0, 1],
        ]
        nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / "turned.nii")
        path.write_bytes((tmp_path / "turned.nii").read_bytes())
    case = ct_ich.CtIch(root).load("049")
    # Same patient, foot to head; row 2 of the table is now the third from below.
    np.testing.assert_array_equal(case.volume.hu, _case().volume.hu)
    assert case.mask.any((1, 2)).tolist() == [False, True, False, False]
    assert case.labels[:, 5].tolist() == [0, 0, 1, 0]


def test_the_jpg_layout_reads_back_nearly(jpg_root):
    dataset = ct_ich.CtIch(jpg_root)
    assert dataset.name == "ct-ich 1.0"
    assert dataset.case_ids() == ["049", "050"]
    case = dataset.load("049")
    assert case.volume.hu.shape == (4, 512, 512)
    assert case.volume.hu_window == (-20, 100)
    assert case.volume.spacing_mm is None
    assert case.volume.origin == "ich_tf phantom seed=0"
    assert case.labels[:, 4].tolist() == [0, 1, 0, 0]
    # The mask of 20x20 pixels of 64 is 160x160 of 512.
    assert case.mask.any((1, 2)).tolist() == [False, True, False, False]
    rows, columns = np.nonzero(case.mask[1])
    assert (rows.min(), rows.max() + 1) == pytest.approx((80, 240), abs=1)
    assert (columns.min(), columns.max() + 1) == pytest.approx((160, 320), abs=1)
    assert not dataset.load("050").mask.any()


def test_a_smooth_slice_keeps_its_values_as_jpg(tmp_path):
    ramp = np.broadcast_to(np.linspace(-40, 120, 512, dtype=np.float32), (512, 512))
    (tmp_path / "1.jpg").write_bytes(jpg.encode_slice(ramp, jpg.BRAIN_WINDOW, "made"))
    hu, origin = jpg.read_slice(tmp_path / "1.jpg")
    assert origin == "made"
    assert np.abs(hu - np.clip(ramp, -20, 100)).max() < 1.5
    assert hu.min() == -20 and hu.max() == 100


def test_the_jpg_files_are_stored_as_published(jpg_root):
    patient = jpg_root / "Patients_CT" / "049"
    assert sorted(path.name for path in (patient / "brain").iterdir()) == [
        "1.jpg",
        "2.jpg",
        "2_HGE_Seg.jpg",
        "3.jpg",
        "4.jpg",
    ]
    assert len(list((patient / "bone").iterdir())) == 4
    with Image.open(patient / "brain" / "2.jpg") as image:
        assert (image.size, image.mode) == ((650, 650), "L")
        pixels = np.asarray(image)
    assert pixels[:4].max() <= 8
    table = (jpg_root / "hemorrhage_diagnosis.csv").read_bytes()
    assert table.startswith(b"\xef\xbb\xbfPatientNumber,")
    assert table.endswith(b"50,4,0,0,0,0,0,1,0\r\n")
    assert (jpg_root / "patient_demographics.csv").exists()


@pytest.mark.parametrize(
    "write", [ct_ich_writer.write_nifti_layout, ct_ich_writer.write_jpg_layout]
)
def test_the_same_cases_give_the_same_bytes(tmp_path, write):
    for name in ("one", "two"):
        write([_case(slices=2)], tmp_path / name)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")


def test_a_data_set_without_any_mask_has_none(jpg_root, tmp_path):
    root = _copy(jpg_root, tmp_path / "bare")
    for path in root.rglob("*_HGE_Seg.jpg"):
        path.unlink()
    dataset = ct_ich.CtIch(root)
    assert [dataset.load(case_id).mask for case_id in dataset.case_ids()] == [
        None,
        None,
    ]
    facts = dataset.fingerprint()["cases"]["049"]
    assert (facts["slices"], facts["mask_voxels"]) == (4, None)


def test_a_data_set_without_table_has_no_labels(jpg_root, tmp_path):
    root = _copy(jpg_root, tmp_path / "bare")
    (root / "hemorrhage_diagnosis.csv").unlink()
    dataset = ct_ich.CtIch(root)
    assert dataset.load("049").labels is None
    assert [problem.message for problem in dataset.problems()] == [
        "there is no such table"
    ]


def test_the_layout_is_found_inside_the_published_folder(nifti_root, tmp_path):
    name = "computed-tomography-images-for-intracranial-hemorrhage-1.3.1"
    _copy(nifti_root, tmp_path / "unpacked" / name)
    assert ct_ich.CtIch(tmp_path).root.name == name
    assert ct_ich.CtIch(tmp_path / "unpacked").case_ids() == ["049", "050", "051"]


def test_hidden_files_of_an_archive_are_passed_over(nifti_root, jpg_root, tmp_path):
    for name, root in (("a", nifti_root), ("b", jpg_root)):
        for path in _copy(root, tmp_path / name).rglob("*.*"):
            path.with_name(f"._{path.name}").write_bytes(b"\0")
        expected = ct_ich.CtIch(root).fingerprint()
        assert ct_ich.CtIch(tmp_path / name).fingerprint() == expected


def test_one_patient_in_two_files_is_an_error(nifti_root, tmp_path):
    root = _copy(nifti_root, tmp_path / "twice")
    path = root / "ct_scans" / "049.nii"
    path.with_name("049.nii.gz").write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="049.nii and .*049.nii.gz are the same"):
        ct_ich.CtIch(root)


def test_what_is_no_data_set_is_refused(nifti_root, jpg_root, tmp_path):
    with pytest.raises(ValueError, match="holds neither layout"):
        ct_ich.CtIch(tmp_path)
    _copy(nifti_root, tmp_path / "a")
    _copy(jpg_root, tmp_path / "b")
    with pytest.raises(ValueError, match="holds several data sets, name one"):
        ct_ich.CtIch(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        ct_ich.CtIch(tmp_path / "absent")
    with pytest.raises(ValueError, match="Unknown data set 'cq500'. Known: ct-ich, ph"):
        datasets.open_dataset("cq500")
    with pytest.raises(ValueError, match=r"no patient '048'. There are \['049'"):
        ct_ich.CtIch(nifti_root).load("048")


def test_a_labelled_slice_without_its_mask_is_noted(tmp_path):
    root = tmp_path / "ct-ich"
    cases = (_case(f"p{i}", seed=i, bleeding=True) for i in range(2))
    ct_ich_writer.write_jpg_layout(cases, root)
    first = sorted(root.rglob(f"*{jpg.MASK_SUFFIX}"))[0]
    first.unlink()
    number = first.name.removesuffix(jpg.MASK_SUFFIX)
    case = datasets.open_dataset("ct-ich", root).load(first.parent.parent.name)
    (note,) = [note for note in case.volume.notes if note.kind == "mask"]
    assert note.text.endswith(f"slice(s) {number}")


def test_gaps_in_the_numbers_are_noted(jpg_root, tmp_path):
    root = _copy(jpg_root, tmp_path / "gap")
    (root / "Patients_CT" / "049" / "brain" / "3.jpg").unlink()
    case = ct_ich.CtIch(root).load("049")
    assert case.volume.hu.shape == (3, 512, 512)
    assert [n.kind for n in case.volume.notes[2:]] == ["missing slices"] * 2
    assert case.labels[:, 5].tolist() == [0, 1, 0]


def _table(root, change):
    path = root / "hemorrhage_diagnosis.csv"
    text = path.read_bytes().decode("utf-8-sig")
    path.write_bytes(change(text).encode("utf-8-sig"))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.replace("49,3,0,0,0,0,0,1,0\r\n", ""), "no row for slice.s. 3"),
        (lambda t: t.replace("49,3,0", "49,3,2"), "line 4: Intraventricular must be 0"),
        (lambda t: t.replace("49,3,", "49,2,"), "line 4: slice 2 appears twice"),
        (lambda t: t.replace("49,3,", "x,3,"), "line 4: patient or slice is no number"),
        (lambda t: t.replace("Subdural", "SDH"), "no column Subdural"),
    ],
)
def test_a_faulty_table_is_refused(jpg_root, tmp_path, change, message):
    root = _copy(jpg_root, tmp_path / "faulty")
    _table(root, change)
    with pytest.raises(ValueError, match=f"hemorrhage_diagnosis.csv.*{message}"):
        ct_ich.CtIch(root).load("049")


def test_numbers_with_zeros_in_front_keep_their_masks(jpg_root, tmp_path):
    root = _copy(jpg_root, tmp_path / "zeros")
    before = ct_ich.CtIch(root).load("049").mask
    assert before.any()
    brain = root / "Patients_CT" / "049" / "brain"
    for path in list(brain.glob("?[._]*jpg")):
        path.rename(path.with_name(f"0{path.name}"))
    np.testing.assert_array_equal(ct_ich.CtIch(root).load("049").mask, before)


def test_rows_without_images_and_masks_without_slices_are_problems(jpg_root, tmp_path):
    root = _copy(jpg_root, tmp_path / "more")
    _table(root, lambda text: text + "77,1,0,0,0,0,0,1,0\r\n")
    mask = root / "Patients_CT" / "049" / "brain" / "2_HGE_Seg.jpg"
    mask.with_name("9_HGE_Seg.jpg").write_bytes(mask.read_bytes())
    problems = ct_ich.CtIch(root).problems()
    assert [problem.kind for problem in problems] == ["labels", "mask"]
    assert "077" in problems[0].message


def _write_jpeg(path, size, quality=90):
    Image.fromarray(np.zeros(size, np.uint8)).save(path, "JPEG", quality=quality)


def test_unreadable_pictures_are_refused_by_name(jpg_root, tmp_path):
    root = _copy(jpg_root, tmp_path / "bad")
    path = root / "Patients_CT" / "049" / "brain" / "3.jpg"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="3.jpg: not a readable JPEG"):
        ct_ich.CtIch(root).load("049")
    path.write_bytes(b"<html>")
    with pytest.raises(ValueError, match="3.jpg: not a readable JPEG"):
        ct_ich.CtIch(root).load("049")
    _write_jpeg(path, (512, 600))
    with pytest.raises(ValueError, match="3.jpg: must be 650x650 pixels, not 600x512"):
        ct_ich.CtIch(root).load("049")


def test_a_mask_file_that_is_missing_in_1_3_1_is_an_error(nifti_root, tmp_path):
    root = _copy(nifti_root, tmp_path / "less")
    (root / "masks" / "050.nii").unlink()
    with pytest.raises(ValueError, match="050.nii: no mask for it in .*masks"):
        ct_ich.CtIch(root).load("050")


def test_the_phantom_is_known_by_its_marker(nifti_root, jpg_root):
    facts = ct_ich.CtIch(nifti_root).fingerprint()
    assert facts["identity"] == "phantom"
    assert facts["layout"] == "1.3.1"
    assert facts["slices"] == 12
    first = facts["cases"]["049"]
    assert (first["slices"], first["mask_voxels"]) == (4, 400)
    assert facts["cases"]["050"]["mask_voxels"] == 0
    checksums = {case["crc32"] for case in facts["cases"].values()}
    assert len(checksums) == 3
    assert ct_ich.CtIch(jpg_root).fingerprint()["identity"] == "phantom"


def test_other_data_is_unknown_or_partial(tmp_path):
    case = _unmarked(_case(slices=1))
    ct_ich_writer.write_nifti_layout([case], tmp_path / "a")
    assert ct_ich.CtIch(tmp_path / "a").fingerprint()["identity"] == "unknown"
    ct_ich_writer.write_jpg_layout([case], tmp_path / "b")
    partial = ct_ich.CtIch(tmp_path / "b").fingerprint()["identity"]
    assert partial == "ct-ich 1.0 (partial)"
    ct_ich_writer.write_jpg_layout([case], tmp_path / "c", patient_numbers=[7])
    assert ct_ich.CtIch(tmp_path / "c").fingerprint()["identity"] == "unknown"


def test_only_the_published_counts_are_1_3_1(tmp_path):
    published = ct_ich.published_counts()
    assert len(published) == 75
    assert sum(counts["slices"] for counts in published.values()) == 2814
    assert sum(counts["mask_voxels"] > 0 for counts in published.values()) == 36
    for folder in ("ct_scans", "masks"):
        (tmp_path / folder).mkdir()
    side = 64
    for patient, counts in published.items():
        shape = (side, side, counts["slices"])
        mask = np.zeros(np.prod(shape), np.uint8)
        mask[: counts["mask_voxels"]] = 255
        for folder, array in (("ct_scans", np.zeros(shape, np.int8)), ("masks", mask)):
            image = nibabel.Nifti1Image(array.reshape(shape), np.eye(4))
            nibabel.save(image, tmp_path / folder / f"{patient}.nii")
    assert ct_ich.CtIch(tmp_path).fingerprint()["identity"] == "ct-ich 1.3.1"
    (tmp_path / "masks" / "051.nii").write_bytes(
        (tmp_path / "masks" / "049.nii").read_bytes()
    )
    assert ct_ich.CtIch(tmp_path).fingerprint()["identity"] == "unknown"


def test_numbers_skip_what_1_3_1_lacks(tmp_path):
    cases = [_case(f"p{i}", slices=1, size=16) for i in range(12)]
    ct_ich_writer.write_nifti_layout(cases, tmp_path / "a")
    ids = ct_ich.CtIch(tmp_path / "a").case_ids()
    assert ids[-3:] == ["058", "066", "067"]
    ct_ich_writer.write_nifti_layout([_case("123", slices=2)], tmp_path / "b")
    assert ct_ich.CtIch(tmp_path / "b").case_ids() == ["123"]
    with pytest.raises(ValueError, match="fewer entries"):
        ct_ich_writer.write_nifti_layout(cases, tmp_path / "c", patient_numbers=[49])
    with pytest.raises(ValueError, match="patient number 123"):
        ct_ich_writer.write_nifti_layout([_case("123")] * 2, tmp_path / "d")
    assert not (tmp_path / "c").exists()


def test_a_killed_writer_leaves_no_folder_that_looks_complete(tmp_path):
    def stops():
        yield _case(slices=2)
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        ct_ich_writer.write_nifti_layout(stops(), out)
    assert list(tmp_path.iterdir()) == []
    # What SIGKILL leaves: nobody cleans up, and the next writer replaces it.
    ct_ich_writer.write_nifti_layout([_case(slices=2)], out)
    out.rename(tmp_path / f"out.{platform.node()}-{os.getpid()}.partial")
    with pytest.raises(ValueError, match="holds neither layout"):
        ct_ich.CtIch(tmp_path)
    ct_ich_writer.write_nifti_layout([_case(slices=2)], out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(ValueError, match="already exists"):
        ct_ich_writer.write_nifti_layout([_case(slices=2)], out)


def test_a_case_without_mask_is_not_written(tmp_path):
    bare = dataclasses.replace(_case(slices=2), mask=None)
    with pytest.raises(ValueError, match="phantom-0: needs a mask and labels"):
        ct_ich_writer.write_jpg_layout([bare], tmp_path / "out")


def test_any_input_is_read_by_its_content(nifti_root, jpg_root, tmp_path):
    case = inputs.read_any(nifti_root / "ct_scans" / "049.nii")
    assert (case.case_id, case.volume.hu.shape) == ("049", (4, SIZE, SIZE))
    patient = jpg_root / "Patients_CT" / "050"
    assert inputs.read_any(patient).volume.spacing_mm is None
    volume = inputs.read_any(patient, (5.0, 0.5, 0.4)).volume
    assert volume.spacing_mm == (5.0, 0.5, 0.4)
    assert volume.slice_pixel_ml.tolist() == pytest.approx([0.001] * 4)
    centre = volume.affine @ [1.5, 255.5, 255.5, 1]
    np.testing.assert_allclose(centre, [0, 0, 0, 1], atol=1e-9)
    with pytest.raises(ValueError, match="049.nii: has a spacing of its own"):
        inputs.read_any(nifti_root / "ct_scans" / "049.nii", (5.0, 0.5, 0.4))
    with pytest.raises(ValueError, match="no such file or folder"):
        inputs.read_any(tmp_path / "absent")
    with pytest.raises(ValueError, match="1.jpg: .* but a JPEG picture"):
        inputs.read_any(patient / "brain" / "1.jpg")
    with pytest.raises(ValueError, match="no DICOM file"):
        inputs.read_any(tmp_path)


@pytest.mark.real_data
def test_real_dicom_and_jpg_inputs(shared):
    case = inputs.read_any(shared / "data" / "head-ct-dicom" / "ge-series")
    assert (case.case_id, case.volume.hu.shape) == ("ge-series", (28, 512, 512))
    head = shared / "data" / "head-ct-dicom" / "chronic-sdh" / "uncompressed.dcm"
    assert inputs.read_any(head).case_id == "uncompressed"
    patient = shared / "data" / "ct-ich-v1" / "Patients_CT" / "049"
    assert inputs.read_any(patient).volume.hu.shape == (33, 512, 512)


@pytest.mark.real_data
def test_the_real_jpg_layout(shared):
    dataset = ct_ich.CtIch(shared / "data" / "ct-ich-v1")
    assert dataset.name == "ct-ich 1.0"
    assert len(dataset.case_ids()) == 66
    assert dataset.problems() == []
    facts = dataset.fingerprint()
    assert (facts["slices"], facts["identity"]) == (2004, "ct-ich 1.0 (partial)")
    case = dataset.load("049")
    assert case.mask is None
    assert case.volume.hu.shape == (33, 512, 512)
    assert case.labels.sum(axis=0).tolist() == [8, 2, 0, 0, 0, 9]
    assert (case.volume.hu.min(), case.volume.hu.max()) == (-20, 100)


@pytest.mark.real_data
def test_the_real_table_counts_245_slices_with_hemorrhage(shared):
    path = shared / "data" / "ct-ich-v1" / "hemorrhage_diagnosis.csv"
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["No_Hemorrhage"] == "0" for row in rows) == 245
    slices = ct_ich.CtIch(path.parent).load("058").labels
    expected = [
        row["No_Hemorrhage"] == "0" for row in rows if row["PatientNumber"] == "58"
    ]
    assert slices[:, 5].tolist() == expected


@pytest.mark.parametrize("layout", ["nifti_root", "jpg_root"])
def test_a_scan_has_the_labels_of_all_its_slices(layout, request):
    dataset = ct_ich.CtIch(request.getfixturevalue(layout))
    scan_labels = dataset.scan_labels()
    assert dataset.patient_ids() == dataset.case_ids()
    assert scan_labels[0].tolist() == [0, 0, 0, 0, 1, 1]
    assert scan_labels[1].tolist() == [0, 0, 0, 0, 0, 0]
    for case_id, of_scan in zip(dataset.case_ids(), scan_labels, strict=True):
        assert of_scan.tolist() == dataset.load(case_id).labels.max(axis=0).tolist()
