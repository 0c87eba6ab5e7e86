import os
import pathlib
import platform
import resource
import signal
import subprocess
import sys

import pytest

from ich_tf import files, paths

ELSEWHERE = pathlib.Path("/proc/version")
"""A file on a file system of its own."""


def test_file_appears_only_when_complete(tmp_path):
    path = tmp_path / "deep" / "a.json"
    with pytest.raises(OSError, match="disk full"), files.atomic(path) as partial:
        partial.write_text("half")
        raise OSError("disk full")
    assert list((tmp_path / "deep").iterdir()) == []
    files.write_json(path, {"é": [1, None]})
    assert files.read_json(path) == {"é": [1, None]}
    assert [child.name for child in path.parent.iterdir()] == ["a.json"]


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, float("nan"))
    assert files.read_json(path) == 1


def test_bad_json_is_named(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"bad\.json is not valid JSON"):
        files.read_json(path)


def test_a_second_name_replaces_the_old_file(tmp_path):
    source, path = tmp_path / "best.h5", tmp_path / "final.h5"
    source.write_text("new")
    path.write_text("old")
    files.link(source, path)
    assert path.read_text() == "new"
    assert source.samefile(path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not ELSEWHERE.is_file(), reason="needs another file system")
def test_a_file_is_copied_where_it_cannot_be_linked(tmp_path):
    path = tmp_path / "final.h5"
    path.write_text("old")
    with pytest.raises(OSError, match="cross-device"):
        os.link(ELSEWHERE, tmp_path / "linked")
    files.link(ELSEWHERE, path)
    assert path.read_bytes() == ELSEWHERE.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["final.h5"]


@pytest.mark.parametrize("before", ["absent", "empty", "filled meanwhile"])
def test_the_second_to_finish_gives_way(tmp_path, before):
    folder = tmp_path / "phantom"
    if before == "empty":
        folder.mkdir()
    with files.new_folder(folder) as partial:
        (partial / "head").write_text("mine")
        if before == "filled meanwhile":
            folder.mkdir()
            (folder / "head").write_text("theirs")
    wanted = "theirs" if before == "filled meanwhile" else "mine"
    assert (folder / "head").read_text() == wanted
    assert [path.name for path in tmp_path.iterdir()] == ["phantom"]


def test_only_what_dead_processes_of_this_host_left_is_removed(tmp_path):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    left = tmp_path / f"data.{platform.node()}-{dead}.partial"
    others = [
        tmp_path / name
        for name in (
            "data-download.partial",
            "data2.partial",
            f"data2.{platform.node()}-{dead}.partial",
            f"data.elsewhere-{dead}.partial",
            f"data.{platform.node()}-{os.getppid()}.partial",
        )
    ]
    for folder in (left, *others):
        folder.mkdir()
    with files.new_folder(tmp_path / "data") as partial:
        (partial / "head").write_text("")
    assert not left.exists()
    assert all(folder.is_dir() for folder in others)


def test_text_that_utf8_does_not_have_is_written_and_read(tmp_path):
    # What Python makes of a file name with the byte FF.
    name = os.fsdecode(b"caf\xff")
    files.write_json(tmp_path / "a.json", {"input": name})
    assert files.read_json(tmp_path / "a.json") == {"input": name}


def test_a_full_disk_names_the_file(tmp_path):
    path = tmp_path / "model.weights.h5"
    files.write_bytes(path, b"old")
    # Every further file may have 1,000 bytes; the signal would end the process.
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"model\.weights\.h5"):
            files.write_bytes(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == b"old"
    assert [child.name for child in tmp_path.iterdir()] == [path.name]


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path):
    script = (
        "import os, sys; from ich_tf import files\n"
        "with files.atomic(sys.argv[1]) as partial:\n"
        "    partial.write_text('half')\n"
        "    os._exit(9)\n"
    )
    path = tmp_path / "result.json"
    project = {**os.environ, "PYTHONPATH": os.fspath(paths.PROJECT)}
    process = subprocess.run([sys.executable, "-c", script, path], env=project)
    assert process.returncode == 9
    assert len(list(tmp_path.glob(".writing-*"))) == 1
    files.write_json(path, 1)
    assert [left.name for left in tmp_path.iterdir()] == ["result.json"]


def test_a_second_process_waits_for_the_lock(tmp_path):
    script = (
        "import pathlib, sys; from ich_tf import files\n"
        "waiting = lambda: print('waits', flush=True)\n"
        "with files.locked(pathlib.Path(sys.argv[1]), waiting):\n"
        "    print('in', flush=True)\n"
    )
    project = {**os.environ, "PYTHONPATH": os.fspath(paths.PROJECT)}
    with files.locked(tmp_path):
        process = subprocess.Popen(
            [sys.executable, "-c", script, tmp_path],
            env=project,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "waits\n"
        assert process.poll() is None
    assert process.communicate(timeout=60)[0] == "in\n"
    with files.locked(tmp_path / "absent"):
        pass
