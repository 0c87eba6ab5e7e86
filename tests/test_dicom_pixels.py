"""Values of pixels: spare bits, padding, compressed data and their codecs."""

import numpy as np
import pydicom
import pytest
from dicom_files import edit, kinds, stored, write
from pydicom import uid

from ich_tf.io import dicom


def _compress(path, syntax):
    dataset = pydicom.dcmread(path)
    dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
def test_compressed_slices_are_equal(tmp_path, syntax):
    values = stored(size=(32, 32))
    path = _compress(write(tmp_path / "a.dcm", values), syntax)
    np.testing.assert_array_equal(dicom.read(path).hu[0], values)


@pytest.mark.parametrize(
    ("value", "signed", "hu"),
    [(0x1028, False, 40 - 1024), (0xF028, False, 40 - 1024), (0x1FFF, True, -1 - 1024)],
)
def test_bits_beyond_those_stored_do_not_count_in_compressed_data(
    tmp_path, value, signed, hu
):
    pixels = np.full((16, 16), value, np.uint16)
    pixels = pixels.view(np.int16) if signed else pixels
    path = write(tmp_path / "a.dcm", pixels, RescaleIntercept=-1024)
    _compress(path, uid.RLELossless)
    edit(path, BitsStored=12, HighBit=11)
    assert np.unique(dicom.read(path).hu).tolist() == [max(hu, -1024)]


def test_values_in_the_upper_bits(tmp_path):
    # 40 in the upper 12 of 16 bits.
    pixels = np.full((4, 4), 40 << 4, np.uint16)
    path = edit(write(tmp_path / "a.dcm", pixels), BitsStored=12, HighBit=15)
    edit(path, RescaleIntercept=-200)
    assert np.unique(dicom.read(path).hu).tolist() == [-160]


@pytest.mark.parametrize("high", [3, 14, 40])
def test_a_high_bit_that_fits_nothing_is_refused_by_name(tmp_path, high):
    pixels = np.full((4, 4), 0x7FFF, np.uint16)
    path = edit(write(tmp_path / "a.dcm", pixels), BitsStored=12, HighBit=high)
    with pytest.raises(ValueError, match=r"a\.dcm: HighBit"):
        dicom.read(path)


def test_padding_at_the_top_is_air_outside_and_metal_inside(tmp_path):
    pixels = np.full((8, 8), 1064, np.uint16)
    pixels[:, :2] = 4095  # Outside the field of view.
    pixels[4, 5] = 4095  # A clip.
    header = {"PixelPaddingValue": 4095, "RescaleIntercept": -1024, "BitsStored": 12}
    hu = dicom.read(write(tmp_path / "a.dcm", pixels, **header)).hu[0]
    assert np.unique(hu[:, :2]).tolist() == [-1024]
    assert (hu[4, 5], hu[0, 7]) == (3071, 40)


def test_a_damaged_codestream_is_refused_and_the_next_file_is_read(tmp_path):
    values = stored(size=(32, 32))
    good = _compress(write(tmp_path / "good.dcm", values), uid.JPEG2000Lossless)
    bad = tmp_path / "bad.dcm"
    dataset = pydicom.dcmread(good)
    frame = bytearray(next(pydicom.encaps.generate_frames(dataset.PixelData)))
    frame[40:] = bytes(len(frame) - 40)
    dataset.PixelData = pydicom.encaps.encapsulate([bytes(frame)])
    dataset.save_as(bad)
    with pytest.raises(ValueError, match=r"bad\.dcm: .*cannot be decoded"):
        dicom.read(bad)
    np.testing.assert_array_equal(dicom.read(good).hu[0], values)


def test_time_points_in_one_file_are_refused(tmp_path):
    path = write(tmp_path / "a.dcm", SOPClassUID=uid.EnhancedCTImageStorage)
    dataset = pydicom.dcmread(path)
    dataset.NumberOfFrames = 4
    dataset.PixelData = dataset.PixelData * 4
    dataset.save_as(path)
    with pytest.raises(ValueError, match=r"a\.dcm: its 4 frames lie at 1 positions"):
        dicom.read(path)


def test_an_empty_number_of_frames_is_one(tmp_path):
    path = write(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    dataset["NumberOfFrames"] = pydicom.DataElement("NumberOfFrames", "IS", "")
    dataset.save_as(path)
    volume = dicom.read(path)
    assert volume.hu.shape == (1, 6, 8)
    assert kinds(volume) == []


@pytest.mark.parametrize(
    ("syntax", "reason"),
    [
        ("1.2.840.113619.5.2", r"1\.2\.840\.113619\.5\.2, is private or unknown"),
        ("1.2.840.10008.1.2.4.9999", "is private or unknown"),
        # The UID of an object, not of an encoding.
        ("1.2.840.10008.5.1.4.1.1.2", "is private or unknown"),
        ("Doe^Jane", "without a valid UID, is private"),
        ("", "no transfer syntax"),
    ],
)
def test_a_transfer_syntax_that_nobody_lists_is_named(tmp_path, syntax, reason):
    path = write(tmp_path / "a.dcm")
    listed = uid.ExplicitVRLittleEndian.encode() + b"\0"
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    content = path.read_bytes()
    place = content.index(listed)
    length = len(value).to_bytes(2, "little")
    path.write_bytes(
        content[: place - 2] + length + value + content[place + len(listed) :]
    )
    with pytest.raises(ValueError, match=rf"a\.dcm: .*{reason}"):
        dicom.read(path)
