"""Weights files: written whole, and checked against the manifest before loading."""

import io
import os
import pathlib
import typing

from ich_tf import files, models, paths, suggestions, typed_json
from ich_tf.models import manifest, probe, published_weights

if typing.TYPE_CHECKING:
    import keras

MANIFEST = manifest.MANIFEST


class _Memory(io.BytesIO):
    """A file in memory that Keras takes for one of weights."""

    def __str__(self):
        return "memory.weights.h5"


def save_weights(model: "keras.Model", path: str | os.PathLike) -> None:
    """Write a model's weights; the file is never seen half written.

    HDF5 is built in memory. On a full disk it would print its own errors, again and
    again, instead of raising one.

    Args:
        model: Any model.
        path: The file, `*.weights.h5`.

    Raises:
        OSError: if the file cannot be written.
    """
    memory = _Memory()
    model.save_weights(memory)
    files.write_bytes(path, memory.getbuffer())


def read(model: "keras.Model", path: str | os.PathLike) -> None:
    """Load weights into a model of the same network.

    Args:
        model: The model that gets the weights.
        path: A `.weights.h5` file.

    Raises:
        ValueError: if the file is damaged or holds another network; names it.
        OSError: if it is absent or cannot be opened.
    """
    path = pathlib.Path(path)
    with open(path, "rb"):
        pass
    try:
        model.load_weights(path)
    except Exception as error:
        # HDF5 and Keras raise nearly every type for a damaged file.
        raise ValueError(
            f"{path} is damaged or does not fit the model {model.name} "
            f"({type(error).__name__}: {error}). Restore the file, or remove it and "
            "make it again."
        ) from error


def check_readable(path: str | os.PathLike) -> None:
    """Read everything in a `.weights.h5` file, without the network it belongs to.

    Raises:
        ValueError: if the file is damaged; names it.
        OSError: if it is absent or cannot be opened.
    """
    import h5py

    def read(name: str, entry: h5py.Dataset | h5py.Group) -> None:
        if isinstance(entry, h5py.Dataset):
            entry[()]

    with open(path, "rb"):
        pass
    try:
        with h5py.File(path, "r") as file:
            file.visititems(read)
    except Exception as error:
        # HDF5 raises nearly every type for a damaged file.
        raise ValueError(f"{path} is damaged ({error}).") from error


def load_weights(model: "keras.Model", path: str | os.PathLike, entry: dict) -> None:
    """Load weights after checking the file and the model against the manifest.

    Args:
        model: The model that gets the weights.
        path: A `.weights.h5` file.
        entry: Its entry of the manifest.

    Raises:
        ValueError: if the file is absent, has another checksum, or its shapes are
            not the model's.
    """
    path = pathlib.Path(path)
    _check_file(path, entry)
    expected, actual = entry["shapes"], shapes_of(model)
    if expected != actual:
        names = sorted(expected.keys() | actual.keys())
        name = next(n for n in names if expected.get(n) != actual.get(n))
        raise ValueError(
            f"{path} does not fit the model {model.name}: {name} is "
            f"{expected.get(name, 'absent')} in the file, {actual.get(name, 'absent')} "
            "in the model."
        )
    read(model, path)


def _check_file(path: pathlib.Path, listed: dict) -> None:
    if not path.is_file():
        raise ValueError(f"{path} does not exist. The manifest lists it.")
    actual = published_weights.digest(path, "sha256")
    if actual != listed["sha256"]:
        raise ValueError(
            f"{path} is not the file of the manifest: its sha256 is {actual}, expected "
            f"{listed['sha256']}."
        )


def companion(
    entry: dict, ending: str, weights_dir: str | os.PathLike | None = None
) -> pathlib.Path | None:
    """A file next to shipped weights; None if there is no file of that ending.

    Args:
        entry: The weights' entry of the manifest.
        ending: Ending of the file's name after the weights' name.
        weights_dir: The weights folder; default `paths.weights()`.

    Raises:
        ValueError: if the file is absent or not the one listed.
    """
    listed = entry.get("companions", {}).get(ending)
    if listed is None:
        return None
    path = published_weights.local_file(listed, paths.weights(weights_dir))
    _check_file(path, listed)
    return path


