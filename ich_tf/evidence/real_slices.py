"""A figure of real slices of judges, chosen by a rule and not by taste.

For each subtype the slices of judges with the highest and the lowest predicted
probability of the labelled subtype, outlined by the network. The slices are of ct-ich
1.0 (CC BY 4.0), which has no masks in the layout used here.
"""

import os

import numpy as np

from ich_tf import labels
from ich_tf.prediction import detection, figures, real_heads
from ich_tf.viewer import component

COLOURS = dict(zip(labels.SUBTYPES, component.SUBTYPE_COLOURS, strict=True))
"""Red, green and blue of each subtype's outline, as on the page of a scan."""
CAPTION = (
    "Ten real slices of patients not used for training, outlined by the network "
    "(yellow: epidural, red: intraparenchymal, blue: intraventricular, violet: "
    "subarachnoid, green: subdural). Chosen by a rule: for each subtype the slices "
    "labelled with it that have the highest (upper row) and the lowest (lower row) "
    "predicted probability of that subtype. True outlines were not available. Slices: "
    "Hssayeni M., Croock M., Salman A., Al-khafaji H., Yahya Z., Ghoraani B., Computed "
    "Tomography Images for Intracranial Hemorrhage Detection and Segmentation, version "
    "1.0, PhysioNet, doi:10.13026/w8q8-ky94, CC BY 4.0; windowed and outlined here."
)


def choose(cases: dict[str, dict]) -> list[tuple[str, str, int, float]]:
    """Choose slices by the rule.

    Args:
        cases: Records of `detection.json` by case id; only judges are used.

    Returns:
        Subtype, case id, z index and probability: first the highest of each subtype
        that judges show, then the lowest.

    Raises:
        ValueError: if the network that made the records has no calibration.
    """
    if any(record["probabilities"] is None for record in cases.values()):
        raise ValueError(
            "The rule needs probabilities of subtypes, which these weights do not "
            "give. Name weights with a calibration."
        )
    highest, lowest = [], []
    for k, subtype in enumerate(labels.SUBTYPES):
        shown = [
            (float(probability[k]), name, z)
            for name, record in sorted(cases.items())
            if name in detection.JUDGES
            for z, (truth, probability) in enumerate(
                zip(record["labels"], record["probabilities"], strict=True)
            )
            if truth[k]
        ]
        if shown:
            shown.sort()
            probability, name, z = shown[-1]
            highest.append((subtype, name, z, probability))
            probability, name, z = shown[0]
            lowest.append((subtype, name, z, probability))
    return [*highest, *lowest]


def draw(
    path: str | os.PathLike,
    dataset,
    network: real_heads.Network,
    chosen: list[tuple[str, str, int, float]],
) -> None:
    """Draw chosen slices with the network's outlines.

    Args:
        path: The PNG file.
        dataset: Holds the cases.
        network: Outlines them.
        chosen: From `choose`.
    """
    maps, slices_hu = {}, {}
    for name in sorted({name for _, name, _, _ in chosen}):
        case = dataset.load(name)
        maps[name] = network.label_map(network.segment(case))
        slices_hu[name] = case.volume.hu
    titles = [
        f"{subtype}: {probability:.2f} ({name}, {z + 1})"
        for subtype, name, z, probability in chosen
    ]
    hu = np.stack([slices_hu[name][z] for _, name, z, _ in chosen])
    drawn = np.stack([maps[name][z] for _, name, z, _ in chosen])
    columns = len(chosen) // 2
    figures.montage(path, hu, drawn, columns, draw_slice=outlined, titles=titles)


def outlined(hu: np.ndarray, subtypes: np.ndarray) -> np.ndarray:
    """A slice with the outline of each subtype in its colour.

    Args:
        hu: (h, w), Hounsfield units.
        subtypes: (h, w), 0 or 1 to 5 in the order of `labels.SUBTYPES`.

    Returns:
        (h, w, 3), uint8.
    """
    import cv2

    picture = np.repeat(figures.gray(hu)[..., np.newaxis], 3, axis=-1)
    for number, subtype in enumerate(labels.SUBTYPES, 1):
        lines, _ = cv2.findContours(
            (subtypes == number).astype(np.uint8),
            cv2.RETR_LIST,
            cv2.CHAIN_APPROX_NONE,
        )
        cv2.drawContours(picture, lines, -1, COLOURS[subtype], 2)
    return picture
