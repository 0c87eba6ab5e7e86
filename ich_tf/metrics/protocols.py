"""Protocols: what a number means, from the threshold to the average.

A protocol fixes how a mask is made of probabilities, what is averaged and what an
empty mask does.
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One convention of evaluation; lengths and areas hold at slices of `size`.

    Attributes:
        name: Its name in `PROTOCOLS`.
        description: The convention in a sentence, printed beside its numbers.
        unit: What one averaged overlap value belongs to. "subject": the mean over
            the slices of a subject that count. "slice": each slice. "volume": all
            voxels of a case. "pooled": all voxels of all cases, a single value.
        empty: Overlap of a unit (of a slice, in a subject) without truth. "skip":
            undefined, does not count. "nan": undefined only if the prediction is
            empty too, else 0. "zero", "one": that if both are empty, else 0.
        threshold: A pixel is positive above this probability.
        closing: Side in pixels of the square that closes gaps, 0 for none.
        opening: Side in pixels of the square that removes specks after, 0 for none.
        detection_pixels: A slice is positive above this number of pixels, in truth
            and prediction alike.
        excluded_patients: Numbers of ct-ich patients left out of the overlap.
        published_slips: Whether the slips of [2]'s published code are repeated.
        size: Side in pixels of the slices that lengths and areas refer to.
    """

    name: str
    description: str
    unit: str
    empty: str
    threshold: float = 0.5
    closing: int = 0
    opening: int = 0
    detection_pixels: int = 0
    excluded_patients: tuple[int, ...] = ()
    published_slips: bool = False
    size: int = 512

    def scaled(self, size: int) -> "Protocol":
        """The same protocol for slices of another side, in pixels.

        Sides of the squares scale with the length, the detection limit with the
        area; halves are rounded up, and what is not 0 stays at least 1.
        """
        ratio = size / self.size
        return dataclasses.replace(
            self,
            closing=_rounded(self.closing * ratio),
            opening=_rounded(self.opening * ratio),
            detection_pixels=_rounded(self.detection_pixels * ratio**2),
            size=size,
        )

    def mask_rule(self) -> dict:
        """What decides how a probability becomes a mask, kept with the counts."""
        names = ("threshold", "closing", "opening", "published_slips", "size")
        return {name: getattr(self, name) for name in names}


def _rounded(value: float) -> int:
    return max(1, math.floor(value + 0.5)) if value else 0


_HSSAYENI2020 = Protocol(
    name="hssayeni2020",
    description=(
        "[2]: joined probability above 0.5, closing 10x10, opening 5x5; overlap "
        "over slices with truth, averaged for each subject, then over subjects "
        "with truth, without patient 70 (index 21, chronic bleed); detection over "
        "all slices, positive above 400 pixels."
    ),
    unit="subject",
    empty="skip",
    closing=10,
    opening=5,
    detection_pixels=400,
    excluded_patients=(70,),
)

PROTOCOLS = {
    "hssayeni2020": _HSSAYENI2020,
    "hssayeni2020_published": dataclasses.replace(
        _HSSAYENI2020,
        name="hssayeni2020_published",
        description=(
            "hssayeni2020 with the slips of the published code for 75 subjects: "
            "mean*255 cut to a whole number and above 128 (to half a level, since "
            "probabilities are stored in 8 bits), the closing shifted by a pixel, "
            "of the 75 subjects those above 123 (index 74) without overlap, "
            "sensitivity as specificity."
        ),
        published_slips=True,
    ),
    "per_volume": Protocol(
        name="per_volume",
        description=(
            "As nnU-Net: probability above 0.5, all voxels of a volume together, "
            "averaged over volumes; undefined where truth and prediction are both "
            "empty, 0 where only the truth is; a slice is positive from one pixel on."
        ),
        unit="volume",
        empty="nan",
    ),
    "pooled": Protocol(
        name="pooled",
        description=(
            "Probability above 0.5, the voxels of all volumes counted together; a "
            "slice is positive from one pixel on."
        ),
        unit="pooled",
        empty="nan",
    ),
}


def protocol(name: str) -> Protocol:
    """Look a protocol up.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"Unknown protocol {name!r}. Known: {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]


def binarise(probability: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Make a mask of probabilities as a protocol does.

    Pixels outside the slice never count in closing and opening. A square of even
    side has no middle; the closing uses the reflected square second, so that it
    never moves or removes what it closes.

    Args:
        probability: (z, y, x), floating, in [0, 1], joined from tiles.
        protocol: Scaled here to the longer side of the slices.

    Returns:
        (z, y, x), bool.

    Raises:
        ValueError: if the probabilities are not floating or leave [0, 1].

    Reference:
        Hssayeni et al., Data 5(1):14, 2020, doi:10.3390/data5010014, and its code.
    """
    if probability.ndim != 3 or not np.issubdtype(probability.dtype, np.floating):
        raise ValueError(
            "`probability` must be a floating (z, y, x) array; divide bytes by 255. "
            f"Received: {probability.dtype} of shape {probability.shape}"
        )
    if not (probability.min() >= 0 and probability.max() <= 1):
        raise ValueError(
            "`probability` must lie in [0, 1]. Received: "
            f"{probability.min()} to {probability.max()}"
        )
    rule = protocol.scaled(max(probability.shape[1:]))
    if rule.published_slips:
        mask = np.floor(probability * 255) > math.floor(rule.threshold * 256)
    else:
        mask = probability > rule.threshold
    if rule.closing or rule.opening:
        for index in np.flatnonzero(mask.any(axis=(1, 2))):
            mask[index] = _closed_and_opened(mask[index], rule)
    return mask


def _closed_and_opened(mask: np.ndarray, rule: Protocol) -> np.ndarray:
    import cv2

    changed = mask.astype(np.uint8)
    for side, first, second in (
        (rule.closing, cv2.dilate, cv2.erode),
        (rule.opening, cv2.erode, cv2.dilate),
    ):
        if side:
            square, middle = np.ones((side, side), np.uint8), side // 2
            # OpenCV's own closing has the same middle in both steps, which moves the
            # result by a pixel if the side is even: a slip of the published code.
            back = middle if rule.published_slips else side - 1 - middle
            changed = first(changed, square, anchor=(middle, middle))
            changed = second(changed, square, anchor=(back, back))
    return changed.astype(bool)
