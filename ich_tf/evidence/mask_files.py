"""Which predicted mask belongs to which true one, by the names of their files."""

import dataclasses
import os
import pathlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from ich_tf.prediction import written

ENDINGS = (".nii", ".nii.gz")
NOISE = frozenset(
    "pred preds prediction predictions predicted mask masks seg segs segm segmentation "
    "segmentations label labels gt truth true ground groundtruth manual reference ref "
    "auto automatic out output result results final binary".split()
)
"""Words of a file name that say what a mask is, and not whose it is."""
LISTED = 5
"""So many names an error message lists at most."""
Key = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Fault:
    """Why a case is not evaluated.

    Attributes:
        kind: "missing", "extra", "unreadable", "shape", "spacing",
            "affine" or "labels".
        case: Name of the case.
        message: What is wrong, a sentence.
    """

    kind: str
    case: str
    message: str


@dataclasses.dataclass(frozen=True)
class Pair:
    """A true mask and the predicted one that belongs to it.

    Attributes:
        case: Name of the case: the true mask's path within its folder, without ending.
        prediction: The predicted mask's file.
        truth: The true mask's file.
    """

    case: str
    prediction: pathlib.Path
    truth: pathlib.Path


def match(
    prediction: str | os.PathLike, truth: str | os.PathLike
) -> tuple[list[Pair], list[Fault], list[str]]:
    """Match predicted masks with true ones.

    Two single files belong together whatever their names. Otherwise the rules are
    tried in this order, and a rule pairs only names that it makes unique on both sides:
    the same file name; the same words and numbers in the file name, without `NOISE`,
    capitals and leading zeros; the same in the path within the folder; the same number,
    where each name holds a single number.

    Args:
        prediction: A NIfTI file, or a folder of them with any folders within.
        truth: Likewise. If one of the two is a single file, only its pair is scored;
            the other masks of the folder are no fault.

    Returns:
        Pairs in the order of the true masks, a fault for each mask without partner,
        and notes.

    Raises:
        ValueError: if either holds no NIfTI file or nothing matches.
    """
    prediction, truth = pathlib.Path(prediction), pathlib.Path(truth)
    predictions, truths = _masks(prediction), _masks(truth)
    if prediction.is_file() and truth.is_file():
        return [Pair(_name(truth, truth.parent), prediction, truth)], [], []
    roots = _root(prediction), _root(truth)
    partners = _partners(predictions, truths, *roots)
    used = set(partners.values())
    alone = (
        [path for path in predictions if path not in used],
        [path for path in truths if path not in partners],
    )
    ambiguous = _ambiguous(*alone, *roots)
    if not partners:
        why = f"{predictions[0].name} and {truths[0].name}, for example"
        if ambiguous:
            why = "; ".join(list(dict.fromkeys(ambiguous.values()))[:LISTED])
        raise ValueError(
            f"No name in {prediction} can be paired with one in {truth}: {why}. Give "
            "both the same names."
        )
    pairs = [
        Pair(_name(path, _root(truth)), partners[path], path)
        for path in truths
        if path in partners
    ]
    if prediction.is_file() or truth.is_file():
        count = sum(map(len, alone))
        note = f"only the pair of the single file was scored; other masks: {count}"
        return pairs, [], [note] if count else []
    kinds = ("extra", "has no true mask"), ("missing", "has no predicted mask")
    faults = [
        Fault(kind, _name(path, root), ambiguous.get(path, message))
        for (kind, message), paths, root in zip(kinds, alone, roots, strict=True)
        for path in paths
    ]
    return pairs, faults, []


def _partners(
    predictions: Sequence[pathlib.Path],
    truths: Sequence[pathlib.Path],
    prediction_root: pathlib.Path,
    truth_root: pathlib.Path,
) -> dict[pathlib.Path, pathlib.Path]:
    """True mask to predicted mask."""
    partners: dict[pathlib.Path, pathlib.Path] = {}
    for rule in RULES:
        used = set(partners.values())
        ours = _unique(predictions, prediction_root, rule, used)
        theirs = _unique(truths, truth_root, rule, set(partners))
        partners |= {theirs[key]: ours[key] for key in theirs.keys() & ours.keys()}
    return partners


