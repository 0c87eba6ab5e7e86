"""What the slice viewer shows, as the JSON that its script reads."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ich_tf.viewer import pictures

KINDS = ("outline", "filled", "labels", "heat")
GREEN, RED, ORANGE = (46, 204, 113), (235, 64, 52), (255, 140, 0)
SUBTYPE_COLOURS = (
    (255, 196, 0),
    (255, 64, 48),
    (64, 200, 255),
    (200, 110, 255),
    (70, 220, 120),
)
"""In the order of `labels.SUBTYPES`; distinguishable with every common colour blindness
by brightness or by the legend."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """Something drawn over the slices that can be switched on and off.

    Attributes:
        name: Short, of letters; becomes part of an element's id.
        title: What the switch says.
        key: The key that switches it.
        kind: "outline" and "filled" (masks, a value above 127 is inside), "labels"
            (a value is a position in `colours`, from 1) or "heat" (0 to 255).
        picture: Name of its picture in the case; None without one.
        colours: Red, green and blue of the mask, or of each label.
        legend: Names of the labels.
        shown: Whether it is on at the start.
    """

    name: str
    title: str
    key: str
    kind: str
    picture: str | None
    colours: tuple[tuple[int, int, int], ...] = (ORANGE,)
    legend: tuple[str, ...] = ()
    shown: bool = True

    def __post_init__(self):
        """Refuse what the script does not know."""
        if self.kind not in KINDS:
            raise ValueError(f"Unknown kind of layer {self.kind!r}. Known: {KINDS}")


@dataclasses.dataclass(frozen=True)
class View:
    """One way to look at a case, for example the prediction of one network.

    Attributes:
        layers: From bottom to top.
        facts: A sentence below the switches.
    """

    layers: tuple[Layer, ...]
    facts: str = ""


def case(
    name: str,
    hu: np.ndarray,
    volumes: Mapping[str, np.ndarray],
    views: Mapping[str, View],
    *,
    start: int,
    slice_facts: Sequence[str] = (),
) -> dict:
    """Make one case of the viewer.

    Args:
        name: What the list of cases shows; without names there is no list.
        hu: (z, h, w), Hounsfield units.
        volumes: Name of a picture to its (z, h, w), uint8.
        views: Title to view; one at least. A single one may have no title.
        start: z index of the slice that is shown first.
        slice_facts: A sentence for each slice; may be empty.

    Raises:
        ValueError: if a volume has another shape than `hu`.
    """
    for title, volume in volumes.items():
        if volume.shape != hu.shape:
            raise ValueError(f"{title} has shape {volume.shape}, the slices {hu.shape}")
    depth, height, width = hu.shape
    return {
        "id": name,
        "slices": depth,
        "start": start,
        "height": height,
        "width": width,
        "columns": pictures.columns(depth),
        "hu": pictures.hu_sheet(hu),
        "pictures": {
            title: pictures.sheet(volume) for title, volume in volumes.items()
        },
        "views": {title: dataclasses.asdict(view) for title, view in views.items()},
        "slice_facts": list(slice_facts),
    }
