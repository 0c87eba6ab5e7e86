"""The types of a table row: what is trained, and the settings it is trained with."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from ich_tf.experiments.mask_results import (
    MaskResult,
    PaintedResult,
    RealHeadsResult,
)
from ich_tf.experiments.results import Result
from ich_tf.experiments.settings import (
    ClassifierSettings,
    PaintedSettings,
    RealHeadsSettings,
    SegmentationSettings,
    Settings,
    TrainingStage,
    VolumeSettings,
)
from ich_tf.experiments.slice_results import SliceResult

# Arguments of `models.build("unetplusplus")`: a plain network that answers on a laptop.
SMALL_UNETPLUSPLUS = {
    "filters": (8, 16, 32, 64, 128),
    "upsampling": "nearest",
    "batch_normalization": True,
}
# Arguments of `models.build("resnext")`: a classifier that two cores train in minutes.
SMALL_RESNEXT = {
    "depths": (1, 1, 1, 1),
    "cardinality": 2,
    "width": 16,
    "filters": 32,
}
# Fields of a row that say something about it and decide no number.
_PROSE = (
    *("title", "states", "leaves_open", "assumptions", "reported", "settings"),
    "random_twin",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table.

    Attributes:
        id: "<table>/<row>".
        title: The row's name as the report prints it.
        reported: Table of the report to the printed numbers; empty if the report
            prints none for this row.
        states: What the report says about this row.
        leaves_open: What it does not say.
        assumptions: What is assumed instead.
        settings: Profile ("demo", "paper", ...) to the settings that the row is
            trained with; a row cannot run in other profiles.
        random_twin: Id of the row that differs in nothing but its random weights.
            Where the pretrained weights of this row cannot be had, both are the same
            training, which runs once. None for a row without such a twin.
    """

    id: str
    title: str
    reported: Mapping[str, Mapping[str, Any]]
    states: str
    leaves_open: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    settings: Mapping[str, Settings] = dataclasses.field(default_factory=dict)
    random_twin: str | None = None
    result_type: ClassVar[type[Result]] = MaskResult
    dataset: ClassVar[str] = "ct-ich"

    @property
    def wanted_init(self) -> str:
        """Name of the weights that training should begin with."""
        return "random"

    def title_with(self, settings: Settings) -> str:
        """The title, which names the network that is trained with these settings."""
        return self.title

    def same_training(self, result: Result | None) -> str | None:
        """Id of the row whose training a result shares; None if it has its own.

        Args:
            result: The row's result, None if it was not run.
        """
        if result is None or result.began_as_wanted:
            return None
        return self.random_twin

    def number(self, table: str, group: str, column: str) -> float | None:
        """The number that the report prints, None if it prints none.

        Args:
            table: Table of the report.
            group: Class of a classifier, or a protocol.
            column: Name of the column.
        """
        return self.reported.get(table, {}).get(column)

    def spec(self, settings: Settings) -> dict[str, dict]:
        """Everything in the row and its settings that decides numbers, as JSON."""
        row = dataclasses.asdict(dataclasses.replace(self, settings={}))
        for name in _PROSE:
            del row[name]
        made = dataclasses.asdict(dataclasses.replace(settings, deviations=()))
        # Layers for the CPU change numbers by rounding only.
        del made["deviations"], made["cpu_layers"]
        # Left out if unset, so that older results stay current.
        for name in ("patience", "warmup_steps", "keep_last"):
            if not made.get(name):
                made.pop(name, None)
        for name in ("painted_apart", "weak_labels_by", "context_share"):
            if not row.get(name):
                row.pop(name, None)
        return json.loads(json.dumps({"experiment": row, "profile": made}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(Row):
    """A row of a 2-D segmentation network.

    Attributes:
        model: Name of the network in `models.MODELS`.
        arguments: Its keyword arguments, without the input shape.
        loss: Name in `losses.LOSSES`.
        approach: Name in `windows.APPROACHES`.
        channels: Channels of the input.
        settings: Profile to the settings of the row there.
    """

    model: str
    arguments: Mapping[str, Any]
    loss: str
    approach: str
    channels: int
    settings: Mapping[str, SegmentationSettings] = dataclasses.field(
        default_factory=dict
    )

    @property
    def wanted_init(self) -> str:
        """Name of the weights that training should begin with."""
        return self.arguments.get("init", "random")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baseline(Row):
    """A row of the related work, a method without a network.

    Attributes:
        method: Name in `classical.METHODS` or `voxels.LEARNED`.
        settings: Profile to the settings of the row there.
    """

    method: str
    settings: Mapping[str, SegmentationSettings] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeExperiment(Experiment):
    """A row of a 3-D segmentation network.

    Attributes:
        trained_as: Id of a row that learns the same weights. Once that is finished,
            this row takes them over and only seconds and memory are measured.
        settings: Profile to the settings of the row there.
    """

    trained_as: str | None = None
    settings: Mapping[str, VolumeSettings] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaintedExperiment(Experiment):
    """A row of a network that is trained without a single real mask.

    Attributes:
        sources: Training data: "painted" (real heads without hemorrhage, painted on),
            "phantom", or both.
        with_mimics: Whether mimics of blood are painted; see `painting.paint`.
        mass_effect: Whether blood displaces tissue; see `painting.paint`.
        begins_with: Name of the published weights that training begins with; None for
            random ones.
        settings: Profile to the settings of the row there.
    """

    sources: tuple[str, ...] = ("painted", "phantom")
    with_mimics: bool = True
    mass_effect: bool = True
    begins_with: str | None = None
    settings: Mapping[str, PaintedSettings] = dataclasses.field(default_factory=dict)
    result_type: ClassVar[type[Result]] = PaintedResult

    @property
    def wanted_init(self) -> str:
        """Name of the weights that training should begin with."""
        return self.begins_with or super().wanted_init


@dataclasses.dataclass(frozen=True, kw_only=True)
class RealHeadsExperiment(PaintedExperiment):
    """A row of a network of subtypes, trained on whole painted scans.

    Attributes:
        painted_apart: Whether neighbouring slices come from different painted copies,
            as if each slice were painted alone.
        weak_labels_by: Name of the published weights that mark real slices with
            hemorrhage for training, in the subtypes that a slice's labels allow; None
            trains on no real hemorrhage.
        context_share: Share of the first kernel that each neighbouring slice gets when
            training starts; 0 reads the middle slice alone at first.
    """

    painted_apart: bool = False
    weak_labels_by: str | None = None
    context_share: float = 0.0

    settings: Mapping[str, RealHeadsSettings] = dataclasses.field(default_factory=dict)
    result_type: ClassVar[type[Result]] = RealHeadsResult


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classifier(Row):
    """A row of a classifier of slices, or of whole scans.

    Attributes:
        model: Name of the slice network in `models.MODELS`.
        arguments: Its keyword arguments, without the input shape.
        slices_from: Id of the row whose slice network gives the features of a sequence
            model; None trains the slice network itself.
        sequence: Keyword arguments of `build_sequence`; None without one.
        loss: Name in `losses.LOSSES`.
        reported: Table of the report to class to column to the printed number.
        dataset: Name in `datasets.DATASETS`.
        settings: Profile to the settings of the row there.
    """

    model: str
    arguments: Mapping[str, Any]
    slices_from: str | None
    sequence: Mapping[str, Any] | None
    loss: str
    dataset: str = "rsna"
    settings: Mapping[str, ClassifierSettings] = dataclasses.field(default_factory=dict)
    pretraining: ClassVar[TrainingStage | None] = None
    result_type: ClassVar[type[Result]] = SliceResult

    @property
    def wanted_init(self) -> str:
        """Name of the weights that training should begin with."""
        return self.arguments.get("init", "random")

    def title_with(self, settings: ClassifierSettings) -> str:
        """The title, with the layers of a ResNeXt that replaces the row's network."""
        depths = settings.network.get("arguments", {}).get("depths")
        if depths is None:
            return self.title
        # Three convolutions a block, the first convolution and the last layer.
        layers = 3 * sum(depths) + 2
        return self.title.replace("ResNeXt-101", f"small ResNeXt-{layers}")

    def number(self, table: str, group: str, column: str) -> float | None:
        """The number that the report prints for a class, None if it prints none."""
        return self.reported.get(table, {}).get(group, {}).get(column)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainedClassifier(Classifier):
    """A slice network that first learns from painted slices, of each fold its own.

    Attributes:
        pretraining: Training on slices of the fold's training patients without
            hemorrhage, painted on (`painted.PaintedHeads`).
        copies: Painted copies of each of these patients.
        painted_size: In-plane pixels of the painted slices.
    """

    pretraining: TrainingStage
    copies: int
    painted_size: int = 256
