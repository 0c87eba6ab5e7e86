"""Evaluation protocols: from the threshold of a mask to the average of a score.

A protocol fixes how probabilities become a mask, what is averaged, and how empty
masks count.
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A convention of evaluation; lengths and areas hold for slices of side `size`.

    Attributes:
        name: Its key in `PROTOCOLS`.
        description: The convention in a sentence, printed with its numbers.
        unit: What a single averaged overlap value covers. "subject": the mean over
            the counted slices of a subject. "slice": each slice. "volume": all
            voxels of a case. "pooled": all voxels of all cases, a single value.
        empty: Overlap of a unit (for "subject": of a slice) without truth. "skip":
            undefined, not counted. "nan": undefined only if the prediction is empty
            too, else 0. "zero", "one": that value if both are empty, else 0.
        threshold: A pixel is positive above this probability.
        closing: Side in pixels of the square of the closing, 0 for none.
        opening: Side in pixels of the square of the opening that follows, 0 for none.
        truth_detection_pixels: A slice is positive in truth above this number of
            pixels.
        predicted_detection_pixels: A slice is predicted positive above this number of
            pixels.
        excluded_patients: Numbers of ct-ich patients left out of the overlap.
        published_bugs: Whether the bugs of [2]'s published code are repeated.
        size: Side in pixels of the slices that lengths and areas refer to.
    """

    name: str
    description: str
    unit: str
    empty: str
    threshold: float = 0.5
    closing: int = 0
    opening: int = 0
    truth_detection_pixels: int = 0
    predicted_detection_pixels: int = 0
    excluded_patients: tuple[int, ...] = ()
    published_bugs: bool = False
    size: int = 512

    def scaled(self, size: int) -> "Protocol":
        """The same protocol for slices of another side, in pixels.

        Sides of the squares scale with the length, the limits of detection with the
        area; halves are rounded up. Squares and the limit of a prediction that are
        not 0 stay at least 1. The limit of the truth may become 0, because a pixel
        of a small slice covers several of a large one.
        """
        ratio = size / self.size
        return dataclasses.replace(
            self,
            closing=_at_least_one(self.closing * ratio),
            opening=_at_least_one(self.opening * ratio),
            truth_detection_pixels=_rounded(self.truth_detection_pixels * ratio**2),
            predicted_detection_pixels=_at_least_one(
                self.predicted_detection_pixels * ratio**2
            ),
            size=size,
        )

    def mask_rule(self) -> dict:
        """What decides how a probability becomes a mask, stored with the counts."""
        return {
            "threshold": self.threshold,
            "closing": self.closing,
            "opening": self.opening,
            # The name of this key in result files.
            "published_slips": self.published_bugs,
            "size": self.size,
        }


def _rounded(value: float) -> int:
    return math.floor(value + 0.5)


def _at_least_one(value: float) -> int:
    return max(1, _rounded(value)) if value else 0


_HSSAYENI2020 = Protocol(
    name="hssayeni2020",
    description=(
        "[2]: joined probability above 0.5, closing 10x10, opening 5x5; overlap "
        "over slices with truth, averaged for each subject, then over subjects "
        "with truth, without patient 70 (index 21, chronic bleed); detection over "
        "all slices, positive from 2 pixels in truth and from 401 in the prediction."
    ),
    unit="subject",
    empty="skip",
    closing=10,
    opening=5,
    # [2]'s code asks for more than 400 in both masks, but its masks of truth hold 0 and
    # 255: 400 / 255 = 1.6, so that two pixels suffice.
    truth_detection_pixels=1,
    predicted_detection_pixels=400,
    excluded_patients=(70,),
)

PROTOCOLS = {
    "hssayeni2020": _HSSAYENI2020,
    "hssayeni2020_alike": dataclasses.replace(
        _HSSAYENI2020,
        name="hssayeni2020_alike",
        description=(
            "hssayeni2020 with a single limit of detection: a slice is positive from "
            "401 pixels in truth and prediction alike."
        ),
        truth_detection_pixels=400,
    ),
    "hssayeni2020_published": dataclasses.replace(
        _HSSAYENI2020,
        name="hssayeni2020_published",
        description=(
            "hssayeni2020 with the bugs of the published code for 75 subjects: "
            "mean*255 truncated and above 128 (probabilities are stored in 8 bits), "
            "the closing shifted by a pixel, subjects above 123 (index 74) without "
            "overlap, the sensitivity printed as specificity."
        ),
        published_bugs=True,
    ),
    "per_volume": Protocol(
        name="per_volume",
        description=(
            "nnU-Net's: probability above 0.5, all voxels of a volume together, "
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
    """Turn probabilities into a mask by the rules of a protocol.

    Pixels outside the slice never count in closing and opening. A square of even
    side has no middle pixel; the second step of the closing uses the reflected
    square, so that a closing neither shifts nor removes a region.

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
    if rule.published_bugs:
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
            # OpenCV's own closing anchors both steps at the same pixel, which shifts
            # the result by a pixel if the side is even: a bug of the published code.
            back = middle if rule.published_bugs else side - 1 - middle
            changed = first(changed, square, anchor=(middle, middle))
            changed = second(changed, square, anchor=(back, back))
    return changed.astype(bool)
