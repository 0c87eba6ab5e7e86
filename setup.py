"""Copies the small weights and the recorded results into the package when it is built.

Everything else about the package stands in pyproject.toml. The folders `weights/` and
`docs/` of the checkout stay the only place of these files.
"""

import json
import pathlib
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py

PROJECT = pathlib.Path(__file__).resolve().parent
LARGEST_BYTES = 10_000_000
"""Weights larger than this are not in the wheel; the manifest gives their `url`."""


def shipped_files() -> dict[pathlib.Path, str]:
    """Files of the checkout -> their place in the package's folder `shipped`."""
    weights = PROJECT / "weights"
    entries = json.loads((weights / "manifest.json").read_text(encoding="utf-8"))
    names = {"manifest.json", "README.md"}
    for entry in entries.values():
        if entry["bytes"] > LARGEST_BYTES:
            continue
        names.add(entry["file"])
        names.update(file["file"] for file in entry.get("companions", {}).values())
    names.update(path.name for path in weights.glob("*.md"))
    files = {weights / name: f"weights/{name}" for name in names}
    files |= {PROJECT / "docs" / name.name: name.name for name in recorded()}
    return files


def recorded() -> list[pathlib.Path]:
    """Results that the project recorded, as docs/demo.json."""
    return sorted((PROJECT / "docs").glob("*.json"))


class BuildWithShippedFiles(build_py):
    """Adds the shipped files to the modules; an editable install reads the checkout."""

    def run(self):
        """Build the package, then copy the files beside its modules."""
        super().run()
        if self.editable_mode:
            return
        for source, place in shipped_files().items():
            target = pathlib.Path(self.build_lib) / "ich_tf" / "shipped" / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


setup(cmdclass={"build_py": BuildWithShippedFiles})