def _ambiguous(
    predictions: Sequence[pathlib.Path],
    truths: Sequence[pathlib.Path],
    prediction_root: pathlib.Path,
    truth_root: pathlib.Path,
) -> dict[pathlib.Path, str]:
    """Each mask without partner whose name fits others, to a text that lists them."""
    said: dict[pathlib.Path, str] = {}
    for rule in RULES:
        fits: dict[Key, tuple[list, list]] = defaultdict(lambda: ([], []))
        for side, (paths, root) in enumerate(
            ((predictions, prediction_root), (truths, truth_root))
        ):
            for path in paths:
                fits[rule(_name(path, root))][side].append(path)
        for key, (ours, theirs) in fits.items():
            if key and ours and theirs:
                text = (
                    f"ambiguous: predicted {_listed(ours, prediction_root)}; true "
                    f"{_listed(theirs, truth_root)}"
                )
                for path in (*ours, *theirs):
                    said.setdefault(path, text)
    return said


def _listed(paths: Sequence[pathlib.Path], root: pathlib.Path) -> str:
    names = [_name(path, root) for path in paths[:LISTED]]
    return ", ".join([*names, "..."] if len(paths) > LISTED else names)


def _unique(
    paths: Sequence[pathlib.Path],
    root: pathlib.Path,
    rule: Callable[[str], Key],
    used: set[pathlib.Path],
) -> dict[Key, pathlib.Path]:
    keys = {path: rule(_name(path, root)) for path in paths if path not in used}
    counts = Counter(keys.values())
    return {key: path for path, key in keys.items() if key and counts[key] == 1}


def _file_name(name: str) -> Key:
    return (name.split("/")[-1].lower(),)


def _words(name: str) -> Key:
    tokens = re.findall(r"[0-9]+|[^\W0-9_]+", name.lower())
    return tuple(token.lstrip("0") or "0" for token in tokens if token not in NOISE)


def _words_of_file(name: str) -> Key:
    return _words(name.split("/")[-1])


def _number(name: str) -> Key:
    numbers = [word for word in _words_of_file(name) if word[0] in "0123456789"]
    return tuple(numbers) if len(numbers) == 1 else ()


RULES = (_file_name, _words_of_file, _words, _number)


def _root(path: pathlib.Path) -> pathlib.Path:
    return path.parent if path.is_file() else path


def _name(path: pathlib.Path, root: pathlib.Path) -> str:
    name = path.relative_to(root).as_posix()
    ending = next(end for end in reversed(ENDINGS) if name.lower().endswith(end))
    return name[: -len(ending)]


def _masks(path: pathlib.Path) -> list[pathlib.Path]:
    """The mask files of a folder, or the file itself."""
    if path.is_file():
        if not _is_nifti(path.name):
            raise ValueError(f"{path} is not a NIfTI file (.nii or .nii.gz).")
        return [path]
    if not path.is_dir():
        raise ValueError(f"There is no {path}.")
    masks: list[pathlib.Path] = []
    others: Counter[str] = Counter()
    for folder, names, files in os.walk(path):
        names[:] = sorted(name for name in names if not name.startswith("."))
        files = [name for name in files if not name.startswith(".")]
        others.update(pathlib.Path(name).suffix for name in files)
        chosen = [name for name in files if _is_nifti(name)]
        if written.MASK in chosen:
            # What `ich-tf predict` writes next to the mask is no second mask.
            beside = {*written.NIFTI} - {written.MASK}
            chosen = [name for name in chosen if name not in beside]
        masks += [pathlib.Path(folder, name) for name in chosen]
    masks = [path for path in sorted(masks) if path.is_file()]
    if not masks:
        held = ", ".join(f"{n} {end or 'without ending'}" for end, n in others.items())
        raise ValueError(
            f"{path} holds no NIfTI file (.nii or .nii.gz), but {held or 'nothing'}."
        )
    return masks


def _is_nifti(name: str) -> bool:
    return name.lower().endswith(ENDINGS)
