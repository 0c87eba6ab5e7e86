"""Where the files of ct-ich are, in both published layouts.

Folders come as `wget -r` leaves them, as archives unpack them and as other systems
copy them: some levels down, with capitals, with files of the system between them.
"""

import os
import pathlib
import re
from collections.abc import Iterable, Iterator

from ich_tf import files
from ich_tf.data import ct_ich_table
from ich_tf.io import jpg, source
from ich_tf.io.source import InputError

MAX_DEPTH = 6
"""How many folders below the one that is named a data set may lie."""

_SCANS, _PATIENTS = "ct_scans", "Patients_CT"
_SLICE = re.compile(r"(\d{1,9})\.jpe?g", re.IGNORECASE)
_MASK = re.compile(rf"(\d{{1,9}}){re.escape(jpg.MASK_SUFFIX)}", re.IGNORECASE)
_NIFTI = re.compile(r"(.+?)\.nii(\.gz)?", re.IGNORECASE)
_MAX_FOLDERS = 20_000


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    """What is in a folder, in the order of the names; nothing if it cannot be read."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [folder / name for name in names if not name.startswith(".")]


def _holds(folder: pathlib.Path) -> str | None:
    """The layout a folder holds, None if neither."""
    if folder.name.endswith(files.PARTIAL) or folder.name == "__MACOSX":
        return None
    if nifti_files(folder / _SCANS):
        return ct_ich_table.NIFTI
    if any(map(is_patient_folder, _entries(folder / _PATIENTS))):
        return ct_ich_table.JPG
    return None


def nifti_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Patient to file, in the order of their names; other files are passed over.

    Raises:
        InputError: if a patient has two files.
    """
    matches = {}
    for path in _entries(folder):
        match = _NIFTI.fullmatch(path.name)
        if not match:
            continue
        patient = patient_name(match[1])
        if patient in matches:
            raise InputError(f"{matches[patient]} and {path} are the same patient.")
        matches[patient] = path
    return matches


def patient_name(name: str) -> str:
    """The name of a patient as the tables have it: "49" is "049"."""
    return name.zfill(3) if name.isascii() and name.isdigit() else name


def patient_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Patient to folder in the JPG layout, in the order of their names.

    Raises:
        InputError: if a patient has two folders.
    """
    matches = {}
    for folder in _entries(root / _PATIENTS):
        if not (folder / "brain").is_dir():
            continue
        patient = patient_name(folder.name)
        if patient in matches:
            raise InputError(f"{matches[patient]} and {folder} are the same patient.")
        matches[patient] = folder
    return dict(sorted(matches.items()))


def is_patient_folder(folder: pathlib.Path) -> bool:
    """Whether a folder holds `brain/<number>.jpg`."""
    return any(_SLICE.fullmatch(path.name) for path in _entries(folder / "brain"))


def brain_files(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Slice number to file; masks and other files are passed over.

    Raises:
        InputError: if the folder holds none, or a number has two files.
    """
    matches = {}
    for path in _entries(folder / "brain"):
        match = _SLICE.fullmatch(path.name)
        if match:
            number = int(match[1])
            if number in matches:
                raise InputError(f"{matches[number]} and {path} are the same slice.")
            matches[number] = path
    if not matches:
        raise InputError(f"{folder}: no slices `brain/<number>.jpg`.")
    return dict(sorted(matches.items()))


def mask_files(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Slice number to the file of its mask, for one patient in the JPG layout."""
    matches = {}
    for path in _entries(folder / "brain"):
        match = _MASK.fullmatch(path.name)
        if match:
            matches[int(match[1])] = path
    return matches


def spare_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Files in `brain` that are neither slices nor masks, e.g. copies of a slice."""
    return [
        path
        for path in _entries(folder / "brain")
        if not (_SLICE.fullmatch(path.name) or _MASK.fullmatch(path.name))
        and not source.is_system_file(path.name)
    ]


def find_layout(root: pathlib.Path) -> tuple[pathlib.Path, str]:
    """The data set in a folder, or up to `MAX_DEPTH` folders below it.

    Raises:
        InputError: if the folder holds none, or several at the same depth.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder.")
    level, seen = [root], set()
    for _ in range(MAX_DEPTH + 1):
        matches = [(folder, layout) for folder in level if (layout := _holds(folder))]
        if len(matches) > 1:
            names = ", ".join(str(folder) for folder, _ in matches)
            raise InputError(
                f"{root} holds several data sets, name one of them: {names}"
            )
        if matches:
            return matches[0]
        level = list(_below(level, seen))
    raise InputError(
        f"{root} holds neither layout of ct-ich: `{_SCANS}/*.nii` (1.3.1) or "
        f"`{_PATIENTS}/<patient>/brain/<slice>.jpg` (1.0 to 1.2).{_instead(root)}"
    )


def _below(level: Iterable[pathlib.Path], seen: set) -> Iterator[pathlib.Path]:
    """The folders within folders, each once, whatever links lead to it."""
    for folder in level:
        for path in _entries(folder):
            try:
                if not path.is_dir():
                    continue
                status = path.stat()
            except OSError:
                continue
            if (status.st_dev, status.st_ino) not in seen and len(seen) < _MAX_FOLDERS:
                seen.add((status.st_dev, status.st_ino))
                yield path


def _instead(root: pathlib.Path) -> str:
    """What a folder holds, for the message that it is no data set."""
    paths = _entries(root)
    archives = [p.name for p in paths if p.suffix.lower() in (".zip", ".7z", ".tar")]
    if archives:
        return f" It holds {archives[0]}: unpack it first."
    names = ", ".join(path.name for path in paths[:5])
    return f" It holds {len(paths)} file(s) and folder(s): {names}." if paths else ""


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as text, neighbours as a range: "1, 3-5"."""
    ends = []
    for number in sorted(numbers):
        if ends and number == ends[-1][1] + 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    return _shown(ends)


def gaps(numbers: Iterable[int]) -> str:
    """The numbers from 1 that lie between and below others, as ranges; or nothing."""
    ends, last = [], 0
    for number in sorted(numbers):
        if number > last + 1:
            ends.append([last + 1, number - 1])
        last = max(last, number)
    return _shown(ends)


def _shown(ends: list[list[int]], most: int = 20) -> str:
    parts = [f"{low}" if low == high else f"{low}-{high}" for low, high in ends[:most]]
    more = [f"and {len(ends) - most} more"] if len(ends) > most else []
    return ", ".join([*parts, *more])
