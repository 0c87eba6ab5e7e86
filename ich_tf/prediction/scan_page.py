"""One HTML page for one scan: slices with what the network says, and the numbers."""

import pathlib
from collections.abc import Iterable

import numpy as np

from ich_tf import labels
from ich_tf.prediction import inputs, result
from ich_tf.prediction.result import Prediction
from ich_tf.preprocessing.segmentation import slices
from ich_tf.viewer import component, page

TEMPLATES = pathlib.Path(__file__).with_name("templates")
TITLE = "Head CT: predicted hemorrhage"
SIZE = 384
"""In-plane pixels at most: a page of 30 slices stays below 10 MB."""
LESIONS_SHOWN = 20
OUT_OF_DISTRIBUTION = (
    "Out of distribution: {count} of {slices} slices differ from all training data. Do "
    "not trust this prediction."
)


def render(prediction: Prediction, title: str = TITLE) -> bytes:
    """Make the page; it names neither patient nor file, unless `title` does.

    Args:
        prediction: Prediction of one scan.
        title: Heading of the page; is escaped.
    """
    return page.render(
        "scan.html",
        TEMPLATES,
        title=title,
        amount=amount(prediction),
        spread=_spread(prediction),
        warnings=warnings(prediction),
        cases=[_case(prediction)],
        tables=[_by_class(prediction), _by_lesion(prediction)],
        notes=notes(prediction),
        facts={
            "Weights": prediction.weights["file"],
            "Trained on": prediction.weights["trained_on"],
            "Measured": prediction.weights["metric"],
        },
        footer=inputs.DISCLAIMER,
    )


def amount(prediction: Prediction) -> str:
    """What was found, in a few words."""
    pixels = prediction.slice_pixels
    if not pixels.any():
        threshold = f"the threshold {prediction.threshold:g}"
        quiet = np.flatnonzero(prediction.unmarked_slices)
        if not len(quiet):
            return f"No hemorrhage above {threshold}"
        verb = "has" if len(quiet) == 1 else "have"
        return (
            f"No hemorrhage is marked. {_slices(quiet).capitalize()} {verb} voxels "
            f"above {threshold}, but a probability below "
            f"{prediction.slice_threshold:g}."
        )
    ml = prediction.volume_ml
    size = f"{pixels.sum()} pixels" if ml is None else f"{ml:.1f} ml"
    return f"{size} in {np.count_nonzero(pixels)} of {len(pixels)} slices"


def notes(prediction: Prediction) -> list[str]:
    """What else a reader must know: unmarked slices, and how the scan was read."""
    return [*_unmarked(prediction), *map(str, prediction.volume.notes)]


def _unmarked(prediction: Prediction) -> list[str]:
    """A note on voxels above the threshold in quiet slices, if there are any."""
    quiet = np.flatnonzero(prediction.unmarked_slices)
    if not len(quiet):
        return []
    return [
        f"voxels above the threshold are not marked in {_slices(quiet)}, since the "
        "probability of hemorrhage there is below "
        f"{prediction.slice_threshold:g}. Most such voxels are calcification or bone; "
        "`ich-tf predict --slice-threshold 0` marks them."
    ]


def _slices(indices: Iterable[int]) -> str:
    """Slices by number, from 1: "slice 3", "slices 3, 5"."""
    numbers = [str(index + 1) for index in indices]
    return f"slice{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def warnings(prediction: Prediction) -> list[str]:
    """What a reader must know before the numbers."""
    said = [str(contradiction) for contradiction in prediction.contradictions]
    disagree = [item.number - 1 for item in prediction.slice_contradictions]
    if disagree:
        said.append(
            f"mask and probability of any hemorrhage disagree in {_slices(disagree)}"
        )
    against = prediction.slices_against_scan
    if against:
        column = prediction.classes.index(labels.ANY)
        rows = np.array(against) - 1
        said.append(
            "the probability of any hemorrhage is "
            f"{prediction.scan_probability[column]:.2f} for the scan, but "
            f"{prediction.slice_probability[rows, column].max():.2f} for slice "
            f"{', '.join(map(str, against))}"
        )
    if not prediction.no_ml and prediction.volume.missing_mm:
        said.append(
            f"{prediction.volume.missing_mm:.0f} mm of the scan have no slice; blood "
            "there is not counted"
        )
    if prediction.out_of_distribution:
        slices_beyond = int(prediction.ood_slices.sum())
        total = len(prediction.ood_slices)
        text = OUT_OF_DISTRIBUTION.format(count=slices_beyond, slices=total)
        said.insert(0, text)
    return said


