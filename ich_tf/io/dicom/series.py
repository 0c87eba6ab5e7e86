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
from ich_tf.io.dicom import files, groups, headers
from ich_tf.io.dicom.groups import Item
from ich_tf.io.source import InputError

MAX_LISTED = 20
ALL, LARGEST = "all", "largest"

_DIRECTORY = "1.2.840.10008.1.3.10"
_MAX_TEXT = 64
_TAGS = [
    *headers.PLACING_TAGS,
    *(
        pydicom.tag.Tag(keyword)
        for keyword in (
            "StudyInstanceUID SeriesDescription ConvolutionKernel ContrastBolusAgent "
            "InstanceNumber AcquisitionNumber AcquisitionTime "
            "TemporalPositionIdentifier KVP PatientName PatientBirthDate "
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
    told = headers.text(dataset, "SeriesDescription")
    words = {
        word.lower()
        for keyword in _IDENTIFYING
        for word in re.findall(r"\w+", headers.text(dataset, keyword))
        if len(word) > 2
    }
    if _DATE.search(told) or words & {w.lower() for w in re.findall(r"\w+", told)}:
        return ""
    shown = "".join(letter for letter in told if letter.isprintable())
    return re.sub(r"[<>&\"'`]", "", shown)[:_MAX_TEXT]


def read_item(path: pathlib.Path) -> Item:
    """What the header of a file says; an unreadable one is an item with a reason."""
    series_uid = ""
    try:
        dataset, _ = files.read_dataset(path, pixels=False, tags=_TAGS)
        with files.reading(path):
            series_uid = headers.text(dataset, "SeriesInstanceUID")
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
    )


def _plain_text(find, keyword: str) -> str:
    """A text that helps to sort; empty where there is none or it is damaged."""
    try:
        value = find(keyword)
    # A damaged element raises whatever its conversion raises.
    except Exception:
        return ""
    parts = [value] if isinstance(value, str) else list(value or ())
    joined = "/".join(str(part).strip() for part in parts)
    return "".join(letter for letter in joined if letter.isprintable())[:_MAX_TEXT]


def _lenient(path: pathlib.Path, find, keyword: str) -> float:
    """A number that helps to sort; 0 where there is none or it is damaged."""
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
    found = []
    for (uid, kind), items in sorted_in.items():
        if kind != "ct":
            found.append(_series(uid, kind, items))
    for uid, members in groups.join_single_images(
        {uid: items for (uid, _), items in stacks.items()}
    ).items():
        parts = groups.split(members)
        for number, part in enumerate(parts, 1):
            name = uid if len(parts) == 1 else f"{uid}#{number}"
            found.append(_series(name, "ct", part))
    return sorted(found, key=lambda series: (_uid_order(series.uid), series.kind))


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
    found = source.walk(folder)
    paths, unreadable = [], dict(found.problems)
    for path in found.files:
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


def name_files(paths: Iterable[pathlib.Path]) -> str:
    """The first file's name, and how many more there are."""
    names = [path.name for path in paths]
    more = f" and {len(names) - 1} more file(s)" if len(names) > 1 else ""
    return f"{names[0]}{more}"


def describe(series: Series) -> str:
    """One line about a series, without data of the patient.

    The description is left out where a part of it occurs in the patient's name,
    identifiers or dates.
    """
    if series.kind not in ("ct", "reformat"):
        why = series.reason.removeprefix(f"{series.files[0]}: ")
        if series.kind == "no image":
            why = ""
        return f"{series.kind}: {name_files(series.files)}" + (
            f": {why}" if why else ""
        )
    thickness = "/".join(f"{value:g}" for value in series.thickness_mm)
    facts = [
        f"{series.slices} image(s)",
        f'"{series.description}"' if series.description else "",
        f"kernel {series.kernel}" if series.kernel else "",
        f"{thickness} mm thick" if thickness else "",
        "with contrast agent" if series.contrast else "no contrast agent noted",
        "{}x{}".format(*series.matrix) if series.matrix else "",
        series.orientation,
        name_files(series.files),
    ]
    return f"{series.kind}: {', '.join(fact for fact in facts if fact)}"


def _choices(listed: list[Series]) -> str:
    return "\n".join(f"  {series.uid}: {describe(series)}" for series in listed)


def _listing(listed: list[Series]) -> str:
    lines = [describe(series) for series in listed[:MAX_LISTED]]
    more = len(listed) - MAX_LISTED
    return "\n".join(
        f"  {line}" for line in [*lines, *([f"and {more} more"] * (more > 0))]
    )


def usable(found: list[Series]) -> list[Series]:
    """The series that can be read as scans."""
    stacks = [series for series in found if series.kind == "ct"]
    others = [s for s in found if s.kind not in ("no image", "localizer", "not CT")]
    if not stacks and len(others) == 1 and others[0].kind == "ct without geometry":
        return others
    return stacks


def select(name: str, found: list[Series], wanted: str | None) -> list[Series]:
    """The series that a user names.

    Args:
        name: The input, for messages.
        found: From `find_series`.
        wanted: A UID, `UID#number` for one stack of several under one UID, "largest"
            (most images, of these the first in the list), "all", or None for the only
            series there is.

    Returns:
        One series; for "all" every series that can be read.

    Raises:
        InputError: if there is none, or several to choose from; the message lists
            every one that can be chosen.
    """
    choosable = usable(found)
    if not choosable:
        described = [s for s in found if s.reason] + [s for s in found if not s.reason]
        listing = _listing(described)
        raise InputError(
            f"{name}: no axial CT series{_wanted(wanted)}. Found:\n{listing}"
        )
    if wanted == ALL:
        return choosable
    if wanted == LARGEST:
        return [max(choosable, key=lambda series: series.slices)]
    matching = choosable
    if wanted is not None:
        matching = [s for s in choosable if wanted in (s.uid, *s.uids)]
        exact = [s for s in choosable if s.uid == wanted]
        matching = exact or matching
    if not matching:
        raise InputError(
            f"{name}: no axial CT series{_wanted(wanted)}. There are:\n"
            f"{_choices(choosable)}"
        )
    if len(matching) > 1:
        raise InputError(
            f"{name}: {len(matching)} CT series; choose one with `--series "
            f"UID` (`series_uid`), with its #number if there is one:\n"
            f"{_choices(matching)}"
        )
    return matching


def _wanted(wanted: str | None) -> str:
    return f" {wanted}" if wanted not in (None, ALL, LARGEST) else ""
