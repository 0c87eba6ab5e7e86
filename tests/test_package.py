"""The public names of the package, and what is said where a package is missing."""

import ast
import pathlib
import re
import subprocess
import sys
import time

import pytest

import ich_tf
from ich_tf import packages, suggestions


def test_the_public_names_are_the_functions_they_say():
    from ich_tf import datasets, models
    from ich_tf.models import weights
    from ich_tf.prediction import predict

    assert ich_tf.open_dataset is datasets.open_dataset
    assert ich_tf.build is models.build
    assert ich_tf.load_weights is weights.load_shipped
    assert ich_tf.predict is predict.predict
    assert set(dir(ich_tf)) >= {"predict", "build", "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        _ = ich_tf.segment


def test_the_stub_names_what_the_package_exports():
    folder = pathlib.Path(ich_tf.__file__).parent
    assert (folder / "py.typed").is_file()
    stub = ast.parse((folder / "__init__.pyi").read_text())
    names = {"__version__"}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            names.update(alias.asname for alias in node.names)
            (alias,) = node.names
            exported = getattr(ich_tf, alias.asname)
            assert (exported.__module__, exported.__name__) == (node.module, alias.name)
    assert names == set(ich_tf.__all__)


@pytest.mark.slow
def test_the_import_takes_less_than_a_tenth_of_a_second():
    def seconds(code):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.monotonic() - began

    bare = min(seconds("pass") for _ in range(5))
    assert min(seconds("import ich_tf") for _ in range(5)) - bare < 0.1


def test_a_missing_package_names_the_command_that_installs_it():
    missing = packages.explain(ModuleNotFoundError(name="highdicom.seg"))
    assert isinstance(missing, packages.MissingPackage)
    # No package index has ich_tf.
    assert re.search(r'`pip install .*"\.\[dicom\]"`', str(missing))
    tensorflow = packages.explain(ModuleNotFoundError(name="tensorflow"))
    for extra in ("cpu", "cuda", "tpu"):
        assert re.search(rf'`pip install [^`]*"\.\[{extra}\]"`', str(tensorflow))
    other = ModuleNotFoundError(name="elsewhere")
    assert packages.explain(other) is other
    packages.require()


@pytest.mark.parametrize(
    ("word", "near"),
    [("tabel2", " Did you mean 'table2'?"), ("xyz", "")],
)
def test_a_near_miss_is_named(word, near):
    assert suggestions.did_you_mean(word, ("table1", "table2", "related")) == near
