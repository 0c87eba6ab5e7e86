"""The settings of a row at one scale ("profile"): one base class, one for each kind."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar


@dataclasses.dataclass(frozen=True)
class Deviation:
    """One way in which settings differ from the report's.

    Attributes:
        text: The difference, without a full stop.
        phantom_only: Whether it holds only where the phantom replaces real data.
    """

    text: str
    phantom_only: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What all kinds of experiments share.

    Attributes:
        name: The profile: "paper", "demo", ...; also the folder under results/.
        size: In-plane pixels of a slice.
        augmentation: Name in `augmentations.AUGMENTATIONS`.
        phantom: Arguments of `layouts.phantom_as` (cases, slices, seed, ...) where no
            folder of real data is given; empty insists on real data.
        deviations: Each way in which this differs from the report's setting.
        cpu_layers: Whether networks have the layers of `models.cpu_layers`, which
            change numbers by rounding only.
    """

    name: str
    size: int
    augmentation: str
    phantom: Mapping[str, float]
    deviations: tuple[Deviation, ...] = ()
    cpu_layers: bool = True

    @property
    def is_full_scale(self) -> bool:
        """Whether these are for real data: no phantom, and no random weights instead.

        A row that cannot get its weights at full scale fails.
        """
        return not self.phantom


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings(Settings):
    """What 2-D and 3-D segmentation share.

    Attributes:
        folds: "hssayeni2020" (five folds of [2]) or "holdout" (one split).
        split: Shares of train, validation and test patients for "holdout".
        epochs: Epochs of training.
        steps_per_epoch: Batches of an epoch; None for one pass over all crops.
        batch: Crops or patches of a batch.
        learning_rate: Adam's.
        schedule: Name of the learning rate's course, see `plans.Plan`.
        lesion_share: Share of each batch from crops with hemorrhage, or chance of a
            patch to lie around hemorrhage; None takes crops as they come.
        output_bias: Start of the last layer's bias; None keeps 0, a probability of
            one half, which a short run takes long to leave.
        patience: Epochs without a higher validation score after which training ends;
            None trains all epochs.
        warmup_steps: Steps of rising learning rate, see `plans.Plan`.
        keep_last: Whether the last epoch is kept and not the best, see `plans.Plan`.
    """

    folds: str
    epochs: int
    steps_per_epoch: int | None
    batch: int
    learning_rate: float
    schedule: str
    lesion_share: float | None
    output_bias: float | None
    split: tuple[float, float, float] = (0.7, 0.1, 0.2)
    patience: int | None = None
    warmup_steps: int = 0
    keep_last: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationSettings(NetworkSettings):
    """Settings of a 2-D segmentation network.

    Attributes:
        tile: Side of a crop in pixels.
        stride: Pixels between training crops.
        inference_stride: Pixels between tiles at inference; None takes slices whole.
        decay: Decay of the learning rate, see `plans.Plan`.
        batch_norm_momentum: Momentum of the running statistics; None keeps each
            layer's own.
        validation_crops: Maximum of crops to validate on after every epoch; None for
            all, 0 (for a single epoch) leaves validation out.
        slices: Name in `slices.RULES` of the rule for slices to train on.
        crops: Name in `pipeline.CROPS` of the rule for crops.
    """

    tile: int
    stride: int
    inference_stride: int | None
    decay: float
    batch_norm_momentum: float | None
    validation_crops: int | None
    slices: str = "hssayeni2020"
    crops: str = "all"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaintedSettings(SegmentationSettings):
    """Settings of a network that is trained on painted slices.

    Attributes:
        copies: Painted copies of each head without hemorrhage for training.
        painted_split: Shares of train, validation and test patients among the heads
            that are painted on.
    """

    copies: int = 1
    painted_split: tuple[float, float, float] = (0.7, 0.1, 0.2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RealHeadsSettings(PaintedSettings):
    """Settings of a network that is trained on whole painted scans.

    Attributes:
        phantom_heads: Number of phantom heads mixed in.
        average: Decay of the averaged weights, see `plans.Plan`.
        threshold: A pixel is hemorrhage above this probability.
        head_box: Whether slices have pixels of one size and are cut to the head.
    """

    phantom_heads: int = 0
    average: float | None = None
    threshold: float = 0.5
    head_box: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeSettings(NetworkSettings):
    """Settings of a 3-D segmentation network.

    Attributes:
        patch: (depth, height, width) in voxels that the network takes at once.
        overlap: Share by which patches overlap at inference.
        filters: Filters of the network's first level.
        validation_steps: Batches to validate on after every epoch.
        precision: Name of the precision, see `plans.Plan`.
    """

    patch: tuple[int, int, int]
    overlap: float
    filters: int
    validation_steps: int
    precision: str = "auto"


@dataclasses.dataclass(frozen=True)
class TrainingStage:
    """The training of one network of a classifier.

    Attributes:
        epochs: Passes over the data.
        batch: Slices, or scans, of a batch.
        learning_rate: Adam's, at the start.
        parts: Checkpoints within a pass, so that little is lost when a run is killed.
        steps_per_epoch: Batches between checkpoints; None: a pass divided by `parts`.
        schedule: Name of the learning rate's course, see `plans.Plan`.
        precision: Name of the precision, see `plans.Plan`.
    """

    epochs: int
    batch: int
    learning_rate: float
    parts: int = 1
    steps_per_epoch: int | None = None
    schedule: str = "inverse_time"
    precision: str = "auto"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierSettings(Settings):
    """Settings of a classifier; `size` is the side of its images in pixels.

    Attributes:
        images: Name in `records.IMAGES`: the windows of the images.
        split: "burduja2020" ([1]'s one split by series), a number of folds by
            patient, or the share of patients that are held out.
        slices: Training of the slice network.
        sequence: Training of the sequence model.
        network: "model" and "arguments" that replace the row's.
        sequence_arguments: Arguments of `build_sequence` that replace the row's.
    """

    images: str
    split: str | int | float
    slices: TrainingStage
    sequence: TrainingStage
    network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sequence_arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)


AnySettings = TypeVar("AnySettings", bound=Settings)


def changed(
    profiles: Mapping[str, AnySettings], **changes: Mapping[str, Any]
) -> dict[str, AnySettings]:
    """A row's settings: its table's settings with its own changes.

    Args:
        profiles: Profile to settings.
        **changes: Profile to the fields that differ for the row.
    """
    return {
        name: dataclasses.replace(settings, **changes.get(name, {}))
        for name, settings in profiles.items()
    }
