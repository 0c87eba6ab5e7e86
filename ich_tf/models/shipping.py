"""Weights written into the weights folder, with their entry in the manifest."""

import os
import pathlib
import typing
from collections.abc import Callable, Mapping

from ich_tf import files, models
from ich_tf.models import probe, published_weights, weights

if typing.TYPE_CHECKING:
    import keras


def ship(
    model: "keras.Model",
    name: str,
    folder: str | os.PathLike,
    entry: dict,
    companions: Mapping[str, Callable[[pathlib.Path], None]] | None = None,
) -> dict:
    """Write a model's weights and its manifest entry.

    Args:
        model: A model made by `models.build` with `entry["build"]`.
        name: Key in the manifest; the file is `<name>.weights.h5`.
        folder: The weights folder.
        entry: What only the caller knows: `build` ({"name": ..., "kwargs": {...}}),
            `preprocessing`, `trained_on`, `experiment`, `commit`, `metric`, ...
        companions: Ending of a file next to the weights to what writes it, listed in
            the entry with its checksum.

    Returns:
        The entry as written, with file, checksum, sizes, shapes and probe.

    Raises:
        ValueError: if `entry["build"]` makes another network than the model.
    """
    folder = pathlib.Path(folder)
    rebuilt = models.build(entry["build"]["name"], **weights.build_arguments(entry))
    if weights.shapes_of(rebuilt) != weights.shapes_of(model):
        raise ValueError(
            f"`entry['build']` of {name!r} makes another network than the model "
            f"{model.name}: {entry['build']}"
        )
    path = folder / f"{name}.weights.h5"
    weights.save_weights(model, path)
    complete = {
        **entry,
        "file": path.name,
        "sha256": published_weights.digest(path, "sha256"),
        "bytes": path.stat().st_size,
        "parameters": model.count_params(),
        "shapes": weights.shapes_of(model),
        "probe": {"seed": 0, "log_odds": probe.log_odds(model, seed=0)},
    }
    files.write_json(
        folder / weights.MANIFEST, {**weights.read_manifest(folder), name: complete}
    )
    return add_companions(name, folder, companions or {})


def add_companions(
    name: str,
    folder: str | os.PathLike,
    companions: Mapping[str, Callable[[pathlib.Path], None]],
) -> dict:
    """Write files next to shipped weights and list them with their checksums.

    Args:
        name: A key of the manifest.
        folder: The weights folder.
        companions: Ending of a file next to the weights to what writes it.

    Returns:
        The entry as written.
    """
    folder = pathlib.Path(folder)
    entries = weights.read_manifest(folder)
    listed = dict(entries[name].get("companions", {}))
    for ending, write in companions.items():
        path = folder / f"{name}.{ending}"
        write(path)
        digest = published_weights.digest(path, "sha256")
        listed[ending] = {"file": path.name, "sha256": digest}
    if listed:
        entries[name] = {**entries[name], "companions": listed}
        files.write_json(folder / weights.MANIFEST, entries)
    return entries[name]
