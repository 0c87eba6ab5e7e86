"""What a NIfTI file holds where there is nothing."""

import nibabel
import numpy as np
import pytest

from ich_tf.io import nifti

DATA = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


def _read(folder, data):
    affine = np.diag([-0.5, -0.75, 5.0, 1.0])
    nibabel.Nifti1Image(data, affine).to_filename(folder / "scan.nii")
    return nifti.read(folder / "scan.nii")


@pytest.mark.parametrize(
    ("background", "share"),
    [
        *((np.nan, "1 of 60"), (-32768.0, "1 of 60"), (-np.inf, "1 of")),
        *((-3024.0, "1 of 60"), (-2000.0, "1 of 60")),
    ],
)
def test_background_becomes_air_with_its_share(tmp_path, background, share):
    data = DATA.astype(np.float32)
    data[0, 0, 0] = background
    volume = _read(tmp_path, data)
    assert volume.hu[0, 0, 0] == -1024
    (note,) = volume.notes
    assert note.kind == "values" and share in note.text


def test_many_values_below_air_are_no_background(tmp_path):
    volume = _read(tmp_path, DATA.astype(np.float32) * -1000)
    assert volume.hu.min() == -59000
    assert volume.notes == ()


def test_the_backgrounds_of_scanner_and_program_become_air(tmp_path):
    data = DATA.astype(np.float32)
    data[0, :2, 0], data[0, 3, 0] = -3024, -32768
    volume = _read(tmp_path, data)
    assert (volume.hu == -1024).sum() == 3
    (note,) = volume.notes
    assert "3 of 60" in note.text
