"""Files of this suite's own that are read back: manifests and records."""

import pathlib
import shutil
import tempfile

import harness
import json_mutations

from ich_tf import files, owned_folder
from ich_tf.models import manifest

ENTRY = {
    "build": {
        "name": "unetplusplus",
        "kwargs": {"filters": [2, 4], "input_shape": [16, 16, 1]},
    },
    "preprocessing": {
        **{"approach": "approach1", "channels": 1},
        **{"size": 16, "tile": 16, "stride": 16},
    },
    "trained_on": "nothing",
    "metric": "none",
    "file": "small.weights.h5",
    "sha256": "0" * 64,
    "bytes": 10,
    "parameters": 20,
    "shapes": {"a/kernel": "3x3x1x2"},
    "probe": {"seed": 0, "log_odds": [0.5, -1.0]},
    "seen": ["049"],
    "companions": {"likeness.npz": {"file": "small.likeness.npz", "sha256": "1" * 64}},
}


def _manifest_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / "manifest.json"
    files.write_json(path, {"small": ENTRY, "other": ENTRY})
    return [path]


def _record_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    out = folder / "out"
    for writer in ("predict", "explain"):
        with owned_folder.replacing(out, writer) as made:
            (made / f"{writer}.json").write_text("{}")
    path = folder / "record.json"
    shutil.copyfile(out / owned_folder.HIDDEN / path.name, path)
    return [path]


def _read_record(path: pathlib.Path) -> None:
    """A folder with a mutated record is replaced or refused; what is not ours stays."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "out")
        (out / owned_folder.HIDDEN).mkdir(parents=True)
        precious = [pathlib.Path(folder, "precious.txt"), out / "precious.txt"]
        for kept in precious:
            kept.write_text("keep me")
        shutil.copyfile(path, out / owned_folder.HIDDEN / "record.json")
        try:
            with owned_folder.replacing(out, "predict") as made:
                (made / "predict.json").write_text("{}")
        except ValueError as error:
            if "record.json" not in str(error):
                raise
            # The harness looks for the name of the mutated file.
            raise ValueError(f"{path.name}: {error}") from error
        finally:
            if [kept.read_text() for kept in precious] != ["keep me"] * 2:
                raise RuntimeError("a foreign file was changed")


TARGETS = {
    "manifest": harness.Target(
        _manifest_seeds, manifest.read, mutate=json_mutations.mutate
    ),
    "manifest-bytes": harness.Target(_manifest_seeds, manifest.read),
    "record": harness.Target(_record_seeds, _read_record, mutate=json_mutations.mutate),
    "record-bytes": harness.Target(_record_seeds, _read_record),
}
