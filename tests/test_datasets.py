import contracts
import numpy as np
import pytest
import slice_dataset

from ich_tf import datasets
from ich_tf.synthetic import layouts


@pytest.fixture(scope="module")
def heads():
    phantom = datasets.open_dataset("phantom", 2, 1, slices=3, size=64)
    return phantom, [phantom.load(case_id) for case_id in phantom.case_ids()]


@pytest.mark.parametrize("name", datasets.DATASETS)
def test_every_data_set_keeps_the_contract(name, heads, tmp_path):
    phantom, cases = heads
    if name == "phantom":
        contracts.check_dataset(phantom)
        return
    layouts.WRITERS[name](cases, tmp_path / name)
    dataset = datasets.open_dataset(name, tmp_path)
    contracts.check_dataset(dataset)
    assert dataset.fingerprint()["identity"] == "phantom"
    assert dataset.problems() == []


def test_an_unknown_data_set_lists_the_known_ones():
    with pytest.raises(ValueError, match="Unknown data set 'ct'. Known: ct-ich, phan"):
        datasets.open_dataset("ct")


@pytest.mark.parametrize("seconds", [0, 1000])
def test_cases_made_ahead_come_in_order(seconds):
    dataset, said = slice_dataset.SliceDataset(cases=11), []
    names = dataset.case_ids()
    loaded = layouts.load_ahead(dataset, names, said.append, "scan", seconds)
    for name, case in zip(names, loaded, strict=True):
        assert case.case_id == name
        np.testing.assert_array_equal(case.volume.hu, dataset.load(name).volume.hu)
    assert said == ([] if seconds else ["scan 10 of 11"])
