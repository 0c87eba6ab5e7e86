"""Names of subtypes are decided with the marked voxels around."""

import numpy as np
import pytest

from ich_tf.prediction import naming

FIRST, SECOND = 1, 2


def answers(shape=(3, 64, 64)):
    """Nothing marked, and everything background."""
    subtypes = np.zeros((*shape, 6), np.float32)
    subtypes[..., 0] = 1
    return np.zeros(shape, bool), subtypes


def mark(marked, subtypes, place, shares):
    marked[place] = True
    subtypes[place] = [1 - sum(shares), *shares, *[0] * (5 - len(shares))]


def test_a_voxel_that_differs_from_its_collection_takes_its_name():
    marked, subtypes = answers()
    mark(marked, subtypes, np.s_[1, 20:32, 20:32], [0.8, 0.1])
    mark(marked, subtypes, np.s_[1, 25, 25], [0.1, 0.8])
    names = naming.name_voxels(marked, subtypes)
    assert set(np.unique(names[marked])) == {FIRST}
    assert not names[~marked].any()


def test_collections_far_apart_keep_their_names():
    marked, subtypes = answers()
    mark(marked, subtypes, np.s_[1, 4:14, 4:14], [0.8, 0.1])
    mark(marked, subtypes, np.s_[1, 50:60, 50:60], [0.1, 0.8])
    names = naming.name_voxels(marked, subtypes)
    assert set(np.unique(names[1, 4:14, 4:14])) == {FIRST}
    assert set(np.unique(names[1, 50:60, 50:60])) == {SECOND}


def test_neighbouring_slices_decide_too():
    marked, subtypes = answers((3, 64, 64))
    for z, shares in enumerate(([0.9, 0.05], [0.4, 0.45], [0.9, 0.05])):
        mark(marked, subtypes, np.s_[z, 20:40, 20:40], shares)
    assert set(np.unique(naming.name_voxels(marked, subtypes)[1][marked[1]])) == {FIRST}


@pytest.mark.parametrize("shape", [(1, 600, 300), (2, 40, 90), (2, 1, 1)])
def test_slices_may_have_any_shape(shape):
    marked, subtypes = answers(shape)
    mark(marked, subtypes, np.s_[0], [0.2, 0.5])
    names = naming.name_voxels(marked, subtypes)
    assert names.shape == shape and names.dtype == np.uint8
    assert set(np.unique(names[0])) == {SECOND}
    assert not names[1:].any()


def test_nothing_marked_has_no_name():
    assert not naming.name_voxels(*answers()).any()
