"""What the page does with uploaded files, independent of the web server."""

import dataclasses
import os
import pathlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence

from ich_tf.io import archive
from ich_tf.prediction import many, saving, scans

MAX_UPLOAD_BYTES = 2 * 2**30
"""Of one file; a folder of slices has many small ones."""
UPLOAD = "upload"
"""What messages say instead of the temporary folder."""
ENDINGS = (".nii.gz", ".nii", ".zip", ".dcm", ".ima")
PAIR_ENDINGS = (".hdr", ".img", ".hdr.gz", ".img.gz")


@dataclasses.dataclass(frozen=True)
class PageContent:
    """What the page shows.

    Attributes:
        outcomes: One for each scan, named scan-001 and so on. Reasons name files by
            position and by the user's name, which may be hostile.
        pages: Name of a scan to its HTML page, of the scans that did not fail.
        unread: Uploaded file to reason, for those that may hold a further scan; named
            as in the reasons.
        results: A ZIP archive of all results.
    """

    outcomes: list[many.Outcome]
    pages: dict[str, pathlib.Path]
    unread: dict[str, str]
    results: pathlib.Path


def predict(
    uploads: Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    settings: many.PredictionSettings,
    progress: Callable[[float, str], None],
) -> PageContent:
    """Predict the scans in uploaded files.

    Uploads get new names of digits, whatever their names: names may be hostile or a
    patient's. They are deleted when they were read, whether or not that succeeded.

    Args:
        uploads: NIfTI or DICOM files, or ZIP archives of these.
        folder: An empty folder for the results.
        settings: For every scan; scans are named scan-001 and so on.
        progress: Takes a share of the work from 0 to 1 and what is done.

    Raises:
        ValueError: if nothing was uploaded, an archive is damaged or hostile, or there
            is no scan. The message names files as `PageContent` does.
    """
    if not uploads:
        raise ValueError("Drop a NIfTI file, DICOM files or a ZIP archive first.")
    folder = pathlib.Path(folder)
    with tempfile.TemporaryDirectory(prefix="read-", dir=folder.parent) as staged:
        try:
            progress(0.0, "reading the files")
            stage(uploads, staged)
            found = scans.find(staged, scans.ALL, shown=UPLOAD)
            named = [
                dataclasses.replace(scan, name=f"scan-{number:03d}")
                for number, scan in enumerate(found.scans, start=1)
            ]
            outcomes: list[many.Outcome] = []

            def done(outcome: many.Outcome) -> None:
                outcomes.append(outcome)
                share = len(outcomes) / len(named)
                progress(share, f"{len(outcomes)} of {len(named)} scans")

            progress(0.0, f"0 of {len(named)} scans")
            many.run(named, folder, settings, done)
        except ValueError as error:
            # The message names files of the temporary folder.
            message = str(error).replace(staged, UPLOAD)
            raise ValueError(_as_given(message, uploads)) from error
        finally:
            for upload in uploads:
                pathlib.Path(upload).unlink(missing_ok=True)
    pages = {
        outcome.scan: folder / outcome.folder / saving.PAGE
        for outcome in outcomes
        if outcome.status != many.FAILED
    }
    shown = [
        dataclasses.replace(outcome, reason=_as_given(outcome.reason, uploads))
        for outcome in outcomes
    ]
    unread = {
        _as_given(f"{UPLOAD}/{name}", uploads): _as_given(reason, uploads)
        for name, reason in found.unread.items()
    }
    return PageContent(shown, pages, unread, _packed(folder))


def _as_given(message: str, uploads: Sequence[str | os.PathLike]) -> str:
    """Name uploads by position and the user's name instead of by number."""
    given = [
        f"file {number} of {len(uploads)}, {pathlib.Path(upload).name}"
        for number, upload in enumerate(uploads, start=1)
    ]
    for upload, shown in zip(uploads, given, strict=True):
        message = message.replace(str(upload), shown)

    def label(match: re.Match) -> str:
        number = int(match[1])
        return given[number] if number < len(given) else match[0]

    endings = sorted((*ENDINGS, *PAIR_ENDINGS), key=len, reverse=True)
    known = "|".join(map(re.escape, endings))
    # Lists of files name them without the folder.
    start = rf"(?:{UPLOAD}/|(?<=: )|(?<=; ))"
    return re.sub(rf"{start}(\d{{5}})(?:{known})?(?=[/:; ]|$)", label, message)


def stage(uploads: Sequence[str | os.PathLike], folder: str | os.PathLike) -> None:
    """Move uploads to a folder under harmless names, and unpack archives.

    Raises:
        ValueError: if an archive is damaged or hostile, or a file is gone.
    """
    numbers: dict[str, int] = {}
    for number, upload in enumerate(map(pathlib.Path, uploads)):
        lowered = upload.name.lower()
        known = (*ENDINGS, *PAIR_ENDINGS)
        ending = next((end for end in known if lowered.endswith(end)), "")
        if ending in PAIR_ENDINGS:
            # The two files of a pair find each other by their name.
            number = numbers.setdefault(lowered.removesuffix(ending), number)
        if not upload.is_file():
            raise ValueError(f"{UPLOAD}/{number:05d} is gone; drop it again.")
        if archive.is_archive(upload):
            inside = pathlib.Path(folder) / f"{number:05d}"
            inside.mkdir()
            archive.unpack(upload, inside)
        else:
            shutil.move(upload, pathlib.Path(folder) / f"{number:05d}{ending}")


def _packed(folder: pathlib.Path) -> pathlib.Path:
    path = folder / "results.zip"
    written = [inner for inner in sorted(folder.rglob("*")) if inner.is_file()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for inner in written:
            inside = inner.relative_to(folder)
            if not any(part.startswith(".") for part in inside.parts):
                packed.write(inner, inside.as_posix())
    return path
