"""The scans in what a user gives: a file, a folder, an export or a ZIP archive."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ich_tf.data import ct_ich
from ich_tf.io import archive, dicom, nifti, source
from ich_tf.prediction import inputs
from ich_tf.volume import Volume

ALL, LARGEST = "all", "largest"


@dataclasses.dataclass(frozen=True)
class Scan:
    """One scan that can be read.

    Attributes:
        name: Its path below what the user gave, with `#2` and so on for the further
            series of one folder.
        path: The file or folder.
        series_uid: Which series of a single DICOM file; None for others.
        series: The DICOM series of a folder; None for other files.
        shown: What messages say instead of a temporary folder, and that folder.
        listed: All series that were found with it, so that notes can name the others.
    """

    name: str
    path: pathlib.Path
    series_uid: str | None = None
    series: dicom.Series | None = None
    shown: tuple[str, str] | None = None
    listed: tuple[dicom.Series, ...] = dataclasses.field(default=(), repr=False)

    def read(
        self,
        spacing_mm: tuple[float, float, float] | None = None,
        *,
        force: bool = False,
    ) -> Volume:
        """Read it.

        Args:
            spacing_mm: (z, y, x), for a file without spacing.
            force: Whether a scan that does not look like head CT is read with a note.

        Raises:
            inputs.NotHeadCT: if the content cannot be a head CT.
            ValueError: if it cannot be read.
        """
        with _shown_as(*(self.shown or ("", ""))):
            return self._read(spacing_mm, force)

    def _read(
        self, spacing_mm: tuple[float, float, float] | None, force: bool
    ) -> Volume:
        if self.series is None:
            read = inputs.read(self.path, spacing_mm, self.series_uid, force=force)
            return read.volume
        volume = dicom.read_series(self.series, self.listed)
        volume = inputs.prepared(self.path, volume, spacing_mm)
        return inputs.check(self.path, volume, force=force)

    @property
    def digest(self) -> str:
        """Changes when a file of the scan does; from sizes and times, not content."""
        status = [path.stat() for path in self.files]
        text = repr([(stat.st_size, stat.st_mtime_ns) for stat in status])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def folder(self) -> pathlib.PurePath:
        """Where its results belong, below the folder of all results."""
        *parents, last = self.name.split("/")
        return pathlib.PurePath(*parents, inputs.stem(last))

    @property
    def files(self) -> tuple[pathlib.Path, ...]:
        """What it is read from."""
        if self.series is not None:
            return tuple(self.series.files)
        if self.path.is_dir():
            return source.walk(self.path).files
        with contextlib.suppress(source.InputError):
            return nifti.scan_files(self.path)
        return (self.path,)


@dataclasses.dataclass(frozen=True)
class Found:
    """What a user's input holds.

    Attributes:
        scans: What can be predicted.
        unread: Path below the input to reason, for files that may hold a further scan.
    """

    scans: list[Scan]
    unread: dict[str, str] = dataclasses.field(default_factory=dict)


@contextlib.contextmanager
def unpacked(given: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give the files of a ZIP archive in a folder that is deleted at the end.

    Anything else is given as it is.

    Raises:
        ValueError: if the archive is damaged or hostile; see `archive.unpack`.
    """
    if not archive.is_archive(given):
        yield pathlib.Path(given)
        return
    with tempfile.TemporaryDirectory(prefix="ich-tf-") as temporary:
        # Scans are named after the archive, not after the temporary folder.
        folder = pathlib.Path(temporary) / (pathlib.Path(given).stem or "scan")
        folder.mkdir()
        archive.unpack(given, folder)
        with _shown_as(str(given), str(folder)):
            yield folder


@contextlib.contextmanager
def _shown_as(shown: str, folder: str) -> Iterator[None]:
    """Name what the user gave in errors, not the temporary folder."""
    try:
        yield
    except (source.InputError, inputs.NotHeadCT) as error:
        if not folder or folder not in str(error):
            raise
        raise type(error)(str(error).replace(folder, shown)) from error


def find(
    given: str | os.PathLike,
    series: str | None = None,
    without: str | os.PathLike | None = None,
    shown: str | None = None,
) -> Found:
    """List the scans in a file or folder; only headers are read.

    Args:
        given: A NIfTI or DICOM file, a ct-ich patient folder, or a folder with any
            number of these, such as a hospital's export.
        series: "all" takes every CT series, "largest" that with the most images of
            each study, and a UID one; None suffices for a single series.
        without: A folder that is passed over, with everything in it.
        shown: What messages about a scan say instead of `given`; None keeps that.

    Raises:
        ValueError: if there is no scan, if `without` is the folder itself, or if there
            are several series and `series` does not choose; the message lists the
            choices.
    """
    path = pathlib.Path(given)
    renamed = None if shown is None else (shown, str(path))
    if not path.is_dir() or ct_ich.is_patient_folder(path):
        wanted = None if series in (ALL, LARGEST) else series
        return Found([Scan(path.name, path, wanted, shown=renamed)])
    without = _within_input(path, without)
    walked = source.walk(path)
    files = [file for file in walked.files if not _passed_over(path, file, without)]
    # What is named as NIfTI and cannot be opened is a scan that fails, too.
    problems = {
        file: why
        for file, why in sorted(walked.problems.items())
        if not _passed_over(path, file, without)
    }
    scans = [
        *_patient_folders(path, files),
        *(Scan(_below(path, f), f) for f in inputs.nifti_scans([*files, *problems])),
    ]
    known = {file for scan in scans for file in scan.files}
    listed = [] if known.issuperset(files) else _listed(path, without)
    scans += _series(path, series, listed, scans)
    if not scans:
        raise inputs.no_scan(path)
    others = {file: None for file in files} | problems
    unread = _unread(others, listed, scans)
    named = {_below(path, file): why for file, why in sorted(unread.items())}
    scans = [dataclasses.replace(scan, shown=renamed) for scan in _numbered(scans)]
    return Found(scans, named)


