"""A prediction whose numbers follow from its arrays by hand."""

import numpy as np

from ich_tf import labels
from ich_tf.prediction.result import Prediction
from ich_tf.volume import Note, Volume

WEIGHTS = {
    "file": "hand.weights.h5",
    "sha256": "0" * 64,
    "trained_on": "phantom",
    "metric": "none",
}


def prediction(note: str = "", spacing: bool = True, **changed) -> Prediction:
    """Four slices of 8 x 8 pixels of 1 x 1 mm, 5 mm apart: a pixel has 0.005 ml.

    An epidural lesion of 2 x 2 pixels in slices 2 and 3 (0.04 ml), of 60 HU; a
    subdural one of two pixels in slice 4 (0.01 ml), of 40 and 50 HU.
    """
    hu = np.full((4, 8, 8), 30, np.float32)
    subtypes = np.zeros((4, 8, 8), np.uint8)
    subtypes[1:3, 1:3, 1:3] = 1
    hu[1:3, 1:3, 1:3] = 60
    subtypes[3, 6, 5:7] = 5
    hu[3, 6, 5:7] = 40, 50
    notes = (Note("scan", note),) if note else ()
    volume = Volume(hu, None, None, None, notes=notes)
    if spacing:
        place = (5.0, 1.0, 1.0), 5.0 * np.arange(4), np.eye(4)
        volume = Volume(hu, *place, notes=notes)
    of_slices = np.zeros((4, 6))
    of_slices[1:3, [0, 5]] = 0.9
    of_slices[3, [4, 5]] = 0.8
    given = {
        "volume": volume,
        "probability": np.where(subtypes, 0.9, 0.0).astype(np.float32),
        "mask": (subtypes > 0).astype(np.uint8),
        "subtypes": subtypes,
        "threshold": 0.5,
        "slice_threshold": 0.0,
        "classes": labels.CLASSES,
        "slice_probability": of_slices,
        "scan_probability": of_slices.max(axis=0),
        "calibrated": True,
        "ood_slices": np.array([False, False, False, True]),
        "weights": WEIGHTS,
    }
    return Prediction(**{**given, **changed})
