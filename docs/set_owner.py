"""Fill in who publishes the project, everywhere; until then nothing links to it.

    python docs/set_owner.py NAME

NAME is the user or organisation on GitHub. The addresses in pyproject.toml,
CITATION.cff, the notebooks and the issue forms get it, the notebooks and what they
print absolute links, and README.md and the notebooks a badge that opens them on Colab.
Run again with another name, it replaces the first.
"""

import json
import pathlib
import re
import sys

PROJECT = pathlib.Path(__file__).resolve().parent.parent
ADDRESS = re.compile(r"github\.com/[\w-]+/ich_tf")
COMMENTED = re.compile(
    r"^# (?=(\[project\.urls\]|Repository = |repository-code: ))", re.M
)
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
COLAB = "https://colab.research.google.com/github/{owner}/ich_tf/blob/main/notebooks/"
OLD_BADGE = re.compile(r" ?\[!\[[^\]]*\]\([^)]*colab-badge\.svg\)\]\([^)]*\)")
PRINTED = "ich_tf/report/notebook.py"
"""What the notebooks print when they run."""
LINK = re.compile(r"(\]\(https://github\.com/[\w-]+/ich_tf/\S+) +(?=\S)")
CODE = (
    (re.compile(r'^( *)(\w+), (\w+) = (".*"), (".*")$'), r"\1\2 = \4\n\1\3 = \5"),
    (
        re.compile(r'^( *)(\w+)\((\w+)\((".*")\)\)$'),
        r"\1\2(\n\1    \3(\n\1        \4\n\1    )\n\1)",
    ),
)
"""Lines of code that hold an address, and how the formatter breaks a long one."""


def set_owner(project: pathlib.Path, owner: str) -> list[pathlib.Path]:
    """Write the owner's name into every file that has an address of the project.

    Args:
        project: A checkout.
        owner: Name on GitHub.

    Returns:
        The files that changed.

    Raises:
        ValueError: if GitHub allows no such name.
    """
    if not re.fullmatch(r"[A-Za-z0-9](-?[A-Za-z0-9]){0,38}", owner):
        raise ValueError(f"{owner!r} cannot be a name on GitHub.")
    files = [project / "pyproject.toml", project / "CITATION.cff"]
    files += sorted((project / ".github").rglob("*.yml"))
    edits = {path: _addresses for path in files if path.is_file()}
    edits |= {path: _with_links for path in [project / PRINTED] if path.is_file()}
    edits[project / "README.md"] = _readme
    edits |= {path: _source for path in (project / "notebooks").glob("[0-9]*.py")}
    edits |= {path: _notebook for path in (project / "notebooks").glob("*.ipynb")}
    changed = []
    for path, edit in edits.items():
        before = path.read_text(encoding="utf-8")
        after = edit(before, owner, path.stem)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed


def _addresses(text: str, owner: str, _name: str = "") -> str:
    return ADDRESS.sub(f"github.com/{owner}/ich_tf", COMMENTED.sub("", text))


def _badge(owner: str, name: str) -> str:
    return f"[![Open in Colab]({BADGE})]({COLAB.format(owner=owner)}{name}.ipynb)"


def _readme(text: str, owner: str, _name: str) -> str:
    text = OLD_BADGE.sub("", _addresses(text, owner))
    return re.sub(
        r"\]\(notebooks/(\w+)\.ipynb\)",
        lambda link: f"{link[0]} {_badge(owner, link[1])}",
        text,
    )


def _title(lines: list[str], owner: str, name: str, mark: str) -> list[str]:
    """The lines of a title with one badge below the heading."""
    kept = [line for line in lines if not OLD_BADGE.search(line)]
    if len(kept) < len(lines):
        del kept[kept.index(mark) : kept.index(mark) + 1]
    badge = f"{mark.rstrip()} {_badge(owner, name)}".strip()
    return [kept[0], mark, badge, *kept[1:]]


def _with_links(text: str, owner: str, _name: str = "") -> str:
    """A notebook with absolute links, since Colab knows no other file."""
    root = f"https://github.com/{owner}/ich_tf/blob/main/"
    text = re.sub(r"\]\(\.\./([\w/-]+\.md[#\w-]*)\)", rf"]({root}\1)", text)
    text = re.sub(r"\]\((\w+\.ipynb)\)", rf"]({root}notebooks/\1)", text)
    return _addresses(text, owner)


def _broken(text: str, is_code: bool = True) -> str:
    """Lines that the linter and the formatter accept, however long the owner's name is.

    The linter accepts a long line if it ends with an address.
    """
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not ADDRESS.search(line):
            continue
        if not is_code or line.startswith("# "):
            lines[number] = LINK.sub(r"\1\n# " if is_code else r"\1\n", line)
        else:
            for long, broken in CODE:
                lines[number] = long.sub(broken, lines[number])
    return "\n".join(lines)


def _source(text: str, owner: str, name: str) -> str:
    first, *lines = _with_links(text, owner).split("\n")
    return _broken("\n".join([first, *_title(lines, owner, name, "#")]))


def _notebook(text: str, owner: str, name: str) -> str:
    content = json.loads(_with_links(text, owner))
    for number, cell in enumerate(content["cells"]):
        source = "".join(cell["source"])
        if number == 0:
            source = "\n".join(_title(source.split("\n"), owner, name, ""))
        source = _broken(source, is_code=cell["cell_type"] == "code")
        cell["source"] = source.splitlines(keepends=True)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Run on this checkout."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        changed = set_owner(PROJECT, sys.argv[1])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for path in changed:
        print(path.relative_to(PROJECT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