def _unread(
    others: Mapping[pathlib.Path, str | None],
    listed: Sequence[dicom.Series],
    scans: Sequence[Scan],
) -> dict[pathlib.Path, str]:
    """Why files are no part of a scan, as far as they may hold one.

    Args:
        others: Every file, and why it cannot be opened.
        listed: The DICOM series.
        scans: What is read. Notes of a DICOM series name the files that lie with it.
    """
    known = {file for scan in scans for file in scan.files}
    unread = {}
    if any(scan.series for scan in scans):
        known.update(item.path for series in listed for item in series.items)
    else:
        for item in (item for series in listed for item in series.items):
            reason = item.reason.removeprefix(f"{item.path}: ")
            unread[item.path] = reason or "DICOM, but no CT"
    for path, reason in others.items():
        if path in known or path in unread:
            continue
        if reason is not None:
            unread[path] = reason
        elif name := source.scan_format(path):
            unread[path] = f"is {name}"
    return {p: why for p, why in unread.items() if not source.is_named_text(p)}


def _within_input(
    root: pathlib.Path, out: str | os.PathLike | None
) -> pathlib.Path | None:
    """The output folder if it lies within the input; None elsewhere.

    Raises:
        ValueError: if it is the input itself: results would be read as scans.
    """
    if out is None:
        return None
    out, root = pathlib.Path(out).resolve(), root.resolve()
    if out == root:
        raise ValueError(f"{out}: holds the scans; name another folder for results.")
    return out if out.is_relative_to(root) else None


def _passed_over(
    root: pathlib.Path, path: pathlib.Path, out: pathlib.Path | None
) -> bool:
    """Whether a file lies in a hidden folder of the input, or among the results."""
    folders = path.relative_to(root).parts[:-1]
    hidden = any(name.startswith(".") for name in folders)
    return hidden or (out is not None and path.resolve().is_relative_to(out))


def _patient_folders(root: pathlib.Path, files: Iterable[pathlib.Path]) -> list[Scan]:
    folders = {
        path.parent.parent
        for path in files
        if path.suffix.lower() == ".jpg" and path.parent.name == "brain"
    }
    return [Scan(_below(root, folder), folder) for folder in sorted(folders)]


def _listed(root: pathlib.Path, without: pathlib.Path | None) -> list[dicom.Series]:
    """The DICOM series of a folder that are not passed over."""
    return [
        series
        for series in dicom.find_series(root)
        if not all(_passed_over(root, path, without) for path in series.files)
    ]


def _series(
    root: pathlib.Path,
    wanted: str | None,
    listed: list[dicom.Series],
    others: list[Scan],
) -> list[Scan]:
    """The DICOM series of a folder, as far as they are wanted."""
    if not listed or others and not any(series.kind == "ct" for series in listed):
        return []
    if wanted == LARGEST:
        studies: dict[tuple, list[dicom.Series]] = {}
        for series in dicom.select(str(root), listed, ALL):
            studies.setdefault(_study(series), []).append(series)
        chosen = [
            dicom.select(str(root), members, LARGEST)[0] for members in studies.values()
        ]
    else:
        chosen = dicom.select(str(root), listed, wanted, several=True)
    return [
        Scan(
            _below(root, _common_folder(series)),
            _common_folder(series),
            series=series,
            listed=tuple(listed),
        )
        for series in chosen
    ]


def _study(series: dicom.Series) -> tuple[str, str]:
    first = series.items[0]
    return first.patient_id, first.study_uid


def _common_folder(series: dicom.Series) -> pathlib.Path:
    return pathlib.Path(os.path.commonpath([path.parent for path in series.files]))


def _below(root: pathlib.Path, path: pathlib.Path) -> str:
    name = path.relative_to(root).as_posix()
    return root.name or "scan" if name == "." else name


def _numbered(scans: list[Scan]) -> list[Scan]:
    """Scans whose results would share a folder get numbers."""
    taken: dict[pathlib.PurePath, int] = {}
    named = []
    for scan in scans:
        number = taken[scan.folder] = taken.get(scan.folder, 0) + 1
        if number > 1:
            scan = dataclasses.replace(scan, name=f"{scan.name}#{number}")
        named.append(scan)
    return named
