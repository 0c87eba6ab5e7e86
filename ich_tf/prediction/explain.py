"""What `explain` gives for one scan: where the classifier sees a subtype.

Grad-CAM needs an image that the network answers for, so probabilities here come from
the slice network alone. `predict` gives the answers of the sequence model over it,
which may differ.
"""

import os

import numpy as np

from ich_tf import files, labels, owned_folder
from ich_tf.models import resnext
from ich_tf.prediction import classify, figures, grad_cam, inputs
from ich_tf.preprocessing.segmentation import slices
from ich_tf.volume import Volume


def explain(
    source: str | os.PathLike,
    out: str | os.PathLike,
    subtype: str,
    *,
    series_uid: str | None = None,
    force: bool = False,
    network: classify.Classifier | None = None,
    weights_dir: str | os.PathLike | None = None,
    layer: str | None = None,
    shown: int = 3,
) -> dict:
    """Draw Grad-CAM of the slices that most probably hold a subtype.

    Args:
        source: A NIfTI file or a DICOM file or folder.
        out: Folder for `explanation-<subtype>.json` and `<subtype>-slice-*.png`;
            several subtypes may share it. Files of an earlier call for the same
            subtype are replaced, files of anybody else never.
        subtype: Name or short form, "any" included; case does not matter.
        series_uid: Which series of a DICOM folder with several.
        force: Whether a scan that does not look like head CT is read with a note.
        network: The slice network; None takes the shipped one.
        weights_dir: Folder of the shipped weights.
        layer: The feature maps that Grad-CAM weighs; None takes
            `resnext.feature_map`.
        shown: Number of slices to draw.

    Returns:
        The content of the JSON file; `network` and what it `sees` name the network
        that the probabilities are from.

    Raises:
        inputs.NotHeadCT: if the content cannot be a head CT.
        ValueError: if the subtype is unknown, the input cannot be read or has lost
            values the windows need, the weights are absent or damaged, or `out`
            holds files of these names that no earlier call wrote.
    """
    class_index = labels.index(subtype)
    if shown < 1:
        raise ValueError(f"`shown` must be at least 1. Received: {shown}")
    short = labels.SHORT[labels.CLASSES[class_index]]
    names = [f"explanation-{short}.json", f"{short}-slice-*.png"]
    owned_folder.check(out, _writer(short), names)
    volume = inputs.read(source, series_uid=series_uid, force=force).volume
    network = network or classify.load(weights_dir=weights_dir)
    probability = classify.slice_answers(network, volume)[1][:, class_index]
    chosen = np.sort(np.argsort(-probability, kind="stable")[:shown])
    heatmaps = slice_heatmaps(network, volume, class_index, chosen, layer)
    content = {
        "subtype": labels.CLASSES[class_index],
        "slices": len(probability),
        "scan_probability": round(float(probability.max()), 4),
        "slice_probability": [round(float(value), 4) for value in probability],
        "network": network.entry.get("name", classify.SLICES),
        "sees": classify.ALONE,
        "weights": classify.provenance(network.entry),
        "notes": [note.text for note in volume.notes],
        "pictures": [],
        "disclaimer": inputs.DISCLAIMER,
    }
    return _write(out, content, volume, chosen, heatmaps)


def slice_heatmaps(
    network: classify.Classifier,
    volume: Volume,
    class_index: int,
    chosen: np.ndarray,
    layer: str | None = None,
) -> np.ndarray:
    """Grad-CAM of some slices on the volume's own pixels.

    Args:
        network: From `classify.load`.
        volume: The scan.
        class_index: Position in `labels.CLASSES`.
        chosen: (n,), z indices.
        layer: The feature maps that Grad-CAM weighs; None takes
            `resnext.feature_map`.

    Returns:
        (n, y, x), float32, in [0, 1].
    """
    part = Volume(volume.hu[chosen], None, None, None, hu_window=volume.hu_window)
    shown = network.to_images(part)
    layer = layer or resnext.feature_map(network.model)
    heat = grad_cam.heatmap(network.model, shown, class_index, layer)
    return slices.resize(heat, *volume.hu.shape[1:])


def _write(out, content, volume, chosen, heatmaps) -> dict:
    short = labels.SHORT[content["subtype"]]
    with owned_folder.replacing(out, _writer(short)) as folder:
        for z, heatmap in zip(chosen, heatmaps, strict=True):
            name = f"{short}-slice-{z + 1:03d}.png"
            title = f"{short}, slice {z + 1}: p = {content['slice_probability'][z]:.2f}"
            figures.draw_explanation(folder / name, volume.hu[z], heatmap, title)
            content["pictures"].append(name)
        files.write_json(folder / f"explanation-{short}.json", content)
    return content


def _writer(short: str) -> str:
    """Each subtype has files of its own."""
    return f"explain --subtype {short}"
