"""The layer rules of the package, checked in its source; imports within functions
and `importlib.import_module` with a literal name count too."""

import ast
import pathlib
import subprocess
import sys

import pytest

import ich_tf

PACKAGE = pathlib.Path(ich_tf.__file__).parent

# A module may import its own part, and every part of the layers below its own.
LAYERS = (
    (
        *("arrays", "labels", "paths", "volume", "files", "parallel"),
        *("typed_json", "owned_record", "owned_folder"),
        *("packages", "suggestions"),
    ),
    ("io", "metrics", "models", "preprocessing", "viewer"),
    ("data",),
    ("synthetic",),
    ("datasets",),
    ("training",),
    ("prediction",),
    ("experiments",),
    ("evidence",),
    ("report",),
    ("app",),
    ("cli",),
    ("__main__",),
)
# Parts of this layer may import each other.
MIXING = (0,)

ONLY_IN = {
    "tensorflow": (
        "preprocessing/host_batches.py",
        "preprocessing/segmentation/pipeline.py",
        "preprocessing/segmentation/tensor_pipeline.py",
        "preprocessing/classification/image_pipeline.py",
        "preprocessing/tensor_augment.py",
        "training/distribute.py",
        "training/distributed_fit.py",
        "training/fit.py",
        "training/keras_private.py",
        "training/plans.py",
        "training/precision.py",
        "preprocessing/classification/shard_writer.py",
        "prediction/grad_cam.py",
        "models/sm_keras3.py",
        "models/blocks.py",
        "models/lite.py",
        "models/cpu_layers.py",
    ),
    "pydicom": (
        "io/dicom/codec_process.py",
        "io/dicom/codecs.py",
        "io/dicom/files.py",
        "io/dicom/headers.py",
        "io/dicom/pixels.py",
        "io/dicom/placing.py",
        "io/dicom/series.py",
        "io/dicom/writing.py",
        "io/dicom_seg.py",
    ),
    "highdicom": ("io/dicom_seg.py",),
    "gradio": ("app/server.py",),
    "nibabel": (
        "io/nifti/content.py",
        "io/nifti/grids.py",
        "io/nifti/writing.py",
    ),
    "albumentations": ("preprocessing/augment.py",),
    "tf_keras_vis": ("prediction/grad_cam.py",),
    "segmentation_models": ("models/sm_keras3.py",),
    "tf_keras": (),
    "torch": ("models/convert.py",),
    "apache_beam": ("preprocessing/classification/beam.py",),
}

# Modules that start at once.
LIGHT = (
    "ich_tf",
    "ich_tf.labels",
    "ich_tf.paths",
    "ich_tf.volume",
    "ich_tf.files",
    "ich_tf.owned_folder",
    "ich_tf.parallel",
    "ich_tf.preprocessing.windows",
    "ich_tf.preprocessing.segmentation.tiles",
    "ich_tf.metrics.intervals",
    "ich_tf.metrics.auc_intervals",
    "ich_tf.evidence.tables",
    "ich_tf.evidence.table_cells",
    "ich_tf.cli",
    "ich_tf.__main__",
    *(f"ich_tf.{path.parent.name}" for path in sorted(PACKAGE.glob("*/__init__.py"))),
    *(
        f"ich_tf.experiments.rows.{path.stem}"
        for path in sorted(PACKAGE.glob("experiments/rows/table[0-9].py"))
    ),
)
HEAVY = (
    "tensorflow",
    "keras",
    "scipy",
    "skimage",
    "sklearn",
    "matplotlib",
    "albumentations",
    "cv2",
    "nibabel",
    "pydicom",
    "segmentation_models",
    "tf_keras_vis",
)


def imports(source: str, package: str) -> list[tuple[int, str]]:
    """Line and full name of every import; `package` resolves relative ones.

    What is imported for annotations only (`if TYPE_CHECKING`) counts within the
    package, for it shows what a module knows, but loads no other library.
    """
    tree = ast.parse(source)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    return [
        (node.lineno, name)
        for node in ast.walk(tree)
        for name in imported_names(node, package)
        if id(node) not in typing_only or name.startswith("ich_tf")
    ]


