"""What `explain` gives for one scan: where the classifier sees a subtype."""

import os
import pathlib
import typing
from collections.abc import Callable

import numpy as np

from ich_tf import explain as grad_cam
from ich_tf import files, inference, labels
from ich_tf.data import checks, inputs
from ich_tf.models import resnext, weights
from ich_tf.preprocessing import images, slices, windows
from ich_tf.report import figures, prediction
from ich_tf.volume import Volume

if typing.TYPE_CHECKING:
    import keras

DEFAULT_WEIGHTS = "resnext-phantom"


class Classifier(typing.NamedTuple):
    """A shipped slice classifier.

    Attributes:
        model: From (z, size, size, 3) in [0, 1] to (z, 6) probabilities.
        predict: The model as `inference.feature_predictor` wraps it.
        size: Side of its images in pixels.
        entry: Its entry of the manifest.
    """

    model: "keras.Model"
    predict: Callable
    size: int
    entry: dict


def explain(
    source: str | os.PathLike,
    out: str | os.PathLike,
    subtype: str,
    *,
    weights_name: str = DEFAULT_WEIGHTS,
    weights_dir: str | os.PathLike | None = None,
    layer: str = resnext.FEATURE_MAP,
    shown: int = 3,
) -> dict:
    """Draw Grad-CAM of the slices that most probably hold a subtype.

    Args:
        source: A NIfTI file or a DICOM file or folder.
        out: Folder for `explanation-<subtype>.json` and `<subtype>-slice-*.png`;
            several subtypes may share it.
        subtype: Name or short form, "any" included; case does not matter.
        weights_name: Name in the manifest of the classifier's weights.
        weights_dir: Folder of the weights.
        layer: The feature maps that Grad-CAM weighs.
        shown: Number of slices to draw.

    Returns:
        The content of the JSON file.

    Raises:
        prediction.NotHeadCT: if the content cannot be a head CT.
        ValueError: if the subtype is unknown, the input cannot be read or has lost
            values the windows need, or the weights are absent.
    """
    class_index = labels.index(subtype)
    if shown < 1:
        raise ValueError(f"`shown` must be at least 1. Received: {shown}")
    volume = inputs.read_any(source).volume
    problems = checks.refuse_not_head_ct(volume)
    if problems:
        reasons = "; ".join(problem.message for problem in problems)
        raise prediction.NotHeadCT(f"{source} is refused: {reasons}")
    classifier = load_classifier(weights_name, weights_dir)
    probability = probabilities(classifier, volume)[:, class_index]
    chosen = np.sort(np.argsort(-probability, kind="stable")[:shown])
    heatmaps = slice_heatmaps(classifier, volume, class_index, chosen, layer)
    found = {
        "input": pathlib.Path(source).name,
        "subtype": labels.CLASSES[class_index],
        "slices": len(probability),
        "scan_probability": round(float(probability.max()), 4),
        "slice_probability": [round(float(value), 4) for value in probability],
        "weights": {
            name: classifier.entry[name]
            for name in ("file", "sha256", "trained_on", "metric")
        },
        "notes": list(volume.notes),
        "pictures": [],
        "disclaimer": prediction.DISCLAIMER,
    }
    return _write(pathlib.Path(out), found, volume, chosen, heatmaps)


def load_classifier(
    name: str = DEFAULT_WEIGHTS, weights_dir: str | os.PathLike | None = None
) -> Classifier:
    """Load a shipped classifier and check that it computes what it did.

    Raises:
        ValueError: if the weights are absent, damaged or compute other values.
    """
    model = weights.load_shipped(name, weights_dir)
    entry = weights.read_manifest(weights_dir)[name]
    weights.check_probe(model, entry)
    predict = inference.feature_predictor(model, batch=grad_cam.BATCH)
    return Classifier(model, predict, entry["preprocessing"]["size"], entry)


def probabilities(classifier: Classifier, volume: Volume) -> np.ndarray:
    """Probabilities of each slice.

    Returns:
        (z, 6), in the order of `labels.CLASSES`.

    Raises:
        ValueError: if the volume was saturated within the windows.
    """
    given = windows.WINDOWS["classification"].values()
    windows.check_window(volume.hu_window, tuple(given))
    shown = images.slice_images(volume.hu, classifier.size)
    _, answers = classifier.predict(shown)
    return answers


def slice_heatmaps(
    classifier: Classifier,
    volume: Volume,
    class_index: int,
    chosen: np.ndarray,
    layer: str = resnext.FEATURE_MAP,
) -> np.ndarray:
    """Grad-CAM of some slices on the volume's own pixels.

    Args:
        classifier: From `load_classifier`.
        volume: The scan.
        class_index: Position in `labels.CLASSES`.
        chosen: (n,), z indices.
        layer: The feature maps that Grad-CAM weighs.

    Returns:
        (n, y, x), float32, in [0, 1].
    """
    shown = images.slice_images(volume.hu[chosen], classifier.size)
    heat = grad_cam.heatmap(classifier.model, shown, class_index, layer)
    return slices.resize(heat, *volume.hu.shape[1:])


def _write(out, found, volume, chosen, heatmaps) -> dict:
    short = labels.SHORT[found["subtype"]]
    out.mkdir(parents=True, exist_ok=True)
    for earlier in out.glob(f"{short}-slice-*.png"):
        earlier.unlink()
    for z, heatmap in zip(chosen, heatmaps, strict=True):
        name = f"{short}-slice-{z + 1:03d}.png"
        title = f"{short}, slice {z + 1}: p = {found['slice_probability'][z]:.2f}"
        figures.draw_explanation(out / name, volume.hu[z], heatmap, title)
        found["pictures"].append(name)
    files.write_json(out / f"explanation-{short}.json", found)
    return found