def read_manifest(
    folder: str | os.PathLike | None = None,
) -> dict[str, manifest.Entry]:
    """Entries of the shipped weights by name; empty where none are shipped.

    Args:
        folder: The weights folder; default `paths.weights()`.

    Raises:
        ValueError: if the manifest is damaged.
    """
    path = paths.weights(folder) / MANIFEST
    return manifest.read(path) if path.exists() else {}


def shipped(
    name: str, weights_dir: str | os.PathLike | None = None
) -> tuple[pathlib.Path, dict]:
    """File and manifest entry of shipped weights.

    Args:
        name: A key of the manifest.
        weights_dir: The weights folder; default `paths.weights()`.

    Raises:
        ValueError: if the name is unknown.
        WeightsUnavailable: if the file has to be downloaded and cannot be.
    """
    folder = paths.weights(weights_dir)
    entries = read_manifest(folder)
    if name not in entries:
        known = ", ".join(entries) or "none"
        near = suggestions.did_you_mean(name, entries)
        raise ValueError(
            f"No shipped weights {name!r} in {folder}.{near} Known: {known}."
        )
    return published_weights.local_file(entries[name], folder), entries[name]


def load_shipped(
    name: str, weights_dir: str | os.PathLike | None = None
) -> "keras.Model":
    """Rebuild a shipped model from its manifest entry and load its weights.

    Args:
        name: A key of the manifest.
        weights_dir: The weights folder; default `paths.weights()`.

    Raises:
        ValueError: if the name is unknown or the file is not the one listed.
    """
    path, entry = shipped(name, weights_dir)
    _check_file(path, entry)
    try:
        model = models.build(entry["build"]["name"], **build_arguments(entry))
    except (TypeError, ValueError, KeyError, IndexError, ZeroDivisionError) as error:
        # The arguments of a damaged entry may break Keras in any of these ways.
        place = paths.weights(weights_dir) / MANIFEST
        raise ValueError(
            f"{place}: the network of {name!r} cannot be built ({error}). "
            f"{manifest.ADVICE}"
        ) from error
    load_weights(model, path, entry)
    return model


def load_for(
    name: str, preprocessing: type, weights_dir: str | os.PathLike | None = None
) -> tuple["keras.Model", manifest.Entry]:
    """Load shipped weights that answer for scans, and check what they compute.

    Args:
        name: A key of the manifest.
        preprocessing: `manifest.Segmentation` or `manifest.SliceImages`.
        weights_dir: The weights folder; default `paths.weights()`.

    Returns:
        The network, and its entry with `preprocessing`, `trained_on` and `metric`.

    Raises:
        ValueError: if the name is unknown, the file is not the one listed, the network
            computes other values than when it was shipped, or the entry does not say
            what the network answers for.
    """
    entry = entry_for(name, preprocessing, weights_dir)
    model = load_shipped(name, weights_dir)
    probe.check(model, entry)
    return model, entry


def entry_for(
    name: str, preprocessing: type, weights_dir: str | os.PathLike | None = None
) -> manifest.Entry:
    """The entry of shipped weights that answer for scans; nothing is loaded.

    Args:
        name: A key of the manifest.
        preprocessing: `manifest.Segmentation` or `manifest.SliceImages`.
        weights_dir: The weights folder; default `paths.weights()`.

    Returns:
        The entry with `preprocessing`, `trained_on` and `metric`.

    Raises:
        ValueError: if the name is unknown, or the entry does not say what the network
            answers for.
    """
    _, entry = shipped(name, weights_dir)
    place = f"{paths.weights(weights_dir) / MANIFEST}: {name!r}"
    for key in ("preprocessing", "trained_on", "metric"):
        if key not in entry:
            raise ValueError(f"{place} lacks `{key}`. {manifest.ADVICE}")
    typed_json.convert(entry["preprocessing"], preprocessing, f"{place}, preprocessing")
    return entry


def build_arguments(entry: dict) -> dict:
    """Build arguments as Python has them: JSON knows no tuples."""
    arguments = entry["build"].get("kwargs", {})
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in arguments.items()
    }


def shapes_of(model: "keras.Model") -> dict[str, str]:
    """Path of each weight to its shape, as the manifest lists it."""
    return {weight.path: "x".join(map(str, weight.shape)) for weight in model.weights}
