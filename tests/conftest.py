import dataclasses
import functools
import gc
import os
import pathlib
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import pytest

PROJECT = pathlib.Path(__file__).resolve().parent.parent
LONGEST = (
    "table1",
    "distribution",
    "models",
    "prediction",
    "volume3d",
    "training",
    "synthetic",
    "reproduce",
    "phantom",
    "resnext",
    "likeness",
)
"""Files that go first, so that no process works on one of them while others wait."""


def pytest_collection_modifyitems(config, items):
    """Long files first; `slow` tests run only when asked for with -m."""
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    if config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if not item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)


@pytest.fixture(scope="session")
def shared():
    """The folder with real head CT; tests that use it are marked `real_data`."""
    folder = pathlib.Path(os.environ.get("ICH_TF_SHARED", PROJECT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real head CT: {folder / 'data'} is absent (ICH_TF_SHARED)")
    return folder


@dataclasses.dataclass(frozen=True)
class Finished:
    """A small row that was trained and evaluated.

    Attributes:
        run: The run; tests copy its results before they change them.
        result: Its result.
        lines: What was said.
    """

    run: Any
    result: Any
    lines: list[str]


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """From a row's id to the small row, trained once for all tests of a process."""
    import keras
    import small

    from ich_tf.experiments import runner

    folder = tmp_path_factory.mktemp("finished")
    folders = runner.Folders(folder / "results", folder / "weights")

    @functools.cache
    def of(name: str) -> Finished:
        lines = []
        run = small.run(name, folders)
        result = runner.execute(run, say=lines.append)
        keras.config.set_dtype_policy("float32")
        return Finished(run, result, lines)

    return of


@pytest.fixture
def float32():
    """Reset Keras' precision, which training chooses for the whole process."""
    import keras

    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def elsewhere(folders, tmp_path):
    """The module's folders with results of their own, and the phantom shared."""
    phantom = folders.results / "phantom"
    phantom.mkdir(parents=True, exist_ok=True)
    results = tmp_path / "results"
    results.mkdir()
    (results / "phantom").symlink_to(phantom)
    return dataclasses.replace(folders, results=results)


def pytest_collection_finish(session):
    """Keep garbage collection off what was imported: an eighth of the tests' time."""
    gc.collect()
    gc.freeze()
