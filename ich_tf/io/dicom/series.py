"""The objects of a folder, sorted into series that can be chosen from.

Reference:
    DICOM PS3.3, C.7.3.1 (general series), C.7.5.1 (general equipment), C.8.2.1 (CT
    image).
"""

import collections
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable

import numpy as np
import pydicom

from ich_tf.io import source
from ich_tf.io.dicom import files, groups, headers, placing
from ich_tf.io.dicom.groups import Item
from ich_tf.io.source import InputError

_DIRECTORY = "1.2.840.10008.1.3.10"
_MAX_TEXT = 64
_TAGS = [
    *placing.PLACING_TAGS,
    *(
        pydicom.tag.Tag(keyword)
        for keyword in (
            "StudyInstanceUID SeriesDescription ConvolutionKernel ContrastBolusAgent "
            "InstanceNumber AcquisitionNumber AcquisitionTime "
            "TemporalPositionIdentifier KVP PatientName PatientBirthDate "
            "SeriesNumber FrameOfReferenceUID AcquisitionDate "
            "AccessionNumber ReferringPhysicianName OtherPatientIDs OtherPatientNames"
        ).split()
    ),
]
_IDENTIFYING = (
    "PatientName PatientID PatientBirthDate AccessionNumber ReferringPhysicianName "
    "OtherPatientIDs OtherPatientNames"
).split()
_DATE = re.compile(r"\d{8}|\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")


@dataclasses.dataclass(frozen=True)
class Series:
    """Images of one series, or of one group within it, that belong together.

    Attributes:
        uid: Series Instance UID; with `#1`, `#2`, ... where one UID holds several
            stacks of axial CT.
        kind: "ct" (axial slices), "reformat" (coronal or sagittal CT), "localizer",
            "secondary capture", "ct without geometry", "faulty geometry", "no image",
            "not CT" or "unreadable".
        description: Series Description; empty where it may identify the patient.
        files: In the order of their names.
        slices: Number of slices (frames count one each).
        kernel: Convolution Kernel; empty if unknown.
        thickness_mm: The slice thicknesses that occur, in mm.
        contrast: Whether a contrast agent was given.
        matrix: Rows and columns; None for what is no CT image.
        orientation: "axial", "coronal" or "sagittal"; empty for what is no CT image.
        reason: Why the images cannot be used, for the kinds where that needs saying.
        items: The headers, for `read_series`.
        uids: Every Series Instance UID of the images; more than one where each image
            has its own.
    """

    uid: str
    kind: str
    description: str
    files: tuple[pathlib.Path, ...]
    slices: int
    kernel: str = ""
    thickness_mm: tuple[float, ...] = ()
    contrast: bool = False
    matrix: tuple[int, int] | None = None
    orientation: str = ""
    reason: str = ""
    items: tuple[Item, ...] = dataclasses.field(default=(), repr=False, compare=False)
    uids: tuple[str, ...] = ()


def _description(dataset) -> str:
    """Series Description, or nothing where a part of it may identify the patient."""
    description = headers.text(dataset, "SeriesDescription")
    words = {
        word.lower()
        for keyword in _IDENTIFYING
        for word in re.findall(r"\w+", headers.text(dataset, keyword))
        if len(word) > 2
    }
    parts = {word.lower() for word in re.findall(r"\w+", description)}
    if _DATE.search(description) or words & parts:
        return ""
    shown = "".join(letter for letter in description if letter.isprintable())
    return re.sub(r"[<>&\"'`]", "", shown)[:_MAX_TEXT]


def _uid(value: str) -> str:
    """A UID that can be shown and typed, whatever a damaged header holds."""
    return re.sub(r"[^\w.-]", "", value)[:_MAX_TEXT]


def read_item(path: pathlib.Path) -> Item:
    """What the header of a file says; an unreadable one is an item with a reason."""
    series_uid = ""
    try:
        dataset, _ = files.read_dataset(path, pixels=False, tags=_TAGS)
        with files.reading(path):
            series_uid = _uid(headers.text(dataset, "SeriesInstanceUID"))
            return _item(path, dataset, series_uid)
    except InputError as error:
        return Item(path, "unreadable", series_uid, reason=str(error))


