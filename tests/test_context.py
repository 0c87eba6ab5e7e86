"""Neighbouring slices as channels, the box of the head, crops of whole scans."""

import dataclasses

import numpy as np
import pytest

from ich_tf.preprocessing.segmentation import context, scan_crops
from ich_tf.synthetic import painted_scans


def test_neighbours_lie_in_the_channels_and_ends_repeat():
    images = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2))
    made = context.neighbours(images, 3)
    assert made.shape == (4, 2, 2, 3)
    assert made[:, 0, 0].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
    assert context.neighbours(images, 3, step=2)[1, 0, 0].tolist() == [0, 1, 3]
    with pytest.raises(ValueError, match="odd"):
        context.neighbours(images, 2)


def test_neighbours_of_thin_slices_are_five_millimetres_away():
    assert context.step_of(None) == 1
    assert context.step_of((5.0, 0.5, 0.5)) == 1
    assert context.step_of((1.0, 0.5, 0.5)) == 5
    assert context.step_of((7.0, 0.5, 0.5)) == 1


def test_pixels_have_one_size_where_the_spacing_is_known():
    assert context.side_of(512, 512, None, 256) == 256
    # 512 x 0.46875 mm are 240 mm: 256 pixels of 0.9375 mm.
    assert context.side_of(512, 512, (5.0, 0.46875, 0.46875), 256) == 256
    assert context.side_of(512, 512, (5.0, 0.9375, 0.9375), 256) == 512
    assert context.side_of(512, 400, (5.0, 0.1, 0.1), 256) == 128


def test_the_box_holds_the_head_and_answers_return_to_their_place():
    hu = np.full((2, 128, 128), -1000.0, np.float32)
    hu[0, 20:70, 30:90] = 40
    box = context.head_box(hu)
    # 60 columns and twice 6 of margin make 72, the next multiple of 16 is 80.
    assert (box[0].stop - box[0].start, box[1].stop - box[1].start) == (64, 80)
    assert box[0].start <= 20 - 6 + 1 and box[1].start <= 30
    part = context.cut(hu, box, -1000.0)
    answers = np.stack([part, part], axis=-1)
    whole = context.paste(answers, box, 128, np.array([-1000.0, -1000.0]))
    np.testing.assert_array_equal(whole[..., 0], hu)


def test_a_box_larger_than_the_picture_is_filled():
    hu = np.full((1, 40, 40), 40.0, np.float32)
    box = context.head_box(hu)
    part = context.cut(hu, box, -5.0)
    assert part.shape == (1, 64, 64)
    assert np.all(part[0, :40, :40] == 40) and np.all(part[0, 40:] == -5)
    whole = context.paste(part[..., None], box, 40, np.array([0.0]))
    np.testing.assert_array_equal(whole[..., 0], hu)


@pytest.fixture
def stored():
    images = np.repeat(np.arange(6, dtype=np.uint8) * 51, 64 * 64).reshape(6, 64, 64)
    truth = np.zeros((6, 64, 64), np.uint8)
    truth[1, 40:50, 40:50] = 3
    truth[4, 5:15, 5:15] = 5
    return painted_scans.StoredScans(images, truth, ("a", "b"), (0, 3, 6))


def test_crops_have_the_neighbours_of_their_own_scan(stored):
    image, truth = scan_crops.crop(stored, 2, 8, 8, 32, 3)
    # Slices 1 and 2; the next one belongs to another scan.
    np.testing.assert_allclose(image[0, 0], [51 / 255, 102 / 255, 102 / 255])
    assert truth.shape == (32, 32)


def test_batches_are_a_function_of_seed_and_step(stored):
    source = scan_crops.source(stored)
    assert source.bleeding[2].tolist() == [1] and source.bleeding[4].tolist() == [4]
    assert source.clean.tolist() == [0, 2, 3, 5]
    recipe = scan_crops.Recipe(crop=32, batch=4, bleeding_share=1.0)

    def draw(first, last):
        return list(scan_crops.batches(source, (), recipe, None, 0, first, last))

    (once,), (_, again) = draw(3, 4), draw(2, 4)
    for left, right in zip(once, again, strict=True):
        np.testing.assert_array_equal(left, right)
    images, truth = once
    assert images.shape == (4, 32, 32, 3) and truth.shape == (4, 32, 32, 1)
    assert set(np.unique(truth)) <= {0.0, 3.0, 5.0}


def test_crops_with_hemorrhage_show_some_of_it(stored):
    source = scan_crops.source(stored, classes=5)
    recipe = scan_crops.Recipe(crop=32, batch=20, bleeding_share=1.0)
    only = scan_crops.CropSource(source.scans, (source.bleeding[2],), source.clean)
    ((_, truth),) = scan_crops.batches(only, (), recipe, None, 0, 0, 1)
    assert truth.shape[0] == 20


def test_a_further_source_gives_its_share_of_the_crops(stored):
    darker = dataclasses.replace(stored, images=np.zeros_like(stored.images))
    main, other = scan_crops.source(stored), scan_crops.source(darker)
    white = dataclasses.replace(stored, images=np.full_like(stored.images, 255))
    others = [(scan_crops.source(white), 0.12), (other, 0.25)]
    recipe = scan_crops.Recipe(crop=32, batch=400, bleeding_share=0.0)
    # Slice 3 and its neighbours are neither black nor white.
    main = dataclasses.replace(main, clean=np.array([3]))
    ((images, _),) = scan_crops.batches(main, others, recipe, None, 0, 0, 1)
    black = np.mean([not image.any() for image in images])
    bright = np.mean([image.min() == 1 for image in images])
    # Within four deviations of a binomial share in 400 draws.
    for drawn, share in ((black, 0.25), (bright, 0.12)):
        assert abs(drawn - share) < 4 * np.sqrt(share * (1 - share) / 400)


def test_slices_painted_apart_have_neighbours_of_other_copies():
    images = np.arange(9, dtype=np.uint8).reshape(9, 1, 1)
    names, starts = ("a:0", "a:1", "b:0"), (0, 3, 6, 9)
    made = painted_scans.StoredScans(images, images + 100, names, starts)
    apart = painted_scans.apart(made)
    # Slice z of a copy comes from the copy z places further on, of the same head.
    assert apart.images.ravel().tolist() == [0, 4, 2, 3, 1, 5, 6, 7, 8]
    np.testing.assert_array_equal(apart.subtypes, apart.images + 100)
