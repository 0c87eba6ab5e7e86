"""One network for a real head: mask, subtypes and probabilities that agree.

The network predicts each slice, seen with its neighbours, by a softmax over
background and the five subtypes; hemorrhage is what is not background. Probabilities
of slices and of the scan come from the same pixels through a logistic calibration. The
mask is empty in slices whose probability is low; where mask and probability still
disagree, `Prediction.contradictions` says so.
"""

import dataclasses
import functools
import os
import pathlib
import typing

import numpy as np

from ich_tf import labels, paths
from ich_tf.metrics.operating_point import OperatingPoint
from ich_tf.models import manifest, shipping, weights
from ich_tf.prediction import calibration as calibrations
from ich_tf.prediction import lite_network, naming, ood, segment
from ich_tf.preprocessing import windows
from ich_tf.preprocessing.segmentation import context, slices
from ich_tf.volume import Case

if typing.TYPE_CHECKING:
    import keras

DEFAULT_WEIGHTS = "real-heads"
"""Name in the manifest of the network that answers by default."""
LIKENESS = "likeness.npz"
CALIBRATION = "calibration.json"
CLASSES = ("background", *labels.SUBTYPES)
"""Order of the last axis of `Segmentation.subtypes`."""

_BATCH = 4
_BACKGROUND = np.array([1.0, 0, 0, 0, 0, 0], np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Segmentation:
    """What the network answers for one scan.

    Attributes:
        subtypes: (z, y, x, 6), float32, on the case's own grid: probabilities of
            `CLASSES`, which sum to 1.
        scores: (z, 6), float32, in the order of `labels.CLASSES`: the mean of a
            slice's highest probabilities on the network's grid.
        features: (z, d), float32, what the network saw in each slice.
        knows_subtypes: Whether the network distinguishes subtypes; if not, all five
            share the probability of hemorrhage.
    """

    subtypes: np.ndarray
    scores: np.ndarray
    features: np.ndarray | None
    knows_subtypes: bool

    @property
    def hemorrhage(self) -> np.ndarray:
        """(z, y, x), float32: the probability of any hemorrhage."""
        return 1.0 - self.subtypes[..., 0]


@dataclasses.dataclass(frozen=True, eq=False)
class Probabilities:
    """Calibrated probabilities, in the order of `labels.CLASSES`.

    Attributes:
        slices: (z, 6), float32.
        scan: (6,), float32.
    """

    slices: np.ndarray
    scan: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A shipped network for real heads; make it with `load`.

    Attributes:
        model: The Keras model, or the same network in LiteRT.
        entry: Its entry of the manifest.
        likeness: Statistics of the slices it was trained on, or None.
        calibration: From scores to probabilities, or None where the weights have none.
    """

    model: "keras.Model | lite_network.LiteNetwork"
    entry: dict
    likeness: ood.Likeness | None
    calibration: calibrations.Calibration | None

    @property
    def knows_subtypes(self) -> bool:
        """Whether the network distinguishes the five subtypes."""
        return self.model.output_shape[-1] == len(CLASSES)

    @property
    def operating_point(self) -> OperatingPoint:
        """When a voxel is marked, as chosen for release."""
        preprocessing = self.entry["preprocessing"]
        return OperatingPoint(
            float(preprocessing.get("threshold", 0.5)),
            float(preprocessing.get("slice_threshold", 0.0)),
        )

    def segment(self, case: Case) -> Segmentation:
        """Answer a scan.

        Args:
            case: The scan; labels and mask are not used.

        Raises:
            ValueError: if the scan lost values that the network's window needs.
        """
        preprocessing, volume = self.entry["preprocessing"], case.volume
        shown = windows.approach_windows(preprocessing["approach"])
        windows.check_window(volume.hu_window, shown)
        height, width = volume.hu.shape[1:]
        spacing_mm = volume.spacing_mm if preprocessing.get("head_box") else None
        side = context.side_of(height, width, spacing_mm, preprocessing["size"])
        small = slices.resize(slices.squared(volume.hu), side)
        answers, features = self._forward(small, context.step_of(spacing_mm))
        rows, columns = slices.within_square(height, width)
        whole = np.empty((*volume.hu.shape, answers.shape[-1]), np.float32)
        for of_slice, answer in zip(whole, answers, strict=True):
            enlarged = slices.resize_channels(answer, max(height, width))
            of_slice[...] = enlarged[rows, columns]
        return Segmentation(
            whole, calibrations.scores(answers), features, self.knows_subtypes
        )

    def probabilities(self, segmentation: Segmentation) -> Probabilities | None:
        """Probabilities of each slice and of the scan; None without calibration."""
        if self.calibration is None:
            return None
        return Probabilities(*self.calibration.probabilities(segmentation.scores))

    def marked(
        self, segmentation: Segmentation, point: OperatingPoint | None = None
    ) -> np.ndarray:
        """The mask, (z, y, x), bool.

        Args:
            segmentation: From `segment`.
            point: When a voxel is marked; None takes `operating_point`. Without
                calibration its slice threshold does nothing.
        """
        point = point or self.operating_point
        marked = segmentation.hemorrhage > point.threshold
        probabilities = self.probabilities(segmentation)
        if probabilities is not None:
            any_hemorrhage = probabilities.slices[:, labels.index(labels.ANY)]
            marked[any_hemorrhage < point.slice_threshold] = False
        return marked

    def label_map(
        self, segmentation: Segmentation, point: OperatingPoint | None = None
    ) -> np.ndarray:
        """(z, y, x), uint8: 0, or 1 to 5 in the order of `labels.SUBTYPES`.

        Args:
            segmentation: From `segment`.
            point: When a voxel is marked; None takes `operating_point`.
        """
        marked = self.marked(segmentation, point)
        return naming.name_voxels(marked, segmentation.subtypes)

    @functools.cached_property
    def _answer(self):
        if isinstance(self.model, lite_network.LiteNetwork):
            return self.model
        # Built once: each new Keras model and its traced function would stay in memory.
        layer = self.likeness and self.likeness.layer
        return segment.whole_slices(self.model, layer, _BATCH)

    @functools.cached_property
    def _tiles(self):
        preprocessing = self.entry["preprocessing"]
        to_channels = functools.partial(
            windows.channels,
            approach=preprocessing["approach"],
            count=preprocessing["channels"],
        )
        return segment.predictor(
            self.model,
            to_channels,
            preprocessing["tile"],
            preprocessing["stride"],
            batch=_BATCH,
            layer=self.likeness and self.likeness.layer,
        )

    def _forward(self, small, step) -> tuple[np.ndarray, np.ndarray | None]:
        """Answers (z, side, side, 6) and features (z, d) for slices of one size."""
        if not self.knows_subtypes:
            return self._one_class(small)
        preprocessing = self.entry["preprocessing"]
        approach = preprocessing["approach"]
        side = small.shape[1]
        box = (slice(0, side), slice(0, side))
        if preprocessing.get("head_box"):
            box = context.head_box(small)
        part = windows.channels(context.cut(small, box, small.min()), approach, 1)
        images = context.neighbours(part[..., 0], self.model.input_shape[-1], step)
        answers, features = self._answer(images)
        return context.paste(answers, box, small.shape[1], _BACKGROUND), features

    def _one_class(self, small) -> tuple[np.ndarray, np.ndarray | None]:
        """As `_forward`, for a network without subtypes."""
        bleeds, features = segment.predict_with_features(self._tiles, small)
        bleeds = bleeds[..., np.newaxis]
        count = len(labels.SUBTYPES)
        share = np.repeat(bleeds / count, count, axis=-1)
        return np.concatenate([1 - bleeds, share], axis=-1), features


def load(
    weights_dir: str | os.PathLike | None = None, name: str = DEFAULT_WEIGHTS
) -> Network:
    """Load a network for real heads and check that it computes what it did.

    On a CPU it runs in LiteRT, where that is installed and the weights have such a
    file: the start takes a second instead of ten.

    Args:
        weights_dir: Folder of the weights; default `paths.weights()`.
        name: Name in the manifest.

    Raises:
        ValueError: if the weights or a file next to them are absent or damaged, or
            compute other values than when they were shipped.
    """
    entry = weights.entry_for(name, manifest.Segmentation, weights_dir)
    if lite_network.FILE in entry.get("companions", {}) and lite_network.is_usable():
        path = weights.companion(entry, lite_network.FILE, weights_dir)
        model = lite_network.LiteNetwork(path, _BATCH)
    else:
        model, entry = weights.load_for(name, manifest.Segmentation, weights_dir)
    statistics = weights.companion(entry, LIKENESS, weights_dir)
    calibration = weights.companion(entry, CALIBRATION, weights_dir)
    return Network(
        model,
        entry,
        statistics and ood.load(statistics),
        calibration and calibrations.load(calibration),
    )


def write_lite(
    weights_dir: str | os.PathLike | None = None, name: str = DEFAULT_WEIGHTS
) -> pathlib.Path:
    """Write the LiteRT file of a shipped network next to its weights.

    Args:
        weights_dir: Folder of the weights; default `paths.weights()`.
        name: Name in the manifest.

    Raises:
        ValueError: if the weights are absent or damaged, or know no subtypes.
    """
    from ich_tf.models import lite

    folder = paths.weights(weights_dir)
    model, entry = weights.load_for(name, manifest.Segmentation, folder)
    if model.output_shape[-1] != len(CLASSES):
        raise ValueError(f"{name} has no subtypes; it runs only in Keras.")
    statistics = weights.companion(entry, LIKENESS, folder)
    layer = ood.load(statistics).layer if statistics else None
    writer = functools.partial(lite.write_with_features, model=model, layer=layer)
    shipping.add_companions(name, folder, {lite_network.FILE: writer})
    return folder / f"{name}.{lite_network.FILE}"
