"""CT slices written as DICOM files."""

import io
import os

import numpy as np
import pydicom
from pydicom import uid

from ich_tf import files
from ich_tf.io.dicom.headers import CLASSIC_CT


def make_uid(*parts: str) -> str:
    """A DICOM UID that depends on the given texts only."""
    return uid.generate_uid(entropy_srcs=["ich_tf", *parts])


def write_slice(
    path: str | os.PathLike, stored: np.ndarray, header: dict[str, object]
) -> None:
    """Write one CT slice, explicit VR little endian; same input, same bytes.

    Args:
        path: The file; its folder must exist.
        stored: (rows, columns), int16 or uint16, stored values before rescaling.
        header: DICOM keywords and values; `SOPInstanceUID` is needed. Rows, columns
            and pixel layout follow from `stored`; BitsStored may be given.

    Raises:
        ValueError: if `stored` is not a 16-bit slice.
    """
    if stored.ndim != 2 or stored.dtype not in (np.int16, np.uint16):
        raise ValueError(
            f"{path}: stored values must be a 16-bit slice. Received: {stored.dtype} "
            f"{stored.shape}"
        )
    bits = int(header.get("BitsStored", 16))
    fields = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.dtype == np.int16),
        **header,
        "PixelData": stored.astype(stored.dtype.newbyteorder("<")).tobytes(),
    }
    buffer = io.BytesIO()
    # RSNA's identifiers (ID_<hex>) are no UIDs, so values are not validated.
    with pydicom.config.disable_value_validation():
        dataset = pydicom.dataset.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = CLASSIC_CT
        dataset.file_meta.MediaStorageSOPInstanceUID = header["SOPInstanceUID"]
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        for keyword, value in fields.items():
            setattr(dataset, keyword, value)
        dataset["PixelData"].VR = "OW"
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    files.write_bytes(path, buffer.getvalue())
