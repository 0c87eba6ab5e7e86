"""Mimics of whole scans, on a phantom head without blood."""

import dataclasses

import numpy as np
import pytest

from ich_tf.synthetic import scan_mimics, scan_painting, scans, skull_mimics
from ich_tf.synthetic.phantom import head as heads
from ich_tf.synthetic.phantom import physics
from ich_tf.synthetic.phantom import plan as planning

WINDOW = (-20.0, 100.0)
WIDEST_MM = 12.0
NOTHING = scan_mimics.ScanMimics(
    scanner=physics.ScannerPlan(0.0, 1.0, 0.0, 0.0, None, None),
    effects=(False, False, False, False),
    sinus=None,
    torcula=None,
    tent=None,
    plexus=(),
    arteries=None,
    band=None,
    strips=(),
    operation=None,
    skull=None,
    share=0.0,
)
RIGHT_FLAP = skull_mimics.Operation(
    azimuth=-np.pi / 2,
    half_width=0.4,
    height_mm=WIDEST_MM,
    half_height_mm=20.0,
    flap=False,
    tissue_hu=30.0,
    rim_hu=10.0,
    air=((-np.pi / 2, 6.0, WIDEST_MM, 4.0),),
)
LEFT_STRIP = skull_mimics.Strip(np.pi / 2, 0.5, WIDEST_MM, 20.0, 40.0, 2.0)


@pytest.fixture(scope="module")
def widest():
    """The slice at the head's widest place, its landmarks and its height."""
    plan = planning.draw_plan(5, 3, 14, bleeding=False)
    _, hu, _ = heads.render(plan, 5, 3, 256)
    scan = scans.survey(np.clip(hu, *WINDOW), None, WINDOW)
    z = min(scan.usable, key=lambda z: abs(scan.heights_mm[z] - WIDEST_MM))
    return scan.hu[z], scan.marks[z], WIDEST_MM


def painted(widest, **drawn) -> np.ndarray:
    hu, anatomy, height_mm = widest
    drawn = dataclasses.replace(NOTHING, **drawn)
    hu = scan_mimics.before(hu, anatomy, height_mm, drawn, [1, 0])
    return scan_mimics.after(hu, anatomy, height_mm, drawn, [1, 0])[0]


def test_nothing_drawn_leaves_the_slice_as_it_is(widest):
    np.testing.assert_array_equal(painted(widest), widest[0])


def test_a_strip_brightens_its_side_and_fades_with_depth(widest):
    hu, anatomy, _ = widest
    rise = painted(widest, strips=(LEFT_STRIP,)) - hu
    left = (np.abs(anatomy.y) < 5) & (anatomy.x > 0)
    at_depth = [
        float(rise[left & (np.abs(anatomy.depth - depth) < 0.7)].mean())
        for depth in (2.0, 4.0, 8.0)
    ]
    # 40 HU at the skull fall to a third every 2 mm.
    np.testing.assert_allclose(at_depth, 40 * np.exp([-1.0, -2.0, -4.0]), rtol=0.25)
    assert not rise[(anatomy.x < -5) & (anatomy.depth > 0)].any()


def test_a_strip_ends_above_and_below(widest):
    hu, anatomy, height_mm = widest
    far = height_mm + 60
    drawn = dataclasses.replace(NOTHING, strips=(LEFT_STRIP,))
    above, _ = scan_mimics.after(hu, anatomy, far, drawn, [1, 0])
    np.testing.assert_allclose(above, hu, atol=1e-3)


def test_an_operation_opens_the_skull_on_one_side_and_lets_air_in(widest):
    hu, anatomy, _ = widest
    opened = painted(widest, operation=RIGHT_FLAP)
    skull = (anatomy.depth < -2) & (anatomy.depth > -5) & (np.abs(anatomy.y) < 10)
    right, left = skull & (anatomy.x < 0), skull & (anatomy.x > 0)
    assert hu[right].mean() > 90
    assert opened[right].mean() < 60
    np.testing.assert_array_equal(opened[left], hu[left])
    deep = np.abs(anatomy.depth - 6.0) < 1.5
    bubble = (anatomy.x < 0) & (np.abs(anatomy.y) < 1.5) & deep
    assert opened[bubble].max() < WINDOW[0]


def test_an_infants_skull_is_thin(widest):
    hu, anatomy, _ = widest
    thin = painted(widest, skull=(2.0, 30.0))
    bone = (anatomy.depth < -0.5) & (anatomy.depth > -1.5)
    beyond = (anatomy.depth < -3) & (anatomy.depth > -5)
    np.testing.assert_array_equal(thin[bone], hu[bone])
    assert hu[beyond].mean() > 90
    assert thin[beyond].mean() < 60


def test_arteries_are_dense_only_where_there_is_fluid(widest):
    hu, anatomy, _ = widest
    drawn = dataclasses.replace(NOTHING, arteries=(0.0, 0.0, 1.5, 65.0))
    changed = [
        scan_mimics.before(hu, anatomy, height, drawn, [1, 0]) - hu
        for height in np.arange(-25.0, 0.0, 2.0)
    ]
    assert sum(np.count_nonzero(difference > 5) for difference in changed) > 0
    for difference in changed:
        assert np.all(anatomy.sulcus[difference > 0] < 2.0 + 1.5 / 2)


@pytest.fixture(scope="module")
def scan():
    plan = planning.draw_plan(5, 3, 14, bleeding=False)
    _, hu, _ = heads.render(plan, 5, 3, 256)
    return scans.survey(np.clip(hu, *WINDOW), None, WINDOW)


@pytest.mark.parametrize("seed", range(3))
def test_mimics_change_the_picture_and_not_the_truth(scan, seed):
    wanted = ("mass", "thin")
    plain, made = (
        scan_painting.paint(scan, seed, wanted=wanted, with_mimics=mimics)
        for mimics in (False, True)
    )
    drawn = scan_mimics.draw_scan(np.random.default_rng([seed, 1]))
    assert plain.subtypes.any() and drawn.operation is None
    np.testing.assert_array_equal(made.subtypes, plain.subtypes)
    assert np.any(made.hu != plain.hu)
    assert WINDOW[0] <= made.hu.min() and made.hu.max() <= WINDOW[1]


def test_truth_leaves_out_air(scan, monkeypatch):
    drawn = dataclasses.replace(NOTHING, operation=RIGHT_FLAP)
    monkeypatch.setattr(scan_mimics, "draw_scan", lambda rng: drawn)
    plain, made = (
        scan_painting.paint(
            scan, 1, wanted=("convexity", "epidural"), with_mimics=mimics
        )
        for mimics in (False, True)
    )
    z = min(scan.usable, key=lambda z: abs(scan.heights_mm[z] - WIDEST_MM))
    _, air = scan_mimics.after(
        scan.hu[z], scan.marks[z], scan.heights_mm[z], drawn, [1, z]
    )
    assert np.count_nonzero(plain.subtypes[z][air]) > 20
    assert not made.subtypes[z][air].any()
    np.testing.assert_array_equal(made.subtypes[z][~air], plain.subtypes[z][~air])
