"""Painted hemorrhage on slices of a phantom head that does not bleed."""

import numpy as np
import pytest

from ich_tf import labels
from ich_tf.synthetic import landmarks, mimics, painting
from ich_tf.synthetic.phantom import head as heads
from ich_tf.synthetic.phantom import plan as planning

SIZE = 256
MIDDLE = 16  # shows the lateral ventricles
WINDOW = (-20.0, 100.0)
ACUTE = painting.Blood(chronic_share=0.0)


@pytest.fixture(scope="module")
def quiet():
    """A head without blood: its plan, anatomy and (z, y, x) HU."""
    plan = planning.draw_plan(5, 3, 26, bleeding=False)
    built, hu, _ = heads.render(plan, 5, 3, SIZE)
    return plan, built, hu


@pytest.fixture(scope="module")
def slice_hu(quiet):
    return quiet[2][MIDDLE]


@pytest.fixture(scope="module")
def marks(quiet, slice_hu):
    return landmarks.find(slice_hu, quiet[0].pixel_mm * 512 / SIZE)


def paint(hu, seed=0, **kwargs):
    return painting.paint(hu, seed, with_mimics=False, **kwargs)


def first(hu, name, pixels=100, **kwargs):
    """The first seed with which a subtype has that many pixels in a slice, painted."""
    for seed in range(30):
        made = paint(hu, seed, subtypes=(name,), **kwargs)
        if made.mask.sum() > pixels:
            return made, seed
    raise AssertionError(name)


def overlap(first, other):
    return np.sum(first & other) / np.sum(first | other)


@pytest.mark.parametrize("place", [10, 13, MIDDLE, 19])
@pytest.mark.parametrize("saturated", [False, True])
def test_the_skull_of_a_slice_is_found(quiet, place, saturated):
    plan, built, hu = quiet
    hu = np.clip(hu[place], *WINDOW) if saturated else hu[place]
    marks = landmarks.find(hu, plan.pixel_mm * 512 / SIZE)
    assert overlap(marks.depth > 0, built.skull.inner[place] < 0) > 0.93
    x, y, _ = (p[place] for p in built.points)
    inside = marks.depth > 0
    assert np.abs(marks.x - x)[inside].mean() < 6.0
    assert np.corrcoef(marks.y[inside], y[inside])[0, 1] > 0.99
    assert 28 < marks.brain_hu < 40


def test_the_ventricles_of_a_slice_are_found(quiet, marks):
    truth = quiet[1].volume(quiet[1].brain.ventricle, 9.0)[MIDDLE] < 0
    assert overlap(marks.ventricle < 0, truth) > 0.5
    assert (marks.sulcus < 0).any()
    assert not ((marks.sulcus < 0) & (marks.ventricle < 0)).any()


