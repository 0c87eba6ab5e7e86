"""ZIP archives: what is unpacked, and what is refused."""

import os
import stat
import zipfile

import pytest

from ich_tf.io import archive


def pack(path, content, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name, data in content.items():
            packed.writestr(name, data)
    return path


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_files_come_out_in_their_folders_with_their_times(tmp_path, out):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        info = zipfile.ZipInfo("a/b.txt", date_time=(2020, 1, 2, 3, 4, 6))
        packed.writestr(info, b"first")
        packed.writestr("c.txt", b"second")
        packed.writestr("empty/", b"")
    assert archive.is_archive(path)
    assert archive.unpack(path, out) == 2
    assert (out / "a" / "b.txt").read_bytes() == b"first"
    assert (out / "c.txt").read_bytes() == b"second"
    again = out.parent / "again"
    again.mkdir()
    archive.unpack(path, again)
    times = [os.stat(folder / "a" / "b.txt").st_mtime_ns for folder in (out, again)]
    assert times[0] == times[1]


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "..\\evil", "a/../..", "."]
)
def test_a_name_that_leads_out_is_refused(tmp_path, out, name):
    path = pack(tmp_path / "a.zip", {"good": b"1", name: b"2"})
    with pytest.raises(ValueError, match="a.zip: .*leads out"):
        archive.unpack(path, out)
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.zip", "out"}


def test_a_link_is_refused(tmp_path, out):
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="holds a link"):
        archive.unpack(tmp_path / "a.zip", out)
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (archive.Limits(files=1), "has 2 files"),
        (archive.Limits(bytes=5), "more than the 5 bytes"),
    ],
)
def test_too_many_or_too_large_is_refused(tmp_path, out, limits, reason):
    path = pack(tmp_path / "a.zip", {"a": b"123", "b": b"456"})
    with pytest.raises(ValueError, match=reason):
        archive.unpack(path, out, limits)
    assert not list(out.iterdir())


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path, out):
    size = archive.SMALL_BYTES + 2**21
    path = pack(tmp_path / "a.zip", {"bomb": bytes(size)})
    assert path.stat().st_size < size / archive.MAX_RATIO
    with pytest.raises(ValueError, match="times its size"):
        archive.unpack(path, out)
    assert (out / "bomb").stat().st_size < size


def test_a_stated_size_that_is_too_small_is_no_way_around(tmp_path, out):
    path = pack(tmp_path / "a.zip", {"a": b"x" * 1000}, zipfile.ZIP_STORED)
    content = path.read_bytes().replace((1000).to_bytes(4, "little"), b"\1\0\0\0")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        archive.unpack(path, out)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"PK\x03\x04 cut", "damaged"), (b"PK\x05\x06" + bytes(18), "empty")],
)
def test_damaged_and_empty_archives_are_named(tmp_path, out, content, reason):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"a.zip: .*{reason}"):
        archive.unpack(path, out)


def test_a_name_twice_or_a_file_as_folder_is_refused(tmp_path, out):
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(tmp_path / "a.zip", "w") as packed,
    ):
        packed.writestr("a", b"1")
        packed.writestr("a", b"2")
    with pytest.raises(ValueError, match="a name twice"):
        archive.unpack(tmp_path / "a.zip", out)
    path = pack(tmp_path / "b.zip", {"x": b"1", "x/y": b"2"})
    with pytest.raises(ValueError, match="no folder here can hold"):
        archive.unpack(path, out)
