import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import killed_replacement
import pytest
from killed_replacement import FIRST, SECOND, write

from ich_tf import owned_folder, paths

RECORD = pathlib.Path(owned_folder.HIDDEN, "record.json")
FOREIGN = {"notes.txt": "foreign", "slice-9.png": "foreign"}


def content(out: pathlib.Path) -> dict[str, str]:
    """Visible files and their text."""
    return {path.name: path.read_text() for path in out.glob("[!.]*")}


def hidden(out: pathlib.Path) -> list[str]:
    return sorted(os.listdir(out / owned_folder.HIDDEN))


def test_the_files_of_the_same_verb_are_replaced_and_no_others(tmp_path):
    write(tmp_path, FIRST)
    write(tmp_path, {"SDH-slice-1.png": "heat"}, "explain SDH")
    for name, text in FOREIGN.items():
        (tmp_path / name).write_text(text)
    write(tmp_path, SECOND)
    assert content(tmp_path) == {**SECOND, **FOREIGN, "SDH-slice-1.png": "heat"}
    assert owned_folder.written(tmp_path, "predict") == sorted(SECOND)
    assert hidden(tmp_path) == ["record.json"]


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dead link", "changed"])
def test_a_foreign_file_is_refused_before_and_after_the_work(tmp_path, kind):
    out, precious = tmp_path / "out", tmp_path / "precious.txt"
    precious.write_text("keep me")
    out.mkdir()
    path = out / "mask.bin"
    if kind == "file":
        path.write_text("theirs")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(precious)
    elif kind == "dead link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        write(out, FIRST)
        path.write_text("corrected")
    before = sorted(os.listdir(out))
    with pytest.raises(owned_folder.ForeignFile, match=r"mask\.bin"):
        owned_folder.check(out, "predict", ["mask.bin", "slice-*.png"])
    with pytest.raises(owned_folder.ForeignFile, match=r"mask\.bin"):
        write(out, SECOND)
    assert sorted(os.listdir(out)) == before
    assert precious.read_text() == "keep me"
    assert path.is_symlink() == ("link" in kind)


def test_what_somebody_changed_and_is_not_written_again_stays(tmp_path):
    write(tmp_path, FIRST)
    (tmp_path / "slice-1.png").write_text("annotated")
    write(tmp_path, SECOND)
    assert content(tmp_path) == {**SECOND, "slice-1.png": "annotated"}
    with pytest.raises(owned_folder.ForeignFile):
        owned_folder.check(tmp_path, "predict", ["slice-*.png"])


@pytest.mark.parametrize(
    "record",
    [
        "",
        "[1, 2]",
        "null",
        "7",
        '{"score": 0.3}',
        '{"files": []}',
        '{"files": {"a": 1}, "pending": null, "version": 1}',
        '{"files": {}, "pending": null, "version": 2}',
        "../precious.txt",
        "/precious.txt",
        "inner/mask.bin",
        ".hidden",
    ],
)
def test_a_damaged_or_forged_record_owns_nothing(tmp_path, record):
    out, precious = tmp_path / "out", tmp_path / "precious.txt"
    precious.write_text("keep me")
    write(out, FIRST)
    if not record or record[0] in "[{n7":
        (out / RECORD).write_text(record)
    else:
        forged = json.loads((out / RECORD).read_text())
        forged["files"][record] = forged["files"].pop("slice-1.png")
        (out / RECORD).write_text(json.dumps(forged))
    with pytest.raises(ValueError, match=r"record\.json"):
        owned_folder.check(out, "predict", ["mask.bin"])
    with pytest.raises(ValueError, match=r"record\.json"):
        write(out, SECOND)
    assert content(out) == FIRST
    assert precious.read_text() == "keep me"


@pytest.mark.parametrize("folder", ["../../other", ".", "other", "new-../../../other"])
def test_a_forged_replacement_removes_no_folder(tmp_path, folder):
    out, other = tmp_path / "out", tmp_path / "other"
    write(out, FIRST)
    for place in (other, out / owned_folder.HIDDEN / "other"):
        place.mkdir()
        (place / "mask.bin").write_text("keep me")
    forged = json.loads((out / RECORD).read_text())
    forged["pending"] = {"writer": "predict", "folder": folder, "new": {}}
    (out / RECORD).write_text(json.dumps(forged))
    with pytest.raises(ValueError, match=r"record\.json"):
        write(out, SECOND)
    assert (other / "mask.bin").exists()
    assert (out / owned_folder.HIDDEN / "other" / "mask.bin").exists()
    assert content(out) == FIRST


