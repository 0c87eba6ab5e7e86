"""Shards of slices: complete or absent, and what is in them."""

import dataclasses
import functools
import json
import sys
import zlib

import numpy as np
import pydicom
import pytest
import rsna_cases
import slice_dataset

from ich_tf import datasets
from ich_tf.preprocessing import classification
from ich_tf.preprocessing.classification import image_pipeline, records, shards

SIZE = 16
BEAM = "ich_tf.preprocessing.classification.beam"
run = functools.partial(shards.run, size=SIZE, scans_per_shard=3, workers=1)


def noise(**kwargs):
    return functools.partial(slice_dataset.SliceDataset, **kwargs)


@dataclasses.dataclass(frozen=True)
class Counting(slice_dataset.SliceDataset):
    """Remembers the scans that were loaded; raises at the fifth when `killed`."""

    loaded: list = dataclasses.field(default_factory=list)
    killed: bool = False

    def load(self, case_id):
        if self.killed and len(self.loaded) == 4:
            raise KeyboardInterrupt
        self.loaded.append(case_id)
        return super().load(case_id)


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
        assert scan.image_ids == dataset.image_ids(scan.case_id)
    positive = sum(scan.labels.sum(axis=0, dtype=int) for scan in scans)
    assert prepared[1]["positive"] == positive.tolist()


def written(folder, index):
    return [(folder / shard["file"]).read_bytes() for shard in index["shards"]]


def test_the_bytes_are_those_that_apache_beam_wrote(prepared):
    # CRC-32 of the shards that commit d6be778 wrote of this data set, with Beam.
    checksums = [4233649394, 977006408, 46308325]
    assert [zlib.crc32(content) for content in written(*prepared)] == checksums


@pytest.mark.parametrize(
    "how",
    (
        pytest.param({"workers": 2}, marks=pytest.mark.slow, id="processes"),
        pytest.param(
            {
                "options": (
                    "--direct_running_mode=in_memory",
                    "--direct_num_workers=1",
                )
            },
            id="beam",
        ),
    ),
)
def test_whoever_writes_the_shards_writes_the_same_bytes(prepared, tmp_path, how):
    if "options" in how:
        pytest.importorskip("apache_beam", reason="needs ich_tf[beam]")
    dataset = noise(broken=("scan3",), unlabelled=("scan0",))
    index = run(dataset, tmp_path, **how)
    assert index == prepared[1]
    assert written(tmp_path, index) == written(*prepared)


def test_flags_for_beam_without_beam_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, BEAM, None)
    monkeypatch.delattr(classification, "beam", raising=False)
    with pytest.raises(ValueError, match=r'pip install .*"\.\[beam\]"'):
        run(noise(), tmp_path, options=("--runner=SparkRunner",))


def test_a_second_start_makes_only_what_is_missing_or_cut_off(tmp_path):
    dataset = Counting()
    index = run(lambda: dataset, tmp_path)
    paths = sorted(tmp_path.glob("*.tfrecord"))
    before = [path.read_bytes() for path in paths]
    assert sorted(dataset.loaded) == [f"scan{number}" for number in range(7)]

    dataset.loaded.clear()
    paths[0].with_suffix(".json").unlink()
    paths[2].write_bytes(before[2][:-1])
    (tmp_path / ".partial-left").write_bytes(b"of a killed run")
    assert run(lambda: dataset, tmp_path) == index
    made_again = index["shards"][0]["case_ids"] + index["shards"][2]["case_ids"]
    assert sorted(dataset.loaded) == sorted(made_again)
    assert [path.read_bytes() for path in paths] == before
    assert not list(tmp_path.glob(".partial-*"))

    dataset.loaded.clear()
    assert run(lambda: dataset, tmp_path) == index
    assert dataset.loaded == []


def test_what_a_killed_run_finished_is_kept(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(functools.partial(Counting, killed=True), tmp_path)
    assert len(list(tmp_path.glob("*.tfrecord"))) == 1
    assert not (tmp_path / "index.json").exists()
    with pytest.raises(ValueError, match="index.json is missing"):
        records.Shards(tmp_path)

    dataset = Counting()
    index = run(lambda: dataset, tmp_path)
    assert (index["scans"], len(dataset.loaded)) == (7, 4)


def test_another_preparation_in_the_same_folder_is_refused(tmp_path):
    run(noise(cases=2), tmp_path)
    with pytest.raises(ValueError, match="images, size"):
        run(noise(cases=2), tmp_path, size=8)
    with pytest.raises(ValueError, match="order"):
        run(noise(cases=2), tmp_path, case_ids=["scan1"])


def test_shards_of_a_version_that_kept_its_functions_elsewhere_are_used(tmp_path):
    index = run(noise(), tmp_path)
    path = tmp_path / "plan.json"
    plan = json.loads(path.read_text())
    now = "classification.records"
    assert now in plan["images"]
    plan["images"] = plan["images"].replace(now, "records")
    path.write_text(json.dumps(plan))
    dataset = Counting()
    assert run(lambda: dataset, tmp_path) == index and dataset.loaded == []


def test_nothing_readable_is_an_error(tmp_path):
    broken = ("scan0", "scan1")
    with pytest.raises(ValueError, match="No scan of noise .* scan..dcm: truncated"):
        run(noise(cases=2, broken=broken), tmp_path)


def test_progress_ends_with_all_shards(tmp_path):
    counts = []
    run(noise(), tmp_path, progress=lambda *count: counts.append(count))
    assert counts[0] == (0, 3) and counts[-1] == (3, 3)


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
    open_dataset = functools.partial(datasets.open_dataset, "rsna", root, workers=1)
    index = run(open_dataset, tmp_path / "shards")
    assert (index["scans"], index["slices"], index["left_out"]) == (4, 18, [])
    (left,) = index["left_out_slices"]
    assert left["case_id"] == rsna_cases.series("a")
    assert f"{undecodable.name}: pixel data" in left["reason"]
    (problem,) = index["problems"]
    assert problem["file"] == str(cut) and "truncated" in problem["message"]
    assert index["fingerprint"]["identity"] == "phantom"
    scans = image_pipeline.scans(records.Shards(tmp_path / "shards"))
    (scan,) = (scan for scan in scans if scan.case_id == rsna_cases.series("a"))
    kept = [0, 2, 4]
    assert scan.image_ids == tuple(names[place] for place in kept)
    np.testing.assert_array_equal(scan.labels, rsna_cases.CASES["a"].labels[kept])
