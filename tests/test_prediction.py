import csv
import json

import nibabel
import numpy as np
import pytest
from PIL import Image

from ich_tf import cli, labels, models
from ich_tf.data import layouts
from ich_tf.models import weights
from ich_tf.report import classifier, figures, heads, prediction

SIZE = 128
CLASSIFIER = {
    classifier.SLICES: {
        "name": "resnext",
        "kwargs": {
            "cardinality": 2,
            "width": 2,
            "filters": 4,
            "input_shape": (64, 64, 3),
        },
    },
    classifier.SEQUENCE: {
        "name": "sequence",
        "kwargs": {"features": 128, "components": 8, "hidden": 4, "layers": 1},
    },
}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """One phantom head in each layout."""
    folder = tmp_path_factory.mktemp("scans")
    for layout in layouts.WRITERS:
        layouts.write_phantom(
            layout, folder / layout, cases=1, seed=3, slices=12, size=SIZE
        )
    return folder


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory):
    """A small network that answers with the brightness of its input."""
    folder = tmp_path_factory.mktemp("weights")
    kwargs = {"filters": [4, 8], "input_shape": [64, 64, 1]}
    build = {"name": "unet", "kwargs": kwargs}
    model = models.build("unet", filters=(4, 8), input_shape=(64, 64, 1))
    entry = {
        "build": build,
        "preprocessing": {
            "approach": "approach1",
            "channels": 1,
            "size": 64,
            "tile": 64,
            "stride": 64,
        },
        "trained_on": "nothing",
        "metric": "none",
    }
    weights.ship(model, prediction.DEFAULT_WEIGHTS, folder, entry)
    for name, build in CLASSIFIER.items():
        model = models.build(build["name"], **build["kwargs"])
        entry = {**entry, "build": build, "preprocessing": {"size": 64}}
        weights.ship(model, name, folder, entry)
    return folder


def inputs_of(scans):
    return {
        "nifti": scans / "ct-ich" / "ct_scans" / "049.nii",
        "dicom": scans / "rsna" / "stage_2_train",
        "jpg": scans / "ct-ich-v1" / "Patients_CT" / "049",
    }


@pytest.mark.parametrize("kind", ["nifti", "dicom", "jpg"])
def test_predict_writes_mask_pictures_and_numbers(scans, weights_dir, tmp_path, kind):
    source = inputs_of(scans)[kind]
    found = prediction.predict(source, tmp_path, weights_dir=weights_dir)
    written = json.loads((tmp_path / "prediction.json").read_text())
    assert written == found
    mask = np.asarray(nibabel.load(tmp_path / "mask.nii.gz").dataobj)
    assert mask.sum() == sum(found["slice_pixels"])
    assert found["slices"] == 12
    for picture in found["pictures"]:
        with Image.open(tmp_path / picture) as image:
            assert min(image.size) >= SIZE
    table = tmp_path / "probabilities.csv"
    if kind == "jpg":
        assert found["classification"]["scan"] is None
        assert "window" in found["classification"]["reason"]
        assert not table.exists()
        assert found["volume_ml"] is None
        assert "--spacing" in found["reason"]
        return
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["slice"] for row in rows] == [str(z) for z in range(1, 13)]
    for name, value in found["classification"]["scan"].items():
        assert value == max(float(row[name]) for row in rows)
    assert list(found["classification"]["scan"]) == list(labels.CLASSES)
    voxel_ml = found["slice_area_mm2"], found["slice_pixels"]
    area_ml = sum(voxel_ml[0]) * 5 / 1000
    assert found["volume_ml"] == pytest.approx(area_ml, rel=1e-3)


def test_mask_lies_on_the_inputs_grid(scans, weights_dir, tmp_path):
    source = inputs_of(scans)["nifti"]
    prediction.predict(source, tmp_path, weights_dir=weights_dir)
    scan, mask = nibabel.load(source), nibabel.load(tmp_path / "mask.nii.gz")
    assert mask.shape == scan.shape
    np.testing.assert_array_equal(mask.affine, scan.affine)


def test_spacing_gives_millilitres(scans, weights_dir, tmp_path, capsys):
    arguments = ["predict", str(inputs_of(scans)["jpg"]), "--out", str(tmp_path)]
    arguments += ["--weights-dir", str(weights_dir), "--spacing", "5", "0.5", "0.5"]
    assert cli.main(arguments) == 0
    found = json.loads((tmp_path / "prediction.json").read_text())
    pixels = sum(found["slice_pixels"])
    assert found["volume_ml"] == pytest.approx(pixels * 0.00125, abs=1e-3)
    assert "not a medical device" in capsys.readouterr().out


def test_what_is_no_head_is_refused_and_nothing_written(weights_dir, tmp_path, capsys):
    water = np.zeros((32, 32, 6), np.int16)
    path = tmp_path / "water.nii"
    nibabel.save(nibabel.Nifti1Image(water, np.diag([1, 1, 5, 1])), path)
    out = tmp_path / "out"
    arguments = ["predict", str(path), "--out", str(out)]
    assert cli.main([*arguments, "--weights-dir", str(weights_dir)]) == 2
    error = capsys.readouterr().err
    assert "water.nii is refused" in error
    assert not out.exists()


def test_missing_weights_are_named(scans, tmp_path, capsys):
    arguments = ["predict", str(inputs_of(scans)["nifti"]), "--out", str(tmp_path)]
    assert cli.main([*arguments, "--weights-dir", str(tmp_path)]) == 2
    assert "No shipped weights" in capsys.readouterr().err


def test_overlay_marks_the_outline():
    hu = np.full((8, 8), 40, np.float32)
    mask = np.zeros((8, 8), np.uint8)
    mask[3:5, 3:5] = 1
    picture = figures.overlay(hu, mask)
    assert picture[0, 0].tolist() == [127, 127, 127]
    assert picture[2, 3].tolist() == figures.COLOUR.tolist()
    assert picture[3, 3, 0] > picture[3, 3, 1]
    assert figures.gray(np.array([0.0, 40.0, 80.0, 500.0])).tolist() == [
        0,
        127,
        255,
        255,
    ]


@pytest.mark.real_data
@pytest.mark.parametrize(
    "source",
    [
        "head-ct-dicom/ge-series",
        "head-ct-dicom/chronic-sdh/uncompressed.dcm",
        "ct-ich-v1/Patients_CT/067",
    ],
)
def test_shipped_weights_run_on_real_heads(shared, tmp_path, source):
    found = prediction.predict(shared / "data" / source, tmp_path)
    assert len(found["slice_pixels"]) == found["slices"]
    assert (found["volume_ml"] is None) == source.startswith("ct-ich-v1")


@pytest.mark.real_data
@pytest.mark.parametrize(
    "source", ["mixed-study", "head-ct-dicom/chronic-sdh/ruined-by-lossy-coding.dcm"]
)
def test_what_only_looks_like_a_head_is_refused(shared, tmp_path, source):
    with pytest.raises(heads.NotHeadCT, match="is refused"):
        prediction.predict(shared / "data" / source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_shipped_weights_still_compute_what_they_did():
    entry = weights.read_manifest()[prediction.DEFAULT_WEIGHTS]
    weights.check_probe(weights.load_shipped(prediction.DEFAULT_WEIGHTS), entry)
    assert entry["bytes"] <= 10_000_000
    assert entry["trained_on"] == "phantom"
