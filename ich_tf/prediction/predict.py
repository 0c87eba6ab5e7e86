"""What `predict` gives for one scan: mask, pictures and numbers."""

import csv
import functools
import io
import os
import pathlib
import tempfile
from concurrent import futures

import numpy as np

from ich_tf import files, labels
from ich_tf.io import nifti
from ich_tf.models import weights
from ich_tf.prediction import classify, figures, inputs, ood, segment
from ich_tf.preprocessing import windows
from ich_tf.preprocessing.segmentation import slices
from ich_tf.volume import Case, Volume

DEFAULT_WEIGHTS = "unetplusplus-painted"
LIKENESS = "likeness.npz"
RESULT = "prediction.json"
FILES = (
    *("mask.nii.gz", "overview.png"),
    *("uncertainty.nii.gz", "uncertainty.png", "probabilities.csv"),
)
"""What is written beside `RESULT` and the pictures of slices."""
SCAN_ROW = "scan"
"""Name of the last row of `probabilities.csv`; the others are numbers of slices."""
BETWEEN = (0.8, 0.2)
"""Thresholds between whose volumes the volume lies that the network is sure of."""
NO_SPACING = (
    "the input has no pixel spacing; give --spacing Z Y X in millimetres to get ml"
)
NO_THICKNESS = (
    "one slice of unknown thickness; give --spacing Z Y X in millimetres to get ml"
)


def predict(
    source: str | os.PathLike,
    out: str | os.PathLike,
    *,
    weights_name: str = DEFAULT_WEIGHTS,
    weights_dir: str | os.PathLike | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    series_uid: str | None = None,
    force: bool = False,
    threshold: float = 0.5,
) -> dict:
    """Segment and classify one scan and write what was found.

    Args:
        source: A NIfTI file, a DICOM file or folder, or a ct-ich patient folder.
        out: Folder for `mask.nii.gz`, `overview.png`, `slice-*.png`,
            `uncertainty.nii.gz`, `uncertainty.png`, `probabilities.csv` and
            `prediction.json`.
        weights_name: Name in the manifest of the segmentation's weights.
        weights_dir: Folder of the weights.
        spacing_mm: (z, y, x), for inputs without.
        series_uid: Which series of a DICOM folder with several.
        force: Whether a scan that does not look like head CT is read with a note.
        threshold: A voxel is hemorrhage above this probability.

    Returns:
        The content of `prediction.json`. Files of an earlier prediction in `out` are
        replaced together, when all are made.

    Raises:
        inputs.NotHeadCT: if the content cannot be a head CT; the message says why.
        ValueError: if the input cannot be read, the weights of the segmentation are
            absent, or any weights are damaged, or `out` holds files of these names
            that no earlier prediction wrote. Nothing is written then.
    """
    files.check_folder(out)
    _check_own(pathlib.Path(out))
    case = inputs.read(source, spacing_mm, series_uid, force=force)
    if not 0 <= threshold < 1:
        raise ValueError(f"`threshold` must lie in [0, 1). Received: {threshold}")
    # Of two cores building and tracing a network leave one idle.
    with futures.ThreadPoolExecutor(1) as beside:
        classifying = beside.submit(classify_volume, case.volume, weights_dir)
        model = weights.load_shipped(weights_name, weights_dir)
        _, entry = weights.shipped(weights_name, weights_dir)
        weights.check_probe(model, entry)
        known = known_slices(entry, weights_dir)
        probability, features = segment_with_features(
            model, entry["preprocessing"], case, known and known.layer
        )
        classification = classifying.result()
    like = likeness_of(features, known, entry)
    mask = (probability > threshold).astype(np.uint8)
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=out) as folder:
        made = pathlib.Path(folder)
        nifti.write_mask(made / "mask.nii.gz", mask, case.volume)
        figures.montage(made / "overview.png", case.volume.hu, mask)
        unsure = uncertainty(probability)
        percent = np.rint(100 * unsure).astype(np.uint8)
        nifti.write_map(made / "uncertainty.nii.gz", percent, case.volume)
        figures.montage(
            made / "uncertainty.png", case.volume.hu, unsure, draw_slice=figures.heat
        )
        pictures = figures.slice_overlays(made, case.volume.hu, mask)
        write_table(made / "probabilities.csv", classification)
        found = {
            "input": pathlib.Path(source).name,
            **measure(case, mask),
            "threshold": threshold,
            "between": {
                name: measure(case, probability > level)["volume_ml"]
                for name, level in zip(("low_ml", "high_ml"), BETWEEN, strict=True)
            },
            "likeness": like,
            "weights": classify.provenance(entry),
            "classification": classification,
            "notes": [note.text for note in case.volume.notes],
            "pictures": ["overview.png", "uncertainty.png", *pictures],
            "disclaimer": inputs.DISCLAIMER,
        }
        files.write_json(made / RESULT, found)
        for name in _written_before(out):
            (out / name).unlink(missing_ok=True)
        for path in sorted(made.iterdir(), key=lambda path: path.name == RESULT):
            os.replace(path, out / path.name)
    return found


