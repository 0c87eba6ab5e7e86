"""What `explain` gives for one scan: where a network sees a subtype.

By default the network of `predict` answers, whose pixels are the explanation: a scan's
probability is made from the probabilities that are drawn. A classifier of slices only
gives one number for a slice, so Grad-CAM shows what moved it.
"""

import dataclasses
import os
import typing
from collections.abc import Callable, Sequence

import numpy as np

from ich_tf import files, labels, owned_folder
from ich_tf.prediction import classify, figures, inputs, real_heads
from ich_tf.preprocessing.segmentation import slices
from ich_tf.volume import Case, Volume


class Explained(typing.NamedTuple):
    """What a network says of one class in a scan.

    Attributes:
        slice_probability: (z,), from foot to head.
        scan_probability: Probability in the scan.
        heatmaps: From z indices (n,) to maps (n, y, x), float32, in [0, 1].
    """

    slice_probability: np.ndarray
    scan_probability: float
    heatmaps: Callable[[np.ndarray], np.ndarray]


class Explainer(typing.Protocol):
    """A network and its way to explain itself.

    Attributes:
        name: Name of the network.
        sees: What it sees when it answers for a slice.
        shows: What its maps show.
        entry: Its entry of the manifest.
    """

    name: str
    sees: str
    shows: str
    entry: dict

    def explain(self, case: Case, class_indices: Sequence[int]) -> list[Explained]:
        """Explain classes, positions in `labels.CLASSES`, in a scan, in one pass.

        Raises:
            ValueError: if the network cannot answer for the scan or a class.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class GradCam:
    """A classifier of slices, explained by Grad-CAM.

    Attributes:
        network: The classifier.
        layer: The feature maps that Grad-CAM weighs; None takes
            `resnext.feature_map`.
    """

    network: classify.SliceNetwork
    layer: str | None = None
    sees = classify.ALONE
    shows = "Grad-CAM"

    @property
    def entry(self) -> dict:
        """The entry of the manifest."""
        return self.network.entry

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.entry.get("name", classify.SLICES)

    def explain(self, case: Case, class_indices: Sequence[int]) -> list[Explained]:
        """The most probable slice gives the probability of the scan."""
        answers = classify.slice_answers(self.network, case.volume)[1]

        def explained(k):
            def heatmaps(chosen):
                return slice_heatmaps(self.network, case.volume, k, chosen, self.layer)

            return Explained(answers[:, k], float(answers[:, k].max()), heatmaps)

        return [explained(k) for k in class_indices]


@dataclasses.dataclass(frozen=True, eq=False)
class PixelProbabilities:
    """The network of `predict`, explained by the probabilities of its pixels.

    Attributes:
        network: The network, with a calibration.
        name: Its name in the manifest.
    """

    network: real_heads.Network
    name: str = real_heads.DEFAULT_WEIGHTS
    sees = "each slice with its neighbours"
    shows = "probability of each pixel"

    @property
    def entry(self) -> dict:
        """The entry of the manifest."""
        return self.network.entry

    def explain(self, case: Case, class_indices: Sequence[int]) -> list[Explained]:
        """Calibrated probabilities, and the pixels that they are made from."""
        segmentation = self.network.segment(case)
        probabilities = self.network.probabilities(segmentation)
        if probabilities is None or not self.network.knows_subtypes:
            raise ValueError(
                f"{self.entry['file']} gives no probabilities of subtypes. Use weights "
                "with subtypes and a calibration, or `--run`."
            )

        def explained(k):
            pixels = segmentation.hemorrhage
            if labels.CLASSES[k] != labels.ANY:
                pixels = segmentation.subtypes[..., 1 + k]
            return Explained(
                probabilities.slices[:, k],
                float(probabilities.scan[k]),
                lambda chosen: pixels[chosen],
            )

        return [explained(k) for k in class_indices]


def explain(
    source: str | os.PathLike,
    out: str | os.PathLike,
    subtype: str,
    *,
    series_uid: str | None = None,
    force: bool = False,
    explainer: Explainer | None = None,
    weights_dir: str | os.PathLike | None = None,
    shown: int = 3,
) -> dict:
    """Draw the slices that most probably hold a subtype, and where it is seen.

    Args:
        source: A NIfTI file or a DICOM file or folder.
        out: Folder for `explanation-<subtype>.json` and `<subtype>-slice-*.png`;
            several subtypes may share it. Files of an earlier call for the same
            subtype are replaced, other files never.
        subtype: Name or short form, "any" included; case does not matter.
        series_uid: Which series of a DICOM folder with several.
        force: Whether a scan that does not look like head CT is read with a note.
        explainer: The network; None takes the one of `predict`.
        weights_dir: Folder of the shipped weights.
        shown: Number of slices to draw.

    Returns:
        The content of the JSON file; `network`, what it `sees` and what its maps
        `show` name the network that the probabilities are from.

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
    case = inputs.read(source, series_uid=series_uid, force=force)
    explainer = explainer or PixelProbabilities(real_heads.load(weights_dir))
    (answer,) = explainer.explain(case, [class_index])
    probability = answer.slice_probability
    chosen = np.sort(np.argsort(-probability, kind="stable")[:shown])
    content = {
        "subtype": labels.CLASSES[class_index],
        "slices": len(probability),
        "scan_probability": round(answer.scan_probability, 4),
        "slice_probability": [round(float(value), 4) for value in probability],
        "network": explainer.name,
        "sees": explainer.sees,
        "shows": explainer.shows,
        "weights": classify.provenance(explainer.entry),
        "notes": [note.text for note in case.volume.notes],
        "pictures": [],
        "disclaimer": inputs.DISCLAIMER,
    }
    return _write(out, content, case.volume, chosen, answer.heatmaps(chosen))


def slice_heatmaps(
    network: classify.SliceNetwork,
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
    from ich_tf.models import resnext
    from ich_tf.prediction import grad_cam

    layer = layer or resnext.feature_map(network.model)
    heat = grad_cam.heatmap(network.model, shown, class_index, layer)
    return slices.resize(heat, *volume.hu.shape[1:])


def _write(out, content, volume, chosen, heatmaps) -> dict:
    short = labels.SHORT[content["subtype"]]
    with owned_folder.replacing(out, _writer(short)) as folder:
        for z, heatmap in zip(chosen, heatmaps, strict=True):
            name = f"{short}-slice-{z + 1:03d}.png"
            title = f"{short}, slice {z + 1}: p = {content['slice_probability'][z]:.2f}"
            figures.draw_explanation(
                folder / name, volume.hu[z], heatmap, title, shows=content["shows"]
            )
            content["pictures"].append(name)
        files.write_json(folder / f"explanation-{short}.json", content)
    return content


def _writer(short: str) -> str:
    """Each subtype has files of its own."""
    return f"explain --subtype {short}"
