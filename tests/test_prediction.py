import csv
import json
import shutil

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from ich_tf import cli, labels, models, paths
from ich_tf.models import weights
from ich_tf.prediction import classify, figures, inputs, predict
from ich_tf.synthetic import layouts

SIZE = 128
CLASSIFIER = {
    classify.SLICES: {
        "name": "resnext",
        "kwargs": {
            "cardinality": 2,
            "width": 2,
            "filters": 4,
            "input_shape": (64, 64, 3),
        },
    },
    classify.SEQUENCE: {
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
    build = {"name": "unetplusplus", "kwargs": kwargs}
    model = models.build("unetplusplus", filters=(4, 8), input_shape=(64, 64, 1))
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
    weights.ship(model, predict.DEFAULT_WEIGHTS, folder, entry)
    for name, build in CLASSIFIER.items():
        model = models.build(build["name"], **build["kwargs"])
        preprocessing = {"images": "windows", "size": 64}
        entry = {**entry, "build": build, "preprocessing": preprocessing}
        weights.ship(model, name, folder, entry)
    return folder


@pytest.fixture
def own_weights(weights_dir, tmp_path):
    """Weights that a test may damage."""
    return shutil.copytree(weights_dir, tmp_path / "weights")


def rewrite_manifest(folder, change):
    manifest = weights.read_manifest(folder)
    change(manifest)
    (folder / weights.MANIFEST).write_text(json.dumps(manifest))


def inputs_of(scans):
    return {
        "nifti": scans / "ct-ich" / "ct_scans" / "049.nii",
        "dicom": scans / "rsna" / "stage_2_train",
        "jpg": scans / "ct-ich-v1" / "Patients_CT" / "049",
    }


@pytest.mark.parametrize("kind", ["nifti", "dicom", "jpg"])
def test_predict_writes_mask_pictures_and_numbers(scans, weights_dir, tmp_path, kind):
    source = inputs_of(scans)[kind]
    found = predict.predict(source, tmp_path, weights_dir=weights_dir)
    written = json.loads((tmp_path / "prediction.json").read_text())
    assert written == found
    mask = np.asarray(nibabel.load(tmp_path / "mask.nii.gz").dataobj)
    assert mask.sum() == sum(found["slice_pixels"])
    unsure = np.asarray(nibabel.load(tmp_path / "uncertainty.nii.gz").dataobj)
    assert unsure.shape == mask.shape
    assert 0 < unsure.max() <= 100
    if kind != "jpg":
        low, high = (found["between"][name] for name in ("low_ml", "high_ml"))
        assert low <= found["volume_ml"] <= high
    assert found["slices"] == 12
    for picture in found["pictures"]:
        with Image.open(tmp_path / picture) as image:
            assert min(image.size) >= SIZE
    table = tmp_path / "probabilities.csv"
    classified = found["classification"]
    if kind == "jpg":
        assert classified["scan"] is classified["slices"] is None
        assert "the volume was saturated" in classified["reason"]
        assert not table.exists()
        assert found["volume_ml"] is None
        assert "--spacing" in found["reason"]
        return
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row.pop("slice") for row in rows] == [*map(str, range(1, 13)), "scan"]
    rows = [{name: float(value) for name, value in row.items()} for row in rows]
    assert rows == [*classified["slices"], classified["scan"]]
    for name, value in classified["scan"].items():
        assert value == max(row[name] for row in classified["slices"])
    assert list(classified["scan"]) == list(labels.CLASSES)
    assert classified["network"] == "resnext-lstm-phantom"
    assert classified["sees"] == "all slices of the scan together"
    assert classified["weights"]["trained_on"] == "nothing"
    voxel_ml = found["slice_area_mm2"], found["slice_pixels"]
    area_ml = sum(voxel_ml[0]) * 5 / 1000
    assert found["volume_ml"] == pytest.approx(area_ml, rel=1e-3)


def test_somebodys_own_files_stay(scans, weights_dir, tmp_path):
    source, out = inputs_of(scans)["nifti"], tmp_path / "out"
    out.mkdir()
    for name in ("mask.nii.gz", "slice-900.png"):
        (out / name).write_text("mine")
        with pytest.raises(ValueError, match=f"holds {name}, which no earlier"):
            predict.predict(source, out, weights_dir=weights_dir)
        assert [path.name for path in out.iterdir()] == [name]
        assert (out / name).read_text() == "mine"
        (out / name).unlink()
    first = predict.predict(source, out, weights_dir=weights_dir)
    (out / "notes.txt").write_text("mine")
    again = predict.predict(source, out, weights_dir=weights_dir, threshold=0.999)
    assert again["slice_pixels"] != first["slice_pixels"]
    kept = {*predict.FILES, *again["pictures"], predict.RESULT, "notes.txt"}
    assert {path.name for path in out.iterdir()} == kept


def test_mask_lies_on_the_inputs_grid(scans, weights_dir, tmp_path):
    source = inputs_of(scans)["nifti"]
    predict.predict(source, tmp_path, weights_dir=weights_dir)
    scan, mask = nibabel.load(source), nibabel.load(tmp_path / "mask.nii.gz")
    assert mask.shape == scan.shape
    np.testing.assert_array_equal(mask.affine, scan.affine)


def test_a_rectangular_scan_keeps_its_proportions(scans, weights_dir, tmp_path):
    """Rows of air cut off a head change nothing of what is found in the rest."""
    scan = nibabel.load(inputs_of(scans)["nifti"])
    voxels, cut = np.asarray(scan.dataobj), 8
    lower = voxels.min()
    voxels[:, :cut] = voxels[:, -cut:] = lower
    whole, part = tmp_path / "whole.nii", tmp_path / "part.nii"
    nibabel.save(nibabel.Nifti1Image(voxels, scan.affine), whole)
    nibabel.save(nibabel.Nifti1Image(voxels[:, cut:-cut], scan.affine), part)
    masks = []
    for source in (whole, part):
        out = tmp_path / source.stem
        predict.predict(source, out, weights_dir=weights_dir)
        masks.append(np.asarray(nibabel.load(out / "mask.nii.gz").dataobj))
    assert masks[1].shape == (SIZE, SIZE - 2 * cut, 12)
    np.testing.assert_array_equal(masks[0][:, cut:-cut], masks[1])
    assert masks[1].any()


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # RSNA's are none.
def test_one_of_several_series_is_chosen(scans, weights_dir, tmp_path, capsys):
    folder = tmp_path / "study"
    for series in ("1.2.3", "1.2.4"):
        for path in inputs_of(scans)["dicom"].glob("*.dcm"):
            dataset = pydicom.dcmread(path)
            dataset.SeriesInstanceUID = series
            (folder / series).mkdir(parents=True, exist_ok=True)
            dataset.save_as(folder / series / path.name)
    arguments = ["--weights-dir", str(weights_dir), "--out", str(tmp_path / "out")]
    for verb in (
        ["predict", str(folder)],
        ["explain", str(folder), "--subtype", "any"],
    ):
        assert cli.main([*verb, *arguments]) == 2
        assert "2 CT series; choose one with `--series UID`" in capsys.readouterr().err
        assert cli.main([*verb, *arguments, "--series", "1.2.4"]) == 0
    nifti = str(inputs_of(scans)["nifti"])
    assert cli.main(["predict", nifti, *arguments, "--series", "1.2.4"]) == 2
    assert "is no DICOM: it has no series 1.2.4" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said_first(
    scans, weights_dir, tmp_path, capsys
):
    (tmp_path / "file").write_text("")
    arguments = ["predict", str(inputs_of(scans)["nifti"]), "--out"]
    arguments += [str(tmp_path / "file" / "out"), "--weights-dir", str(weights_dir)]
    assert cli.main(arguments) == 2
    assert "cannot be a folder" in capsys.readouterr().err


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


@pytest.mark.parametrize("name", CLASSIFIER)
@pytest.mark.parametrize("lost", ["entry", "file"])
def test_without_a_classifier_there_is_a_reason(
    scans, own_weights, tmp_path, capsys, name, lost
):
    if lost == "entry":
        rewrite_manifest(own_weights, lambda manifest: manifest.pop(name))
        reason = f"No shipped weights '{name}'"
    else:
        (own_weights / f"{name}.weights.h5").unlink()
        reason = f"{name}.weights.h5 does not exist"
    out = tmp_path / "out"
    out.mkdir()
    (out / "probabilities.csv").write_text("of an earlier scan")
    (out / predict.RESULT).write_text("{}")
    arguments = ["predict", str(inputs_of(scans)["nifti"]), "--out", str(out)]
    assert cli.main([*arguments, "--weights-dir", str(own_weights)]) == 0
    assert f"not classified: {reason}" in capsys.readouterr().out.replace(
        f"{own_weights}/", ""
    )
    found = json.loads((out / "prediction.json").read_text())["classification"]
    assert found["scan"] is found["slices"] is None
    assert reason in found["reason"]
    assert not (out / "probabilities.csv").exists()


@pytest.mark.parametrize("name", CLASSIFIER)
@pytest.mark.parametrize("damage", ["bytes", "probe"])
def test_a_damaged_classifier_is_an_error_and_nothing_is_written(
    scans, own_weights, tmp_path, capsys, name, damage
):
    if damage == "bytes":
        path = own_weights / f"{name}.weights.h5"
        path.write_bytes(path.read_bytes() + b"!")
        reason = "is not the file of the manifest: its sha256 is"
    else:
        probe = weights.read_manifest(own_weights)[name]["probe"]
        probe["log_odds"][0] += 1
        rewrite_manifest(own_weights, lambda found: found[name].update(probe=probe))
        reason = f"where {probe['log_odds']} was recorded"
    out = tmp_path / "out"
    arguments = ["predict", str(inputs_of(scans)["nifti"]), "--out", str(out)]
    assert cli.main([*arguments, "--weights-dir", str(own_weights)]) == 2
    error = capsys.readouterr().err
    assert f"{name}.weights.h5" in error and reason in error
    assert not out.exists()


def test_the_classifier_sees_the_images_it_was_trained_on(
    scans, own_weights, tmp_path, capsys
):
    """One of the brain window alone answers for the JPG of that window."""
    rewrite_manifest(
        own_weights,
        lambda manifest: manifest[classify.SLICES]["preprocessing"].update(
            images="brain"
        ),
    )
    arguments = ["predict", str(inputs_of(scans)["jpg"]), "--out", str(tmp_path)]
    assert cli.main([*arguments, "--weights-dir", str(own_weights)]) == 0
    shown = capsys.readouterr().out
    assert "probability of hemorrhage in the scan: epidural 0." in shown
    assert "resnext-lstm-phantom" in shown
    with pytest.raises(ValueError, match="Unknown images 'x'. Known: windows, brain"):
        classify.wrap(classify.load(weights_dir=own_weights).model, {}, "x")


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
    found = predict.predict(shared / "data" / source, tmp_path)
    assert len(found["slice_pixels"]) == found["slices"]
    assert (found["volume_ml"] is None) == source.startswith("ct-ich-v1")


@pytest.mark.real_data
@pytest.mark.parametrize(
    "source", ["mixed-study", "head-ct-dicom/chronic-sdh/ruined-by-lossy-coding.dcm"]
)
def test_what_only_looks_like_a_head_is_refused(shared, tmp_path, source):
    with pytest.raises(inputs.NotHeadCT, match="is refused"):
        predict.predict(shared / "data" / source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", weights.read_manifest())
def test_shipped_weights_still_compute_what_they_did(name):
    entry = weights.read_manifest()[name]
    weights.check_probe(weights.load_shipped(name), entry)
    assert "phantom" in entry["trained_on"]


def test_all_shipped_weights_are_listed_and_small():
    manifest = weights.read_manifest()
    assert predict.DEFAULT_WEIGHTS in manifest
    files = paths.weights().glob("*.weights.h5")
    sizes = {path.name: path.stat().st_size for path in files}
    assert sizes == {entry["file"]: entry["bytes"] for entry in manifest.values()}
    # Ten megabytes for each segmentation, and ten for the classifier's two networks.
    for name in (predict.DEFAULT_WEIGHTS, "unetplusplus-phantom"):
        assert sizes.pop(manifest[name]["file"]) <= 10_000_000
    assert sum(sizes.values()) <= 10_000_000
