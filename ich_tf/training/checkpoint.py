"""The state of a training on disk: best weights, and what a resumed run needs.

Every file is complete or absent; a damaged one is a ValueError that names it.
"""

import contextlib
import json
import math
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any, NotRequired, TypedDict

import keras
import numpy as np

from ich_tf import arrays as stored_arrays
from ich_tf import files, typed_json
from ich_tf.models import weights

STATE = "state.npz"
FINAL = "model.weights.h5"
ADVICE = "Run the row again with --fresh, which moves the file aside."


class Meta(TypedDict):
    """What a state says besides its arrays."""

    spec: dict[str, Any]
    history: list[dict[str, float]]
    best: float | None
    best_file: str
    best_sha256: NotRequired[str]


class Diverged(ValueError):
    """A score of an epoch is not finite."""


def stored_spec(folder: str | os.PathLike) -> dict | None:
    """The settings of the run in this folder, None if there is no state.

    Raises:
        ValueError: if the state is damaged.
    """
    path = pathlib.Path(folder) / STATE
    if not path.is_file():
        return None
    return _read_state(path, arrays=False)[0]["spec"]


class Checkpoint(keras.callbacks.Callback):
    """Writes the state after each epoch and the weights when they are the best yet.

    With several workers, only the chief writes; all know the best epoch.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        spec: dict,
        monitor: str | None,
        epochs: int,
        writes: bool = True,
    ):
        """Begin with no epoch.

        Args:
            folder: Where the files go.
            spec: Settings of the run, as JSON.
            monitor: The score whose highest value marks the best epoch; None keeps the
                last one.
            epochs: Epochs of the whole training.
            writes: Whether this process writes the files.
        """
        super().__init__()
        self.folder, self.spec, self.monitor = folder, spec, monitor
        self.epochs, self.writes = epochs, writes
        self.history: list[dict] = []
        self.best, self.best_file, self.best_sha256 = -math.inf, "", ""
        self._began = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        """Start the epoch's clock."""
        self._began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Write best weights first, then the state that names them."""
        scores = {name: float(value) for name, value in (logs or {}).items()}
        if not all(map(math.isfinite, scores.values())):
            raise Diverged(
                f"Training in {self.folder} diverged in epoch {epoch + 1}: {scores}. "
                "The state of the epoch before is kept. Try a smaller learning rate or "
                "another precision."
            )
        scores["seconds"] = round(time.monotonic() - self._began, 2)
        self.history.append({"epoch": epoch + 1, **scores})
        previous = self.best_file
        score = scores[self.monitor] if self.monitor else epoch
        if score > self.best:
            self.best, self.best_file = score, f"best-{epoch + 1:04d}.weights.h5"
        if not self.writes:
            return
        if self.best_file != previous:
            best = self.folder / self.best_file
            _save_weights(self.model, best)
            self.best_sha256 = files.sha256(best)
        self._write_state()
        if previous and previous != self.best_file:
            (self.folder / previous).unlink(missing_ok=True)

    def _write_state(self) -> None:
        meta = {
            "spec": self.spec,
            "history": self.history,
            "best": self.best if math.isfinite(self.best) else None,
            "best_file": self.best_file,
            "best_sha256": self.best_sha256,
        }
        continues = len(self.history) < self.epochs
        variables = variables_of(self.model) if continues else []
        arrays = {
            f"v{number:05d}": keras.ops.convert_to_numpy(variable)
            for number, variable in enumerate(variables)
        }
        with files.atomic(self.folder / STATE) as partial:
            np.savez(partial, meta=_as_bytes(meta), **arrays)

    def restore(self, model: keras.Model) -> int:
        """Put the state back; return the number of finished epochs.

        Raises:
            ValueError: if there is no state, or a damaged one, or one of another run.
        """
        path = self.folder / STATE
        if not path.is_file():
            raise ValueError(f"Nothing to resume: {path} does not exist.")
        meta, arrays = _read_state(path)
        if meta["spec"] != self.spec:
            raise ValueError(
                f"{path} belongs to another run: its settings differ in "
                f"{differences(meta['spec'], self.spec)}. Start again without `resume`."
            )
        if len(meta["history"]) < self.epochs:
            self._put_back(model, arrays, len(meta["history"]))
        self.history = meta["history"]
        self.best = -math.inf if meta["best"] is None else meta["best"]
        self.best_file = meta["best_file"]
        self.best_sha256 = meta.get("best_sha256", "")
        return len(self.history)

    def _put_back(self, model: keras.Model, arrays: list, epochs: int) -> None:
        path, variables = self.folder / STATE, variables_of(model)
        if not arrays:
            raise ValueError(
                f"{path} belongs to a training that ended after {epochs} epochs: its "
                "state was not kept."
            )
        shapes = [tuple(variable.shape) for variable in variables]
        if [array.shape for array in arrays] != shapes:
            raise ValueError(
                f"{path} holds {len(arrays)} variables, the model has {len(variables)} "
                "or others: it was trained at another precision."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def _read_state(path: pathlib.Path, arrays: bool = True) -> tuple[Meta, list]:
    """Settings and history of a state, and its arrays in the order of the variables.

    Raises:
        ValueError: if the file is damaged.
        OSError: if it cannot be opened.
    """
    stored = stored_arrays.read(path, None if arrays else ["meta"], ADVICE)
    try:
        meta = typed_json.convert(json.loads(stored.pop("meta").tobytes()), Meta)
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}). {ADVICE}") from error
    return meta, [stored[name] for name in sorted(stored)]


def check(folder: pathlib.Path) -> dict[pathlib.Path, str]:
    """Look for damaged files of a training.

    Args:
        folder: Folder of the training; need not exist.

    Returns:
        Damaged states and weights, and what is wrong with each.
    """
    damaged: dict[pathlib.Path, str] = {}
    state = folder / STATE
    if os.path.lexists(state):
        try:
            _read_state(state)
        except (OSError, ValueError) as error:
            damaged[state] = str(error)
    for path in sorted(folder.glob("*.weights.h5")):
        try:
            weights.check_readable(path)
            _check_sum(path)
        except (OSError, ValueError) as error:
            damaged[path] = str(error)
    return damaged


def _check_sum(path: pathlib.Path) -> None:
    """Compare weights with the checksum in the state next to them.

    Raises:
        ValueError: if they differ. A missing or damaged state says nothing.
    """
    state = path.with_name(STATE)
    try:
        meta, _ = _read_state(state, arrays=False)
    except (OSError, ValueError):
        return
    known = meta.get("best_sha256")
    if path.name not in (FINAL, meta["best_file"]) or not known:
        return
    if files.sha256(path) != known:
        raise ValueError(
            f"{path} is damaged: its checksum is not the one in {STATE}. {ADVICE}"
        )


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Load what `fit` left into a model, compiled or not.

    Raises:
        ValueError: if the file is damaged or of another network; names it.
    """
    _check_sum(pathlib.Path(path))
    with _without_optimizer(model):
        weights.read(model, path)


