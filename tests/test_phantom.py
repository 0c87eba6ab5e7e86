import dataclasses
import importlib.util
import pathlib

import numpy as np
import pytest
from scipy import ndimage, stats

from ich_tf import labels
from ich_tf.synthetic import phantom
from ich_tf.synthetic.phantom import anatomy, fields, lesions, skull
from ich_tf.synthetic.phantom import head as heads
from ich_tf.synthetic.phantom import plan as planning

SIZE = 256


@pytest.fixture(scope="module")
def plans():
    return [planning.draw_plan(1, index) for index in range(4000)]


@pytest.fixture(scope="module")
def bleeding():
    """For each subtype one head that has it alone: anatomy, HU, truth, plan."""
    made = {}
    for index, name in enumerate(labels.SUBTYPES):
        plan = planning.draw_plan(8, index, 26, subtypes=[name])
        plan = dataclasses.replace(plan, lesion_ml={name: 9.0}, age="acute")
        made[name] = (*heads.render(plan, 8, index, SIZE), plan)
    return made


@pytest.fixture(scope="module")
def benchmark():
    """The module benchmarks/phantom.py, which is no part of the package."""
    path = pathlib.Path(__file__).parent.parent / "benchmarks" / "phantom.py"
    spec = importlib.util.spec_from_file_location("phantom_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def quiet():
    """A head without blood: anatomy, HU, empty truth."""
    plan = planning.draw_plan(5, 3, 26, bleeding=False)
    return heads.render(plan, 5, 3, SIZE)


def blood(bleeding, name):
    head, _, subtypes, _ = bleeding[name]
    where = subtypes == labels.SUBTYPES.index(name) + 1
    points = [p[where] for p in head.points]
    return head, where, points


def test_published_volumes_belong_to_the_36_patients():
    volumes = planning.published_volumes_ml()
    assert len(volumes) == 36
    assert volumes[0] == pytest.approx(0.13, abs=0.005)
    assert volumes[-1] == pytest.approx(115, abs=0.5)
    np.testing.assert_allclose(
        np.percentile(volumes, [25, 50, 75]), [2.83, 6.50, 14.56], atol=0.01
    )


def test_two_in_five_heads_bleed_and_subtypes_follow_rsna(plans):
    share = {n: np.mean([n in p.lesion_ml for p in plans]) for n in labels.SUBTYPES}
    bleeding = np.mean([bool(plan.lesion_ml) for plan in plans])
    assert 0.38 < bleeding < 0.42
    order = sorted(share, key=share.get, reverse=True)
    assert [labels.SHORT[name] for name in order] == ["SDH", "IPH", "SAH", "IVH", "EDH"]
    assert min(share.values()) > 0.05
    several = np.mean([len(plan.lesion_ml) > 1 for plan in plans if plan.lesion_ml])
    assert 0.3 < several < 0.7


def test_slices_run_from_24_to_60_mostly_28_to_40(plans):
    slices = np.array([plan.slices for plan in plans])
    assert slices.min() >= 24
    assert 45 < slices.max() <= 60
    assert np.mean((slices >= 28) & (slices <= 40)) > 0.7


def test_planned_volumes_are_distributed_like_the_published_ones(plans):
    wanted = [sum(plan.lesion_ml.values()) for plan in plans if plan.lesion_ml]
    test = stats.ks_2samp(wanted, planning.published_volumes_ml())
    assert test.pvalue > 0.05


def test_painted_volumes_come_near_the_plan(bleeding):
    for name, (made, _, subtypes, plan) in bleeding.items():
        painted = np.sum(subtypes > 0) * np.prod(made.spacing_mm) / 1000
        assert painted == pytest.approx(plan.lesion_ml[name], rel=0.15), name


def test_equal_seeds_give_equal_bytes_and_other_heads_differ():
    first, again, other, elsewhere = (
        phantom.generate(seed, index, slices=6, size=SIZE, bleeding=True)
        for seed, index in ((3, 1), (3, 1), (3, 2), (4, 1))
    )
    assert first.case.volume.hu.tobytes() == again.case.volume.hu.tobytes()
    assert first.subtypes.tobytes() == again.subtypes.tobytes()
    assert np.mean(first.case.volume.hu != other.case.volume.hu) > 0.1
    assert np.mean(first.case.volume.hu != elsewhere.case.volume.hu) > 0.1


def test_a_head_keeps_the_array_contract():
    made = phantom.generate(2, 5, slices=24, size=SIZE, subtypes=["SDH", "IVH"])
    volume = made.case.volume
    assert volume.hu.shape == (24, SIZE, SIZE)
    assert volume.hu.dtype == np.float32
    assert np.array_equal(volume.hu, np.rint(volume.hu))
    assert volume.hu.min() >= -1024
    assert volume.hu.max() <= 3071
    assert volume.origin == "ich_tf phantom seed=2 index=5"
    assert volume.spacing_mm[0] == 5.0
    assert 0.37 < volume.spacing_mm[1] * SIZE / 512 < 0.49
    corner = volume.affine @ [23, 0, 0, 1]
    assert corner[2] == pytest.approx(volume.slice_positions_mm[-1])
    assert made.case.mask.dtype == np.uint8
    assert np.array_equal(made.case.mask > 0, made.subtypes > 0)
    assert set(np.unique(made.subtypes)) == {0, 3, 5}
    for name in ("IVH", "SDH"):
        place = labels.index(name)
        here = (made.subtypes == place + 1).any((1, 2))
        assert np.array_equal(made.case.labels[:, place] > 0, here)
    assert np.array_equal(made.case.labels[:, 5] > 0, made.case.mask.any((1, 2)))


def test_the_matrix_changes_the_pixels_not_the_head():
    fine, coarse = (
        phantom.generate(2, 6, slices=12, size=size, subtypes=["IPH"]).case
        for size in (512, 256)
    )
    assert coarse.volume.spacing_mm[1] == pytest.approx(2 * fine.volume.spacing_mm[1])
    volumes = [c.mask.sum((1, 2)) @ c.volume.slice_pixel_ml for c in (fine, coarse)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.05)
    halved = fine.mask.reshape(12, 256, 2, 256, 2).mean((2, 4)) > 0.5
    overlap = (
        2 * np.sum(halved & (coarse.mask > 0)) / (halved.sum() + coarse.mask.sum())
    )
    assert overlap > 0.9


@pytest.mark.parametrize("slices", [24, 30, 60])
def test_the_stack_reaches_from_the_base_to_the_vertex(slices):
    plan = planning.draw_plan(5, 0, slices, bleeding=False)
    points, spacing_mm = anatomy.canonical_points(plan)
    bone = skull.build(points, spacing_mm, np.random.default_rng(0))
    areas = (bone.inner < 0).sum((1, 2))
    assert areas[-1] < 0.4 * areas.max()
    assert areas[0] < 0.6 * areas.max()
    assert (areas > 0).sum() * 5 > 115


def test_epidural_blood_is_a_lens_under_the_skull(bleeding):
    made, where, (x, y, _) = blood(bleeding, "epidural")
    depth = -made.skull.inner[where]
    assert depth.max() < 32
    assert np.percentile(depth, 10) < 4
    assert np.all(x > 0) or np.all(x < 0)
    index = where.sum((1, 2)).argmax()
    area = where[index].sum() * made.spacing_mm[1] ** 2
    spread = np.argwhere(where[index]) * made.spacing_mm[1]
    length = np.linalg.norm(spread.max(0) - spread.min(0))
    assert area / length / length > 0.12


def test_subdural_blood_is_a_crescent_along_one_side(bleeding):
    made, where, (x, _, _) = blood(bleeding, "subdural")
    assert np.all(x > 0) or np.all(x < 0)
    index = where.sum((1, 2)).argmax()
    spread = np.argwhere(where[index]) * made.spacing_mm[1]
    length = np.linalg.norm(spread.max(0) - spread.min(0))
    thickness = where[index].sum() * made.spacing_mm[1] ** 2 / length
    assert length > 5 * thickness


def test_subdural_blood_lies_beneath_the_skull_or_along_the_falx():
    x, y, z = np.meshgrid(*(np.linspace(-70, 70, 57),) * 3, indexing="ij")
    depth = 68 - np.sqrt(x * x + y * y + z * z)
    for seed in range(12):
        spread = lesions.subdural((x, y, z), depth, np.random.default_rng(seed))
        reach = spread.reach_mm(12.0, 2.5**3 / 1000, depth > 0)
        inside = (spread.level(reach) < 0) & (depth > 0)
        near_skull, near_falx = depth[inside] < 16, np.abs(x[inside]) < 12
        assert near_skull.all() or near_falx.all()


def test_intraventricular_blood_lies_in_the_ventricles(bleeding):
    made, where, _ = blood(bleeding, "intraventricular")
    ventricle = made.volume(made.brain.ventricle, 99.0)
    assert ventricle[where].max() <= 0.5


def test_subarachnoid_blood_lies_in_sulci_and_cisterns(bleeding):
    made, where, _ = blood(bleeding, "subarachnoid")
    sulcus = made.volume(made.brain.sulcus, 99.0)
    assert sulcus[where].max() < 1.6
    assert np.mean(sulcus[where] < 1.05) > 0.95


def test_intraparenchymal_blood_lies_in_the_brain(bleeding):
    made, where, _ = blood(bleeding, "intraparenchymal")
    ventricle = made.volume(made.brain.ventricle, 99.0)
    assert (-made.skull.inner[where]).min() > 2
    assert np.mean(ventricle[where] > 0) > 0.98


def test_an_edema_surrounds_intraparenchymal_blood(bleeding):
    made, where, _ = blood(bleeding, "intraparenchymal")
    hu = bleeding["intraparenchymal"][1]
    flat = ndimage.generate_binary_structure(2, 1)[None]
    near = ndimage.binary_dilation(where, flat, iterations=5)
    near &= ~ndimage.binary_dilation(where, flat, iterations=2)
    far = ndimage.binary_dilation(where, flat, iterations=20)
    far &= ~ndimage.binary_dilation(where, flat, iterations=12)
    far &= made.skull.inner < -6
    assert hu[near].mean() < hu[far].mean() - 3


def test_acute_blood_is_denser_than_the_brain(bleeding):
    for name, (_, hu, subtypes, _) in bleeding.items():
        assert 45 < np.median(hu[subtypes > 0]) < 80, name


def test_gray_and_white_matter_and_fluid_have_their_densities(quiet):
    made, hu, _ = quiet
    x, y, z = made.points
    deep = (made.skull.inner < -25) & (z > 33) & (z < 45) & (np.abs(x) > 12)
    assert np.median(hu[deep]) == pytest.approx(29.5, abs=3)
    thalamus = (np.abs(np.abs(x) - 11) < 5) & (np.abs(y - 12) < 8) & (np.abs(z - 4) < 5)
    assert np.median(hu[thalamus]) == pytest.approx(38, abs=3)
    fluid = made.volume(made.brain.ventricle, 99.0) < -2.5
    assert fluid.sum() > 30
    assert np.median(hu[fluid]) < 16


def test_a_head_without_blood_holds_dense_mimics(quiet):
    made, hu, subtypes = quiet
    assert not subtypes.any()
    dense = (hu > 48) & (hu < 90) & (made.skull.inner < -2)
    assert dense.sum() > 1000


def test_one_band_of_densities_finds_little_of_the_blood(bleeding):
    bins = np.arange(20, 121)
    scores = []
    for made, hu, subtypes, _ in bleeding.values():
        inside, mask = made.skull.inner < 0, subtypes > 0
        in_band, every = (
            np.concatenate([[0], np.histogram(hu[region], bins)[0].cumsum()])
            for region in (mask & inside, inside)
        )
        marked = every[None, :] - every[:, None]
        hits = in_band[None, :] - in_band[:, None]
        scores.append(2 * hits / np.maximum(marked + mask.sum(), 1))
    assert np.mean(scores, axis=0).max() < 0.5


def test_the_data_set_names_and_loads_its_heads():
    data = phantom.PhantomDataset(3, seed=4, slices=2, size=64)
    assert data.name == "phantom"
    assert data.case_ids() == [f"phantom-4-{index:04d}" for index in range(3)]
    case = data.load("phantom-4-0001")
    assert case.case_id == case.patient_id == "phantom-4-0001"
    same = phantom.generate(4, 1, slices=2, size=64)
    assert np.array_equal(case.volume.hu, same.case.volume.hu)
    with pytest.raises(ValueError, match="phantom-4-0007"):
        data.load("phantom-4-0007")


def test_contradictory_wishes_are_refused():
    with pytest.raises(ValueError, match="contradict"):
        phantom.generate(0, 0, bleeding=False, subtypes=["SDH"])
    with pytest.raises(ValueError, match="Known: epidural"):
        phantom.generate(0, 0, subtypes=["hematoma"])
    with pytest.raises(ValueError, match="any"):
        phantom.generate(0, 0, subtypes=["any"])
    with pytest.raises(ValueError, match="slices"):
        phantom.generate(0, 0, slices=0)
    with pytest.raises(ValueError, match="size"):
        phantom.generate(0, 0, size=16)


@pytest.mark.real_data
def test_brain_has_the_histogram_of_a_real_head(benchmark, shared):
    real = benchmark.full_brain_histogram(
        benchmark.read_dicom(shared / "data" / "head-ct-dicom" / "ge-series")
    )
    synthetic = np.mean(
        [
            benchmark.full_brain_histogram(
                phantom.generate(9, index, slices=18, bleeding=False).case.volume.hu
            )
            for index in range(2)
        ],
        axis=0,
    )
    mean, deviation, low, quarter, median, three_quarters, high = synthetic - real
    assert abs(mean) < 4
    assert abs(deviation) < 4.5
    assert max(abs(quarter), abs(median), abs(three_quarters)) < 5
    assert max(abs(low), abs(high)) < 14


def test_the_skull_filling_of_the_benchmark_finds_the_brain(benchmark):
    plan = planning.draw_plan(9, 3, 12, bleeding=False)
    made, hu, _ = heads.render(plan, 9, 3, SIZE)
    inside = benchmark.fill_skull(hu)[4:]
    truth = made.skull.inner[4:] < 0
    assert 2 * np.sum(inside & truth) / (inside.sum() + truth.sum()) > 0.85


def test_noise_is_interpolated_linearly_and_repeats_without_a_seam():
    noise = fields.BandNoise.draw(np.random.default_rng(0), 13.0, side=12)
    points = np.random.default_rng(1).uniform(-200, 200, (3, 500)).astype(np.float32)
    points[:, 0] = -1e-9, 0.0, 12 * noise.step_mm
    inner = noise.lattice[:-1, :-1, :-1]
    expected = ndimage.map_coordinates(
        inner, points / noise.step_mm, order=1, mode="grid-wrap"
    )
    assert expected.std() > 0.3
    np.testing.assert_allclose(noise.at(points), expected, atol=1e-3)