def imported_names(node: ast.AST, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        parents = package.split(".")
        parents = parents[: len(parents) - node.level + 1] if node.level else []
        base = ".".join([*parents, *([node.module] if node.module else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        literal = node.args[0]
        if name in ("import_module", "__import__") and isinstance(
            literal, ast.Constant
        ):
            return [literal.value]
    return []


def layer_of(part: str) -> int:
    for level, parts in enumerate(LAYERS):
        if part in parts:
            return level
    raise LookupError(part)


def violations(package: pathlib.Path) -> list[str]:
    """Every broken rule as "file:line: reason"."""
    broken = []
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        part = relative.parts[0].removesuffix(".py")
        if part == "__init__":
            part = "labels"
        elif not any(part in parts for parts in LAYERS):
            broken.append(f"{relative}: {part} has no layer; add it to LAYERS")
            continue
        own_package = ".".join(("ich_tf", *relative.parts[:-1]))
        for line, name in imports(path.read_text(encoding="utf-8"), own_package):
            reason = broken_rule(relative, part, name)
            if reason:
                broken.append(f"{relative}:{line}: {reason}")
    return broken


def broken_rule(relative: pathlib.PurePath, part: str, name: str) -> str | None:
    top, *inner = name.split(".")
    if top == "ich_tf":
        return broken_layer(part, inner[0]) if inner else None
    if relative.as_posix() not in ONLY_IN.get(top, (relative.as_posix(),)):
        return f"{top} is imported only in {', '.join(ONLY_IN[top]) or 'no file'}"
    if top in sys.stdlib_module_names:
        return None
    if layer_of(part) == 0 and top != "numpy":
        return f"{part} imports numpy and the standard library only, not {top}"
    if relative.name == "__init__.py" and top in HEAVY:
        return f"a package's __init__ does not import {top}"
    return None


def broken_layer(part: str, other: str) -> str | None:
    if part == other or other in ("__version__", "__doc__"):
        return None
    if not any(other in parts for parts in LAYERS):
        return f"ich_tf.{other} has no layer; add it to LAYERS"
    own, imported = layer_of(part), layer_of(other)
    if imported > own:
        return f"{part} imports {other}, which lies above it"
    if imported == own and own not in MIXING:
        return f"{part} imports its sibling {other}"
    return None


def test_the_package_keeps_its_layers():
    assert len(list(PACKAGE.rglob("*.py"))) > 20
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "source", "reason"),
    [
        ("labels.py", "import scipy", "numpy and the standard library only, not scipy"),
        ("volume.py", "from ich_tf import data", "volume imports data, which lies"),
        ("io/a.py", "from ich_tf import models", "io imports its sibling models"),
        ("io/a.py", "from ich_tf import data", "io imports data, which lies above"),
        ("io/a.py", "from ..metrics import x", "io imports its sibling metrics"),
        ("models/a.py", "from ..metrics import x", "models imports its sibling"),
        ("data/a.py", "from ich_tf import synthetic", "which lies above it"),
        (
            "models/a.py",
            "def f():\n    import ich_tf.training",
            "models/a.py:2: models imports training, which lies above it",
        ),
        ("training/a.py", "from ich_tf.experiments import x", "which lies above it"),
        ("prediction/a.py", "from ich_tf.experiments import x", "which lies above it"),
        ("experiments/a.py", "from ich_tf.evidence import x", "which lies above it"),
        ("evidence/a.py", "from ich_tf.report import x", "which lies above it"),
        ("report/a.py", "from ich_tf import cli", "which lies above it"),
        ("metrics/a.py", "def f():\n    import tensorflow as tf", "tensorflow is only"),
        ("data/a.py", "from tensorflow.keras import x", "tensorflow is imported only"),
        (
            "io/nifti/content.py",
            "import pydicom",
            "pydicom is imported only in io/dicom/",
        ),
        (
            "io/dicom/files.py",
            "from nibabel import x",
            "nibabel is imported only in io",
        ),
        ("training/a.py", "import albumentations", "only in preprocessing/augment.py"),
        ("models/a.py", "import tf_keras_vis.gradcam", "only in prediction/grad_cam"),
        ("training/a.py", "import tf_keras", "tf_keras is imported only in no file"),
        (
            "cli/a.py",
            "import importlib\nimportlib.import_module('pydicom')",
            "cli/a.py:2: pydicom is imported only in",
        ),
        ("data/__init__.py", "import scipy.ndimage", "__init__ does not import scipy"),
        ("__init__.py", "from ich_tf.cli import main", "which lies above it"),
        (
            "io/a.py",
            "import typing\nif typing.TYPE_CHECKING:\n    from ich_tf import models",
            "io/a.py:3: io imports its sibling models",
        ),
        ("helpers.py", "import os", "helpers has no layer"),
        ("data/a.py", "from ich_tf import helpers", "ich_tf.helpers has no layer"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, file, source, reason):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    (violation,) = violations(tmp_path)
    assert reason.replace("is only", "is imported only") in violation


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("data/a.py", "from ich_tf.data import b\nfrom . import c\nimport scipy"),
        ("data/a.py", "from ich_tf import files, labels\nfrom ich_tf.volume import x"),
        ("training/fit.py", "import tensorflow\nfrom ich_tf import models, data"),
        ("prediction/a.py", "from ich_tf import training"),
        ("experiments/a.py", "from ich_tf import metrics, training, prediction"),
        ("report/a.py", "from ich_tf.evidence import tables"),
        ("cli/a.py", "from ich_tf import __version__\nfrom ich_tf.report import x"),
        ("io/dicom/files.py", "import pydicom.uid"),
        ("models/__init__.py", "if TYPE_CHECKING:\n    import keras"),
    ],
)
def test_what_is_allowed_passes(tmp_path, file, source):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    assert violations(tmp_path) == []


@pytest.mark.parametrize("module", LIGHT)
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert module in loaded
    assert [name for name in HEAVY if name in loaded] == []


def shared_class_names(package: pathlib.Path) -> dict[str, list[str]]:
    """Names of two or more classes; types of JSON objects are left out."""
    places: dict[str, list[str]] = {}
    for path in sorted(package.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            is_class = isinstance(node, ast.ClassDef)
            if is_class and "TypedDict" not in map(ast.unparse, node.bases):
                file = path.relative_to(package).as_posix()
                places.setdefault(node.name, []).append(file)
    return {name: files for name, files in places.items() if len(files) > 1}


def test_no_two_classes_share_a_name():
    assert shared_class_names(PACKAGE) == {}


def test_a_shared_class_name_is_found(tmp_path):
    (tmp_path / "a.py").write_text("class Scan: pass\nclass Other(TypedDict): pass")
    (tmp_path / "b.py").write_text("class Scan(Base): pass\nclass Other: pass")
    assert shared_class_names(tmp_path) == {"Scan": ["a.py", "b.py"]}
