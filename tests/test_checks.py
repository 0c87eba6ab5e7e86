import dataclasses
import re

import numpy as np
import pytest

from ich_tf.data import Source, checks, ct_ich
from ich_tf.io import dicom
from ich_tf.volume import Case, Note, Volume

SIDE = 128
PIXEL_MM = 1.7


def _head(slices=3, brain_hu=32.0, noise_hu=4.0, skull_hu=1000.0, seed=0):
    """An ellipse of noisy tissue in a ring of bone, in air."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    radius_mm = np.hypot(y * 0.85, x) * PIXEL_MM
    hu = np.full((slices, SIDE, SIDE), -1000.0, np.float32)
    hu[:, radius_mm < 80] = 40
    hu[:, radius_mm < 75] = skull_hu
    hu[:, radius_mm < 68] = brain_hu
    return hu + rng.normal(0, noise_hu, hu.shape).astype(np.float32)


def _volume(hu=None, **changes):
    hu = _head() if hu is None else hu
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = (5, PIXEL_MM, PIXEL_MM)
    affine[3, 3] = 1
    fields = {
        "hu": hu.astype(np.float32),
        "spacing_mm": (5.0, PIXEL_MM, PIXEL_MM),
        "slice_positions_mm": 5.0 * np.arange(len(hu)),
        "affine": affine,
        **changes,
    }
    return Volume(**fields)


def _case(name="a", volume=None, bleeding=True):
    volume = _volume() if volume is None else volume
    mask = np.zeros(volume.hu.shape, np.uint8)
    slice_labels = np.zeros((len(volume.hu), 6), np.uint8)
    if bleeding:
        mask[1, 60:70, 60:70] = 1
        slice_labels[1, [1, 5]] = 1
    return Case(name, name, volume, mask, slice_labels)


class _Dataset(Source):
    name = "made by hand"

    def __init__(self, *cases):
        self.cases = {case.case_id: case for case in cases}

    def case_ids(self):
        return list(self.cases)

    def load(self, case_id):
        return self.cases[case_id]


def _reason(volume):
    (problem,) = checks.refuse_not_head_ct(volume)
    return f"{problem.kind}: {problem.message}"


def test_a_head_is_not_refused():
    assert checks.refuse_not_head_ct(_volume()) == []


def test_a_head_without_spacing_in_a_brain_window_is_not_refused():
    window = (-20.0, 100.0)
    hu = np.repeat(np.repeat(_head(1, noise_hu=8), 4, axis=1), 4, axis=2)
    hu += np.random.default_rng(2).normal(0, 4, hu.shape)
    volume = Volume(
        np.clip(hu, *window).astype(np.float32), None, None, None, hu_window=window
    )
    assert checks.refuse_not_head_ct(volume) == []


def test_one_slice_with_brain_is_enough():
    hu = np.full((9, SIDE, SIDE), -1000.0, np.float32)
    hu[7] = _head(1)[0]
    assert checks.refuse_not_head_ct(_volume(hu)) == []


@pytest.mark.parametrize("gap_degrees, refused", [(10, False), (60, True)])
def test_open_sutures_are_bridged_and_half_a_ring_is_not(gap_degrees, refused):
    hu = _head()
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    angle = np.degrees(np.arctan2(y, x)) % 120
    hu[:, (angle < gap_degrees) & (hu[0] > 500)] = 40
    assert bool(checks.refuse_not_head_ct(_volume(hu))) == refused


@pytest.mark.parametrize("rib_mm, between_mm", [(15, 15), (20, 15), (20, 8)])
def test_ribs_around_soft_tissue_are_no_skull(rib_mm, between_mm):
    hu = _head(brain_hu=50)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    along_mm = np.arctan2(y * 0.85, x) % (2 * np.pi) * 72
    hu[:, (along_mm % (rib_mm + between_mm) < between_mm) & (hu[0] > 500)] = 50
    assert re.search("bone covers", _reason(_volume(hu)))


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda hu: hu + 1024, "no air.*rescale intercept"),
        (lambda hu: np.clip((hu + 20) / 120 * 255, 0, 255), "no air.*8-bit picture"),
        (lambda hu: np.clip(hu, -20, 100), "no air.*clipped to a window"),
        (lambda hu: hu * 1000, "values: -.* cannot be Hounsfield units"),
        (lambda hu: np.where(hu > 900, np.nan, hu), "no finite number"),
        (lambda hu: np.where(hu > 200, 40, hu), "bone encloses 0 cm2"),
        (lambda hu: hu - 30, "median of 2 HU"),
        (lambda hu: np.where(np.abs(hu) < 100, -990, hu), "only 0% .* soft tissue"),
    ],
)
def test_what_cannot_be_head_ct_is_refused_with_the_reason(change, reason):
    given = _reason(_volume(change(_head())))
    assert re.search(reason, given), given


def test_blocks_of_constant_brain_are_refused():
    hu = _head()
    inside = np.abs(hu - 32) < 30
    hu[inside] = 32
    assert re.search("no noise", _reason(_volume(hu)))


def test_a_small_ring_of_bone_is_no_skull():
    hu = _head()
    volume = _volume(hu, spacing_mm=(5.0, 0.4, 0.4))
    assert "7 cm2" in _reason(volume)


def test_a_faultless_data_set_has_no_problems():
    other = _case("b", _volume(_head(seed=1)), bleeding=False)
    assert list(checks.check_dataset(_Dataset(_case(), other))) == []


def test_float_noise_is_no_problem():
    volume = _volume()
    noisy = dataclasses.replace(
        volume,
        affine=volume.affine * (1 + 1e-5),
        hu=volume.hu - np.float32(1e-4),
    )
    assert checks.check_case(_case(volume=noisy)) == []


def _only(problems, kind):
    problems = list(problems)
    assert [problem.kind for problem in problems] == [kind]
    return problems[0].message


def test_an_empty_data_set():
    assert _only(checks.check_dataset(_Dataset()), "empty") == (
        "the data set has no cases"
    )


def test_an_unreadable_case():
    class Broken(_Dataset):
        def load(self, case_id):
            raise ValueError("049.nii: truncated")

    problems = checks.check_dataset(Broken(_case()))
    assert _only(problems, "unreadable") == "049.nii: truncated"


def test_cases_with_the_same_voxels():
    problems = checks.check_dataset(_Dataset(_case("a"), _case("b")))
    assert _only(problems, "repeated") == "has the same voxels as case a"


def test_problems_of_the_data_set_itself_are_included():
    class Known(_Dataset):
        def problems(self):
            return [checks.Problem("labels", "table.csv", "no such patient")]

    assert _only(checks.check_dataset(Known(_case())), "labels") == "no such patient"


def test_an_affine_that_contradicts_the_spacing():
    volume = _volume(spacing_mm=(4.0, PIXEL_MM, PIXEL_MM))
    message = _only(checks.check_case(_case(volume=volume)), "geometry")
    assert message == (
        "the affine has steps (5.0, 1.7, 1.7) mm, the spacing is (4.0, 1.7, 1.7)"
    )


def test_an_impossible_spacing():
    affine = _volume().affine.copy()
    affine[2, 0] = 50
    volume = _volume(
        spacing_mm=(50.0, PIXEL_MM, PIXEL_MM),
        affine=affine,
        slice_positions_mm=50.0 * np.arange(3),
    )
    message = _only(checks.check_case(_case(volume=volume)), "geometry")
    assert message == "a z spacing of 50 mm is not in 0.1 to 20"


def test_missing_slices():
    volume = _volume(
        notes=(
            Note("missing slices", "missing slices: no file for 3"),
            Note("values", "something else"),
        )
    )
    message = _only(checks.check_case(_case(volume=volume)), "slices")
    assert message == "missing slices: no file for 3"


def test_mask_values():
    case = _case()
    case.mask[1, 60:70, 60:70] = 255
    message = _only(checks.check_case(case), "mask")
    assert message == "values must be 0 and 1, the largest is 255"


def test_labels_against_the_mask():
    case = _case()
    case.labels[:] = 0
    case.labels[2, [0, 5]] = 1
    problems = checks.check_case(case)
    assert [problem.message for problem in problems] == [
        "a mask but no hemorrhage label in slice(s) 2, counted from the foot",
        "a hemorrhage label but no mask in slice(s) 3, counted from the foot",
    ]
    case = dataclasses.replace(case, mask=None)
    assert checks.check_case(case) == []


def test_any_against_the_subtypes():
    case = dataclasses.replace(_case(bleeding=False), mask=None)
    case.labels[0, 3] = 1
    message = _only(checks.check_case(case), "labels")
    assert message == (
        "`any` contradicts the subtypes in slice(s) 1, counted from the foot"
    )


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    [
        "head-ct-dicom/ge-series",
        "head-ct-dicom/ge-series/06.dcm",
        "head-ct-dicom/ge-series/26.dcm",
        "head-ct-dicom/chronic-sdh/uncompressed.dcm",
        "head-ct-dicom/chronic-sdh/jpeg2000-lossless.dcm",
        "transfer-syntaxes/CT2_J2KR",
    ],
)
def test_real_heads_are_accepted(shared, name):
    assert checks.refuse_not_head_ct(dicom.read(shared / "data" / name)) == []


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name, reason",
    [
        ("mixed-study", "of what bone encloses is soft tissue"),
        ("head-ct-dicom/chronic-sdh/ruined-by-lossy-coding.dcm", "no noise at all"),
        ("transfer-syntaxes/CTImage.dcm", "bone encloses 10 cm2 at most"),
    ],
)
def test_what_is_no_head_is_refused(shared, name, reason):
    assert reason in _reason(dicom.read(shared / "data" / name))


@pytest.mark.real_data
# 050: a narrower window; 085: an infant with open sutures.
@pytest.mark.parametrize("case_id", ["049", "050", "085", "130"])
def test_real_patients_in_the_jpg_layout_are_accepted(shared, case_id):
    dataset = ct_ich.CtIch(shared / "data" / "ct-ich-v1")
    assert checks.check_case(dataset.load(case_id)) == []


def test_a_scan_cut_another_way_is_refused():
    """Every second row of an axial scan: what a coronal scan looks like, permuted."""
    volume = _volume()
    squashed = dataclasses.replace(
        volume,
        hu=volume.hu[:, ::2],
        spacing_mm=(5.0, 2 * PIXEL_MM, PIXEL_MM),
        affine=volume.affine @ np.diag([1.0, 2.0, 1.0, 1.0]),
    )
    (problem,) = checks.refuse_not_head_ct(squashed)
    assert "3.4x1.7 mm" in problem.message
    assert checks.refuse_not_head_ct(volume) == []