def _item(path: pathlib.Path, dataset, series_uid: str) -> Item:
    kind, plane, reason = headers.kind_of(path, dataset)
    if headers.sop_class(dataset) == _DIRECTORY:
        reason = (
            f"{path}: no image: {path.name} is a DICOMDIR, a table of contents. Give "
            "its folder."
        )
    item = Item(
        path,
        kind,
        series_uid,
        reason=reason,
        description=_description(dataset),
        origin=headers.marker(dataset),
    )
    if plane is None:
        return item
    find = headers.finder(dataset, 0)
    frames = headers.size_of(path, dataset)[0]
    order = [_lenient(path, find, name) for name in groups.ORDER]
    return dataclasses.replace(
        item,
        frames=frames,
        plane=dataclasses.replace(plane, number=tuple(order)),
        study_uid=headers.text(dataset, "StudyInstanceUID"),
        image_uid=headers.text(dataset, "SOPInstanceUID"),
        patient_id=headers.text(dataset, "PatientID"),
        kernel=_plain_text(find, "ConvolutionKernel"),
        contrast=bool(_plain_text(find, "ContrastBolusAgent")),
        image_type=headers.image_type(dataset),
        tube_kv=_lenient(path, find, "KVP"),
        time_point=_lenient(path, find, "TemporalPositionIdentifier"),
        series_number=_lenient(path, find, "SeriesNumber"),
        frame_uid=headers.text(dataset, "FrameOfReferenceUID"),
        date=headers.text(dataset, "AcquisitionDate"),
    )


def _plain_text(find, keyword: str) -> str:
    """A text that helps to sort; empty where it is absent or damaged."""
    try:
        value = find(keyword)
    # A damaged element raises whatever its conversion raises.
    except Exception:
        return ""
    parts = [value] if isinstance(value, str) else list(value or ())
    joined = "/".join(str(part).strip() for part in parts)
    return "".join(letter for letter in joined if letter.isprintable())[:_MAX_TEXT]


def _lenient(path: pathlib.Path, find, keyword: str) -> float:
    """A number that helps to sort; 0 where it is absent or damaged."""
    try:
        return headers.number(path, find, keyword) or 0.0
    except InputError:
        return 0.0


def sort_series(paths: Iterable[pathlib.Path]) -> list[Series]:
    """Read the headers of files and sort them into series."""
    sorted_in = collections.defaultdict(list)
    for path in paths:
        item = read_item(path)
        sorted_in[item.series_uid, item.kind].append(item)
    stacks = {key: items for key, items in sorted_in.items() if key[1] == "ct"}
    listed = []
    for (uid, kind), items in sorted_in.items():
        if kind != "ct":
            listed.append(_series(uid, kind, items))
    for uid, members in groups.join_single_images(
        {uid: items for (uid, _), items in stacks.items()}
    ).items():
        parts = groups.split(members)
        for number, part in enumerate(parts, 1):
            name = uid if len(parts) == 1 else f"{uid}#{number}"
            listed.append(_series(name, "ct", part))
    return sorted(listed, key=lambda series: (_uid_order(series.uid), series.kind))


def _uid_order(name: str) -> tuple[str, int]:
    uid, _, number = name.partition("#")
    return uid, int(number or 0)


def _series(uid: str, kind: str, items: list[Item]) -> Series:
    items = sorted(items, key=lambda item: item.path)
    planes = [item.plane for item in items if item.plane is not None]
    thickness = {round(p.thickness, 3) for p in planes if p.thickness}
    return Series(
        uid=uid,
        kind=kind,
        description=next((i.description for i in items if i.description), ""),
        files=tuple(item.path for item in items),
        slices=sum(item.frames for item in items),
        kernel=next((item.kernel for item in items if item.kernel), ""),
        thickness_mm=tuple(sorted(thickness)),
        contrast=any(item.contrast for item in items),
        matrix=planes[0].size if planes else None,
        orientation=_orientation(planes[0]) if planes and planes[0].placed else "",
        reason=next((item.reason for item in items if item.reason), ""),
        items=tuple(items),
        uids=tuple(sorted({item.series_uid for item in items})),
    )


def _orientation(plane) -> str:
    normal = np.abs(plane.normal)
    return ("sagittal", "coronal", "axial")[int(np.argmax(normal))]


def find_series(folder: str | os.PathLike) -> list[Series]:
    """List what a folder and its subfolders hold; only headers are read.

    Args:
        folder: Any folder, e.g. a hospital's export.

    Returns:
        One entry for each series, kind and stack, sorted by UID; empty without DICOM.
        Damaged files, and files named like images that hold none, have the kind
        "unreadable"; other files that are no DICOM are passed over.

    Raises:
        InputError: if the folder is missing or cannot be listed.
    """
    walked = source.walk(folder)
    paths, unreadable = [], dict(walked.problems)
    for path in walked.files:
        try:
            if files.looks_like_dicom(path):
                paths.append(path)
            elif _named_like_image(path):
                name = source.name_format(path) or "not a DICOM file"
                unreadable[path] = f"is {name}"
        except InputError as error:
            unreadable[path] = str(error).removeprefix(f"{path}: ")
    series = sort_series(paths)
    lost = [
        Item(path, "unreadable", "", reason=f"{path}: {reason}")
        for path, reason in sorted(unreadable.items())
        if not path.name.startswith(".")
    ]
    return [*series, *([_series("", "unreadable", lost)] if lost else [])]


def _named_like_image(path: pathlib.Path) -> bool:
    endings = {part.lower() for part in path.suffixes}
    return bool(endings & {".dcm", ".dicom", ".ima", ".dic"})
