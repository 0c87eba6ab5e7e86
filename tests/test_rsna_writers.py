import csv
import dataclasses

import numpy as np
import pydicom
import pytest

from ich_tf.io import dicom
from ich_tf.synthetic import rsna_writer
from ich_tf.volume import Case, Volume


def _case(name, patient=None, seed=0, slices=5, lowest=-1000):
    rng = np.random.default_rng(seed)
    hu = rng.integers(lowest, 3000, (slices, 16, 16)).astype(np.float32)
    hu[:, 0, 0] = lowest
    slice_labels = np.zeros((slices, 6), np.uint8)
    slice_labels[1, [0, 5]] = 1
    step = [0.0, 1.5, 5.0]
    affine = np.array(
        [[step[0], 0, 0.5, -4], [step[1], 0.5, 0, -4], [step[2], 0, 0, 9], [0, 0, 0, 1]]
    )
    volume = Volume(
        hu,
        (5.0, 0.5, 0.5),
        9 + 5.0 * np.arange(slices),
        affine,
        origin="ich_tf phantom",
    )
    return Case(name, patient or name, volume, None, slice_labels)


CASES = [
    _case("a", seed=1, lowest=-1024),
    _case("b", seed=2, lowest=-1024),
    _case("c", seed=3),
    _case("d", patient="a", seed=4),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    out = tmp_path_factory.mktemp("rsna") / "rsna"
    rsna_writer.write_layout(iter(CASES), out)
    return out


def _series(root, number):
    uids = {series.uid: series for series in dicom.find_series(root)}
    wanted = rsna_writer.identifier(
        10, "ich_tf phantom", CASES[number].case_id, "series"
    )
    return uids[wanted]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_every_series_reads_back_to_the_same_hounsfield_units(root, number):
    volume = dicom.read(root, series_uid=_series(root, number).uid)
    written = CASES[number].volume
    np.testing.assert_array_equal(volume.hu, written.hu)
    np.testing.assert_allclose(volume.affine, written.affine, atol=1e-5)
    np.testing.assert_allclose(volume.spacing_mm, written.spacing_mm, rtol=1e-6)
    assert volume.origin == "ich_tf phantom"


def test_the_stored_values_have_the_quirks_of_the_real_files(root):
    headers = []
    for number in range(3):
        path = _series(root, number).files[0]
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array
        headers.append(
            (
                dataset.BitsStored,
                dataset.PixelRepresentation,
                int(dataset.RescaleIntercept),
                int(stored.min()) < 0,
                int(stored.max()) > 3500,
            )
        )
    assert headers == [
        (16, 1, -1024, True, True),
        (12, 0, -1024, False, True),
        (12, 0, 0, False, True),
    ]
    files = _series(root, 2).files
    assert dicom.read(files).notes[0].kind == "values"


def test_air_below_the_range_becomes_padding_and_back():
    hu = np.array([[-1024.0, -1023.0, 40.0]])
    stored, header = rsna_writer._stored(hu, "signed")
    assert stored.tolist() == [[-2000, 1, 1064]]
    assert header["PixelPaddingValue"] == -2000


def test_headers_are_anonymised_like_the_real_ones(root):
    dataset = pydicom.dcmread(_series(root, 0).files[0], stop_before_pixels=True)
    assert "SOPClassUID" not in dataset and "SliceThickness" not in dataset
    assert "PatientName" not in dataset and "ImageType" not in dataset
    assert dataset.file_meta.MediaStorageSOPClassUID == pydicom.uid.CTImageStorage
    assert dataset.PatientID.startswith("ID_") and len(dataset.PatientID) == 11


def test_series_of_one_patient_share_the_patient(root):
    patients = [
        pydicom.dcmread(_series(root, number).files[0]).PatientID for number in range(4)
    ]
    assert patients[0] == patients[3]
    assert len(set(patients)) == 3


def test_the_label_table(root):
    with open(root / "stage_2_train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted(path.stem for path in (root / "stage_2_train").iterdir())
    assert len(names) == 20
    assert all(len(name) == 15 and name.startswith("ID_") for name in names)
    assert len(rows) == 6 * (20 + 4)
    assert [row["ID"].rsplit("_", 1)[1] for row in rows[:6]] == [
        "epidural",
        "intraparenchymal",
        "intraventricular",
        "subarachnoid",
        "subdural",
        "any",
    ]
    once = {row["ID"]: row["Label"] for row in rows}
    assert len(once) == 120
    assert sorted({name.rsplit("_", 1)[0] for name in once}) == names
    positive = sorted(
        name.split("_")[2] for name, label in once.items() if label == "1"
    )
    assert positive == ["any"] * 4 + ["epidural"] * 4


def test_the_same_cases_give_the_same_bytes(root, tmp_path):
    rsna_writer.write_layout(CASES, tmp_path / "again")
    for path in sorted(root.rglob("*.*")):
        again = tmp_path / "again" / path.relative_to(root)
        assert again.read_bytes() == path.read_bytes()


def test_what_cannot_be_written_is_an_error(tmp_path):
    bare = dataclasses.replace(CASES[0], labels=None)
    with pytest.raises(ValueError, match="Case a: needs labels and spacing"):
        rsna_writer.write_layout([bare], tmp_path / "one")
    with pytest.raises(ValueError, match="Case a: was written already"):
        rsna_writer.write_layout([CASES[0], CASES[0]], tmp_path / "two")
    assert not (tmp_path / "one").exists()
    assert not (tmp_path / "two").exists()
