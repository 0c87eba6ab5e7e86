"""Small DICOM slices for tests of the reader."""

import numpy as np
import pydicom
from pydicom import uid

from ich_tf.io import dicom

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def stored(seed=0, size=(6, 8)):
    return np.random.default_rng(seed).integers(0, 100, size).astype(np.int16)


def write(path, pixels=None, z=0.0, **header):
    """Write one axial slice; a keyword overrides a tag, None removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {
        "SOPClassUID": uid.CTImageStorage,
        "SOPInstanceUID": dicom.make_uid(path.name),
        "SeriesInstanceUID": dicom.make_uid("series"),
        "StudyInstanceUID": dicom.make_uid("study"),
        "PatientID": "test",
        "ImagePositionPatient": [-10.0, -20.0, z],
        "ImageOrientationPatient": list(AXIAL),
        "PixelSpacing": [0.75, 0.5],
        "SliceThickness": 5.0,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        **header,
    }
    fields = {key: value for key, value in fields.items() if value is not None}
    dicom.write_slice(path, stored() if pixels is None else pixels, fields)
    return path


def series(folder, positions, **header):
    """A slice for each position, with pixels of its own."""
    for number, z in enumerate(positions):
        path = folder / f"{number:03d}.dcm"
        own = {"SOPInstanceUID": dicom.make_uid(str(path)), **header}
        write(path, stored(number), z=float(z), InstanceNumber=number + 1, **own)
    return folder


def edit(path, **header):
    """Change a written file behind the writer's back."""
    dataset = pydicom.dcmread(path)
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


def kinds(volume):
    return [note.kind for note in volume.notes]
