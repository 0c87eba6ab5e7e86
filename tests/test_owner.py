"""A script fills in who publishes the project; until then nothing leads there."""

import json
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import tomllib

import jupytext
import nbformat
import pytest
import yaml

PROJECT = pathlib.Path(__file__).resolve().parent.parent
SCRIPT = runpy.run_path(str(PROJECT / "docs" / "set_owner.py"))
set_owner = SCRIPT["set_owner"]
PRINTED = SCRIPT["PRINTED"]
NAMES = sorted(path.stem for path in (PROJECT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def project(tmp_path):
    for name in ("README.md", "pyproject.toml", "CITATION.cff"):
        shutil.copy(PROJECT / name, tmp_path)
    for name in ("notebooks", ".github"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    (tmp_path / PRINTED).parent.mkdir(parents=True)
    shutil.copy(PROJECT / PRINTED, tmp_path / PRINTED)
    return tmp_path


def texts(project):
    return {
        path.relative_to(project): path.read_text()
        for path in project.rglob("*")
        if path.suffix in (".md", ".toml", ".cff", ".yml", ".py", ".ipynb")
    }


@pytest.mark.skipif(
    "OWNER" not in (PROJECT / "pyproject.toml").read_text(), reason="the owner is known"
)
def test_nothing_leads_to_an_unknown_owner(project):
    unnamed = texts(project)
    assert not [path for path, text in unnamed.items() if "colab-badge" in text]
    assert (
        "urls" not in tomllib.loads((project / "pyproject.toml").read_text())["project"]
    )


def test_the_owner_is_filled_in_everywhere_and_can_be_replaced(project):
    assert set_owner(project, "first-owner")
    assert set_owner(project, "first-owner") == []
    set_owner(project, "second")
    named = texts(project)
    assert not [path for path, text in named.items() if "OWNER" in text]
    assert not [path for path, text in named.items() if "first-owner" in text]
    urls = tomllib.loads((project / "pyproject.toml").read_text())["project"]["urls"]
    assert urls == {"Repository": "https://github.com/second/ich_tf"}
    citation = yaml.safe_load((project / "CITATION.cff").read_text())
    assert citation["repository-code"] == "https://github.com/second/ich_tf"
    for name in NAMES:
        address = f"github/second/ich_tf/blob/main/notebooks/{name}.ipynb)"
        assert (project / "README.md").read_text().count(address) == 1
        notebook = json.loads((project / f"notebooks/{name}.ipynb").read_text())
        text = (project / f"notebooks/{name}.ipynb").read_text()
        assert not re.search(r"\]\((\.\./|\w+\.ipynb)", text)
        title = "".join(notebook["cells"][0]["source"])
        assert title.count(address) == 1
        source = (project / f"notebooks/{name}.py").read_text().split("# %%\n")[0]
        lines = [line.removeprefix("#").strip() for line in source.splitlines()[1:]]
        assert "\n".join(lines).strip() == title


@pytest.mark.parametrize("owners", [["a"], ["octo-organisation-lab"], ["a" * 39, "b"]])
def test_the_linter_accepts_any_owner(project, owners):
    for owner in owners:
        set_owner(project, owner)
        assert set_owner(project, owner) == []
    # The copy lacks most of the package, so the order of imports would be another.
    for command in (["check", "--ignore=I"], ["format", "--check"]):
        arguments = [sys.executable, "-m", "ruff", *command, "--no-cache", project]
        done = subprocess.run(arguments, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    for name in NAMES:
        source = jupytext.read(project / f"notebooks/{name}.py")
        built = nbformat.read(project / f"notebooks/{name}.ipynb", as_version=4)
        assert [cell.source for cell in built.cells] == [
            cell.source for cell in source.cells
        ]


def test_what_the_notebooks_print_leads_to_the_owner(project):
    set_owner(project, "someone")
    text = (project / PRINTED).read_text()
    assert "](https://github.com/someone/ich_tf/blob/main/docs/glossary.md)" in text
    assert "](../" not in text


@pytest.mark.parametrize("owner", ["", "a b", "-a", "a/b", "a" * 40])
def test_a_name_that_cannot_be_is_refused(project, owner):
    with pytest.raises(ValueError, match="cannot be a name"):
        set_owner(project, owner)
