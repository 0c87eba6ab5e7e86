"""CT images of one series sorted into stacks; images of many series joined to one.

One Series Instance UID may hold a thick stack for the brain and a thin one for bone,
two contrast phases, or two time points. Interleaved they would form a volume that no
scanner made. A scan whose kernel or thickness changes along the body, without overlap,
stays one stack. The other way round, some anonymisers give each slice a series of its
own.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from ich_tf.io.stack import SAME_POSITION_MM, Plane

ORDER = ("AcquisitionNumber", "AcquisitionTime", "InstanceNumber")
"""What orders two images of one position; see `Plane.number`."""

_FEW = 2
"""So many images within another stack, at its positions, are repeated, no stack."""

_LARGEST_STEP_MM = 20.0


@dataclasses.dataclass(frozen=True, eq=False)
class Item:
    """What the header of one file says.

    Attributes:
        path: The file.
        kind: "ct", "localizer", "no image" and the other kinds of `series.Series`.
        series_uid: Series Instance UID; empty if unknown.
        reason: Why it cannot be used, naming the file; empty if nothing is wrong.
        description: Series Description; empty where it may identify the patient.
        origin: What the file says about its making, such as the phantom's marker.
        frames: Number of frames; 0 for what is no CT image.
        plane: The first frame's place; None for what is no CT image.
        study_uid: Study Instance UID.
        image_uid: SOP Instance UID.
        patient_id: Patient ID; compared, never shown.
        kernel: Convolution Kernel.
        contrast: Whether a contrast agent was given.
        image_type: Values of Image Type in capitals.
        tube_kv: KVP, 0 if unknown.
        time_point: Temporal Position Identifier, 0 if unknown.
        series_number: Series Number, 0 if unknown.
        frame_uid: Frame of Reference UID, in which positions are comparable.
        date: Acquisition Date; empty if unknown.
    """

    path: pathlib.Path
    kind: str
    series_uid: str
    reason: str = ""
    description: str = ""
    origin: str = ""
    frames: int = 0
    plane: Plane | None = None
    study_uid: str = ""
    image_uid: str = ""
    patient_id: str = ""
    kernel: str = ""
    contrast: bool = False
    image_type: tuple[str, ...] = ()
    tube_kv: float = 0.0
    time_point: float = 0.0
    series_number: float = 0.0
    frame_uid: str = ""
    date: str = ""


def _grid(item: Item) -> tuple:
    """What images of one stack share exactly: matrix, pixel spacing, orientation."""
    plane = item.plane
    return (
        plane.size,
        tuple(np.round(plane.spacing, 2)),
        tuple(np.round(plane.orientation, 1) + 0.0),
    )


def _thickness(item: Item) -> float | None:
    return None if item.plane.thickness is None else round(item.plane.thickness, 2)


# What images of one scan share wherever they lie; an absent value differs from none.
_NEVER_MIXED: tuple[Callable[[Item], object], ...] = (
    _grid,
    lambda item: item.patient_id or None,
    lambda item: item.study_uid or None,
)
# Attributes that divide overlapping stacks, and whether an absent value is one, too.
_DIVIDING: tuple[tuple[Callable[[Item], object], bool], ...] = (
    (lambda item: item.frame_uid or None, False),
    (lambda item: item.date or None, False),
    (lambda item: item.series_number or None, False),
    (lambda item: item.kernel or None, False),
    (lambda item: item.contrast, True),
    (lambda item: item.image_type or None, False),
    (lambda item: item.tube_kv or None, False),
    (_thickness, False),
)
# Attributes that divide stacks which repeat each other's positions.
_REPEATING: tuple[Callable[[Item], object], ...] = (
    lambda item: item.time_point,
    lambda item: item.plane.number[0],
    lambda item: item.plane.number[1],
)


def positions(items: list[Item], normal: np.ndarray) -> np.ndarray:
    """(n,) mm along a normal."""
    return np.array([item.plane.position @ normal for item in items])


def _divide(items: list[Item], value: Callable, absent_counts: bool) -> list[list]:
    """Items by a value; those without it stay with the largest part."""
    parts = collections.defaultdict(list)
    for item in items:
        parts[value(item)].append(item)
    without = [] if absent_counts else parts.pop(None, [])
    if not parts:
        return [without]
    largest = max(parts.values(), key=len)
    largest += without
    return list(parts.values())


def _places(items: list[Item], normal: np.ndarray) -> np.ndarray:
    """Sorted positions in mm, each once."""
    along = np.sort(positions(items, normal))
    return along[np.diff(along, prepend=-np.inf) > SAME_POSITION_MM]


def _overlap(first: list[Item], second: list[Item], repeating: bool) -> bool:
    """Whether two parts are stacks of their own that cover the same place.

    Args:
        first: Images of one part.
        second: Images of the other.
        repeating: Whether only positions that both have count, or all positions of
            one that lie between the ends of the other.
    """
    normal = first[0].plane.normal
    small, large = sorted((_places(first, normal), _places(second, normal)), key=len)
    apart = np.abs(small[:, np.newaxis] - large).min(axis=1)
    same = int(np.sum(apart <= SAME_POSITION_MM))
    inside = (small > large[0] - SAME_POSITION_MM) & (
        small < large[-1] + SAME_POSITION_MM
    )
    between = int(np.sum(inside))
    if len(small) <= _FEW:
        return not repeating and between == len(small) > same
    return (same if repeating else between) > _FEW


def _any_overlap(parts: list[list[Item]], repeating: bool) -> bool:
    return any(
        _overlap(part, other, repeating)
        for number, part in enumerate(parts)
        for other in parts[:number]
    )


def split(items: list[Item]) -> list[list[Item]]:
    """Divide the axial CT images of one series into stacks.

    Args:
        items: Images with a place.

    Returns:
        The stacks, the one with most images first. Images whose patient, study, matrix,
        pixel spacing or orientation differ are never one stack. Frame of reference,
        date, series number, kernel, contrast agent, image type, tube voltage,
        thickness and rows of image numbers divide what overlaps in position; time
        point, acquisition and order of the images divide what repeats positions.
    """
    stacks = [items]
    for value in _NEVER_MIXED:
        stacks = [part for stack in stacks for part in _divide(stack, value, False)]
    for value, absent_counts in _DIVIDING:
        stacks = _divide_all(stacks, value, absent_counts, repeating=False)
    for value in _REPEATING:
        stacks = _divide_all(stacks, value, True, repeating=True)
    for divide in (_by_turns, _by_numbers):
        stacks = [part for stack in stacks for part in divide(stack)]
    return sorted(stacks, key=lambda stack: (-len(stack), _name(stack)))


def _name(stack: list[Item]) -> tuple:
    return min((item.kernel, _thickness(item) or 0, str(item.path)) for item in stack)


def _divide_all(stacks, value, absent_counts: bool, repeating: bool) -> list[list]:
    divided = []
    for stack in stacks:
        parts = _divide(stack, value, absent_counts)
        divided += parts if _any_overlap(parts, repeating) else [stack]
    return divided


def _by_turns(stack: list[Item]) -> list[list[Item]]:
    """Divide a stack where most positions hold several images that are no copies.

    The first image of each position is one stack, the second another, as the numbers
    of acquisition and image order them.
    """
    along = positions(stack, stack[0].plane.normal)
    order = sorted(range(len(stack)), key=lambda i: (along[i], stack[i].plane.number))
    turns, last, known = collections.defaultdict(list), None, set()
    turn = 0
    for index in order:
        item = stack[index]
        if last is None or along[index] - last > SAME_POSITION_MM:
            last, turn, known = along[index], 0, set()
        if item.image_uid and item.image_uid in known:
            # A copy: the pixels decide later whether it is one.
            turns[max(turn - 1, 0)].append(item)
            continue
        known.add(item.image_uid)
        turns[turn].append(item)
        turn += 1
    parts = list(turns.values())
    if len(parts) > 1 and len(parts[1]) > max(_FEW, len(parts[0]) // 2):
        return parts
    return [stack]


def _by_numbers(stack: list[Item]) -> list[list[Item]]:
    """Divide a stack that only the numbers of its images show to be several scans.

    Along the body the numbers of one scan rise or fall by one. Where several such
    rows cover the same place, and each is more even than all images together, several
    scans have one UID.
    """
    normal, rows = stack[0].plane.normal, []
    for item in sorted(stack, key=lambda item: item.plane.position @ normal):
        number = item.plane.number[-1]
        fitting = [row for row in rows if abs(row[-1].plane.number[-1] - number) == 1]
        if fitting:
            min(fitting, key=lambda row: row[-1].plane.position @ normal).append(item)
        else:
            rows.append([item])
        if len(rows) * _FEW > len(stack):
            return [stack]
    if min(map(len, rows)) <= _FEW or not _any_overlap(rows, repeating=False):
        return [stack]
    most_mm = _unevenness_mm(stack) / 2
    return rows if all(_unevenness_mm(row) < most_mm for row in rows) else [stack]


def _unevenness_mm(items: list[Item]) -> float:
    """How much the steps between positions differ."""
    steps = np.diff(_places(items, items[0].plane.normal))
    return float(np.ptp(steps)) if steps.size else 0.0


def join_single_images(series: dict[str, list[Item]]) -> dict[str, list[Item]]:
    """Join series of one image each that form a stack together.

    Args:
        series: UID to the axial CT images of the series.

    Returns:
        The same, where series of one image each of the same study, patient, matrix,
        pixel spacing and orientation are one, named by the UID of the first, if they
        lie at three or more positions with steps of at most 20 mm.
    """
    alone = collections.defaultdict(list)
    for uid, items in series.items():
        if len(items) == 1 and items[0].frames == 1:
            item = items[0]
            alone[item.study_uid, item.patient_id, _grid(item)].append(uid)
    joined = dict(series)
    for uids in alone.values():
        items = [series[uid][0] for uid in uids]
        along = np.unique(np.round(positions(items, items[0].plane.normal), 2))
        if len(along) < 3 or np.diff(along).max() > _LARGEST_STEP_MM:
            continue
        for uid in uids:
            del joined[uid]
        joined[min(uids)] = items
    return joined
