"""Readers under test, and small good files for them."""

import pathlib

import harness
import nibabel
import numpy as np
import own_files
import pydicom
import result_files
import training_files
from pydicom import uid

from ich_tf.data import ct_ich_table
from ich_tf.data.rsna import labels as rsna_labels
from ich_tf.data.rsna import metadata as rsna_metadata
from ich_tf.io import dicom, jpg, nifti

SIDE = 32
_PLACED = {
    "SOPClassUID": uid.CTImageStorage,
    "SeriesInstanceUID": "1.2.3",
    "StudyInstanceUID": "1.2.4",
    "PatientID": "test",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "ImagePositionPatient": [-10.0, -20.0, 5.0],
    "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    "PixelSpacing": [0.75, 0.5],
    "SliceThickness": 5.0,
    "RescaleSlope": 1,
    "RescaleIntercept": -1024,
    "PixelPaddingValue": 4095,
    "ConvolutionKernel": "H30",
}


def _stored(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3000, (SIDE, SIDE)).astype(np.uint16)


def _dicom_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    plain = folder / "plain.dcm"
    header = {**_PLACED, "SOPInstanceUID": "1.2.5", "BitsStored": 12}
    dicom.write_slice(plain, _stored(), header)
    seeds = [plain]
    for name, syntax in (
        ("deflated", uid.DeflatedExplicitVRLittleEndian),
        ("implicit", uid.ImplicitVRLittleEndian),
    ):
        dataset = pydicom.dcmread(plain)
        dataset.file_meta.TransferSyntaxUID = syntax
        path = folder / f"{name}.dcm"
        pydicom.dcmwrite(
            path,
            dataset,
            implicit_vr=syntax.is_implicit_VR,
            little_endian=True,
            enforce_file_format=True,
        )
        seeds.append(path)
    bare = folder / "bare.dcm"
    content = seeds[-1].read_bytes()
    bare.write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])
    return [*seeds, bare]


def _compressed_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    plain = _dicom_seeds(folder)[0]
    seeds = []
    for name, syntax in (
        ("rle", uid.RLELossless),
        ("j2k", uid.JPEG2000Lossless),
        ("lossy", uid.JPEG2000),
    ):
        dataset = pydicom.dcmread(plain)
        options = {"j2k_cr": [5]} if name == "lossy" else {}
        dataset.compress(syntax, generate_instance_uid=False, **options)
        path = folder / f"{name}.dcm"
        dataset.save_as(path)
        seeds.append(path)
    return seeds


def _nifti_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    data = np.arange(8 * 8 * 4, dtype=np.int16).reshape(8, 8, 4)
    affine = np.diag([-0.5, -0.75, 5.0, 1.0])
    seeds = []
    for name, kind in (
        ("one.nii", nibabel.Nifti1Image),
        ("one.nii.gz", nibabel.Nifti1Image),
        ("two.nii", nibabel.Nifti2Image),
        ("two.nii.gz", nibabel.Nifti2Image),
    ):
        kind(data, affine).to_filename(folder / name)
        seeds.append(folder / name)
    return seeds


def _jpg_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    hu = np.tile(np.linspace(-50, 150, 128, dtype=np.float32), (128, 1))
    path = folder / "1.jpg"
    path.write_bytes(jpg.encode_slice(hu, jpg.BRAIN_WINDOW, "test"))
    return [path]


def _diagnosis_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / "hemorrhage_diagnosis.csv"
    rows = [
        [49, number, 0, 0, 0, 0, number % 2, 1 - number % 2, 0] for number in range(9)
    ]
    ct_ich_table.write(folder, ct_ich_table.JPG, rows)
    semicolons = folder / "semicolons.csv"
    text = path.read_bytes().decode("utf-8-sig").replace(",", ";")
    semicolons.write_text(text)
    return [path, semicolons]


def _label_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / "stage_2_train.csv"
    names = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid")
    rows = [f"ID_{k:012x}_{name},0" for k in range(9) for name in (*names, "any")]
    path.write_text("\n".join(["ID,Label", *rows, ""]))
    return [path]


def _metadata_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / "train_metadata.csv"
    rows = [f"ID_{k:012x},ID_s,{5 * k}.0" for k in range(9)]
    header = "ImageId,SeriesInstanceUID,ImagePositionSpan"
    path.write_text("\n".join([header, *rows, ""]))
    return [path]


TARGETS = {
    "dicom": harness.Target(_dicom_seeds, dicom.read),
    "dicom-compressed": harness.Target(_compressed_seeds, dicom.read),
    "dicom-header": harness.Target(_dicom_seeds, dicom.read_header),
    "nifti": harness.Target(_nifti_seeds, nifti.read),
    "jpg": harness.Target(_jpg_seeds, jpg.read_slice),
    "csv-diagnosis": harness.Target(_diagnosis_seeds, ct_ich_table.read),
    "csv-labels": harness.Target(_label_seeds, rsna_labels.read),
    "csv-metadata": harness.Target(_metadata_seeds, rsna_metadata.read),
    **own_files.TARGETS,
    **training_files.TARGETS,
    **result_files.TARGETS,
}
