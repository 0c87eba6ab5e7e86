"""JSON files of our own are checked against their types when they are read back."""

import numpy as np
import pytest

from ich_tf import arrays, files
from ich_tf.prediction import calibration, saving
from ich_tf.preprocessing.classification import records, shard_index
from ich_tf.preprocessing.segmentation import slices
from ich_tf.synthetic import painted_scans

SHARD = {"file": "a.tfrecord", "bytes": 9, "case_ids": ["a"], "counts": [2]}
FACTS = {**SHARD, "positive": [0] * 6, "left_out": [], "left_out_slices": []}
INDEX = {
    **{"format": records.FORMAT, "size": 16, "images": "a", "order": 7, "data": "b"},
    **{"fingerprint": {}, "scans": 1, "slices": 2, "positive": [0] * 6},
    **{"left_out": [], "left_out_slices": [], "problems": [], "shards": [SHARD]},
}
STORED = {"shape": [2, 4, 4], "case_ids": ["a", "b"], "numbers": [0, 1]}
PAINTED = {"side": 4, "names": ["a"], "starts": [0, 2]}
READERS = {
    "shards": (records.INDEX, records.Shards),
    "slices": (slices.INDEX, slices.load),
    "painted": (painted_scans.INDEX, painted_scans.load),
    "prediction": (saving.RESULT, saving.read),
    "calibration": (
        "calibration.json",
        lambda f: calibration.load(f / "calibration.json"),
    ),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", ["", "null", "7", "[1, 2]", "{}", '{"shape": "a"}'])
def test_a_damaged_file_is_refused_by_name(tmp_path, reader, text):
    name, read = READERS[reader]
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"shards": [{**SHARD, "file": "../precious"}]},
        {"shards": [{**SHARD, "counts": [2, 3]}]},
        {"shards": [{**SHARD, "counts": [-2]}]},
        {"left_out": [{"case_id": 1, "reason": "b"}]},
        {"size": "16"},
    ],
)
def test_an_index_of_shards_that_contradicts_itself_is_refused(tmp_path, change):
    path = tmp_path / records.INDEX
    files.write_json(path, INDEX)
    assert records.Shards(tmp_path).size == 16
    files.write_json(path, {**INDEX, **change})
    with pytest.raises(ValueError, match=rf"{records.INDEX}.*prepare"):
        records.Shards(tmp_path)


def test_facts_of_a_shard_need_a_number_for_each_class():
    assert shard_index.facts(FACTS, "a.json") == FACTS
    with pytest.raises(ValueError, match=r"a\.json.*5 classes"):
        shard_index.facts({**FACTS, "positive": [0] * 5}, "a.json")


@pytest.mark.parametrize(
    "change", [{"shape": [3, 4, 4]}, {"shape": [2, 4]}, {"numbers": [0, -1]}]
)
def test_an_index_of_slices_that_contradicts_itself_is_refused(tmp_path, change):
    np.zeros((2, 4, 4), np.float32).tofile(tmp_path / "hu.f32")
    np.zeros((2, 4, 4), np.uint8).tofile(tmp_path / "mask.u8")
    files.write_json(tmp_path / slices.INDEX, STORED)
    assert slices.load(tmp_path).numbers == (0, 1)
    files.write_json(tmp_path / slices.INDEX, {**STORED, **change})
    with pytest.raises(ValueError, match=slices.INDEX):
        slices.load(tmp_path)


@pytest.mark.parametrize(
    "change", [{"starts": [1, 2]}, {"starts": [0, 2, 1]}, {"side": 0}, {"names": []}]
)
def test_an_index_of_painted_scans_that_contradicts_itself_is_refused(tmp_path, change):
    for name in ("images.u8", "subtypes.u8"):
        np.zeros((2, 4, 4), np.uint8).tofile(tmp_path / name)
    files.write_json(tmp_path / painted_scans.INDEX, PAINTED)
    assert painted_scans.load(tmp_path).bounds(1) == (0, 1)
    files.write_json(tmp_path / painted_scans.INDEX, {**PAINTED, **change})
    with pytest.raises(ValueError, match=painted_scans.INDEX):
        painted_scans.load(tmp_path)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_pixels_of_another_length_are_refused_by_name(tmp_path, length):
    path = tmp_path / "mask.u8"
    path.write_bytes(bytes(length))
    with pytest.raises(ValueError, match=r"mask\.u8 is damaged"):
        arrays.open_raw(path, np.uint8, (2, 4, 4))


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"garbage" * 9])
def test_damaged_arrays_are_refused_by_name(tmp_path, content):
    for name, read in (("a.npz", arrays.read), ("a.npy", arrays.open_npy)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} is damaged"):
            read(tmp_path / name)
