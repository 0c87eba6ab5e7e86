"""The notebooks: in step with their sources, fit to be read, run without results."""

import os
import pathlib
import re
import subprocess
import sys

import jupytext
import nbformat
import pytest

from ich_tf.report.notebook import NOT_A_REPRODUCTION

PROJECT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = PROJECT / "notebooks"
SOURCES = sorted(FOLDER.glob("[0-9]*.py"))
NAMES = [source.stem for source in SOURCES]
MEGABYTE = 10**6


def built(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def outputs(notebook):
    return [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]


def pictures(notebook):
    kinds = {"image/png", "image/jpeg"}
    return [out for out in outputs(notebook) if kinds & set(out.get("data", {}))]


def test_there_are_seven():
    assert [name[:2] for name in NAMES] == [f"{number:02d}" for number in range(7)]
    assert sorted(FOLDER.glob("*.ipynb")) == [
        source.with_suffix(".ipynb") for source in SOURCES
    ]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_built_has_the_cells_of_its_source(name):
    """Else `python notebooks/build.py` is to be run again."""
    source = jupytext.read(FOLDER / f"{name}.py")
    assert [(cell.cell_type, cell.source) for cell in built(name).cells] == [
        (cell.cell_type, cell.source) for cell in source.cells
    ]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_built_was_run_and_can_be_shared(name):
    path = FOLDER / f"{name}.ipynb"
    notebook = built(name)
    nbformat.validate(notebook)
    assert path.stat().st_size < MEGABYTE
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for output in outputs(notebook)}
    assert kinds <= {"display_data", "execute_result", "stream"}
    assert "stderr" not in {output.get("name") for output in outputs(notebook)}
    text = path.read_text(encoding="utf-8")
    for trace in ("/tmp/", "/home/", "/root/", "/work/", "site-packages", "iopub"):
        assert trace not in text
    said = "".join(
        output.get("data", {}).get("text/markdown", "") for output in outputs(notebook)
    )
    assert NOT_A_REPRODUCTION in said


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cells_are_for_colab(name):
    _, install, first, *_ = built(name).cells
    assert "google.colab" in install.source
    assert install.outputs == []
    assert re.search(r'^DATA = "phantom"  # @param', first.source, re.MULTILINE)
    assert built(name).metadata["accelerator"] == "GPU"


@pytest.mark.parametrize("name", NAMES)
def test_the_colab_cell_runs_twice(name, tmp_path):
    """With a stand-in for Colab, where a second clone would be an error."""
    git, pip = tmp_path / "bin" / "git", tmp_path / "modules" / "pip.py"
    colab = tmp_path / "modules" / "google" / "colab.py"
    for path in (git, pip, colab):
        path.parent.mkdir(exist_ok=True, parents=True)
    git.write_text('#!/bin/sh\necho git "$1"\nfor last; do :; done\nmkdir "$last"\n')
    git.chmod(0o755)
    pip.write_text("import os, sys; print('pip', sys.argv[1], os.getcwd())")
    colab.touch()
    _, install, *_ = built(name).cells
    cell = install.source.replace("/content", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(["import google.colab", cell, cell])],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{git.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(pip.parent),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    installed = f"pip install {tmp_path / 'ich_tf'}"
    assert done.stdout.splitlines() == ["git clone", installed, installed]


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_has_an_alt_text(name):
    for picture in pictures(built(name)):
        kind = next(iter({"image/png", "image/jpeg"} & set(picture.data)))
        assert picture.metadata.get(kind, {}).get("alt")


@pytest.mark.parametrize("name", NAMES)
def test_code_is_thin(name):
    """No long functions and no training: that is the package's."""
    source = (FOLDER / f"{name}.py").read_text()
    assert ".fit(" not in source
    for body in re.findall(r"^def .*\n((?:    .*\n)+)", source, re.MULTILINE):
        assert body.count("\n") <= 5


@pytest.mark.slow
def test_all_run_without_any_result(tmp_path):
    """A clean checkout: what needs results says which command makes them."""
    variables = ("ICH_TF_CT_ICH", "ICH_TF_RSNA", "ICH_TF_PROFILE", "ICH_TF_WEIGHTS")
    kept = {name: value for name, value in os.environ.items() if name not in variables}
    done = subprocess.run(
        [sys.executable, FOLDER / "build.py", "--out", tmp_path / "out"],
        env={**kept, "ICH_TF_RESULTS": str(tmp_path / "results")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(re.findall(r": \d+ seconds", done.stdout)) == len(NAMES)
    assert not list(tmp_path.glob("results/*/*/*.json"))
    said = {}
    for name in NAMES:
        notebook = nbformat.read(tmp_path / "out" / f"{name}.ipynb", as_version=4)
        text = said[name[:2]] = str(outputs(notebook))
        assert "with results here: 0." in text
        if name != "05_how_to_verify":
            assert pictures(notebook)
        if name[:2] in ("02", "03"):
            assert "recorded numbers" in text and "ich-tf reproduce" in text
    assert "Exit status 2" in said["05"]
    sentence = "4 of 4 planted faults are found, and 0 in the file as it is"
    assert sentence in said["05"]
    assert "these are recorded" in said["06"]


def test_pictures_of_patients_are_not_written_where_they_are_committed():
    done = subprocess.run(
        [sys.executable, FOLDER / "build.py"],
        env={**os.environ, "ICH_TF_CT_ICH": "somewhere"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "ICH_TF_CT_ICH" in done.stderr and "--out" in done.stderr
