"""NIfTI files: CT volumes in, masks and phantom volumes out."""

from ich_tf.io.nifti.content import MAX_FILE_BYTES, MAX_VOXELS, is_nifti, scan_files
from ich_tf.io.nifti.grids import NiftiGrid, closest_grid, lps_affine, place
from ich_tf.io.nifti.reading import (
    Header,
    count_mask_voxels,
    read,
    read_header,
    read_mask,
)
from ich_tf.io.nifti.writing import write, write_map, write_mask

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_VOXELS",
    "Header",
    "NiftiGrid",
    "closest_grid",
    "count_mask_voxels",
    "is_nifti",
    "lps_affine",
    "place",
    "read",
    "read_header",
    "read_mask",
    "scan_files",
    "write",
    "write_map",
    "write_mask",
]