@pytest.mark.parametrize("kind", ["link", "file"])
def test_the_hidden_folder_is_no_link_and_no_file(tmp_path, kind):
    out, other = tmp_path / "out", tmp_path / "other"
    write(other, FIRST)
    out.mkdir()
    if kind == "link":
        (out / owned_folder.HIDDEN).symlink_to(other / owned_folder.HIDDEN)
    else:
        (out / owned_folder.HIDDEN).write_text("theirs")
    with pytest.raises(owned_folder.ForeignFile):
        owned_folder.check(out, "predict", ["mask.bin"])
    with pytest.raises(owned_folder.ForeignFile):
        write(out, SECOND)
    assert content(other) == FIRST


def test_a_block_that_fails_leaves_no_trace(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(OSError, match="disk full"):
        with owned_folder.replacing(out, "predict") as folder:
            (folder / "mask.bin").write_text("half")
            raise OSError("disk full")
    assert not out.exists()
    write(out, FIRST)
    with pytest.raises(ValueError, match="regular file"):
        with owned_folder.replacing(out, "predict") as folder:
            (folder / "inner").mkdir()
    with pytest.raises(ValueError, match="no name"):
        write(out, {".hidden": "never found again"})
    assert content(out) == FIRST
    assert hidden(out) == ["record.json"]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folders left by processes killed before each change on disk."""
    folder = tmp_path_factory.mktemp("killed")
    script = killed_replacement.__file__
    project = {**os.environ, "PYTHONPATH": str(paths.PROJECT)}
    subprocess.run([sys.executable, script, folder], check=True, env=project)
    shutil.rmtree(folder / "start")
    return sorted(folder.iterdir(), key=lambda path: int(path.name))


def test_a_kill_at_any_point_is_finished_or_undone_by_the_next_call(killed):
    # Staging folder, three files, record twice, three moves and one removal at least.
    assert len(killed) > 10
    kinds = set()
    for out in killed:
        owned_folder.check(out, "predict", ["mask.bin", "slice-1.png", "answer.json"])
        after = content(out)
        assert after in ({**FIRST, **FOREIGN}, {**SECOND, **FOREIGN}), out.name
        kinds.add(after["mask.bin"])
        write(out, {"mask.bin": "third"})
        assert content(out) == {"mask.bin": "third", **FOREIGN}
        assert hidden(out) == ["record.json"]
    assert kinds == {"old mask", "new mask"}


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    out = tmp_path / "out"
    write(out, FIRST)
    script = (
        "import os, sys; from ich_tf import owned_folder\n"
        # The superuser may write everywhere.
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "owned_folder.check(sys.argv[1], 'predict', ['mask.bin'])\n"
    )
    # Whoever runs the script must be able to reach the folder.
    for path in (out, *out.parents):
        if path.stat().st_mode & 0o055 != 0o055:
            path.chmod(path.stat().st_mode | 0o055)
    out.chmod(0o555)
    project = {**os.environ, "PYTHONPATH": str(paths.PROJECT)}
    command = [sys.executable, "-c", script, out]
    process = subprocess.run(command, env=project, capture_output=True, text=True)
    out.chmod(0o755)
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith(f"ValueError: {out} ")
    assert content(out) == FIRST


def test_two_writers_at_once_leave_the_files_of_one(tmp_path):
    texts = [f"answer {number}" for number in range(8)]
    threads = [
        threading.Thread(
            target=write, args=(tmp_path, {"mask.bin": text, "answer.json": text})
        )
        for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = content(tmp_path)
    assert last["mask.bin"] == last["answer.json"]
    assert last["mask.bin"] in texts
    assert owned_folder.written(tmp_path, "predict") == ["answer.json", "mask.bin"]


def test_a_single_file_is_replaced_only_by_the_verb_that_wrote_it(tmp_path):
    path = tmp_path / "page.html"
    for text in (b"first", b"second"):
        owned_folder.write_file(path, "report", text)
        assert path.read_bytes() == text
    path.write_bytes(b"theirs")
    with pytest.raises(owned_folder.ForeignFile):
        owned_folder.write_file(path, "report", b"third")
    assert path.read_bytes() == b"theirs"
