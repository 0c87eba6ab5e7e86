"""DICOM CT: series found in a folder, slices to one volume in HU, slices written."""

from ich_tf.io.dicom.choosing import describe, select
from ich_tf.io.dicom.files import looks_like_dicom
from ich_tf.io.dicom.headers import MAX_VOXELS
from ich_tf.io.dicom.pixels import read_slice
from ich_tf.io.dicom.placing import SliceHeader, read_header
from ich_tf.io.dicom.series import Series, find_series
from ich_tf.io.dicom.volumes import read, read_found, read_series
from ich_tf.io.dicom.writing import make_uid, write_slice

__all__ = [
    "MAX_VOXELS",
    "Series",
    "SliceHeader",
    "describe",
    "find_series",
    "looks_like_dicom",
    "make_uid",
    "read",
    "read_found",
    "read_header",
    "read_series",
    "read_slice",
    "select",
    "write_slice",
]
