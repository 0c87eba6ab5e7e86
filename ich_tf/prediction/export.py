"""Networks in the formats of other programs, each with a file of its preprocessing.

Keras writes a SavedModel, a LiteRT flatbuffer or ONNX, which run without this project.
They take pixels in [0, 1], so `preprocessing.json` states how Hounsfield units become
these.
"""

import contextlib
import io
import os
import pathlib
import warnings

from ich_tf import files, labels, packages
from ich_tf.models import probe, weights
from ich_tf.preprocessing import windows
from ich_tf.preprocessing.segmentation import context

FORMATS = {
    "savedmodel": ("tf_saved_model", ""),
    "litert": ("litert", ".tflite"),
    "onnx": ("onnx", ".onnx"),
    "keras": (None, ".keras"),
}
"""Format to its name in Keras and the ending of its file; "" is a folder."""
CHAIN = "chain"
"""Name of the slice network with its sequence model, as one network."""


def export(
    name: str,
    form: str,
    out: str | os.PathLike,
    weights_dir: str | os.PathLike | None = None,
) -> pathlib.Path:
    """Write a shipped network in another format.

    Args:
        name: Name in the manifest, or "chain": windows, slice network and sequence
            model as one network, from the Hounsfield units of a scan.
        form: One of `FORMATS`.
        out: An empty or new folder; gets the network and `preprocessing.json`.
        weights_dir: Folder of the weights; default `paths.weights()`.

    Returns:
        The network's file or folder.

    Raises:
        ValueError: if the name or format is unknown, the weights are absent or
            damaged, `out` holds files, or the format cannot hold the network or needs
            a package that is not installed.
    """
    if form not in FORMATS:
        raise ValueError(f"Unknown format {form!r}. Known: {', '.join(FORMATS)}.")
    files.check_folder(out)
    model, preprocessing = _model(name, weights_dir)
    keras_name, ending = FORMATS[form]
    if form == "litert" and name != CHAIN:
        from ich_tf.models import lite

        model = lite.convertible(model)
    with files.new_folder(out) as made:
        _write(model, made / f"{name}{ending}", keras_name, form)
        content = {"network": name, "format": form, **preprocessing}
        files.write_json(made / "preprocessing.json", content)
    return pathlib.Path(out) / f"{name}{ending}"


def _model(name: str, weights_dir):
    """The network, and what its user must know."""
    if name == CHAIN:
        from ich_tf.prediction import classify

        model = classify.whole(weights_dir)
        return model, {
            "input": "Hounsfield units, float32 (scans, slices, rows, columns), slices "
            "from foot to head",
            "output": "probabilities (scans, slices, classes)",
            "classes": list(labels.CLASSES),
            "loading": "import ich_tf.models.chain before you load the Keras file",
        }
    model = weights.load_shipped(name, weights_dir)
    _, entry = weights.shipped(name, weights_dir)
    probe.check(model, entry)
    return model, describe(model, entry)


def describe(model, entry: dict) -> dict:
    """How Hounsfield units become the network's input, as JSON.

    Args:
        model: The network.
        entry: Its entry of the manifest.
    """
    preprocessing = entry["preprocessing"]
    described = {
        "input": "float32 in [0, 1]",
        "input_shapes": _shapes(model.inputs),
        "output_shapes": _shapes(model.outputs),
        "output_classes": _classes(model),
        "preprocessing": preprocessing,
        "weights": {
            name: entry[name] for name in ("file", "sha256", "trained_on", "metric")
        },
    }
    if "approach" in preprocessing:
        shown = windows.approach_windows(preprocessing["approach"])
        described["windows"] = [
            {"level_hu": window.level, "width_hu": window.width} for window in shown
        ]
        described["steps"] = _steps(preprocessing)
    return described


def _steps(preprocessing: dict) -> list[str]:
    """From the Hounsfield units of a scan to the network's input, in words."""
    size = preprocessing["size"]
    pad = "pad each slice to a square with its lowest value"
    window = "per window: (HU - level + width / 2) / width, clipped to [0, 1]"
    if not preprocessing.get("head_box"):
        shrink = f"resize to {size} x {size} pixels by area averaging"
        return [pad, shrink, window]
    step_mm, pixel_mm = context.STEP_MM, context.PIXEL_MM
    return [
        pad,
        f"resize by area averaging to pixels of {pixel_mm} mm, between {size // 2} and "
        f"{2 * size} pixels a side; without spacing to {size}",
        "cut all slices to the rows and columns in which some slice has more than "
        f"{context.MARGIN} pixels above {context.HEAD_HU:g} HU, plus {context.MARGIN} "
        f"pixels on each side, in lengths of a multiple of {context.MULTIPLE} and "
        f"{context.SMALLEST_SIDE} at least; the scan's lowest value beyond the slices",
        window,
        f"channels: the slice in the middle and its neighbours about {step_mm:g} mm "
        "apart, from foot to head; beyond its ends the scan's first or last slice",
    ]


def _shapes(tensors) -> list[list[int | None]]:
    return [list(tensor.shape) for tensor in tensors]


def _classes(model) -> list[str]:
    count = model.outputs[0].shape[-1]
    if len(model.outputs[0].shape) == 4:
        return ["hemorrhage"] if count == 1 else ["background", *labels.SUBTYPES]
    return list(labels.CLASSES)[:count]


def _write(model, path: pathlib.Path, keras_name: str | None, form: str) -> None:
    if keras_name is None:
        model.save(path)
        return
    try:
        if form == "litert":
            from ich_tf.models import lite

            lite.write(model, path)
            return
        # Converters print the signature, and warn about NumPy's and their own future.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.export(path, format=keras_name, verbose=False)
    except ImportError as error:
        extra = form if form in ("litert", "onnx") else "cpu"
        raise ValueError(
            f"The format {form} needs a package that is not installed ({error.name}): "
            f"{packages.command(extra)}"
        ) from error
    except (RuntimeError, TypeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:200]
        raise ValueError(
            f"{model.name} cannot be written as {form}: {reason}"
        ) from error