def _check_own(out: pathlib.Path) -> None:
    """Refuse a folder with somebody's files under the names of ours."""
    there = [name for name in FILES if (out / name).exists()]
    there += sorted(path.name for path in out.glob("slice-*.png"))
    own = _written_before(out)
    foreign = [name for name in there if name not in own]
    if foreign:
        raise ValueError(
            f"{out} holds {foreign[0]}, which no earlier `predict` wrote there. Name "
            "another folder with --out."
        )


def _written_before(out: pathlib.Path) -> list[str]:
    """The files of an earlier prediction, its `prediction.json` first."""
    if not (out / RESULT).is_file():
        return []
    return [RESULT, *FILES, *files.read_json(out / RESULT).get("pictures", ())]


def segment_case(model, preprocessing: dict, case: Case) -> np.ndarray:
    """Probability of hemorrhage on the case's own grid.

    Args:
        model: A segmentation network.
        preprocessing: `approach`, `channels`, `size` (in-plane pixels the network
            was trained at), `tile` and `stride`, as the manifest holds them.
        case: The scan.

    Returns:
        (z, y, x), float32.
    """
    return segment_with_features(model, preprocessing, case, None)[0]


def segment_with_features(
    model, preprocessing: dict, case: Case, layer: str | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """What `segment_case` returns, with the features of a layer, (z, d), or None."""
    windows.check_window(
        case.volume.hu_window, windows.approach_windows(preprocessing["approach"])
    )
    to_channels = functools.partial(
        windows.channels,
        approach=preprocessing["approach"],
        count=preprocessing["channels"],
    )
    network = segment.predictor(
        model,
        to_channels,
        preprocessing["tile"],
        preprocessing["stride"],
        batch=4,
        layer=layer,
    )
    small = slices.resize(slices.squared(case.volume.hu), preprocessing["size"])
    probability, features = segment.predict_with_features(network, small)
    height, width = case.volume.hu.shape[1:]
    rows, columns = slices.within_square(height, width)
    whole = slices.resize(probability, max(height, width))[:, rows, columns]
    return whole, features


def uncertainty(probability: np.ndarray) -> np.ndarray:
    """Entropy of each probability in bits: 0 where it is 0 or 1, 1 where it is 1/2."""
    inside = np.clip(probability, 1e-6, 1 - 1e-6)
    bits = inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)
    return -bits.astype(np.float32)


def known_slices(
    entry: dict, weights_dir: str | os.PathLike | None
) -> ood.Likeness | None:
    """What the slices that a network was trained on look like to it, if it is known.

    Args:
        entry: The network's entry of the manifest.
        weights_dir: Folder of the weights.

    Raises:
        ValueError: if the file beside the weights is absent or damaged.
    """
    path = weights.companion(entry, LIKENESS, weights_dir)
    return None if path is None else ood.load(path)


