"""The documentation site: `python -m sphinx -W -b html docs site`.

It shows the pages of `docs/` as they are, the notebooks with their recorded outputs,
and the public functions with their docstrings.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import ich_tf
from ich_tf.cli.main import GROUPS

PROJECT = pathlib.Path(__file__).resolve().parent.parent
COPIES = PROJECT / "docs" / "_copies"
"""Pages that lie elsewhere in the checkout; git ignores the copies."""

project = "ich_tf"
author = "The ich_tf maintainers"
copyright = "2026, the ich_tf maintainers, Apache-2.0"
release = version = ich_tf.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"ich_tf {release}"
exclude_patterns = ["requirements.txt"]
myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 4
nb_execution_mode = "off"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Links between pages of the checkout that are no pages of the site.
suppress_warnings = ["myst.xref_missing", "myst.header"]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
LINKS = {
    r"(\.\./)?docs/": "../",
    r"notebooks/(?=\w+\.ipynb)": "",
    r"weights/(?=[\w-]+\.md)": "weights-",
    r"(?=unetplusplus-[\w-]+\.md)": "weights-",
}
"""How a link in a page that was copied begins -> how it begins on the site."""


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".md":
        text = source.read_text(encoding="utf-8")
        for link, place in LINKS.items():
            text = re.sub(rf"\]\({link}", f"]({place}", text)
        target.write_text(text, encoding="utf-8")
    else:
        shutil.copy2(source, target)


def _command_line(target: pathlib.Path) -> None:
    """What `--help` says, of `ich-tf` and of each verb."""
    verbs = [verb.name for group in GROUPS.values() for verb in group]
    lines = ["# Command line", ""]
    for verb in ("", *verbs):
        command = [sys.executable, "-m", "ich_tf", *verb.split(), "--help"]
        text = subprocess.run(command, capture_output=True, text=True, check=True)
        lines += [f"## ich-tf {verb}".rstrip(), "", "```text", text.stdout, "```", ""]
    target.write_text("\n".join(lines), encoding="utf-8")


shutil.rmtree(COPIES, ignore_errors=True)
for _name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
    _copy(PROJECT / _name, COPIES / _name)
for _source in sorted((PROJECT / "notebooks").glob("*.ipynb")):
    _copy(_source, COPIES / _source.name)
for _source in sorted((PROJECT / "weights").glob("*.md")):
    _copy(_source, COPIES / f"weights-{_source.name}")
_command_line(COPIES / "command-line.md")
