"""Hounsfield units through display windows to network channels in [0, 1]."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Window:
    """A display window on Hounsfield units.

    Attributes:
        level: Centre of the window, Hounsfield units.
        width: Distance from its lower to its upper bound, Hounsfield units.
        scaled: Whether its bounds become 0 and 1; else values stay Hounsfield units.
    """

    level: float
    width: float
    scaled: bool = True

    @property
    def bounds_hu(self) -> tuple[float, float]:
        """The values that become 0 and 1, and beyond which values are cut."""
        return self.level - self.width / 2, self.level + self.width / 2


WINDOWS = {
    "segmentation": {
        "brain": Window(40, 120),
        "subdural": Window(80, 200),
        "soft_tissue": Window(40, 380),
    },
    "classification": {
        "brain": Window(40, 80),
        "subdural": Window(80, 200),
        "soft_tissue": Window(40, 380),
    },
}

APPROACHES = {
    "approach1": (WINDOWS["segmentation"]["brain"],),
    "approach2": tuple(WINDOWS["segmentation"].values()),
    # Not of the report: approach 2 with a slip that could make it fail.
    "approach2_hu": tuple(
        dataclasses.replace(window, scaled=False)
        for window in WINDOWS["segmentation"].values()
    ),
}


def apply(hu: np.ndarray, windows: Sequence[Window], dtype=np.float32) -> np.ndarray:
    """Map Hounsfield units to [0, 1] in each window.

    Args:
        hu: Any shape, Hounsfield units.
        windows: One or more windows.
        dtype: Floating type of the result.

    Returns:
        (..., windows), 0 at a window's lower bound and below, 1 at its upper bound
        and above; clipped Hounsfield units for a window that is not `scaled`.

    Example:
        `apply(np.array([40.0]), [Window(40, 80)])` is `[[0.5]]`.
    """
    scaled = np.empty((*hu.shape, len(windows)), dtype)
    for channel, window in zip(np.moveaxis(scaled, -1, 0), windows, strict=True):
        low, high = window.bounds_hu
        if not window.scaled:
            channel[:] = np.clip(hu, low, high)
            continue
        np.subtract(hu, low, out=channel, casting="same_kind")
        channel /= window.width
        np.clip(channel, 0, 1, out=channel)
    return scaled


def channels(hu: np.ndarray, approach: str, count: int) -> np.ndarray:
    """Network input of one of the report's two approaches.

    Approach 1 copies the brain window to all channels; approach 2 has one window in
    each of three channels.

    Args:
        hu: Any shape, Hounsfield units.
        approach: A name in `APPROACHES`.
        count: Number of channels the network takes.

    Returns:
        (..., count), float32, in [0, 1].

    Raises:
        ValueError: if the approach is unknown or has another number of channels.

    Reference:
        The 2021 report, section IV-B-2.
    """
    windows = approach_windows(approach)
    scaled = apply(hu, windows)
    if len(windows) == 1:
        # In a quarter of the time of `np.repeat`.
        repeated = np.empty((*hu.shape, count), scaled.dtype)
        for channel in range(count):
            repeated[..., channel] = scaled[..., 0]
        return repeated
    if len(windows) != count:
        raise ValueError(
            f"{approach} has {len(windows)} channels, one for each window, but the "
            f"network takes {count}. Build it for {len(windows)} channels or use "
            "approach1, whose one window fills any number."
        )
    return scaled


def approach_windows(approach: str) -> tuple[Window, ...]:
    """The windows of an approach.

    Raises:
        ValueError: if the approach is unknown; the message lists the known ones.
    """
    if approach not in APPROACHES:
        raise ValueError(
            f"Unknown approach {approach!r}. Known: {', '.join(APPROACHES)}."
        )
    return APPROACHES[approach]


def check_window(
    hu_window: tuple[float, float] | None, windows: Sequence[Window]
) -> None:
    """Refuse windows that need values a volume no longer has.

    Args:
        hu_window: `Volume.hu_window`: (low, high) where the values were saturated,
            None if they were not.
        windows: The windows to be applied.

    Raises:
        ValueError: if a window reaches beyond the saturated values.
    """
    if hu_window is None:
        return
    for window in windows:
        low, high = window.bounds_hu
        if low < hu_window[0] or high > hu_window[1]:
            raise ValueError(
                f"The window of level {window.level:g} and width {window.width:g} "
                f"needs {low:g} to {high:g} HU, but the volume was saturated at "
                f"{hu_window[0]:g} and {hu_window[1]:g} HU, so all values beyond are "
                "lost. Give the scan in full Hounsfield units (DICOM, or NIfTI as in "
                "ct-ich 1.3.1), or use a network whose windows stay within "
                f"{hu_window[0]:g} to {hu_window[1]:g} HU."
            )
