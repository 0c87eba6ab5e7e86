"""Shards of slices: complete or absent, and what is in them."""

import functools
import json

import numpy as np
import pydicom
import pytest
import rsna_cases
import slice_dataset

pytest.importorskip("apache_beam", reason="pip install 'ich_tf[prepare]'")

from ich_tf import data  # noqa: E402
from ich_tf.preprocessing.classification import (
    image_pipeline,  # noqa: E402
    prepare,  # noqa: E402
    records,  # noqa: E402
)

SIZE = 16
run = functools.partial(
    prepare.run, size=SIZE, scans_per_shard=3, options=prepare.IN_PROCESS
)


def noise(**kwargs):
    return functools.partial(slice_dataset.SliceDataset, **kwargs)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    return folder, run(noise(broken=("scan3",), unlabelled=("scan0",)), folder)


def test_the_index_says_what_is_there_and_what_was_left_out(prepared):
    folder, index = prepared
    assert index == json.loads((folder / "index.json").read_text())
    assert index["format"] == 1 and index["size"] == 16
    assert index["data"] == "noise"
    assert index["fingerprint"] == {"identity": "noise", "cases": 7}
    assert (index["scans"], index["slices"]) == (5, 21)
    left_out = {left["case_id"]: left["reason"] for left in index["left_out"]}
    assert left_out == {
        "scan3": "scan3.dcm: truncated or damaged DICOM.",
        "scan0": "Case scan0 has no labels: nothing to train on.",
    }
    kept = {
        case_id: count
        for shard in index["shards"]
        for case_id, count in zip(shard["case_ids"], shard["counts"], strict=True)
    }
    assert kept == {"scan1": 4, "scan2": 5, "scan4": 3, "scan5": 4, "scan6": 5}
    assert [len(shard["case_ids"]) for shard in index["shards"]] == [2, 2, 1]
    assert sorted(path.name for path in folder.glob("*.tfrecord")) == [
        "shard-00000-of-00003.tfrecord",
        "shard-00001-of-00003.tfrecord",
        "shard-00002-of-00003.tfrecord",
    ]


def test_shards_hold_the_exact_images_within_half_a_grey_value(prepared):
    dataset = slice_dataset.SliceDataset()
    scans = list(image_pipeline.scans(records.Shards(prepared[0])))
    assert len(scans) == 5
    for scan in scans:
        case = dataset.load(scan.case_id)
        exact = records.volume_images(case.volume, SIZE)
        assert scan.images.dtype == np.uint8 and scan.images.shape == exact.shape
        assert np.abs(scan.images / 255 - exact).max() <= 1 / 510 + 1e-6
        np.testing.assert_array_equal(scan.labels, case.labels)
        assert scan.image_ids == dataset.slices(scan.case_id).image_ids
    positive = sum(scan.labels.sum(axis=0, dtype=int) for scan in scans)
    assert prepared[1]["positive"] == positive.tolist()


@pytest.fixture
def counted(monkeypatch):
    """The scans that were loaded since the test began."""
    loaded, load = [], slice_dataset.SliceDataset.load

    def counting(dataset, case_id):
        loaded.append(case_id)
        return load(dataset, case_id)

    monkeypatch.setattr(slice_dataset.SliceDataset, "load", counting)
    return loaded


def test_a_second_start_makes_only_what_is_missing_or_cut_off(tmp_path, counted):
    index = run(noise(), tmp_path)
    paths = sorted(tmp_path.glob("*.tfrecord"))
    before = [path.read_bytes() for path in paths]
    assert sorted(counted) == [f"scan{number}" for number in range(7)]

    counted.clear()
    paths[0].with_suffix(".json").unlink()
    paths[2].write_bytes(before[2][:-1])
    (tmp_path / f"{prepare._PARTIAL}left").write_bytes(b"of a killed run")
    assert run(noise(), tmp_path) == index
    made_again = index["shards"][0]["case_ids"] + index["shards"][2]["case_ids"]
    assert sorted(counted) == sorted(made_again)
    assert [path.read_bytes() for path in paths] == before
    assert not list(tmp_path.glob(f"{prepare._PARTIAL}*"))

    counted.clear()
    assert run(noise(), tmp_path) == index
    assert counted == []


