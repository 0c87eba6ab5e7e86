import pickle
import shutil

import numpy as np
import pydicom
import pytest
import rsna_cases

from ich_tf import datasets
from ich_tf.data import checks
from ich_tf.data.rsna import dataset as rsna
from ich_tf.data.rsna import release
from ich_tf.io import dicom

LABELS = "stage_2_train.csv"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = rsna_cases.write(tmp_path_factory.mktemp("rsna") / "data" / "rsna")
    return datasets.open_dataset("rsna", root.parent, workers=1)


@pytest.fixture
def root(tmp_path):
    return rsna_cases.write(tmp_path / "rsna")


def _path(root, name, number):
    return root / "stage_2_train" / f"{rsna_cases.images(name)[number]}.dcm"


def _rewrite(path, **changes):
    with pydicom.config.disable_value_validation():
        header = pydicom.dcmread(path)
        for keyword, value in changes.items():
            if value is None:
                del header[keyword]
            else:
                setattr(header, keyword, value)
        header.save_as(path)


def _kept(root):
    dataset = rsna.Rsna(root, workers=1)
    return {
        name: [
            number
            for number, image in enumerate(rsna_cases.images(name))
            if image in dataset.slices(rsna_cases.series(name)).image_ids
        ]
        for name in "abcd"
        if rsna_cases.series(name) in dataset.case_ids()
    }


@pytest.mark.parametrize("name", "abcd")
def test_a_scan_reads_back_as_it_was_written(dataset, name):
    written = rsna_cases.CASES[name]
    case = dataset.load(rsna_cases.series(name))
    np.testing.assert_array_equal(case.volume.hu, written.volume.hu)
    np.testing.assert_array_equal(case.labels, written.labels)
    np.testing.assert_allclose(case.volume.affine, written.volume.affine, atol=1e-5)
    assert case.mask is None
    assert case.volume.origin == "ich_tf phantom"
    scan = dataset.slices(rsna_cases.series(name))
    assert list(scan.image_ids) == rsna_cases.images(name)
    assert [path.stem for path in scan.files] == rsna_cases.images(name)
    np.testing.assert_array_equal(scan.labels, written.labels)
    assert scan.patient_id == case.patient_id


def test_patients_and_labels_of_all_scans(dataset):
    place = {name: number for number, name in enumerate(dataset.case_ids())}
    order = [place[rsna_cases.series(name)] for name in "abcd"]
    patients = [dataset.patient_ids()[number] for number in order]
    assert patients == [rsna_cases.patient(patient) for patient in "pqrp"]
    assert dataset.scan_labels()[order].tolist() == [[1, 1, 1, 0, 0, 1]] * 4
    assert dataset.problems() == []
    assert dataset.left_out() == {}


def test_it_travels_to_other_processes(dataset):
    again = pickle.loads(pickle.dumps(dataset))
    assert again.fingerprint() == dataset.fingerprint()


