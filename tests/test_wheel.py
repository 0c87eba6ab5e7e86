"""The wheel, installed apart from the checkout, with its weights and records."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

PROJECT = pathlib.Path(__file__).resolve().parent.parent
KEPT = ("ich_tf", "weights", "docs", "README.md", "LICENSE", "pyproject.toml")
KEPT += ("setup.py", "MANIFEST.in")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the checkout, so that nothing is built in it."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    copy.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "imagenet", "*.egg-info")
    for name in KEPT:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignored)
        else:
            shutil.copy(source, copy)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    build += ["--no-build-isolation", "--wheel-dir", str(folder), str(copy)]
    subprocess.run(build, check=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_the_small_weights_and_every_data_file(wheel):
    assert wheel.name == "ich_tf-0.2.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        metadata = file.read("ich_tf-0.2.0.dist-info/METADATA").decode()
    manifest = json.loads((PROJECT / "weights" / "manifest.json").read_text())
    for entry in manifest.values():
        assert f"ich_tf/shipped/weights/{entry['file']}" in names or "url" in entry
    package = PROJECT / "ich_tf"
    for path in package.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert path.relative_to(PROJECT).as_posix() in names
    assert {"ich_tf/py.typed", "ich_tf/shipped/demo.json"} <= names
    required = [
        line.removeprefix("Requires-Dist: ")
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert not [line for line in required if line.startswith("tensorflow")]
    assert not [line for line in required if line.startswith("apache")]


@pytest.mark.slow
def test_the_installed_wheel_predicts_into_the_current_folder(wheel, tmp_path):
    """Other packages come from this environment; its editable install does not."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv/bin/python"
    (site,) = (tmp_path / "venv/lib").glob("python3*/site-packages")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    here = tmp_path / "here"
    here.mkdir()
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ICH_TF_", "PYTHON"))
    }

    def run(*arguments):
        done = subprocess.run(
            [python, *arguments], cwd=here, env=clean, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import ich_tf; print(ich_tf.__file__)"
    assert str(site) in run("-c", where)
    small = ("--cases", "1", "--slices", "4", "--size", "128", "--out", "phantom")
    run("-m", "ich_tf", "phantom", *small)
    (scan,) = (here / "phantom").rglob("ct_scans/*.nii")
    assert " ml in " in run("-m", "ich_tf", "predict", str(scan), "--out", "answer")
    assert list((here / "answer").glob("*.nii.gz"))
    recorded = "from ich_tf import paths; print(paths.recorded('demo.json').is_file())"
    assert run("-c", recorded).strip() == "True"
    results = "from ich_tf import paths; print(paths.results())"
    assert run("-c", results).strip() == str(here / "results")