def likeness_of(
    features: np.ndarray | None, known: ood.Likeness | None, entry: dict
) -> dict:
    """Whether a scan is like the slices the network was trained on, as JSON.

    Args:
        features: (z, d), the scan's, from `segment_with_features`.
        known: From `known_slices`.
        entry: The network's entry of the manifest.

    Returns:
        `slices_unlike` (their numbers, from 1 at the foot) and `unlike`, of the scan;
        both None with a `reason` where the weights do not say.
    """
    if known is None:
        reason = f"{entry['file']} does not say what it was trained on looks like"
        return {"slices_unlike": None, "unlike": None, "reason": reason}
    beyond = known.unlike(features)
    return {
        "slices_unlike": (np.flatnonzero(beyond) + 1).tolist(),
        "unlike": bool(beyond.mean() > ood.UNLIKE_SHARE),
    }


def classify_volume(volume: Volume, weights_dir: str | os.PathLike | None) -> dict:
    """Probabilities of each class for each slice and the scan, as JSON has them.

    Args:
        volume: The scan.
        weights_dir: Folder of the weights.

    Returns:
        `scan` (class to the maximum over the slices), `slices` (class to probability
        for each slice, from foot to head), the `network` that answered, what it
        `sees`, and `weights`. Only `scan` and `slices`, both None, and a `reason`
        where the scan has lost values or the weights are absent.

    Raises:
        ValueError: if the weights are damaged.
    """
    try:
        answers, entry = classify.scan_answers(volume, weights_dir)
    except classify.NotClassified as error:
        return {"scan": None, "slices": None, "reason": str(error)}
    return {
        "scan": _by_class(answers.max(axis=0)),
        "slices": [_by_class(row) for row in answers],
        "network": classify.SEQUENCE,
        "sees": classify.TOGETHER,
        "weights": classify.provenance(entry),
    }


def _by_class(row: np.ndarray) -> dict[str, float]:
    return {
        name: round(float(value), 4)
        for name, value in zip(labels.CLASSES, row, strict=True)
    }


def write_table(path: pathlib.Path, classification: dict) -> None:
    """Write the probabilities as CSV; remove an earlier table where there are none.

    Args:
        path: A row for each slice, "1" at the foot, and a last one named `SCAN_ROW`.
        classification: From `classify_volume`.
    """
    if classification["scan"] is None:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, ("slice", *labels.CLASSES), lineterminator="\n")
    writer.writeheader()
    rows = dict(enumerate(classification["slices"], start=1))
    for name, row in {**rows, SCAN_ROW: classification["scan"]}.items():
        shown = {label: f"{value:.4f}" for label, value in row.items()}
        writer.writerow({"slice": name, **shown})
    files.write_bytes(path, text.getvalue().encode())


def measure(case: Case, mask: np.ndarray) -> dict:
    """Volume in ml and area of each slice in mm2; None with a reason without spacing.

    `missing_mm` is the length of the scan that gaps between slices leave out; what
    bleeds there is not part of the volume.

    Args:
        case: The scan.
        mask: (z, y, x), 1 = hemorrhage.
    """
    pixels = mask.sum(axis=(1, 2), dtype=int)
    measured = {
        "slices": len(pixels),
        "slice_pixels": pixels.tolist(),
        "volume_ml": None,
        "missing_mm": None,
        "slice_area_mm2": None,
    }
    if case.volume.spacing_mm is None:
        return {**measured, "reason": NO_SPACING}
    area = float(np.prod(case.volume.spacing_mm[1:]))
    measured["slice_area_mm2"] = [round(float(count * area), 2) for count in pixels]
    pixel_ml = case.volume.slice_pixel_ml
    if pixel_ml is None:
        return {**measured, "reason": NO_THICKNESS}
    measured["volume_ml"] = round(float(pixels @ pixel_ml), 3)
    measured["missing_mm"] = round(case.volume.missing_mm, 2)
    return measured
