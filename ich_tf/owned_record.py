"""The record of the files that this suite wrote to a folder."""

import dataclasses
import os
import pathlib
import stat
import typing

from ich_tf import files, typed_json

HIDDEN = ".ich-tf"
"""Folder within an output folder for the record and for files being written."""
RECORD = "record.json"
NEW = "new-"
"""How the folders within `HIDDEN` begin to which new files are written."""
COMMENT = "Files of the folder above that `ich-tf` wrote and may replace."
ADVICE = (
    "Name another folder with --out, or move the files of this one away together with "
    f"{HIDDEN}."
)


class ForeignFile(ValueError):
    """A file under the name of an output that this suite did not write."""


@dataclasses.dataclass(frozen=True)
class Written:
    """A file of the record.

    Attributes:
        writer: The verb that wrote it.
        sha256: Checksum of its content, 64 hexadecimal digits.
        size_bytes: Length of its content.
    """

    writer: str
    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, path: pathlib.Path, writer: str) -> "Written":
        """Describe a file on disk."""
        return cls(writer, files.sha256(path), path.stat().st_size)

    def matches(self, path: pathlib.Path) -> bool:
        """Whether a path is a regular file, no link, with this content."""
        try:
            status = path.lstat()
        except OSError:
            return False
        return (
            stat.S_ISREG(status.st_mode)
            and status.st_size == self.size_bytes
            and files.sha256(path) == self.sha256
        )


@dataclasses.dataclass(frozen=True)
class Replacement:
    """Files that are complete and on their way into place.

    Attributes:
        writer: The verb whose files they replace.
        folder: Name of the folder within `HIDDEN` they were written to.
        new: Name to content.
    """

    writer: str
    folder: str
    new: dict[str, Written]


@dataclasses.dataclass(frozen=True)
class Record:
    """What a folder holds of ours.

    Attributes:
        files: Name to content.
        pending: A replacement that was begun and not finished.
        version: Version of the record's form.
    """

    files: dict[str, Written]
    pending: Replacement | None
    version: typing.Literal[1]

    def of(self, writer: str) -> dict[str, Written]:
        """The files of one verb."""
        return {
            name: written
            for name, written in self.files.items()
            if written.writer == writer
        }


def read(out: str | os.PathLike) -> Record:
    """The record of a folder, an empty one where it is absent.

    Args:
        out: The output folder.

    Raises:
        ForeignFile: if a link or a file is where the folder of the record should be.
        ValueError: if the record is damaged or of another version; nothing in the
            folder counts as ours then.
    """
    path = pathlib.Path(out) / HIDDEN / RECORD
    refuse_link(path.parent)
    refuse_link(path)
    if path.parent.exists() and not path.parent.is_dir():
        raise ForeignFile(f"{path.parent} is no folder that this suite made. Move it.")
    if not path.exists():
        return Record({}, None, version=1)
    record = typed_json.read(path, Record, ADVICE)
    arriving = record.pending.new if record.pending else ()
    folders = [record.pending.folder] if record.pending else []
    for name in (*record.files, *arriving, *folders):
        if not files.is_plain(name):
            raise ValueError(f"{path} lists {name!r}, no plain file name. {ADVICE}")
    if folders and not folders[0].startswith(NEW):
        raise ValueError(f"{path} lists {folders[0]!r} as new files. {ADVICE}")
    return record


def write(out: pathlib.Path, record: Record) -> None:
    """Replace the record of a folder, whose lock the caller holds."""
    content = {"comment": COMMENT, **dataclasses.asdict(record)}
    # A fixed name: what a killed process leaves is written over.
    partial = out / HIDDEN / f"{RECORD}.new"
    refuse_link(partial)
    partial.write_bytes(files.json_bytes(content))
    files.sync(partial)
    os.replace(partial, out / HIDDEN / RECORD)


def refuse_link(path: pathlib.Path) -> None:
    """Refuse a link where this suite makes files or folders of its own.

    Raises:
        ForeignFile: if `path` is a link.
    """
    if path.is_symlink():
        raise ForeignFile(f"{path} is a link, which this suite never makes. Remove it.")
