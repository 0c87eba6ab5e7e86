"""No kind of experiment, table or result is told by a name, a key or a sentence."""

import ast
import pathlib

import pytest

import ich_tf
from ich_tf.evidence import tables
from ich_tf.experiments.catalog import CATALOG

PACKAGE = pathlib.Path(ich_tf.__file__).parent
ROOMS = ("experiments", "evidence", "report")
# Tables, and the kinds of experiments that were strings once.
NAMES = {*tables.TABLES, *CATALOG.names} | {
    *("segmentation", "baseline", "volumes", "synthetic", "classification")
}
# Fields of one class of results alone.
KEYS = {"counts", "predictions", "labelled", "painted"}
# The places that define what they compare.
DEFINING = {"experiments/catalog.py", "evidence/tables.py"}
# They check options and file names of the user.
READING_NAMES = {"evidence/evaluate.py", "evidence/mask_files.py"}


def violations(package: pathlib.Path) -> list[str]:
    """Every forbidden pattern as "file:line: pattern"."""
    broken = []
    for room in ROOMS:
        for path in sorted((package / room).rglob("*.py")):
            relative = path.relative_to(package).as_posix()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                pattern = forbidden(node)
                if pattern and relative not in DEFINING | READING_NAMES:
                    broken.append(f"{relative}:{node.lineno}: {pattern}")
    return broken


def forbidden(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call):
        return _forbidden_call(node)
    if isinstance(node, ast.Compare):
        return _forbidden_comparison(node)
    return None


def _forbidden_call(node: ast.Call) -> str | None:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    arguments = [
        argument.value for argument in node.args if isinstance(argument, ast.Constant)
    ]
    if name == "import_module":
        return "import by name"
    if name == "hasattr" or (name == "getattr" and len(node.args) == 3):
        return "optional attribute"
    if name in ("split", "partition", "rsplit") and " (" in arguments:
        return "sentence taken apart"
    if name in ("search", "match", "fullmatch", "findall") and _is(node.func, "re"):
        return "sentence searched"
    if name == "startswith" and set(arguments) & NAMES:
        return "prefix of a table's name"
    return None


def _forbidden_comparison(node: ast.Compare) -> str | None:
    values = [
        constant.value
        for side in (node.left, *node.comparators)
        for constant in ast.walk(side)
        if isinstance(constant, ast.Constant)
    ]
    if any(isinstance(value, str) and value in NAMES for value in values):
        return "comparison with a name"
    if isinstance(node.ops[0], ast.In) and isinstance(node.left, ast.Constant):
        if node.left.value in KEYS:
            return "kind told by a key"
    return None


def _is(function: ast.AST, module: str) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == module
    )


def test_the_package_dispatches_by_type():
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("source", "pattern"),
    [
        ("importlib.import_module(TASKS[name])", "import by name"),
        ("getattr(run.task, 'inputs', None)", "optional attribute"),
        ("hasattr(dataset, 'problems')", "optional attribute"),
        ("if table == 'table3': pass", "comparison with a name"),
        ("if row.task in ('classification', 'x'): pass", "comparison with a name"),
        ("table.startswith('table1')", "prefix of a table's name"),
        ("if 'counts' in result: pass", "kind told by a key"),
        ("text.split(' (')", "sentence taken apart"),
        ("re.search('average', note)", "sentence searched"),
    ],
)
def test_a_planted_pattern_is_found(tmp_path, source, pattern):
    for room in ROOMS:
        (tmp_path / room).mkdir()
    (tmp_path / "evidence" / "a.py").write_text(f"x = 1\n{source}\n")
    assert violations(tmp_path) == [f"evidence/a.py:2: {pattern}"]


@pytest.mark.parametrize(
    "source",
    [
        "getattr(fold, part)",
        "isinstance(result, MaskResult)",
        "tables.TABLES['table3']",
        "if result.identity == 'phantom': pass",
        "text.split(BEGIN)",
    ],
)
def test_what_is_allowed_passes(tmp_path, source):
    for room in ROOMS:
        (tmp_path / room).mkdir()
    (tmp_path / "report" / "a.py").write_text(source)
    assert violations(tmp_path) == []
