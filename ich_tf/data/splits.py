"""Splits by patient: the folds of Hssayeni et al., and folds for other data.

The one split that is not by patient is the report's own for RSNA 2019, kept because
Table I is about it.

Reference:
    Hssayeni et al. 2020, doi:10.3390/data5010014 (ct-ich and its protocol).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

FOLDS = 5
FIRST_PATIENT = 49
ABSENT_IN_1_3_1 = tuple(range(59, 66))
BURDUJA_SCANS, BURDUJA_TRAIN_SCANS = 21_744, 21_000

# Number = patient - 49, in the order that the published code fixes.
_ORDER_82 = tuple(
    int(number)
    for number in (
        "31 39 21 33 34 5 54 2 67 15 68 10 53 29 44 76 59 73 77 71 61 69 50 32 6 37 57 "
        "75 80 41 27 16 40 46 79 13 45 55 62 7 66 58 78 4 47 52 28 20 24 51 36 63 30 "
        "48 26 60 49 25 42 18 43 14 72 0 35 81 70 22 64 1 3 17 74 23 38 12 8 65 19 56 "
        "9 11"
    ).split()
)


@dataclasses.dataclass(frozen=True)
class Fold:
    """Patient ids (for splits of scans: scan ids) of the parts of one fold."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def subject_order_82() -> tuple[str, ...]:
    """Patients of ct-ich 1.0 in the fixed order, "049" to "130"."""
    return tuple(f"{FIRST_PATIENT + number:03d}" for number in _ORDER_82)


def subject_order_75() -> tuple[str, ...]:
    """Patients of ct-ich 1.3.1 in the fixed order: the same without 059-065."""
    return tuple(
        patient for patient in subject_order_82() if int(patient) not in ABSENT_IN_1_3_1
    )


def _consecutive(patients: Sequence[str], folds: int) -> list[tuple[str, ...]]:
    """int(n / folds) patients each; the last part takes the rest."""
    size = len(patients) // folds
    starts = [fold * size for fold in range(folds)] + [len(patients)]
    return [tuple(patients[starts[i] : starts[i + 1]]) for i in range(folds)]


def _folds(patients: Sequence[str], folds: int) -> list[Fold]:
    made = []
    count = len(patients) // folds
    for test in _consecutive(patients, folds):
        rest = [patient for patient in patients if patient not in test]
        made.append(Fold(tuple(rest[count:]), tuple(rest[:count]), test))
    return made


def folds_hssayeni2020(patient_ids: Sequence[str]) -> list[Fold]:
    """The five folds of [2] for ct-ich 1.0 (82 patients) or 1.3.1 (75 patients).

    A test fold is int(n / 5) consecutive subjects of the fixed order; the last fold
    takes the rest. The first int(n / 5) of the remaining subjects are validation, the
    others training: 45 of 75 subjects, 50 of 82 (48 in the last fold).

    Args:
        patient_ids: All patients of the data set, "049", ..., in any order.

    Raises:
        ValueError: if they are not the patients of one of the two versions.

    Reference:
        Hssayeni et al. 2020, and its public code.
    """
    orders = (subject_order_82(), subject_order_75())
    order = next((o for o in orders if sorted(o) == sorted(patient_ids)), None)
    if order is None:
        missing = sorted(set(subject_order_75()) - set(patient_ids))
        raise ValueError(
            "The folds of Hssayeni et al. need the 82 patients of ct-ich 1.0 or the 75 "
            f"of 1.3.1. Received {len(patient_ids)} patients; missing for 1.3.1: "
            f"{', '.join(missing) or 'none'}. Use `patient_folds` for other data."
        )
    return _folds(order, FOLDS)


def _shuffled(patient_ids: Sequence[str], seed: int) -> list[str]:
    if len(set(patient_ids)) != len(patient_ids):
        raise ValueError("`patient_ids` must not repeat a patient.")
    ordered = sorted(patient_ids)
    np.random.default_rng(seed).shuffle(ordered)
    return ordered


def _by_hemorrhage(
    patient_ids: Sequence[str], has_hemorrhage: Sequence[bool] | None, seed: int
) -> tuple[list[str], list[str]]:
    """Shuffled patients with and without hemorrhage; in one list if unknown."""
    shuffled = _shuffled(patient_ids, seed)
    if has_hemorrhage is None:
        return [], shuffled
    bleeds = dict(zip(patient_ids, has_hemorrhage, strict=True))
    return (
        [patient for patient in shuffled if bleeds[patient]],
        [patient for patient in shuffled if not bleeds[patient]],
    )


def patient_folds(
    patient_ids: Sequence[str],
    folds: int,
    seed: int,
    *,
    has_hemorrhage: Sequence[bool] | None = None,
) -> list[Fold]:
    """Cross-validation folds for other data than ct-ich.

    Args:
        patient_ids: Each patient once; their order does not matter.
        folds: Number of folds, at least 3.
        seed: The same seed gives the same folds.
        has_hemorrhage: One for each patient; if given, every part of every fold has
            its share of bleeding patients.

    Returns:
        Folds whose test parts are disjoint and cover all patients; the test part of
        the next fold is the validation part of this one.

    Raises:
        ValueError: if there are fewer than 3 folds, or fewer patients than folds.
    """
    if folds < 3 or len(patient_ids) < folds:
        raise ValueError(
            "At least 3 folds are needed, and a patient for each fold. "
            f"Received: {folds} folds, {len(patient_ids)} patients."
        )
    positive, negative = _by_hemorrhage(patient_ids, has_hemorrhage, seed)
    # Dealt like cards, so each fold gets its share of either kind.
    dealt = positive + negative
    parts = [tuple(dealt[fold::folds]) for fold in range(folds)]
    made = []
    for number, test in enumerate(parts):
        validation = parts[(number + 1) % folds]
        held_out = {*test, *validation}
        train = tuple(patient for patient in dealt if patient not in held_out)
        made.append(Fold(train, validation, test))
    return made


