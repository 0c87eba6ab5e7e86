"""Checks that return what is wrong instead of printing it."""

import dataclasses
import hashlib
from collections.abc import Iterator

import numpy as np

from ich_tf import labels
from ich_tf.data.head_ct import refuse_not_head_ct
from ich_tf.data.problems import Problem
from ich_tf.volume import Case

__all__ = ["Problem", "check_case", "check_dataset", "refuse_not_head_ct"]

SPACING_TOLERANCE = 1e-3
IN_PLANE_MM = (0.1, 4.0)
BETWEEN_SLICES_MM = (0.1, 20.0)


def check_dataset(dataset) -> Iterator[Problem]:
    """Load every case of a data set once and look for faults.

    Args:
        dataset: Has `case_ids()` and `load(case_id) -> Case`; what its method
            `problems()`, if there is one, finds is included.

    Yields:
        The findings, as soon as a case has been read.
    """
    yield from dataset.problems()
    case_ids = dataset.case_ids()
    if not case_ids:
        yield Problem("empty", dataset.name, "the data set has no cases")
    seen = {}
    for case_id in case_ids:
        try:
            case = dataset.load(case_id)
        except ValueError as error:
            yield Problem("unreadable", case_id, str(error))
            continue
        yield from check_case(case)
        digest = hashlib.sha256(np.ascontiguousarray(case.volume.hu)).digest()
        if digest in seen:
            message = f"has the same voxels as case {seen[digest]}"
            yield Problem("repeated", case_id, message)
        seen.setdefault(digest, case_id)


def check_case(case: Case) -> list[Problem]:
    """Look for faults in one case: values, geometry, slices, mask and labels."""
    problems = [
        dataclasses.replace(problem, file=case.case_id)
        for problem in refuse_not_head_ct(case.volume)
    ]
    problems += _check_geometry(case)
    problems += [
        Problem("slices", case.case_id, note.text)
        for note in case.volume.notes
        if note.kind in ("missing slices", "uneven spacing")
    ]
    if case.mask is not None and case.mask.max() > 1:
        message = f"values must be 0 and 1, the largest is {case.mask.max()}"
        problems.append(Problem("mask", case.case_id, message))
    return problems + _check_labels(case)


def _check_geometry(case: Case) -> list[Problem]:
    volume = case.volume
    if volume.affine is None:
        return []
    problems = []
    step, down, right = volume.affine[:3, :3].T
    normal = np.cross(right, down)
    along = step @ normal / max(np.linalg.norm(normal), 1e-12)
    from_affine = (along, np.linalg.norm(down), np.linalg.norm(right))
    known = np.isfinite(volume.spacing_mm)
    apart = np.subtract(from_affine, volume.spacing_mm)[known]
    if np.any(np.abs(apart) > SPACING_TOLERANCE * np.array(volume.spacing_mm)[known]):
        steps = tuple(round(float(value), 4) for value in from_affine)
        message = f"the affine has steps {steps} mm, the spacing is {volume.spacing_mm}"
        problems.append(Problem("geometry", case.case_id, message))
    limits = (BETWEEN_SLICES_MM, IN_PLANE_MM, IN_PLANE_MM)
    for name, value, (low, high) in zip("zyx", volume.spacing_mm, limits, strict=True):
        if value < low or value > high:
            message = f"a {name} spacing of {value:g} mm is not in {low:g} to {high:g}"
            problems.append(Problem("geometry", case.case_id, message))
    return problems


def _slice_list(where: np.ndarray) -> str:
    return ", ".join(str(index + 1) for index in np.flatnonzero(where))


def _check_labels(case: Case) -> list[Problem]:
    """Compare labels with the mask, and `any` with the subtypes."""
    if case.labels is None:
        return []
    problems = []
    any_label = case.labels[:, labels.index(labels.ANY)] > 0
    of_subtypes = case.labels[:, : len(labels.SUBTYPES)].any(axis=1)
    if case.labels.max() > 1:
        message = f"values must be 0 and 1, the largest is {case.labels.max()}"
        problems.append(Problem("labels", case.case_id, message))
    findings = [("`any` contradicts the subtypes in", any_label != of_subtypes)]
    if case.mask is not None:
        drawn = case.mask.any(axis=(1, 2))
        findings.append(("a mask but no hemorrhage label in", drawn & ~any_label))
        findings.append(("a hemorrhage label but no mask in", any_label & ~drawn))
    for what, where in findings:
        if where.any():
            message = f"{what} slice(s) {_slice_list(where)}, counted from the foot"
            problems.append(Problem("labels", case.case_id, message))
    return problems