def _spread(prediction: Prediction) -> str:
    low_ml, high_ml = prediction.bounds_ml
    if low_ml is None:
        return f"No millilitres: {prediction.no_ml}."
    if not (prediction.slice_pixels.any() or high_ml):
        return ""
    low, high = result.BETWEEN
    outside = ""
    if prediction.quiet_slices.any():
        quiet = f"a probability below {prediction.slice_threshold:g}"
        outside = f", without slices of {quiet}"
    return (
        f"At threshold {prediction.threshold:g}; {low_ml:.1f} ml at {low:g} and "
        f"{high_ml:.1f} ml at {high:g}{outside}."
    )


def _by_class(prediction: Prediction) -> dict:
    probability = dict(
        zip(prediction.classes, prediction.scan_probability, strict=True)
    )
    ml = {labels.ANY: prediction.volume_ml, **prediction.subtype_ml}
    rows = [
        [name, f"{probability[name]:.2f}" if name in probability else "", _ml(ml[name])]
        for name in (*labels.SUBTYPES, labels.ANY)
        if name in ml
    ]
    text = result.CALIBRATION[prediction.calibrated]
    if prediction.subtypes is None:
        text += f" No subtypes: {result.NO_SUBTYPES}."
    return {
        "title": "Hemorrhage in the scan",
        "text": text,
        "header": ("class", "probability in the scan", "volume"),
        "rows": [[{"text": cell} for cell in row] for row in rows],
    }


def _by_lesion(prediction: Prediction) -> dict:
    lesions = prediction.lesions
    text = f"{len(lesions)} connected parts of the mask"
    text += f"; the {LESIONS_SHOWN} largest:" if len(lesions) > LESIONS_SHOWN else "."
    rows = []
    for lesion in lesions[:LESIONS_SHOWN]:
        middle = round(lesion.centre[0]) + 1
        extent = str(lesion.first_slice)
        if lesion.last_slice != lesion.first_slice:
            extent += f" to {lesion.last_slice}"
        rows.append(
            [
                {"text": str(lesion.number)},
                {"text": lesion.subtype or "not known"},
                {"text": _ml(lesion.volume_ml)},
                {"text": extent, "slice": middle},
                {"text": f"{lesion.mean_hu:.0f} ± {lesion.deviation_hu:.0f} HU"},
            ]
        )
    header = ("number", "subtype", "volume", "slices", "density")
    return {"title": "Lesions", "text": text, "header": header, "rows": rows}


def _ml(volume_ml: float | None) -> str:
    return "not known" if volume_ml is None else f"{volume_ml:.2f} ml"


def _case(prediction: Prediction) -> dict:
    hu = slices.at_most(prediction.volume.hu, SIZE)
    volumes = {
        "probability": np.rint(255 * slices.at_most(prediction.probability, SIZE))
    }
    volumes["mask"] = _smaller_labels(prediction)
    areas = prediction.slice_pixels
    start = int(areas.argmax()) if areas.any() else len(areas) // 2
    return component.case(
        "",
        hu,
        {name: volume.astype(np.uint8) for name, volume in volumes.items()},
        {"": component.View((_heat(), _mask(prediction)))},
        start=start,
        slice_facts=[_slice_fact(prediction, z) for z in range(len(areas))],
    )


def _heat() -> component.Layer:
    return component.Layer(
        "probability", "probability", "h", "heat", "probability", shown=False
    )


def _mask(prediction: Prediction) -> component.Layer:
    if prediction.subtypes is None:
        colours, legend = (component.RED,), ()
    else:
        colours, legend = component.SUBTYPE_COLOURS, labels.SUBTYPES
    return component.Layer("mask", "mask", "m", "labels", "mask", colours, legend)


def _slice_fact(prediction: Prediction, z: int) -> str:
    pixels = int(prediction.slice_pixels[z])
    spacing = prediction.volume.spacing_mm
    area = f"{pixels} pixels"
    if spacing is not None:
        area = f"{pixels * spacing[1] * spacing[2] / 100:.1f} cm²"
    said = [f"hemorrhage: {area if pixels else 'none'}"]
    said += [
        f"{name} {value:.2f}"
        for name, value in zip(
            prediction.classes, prediction.slice_probability[z], strict=True
        )
        if name == labels.ANY or value >= 0.5
    ]
    if prediction.ood_slices is not None and prediction.ood_slices[z]:
        said.append("out of distribution")
    return "; ".join(said)


def _smaller_labels(prediction: Prediction) -> np.ndarray:
    """The labels of the mask, each where it has the largest share of a pixel."""
    mask = prediction.mask if prediction.subtypes is None else prediction.subtypes
    smaller = np.zeros(slices.at_most(mask[:1], SIZE).shape, np.uint8)
    smaller = np.repeat(smaller, len(mask), axis=0)
    marked = np.flatnonzero(prediction.slice_pixels)
    if not len(marked):
        return smaller
    part = mask[marked]
    present = np.flatnonzero(np.bincount(part.ravel()))
    share = [
        slices.at_most((part == value).astype(np.float32), SIZE) for value in present
    ]
    smaller[marked] = present[np.argmax(share, axis=0)]
    return smaller