def _save_weights(model: keras.Model, path: pathlib.Path) -> None:
    with _averaged(model), _without_optimizer(model):
        weights.save_weights(model, path)


@contextlib.contextmanager
def _averaged(model: keras.Model) -> Iterator[None]:
    """Give a model its averaged weights for a while, where it keeps them."""
    optimizer = model.optimizer
    if not getattr(optimizer, "use_ema", False):
        yield
        return
    kept = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for weight, value in zip(model.trainable_variables, kept, strict=True):
            weight.assign(value)


@contextlib.contextmanager
def _without_optimizer(model: keras.Model) -> Iterator[None]:
    """Save or load only weights: Adam's moments are twice as many numbers."""
    if not model.compiled:
        yield
        return
    optimizer, model.optimizer = model.optimizer, None
    try:
        yield
    finally:
        model.optimizer = optimizer


def _as_bytes(meta: dict) -> np.ndarray:
    return np.frombuffer(json.dumps(meta).encode(), np.uint8)


def variables_of(model: keras.Model) -> list:
    """All variables of a compiled model and its optimizer, in a fixed order."""
    return [*model.variables, *model.optimizer.variables]


def differences(first: dict, second: dict) -> str:
    """Names of the settings that differ between two runs."""
    names = [key for key in {**first, **second} if first.get(key) != second.get(key)]
    return ", ".join(sorted(names))
