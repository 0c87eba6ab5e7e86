import numpy as np
from PIL import Image

from ich_tf.prediction import figures


def test_a_frame_lies_around_its_part_at_the_enlarged_size():
    plain = np.zeros((6, 8, 3), np.uint8)
    shown = figures.framed(plain, (slice(1, 3), slice(2, 7)), (3, 2))
    assert shown.shape == (18, 16, 3)
    rows, columns = np.nonzero(shown.any(axis=-1))
    assert (rows.min(), rows.max()) == (3, 8)
    assert (columns.min(), columns.max()) == (4, 13)
    assert not shown[4:8, 5:13].any()
    assert not plain.any()


def test_each_panel_has_its_heading_above_it():
    row = Image.new("RGB", (300, 40), (0, 0, 255))
    drawn = np.asarray(figures.with_headings(row, ("heat", "slice", "truth")))
    assert drawn.shape == (figures.TITLE + 40, 300, 3)
    np.testing.assert_array_equal(drawn[figures.TITLE :], np.asarray(row))
    heading = drawn[: figures.TITLE].any(axis=(0, 2))
    assert all(heading[left : left + 100].any() for left in (0, 100, 200))


def test_a_scale_runs_through_the_colours_of_a_heatmap():
    scale = np.asarray(figures.heat_scale("", "", width=256))
    expected = figures.heat_colours(np.linspace(0, 1, 256)[np.newaxis])[0]
    where = next(
        left
        for left in range(scale.shape[1] - 255)
        if np.array_equal(scale[0, left : left + 256], expected)
    )
    assert not scale[:, :where].any()
