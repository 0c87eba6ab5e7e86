"""Output folders that may hold other people's files, replaced safely against a kill.

A verb that writes into `--out` owns only what it wrote there. The record of it, with
name, size and SHA-256 of each file, lies in the hidden folder `.ich-tf` of `--out`. A
file that is not in the record, or whose content is no longer the recorded one, belongs
to somebody else: it is never overwritten, moved or deleted.

New files are first written to a folder within `.ich-tf`. When all are complete, the
record is replaced by one that names them; then each is moved into place. A process that
is killed before that leaves the old files, one that is killed later leaves a record
that the next call on the folder finishes.
"""

import contextlib
import dataclasses
import fnmatch
import os
import pathlib
import shutil
import stat
import uuid
from collections.abc import Collection, Iterator

from ich_tf import files, owned_record
from ich_tf.owned_record import HIDDEN, NEW, ForeignFile, Record, Replacement, Written


def check(out: str | os.PathLike, writer: str, patterns: Collection[str]) -> None:
    """Refuse, before long work, a folder in which `replacing` would fail.

    Args:
        out: The output folder; need not exist.
        writer: The verb that is going to write.
        patterns: Names of its files, with `*` where they vary ("slice-*.png").

    Raises:
        ForeignFile: if a file of such a name is not this verb's own.
        ValueError: if the folder cannot be written or its record is damaged.
    """
    out = pathlib.Path(out)
    files.check_folder(out)
    if not out.is_dir():
        return
    with files.locked(out / HIDDEN):
        record = _finish(out, owned_record.read(out))
    names = [
        name
        for name in sorted(os.listdir(out))
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    ]
    _refuse_foreign(out, writer, names, record)


@contextlib.contextmanager
def replacing(out: str | os.PathLike, writer: str) -> Iterator[pathlib.Path]:
    """Give a folder whose files replace those that `writer` wrote to `out` before.

    If the block fails, `out` stays as it was.

    Args:
        out: The output folder; is made where it does not exist.
        writer: The verb that writes. Files of other verbs stay.

    Yields:
        An empty folder for files; folders within it are refused.

    Raises:
        ForeignFile: if a file of the same name in `out` is not this verb's own.
        ValueError: if the record of `out` is damaged.
    """
    out = pathlib.Path(out)
    existed = out.is_dir()
    hidden = out / HIDDEN
    owned_record.read(out)
    hidden.mkdir(parents=True, exist_ok=True)
    with files.locked(out / HIDDEN):
        _finish(out, owned_record.read(out))
        files.remove_left(hidden, NEW, keep=f"{NEW}{files.PROCESS}")
        folder = hidden / files.partial_name(
            f"{NEW}{files.PROCESS}-{uuid.uuid4().hex[:8]}"
        )
        folder.mkdir()
    try:
        yield folder
        _commit(out, writer, folder)
    finally:
        with files.locked(out / HIDDEN):
            # An earlier call may have been killed within its own replacement.
            if not _is_pending(out, folder.name):
                shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            hidden.rmdir()
        if not existed:
            with contextlib.suppress(OSError):
                out.rmdir()


def write_file(path: str | os.PathLike, writer: str, content: bytes) -> None:
    """Replace a file that `writer` wrote before, or make it.

    Args:
        path: The file; its folder is the output folder.
        writer: The verb that writes; it owns one file in the folder.
        content: What the file holds.

    Raises:
        ForeignFile: if there is a file of that name which is not this verb's own.
        ValueError: if the record of the folder is damaged.
    """
    path = pathlib.Path(path)
    with replacing(path.parent, writer) as folder:
        (folder / path.name).write_bytes(content)


def written(out: str | os.PathLike, writer: str) -> list[str]:
    """Names of the files that a verb wrote to a folder and nobody changed since."""
    out = pathlib.Path(out)
    own = owned_record.read(out).of(writer)
    return sorted(name for name, content in own.items() if content.matches(out / name))


def _commit(out: pathlib.Path, writer: str, folder: pathlib.Path) -> None:
    """Move complete files into place, recorded before the first one moves."""
    for path in sorted(folder.iterdir()):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ValueError(f"{path} is not a regular file; only files are written.")
        if not files.is_plain(path.name):
            raise ValueError(f"{out / path.name} has no name for an output file.")
        files.sync(path)
    files.sync(folder)
    new = {path.name: Written.of(path, writer) for path in folder.iterdir()}
    with files.locked(out / HIDDEN):
        record = _finish(out, owned_record.read(out))
        _refuse_foreign(out, writer, sorted(new), record)
        pending = Replacement(writer, folder.name, new)
        record = dataclasses.replace(record, pending=pending)
        owned_record.write(out, record)
        _finish(out, record)


def _finish(out: pathlib.Path, record: Record) -> Record:
    """Carry out what is pending; each step may already have been done."""
    pending = record.pending
    if pending is None:
        return record
    own = record.of(pending.writer)
    folder = out / HIDDEN / pending.folder
    # JSON files name the others: gone first, back last.
    for name in sorted(own, key=lambda name: (not name.endswith(".json"), name)):
        if name not in pending.new and own[name].matches(out / name):
            (out / name).unlink()
    for name in sorted(pending.new, key=lambda name: (name.endswith(".json"), name)):
        if pending.new[name].matches(folder / name):
            _refuse_foreign(out, pending.writer, [name], record)
            os.replace(folder / name, out / name)
    files.sync(out)
    others = {name: kept for name, kept in record.files.items() if name not in own}
    record = Record({**others, **pending.new}, None, version=1)
    owned_record.write(out, record)
    owned_record.refuse_link(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return record


def _refuse_foreign(
    out: pathlib.Path, writer: str, names: Collection[str], record: Record
) -> None:
    """Refuse names in `out` under which there is something that `writer` did not write.

    A file with the content that is about to be moved there counts as written.
    """
    own = record.of(writer)
    arriving = record.pending.new if record.pending else {}
    for name in names:
        path = out / name
        if not os.path.lexists(path):
            continue
        ours = [known[name] for known in (own, arriving) if name in known]
        if any(content.matches(path) for content in ours):
            continue
        reason = (
            f"which `{writer}` did not write there"
            if name not in own
            else f"which was changed after `{writer}` wrote it"
        )
        raise ForeignFile(
            f"{out} holds {name}, {reason}. Move it, or name another folder with --out."
        )


def _is_pending(out: pathlib.Path, folder: str) -> bool:
    """Whether the record still needs a folder, or cannot be read."""
    try:
        pending = owned_record.read(out).pending
    except ValueError:
        return True
    return pending is not None and pending.folder == folder
