"""Many scans: which are found, what becomes of each, and what the table says."""

import csv
import dataclasses
import gzip
import json
import shutil
import zipfile

import nibabel
import numpy as np
import pytest
import small_network

from ich_tf import cli
from ich_tf.io import dicom
from ich_tf.prediction import inputs, many, saving, scans
from ich_tf.synthetic import layouts, phantom

SIZE, SLICES = 64, 6


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory):
    return small_network.ship(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two NIfTI heads, one of them in a folder, and a file that is no head."""
    folder = tmp_path_factory.mktemp("given")
    made = tmp_path_factory.mktemp("made")
    layouts.write_phantom("ct-ich", made, cases=2, seed=3, slices=SLICES, size=SIZE)
    (folder / "ward b").mkdir()
    shutil.copy(made / "ct_scans" / "049.nii", folder / "a.nii")
    shutil.copy(made / "ct_scans" / "050.nii", folder / "ward b" / "a.nii")
    water = nibabel.Nifti1Image(np.zeros((32, 32, 6), np.int16), np.diag([1, 1, 5, 1]))
    nibabel.save(water, folder / "water.nii.gz")
    (folder / "readme.txt").write_text("no scan")
    return folder


def predict(*arguments):
    return cli.main(["predict", *map(str, arguments)])


def table(out):
    return list(csv.DictReader((out / many.TABLE).read_text().splitlines()))


def test_a_folder_is_predicted_scan_by_scan_and_a_failure_ends_nothing(
    folder,
    weights_dir,
    tmp_path,
    capsys,
):
    out = tmp_path / "out"
    arguments = (folder, "--out", out, "--weights-dir", weights_dir)
    assert predict(*arguments) == 1
    rows = table(out)
    assert [(row["scan"], row["status"]) for row in rows] == [
        ("a.nii", many.PREDICTED),
        ("ward b/a.nii", many.PREDICTED),
        ("water.nii.gz", many.FAILED),
    ]
    assert "2 of 3 scans" in capsys.readouterr().out
    assert "refused" in rows[2]["reason"]
    assert not (out / "water").exists()
    for row in rows[:2]:
        numbers = json.loads((out / row["folder"] / saving.RESULT).read_text())
        assert float(row["volume_ml"]) == numbers["volume_ml"]
        assert float(row["any_probability"]) == numbers["probabilities"]["scan"]["any"]
        assert row["slices"] == str(SLICES)
        assert row["subdural_ml"] == ""
    _resumed(arguments, out, folder)


def _resumed(arguments, out, folder):
    """What `--resume` keeps, and what it predicts again."""
    before = (out / "a" / saving.PAGE).stat().st_mtime_ns
    (out / "ward b" / "a" / saving.MASK).unlink()
    assert predict(*arguments, "--resume") == 1
    assert [row["status"] for row in table(out)] == [
        many.KEPT,
        many.PREDICTED,
        many.FAILED,
    ]
    assert (out / "a" / saving.PAGE).stat().st_mtime_ns == before
    assert predict(*arguments, "--resume", "--threshold", "0.9") == 1
    assert [row["status"] for row in table(out)][:2] == [many.PREDICTED] * 2


def test_a_scan_without_images_to_refer_to_says_that_no_dicom_was_written(
    folder, weights_dir, tmp_path, capsys
):
    pytest.importorskip("highdicom", reason="needs ich_tf[dicom]")
    out = tmp_path / "out"
    arguments = folder / "a.nii", "--out", out, "--weights-dir", weights_dir
    assert predict(*arguments, "--dicom") == 0
    reason = json.loads((out / saving.RESULT).read_text())["dicom"]["reason"]
    assert reason in capsys.readouterr().out
    # The same for each of several scans, also where they are kept.
    given = tmp_path / "given"
    given.mkdir()
    for name in ("a.nii", "b.nii"):
        shutil.copy(folder / "a.nii", given / name)
    arguments = given, "--out", tmp_path / "many", "--weights-dir", weights_dir
    for options in (("--dicom",), ("--dicom", "--resume")):
        assert predict(*arguments, *options) == 0
        assert capsys.readouterr().out.count(reason) == 2
        rows = table(tmp_path / "many")
        assert [row["reason"] for row in rows] == [f"{many.NO_DICOM}: {reason}"] * 2
    assert predict(*arguments, "--dicom", "--resume", "--anonymous") == 0
    assert {row["reason"] for row in table(tmp_path / "many")} == {many.NO_DICOM}


def test_anonymous_results_hold_no_name(folder, weights_dir, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = (folder, "--out", out, "--weights-dir", weights_dir)
    assert predict(*arguments, "--anonymous") == 1
    rows = table(out)
    assert [row["scan"] for row in rows] == ["scan-001", "scan-002", "scan-003"]
    assert [row["folder"] for row in rows] == ["scan-001", "scan-002", ""]
    assert rows[2]["reason"] == many.NOT_HEAD_CT
    shown = capsys.readouterr()
    for name in ("ward", "water", "a.nii"):
        assert name not in shown.out + shown.err
        assert name not in (out / many.TABLE).read_text()


def test_a_zip_is_read_and_json_is_printed(folder, weights_dir, tmp_path, capsys):
    path = tmp_path / "Scans.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(folder / "a.nii", "x/a.nii")
        packed.write(folder / "ward b" / "a.nii", "y/a.nii")
    out = tmp_path / "out"
    capsys.readouterr()
    assert predict(path, "--out", out, "--weights-dir", weights_dir, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [line["scan"] for line in told] == ["x/a.nii", "y/a.nii"]
    assert told[0]["numbers"]["slices"] == SLICES


def test_a_scan_that_fails_in_a_zip_is_named_after_the_zip(
    folder, weights_dir, tmp_path
):
    path, out = tmp_path / "Scans.zip", tmp_path / "out"
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(folder / "a.nii", "a.nii")
        packed.writestr("b.nii", b"no header")
    assert predict(path, "--out", out, "--weights-dir", weights_dir) == 1
    _, failed = table(out)
    assert failed["reason"].startswith(f"{path}/b.nii: ")


def test_errors_about_a_zip_name_the_zip(tmp_path):
    path = tmp_path / "Scans.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("inner/more.zip", b"PK\x03\x04")
        packed.writestr(".hidden/a.nii", b"x")
    with (
        pytest.raises(
            ValueError, match=r"Scans\.zip: .*hidden/a\.nii.*more\.zip"
        ) as error,
        scans.unpacked(path) as given,
    ):
        scans.find(given)
    assert "ich-tf-" not in str(error.value)


def write_export(folder, patients):
    """A DICOM export: patient to the slices of each of its series."""
    case = phantom.generate(5, 0, slices=SLICES, size=SIZE).case
    for patient, series in patients.items():
        for number, slices in enumerate(series):
            for z in range(slices):
                path = folder / patient / f"series{number}" / f"{z}.dcm"
                path.parent.mkdir(parents=True, exist_ok=True)
                uids = {
                    f"{level}InstanceUID": dicom.make_uid(*parts)
                    for level, parts in {
                        "Study": (patient,),
                        "Series": (patient, str(number)),
                        "SOP": (patient, str(number), str(z)),
                    }.items()
                }
                header = {
                    **uids,
                    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
                    "PatientID": patient,
                    "ImagePositionPatient": [0.0, 0.0, 5.0 * z],
                    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
                    "PixelSpacing": [3.0, 3.0],
                    "SliceThickness": 5.0,
                    "RescaleSlope": 1,
                    "RescaleIntercept": -1024,
                }
                hu = np.clip(case.volume.hu[z], -1024, 3000)
                dicom.write_slice(path, (hu + 1024).astype(np.uint16), header)


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    write_export(folder, {"one": (3, 6), "two": (4,)})
    return folder


def test_series_all_and_largest_of_each_study(export):
    every = scans.find(export, "all").scans
    assert sorted((scan.name, scan.series.slices) for scan in every) == [
        ("one/series0", 3),
        ("one/series1", 6),
        ("two/series0", 4),
    ]
    largest = scans.find(export, "largest").scans
    assert sorted(scan.name for scan in largest) == ["one/series1", "two/series0"]
    with pytest.raises(ValueError, match="3 CT series.*`--series all`.*largest`:\n"):
        scans.find(export)
    # `explain` reads one series.
    with pytest.raises(ValueError, match="if there is one:\n"):
        inputs.read(export)
    (named,) = scans.find(export, dicom.make_uid("two", "0")).scans
    assert named.series.slices == 4


def test_results_in_the_folder_are_no_scans(folder, tmp_path):
    given = shutil.copytree(folder, tmp_path / "given")
    (given / "out").mkdir()
    shutil.copy(given / "a.nii", given / "out" / "mask.nii.gz")
    names = [scan.name for scan in scans.find(given, without=given / "out").scans]
    assert names == ["a.nii", "ward b/a.nii", "water.nii.gz"]


def test_scans_that_would_share_a_folder_are_numbered(folder, tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    for name in ("a.nii", "a.nii.gz"):
        shutil.copy(folder / "a.nii", given / name)
    inputs = scans.find(given).scans
    assert len({scan.folder for scan in inputs}) == 2


@pytest.mark.parametrize("name", ["cut.nii", "CUT.NII.GZ", "empty.nii"])
def test_a_damaged_file_named_as_nifti_is_a_scan_that_fails(tmp_path, name):
    (tmp_path / name).write_bytes(b"" if name == "empty.nii" else b"no header")
    (tmp_path / f"{name}.bak").write_bytes(b"no header")
    (scan,) = scans.find(tmp_path).scans
    assert scan.name == name
    with pytest.raises(ValueError, match=name):
        scan.read(None)


@pytest.mark.parametrize("endings", [(".hdr", ".img"), (".HDR.gz", ".IMG.gz")])
def test_a_pair_is_one_scan(folder, tmp_path, endings):
    image = nibabel.load(folder / "a.nii")
    given = tmp_path / "given"
    given.mkdir()
    packed = ".gz" if endings[0].endswith(".gz") else ""
    pair = nibabel.Nifti1Pair(np.asarray(image.dataobj), image.affine)
    pair.to_filename(tmp_path / f"b.img{packed}")
    for written, ending in zip((".hdr", ".img"), endings, strict=True):
        (tmp_path / f"b{written}{packed}").rename(given / f"b{ending}")
    shutil.copy(folder / "a.nii", given / "a.nii")
    found = scans.find(given)
    single, pair = sorted(found.scans, key=lambda scan: scan.name)
    assert (single.name, pair.name) == ("a.nii", f"b{endings[0]}")
    assert pair.folder.as_posix() == "b" and found.unread == {}
    np.testing.assert_array_equal(pair.read().hu, single.read().hu)
    before = pair.digest
    (given / f"b{endings[1]}").write_bytes(b"other")
    assert scans.find(given).scans[1].digest != before


def test_a_file_that_may_hold_a_scan_is_never_passed_over_in_silence(
    folder, weights_dir, tmp_path, capsys
):
    given = tmp_path / "given"
    given.mkdir()
    shutil.copy(folder / "a.nii", given / "a.nii")
    (given / "b.nrrd").write_bytes(b"NRRD0004\n# 3D Slicer")
    with zipfile.ZipFile(given / "c.zip", "w") as packed:
        packed.writestr("scan.nii", "")
    (given / "d.mgz").write_bytes(gzip.compress(b"\0\0\0\x01\0\0\0\x80"))
    (given / "e.hdr").write_bytes(b"\x5c\x01\0\0" + bytes(344))
    (given / "f.img").write_bytes(b"\x01\x02\x03\x04")
    (given / "g.dcm").write_bytes(b"")
    (given / "h.dcm").write_bytes(b"\x01\x02no DICOM")
    (given / "i.hdr").write_bytes(b"\x5c\x01\0\0" + bytes(344))
    (given / "i.img").write_bytes(b"\x01\x02\x03\x04")
    (given / "notes.pdf").write_bytes(b"%PDF-1.4")
    (given / "robots.txt").write_bytes(b"")
    found = scans.find(given)
    # A pair of Analyze 7.5 is a scan that fails by name.
    (_, analyze) = found.scans
    assert (analyze.name, found.scans[0].name) == ("i.hdr", "a.nii")
    with pytest.raises(ValueError, match=r"i\.hdr: .*Analyze 7\.5"):
        analyze.read()
    (given / "i.hdr").unlink()
    (given / "i.img").unlink()
    assert list(found.unread) == [
        *("b.nrrd", "c.zip", "d.mgz", "e.hdr", "f.img", "g.dcm", "h.dcm")
    ]
    assert "NRRD" in found.unread["b.nrrd"] and "0 bytes" in found.unread["g.dcm"]
    out = tmp_path / "out"
    assert predict(given, "--out", out, "--weights-dir", weights_dir, "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)
    assert [name for name in found.unread if name not in said.err] == []
    arguments = (given, "--out", tmp_path / "anonymous", "--weights-dir", weights_dir)
    assert predict(*arguments, "--anonymous") == 0
    assert "c.zip" not in capsys.readouterr().err


def test_a_digest_follows_the_files(folder, tmp_path):
    given = shutil.copytree(folder, tmp_path / "given")
    scan = scans.find(given).scans[0]
    before = scan.digest
    assert scans.find(given).scans[0].digest == before
    (given / "a.nii").write_bytes((given / "a.nii").read_bytes() + b"x")
    assert scans.find(given).scans[0].digest != before


def test_a_folder_without_a_scan_is_named(tmp_path):
    (tmp_path / "readme.txt").write_text("no scan")
    with pytest.raises(ValueError, match="readme.txt is text"):
        scans.find(tmp_path)


def test_hidden_folders_count_only_below_the_input(folder, tmp_path, monkeypatch):
    given = shutil.copytree(folder, tmp_path / ".cache" / "given")
    (given / ".trash").mkdir()
    shutil.copy(folder / "a.nii", given / ".trash" / "old.nii")
    monkeypatch.chdir(given / "ward b")
    for path in (given, "..", "../../given"):
        names = [scan.name for scan in scans.find(path).scans]
        assert names == ["a.nii", "ward b/a.nii", "water.nii.gz"]


def test_results_may_lie_above_the_scans_but_not_among_them(folder):
    names = [scan.name for scan in scans.find(folder, without=folder.parent).scans]
    assert names == ["a.nii", "ward b/a.nii", "water.nii.gz"]
    with pytest.raises(ValueError, match="another folder"):
        scans.find(folder / "ward b", without=folder / "ward b")


def test_the_row_of_a_failure_has_every_column():
    outcome = many.Outcome("a", many.FAILED, "", None, 1.0, "why")
    assert len(outcome.row()) == len(many.COLUMNS)
    assert dataclasses.asdict(outcome)["reason"] == outcome.row()[-1] == "why"
