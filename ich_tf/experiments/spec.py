"""What an experiment is: one row of a table as data, and the scale it runs at."""

import dataclasses
import functools
import importlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar

import yaml

from ich_tf import suggestions

# A table name -> the rows that are trained for it, by dotted name.
EXPERIMENTS = {
    "table1": "ich_tf.experiments.rows.table1:ROWS",
    "table2": "ich_tf.experiments.rows.table2:ROWS",
    "table3": "ich_tf.experiments.rows.table3:ROWS",
    "volume3d": "ich_tf.experiments.rows.volume3d:ROWS",
    "ct-ich-slices": "ich_tf.experiments.rows.ct_ich_slices:ROWS",
    "related": "ich_tf.experiments.rows.related:ROWS",
    "audit": "ich_tf.experiments.rows.audit:ROWS",
    "painted": "ich_tf.experiments.rows.painted:ROWS",
    "shipped": "ich_tf.experiments.rows.shipped:ROWS",
}

# Arguments of `models.build("resnext")`: a classifier that two cores train in minutes.
SMALL_RESNEXT = {
    "depths": (1, 1, 1, 1),
    "cardinality": 2,
    "width": 16,
    "filters": 32,
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One trained row.

    Attributes:
        id: "<table>/<row>".
        title: The row's name as the report prints it.
        model: Name of the network in `models.MODELS`.
        arguments: Its keyword arguments, without the input shape.
        loss: Name in `losses.LOSSES`.
        approach: Name in `windows.APPROACHES`.
        channels: Channels of the input.
        reported: Table of the report -> {column: printed number}; empty if the
            report prints no number for this row.
        states: What the report says of this row.
        leaves_open: What it does not say.
        assumptions: What is taken in its place.
    """

    id: str
    title: str
    model: str
    arguments: Mapping[str, Any]
    loss: str
    approach: str
    channels: int
    reported: Mapping[str, Mapping[str, float]]
    states: str
    leaves_open: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    task: ClassVar[str] = "segmentation"
    dataset: ClassVar[str] = "ct-ich"


@dataclasses.dataclass(frozen=True)
class PaperExperiment(Experiment):
    """One trained row that only the profile "paper" has."""

    profiles: ClassVar[tuple[str, ...]] = ("paper",)


@dataclasses.dataclass(frozen=True)
class Baseline:
    """One row of the related work, a method without a network.

    Attributes:
        id: "related/<row>".
        title: The row's name.
        method: Name in `classical.METHODS` or `classical.LEARNED`.
        reported: As in `Experiment`: what the paper reports, on its own data.
        states: As in `Experiment`.
        leaves_open: As in `Experiment`.
        assumptions: As in `Experiment`.
    """

    id: str
    title: str
    method: str
    reported: Mapping[str, Mapping[str, float]]
    states: str
    leaves_open: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    arguments: ClassVar[Mapping[str, Any]] = {}
    task: ClassVar[str] = "baseline"
    dataset: ClassVar[str] = "ct-ich"


@dataclasses.dataclass(frozen=True)
class VolumeExperiment(Experiment):
    """One trained row of a 3-D network.

    Attributes:
        trained_as: Id of the row that learns the same. Once that is finished, this
            one takes its weights: only seconds and memory are measured.
    """

    trained_as: str | None = None
    task: ClassVar[str] = "volumes"


@dataclasses.dataclass(frozen=True)
class PaintedExperiment(Experiment):
    """One network trained without a single real mask.

    Attributes:
        sources: What it is trained on: "painted" (real heads without hemorrhage,
            painted on), "phantom", or both.
        with_look_alikes: See `painting.paint`.
        mass_effect: See `painting.paint`.
        begins_with: Name of the shipped weights that training begins with; None for
            random ones.
    """

    sources: tuple[str, ...] = ("painted", "phantom")
    with_look_alikes: bool = True
    mass_effect: bool = True
    begins_with: str | None = None
    task: ClassVar[str] = "synthetic"


@dataclasses.dataclass(frozen=True)
class RealHeadsExperiment(PaintedExperiment):
    """One network of subtypes, trained on whole painted scans."""

    task: ClassVar[str] = "real-heads"


@dataclasses.dataclass(frozen=True)
class Classifier:
    """One trained row of the classification table: slices, or whole scans.

    Attributes:
        id: "<table>/<row>".
        title: The row's name.
        model: Name of the slice network in `models.MODELS`.
        arguments: Its keyword arguments, without the input shape.
        slices_from: Id of the experiment whose slice network gives the features of a
            sequence model; None trains the slice network itself.
        sequence: Keyword arguments of `build_sequence`; None without one.
        loss: Name in `losses.LOSSES`.
        reported: As in `Experiment`, of each class: table -> class -> column.
        states: What the report says of this row.
        leaves_open: What it does not say.
        assumptions: What is taken in its place.
        dataset: Name in `data.DATASETS`.
    """

    id: str
    title: str
    model: str
    arguments: Mapping[str, Any]
    slices_from: str | None
    sequence: Mapping[str, Any] | None
    loss: str
    reported: Mapping[str, Mapping[str, Mapping[str, float]]]
    states: str
    leaves_open: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    dataset: str = "rsna"
    pretraining: ClassVar["Stage | None"] = None
    task: ClassVar[str] = "classification"


Row = Experiment | Baseline | Classifier


@dataclasses.dataclass(frozen=True)
class Profile:
    """The scale of a run.

    Attributes:
        name: "paper" or "demo"; also the folder under results/.
        size: In-plane pixels of a slice.
        tile: Side of a crop in pixels.
        stride: Pixels between training crops.
        inference_stride: Pixels between tiles at inference; None takes slices whole.
        folds: "hssayeni2020" (five folds of [2]) or "holdout" (one split).
        epochs: Epochs of training.
        steps_per_epoch: Batches of an epoch; None is one pass over all crops.
        batch: Crops of a batch.
        learning_rate: Adam's.
        schedule: See `training.Plan`.
        decay: See `training.Plan`.
        lesion_share: Share of each batch from crops with hemorrhage; None takes
            the crops as they come.
        augmentation: Name in `augmentations.AUGMENTATIONS`.
        batch_norm_momentum: See `training.Plan`.
        output_bias: Start of the last layer's bias; None keeps 0, a probability of
            one half, which a short run takes long to leave.
        validation_crops: At most so many crops after every epoch; None is all, 0 (for
            a single epoch) leaves validation out.
        phantom: Cases, slices and seed of the phantom, where no folder is given.
        slices: Name in `slices.RULES` of the rule for slices to train on.
        crops: Name in `pipeline.CROPS` of the rule for crops.
        split: Shares of train, validation and test patients for "holdout".
        deviations: Each way in which this differs from the report's setting.
        cpu_layers: Whether networks have the layers of `models.cpu_layers`, which
            change numbers by rounding only.
        row_changes: Experiment id -> fields of this profile that differ for it.
    """

    name: str
    size: int
    tile: int
    stride: int
    inference_stride: int | None
    folds: str
    epochs: int
    steps_per_epoch: int | None
    batch: int
    learning_rate: float
    schedule: str
    decay: float
    lesion_share: float | None
    augmentation: str
    batch_norm_momentum: float | None
    output_bias: float | None
    validation_crops: int | None
    phantom: Mapping[str, int]
    slices: str = "hssayeni2020"
    crops: str = "all"
    split: tuple[float, float, float] = (0.7, 0.1, 0.2)
    deviations: tuple[str, ...] = ()
    cpu_layers: bool = True
    row_changes: Mapping[str, Mapping[str, Any]] = dataclasses.field(
        default_factory=dict
    )

    def for_row(self, experiment_id: str) -> "Profile":
        """This profile with the changes of one row applied."""
        return dataclasses.replace(self, **self.row_changes.get(experiment_id, {}))


@dataclasses.dataclass(frozen=True)
class PaintedProfile(Profile):
    """The scale of a network that is trained on painted slices.

    Attributes:
        copies: How often each head without hemorrhage is painted for training.
        painted_split: As `split`, of the heads that are painted on.
    """

    copies: int = 1
    painted_split: tuple[float, float, float] = (0.7, 0.1, 0.2)


@dataclasses.dataclass(frozen=True)
class RealHeadsProfile(PaintedProfile):
    """The scale of a network that is trained on whole painted scans.

    Attributes:
        phantom_heads: Number of phantom heads mixed in.
        warmup_steps: See `plans.Plan`.
        average: See `plans.Plan`.
        threshold: A pixel is hemorrhage above this probability.
    """

    phantom_heads: int = 0
    warmup_steps: int = 0
    average: float | None = None
    threshold: float = 0.5


@dataclasses.dataclass(frozen=True)
class VolumeProfile:
    """The scale of a 3-D network's run.

    Attributes:
        name: As in `Profile`.
        size: In-plane pixels of a slice.
        patch: (depth, height, width) that the network sees at once.
        overlap: Share by which patches overlap at inference.
        filters: Of the network's first level.
        folds: As in `Profile`.
        epochs: Epochs of training.
        steps_per_epoch: Batches of an epoch.
        batch: Patches of a batch.
        learning_rate: Adam's.
        schedule: See `training.Plan`.
        lesion_share: Chance of a patch to be drawn around hemorrhage.
        augmentation: Name in `augmentations.AUGMENTATIONS`.
        output_bias: Start of the last layer's bias.
        validation_steps: Batches after every epoch.
        phantom: As in `Profile`.
        precision: See `training.Plan`.
        split: As in `Profile`.
        deviations: Each way in which this differs from whole volumes at full size.
        cpu_layers: Whether networks have the layers of `models.cpu_layers`, which
            change numbers by rounding only.
        row_changes: As in `Profile`.
    """

    name: str
    size: int
    patch: tuple[int, int, int]
    overlap: float
    filters: int
    folds: str
    epochs: int
    steps_per_epoch: int
    batch: int
    learning_rate: float
    schedule: str
    lesion_share: float
    augmentation: str
    output_bias: float
    validation_steps: int
    phantom: Mapping[str, int]
    precision: str = "auto"
    split: tuple[float, float, float] = (0.7, 0.1, 0.2)
    deviations: tuple[str, ...] = ()
    cpu_layers: bool = True
    row_changes: Mapping[str, Mapping[str, Any]] = dataclasses.field(
        default_factory=dict
    )

    for_row = Profile.for_row


@dataclasses.dataclass(frozen=True)
class Stage:
    """The training of one network of a classifier.

    Attributes:
        epochs: Passes over the data.
        batch: Slices, or scans, of a batch.
        learning_rate: Adam's, at the start.
        parts: Checkpoints within a pass, so that little is lost when a run is killed.
        steps_per_epoch: Batches between checkpoints; None is a pass divided by `parts`.
        schedule: See `training.Plan`.
        precision: See `training.Plan`.
    """

    epochs: int
    batch: int
    learning_rate: float
    parts: int = 1
    steps_per_epoch: int | None = None
    schedule: str = "inverse_time"
    precision: str = "auto"


@dataclasses.dataclass(frozen=True)
class ClassifierProfile:
    """The scale of a classifier's run.

    Attributes:
        name: As in `Profile`.
        size: Side of the slice network's images in pixels.
        images: Name in `records.IMAGES`: which windows they show.
        split: "burduja2020" ([1]'s one split by series), a number of folds by
            patient, or the share of patients that are held out.
        slices: Training of the slice network.
        sequence: Training of the sequence model.
        augmentation: Name in `augmentations.AUGMENTATIONS`.
        phantom: As in `Profile`.
        network: "model" and "arguments" that take the place of the experiment's.
        sequence_arguments: Arguments of `build_sequence` likewise.
        deviations: Each way in which this differs from the report's setting.
        cpu_layers: Whether networks have the layers of `models.cpu_layers`, which
            change numbers by rounding only.
        row_changes: As in `Profile`.
    """

    name: str
    size: int
    images: str
    split: str | int | float
    slices: Stage
    sequence: Stage
    augmentation: str
    phantom: Mapping[str, float]
    network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sequence_arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    cpu_layers: bool = True
    row_changes: Mapping[str, Mapping[str, Any]] = dataclasses.field(
        default_factory=dict
    )

    for_row = Profile.for_row


@dataclasses.dataclass(frozen=True)
class PretrainedClassifier(Classifier):
    """A slice network that first learns from painted slices, of each fold its own.

    Attributes:
        pretraining: Training on slices of the fold's training patients without
            hemorrhage, painted on (`painted.Painted`).
        copies: How often each of these patients is painted.
        painted_size: In-plane pixels that are painted on.
    """

    _: dataclasses.KW_ONLY
    pretraining: Stage
    copies: int
    painted_size: int = 256


def settings(
    row: Experiment | Baseline | Classifier, scale: Profile | ClassifierProfile
) -> dict[str, dict]:
    """What of a row and its scale decides the numbers, as JSON: no prose, no layers."""
    row, scale = dataclasses.asdict(row), dataclasses.asdict(scale)
    for prose in ("title", "states", "leaves_open", "assumptions", "reported"):
        row.pop(prose)
    for prose in ("deviations", "row_changes", "cpu_layers"):
        scale.pop(prose)
    return json.loads(json.dumps({"experiment": row, "profile": scale}))


def has_profile(row: Experiment | Baseline | Classifier, profile: str) -> bool:
    """Whether a row is trained at this scale."""
    return profile in getattr(row, "profiles", (profile,))


def wanted_init(row: Experiment | Baseline | Classifier) -> str:
    """The weights that training should begin with; "random" for none."""
    begins_with = getattr(row, "begins_with", None)
    return begins_with or row.arguments.get("init", "random")


@functools.cache
def reported() -> dict[str, Any]:
    """Every number the report prints, from the package's copy of reported.yaml."""
    path = pathlib.Path(__file__).with_name("reported.yaml")
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


def rows(table: str) -> tuple[Experiment, ...]:
    """The experiments trained for a table.

    Raises:
        ValueError: if the table is unknown; the message lists the known ones.
    """
    if table not in EXPERIMENTS:
        raise ValueError(f"Unknown table {table!r}. Known: {', '.join(EXPERIMENTS)}")
    module, _, name = EXPERIMENTS[table].partition(":")
    return getattr(importlib.import_module(module), name)


def find(name: str) -> tuple[Experiment, ...]:
    """The experiments of a table, or the one with this id.

    Raises:
        ValueError: if nothing has this name; the message lists the known ids.
    """
    if name in EXPERIMENTS:
        return rows(name)
    known = [experiment for table in EXPERIMENTS for experiment in rows(table)]
    found = tuple(experiment for experiment in known if experiment.id == name)
    if not found:
        names = [*EXPERIMENTS, *(experiment.id for experiment in known)]
        near = suggestions.did_you_mean(name, names)
        raise ValueError(
            f"Unknown experiment {name!r}.{near} Known: {', '.join(names)}"
        )
    return found
