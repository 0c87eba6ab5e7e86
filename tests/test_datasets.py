import contracts
import pytest

from ich_tf import data
from ich_tf.data import layouts


@pytest.fixture(scope="module")
def heads():
    phantom = data.open_dataset("phantom", 2, 1, slices=3, size=64)
    return phantom, [phantom.load(case_id) for case_id in phantom.case_ids()]


@pytest.mark.parametrize("name", data.DATASETS)
def test_every_data_set_keeps_the_contract(name, heads, tmp_path):
    phantom, cases = heads
    if name == "phantom":
        contracts.check_dataset(phantom)
        return
    layouts.WRITERS[name](cases, tmp_path / name)
    dataset = data.open_dataset(name, tmp_path)
    contracts.check_dataset(dataset)
    assert dataset.fingerprint()["identity"] == "phantom"
    assert dataset.problems() == []


def test_an_unknown_data_set_lists_the_known_ones():
    with pytest.raises(ValueError, match="Unknown data set 'ct'. Known: ct-ich, phan"):
        data.open_dataset("ct")
