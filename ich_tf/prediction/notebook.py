"""A prediction in a notebook: a viewer where ipyniivue is installed, else pictures."""

import pathlib
import tempfile
import typing

import numpy as np

from ich_tf.io import nifti
from ich_tf.prediction import figures
from ich_tf.prediction.result import Prediction

if typing.TYPE_CHECKING:
    from ipyniivue import NiiVue
    from PIL import Image

WINDOW_HU = (0.0, 80.0)


def show(prediction: Prediction, height: int = 400) -> "NiiVue | Image.Image":
    """What a notebook's cell displays for a prediction.

    Args:
        prediction: Prediction of one scan.
        height: Height of the viewer, in pixels.

    Returns:
        A NiiVue widget with the scan and the mask by subtype; a contact sheet of all
        slices where ipyniivue is absent or the scan has no spacing.
    """
    try:
        import ipyniivue
    except ImportError:
        return contact_sheet(prediction)
    if prediction.volume.affine is None:
        return contact_sheet(prediction)
    # The widget reads the files at once; they are not needed after that.
    with tempfile.TemporaryDirectory(prefix="ich-tf-") as folder:
        scan, mask = (pathlib.Path(folder) / name for name in ("ct.nii", "mask.nii"))
        nifti.write(scan, prediction.volume)
        marked = prediction.subtypes
        marked = prediction.mask if marked is None else marked
        nifti.write_map(mask, marked, prediction.volume)
        widget = ipyniivue.NiiVue(height=height)
        low, high = WINDOW_HU
        widget.load_volumes(
            [
                {"path": str(scan), "cal_min": low, "cal_max": high},
                {"path": str(mask), "colormap": "red", "opacity": 0.5},
            ]
        )
    return widget


def contact_sheet(prediction: Prediction) -> "Image.Image":
    """All slices with the mask, numbered from 1 at the foot."""
    pairs = zip(prediction.volume.hu, prediction.mask, strict=True)
    return figures.contact_sheet(
        {
            str(number): figures.overlay(hu, np.asarray(mask))
            for number, (hu, mask) in enumerate(pairs, start=1)
        }
    )
