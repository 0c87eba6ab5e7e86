"""Files of this suite's own that are read back: manifests and records."""

import pathlib
import shutil
import tempfile
from collections.abc import Callable

import harness
import json_mutations
import numpy as np

from ich_tf import files, labels, owned_folder
from ich_tf.models import manifest
from ich_tf.prediction import calibration, saving
from ich_tf.preprocessing.classification import records
from ich_tf.preprocessing.segmentation import slices
from ich_tf.synthetic import painted_scans

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


NUMBERS = {
    "slices": 3,
    "volume_ml": 1.5,
    "subtypes": {"epidural": {"label": 1, "volume_ml": 1.5, "pixels": 20}},
    "lesions": [{"number": 1, "subtype": "epidural"}],
    "probabilities": {"scan": {"epidural": 0.9, "any": 0.9}, "calibrated": True},
    "out_of_distribution": {"scan": False, "slices": []},
    "contradictions": {"scan": [], "slices": []},
    "made_with": {"files": "0" * 16},
}


def _prediction_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / saving.RESULT
    without = {"reason": "these weights predict no subtypes"}
    other = folder / f"other-{saving.RESULT}"
    files.write_json(path, NUMBERS)
    files.write_json(other, {**NUMBERS, "subtypes": without, "volume_ml": None})
    return [path, other]


def _renamed(
    path: pathlib.Path, name: str, read: Callable[[pathlib.Path], object]
) -> None:
    """Read a mutated file under the name that it has in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder, name)
        shutil.copyfile(path, place)
        try:
            read(place)
        except ValueError as error:
            if name not in str(error):
                raise
            # The harness looks for the name of the mutated file.
            raise ValueError(f"{path.name}: {error}") from error


def _read_prediction(path: pathlib.Path) -> None:
    """Read it and make the row of the table."""
    # Keras takes long to import.
    from ich_tf.prediction import many

    def row(place: pathlib.Path) -> None:
        numbers = saving.read(place.parent)
        many.Outcome("a", many.KEPT, "a", numbers, 1.0).row()

    _renamed(path, saving.RESULT, row)


def _calibration_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / "calibration.json"
    lines = np.ones((len(labels.CLASSES), 2))
    calibration.save(path, calibration.Calibration(lines, lines), "nothing")
    return [path]


def _slices_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / slices.INDEX
    content = {"shape": [2, 4, 4], "case_ids": ["a", "b"], "numbers": [0, 1]}
    files.write_json(path, content)
    return [path]


def _read_slices(path: pathlib.Path) -> None:
    def load(place: pathlib.Path) -> None:
        np.zeros((2, 4, 4), np.float32).tofile(place.with_name("hu.f32"))
        np.zeros((2, 4, 4), np.uint8).tofile(place.with_name("mask.u8"))
        try:
            slices.load(place.parent)
        except ValueError as error:
            # Another length is a fault of the file of pixels.
            if "hu.f32" in str(error):
                raise ValueError(f"{place.name}: {error}") from error
            raise

    _renamed(path, slices.INDEX, load)


def _painted_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / painted_scans.INDEX
    files.write_json(path, {"side": 4, "names": ["a", "b"], "starts": [0, 1, 2]})
    return [path]


def _read_painted(path: pathlib.Path) -> None:
    def load(place: pathlib.Path) -> None:
        for name in ("images.u8", "subtypes.u8"):
            np.zeros((2, 4, 4), np.uint8).tofile(place.with_name(name))
        try:
            painted_scans.load(place.parent)
        except ValueError as error:
            if "images.u8" in str(error):
                raise ValueError(f"{place.name}: {error}") from error
            raise

    _renamed(path, painted_scans.INDEX, load)


def _shard_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / records.INDEX
    shard = {"file": "shard-0.tfrecord", "bytes": 9}
    left = [{"case_id": "c", "reason": "damaged"}]
    content = {
        **{"format": records.FORMAT, "size": 16, "images": "a.b {}", "order": 7},
        **{"data": "rsna", "fingerprint": {"identity": "phantom"}},
        **{"scans": 2, "slices": 5, "positive": [0, 1, 0, 0, 0, 1]},
        **{"left_out": left, "left_out_slices": left, "problems": []},
        "shards": [{**shard, "case_ids": ["a", "b"], "counts": [2, 3]}],
    }
    files.write_json(path, content)
    return [path]


def _read_shards(path: pathlib.Path) -> None:
    _renamed(path, records.INDEX, lambda place: records.Shards(place.parent))


def _localization_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / "localization.json"
    score = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 3, "n_undefined": 0}
    names = ("energy_share", "pointing_game", "chance_head", "chance_image")
    measured = {
        **dict.fromkeys((*names, "above_chance"), score),
        **{"slices": 3, "detected": 2, "figure": "figure-3-EDH.png"},
    }
    content = {
        **{"made_for": {"heads": 3}, "network": "a", "shows": "b", "heads": 3},
        "subtypes": {labels.SUBTYPES[0]: measured},
    }
    files.write_json(path, content)
    return [path]


def _read_localization(path: pathlib.Path) -> None:
    from ich_tf.evidence import localization

    _renamed(
        path,
        localization.MEASURED,
        lambda place: localization.describe(localization.read(place.parent)),
    )


_JSON = {
    "prediction": (_prediction_seeds, _read_prediction),
    "calibration": (_calibration_seeds, calibration.load),
    "slices-index": (_slices_seeds, _read_slices),
    "painted-index": (_painted_seeds, _read_painted),
    "shards-index": (_shard_seeds, _read_shards),
    "localization": (_localization_seeds, _read_localization),
}


def _prepare() -> None:
    """Import what takes long."""
    from ich_tf.evidence import localization  # noqa: F401
    from ich_tf.prediction import many  # noqa: F401


_HEAVY = ("prediction", "localization")
TARGETS = {
    **{
        name + ending: harness.Target(
            seeds, read, mutate=mutate, prepare=_prepare if name in _HEAVY else None
        )
        for name, (seeds, read) in _JSON.items()
        for ending, mutate in (("", json_mutations.mutate), ("-bytes", None))
    },
    "manifest": harness.Target(
        _manifest_seeds, manifest.read, mutate=json_mutations.mutate
    ),
    "manifest-bytes": harness.Target(_manifest_seeds, manifest.read),
    "record": harness.Target(_record_seeds, _read_record, mutate=json_mutations.mutate),
    "record-bytes": harness.Target(_record_seeds, _read_record),
}
