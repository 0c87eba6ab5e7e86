"""Draw the pictures of docs/predict.md, all of the phantom.

`python docs/make_pictures.py` needs `ich_tf[app,dicom,dev]` and Chromium. It predicts a
phantom head as DICOM with the default weights, and photographs the scan's page and the
local app in headless Chromium. From the DICOM SEG, read back by highdicom, it draws the
segments over the images that the SEG refers to.
"""

import contextlib
import pathlib
import shutil
import sys
import tempfile

import highdicom
import numpy as np
import pydicom
from PIL import Image
from playwright import sync_api

from ich_tf.app import server
from ich_tf.io import dicom
from ich_tf.prediction import figures, many, saving
from ich_tf.prediction.predict import predict
from ich_tf.synthetic import phantom

FOLDER = pathlib.Path(__file__).parent / "pictures"
SLICES, SIDE_PIXELS, SEED, HEAD = 20, 256, 3, 2
SHOWN = 6
"""Slices of the picture of the SEG: those with the largest segments."""


def write_series(folder: pathlib.Path) -> None:
    """Write a phantom head with hemorrhage as a complete CT series."""
    head = phantom.generate(SEED, HEAD, slices=SLICES, size=SIDE_PIXELS, bleeding=True)
    volume = head.case.volume
    uids = {
        f"{name}InstanceUID": dicom.make_uid("pictures", name)
        for name in ("Study", "Series")
    }
    spacing_mm = volume.spacing_mm
    for z, hu in enumerate(volume.hu):
        header = {
            **uids,
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
            "SOPInstanceUID": dicom.make_uid("pictures", str(z)),
            "FrameOfReferenceUID": dicom.make_uid("pictures", "frame"),
            "Modality": "CT",
            "PatientID": "phantom",
            "PatientName": "Phantom",
            "ImageType": ["DERIVED", "PRIMARY", "AXIAL"],
            "SeriesDescription": "synthetic head",
            "InstanceNumber": z + 1,
            "ImagePositionPatient": (volume.affine[:3, [0, 3]] @ [z, 1.0]).tolist(),
            "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            "PixelSpacing": list(spacing_mm[1:]),
            "SliceThickness": spacing_mm[0],
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
        }
        header["ImagePositionPatient"] = list(
            map(float, header["ImagePositionPatient"])
        )
        stored = np.rint(hu + 1024).clip(0, 4095).astype(np.uint16)
        dicom.write_slice(folder / f"{z:03d}.dcm", stored, header)


def draw_seg(series: pathlib.Path, seg: pathlib.Path, path: pathlib.Path) -> None:
    """Draw the segments of a SEG over the images it refers to, by their UIDs."""
    images = {
        image.SOPInstanceUID: image
        for image in map(pydicom.dcmread, sorted(series.glob("*.dcm")))
    }
    segmentation = highdicom.seg.segread(seg)
    uids = [uid for _, _, uid in segmentation.get_source_image_uids()]
    masks = segmentation.get_pixels_by_source_instance(
        uids, combine_segments=True, ignore_spatial_locations=True
    )
    largest = np.argsort([-np.count_nonzero(mask) for mask in masks])[:SHOWN]
    chosen = sorted(largest, key=lambda n: images[uids[n]].ImagePositionPatient[2])
    hu = np.stack(
        [images[uids[n]].pixel_array.astype(np.float32) - 1024 for n in chosen]
    )
    titles = [f"image {images[uids[n]].InstanceNumber}" for n in chosen]
    figures.montage(path, hu, masks[chosen], columns=3, titles=titles)


@contextlib.contextmanager
def browser_page(width: int, height: int):
    """A page of headless Chromium."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser.new_page(viewport={"width": width, "height": height})
        browser.close()


def photograph(page, path: pathlib.Path) -> None:
    """Write what a page shows, with few colours, which keeps the file small."""
    page.screenshot(path=path)
    with Image.open(path) as picture:
        # Maximum coverage keeps the legend's colours, k-means the large pale areas.
        few = picture.convert("RGB").quantize(
            256, method=Image.Quantize.MAXCOVERAGE, kmeans=3
        )
        few.save(path, optimize=True)


def photograph_app(upload: pathlib.Path, path: pathlib.Path) -> None:
    """Predict a ZIP archive in the app and photograph the answer."""
    with (
        server.serving(0, many.PredictionSettings()) as address,
        browser_page(1200, 1300) as page,
    ):
        page.goto(address)
        page.set_input_files("#uploads input[type=file]", upload)
        page.wait_for_selector("#uploads table, #uploads .file-preview")
        page.click("#start")
        frame = page.frame_locator("#page iframe")
        frame.locator("#slice-number").wait_for(timeout=600_000)
        page.wait_for_timeout(2000)
        photograph(page, path)


def main() -> None:
    """Make all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        series, out = folder / "series", folder / "out"
        series.mkdir()
        write_series(series)
        predict(series).save(out, dicom=True)
        draw_seg(series, out / "segmentation.dcm", FOLDER / "segmentation.png")
        with browser_page(1200, 1100) as page:
            page.goto((out / saving.PAGE).as_uri())
            page.wait_for_selector("#slice-number")
            page.wait_for_timeout(1000)
            photograph(page, FOLDER / "scan-page.png")
        packed = shutil.make_archive(str(folder / "phantom"), "zip", series)
        photograph_app(pathlib.Path(packed), FOLDER / "app.png")


if __name__ == "__main__":
    sys.exit(main())
