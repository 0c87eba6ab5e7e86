"""What a prediction measures, on arrays drawn by hand."""

import dataclasses
import sys

import nibabel
import numpy as np
import pytest
from hand_made import prediction

from ich_tf import labels
from ich_tf.prediction import lesions, notebook, result, saving, scan_page
from ich_tf.volume import Volume


def test_millilitres_by_scan_subtype_and_slice():
    found = prediction()
    assert found.volume_ml == pytest.approx(0.05)
    assert found.subtype_ml["epidural"] == pytest.approx(0.04)
    assert found.subtype_ml["subdural"] == pytest.approx(0.01)
    assert found.subtype_ml["subarachnoid"] == 0
    assert found.slice_pixels.tolist() == [0, 4, 4, 2]
    assert found.bounds_ml == (pytest.approx(0.05), pytest.approx(0.05))


def test_lesions_have_subtype_volume_extent_and_density():
    first, second = prediction().lesions
    assert dataclasses.asdict(first) == {
        "number": 1,
        "subtype": "epidural",
        "pixels": 8,
        "volume_ml": 0.04,
        "first_slice": 2,
        "last_slice": 3,
        "mean_hu": 60.0,
        "deviation_hu": 0.0,
        "centre": (1.5, 1.5, 1.5),
    }
    assert (second.subtype, second.number, second.pixels) == ("subdural", 2, 2)
    # 40 and 50 HU: mean 45, each 5 away from it.
    assert (second.mean_hu, second.deviation_hu) == (45.0, 5.0)
    assert (second.first_slice, second.last_slice) == (4, 4)


def test_corners_connect_and_subtypes_divide():
    hu = np.zeros((1, 4, 4), np.float32)
    mask = np.zeros((1, 4, 4), np.uint8)
    mask[0, 0, 0] = mask[0, 1, 1] = 1
    volume = Volume(hu, None, None, None)
    (only,) = lesions.find(volume, mask, None)
    assert (only.pixels, only.volume_ml, only.subtype) == (2, None, None)
    subtypes = mask.copy()
    subtypes[0, 1, 1] = 2
    assert [part.subtype for part in lesions.find(volume, mask, subtypes)] == [
        "epidural",
        "intraparenchymal",
    ]
    assert lesions.find(volume, 0 * mask, 0 * subtypes) == ()


def test_an_answer_that_agrees_has_no_contradiction():
    found = prediction()
    assert found.contradictions == found.slice_contradictions == ()


def test_a_probability_without_mask_is_a_contradiction():
    of_scan = np.array([0.9, 0, 0, 0.7, 0.8, 0.9])
    (said,) = prediction(scan_probability=of_scan).contradictions
    assert said == result.Contradiction("subarachnoid", 0.7, 0)


def test_a_mask_without_probability_is_a_contradiction_from_a_tenth_of_a_ml_on():
    nothing = np.zeros(6)
    # The mask has 0.05 ml in all.
    assert prediction(scan_probability=nothing).contradictions == ()
    large = prediction(scan_probability=nothing, spacing=False)
    assert [(said.name, said.pixels) for said in large.contradictions] == [
        ("epidural", 8),
        ("subdural", 2),
        ("any", 10),
    ]


def test_slices_that_disagree_are_numbered():
    of_slices = np.zeros((4, 6))
    of_slices[[0, 1, 2], 5] = 0.9
    found = prediction(slice_probability=of_slices).slice_contradictions
    assert [(said.number, said.pixels) for said in found] == [(1, 0), (4, 2)]


def test_quiet_slices_count_in_no_volume_and_are_named():
    # The cube of 8 voxels lies in the second and the third slice, two voxels in the
    # fourth. The first and the third slice have a probability below 0.85.
    of_slices = np.zeros((4, 6))
    of_slices[1, 5], of_slices[2, 5], of_slices[3, 5] = 0.9, 0.8, 0.9
    given = {"slice_probability": of_slices, "slice_threshold": 0.85}
    found = prediction(**given)
    assert found.quiet_slices.tolist() == [True, False, True, False]
    assert found.as_dict()["unmarked_slices"] == [3]
    # 4 voxels of the second and 2 of the fourth slice, of 5 mm3 each; the bounds
    # are at the thresholds 0.8 and 0.2, and each voxel has 0.9.
    assert found.bounds_ml == (0.03, 0.03)
    everything = prediction(**given, calibrated=False)
    assert everything.bounds_ml == (0.05, 0.05)
    assert everything.as_dict()["unmarked_slices"] == []


def test_a_slice_against_its_scan_is_said():
    found = prediction()
    column = found.classes.index(labels.ANY)

    def answer(of_slices, of_scan):
        slices, scan = found.slice_probability.copy(), found.scan_probability.copy()
        slices[:, column], scan[column] = of_slices, of_scan
        return dataclasses.replace(
            found, slice_probability=slices, scan_probability=scan, calibrated=True
        )

    against = answer([0.1, 0.77, 0.6, 0.2], 0.01)
    assert against.slices_against_scan == (2, 3)
    said = "0.01 for the scan, but 0.77 for slice 2, 3"
    assert any(said in warning for warning in scan_page.warnings(against))
    assert answer([0.1, 0.4, 0.3, 0.2], 0.93).slices_against_scan == (2,)
    assert answer([0.1, 0.7, 0.3, 0.2], 0.93).slices_against_scan == ()
    assert answer([0.1, 0.4, 0.3, 0.2], 0.2).slices_against_scan == ()


def test_what_is_not_calibrated_contradicts_nothing():
    found = prediction(scan_probability=np.zeros(6), calibrated=False, spacing=False)
    assert found.contradictions == found.slice_contradictions == ()


def test_json_without_subtypes_or_spacing_says_why():
    found = prediction(spacing=False, subtypes=None).as_dict()
    assert found["subtypes"] == {"reason": result.NO_SUBTYPES}
    assert found["volume_ml"] is found["slice_area_mm2"] is None
    assert found["reason"] == result.NO_SPACING
    assert {lesion["subtype"] for lesion in found["lesions"]} == {None}


def test_out_of_distribution_is_by_slice_and_scan():
    told = prediction().as_dict()["out_of_distribution"]
    assert told == {"scan": False, "slices": [4]}
    beyond = prediction(ood_slices=np.array([True, True, True, False]))
    assert beyond.out_of_distribution is True


def test_saved_subtypes_have_labels_one_to_five(tmp_path):
    found = prediction()
    names = found.save(tmp_path)
    assert {saving.SUBTYPES, saving.LABEL_TABLE, saving.PAGE} <= set(names)
    stored = np.asarray(nibabel.load(tmp_path / saving.SUBTYPES).dataobj)
    assert sorted(np.unique(stored)) == [0, 1, 5]
    assert (stored == 1).sum() == 8
    lines = (tmp_path / saving.LABEL_TABLE).read_text().splitlines()
    assert lines[1:] == [f"{k} {name}" for k, name in enumerate(labels.SUBTYPES, 1)]


def test_a_notebook_shows_a_viewer_or_every_slice(monkeypatch):
    sheet = notebook.contact_sheet(prediction())
    # Four slices of 8 pixels, made larger to cells of 256.
    assert sheet.size == (4 * notebook.figures.CELL, notebook.figures.CELL)
    assert prediction(spacing=False).show().size == sheet.size
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    assert prediction().show().size == sheet.size


def test_the_notebook_viewer_holds_scan_and_mask():
    ipyniivue = pytest.importorskip("ipyniivue", reason="ipyniivue is not installed")
    widget = prediction().show()
    assert isinstance(widget, ipyniivue.NiiVue)
    assert len(widget.volumes) == 2
