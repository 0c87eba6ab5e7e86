import csv
import dataclasses
import json
import shutil

import nibabel
import numpy as np
import pydicom
import pytest
import small_network
from PIL import Image

from ich_tf import cli, owned_record, paths
from ich_tf.models import probe, weights
from ich_tf.prediction import figures, inputs, predict, result, saving
from ich_tf.synthetic import layouts

SIZE = 128


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
    return small_network.ship(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def own_weights(weights_dir, tmp_path):
    """Weights that a test may damage."""
    return shutil.copytree(weights_dir, tmp_path / "weights")


def inputs_of(scans):
    return {
        "nifti": scans / "ct-ich" / "ct_scans" / "049.nii",
        "dicom": scans / "rsna" / "stage_2_train",
        "jpg": scans / "ct-ich-v1" / "Patients_CT" / "049",
    }


@pytest.fixture(scope="module")
def predictor(weights_dir):
    return predict.Predictor(weights_dir=weights_dir)


@pytest.mark.parametrize("kind", ["nifti", "dicom", "jpg"])
def test_the_command_writes_masks_pictures_tables_and_a_page(
    scans, weights_dir, tmp_path, kind
):
    source, out = inputs_of(scans)[kind], tmp_path / "out"
    arguments = ["predict", str(source), "--out", str(out)]
    assert cli.main([*arguments, "--weights-dir", str(weights_dir)]) == 0
    found = json.loads((out / saving.RESULT).read_text())
    mask = np.asarray(nibabel.load(out / saving.MASK).dataobj)
    assert mask.sum() == sum(found["slice_pixels"])
    unsure = np.asarray(nibabel.load(out / saving.UNCERTAINTY).dataobj)
    assert unsure.shape == mask.shape
    assert 0 < unsure.max() <= 100
    assert found["slices"] == 12
    for picture in found["pictures"]:
        with Image.open(out / picture) as image:
            assert min(image.size) >= SIZE
    if kind == "jpg":
        assert found["volume_ml"] is None
        assert found["reason"] == result.NO_SPACING
    else:
        low, high = (found["between"][name] for name in ("low_ml", "high_ml"))
        assert low <= found["volume_ml"] <= high
        # Slices lie 5 mm apart.
        area_ml = sum(found["slice_area_mm2"]) * 5 / 1000
        assert found["volume_ml"] == pytest.approx(area_ml, rel=1e-3)
    rows = list(csv.DictReader((out / saving.PROBABILITIES).read_text().splitlines()))
    assert [row.pop("slice") for row in rows] == [*map(str, range(1, 13)), "scan"]
    rows = [{name: float(value) for name, value in row.items()} for row in rows]
    told = found["probabilities"]
    assert rows == [*told["slices"], told["scan"]]
    assert told["scan"]["any"] == max(row["any"] for row in told["slices"])
    lesions = list(csv.DictReader((out / saving.LESIONS).read_text().splitlines()))
    assert sum(int(lesion["pixels"]) for lesion in lesions) == mask.sum()


def test_a_prediction_touches_no_file_until_it_is_saved(scans, predictor, tmp_path):
    volume = inputs.read(inputs_of(scans)["nifti"]).volume
    before = sorted(path for path in scans.rglob("*"))
    found = predictor(volume)
    assert sorted(path for path in scans.rglob("*")) == before
    assert found.probability.shape == found.mask.shape == volume.hu.shape
    np.testing.assert_array_equal(found.mask, found.probability > 0.5)
    written = found.save(tmp_path / "out")
    there = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert set(written) == there


def test_neither_file_nor_folder_is_named_in_the_results(scans, weights_dir, tmp_path):
    folder = tmp_path / "DOE^JANE 1950-01-01"
    folder.mkdir()
    source = shutil.copy(inputs_of(scans)["nifti"], folder / "Doe 1950-01-01.nii")
    out = tmp_path / "out"
    found = predict.predict(source, weights_dir=weights_dir)
    found.save(out)
    for name in (saving.RESULT, saving.PAGE, saving.PROBABILITIES, saving.LESIONS):
        assert b"1950-01-01" not in (out / name).read_bytes()


def test_somebodys_own_files_stay(scans, predictor, tmp_path):
    volume, out = inputs.read(inputs_of(scans)["nifti"]).volume, tmp_path / "out"
    out.mkdir()
    found = predictor(volume)
    for name in ("mask.nii.gz", "slice-900.png"):
        (out / name).write_text("mine")
        with pytest.raises(owned_record.ForeignFile, match=name):
            saving.check(out)
        assert (out / name).read_text() == "mine"
        (out / name).unlink()
    first = found.save(out)
    (out / "notes.txt").write_text("mine")
    nothing = dataclasses.replace(
        found, mask=np.zeros_like(found.mask), probability=0 * found.probability
    )
    again = nothing.save(out)
    assert set(again) < set(first)
    kept = {path.name for path in out.iterdir() if path.is_file()}
    assert kept == {*again, "notes.txt"}


def test_mask_lies_on_the_inputs_grid(scans, predictor, tmp_path):
    source = inputs_of(scans)["nifti"]
    predictor(inputs.read(source).volume).save(tmp_path)
    scan, mask = nibabel.load(source), nibabel.load(tmp_path / "mask.nii.gz")
    assert mask.shape == scan.shape
    np.testing.assert_array_equal(mask.affine, scan.affine)


def test_a_rectangular_scan_keeps_its_proportions(scans, predictor, tmp_path):
    """Rows of air cut off a head change nothing of what is found in the rest."""
    scan = nibabel.load(inputs_of(scans)["nifti"])
    voxels, cut = np.asarray(scan.dataobj), 8
    lower = voxels.min()
    voxels[:, :cut] = voxels[:, -cut:] = lower
    whole, part = tmp_path / "whole.nii", tmp_path / "part.nii"
    nibabel.save(nibabel.Nifti1Image(voxels, scan.affine), whole)
    nibabel.save(nibabel.Nifti1Image(voxels[:, cut:-cut], scan.affine), part)
    masks = [predictor(inputs.read(source).volume).mask for source in (whole, part)]
    assert sorted(masks[1].shape) == [12, SIZE - 2 * cut, SIZE]
    narrow = masks[1].shape.index(SIZE - 2 * cut)
    inside = tuple(
        slice(cut, -cut) if axis == narrow else slice(None) for axis in range(3)
    )
    np.testing.assert_array_equal(masks[0][inside], masks[1])
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
    verb = ["predict", str(folder)]
    assert cli.main([*verb, *arguments]) == 2
    assert "2 CT series" in capsys.readouterr().err
    assert cli.main([*verb, *arguments, "--series", "1.2.4"]) == 0
    nifti = str(inputs_of(scans)["nifti"])
    assert cli.main(["predict", nifti, *arguments, "--series", "1.2.4"]) == 2
    error = capsys.readouterr().err
    assert nifti in error and "series 1.2.4" in error


def test_a_folder_that_cannot_be_written_is_said_first(
    scans, weights_dir, tmp_path, capsys
):
    (tmp_path / "file").write_text("")
    arguments = ["predict", str(inputs_of(scans)["nifti"]), "--out"]
    arguments += [str(tmp_path / "file" / "out"), "--weights-dir", str(weights_dir)]
    assert cli.main(arguments) == 2
    assert str(tmp_path / "file" / "out") in capsys.readouterr().err


def test_spacing_gives_millilitres(scans, weights_dir, tmp_path, capsys):
    arguments = ["predict", str(inputs_of(scans)["jpg"]), "--out", str(tmp_path)]
    arguments += ["--weights-dir", str(weights_dir), "--spacing", "5", "0.5", "0.5"]
    assert cli.main(arguments) == 0
    found = json.loads((tmp_path / "prediction.json").read_text())
    pixels = sum(found["slice_pixels"])
    assert found["volume_ml"] == pytest.approx(pixels * 0.00125, abs=1e-3)
    assert inputs.DISCLAIMER in capsys.readouterr().out


def test_what_is_no_head_is_refused_and_nothing_written(weights_dir, tmp_path, capsys):
    water = np.zeros((32, 32, 6), np.int16)
    path = tmp_path / "water.nii"
    nibabel.save(nibabel.Nifti1Image(water, np.diag([1, 1, 5, 1])), path)
    out = tmp_path / "out"
    arguments = ["predict", str(path), "--out", str(out)]
    assert cli.main([*arguments, "--weights-dir", str(weights_dir)]) == 2
    error = capsys.readouterr().err
    assert "water.nii" in error
    assert not out.exists()


@pytest.mark.parametrize("damage", ["bytes", "probe"])
def test_damaged_weights_are_an_error_and_nothing_is_written(
    scans, own_weights, tmp_path, capsys, damage
):
    name = predict.DEFAULT_WEIGHTS
    if damage == "bytes":
        path = own_weights / f"{name}.weights.h5"
        path.write_bytes(path.read_bytes() + b"!")
    else:
        manifest = weights.read_manifest(own_weights)
        manifest[name]["probe"]["log_odds"][0] += 1
        (own_weights / weights.MANIFEST).write_text(json.dumps(manifest))
    out = tmp_path / "out"
    arguments = ["predict", str(inputs_of(scans)["nifti"]), "--out", str(out)]
    assert cli.main([*arguments, "--weights-dir", str(own_weights)]) == 2
    assert f"{name}.weights.h5" in capsys.readouterr().err
    assert not out.exists()


def test_missing_weights_are_named(scans, tmp_path, capsys):
    arguments = ["predict", str(inputs_of(scans)["nifti"]), "--out", str(tmp_path)]
    assert cli.main([*arguments, "--weights-dir", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


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
def test_shipped_weights_run_on_real_heads(shared, source):
    found = predict.predict(shared / "data" / source)
    assert found.mask.shape == found.volume.hu.shape
    assert (found.volume_ml is None) == source.startswith("ct-ich-v1")


@pytest.mark.real_data
@pytest.mark.parametrize(
    "source", ["mixed-study", "head-ct-dicom/chronic-sdh/ruined-by-lossy-coding.dcm"]
)
def test_what_only_looks_like_a_head_is_refused(shared, source):
    with pytest.raises(inputs.NotHeadCT, match="is refused"):
        predict.predict(shared / "data" / source)


@pytest.mark.parametrize("name", weights.read_manifest())
def test_shipped_weights_still_compute_what_they_did(name):
    entry = weights.read_manifest()[name]
    probe.check(weights.load_shipped(name), entry)
    assert "phantom" in entry["trained_on"]


def test_all_shipped_weights_are_listed_and_small():
    manifest = weights.read_manifest()
    assert predict.DEFAULT_WEIGHTS in manifest
    files = paths.weights().glob("*.weights.h5")
    sizes = {path.name: path.stat().st_size for path in files}
    assert sizes == {entry["file"]: entry["bytes"] for entry in manifest.values()}
    # Ten megabytes for each segmentation, and ten for the classifier's two networks.
    segmenting = ("unetplusplus-phantom", "unetplusplus-painted")
    for name in (predict.DEFAULT_WEIGHTS, *segmenting):
        assert sizes.pop(manifest[name]["file"]) <= 10_000_000
    assert sum(sizes.values()) <= 10_000_000