def patient_split(
    patient_ids: Sequence[str],
    fractions: tuple[float, float, float],
    seed: int,
    stratify: Sequence[bool] | None = None,
) -> Fold:
    """One split into train, validation and test.

    Args:
        patient_ids: Each patient once; their order does not matter.
        fractions: Shares of train, validation and test; they sum to 1.
        seed: The same seed gives the same split.
        stratify: Whether each patient bleeds; if given, the fractions hold for
            bleeding and other patients alike, to within rounding.

    Raises:
        ValueError: if the fractions do not sum to 1 or a wanted part stays empty.
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(
            "`fractions` of train, validation and test must be three numbers that sum "
            f"to 1. Received: {fractions}"
        )
    parts = ([], [], [])
    for group in _by_hemorrhage(patient_ids, stratify, seed):
        first = round(fractions[0] * len(group))
        second = round((fractions[0] + fractions[1]) * len(group))
        for part, members in zip(
            parts, (group[:first], group[first:second], group[second:]), strict=True
        ):
            part += members
    for name, fraction, part in zip(
        ("train", "validation", "test"), fractions, parts, strict=True
    ):
        if fraction and not part:
            raise ValueError(
                f"{len(patient_ids)} patients are too few: no one is left for {name}."
            )
    return Fold(*(tuple(part) for part in parts))


def split_burduja2020(case_ids: Sequence[str]) -> Fold:
    """The split of the report and of [1]: by scan, in order of first appearance.

    The first 21,000 of the 21,744 scans of RSNA 2019 are for training, the other 744
    validation; other data are divided in the same proportion, at least one scan each.
    A patient with several scans may be in both parts; `leakage` counts how often.

    Args:
        case_ids: All scans, as `Rsna.case_ids` gives them.

    Returns:
        Scan ids; the test part is empty.

    Raises:
        ValueError: if there are fewer than two scans.

    Reference:
        Burduja et al. 2020, doi:10.3390/s20195611, and its public code.
    """
    if len(case_ids) < 2:
        raise ValueError(f"Two scans are needed. Received: {len(case_ids)}")
    share = BURDUJA_TRAIN_SCANS / BURDUJA_SCANS
    count = min(max(1, round(share * len(case_ids))), len(case_ids) - 1)
    return Fold(tuple(case_ids[:count]), tuple(case_ids[count:]), ())


def scan_split(
    case_ids: Sequence[str],
    patient_ids: Sequence[str],
    fractions: tuple[float, float, float],
    seed: int,
    stratify: Sequence[bool] | None = None,
) -> Fold:
    """One split of scans in which no patient is in two parts.

    Args:
        case_ids: Scans, each once.
        patient_ids: The patient of each scan.
        fractions: Shares of the patients in train, validation and test; they sum to 1.
        seed: The same seed gives the same split.
        stratify: Whether each scan shows hemorrhage; see `patient_split`. A patient
            bleeds if one of the scans does.

    Returns:
        Scan ids, in the order in which they were given.

    Raises:
        ValueError: as `patient_split`, or if the lengths differ.
    """
    bleeds = {}
    flags = [False] * len(case_ids) if stratify is None else stratify
    for patient, flag in zip(patient_ids, flags, strict=True):
        bleeds[patient] = bleeds.get(patient, False) or bool(flag)
    groups = None if stratify is None else list(bleeds.values())
    patients = patient_split(list(bleeds), fractions, seed, groups)
    parts = []
    for part in (patients.train, patients.validation, patients.test):
        members = set(part)
        scans = zip(case_ids, patient_ids, strict=True)
        parts.append(tuple(case for case, patient in scans if patient in members))
    return Fold(*parts)


@dataclasses.dataclass(frozen=True)
class Leakage:
    """How many patients of the held-out scans were trained on.

    Attributes:
        patients: Number of patients with scans in train and in a held-out part.
        held_out_scans: Number of their held-out scans, and ...
        train_scans: ... of their training scans.
        all_held_out_scans: Number of all held-out scans.
    """

    patients: int
    held_out_scans: int
    train_scans: int
    all_held_out_scans: int


def leakage(fold: Fold, case_ids: Sequence[str], patient_ids: Sequence[str]) -> Leakage:
    """Count the patients that a split of scans has on both sides.

    Args:
        fold: Scan ids; validation and test are held out.
        case_ids: All scans.
        patient_ids: The patient of each of them.
    """
    patient_of = dict(zip(case_ids, patient_ids, strict=True))
    train = [patient_of[case] for case in fold.train]
    held_out = [patient_of[case] for case in (*fold.validation, *fold.test)]
    both = set(train) & set(held_out)
    return Leakage(
        patients=len(both),
        held_out_scans=sum(patient in both for patient in held_out),
        train_scans=sum(patient in both for patient in train),
        all_held_out_scans=len(held_out),
    )