def test_where_there_is_no_inside_of_a_skull_nothing_is_painted(slice_hu):
    open_skull = slice_hu.copy()
    open_skull[: SIZE // 2] = -1000
    for hu in (np.minimum(slice_hu, 60), open_skull, np.full((SIZE, SIZE), -1000.0)):
        assert landmarks.find(hu) is None
        assert painting.paint(hu, 0) is None


@pytest.mark.parametrize("name", labels.SUBTYPES)
@pytest.mark.parametrize("saturated", [False, True])
def test_each_subtype_lies_where_it_belongs(marks, slice_hu, name, saturated):
    hu = np.clip(slice_hu, *WINDOW) if saturated else slice_hu
    window = WINDOW if saturated else None
    made, _ = first(hu, name, hu_window=window, blood=ACUTE)
    blood = made.mask > 0
    assert set(np.unique(made.subtypes)) == {0, labels.SUBTYPES.index(name) + 1}
    assert made.labels.tolist() == [
        int(label in (name, labels.ANY)) for label in labels.CLASSES
    ]
    assert marks.depth[blood].min() > 0
    assert np.mean((made.hu - hu)[blood]) > 5
    assert made.hu.dtype == np.float32
    if saturated:
        assert made.hu.min() >= WINDOW[0] and made.hu.max() <= WINDOW[1]
    if name in ("epidural", "subdural"):
        at_bone = marks.depth[blood].min() < 2.5
        assert at_bone or np.abs(marks.x[blood]).min() < 5
    if name == "intraventricular":
        assert np.mean(marks.ventricle[blood] < 1.0) > 0.9
    if name == "subarachnoid":
        assert np.mean(marks.sulcus[blood] < 1.5) > 0.9


def test_a_chronic_subdural_is_large_and_less_dense_than_brain(marks, slice_hu):
    chronic = painting.Blood(chronic_share=1.0)
    areas, densities = [], []
    for seed in range(6):
        made = paint(slice_hu, seed, subtypes=("subdural",), blood=chronic)
        blood = made.mask > 0
        areas.append(marks.area_mm2(blood))
        densities.append(np.median(made.hu[blood]))
        assert marks.depth[blood].min() < 2.5
    assert np.median(densities) < marks.brain_hu - 3
    assert np.median(areas) > 400


def test_equal_seeds_give_equal_bytes_and_the_input_stays_as_it_is(slice_hu):
    before = slice_hu.copy()
    first, same, other = (painting.paint(slice_hu, seed) for seed in (4, 4, 5))
    assert first.hu.tobytes() == same.hu.tobytes()
    assert first.subtypes.tobytes() == same.subtypes.tobytes()
    assert np.any(first.hu != other.hu)
    np.testing.assert_array_equal(slice_hu, before)


def test_mimics_are_painted_but_not_in_the_truth(slice_hu):
    changed = 0
    for seed in range(8):
        made = painting.paint(slice_hu, seed, subtypes=())
        assert not made.mask.any() and not made.labels.any()
        changed += bool(np.any(made.hu != slice_hu))
    assert changed >= 4
    np.testing.assert_array_equal(paint(slice_hu, subtypes=()).hu, slice_hu)


@pytest.mark.parametrize("name", ["_base", "_midline"])
def test_mimics_at_bone_and_falx_are_small_and_within_the_skull(marks, name):
    areas = []
    for seed in range(20):
        level = getattr(mimics, name)(marks, np.random.default_rng(seed))
        assert level.shape == marks.depth.shape
        areas.append(marks.area_mm2((level < 0) & marks.clear))
    assert max(areas) < 900
    assert np.mean(np.array(areas) > 5) > 0.3


def test_a_large_lesion_pushes_the_brain_aside(slice_hu, marks):
    large, name = painting.Blood(volume_ml=25.0), "intraparenchymal"
    pushed, seed = first(slice_hu, name, pixels=800, blood=large)
    still = paint(slice_hu, seed, subtypes=(name,), mass_effect=False, blood=large)
    np.testing.assert_array_equal(pushed.mask, still.mask)
    away = landmarks.signed_distance(pushed.mask > 0, marks.pixel_mm)
    far = (away > 40) & marks.clear
    np.testing.assert_allclose(still.hu[far], slice_hu[far], atol=1e-4)
    beyond = (away > 10) & marks.clear
    changed = [np.mean(np.abs(p.hu - slice_hu)[beyond] > 1) for p in (pushed, still)]
    assert changed[0] > 0.1 > 2 * changed[1]
    # The brain lies closer together, it is not another one.
    assert abs(np.median(pushed.hu[beyond]) - np.median(slice_hu[beyond])) < 2
    outside = marks.depth < -4
    np.testing.assert_array_equal(pushed.hu[outside], slice_hu[outside])


def test_two_masses_lie_where_their_truth_is(slice_hu, marks, monkeypatch):
    """The second pushes the brain aside, not the blood of the first off its mask."""

    def bright(part, level, *others):
        return np.where(level < 0, np.float32(500.0), part)

    monkeypatch.setattr(painting.lesions, "stain", bright)
    large = painting.Blood(volume_ml=40.0)
    subtypes, agreed = ("intraparenchymal", "epidural"), []
    for seed in range(20):
        made = paint(slice_hu, seed, subtypes=subtypes, blood=large)
        if len(np.unique(made.subtypes)) == 3:
            deep = marks.depth > 4
            agreed.append(overlap((made.hu > 250) & deep, (made.mask > 0) & deep))
    assert len(agreed) >= 3
    assert min(agreed) > 0.95


def test_blood_stands_out_of_brain_of_whatever_density(slice_hu):
    brighter = np.clip(slice_hu + 12, *WINDOW)
    made, _ = first(brighter, "intraparenchymal", hu_window=WINDOW)
    usual, _ = first(np.clip(slice_hu, *WINDOW), "intraparenchymal", hu_window=WINDOW)
    rise = made.hu[made.mask > 0].mean() - usual.hu[usual.mask > 0].mean()
    assert rise == pytest.approx(12, abs=2)


def test_cuts_are_of_the_size_of_the_published_lesions(quiet):
    # 342 mm2 a slice in the positive slices of ct-ich 1.3.1.
    plan, _, hu = quiet
    pixel_mm = plan.pixel_mm * 512 / SIZE
    made = [paint(hu[10 + seed % 10], seed, pixel_mm=pixel_mm) for seed in range(24)]
    areas = [lesion.mask.sum() * pixel_mm**2 for lesion in made if lesion.mask.any()]
    assert len(areas) > 20
    assert 200 < np.mean(areas) < 700


def test_arguments_are_checked(slice_hu):
    with pytest.raises(ValueError, match=r"square slice. Received: \(10, 256\)"):
        painting.paint(slice_hu[:10], 0)
    with pytest.raises(ValueError, match=r"\['SDH'\]. Known: epidural"):
        painting.paint(slice_hu, 0, subtypes=("SDH",))