def test_what_a_killed_run_finished_is_kept(tmp_path, counted, monkeypatch):
    counting = slice_dataset.SliceDataset.load

    def killed(dataset, case_id):
        if len(counted) == 4:
            raise KeyboardInterrupt
        return counting(dataset, case_id)

    monkeypatch.setattr(slice_dataset.SliceDataset, "load", killed)
    with pytest.raises(BaseException, match="KeyboardInterrupt|^$"):
        run(noise(), tmp_path)
    assert len(list(tmp_path.glob("*.tfrecord"))) == 1
    assert not (tmp_path / "index.json").exists()
    with pytest.raises(ValueError, match="index.json is missing: prepare"):
        records.Shards(tmp_path)

    monkeypatch.setattr(slice_dataset.SliceDataset, "load", counting)
    counted.clear()
    index = run(noise(), tmp_path)
    assert (index["scans"], len(counted)) == (7, 4)


def test_another_preparation_in_the_same_folder_is_refused(tmp_path):
    run(noise(cases=2), tmp_path)
    with pytest.raises(ValueError, match="differs in images, size. Name another"):
        run(noise(cases=2), tmp_path, size=8)
    with pytest.raises(ValueError, match="differs in order"):
        run(noise(cases=2), tmp_path, case_ids=["scan1"])


def test_nothing_readable_is_an_error(tmp_path):
    broken = ("scan0", "scan1")
    with pytest.raises(ValueError, match="No scan of noise .* scan..dcm: truncated"):
        run(noise(cases=2, broken=broken), tmp_path)


def test_progress_ends_with_all_shards(tmp_path):
    told = []
    run(noise(), tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 3) and told[-1] == (3, 3)


def test_rsna_with_a_slice_that_cannot_be_decoded_and_one_cut_off(tmp_path):
    root = rsna_cases.write(tmp_path / "rsna")
    names = rsna_cases.images("a")
    undecodable, cut = (
        root / "stage_2_train" / f"{name}.dcm" for name in (names[1], names[3])
    )
    header = pydicom.dcmread(undecodable)
    header.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    header.PixelData = pydicom.encaps.encapsulate([b"\x02" + bytes(63)])
    header.save_as(undecodable)
    cut.write_bytes(cut.read_bytes()[:-100])
    open_dataset = functools.partial(data.open_dataset, "rsna", root, workers=1)
    index = run(open_dataset, tmp_path / "shards")
    assert (index["scans"], index["slices"], index["left_out"]) == (4, 18, [])
    (left,) = index["left_out_slices"]
    assert left["case_id"] == rsna_cases.series("a")
    assert f"left out {undecodable.name}: pixel data in the" in left["reason"]
    (problem,) = index["problems"]
    assert problem["file"] == str(cut) and "truncated" in problem["message"]
    assert index["fingerprint"]["identity"] == "phantom"
    scans = image_pipeline.scans(records.Shards(tmp_path / "shards"))
    (scan,) = (scan for scan in scans if scan.case_id == rsna_cases.series("a"))
    kept = [0, 2, 4]
    assert scan.image_ids == tuple(names[place] for place in kept)
    np.testing.assert_array_equal(scan.labels, rsna_cases.CASES["a"].labels[kept])


@pytest.mark.slow
def test_worker_processes_write_the_same_bytes(prepared, tmp_path):
    again = run(
        noise(broken=("scan3",), unlabelled=("scan0",)),
        tmp_path,
        options=("--direct_num_workers=2",),
    )
    assert again == prepared[1]
    for shard in again["shards"]:
        written = (tmp_path / shard["file"]).read_bytes()
        assert written == (prepared[0] / shard["file"]).read_bytes()
