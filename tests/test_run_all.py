"""`run_all.sh` with a stand-in for Python: it installs, then calls `ich-tf all`."""

import os
import pathlib
import shutil
import subprocess

import pytest

PROJECT = pathlib.Path(__file__).resolve().parent.parent
PYTHON = """#!/usr/bin/env bash
echo "$*" >> "${0%/*}/calls"
echo "$PWD" >> "${0%/*}/folders"
exit "${STATUS:-0}"
"""


@pytest.fixture
def project(tmp_path):
    """A project with nothing but the script and its stand-in."""
    for name in ("run_all.sh", "requirements.txt", "pyproject.toml", "setup.py"):
        shutil.copy(PROJECT / name, tmp_path)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def run(project, *arguments, folder=None, **variables):
    return subprocess.run(
        ["bash", str(project / "run_all.sh"), *arguments],
        cwd=folder or project,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )


def calls(project):
    path = project / ".venv/bin/calls"
    made = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return made


def test_it_installs_once_and_passes_its_arguments_on(project):
    assert run(project, "--quick", "--ct-ich", "a b").returncode == 0
    first = calls(project)
    assert [call.split()[1] for call in first[:-1]] == ["pip", "pip"]
    assert first[-1] == "-m ich_tf all --quick --ct-ich a b"
    assert run(project, "paper", "--rsna=/b").returncode == 0
    assert calls(project) == ["-m ich_tf all paper --rsna=/b"]
    with open(project / "requirements.txt", "a") as file:
        file.write("# changed\n")
    run(project, "install")
    assert [call.split()[1] for call in calls(project)] == ["pip", "pip"]


def test_without_a_gpu_linux_gets_the_small_tensorflow(project):
    bare = {"PATH": "/usr/bin:/bin"}
    if os.uname().sysname != "Linux" or os.uname().machine != "x86_64":
        pytest.skip("tensorflow-cpu is chosen on Linux x86-64 alone")
    if shutil.which("nvidia-smi"):
        pytest.skip("an NVIDIA driver is here")
    said = run(project, "install", **bare).stdout
    wanted = (project / ".venv/requirements.txt").read_text()
    assert "tensorflow-cpu" in said
    assert "\ntensorflow-cpu==2.21.0\n" in wanted
    assert "\ntensorflow==" not in wanted
    calls(project)
    # With a driver the other package comes, after the first has gone.
    smi = project / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\n")
    smi.chmod(0o755)
    run(project, "install", PATH=f"{smi.parent}:{bare['PATH']}")
    wanted = (project / ".venv/requirements.txt").read_text()
    assert wanted == (project / "requirements.txt").read_text()
    made = calls(project)
    assert made[0].split()[-4:] == [
        "uninstall",
        "--yes",
        "tensorflow",
        "tensorflow-cpu",
    ]
    assert len(made) == 3


def test_folders_are_relative_to_the_caller(project):
    below = project / "below"
    below.mkdir()
    assert run(project, "--results", "out", folder=below).returncode == 0
    folders = (project / ".venv/bin/folders").read_text().splitlines()
    assert pathlib.Path(folders[-1]) == below.resolve()


@pytest.mark.parametrize("status", ["0", "1", "2"])
def test_the_exit_status_is_that_of_all(project, status):
    run(project, "install")
    assert run(project, STATUS=status).returncode == int(status)


def test_a_wrong_mode_installs_nothing(project):
    done = run(project, "everything")
    assert done.returncode == 2
    assert "everything" in done.stderr
    assert calls(project) == []


def test_the_tests_run_in_the_project(project):
    run(project, "test", "-k", "paths", folder="/")
    assert calls(project)[-1].endswith("--no-loadscope-reorder -k paths")
    folders = (project / ".venv/bin/folders").read_text().splitlines()
    assert pathlib.Path(folders[-1]) == project.resolve()


def test_help_names_every_mode_and_the_script_stays_short(project):
    said = run(project, "--help").stdout
    for mode in ("--quick", "paper ARGS", "test [ARGS]", "install", "--results DIR"):
        assert mode in said
    assert len((PROJECT / "run_all.sh").read_text().splitlines()) < 90