def test_bad_files_are_listed_and_in_no_scan(root):
    _path(root, "a", 0).write_bytes(b"no DICOM at all" * 20)
    whole = _path(root, "b", 1).read_bytes()
    _path(root, "b", 1).write_bytes(whole[:-100])
    _rewrite(_path(root, "b", 2), PixelData=None)
    _path(root, "c", 3).write_bytes(_path(root, "c", 2).read_bytes())
    _rewrite(_path(root, "d", 4), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    _path(root, "d", 0).write_bytes(_path(root, "d", 0).read_bytes()[:300])
    _rewrite(_path(root, "a", 4), ImagePositionPatient=None)
    _rewrite(_path(root, "c", 0), RescaleIntercept=None)
    dataset = rsna.Rsna(root, workers=1)
    assert _kept(root) == {
        "a": [1, 2, 3],
        "b": [0, 3, 4],
        "c": [1, 2, 4],
        "d": [1, 2, 3],
    }
    reasons = {problem.file: problem.message for problem in dataset.problems()}
    assert {problem.kind for problem in dataset.problems()} == {"unreadable"}
    other = rsna_cases.images("c")[2]
    for name, number, reason in (
        ("a", 0, "not a DICOM file (no DICM prefix)."),
        ("b", 1, "truncated, 412 bytes of pixel data instead of 512."),
        ("b", 2, "no pixel data."),
        ("c", 3, f"holds the image {other}."),
        ("d", 4, "localizer, not a CT slice."),
        ("a", 4, "not one slice with an Image Position."),
        ("c", 0, "no Rescale Slope or Intercept, so there are no Hounsfield units."),
    ):
        assert reasons.pop(str(_path(root, name, number))) == reason
    ((path, reason),) = reasons.items()
    assert path == str(_path(root, "d", 0)) and "truncated" in reason
    assert dataset.left_out() == {"unreadable": 8}


def test_bad_labels_are_listed_and_their_images_in_no_scan(root):
    images = {name: rsna_cases.images(name) for name in "abcd"}
    lines = (root / LABELS).read_text().splitlines()
    drop = [f"{images['a'][0]}_", f"{images['b'][1]}_any"]
    lines = [line for line in lines if not line.startswith(tuple(drop))]
    wrong = f"{images['c'][0]}_any,1"
    assert wrong in lines
    lines = [line.replace(wrong, wrong[:-1] + "0") for line in lines]
    (root / LABELS).write_text("\n".join(lines) + "\n")
    _path(root, "d", 2).unlink()
    dataset = rsna.Rsna(root, workers=1)
    assert _kept(root) == {
        "a": [1, 2, 3, 4],
        "b": [0, 2, 3, 4],
        "c": [1, 2, 3, 4],
        "d": [0, 1, 3, 4],
    }
    assert {(p.kind, p.file, p.message) for p in dataset.problems()} == {
        ("labels", str(_path(root, name, number)), message)
        for name, number, message in (
            ("a", 0, "no labels in stage_2_train.csv"),
            ("b", 1, "not all six classes have a label"),
            ("c", 0, "the label `any` contradicts the subtypes"),
            ("d", 2, "in stage_2_train.csv, but there is no such file"),
        )
    }
    assert sum(dataset.left_out().values()) == 4
    written = rsna_cases.CASES["b"]
    case = dataset.load(rsna_cases.series("b"))
    np.testing.assert_array_equal(case.volume.hu, written.volume.hu[[0, 2, 3, 4]])
    np.testing.assert_array_equal(case.labels, written.labels[[0, 2, 3, 4]])


def test_very_many_problems_are_summed_up(root):
    for number in range(5):
        _path(root, "a", number).unlink()
    dataset = rsna.Rsna(root, workers=1)
    assert [problem.message for problem in dataset.problems(most=2)] == [
        "in stage_2_train.csv, but there is no such file",
        "in stage_2_train.csv, but there is no such file",
        "3 more images: in stage_2_train.csv, but there is no such file",
    ]
    assert rsna_cases.series("a") not in dataset.case_ids()


def test_pixels_that_only_decoding_shows_as_bad(root):
    path = _path(root, "a", 1)
    header = pydicom.dcmread(path)
    header.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    header.PixelData = pydicom.encaps.encapsulate([b"\x02" + bytes(63)])
    header.save_as(path)
    dataset = rsna.Rsna(root, workers=1)
    assert dataset.problems() == []
    case = dataset.load(rsna_cases.series("a"))
    written = rsna_cases.CASES["a"]
    np.testing.assert_array_equal(case.volume.hu, written.volume.hu[[0, 2, 3, 4]])
    np.testing.assert_array_equal(case.labels, written.labels[[0, 2, 3, 4]])
    (note,) = [n for n in case.volume.notes if n.files]
    assert note.files == (path.name,)
    (problem,) = [p for p in checks.check_case(case) if p.message == note.text]
    assert problem.kind == "slices"


def test_a_scan_without_any_readable_slice_is_an_error(root):
    dataset = rsna.Rsna(root, workers=1)
    for number in range(5):
        _path(root, "a", number).write_bytes(b"")
    with pytest.raises(ValueError, match="none of 5 slices can be read: .*dcm: "):
        dataset.load(rsna_cases.series("a"))


def test_slices_that_form_no_stack_are_read_without_spacing(root):
    position = pydicom.dcmread(_path(root, "a", 1)).ImagePositionPatient
    _rewrite(_path(root, "a", 2), ImagePositionPatient=position)
    dataset = rsna.Rsna(root, workers=1)
    case = dataset.load(rsna_cases.series("a"))
    written = rsna_cases.CASES["a"]
    order = [
        rsna_cases.images("a").index(image)
        for image in dataset.slices(case.case_id).image_ids
    ]
    assert sorted(order[1:3]) == [1, 2] and order[0] == 0
    np.testing.assert_array_equal(case.volume.hu, written.volume.hu[order])
    np.testing.assert_array_equal(case.labels, written.labels[order])
    assert case.volume.spacing_mm is None
    assert case.volume.notes[-1].kind == "geometry"
    assert str(root) not in case.volume.notes[-1].text


def test_a_slice_of_another_size_is_left_out(root):
    _rewrite(_path(root, "b", 4), Rows=8, PixelData=bytes(256))
    case = rsna.Rsna(root, workers=1).load(rsna_cases.series("b"))
    assert case.volume.hu.shape == (4, 16, 16)
    note = case.volume.notes[0]
    assert (note.kind, note.files) == ("missing slices", (_path(root, "b", 4).name,))


def test_the_size_of_most_slices_decides_not_that_of_the_first(root):
    for number in (0, 1):
        _rewrite(_path(root, "b", number), Rows=8, PixelData=bytes(256))
    case = rsna.Rsna(root, workers=1).load(rsna_cases.series("b"))
    written = rsna_cases.CASES["b"]
    np.testing.assert_array_equal(case.volume.hu, written.volume.hu[2:])
    np.testing.assert_array_equal(case.labels, written.labels[2:])
    for number, note in zip((0, 1), case.volume.notes, strict=False):
        name = _path(root, "b", number).name
        assert (note.kind, note.files) == ("missing slices", (name,))


def test_of_two_sizes_as_frequent_the_first_seen_decides(root):
    paths = [_path(root, "b", number) for number in range(4)]
    for path in paths[2:]:
        _rewrite(path, Rows=8, PixelData=bytes(256))
    assert rsna.read_scan(paths)[0].hu.shape == (2, 16, 16)
    volume, kept = rsna.read_scan([paths[2], paths[0], paths[3], paths[1]])
    assert volume.hu.shape == (2, 8, 16)
    assert kept == [0, 2]


def test_slices_of_all_sizes_count_towards_the_limit(root):
    paths = [_path(root, "b", number) for number in range(5)]
    _rewrite(paths[0], Rows=8, PixelData=bytes(256))
    all_voxels = 4 * 256 + 128
    assert rsna.read_scan(paths, all_voxels)[0].hu.shape == (4, 16, 16)
    with pytest.raises(ValueError, match="5 slices of one scan are more than the"):
        rsna.read_scan(paths, all_voxels - 1)


def test_a_repeated_slice_is_dropped_and_labels_stay_with_their_slices(root):
    earlier, other = _path(root, "d", 2), _path(root, "d", 3)
    other.write_bytes(earlier.read_bytes())
    _rewrite(other, SOPInstanceUID=other.stem)
    case = rsna.Rsna(root, workers=1).load(rsna_cases.series("d"))
    written = rsna_cases.CASES["d"]
    np.testing.assert_array_equal(case.volume.hu, written.volume.hu[[0, 1, 2, 4]])
    first = min(2, 3, key=lambda number: rsna_cases.images("d")[number])
    np.testing.assert_array_equal(case.labels, written.labels[[0, 1, first, 4]])


def test_without_a_label_table_there_are_no_labels(root):
    (root / LABELS).unlink()
    dataset = rsna.Rsna(root, workers=1)
    assert [problem.message for problem in dataset.problems()] == [
        "there is no such table"
    ]
    case = dataset.load(rsna_cases.series("a"))
    assert case.labels is None and dataset.scan_labels() is None
    assert dataset.fingerprint()["slices"] == 20


def test_the_fingerprint_follows_the_content(root, dataset):
    facts = dataset.fingerprint()
    assert facts == rsna.Rsna(root, workers=1).fingerprint()
    assert facts["identity"] == "phantom"
    assert (facts["layout"], facts["slices"]) == ("RSNA 2019", 20)
    text = (root / LABELS).read_text()
    image = rsna_cases.images("a")[4]
    for name in ("epidural", "any"):
        text = text.replace(f"{image}_{name},0", f"{image}_{name},1")
    (root / LABELS).write_text(text)
    changed = rsna.Rsna(root, workers=1).fingerprint()
    assert [
        case_id
        for case_id in facts["cases"]
        if facts["cases"][case_id] != changed["cases"][case_id]
    ] == [rsna_cases.series("a")]


def _write_metadata(root, dataset):
    """A metadata table that lists every image the data set has, files or not."""
    index = dataset._index
    lines = ["ImageId,SeriesInstanceUID,ImagePositionSpan"]
    for number, series in enumerate(index.series):
        for row in range(index.starts[number], index.starts[number + 1]):
            values = (index.images[row], series)
            lines.append(
                ",".join([v.decode() for v in values] + [str(index.positions_mm[row])])
            )
    (root / "train_metadata_noidx.csv").write_text("\n".join(lines) + "\n")


def test_only_the_published_number_of_images_and_scans_is_rsna_2019(root):
    for path in (root / "stage_2_train").iterdir():
        _rewrite(path, ImageComments="head of a patient")
    assert rsna.Rsna(root, workers=1).fingerprint()["identity"] == "unknown"
    published = release.Release("RSNA 2019 stage 2", images=20, scans=4)

    def opened():
        return rsna.Rsna(root, workers=1, published=published)

    full = opened()
    assert full.fingerprint()["identity"] == "RSNA 2019 stage 2"
    path = _path(root, "a", 0)
    path.write_bytes(path.read_bytes()[:-9])
    damaged = opened()
    assert damaged.fingerprint()["identity"] == "RSNA 2019 stage 2"
    assert damaged.fingerprint() != full.fingerprint()
    path.unlink()
    assert opened().fingerprint()["identity"] == "unknown"
    _write_metadata(root, full)
    with_table = opened()
    assert len(with_table.case_ids()) == 4
    assert with_table.fingerprint()["identity"] == "unknown"


def test_what_is_no_rsna_2019_is_an_error(dataset, tmp_path):
    with pytest.raises(ValueError, match="does not hold RSNA 2019: there is no folder"):
        rsna.Rsna(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        rsna.Rsna(tmp_path / "none")
    for name in ("one", "two"):
        (tmp_path / name / "stage_2_train").mkdir(parents=True)
    with pytest.raises(ValueError, match="several data sets"):
        rsna.Rsna(tmp_path)
    empty = rsna.Rsna(tmp_path / "one")
    assert empty.case_ids() == () and empty.fingerprint()["cases"] == {}


@pytest.mark.real_data
def test_a_real_series_in_this_layout(shared, tmp_path):
    folder = shared / "data" / "head-ct-dicom" / "ge-series"
    with pytest.raises(ValueError, match="does not hold RSNA 2019"):
        rsna.Rsna(folder, index_file=tmp_path / "i.npz")
    images = tmp_path / "stage_2_train"
    images.mkdir()
    for path in folder.glob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        (images / f"{header.SOPInstanceUID}.dcm").symlink_to(path)
    dataset = rsna.Rsna(tmp_path, workers=1)
    (case_id,) = dataset.case_ids()
    case, direct = dataset.load(case_id), dicom.read(folder)
    np.testing.assert_array_equal(case.volume.hu, direct.hu)
    np.testing.assert_array_equal(case.volume.affine, direct.affine)
    assert case.labels is None
    assert dataset.fingerprint()["identity"] == "unknown"
    assert [problem.kind for problem in dataset.problems()] == ["labels"]


def test_the_test_part_has_scans_and_no_labels(tmp_path):
    """Scans a and c are the test part, next to the training part."""
    root = rsna_cases.write(tmp_path)
    train = rsna.Rsna(root)
    (root / "stage_2_test").mkdir()
    for name in "ac":
        for path in train.slices(rsna_cases.series(name)).files:
            shutil.copy(path, root / "stage_2_test" / path.name)
    test = rsna.Rsna(root, part="test")
    assert sorted(test.case_ids()) == sorted(map(rsna_cases.series, "ac"))
    assert test.scan_labels() is None and test.problems() == []
    case = test.load(rsna_cases.series("c"))
    assert case.labels is None
    np.testing.assert_array_equal(
        case.volume.hu, train.load(rsna_cases.series("c")).volume.hu
    )
    # Each part has an index of its own.
    assert len(rsna.Rsna(root).case_ids()) == 4
    with pytest.raises(ValueError, match="'train' or 'test'"):
        rsna.Rsna(root, part="validation")
