import dataclasses
import os

import numpy as np
import pytest
import rsna_cases

from ich_tf.data.rsna import headers as rsna_headers
from ich_tf.data.rsna import index as rsna_index
from ich_tf.data.rsna import metadata as rsna_metadata

ALL = sorted(image for name in "abcd" for image in rsna_cases.images(name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = rsna_cases.write(tmp_path_factory.mktemp("index") / "rsna")
    return root / "stage_2_train"


def _equal(first, other):
    for name in first.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(first, name), getattr(other, name), name)


@dataclasses.dataclass(frozen=True, eq=False)
class Watched(rsna_headers.Listing):
    """Notes which files are read; the run is interrupted after some."""

    read: list[str] = dataclasses.field(default_factory=list)
    most: int | None = None

    def path(self, image):
        if len(self.read) == self.most:
            raise KeyboardInterrupt
        self.read.append(image.decode())
        return super().path(image)


def watched(folder, most=None):
    listing = rsna_headers.list_images(folder)
    return Watched(listing.folder, listing.images, listing.file_bytes, most=most)


def test_slices_in_scans_in_order_of_first_appearance(folder, tmp_path):
    index = rsna_index.open_index(folder, file=tmp_path / "i.npz", workers=1)
    order = sorted("abcd", key=lambda name: min(rsna_cases.images(name)))
    assert order != sorted(order)
    assert [name.decode() for name in index.series] == [
        rsna_cases.series(name) for name in order
    ]
    assert [image.decode() for image in index.images] == [
        image for name in order for image in rsna_cases.images(name)
    ]
    patients = {"a": "p", "b": "q", "c": "r", "d": "p"}
    assert [patient.decode() for patient in index.patients] == [
        rsna_cases.patient(patients[name]) for name in order
    ]
    assert index.starts.tolist() == [0, 5, 10, 15, 20]
    np.testing.assert_allclose(np.diff(index.positions_mm[:5]), 5.0)
    assert index.file_bytes.min() > 512
    assert index.origins.tolist() == [b"ich_tf phantom"]
    assert index.problem_images.size == 0


def test_the_index_is_kept_for_the_same_files(folder, tmp_path):
    file = tmp_path / "i.npz"
    first = rsna_index.open_index(folder, file=file, workers=1)
    assert list(tmp_path.iterdir()) == [file]
    listing = watched(folder)
    _equal(rsna_index.open_index(listing, file=file), first)
    assert listing.read == []


def test_changed_files_or_a_damaged_index_are_indexed_again(tmp_path):
    folder = rsna_cases.write(tmp_path / "rsna") / "stage_2_train"
    file = folder.parent / rsna_index.FILE
    first = rsna_index.open_index(folder, workers=1)
    file.write_bytes(file.read_bytes()[:-50])
    _equal(rsna_index.open_index(folder, workers=1), first)
    gone = folder / f"{rsna_cases.images('a')[0]}.dcm"
    content = gone.read_bytes()
    gone.unlink()
    assert len(rsna_index.open_index(folder, workers=1).images) == 19
    gone.write_bytes(content + b"\0\0")
    assert len(rsna_index.open_index(folder, workers=1).images) == 20


def test_where_nothing_can_be_written_the_index_goes_to_the_cache(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setenv("ICH_TF_CACHE", str(tmp_path))
    rsna_index.open_index(folder, workers=1)
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("rsna-") and file.suffix == ".npz"


def test_an_interrupted_run_resumes_where_it_ended(folder, tmp_path):
    file = tmp_path / "i.npz"
    kept = {"file": file, "workers": 1, "chunk_files": 4}
    with pytest.raises(KeyboardInterrupt):
        rsna_index.open_index(watched(folder, most=9), **kept)
    assert not file.exists()
    listing = watched(folder)
    index = rsna_index.open_index(listing, **kept)
    assert listing.read == ALL[8:]
    whole = rsna_index.open_index(folder, file=tmp_path / "j.npz", workers=1)
    _equal(index, whole)


def test_processes_read_what_one_process_reads(folder, tmp_path):
    serial = rsna_index.open_index(folder, file=tmp_path / "i.npz", workers=1)
    listing = watched(folder)
    parallel = rsna_index.open_index(
        listing, file=tmp_path / "j.npz", workers=2, chunk_files=10
    )
    _equal(parallel, serial)
    assert listing.read == []


def _table(path, rows, header="ImageId,SeriesInstanceUID,ImagePositionSpan"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def _span_rows(names="dcab"):
    return [
        f"{image},{rsna_cases.series(name)},{5.0 * index}"
        for name in names
        for index, image in reversed(list(enumerate(rsna_cases.images(name))))
    ]


def test_a_metadata_table_gives_the_order_and_saves_headers(folder, tmp_path):
    table = _table(tmp_path / "train_metadata_noidx.csv", _span_rows())
    assert rsna_metadata.find(tmp_path) == table
    listing = watched(folder)
    index = rsna_index.open_index(
        listing, metadata=table, file=tmp_path / "i.npz", workers=1
    )
    assert sorted(listing.read) == sorted(
        rsna_cases.images(name)[-1] for name in "abcd"
    )
    assert [name.decode() for name in index.series] == [
        rsna_cases.series(name) for name in "dcab"
    ]
    assert [image.decode() for image in index.images] == [
        image for name in "dcab" for image in rsna_cases.images(name)
    ]
    assert index.patients[0] == index.patients[2] == rsna_cases.patient("p").encode()
    assert index.origins.tolist() == [b"ich_tf phantom"]
    table.write_text(table.read_text() + "ID_0,series,1\n")
    changed = rsna_index.open_index(
        folder, metadata=table, file=tmp_path / "i.npz", workers=1
    )
    assert changed.problem_images.tolist() == [b"ID_0"]


def test_files_and_metadata_that_do_not_fit_are_named(tmp_path):
    folder = rsna_cases.write(tmp_path / "rsna") / "stage_2_train"
    rows = [row for row in _span_rows() if rsna_cases.images("b")[2] not in row]
    first = folder / f"{rsna_cases.images('a')[4]}.dcm"
    first.write_bytes(b"none")
    table = _table(tmp_path / "m.csv", [*rows, *rows[:3], "ID_0,ID_1,3"])
    index = rsna_index.open_index(folder, metadata=table, workers=1)
    problems = dict(
        zip(index.problem_images.tolist(), index.problem_reasons.tolist(), strict=True)
    )
    assert problems == {
        rsna_cases.images("a")[4].encode(): b"not a DICOM file (no DICM prefix).",
        rsna_cases.images("b")[2].encode(): b"is not in m.csv.",
        b"ID_0": b"is in m.csv but has no file.",
    }
    assert np.diff(index.starts).tolist() == [5, 5, 4, 4]


@pytest.mark.parametrize(
    ("column", "place"),
    [
        ("ImagePositionPatient_2", "{z}"),
        ("ImagePositionPatient2", "{z}"),
        ("ImagePositionPatient", '"[-4.0, 1.5, {z}]"'),
        ("ImagePositionPatient", "\"['-4.0', '1e-3', '{z}']\""),
    ],
)
def test_common_names_of_columns(tmp_path, column, place):
    rows = [f"x,ID_{z}.dcm,{place.format(z=z)},S" for z in (7.5, -3)]
    header = f"PatientID,SOPInstanceUID,{column},SeriesInstanceUID"
    table = rsna_metadata.read(_table(tmp_path / "m.csv", rows, header))
    assert table.images.tolist() == [b"ID_7.5", b"ID_-3"]
    assert table.series.tolist() == [b"S", b"S"]
    assert table.positions.tolist() == [7.5, -3.0]


def test_tables_saved_on_other_systems(tmp_path):
    path = _table(tmp_path / "m.csv", ["a,S,1", "", "b,S,2", ""])
    assert rsna_metadata.read(path).images.tolist() == [b"a", b"b"]
    path.write_bytes(
        "ImageId,SeriesInstanceUID,ImagePositionSpan\né,S,1".encode("cp1252")
    )
    with pytest.raises(ValueError, match="m.csv: is not in UTF-8"):
        rsna_metadata.read(path)
    _table(path, ["a" * 200_000 + ",S,1"])
    with pytest.raises(ValueError, match="m.csv: line 2: field larger than"):
        rsna_metadata.read(path)


@pytest.mark.parametrize(
    ("header", "rows", "reason"),
    [
        ("ImageId,Position", [], "no column for the series; one of SeriesInstanceUID"),
        ("SOPInstanceUID,SeriesInstanceUID,z", [], "no column for the position; one"),
        (None, [], "m.csv: has no rows"),
        (None, ["", ""], "m.csv: has no rows"),
        (None, ["a,S,1", "b,,2"], "m.csv: line 3 lacks an image, a series"),
        (None, ["a,S,1", "b,S,nan"], "m.csv: line 3 lacks"),
        (None, ['a,S,"[1, 2]"'], "m.csv: line 2 lacks"),
        (None, ["a,S,1", "b,S,2", "a,S,3"], "two rows of a contradict each other"),
    ],
)
def test_a_faulty_metadata_table_is_an_error(tmp_path, header, rows, reason):
    header = header or "ImageId,SeriesInstanceUID,ImagePositionPatient"
    with pytest.raises(ValueError, match=reason):
        rsna_metadata.read(_table(tmp_path / "m.csv", rows, header))


def test_a_metadata_table_of_other_series_is_an_error(folder, tmp_path):
    rows = [row.replace(rsna_cases.series("c"), "ID_other") for row in _span_rows()]
    table = _table(tmp_path / "m.csv", rows)
    with pytest.raises(ValueError, match="m.csv: the series of ID_.* is not the one"):
        rsna_index.open_index(
            folder, metadata=table, file=tmp_path / "i.npz", workers=1
        )


def _index(images, series, patients, positions, orientations):
    """The index of slices with these headers."""
    columns = {
        "images": np.array(images),
        "series": np.array(series),
        "patients": np.array(patients),
        "origins": np.full(len(images), b""),
        "positions": np.array(positions, float),
        "orientations": np.array(orientations, float),
        "file_bytes": np.ones(len(images), int),
        "problem_images": np.array([], np.bytes_),
        "problem_reasons": np.array([], np.bytes_),
    }
    return rsna_index.HeaderIndex(**rsna_index.in_scans(columns))


def test_images_of_another_patient_are_left_out_of_a_series():
    index = _index(
        [b"a", b"b", b"c"],
        [b"S", b"S", b"S"],
        [b"p", b"q", b"p"],
        [[0, 0, 9], [0, 0, 1], [0, 0, 2]],
        np.full((3, 6), np.nan),
    )
    assert index.images.tolist() == [b"c", b"a"]
    assert index.starts.tolist() == [0, 2]
    assert index.problem_images.tolist() == [b"b"]


@pytest.mark.parametrize(
    ("orientation", "along"),
    [
        ([1, 0, 0, 0, 1, 0], [10, 0]),
        # A normal towards the feet is turned round.
        ([-1, 0, 0, 0, 1, 0], [10, 0]),
        # Tilted by 36.87 degrees: the normal is (0, -0.8, 0.6).
        ([1, 0, 0, 0, 0.6, 0.8], [6, -8]),
    ],
)
def test_slices_are_ordered_along_their_normal_towards_the_head(orientation, along):
    index = _index(
        [b"a", b"b"],
        [b"S", b"S"],
        [b"p", b"p"],
        [[0, 0, 10], [0, 10, 0]],
        [orientation, orientation],
    )
    assert index.images.tolist() == [b"b", b"a"]
    np.testing.assert_allclose(index.positions_mm, along[::-1])
