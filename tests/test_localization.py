import math

import numpy as np
import pytest

from ich_tf.metrics import localization


def drawn(picture):
    """A slice drawn with digits; "." is 0."""
    return np.array([[float(c.replace(".", "0")) for c in row] for row in picture])


LESION = drawn(["....", ".11.", ".11.", "...."]).astype(bool)
HEAD = drawn([".11.", "1111", "1111", "...."]).astype(bool)


def measures(picture, lesion=LESION, head=HEAD):
    return localization.slice_measures(drawn(picture), lesion, head)


def test_a_heatmap_on_the_lesion():
    scores = measures(["....", ".29.", ".11.", "...."])
    assert scores["energy_share"] == 1.0
    assert scores["pointing_game"] == 1.0
    assert scores["chance_image"] == 4 / 16
    assert scores["chance_head"] == 4 / 10


def test_a_heatmap_next_to_the_lesion():
    scores = measures(["9...", ".1..", "..2.", "...."])
    assert scores["energy_share"] == pytest.approx(3 / 12)
    assert scores["pointing_game"] == 0.0


def test_scale_does_not_matter():
    heatmap = drawn(["9...", ".1..", "..2.", "...."])
    small, large = (
        localization.slice_measures(heatmap * scale, LESION, HEAD)
        for scale in (0.01, 100)
    )
    assert small == pytest.approx(large)


def test_of_tied_maxima_the_share_inside_counts():
    scores = measures(["5...", ".55.", "...5", "...."])
    assert scores["pointing_game"] == 0.5
    assert scores["energy_share"] == 0.5


def test_a_heatmap_that_knows_nothing_scores_the_chance():
    scores = measures(["3333"] * 4)
    assert scores["energy_share"] == scores["pointing_game"] == scores["chance_image"]
    head = localization.slice_measures(HEAD.astype(np.float32), LESION, HEAD)
    assert head["energy_share"] == head["pointing_game"] == head["chance_head"]


def test_an_empty_heatmap_has_no_energy_and_points_nowhere():
    scores = measures(["...."] * 4)
    assert math.isnan(scores["energy_share"])
    assert scores["pointing_game"] == 0.25


def test_an_empty_mask_is_undefined():
    scores = measures(["9..."] * 4, lesion=np.zeros((4, 4), bool))
    assert list(scores) == list(localization.MEASURES)
    assert all(math.isnan(value) for value in scores.values())


def test_a_lesion_outside_the_head_belongs_to_it():
    lesion = drawn(["....", "....", "....", "1..."]).astype(bool)
    assert measures(["9..."] * 4, lesion)["chance_head"] == 1 / 11


def test_the_head_may_be_unknown():
    scores = measures(["9..."] * 4, head=None)
    assert math.isnan(scores["chance_head"])
    assert scores["chance_image"] == 0.25


@pytest.mark.parametrize(
    ("heatmap", "lesion", "head", "reason"),
    [
        (np.ones((4, 4)), LESION.astype(np.uint8), None, "`lesion` must be bool"),
        (np.ones((4, 4)), LESION, HEAD[:3], r"`head` must have .*\(4, 4\).*\(3, 4\)"),
        (np.ones((2, 4, 4)), LESION, None, "`lesion` must have the shape"),
        (-np.ones((4, 4)), LESION, None, "must not be negative or NaN"),
        (np.full((4, 4), np.nan), LESION, None, "must not be negative or NaN"),
    ],
)
def test_what_does_not_fit_is_refused(heatmap, lesion, head, reason):
    with pytest.raises(ValueError, match=reason):
        localization.slice_measures(heatmap, lesion, head)
