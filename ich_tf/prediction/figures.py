"""Pictures of slices with masks or heatmaps, as a radiologist looks at them."""

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from ich_tf import files

COLOUR = np.array([255, 64, 48], np.float32)
CELL = 256
FRAME = (255, 255, 0)
COMPRESSION = 2
"""Of PNG files; a third of the time of Pillow's default."""
PANELS = ("overlay", "slice")
"""Headings of the second and the third panel of `explained`."""
TITLE = 20
"""Height of a line of text above a picture, in pixels."""


def gray(hu: np.ndarray, level: float = 40, width: float = 80) -> np.ndarray:
    """A slice or slices in a display window.

    Args:
        hu: Any shape, Hounsfield units.
        level: Centre of the window.
        width: Width of the window.

    Returns:
        The same shape, uint8.
    """
    scaled = (hu - (level - width / 2)) / width
    return (np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def overlay(hu: np.ndarray, mask: np.ndarray, **window: float) -> np.ndarray:
    """A slice with the outline of a mask.

    Args:
        hu: (h, w), Hounsfield units.
        mask: (h, w), non-zero is hemorrhage.
        **window: `level` and `width` of the display window.

    Returns:
        (h, w, 3), uint8.
    """
    from scipy import ndimage

    picture = np.repeat(gray(hu, **window)[..., np.newaxis], 3, axis=-1)
    mask = np.asarray(mask, bool)
    outline = ndimage.binary_dilation(mask) & ~mask
    picture[outline] = COLOUR
    tinted = 0.75 * picture[mask] + 0.25 * COLOUR
    picture[mask] = tinted.astype(np.uint8)
    return picture


def montage(
    path: str | os.PathLike,
    hu: np.ndarray,
    drawn: np.ndarray,
    columns: int = 6,
    draw_slice: Callable[[np.ndarray, np.ndarray], np.ndarray] = overlay,
    titles: Sequence[str] | None = None,
) -> None:
    """Write all slices with what is drawn on them as one picture.

    Args:
        path: The PNG file.
        hu: (z, h, w), Hounsfield units.
        drawn: (z, h, w), masks, or what else `draw_slice` takes.
        columns: Slices in a row.
        draw_slice: `overlay` or `heat`.
        titles: Titles of the slices; None numbers them from 1.
    """
    titles = titles or [str(number + 1) for number in range(len(hu))]
    pictures = [draw_slice(*of_slice) for of_slice in zip(hu, drawn, strict=True)]
    with files.atomic(path) as partial:
        sheet = _sheet(titles, pictures, columns, CELL)
        sheet.save(partial, compress_level=COMPRESSION)


def contact_sheet(
    pictures: Mapping[str, np.ndarray], columns: int = 6, side: int = CELL
) -> Image.Image:
    """Pictures in rows, as one.

    Args:
        pictures: What is written on a picture -> (h, w) or (h, w, 3), uint8; made
            smaller where it is larger than a cell, and larger, by a whole factor,
            where it fills less than half of one.
        columns: Pictures in a row.
        side: Side of a cell, in pixels.
    """
    return _sheet(list(pictures), list(pictures.values()), columns, side)


def _sheet(
    titles: Sequence[str], pictures: Sequence[np.ndarray], columns: int, side: int
) -> Image.Image:
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side))
    draw = ImageDraw.Draw(sheet)
    for number, (text, array) in enumerate(zip(titles, pictures, strict=True)):
        factor = max(1, side // max(array.shape[:2]))
        if factor > 1:
            array = array.repeat(factor, 0).repeat(factor, 1)
        picture = Image.fromarray(array)
        picture.thumbnail((side, side))
        corner = (number % columns * side, number // columns * side)
        sheet.paste(picture, corner)
        draw.text((corner[0] + 6, corner[1] + 4), text, fill="yellow")
    return sheet


def slice_overlays(
    folder: str | os.PathLike, hu: np.ndarray, mask: np.ndarray
) -> list[str]:
    """Write a picture of each slice that has a mask; return the file names."""
    names = []
    for number in np.flatnonzero(np.any(mask, axis=(1, 2))):
        name = f"slice-{number + 1:03d}.png"
        with files.atomic(os.path.join(folder, name)) as partial:
            picture = Image.fromarray(overlay(hu[number], mask[number]))
            picture.save(partial, compress_level=COMPRESSION)
        names.append(name)
    return names


def draw_explanation(
    path: str | os.PathLike,
    hu: np.ndarray,
    heatmap: np.ndarray,
    title: str,
    mask: np.ndarray | None = None,
    shows: str = "heatmap",
    **window: float,
) -> None:
    """Write `explained` as a PNG file."""
    with files.atomic(path) as partial:
        explained(hu, heatmap, title, mask, shows, **window).save(partial)


def explained(
    hu: np.ndarray,
    heatmap: np.ndarray,
    title: str,
    mask: np.ndarray | None = None,
    shows: str = "heatmap",
    **window: float,
) -> Image.Image:
    """Heatmap, overlay and slice side by side, each with its heading (Figures 3-7).

    Args:
        hu: (h, w), Hounsfield units.
        heatmap: (h, w), in [0, 1].
        title: A line above the pictures.
        mask: (h, w), outlined on overlay and slice where somebody drew a lesion.
        shows: What the heatmap shows, the heading of its panel.
        **window: `level` and `width` of the display window.
    """
    shown = np.repeat(gray(hu, **window)[..., np.newaxis], 3, axis=-1)
    colours, blended = heat_colours(heatmap), heat(hu, heatmap, **window)
    pictures = [Image.fromarray(array) for array in (colours, blended, shown)]
    scale = max(1, -(-CELL // min(hu.shape)))
    height, width = (scale * side for side in hu.shape)
    row = Image.new("RGB", (len(pictures) * width, height))
    for number, picture in enumerate(pictures):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        if mask is not None and number > 0:
            picture.paste(tuple(COLOUR.astype(int)), mask=_outline(mask, picture.size))
        row.paste(picture, (number * width, 0))
    headed = with_headings(row, (shows, *PANELS))
    return with_headings(headed, (title,))


def framed(
    picture: np.ndarray, part: tuple[slice, slice], scale: tuple[int, int] = (1, 1)
) -> np.ndarray:
    """A picture, enlarged, with a frame around a part of it.

    Args:
        picture: (h, w, 3), uint8.
        part: Rows and columns within the frame, before the picture is enlarged.
        scale: Factors that rows and columns are repeated by.
    """
    shown = picture.repeat(scale[0], axis=0).repeat(scale[1], axis=1)
    (top, bottom), (left, right) = (
        (of.start * factor, of.stop * factor - 1)
        for of, factor in zip(part, scale, strict=True)
    )
    shown[[top, bottom], left : right + 1] = FRAME
    shown[top : bottom + 1, [left, right]] = FRAME
    return shown


def with_headings(picture: Image.Image, headings: Sequence[str]) -> Image.Image:
    """A row of equally wide panels, each with its heading above it.

    Args:
        picture: The row, whose panels have no headings yet.
        headings: From left to right.
    """
    sheet = Image.new("RGB", (picture.width, TITLE + picture.height))
    sheet.paste(picture, (0, TITLE))
    draw = ImageDraw.Draw(sheet)
    for number, text in enumerate(headings):
        left = number * picture.width // len(headings)
        draw.text((left + 6, 4), text, fill="yellow")
    return sheet


def heat_scale(low: str, high: str, width: int = 2 * CELL) -> Image.Image:
    """The colours of `heat_colours` from 0 to 1, with a text on either side.

    Args:
        low: What 0 means.
        high: What 1 means.
        width: Width of the colours, in pixels.
    """
    ramp = np.linspace(0, 1, width, dtype=np.float32)[np.newaxis].repeat(TITLE, 0)
    colours = Image.fromarray(heat_colours(ramp))
    measured = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left, right = (int(measured.textlength(text)) + 12 for text in (low, high))
    scale = Image.new("RGB", (left + width + right, TITLE))
    scale.paste(colours, (left, 0))
    draw = ImageDraw.Draw(scale)
    draw.text((6, 4), low, fill="yellow")
    draw.text((left + width + 6, 4), high, fill="yellow")
    return scale


def heat(hu: np.ndarray, heatmap: np.ndarray, **window: float) -> np.ndarray:
    """A slice under a heatmap.

    Args:
        hu: (h, w), Hounsfield units.
        heatmap: (h, w), in [0, 1].
        **window: `level` and `width` of the display window.

    Returns:
        (h, w, 3), uint8.
    """
    shown = np.repeat(gray(hu, **window)[..., np.newaxis], 3, axis=-1)
    # The hotter, the less of the slice shines through; without heat it is unchanged.
    strength = 0.6 * heatmap[..., np.newaxis]
    blended = (1 - strength) * shown + strength * heat_colours(heatmap)
    return blended.astype(np.uint8)


def heat_colours(heatmap: np.ndarray) -> np.ndarray:
    """Colours from black over violet and orange to pale yellow.

    Args:
        heatmap: (h, w), in [0, 1].

    Returns:
        (h, w, 3), uint8, the colour map "inferno".
    """
    import cv2

    levels = np.rint(255 * heatmap).astype(np.uint8)
    return cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]


def _outline(mask: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """One pixel around a mask at another size, as a picture to paste through."""
    from scipy import ndimage

    # Enlarged smoothly, so that the outline has no stairs.
    drawn = Image.fromarray(np.asarray(mask, bool).astype(np.float32))
    inside = np.asarray(drawn.resize(size, Image.Resampling.BILINEAR)) > 0.5
    return Image.fromarray(ndimage.binary_dilation(inside) & ~inside)


def stack(pictures: Sequence[str | os.PathLike], path: str | os.PathLike) -> None:
    """Write pictures one below the other as one.

    Args:
        pictures: PNG files, one at least.
        path: The PNG file.
    """
    images = [Image.open(picture).convert("RGB") for picture in pictures]
    with files.atomic(path) as partial:
        stacked(images).save(partial)


def stacked(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other, one at least."""
    size = max(image.width for image in images), sum(image.height for image in images)
    whole, top = Image.new("RGB", size), 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    return whole
