"""The augmentations as data: which random changes, in which ranges, how often.

Two back ends apply them: `augment` (albumentations and OpenCV, any CPU or GPU host) and
`tensor_augment` (TensorFlow operations alone, for a TPU). Both draw from the same
ranges and move, brighten and blur a pixel alike, but they draw different numbers.
"""

import dataclasses
from collections.abc import Sequence

Range = tuple[float, float]
"""Smallest and largest value; every value between them is equally likely."""


@dataclasses.dataclass(frozen=True)
class Mirror:
    """Exchange left and right.

    Attributes:
        probability: Share of the samples that change, in [0, 1].
    """

    probability: float = 0.5


@dataclasses.dataclass(frozen=True)
class Affine:
    """Scale, rotate, shear and shift about the centre of the image.

    Images are interpolated bilinearly, masks take the nearest pixel.

    Attributes:
        scale: Factor by which the content grows; each axis draws its own unless
            `keep_ratio`.
        degrees: Angle of the rotation.
        shear_degrees: Angle by which columns lean.
        shift: Share of the side, along each axis; cut down to whole pixels.
        keep_ratio: Whether both axes grow by the same factor.
        border: What lies outside the image: "nearest" repeats the outermost pixel,
            "reflect" mirrors the image without repeating it.
        probability: Share of the samples that change, in [0, 1].
    """

    scale: Range = (1.0, 1.0)
    degrees: Range = (0.0, 0.0)
    shear_degrees: Range = (0.0, 0.0)
    shift: Range = (0.0, 0.0)
    keep_ratio: bool = False
    border: str = "nearest"
    probability: float = 1.0


@dataclasses.dataclass(frozen=True)
class BrightnessContrast:
    """x -> x * (1 + contrast) + brightness, clipped to [0, 1].

    With a mean and a standard deviation the change, and its clipping, act on
    (x - mean) / standard_deviation, which is then scaled back.

    Attributes:
        brightness: What is added.
        contrast: Change of the factor.
        probability: Share of the samples that change, in [0, 1].
        mean: Mean of each channel; empty for 0.
        standard_deviation: Standard deviation of each channel; empty for 1.
    """

    brightness: Range
    contrast: Range
    probability: float
    mean: tuple[float, ...] = ()
    standard_deviation: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Blur:
    """Convolve with a Gaussian of `int(3.5 * sigma)` pixels to each side.

    Attributes:
        sigma_pixels: Standard deviation in pixels.
        probability: Share of the samples that change, in [0, 1].
    """

    sigma_pixels: Range
    probability: float


@dataclasses.dataclass(frozen=True)
class Noise:
    """Add independent Gaussian noise to every pixel and channel, clipped to [0, 1].

    Attributes:
        deviation: Standard deviation of the noise.
        probability: Share of the samples that change, in [0, 1].
    """

    deviation: Range
    probability: float


# Of the training images, section III-B-2 of the report.
MEAN = (0.1738, 0.1433, 0.1970)
STANDARD_DEVIATION = (0.3161, 0.2850, 0.3111)

Transform = Mirror | Affine | BrightnessContrast | Blur | Noise

# [2] gives Keras' ImageDataGenerator rotation 20, shift 0.1, shear 0.1, zoom 0.2 and
# nearest fill. Its shear is an angle in degrees, so 0.1 is next to nothing (a fifth of
# a pixel over 128); its zoom factor maps output to input, so 0.8 to 1.2 enlarges by
# 1/1.2 to 1/0.8.
# Deviation: shifts are whole pixels, the enlargement (not its inverse) is uniform and
# the mask takes the nearest pixel, not a bilinear value with a threshold of 0.5.
_HSSAYENI2020 = Affine(
    scale=(1 / 1.2, 1 / 0.8),
    degrees=(-20.0, 20.0),
    shear_degrees=(-0.1, 0.1),
    shift=(-0.1, 0.1),
)
# [1] shifts by up to 1/16, scales by up to a tenth and rotates by up to 45 degrees,
# reflected at the border, in half of all slices.
_BURDUJA2020 = Affine(
    scale=(0.9, 1.1),
    degrees=(-45.0, 45.0),
    shift=(-0.0625, 0.0625),
    keep_ratio=True,
    border="reflect",
    probability=0.5,
)

AUGMENTATIONS: dict[str, tuple[Transform, ...]] = {
    "none": (),
    # Another window (-10 to 70 HU instead of -20 to 100 is a contrast of 1.5 and a
    # brightness of -1/8), other noise, another reconstruction kernel.
    "any_scanner": (
        _HSSAYENI2020,
        Mirror(),
        BrightnessContrast((-0.12, 0.08), (-0.2, 0.45), probability=0.6),
        Blur((0.3, 1.0), probability=0.3),
        Noise((0.005, 0.03), probability=0.3),
    ),
    "flip": (Mirror(),),
    "hssayeni2020": (_HSSAYENI2020,),
    "hssayeni2020_flip": (_HSSAYENI2020, Mirror()),
    "burduja2020": (
        Mirror(),
        _BURDUJA2020,
        BrightnessContrast((-0.2, 0.2), (-0.2, 0.2), probability=0.5),
    ),
    # [1]'s code augments normalized images, so that a brightness of 0.2 is 0.063 of the
    # brain window; and its library clips the result to [0, 1]: what is darker than the
    # mean, or brighter than a standard deviation above it, becomes uniform.
    "burduja2020_published": (
        Mirror(),
        _BURDUJA2020,
        BrightnessContrast(
            (-0.2, 0.2),
            (-0.2, 0.2),
            probability=0.5,
            mean=MEAN,
            standard_deviation=STANDARD_DEVIATION,
        ),
    ),
    # For short trainings: blood shows by its brightness, which stays as it is here.
    "burduja2020_mild": (
        Mirror(),
        dataclasses.replace(_BURDUJA2020, degrees=(-10.0, 10.0)),
    ),
}
"""By name. "hssayeni2020" augments as [2]; "burduja2020_published" as [1]'s code, on
normalized images; "burduja2020" makes the same changes to images in [0, 1].

Reference:
    [1] Burduja, Ionescu, Verga, Sensors 20(19):5611, 2020, doi:10.3390/s20195611.
    [2] Hssayeni et al., Data 5(1):14, 2020, doi:10.3390/data5010014, and its code.
"""


def transforms(augmentation: str | Sequence[Transform]) -> tuple[Transform, ...]:
    """The transforms of an augmentation, in the order in which they happen.

    Args:
        augmentation: A name in `AUGMENTATIONS`, or the transforms themselves.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    if not isinstance(augmentation, str):
        return tuple(augmentation)
    if augmentation not in AUGMENTATIONS:
        known = ", ".join(AUGMENTATIONS)
        raise ValueError(f"Unknown augmentation {augmentation!r}. Known: {known}.")
    return AUGMENTATIONS[augmentation]
