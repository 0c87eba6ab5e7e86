"""Measure the code of two commits: size, long files and functions, kinds of tests.

    python benchmarks/code.py d6be778 HEAD

Prints a Markdown table. Lines are all lines of a file. A global patch is a call of
`setattr` or `setitem` on pytest's monkeypatch. A private function under test is a name
with a leading underscore, taken from a module of the package. An assertion on prose is
an `assert` that looks for a text of at least three words within another text; the
texts of `pytest.raises(match=...)` are counted on their own.
"""

import argparse
import ast
import io
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator

PROJECT = pathlib.Path(__file__).resolve().parent.parent
LONG_FILE = 300
WORDS = re.compile(r"[A-Za-z]{2,}")
PROSE_WORDS = 3


def check_out(revision: str, folder: pathlib.Path) -> None:
    """Unpack a commit's package and tests."""
    archive = subprocess.run(
        ["git", "archive", revision, "ich_tf", "tests"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        opened.extractall(folder, filter="data")


def measure(folder: pathlib.Path) -> dict[str, int]:
    """The numbers of one commit."""
    package = sorted((folder / "ich_tf").rglob("*.py"))
    tests = [_tree(path) for path in sorted((folder / "tests").rglob("*.py"))]
    lines = [len(path.read_text("utf-8").splitlines()) for path in package]
    functions = sorted(
        node.end_lineno - node.lineno + 1
        for path in package
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return {
        "package files": len(package),
        "package lines": sum(lines),
        f"files above {LONG_FILE} lines": sum(count > LONG_FILE for count in lines),
        "function lines, median": functions[len(functions) // 2],
        "function lines, 90th percentile": functions[int(0.9 * len(functions))],
        "longest function": functions[-1],
        "test lines": sum(tree.body[-1].end_lineno for tree in tests if tree.body),
        "test functions": sum(_count_tests(tree) for tree in tests),
        "global patches in tests": sum(_count_patches(tree) for tree in tests),
        "private functions under test": len(
            {name for tree in tests for name in _private_names(tree)}
        ),
        "assertions on prose": sum(_count_prose(tree) for tree in tests),
        "messages matched": sum(_count_matches(tree) for tree in tests),
    }


def _tree(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _count_tests(tree: ast.Module) -> int:
    return sum(
        isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for node in ast.walk(tree)
    )


def _count_patches(tree: ast.Module) -> int:
    return sum(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("setattr", "setitem")
        for node in ast.walk(tree)
    )


def _private_names(tree: ast.Module) -> Iterator[str]:
    """Private names of modules of the package, as "module._name"."""
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ich_tf")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
        ):
            yield f"{node.value.id}.{node.attr}"


def _count_prose(tree: ast.Module) -> int:
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            count += sum(
                isinstance(inner, ast.Compare)
                and isinstance(inner.ops[0], ast.In)
                and _is_prose(inner.left)
                for inner in ast.walk(node)
            )
    return count


def _count_matches(tree: ast.Module) -> int:
    return sum(
        isinstance(node, ast.keyword) and node.arg == "match" and _is_prose(node.value)
        for node in ast.walk(tree)
    )


def _is_prose(node: ast.expr) -> bool:
    if not isinstance(node, ast.Constant | ast.JoinedStr):
        return False
    texts = [
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    return len(WORDS.findall(" ".join(texts))) >= PROSE_WORDS


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revisions", nargs="*", default=["d6be778", "HEAD"])
    options = parser.parse_args()
    columns = {}
    for revision in options.revisions:
        with tempfile.TemporaryDirectory() as folder:
            check_out(revision, pathlib.Path(folder))
            columns[revision] = measure(pathlib.Path(folder))
    print("| | " + " | ".join(columns) + " |")
    print("| --- |" + " ---: |" * len(columns))
    for name in next(iter(columns.values())):
        values = " | ".join(f"{column[name]:,}" for column in columns.values())
        print(f"| {name} | {values} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
