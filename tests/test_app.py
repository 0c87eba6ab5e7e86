"""The local page: uploads in, results out, nothing kept, nothing asked from outside."""

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile

import nibabel
import numpy as np
import pytest
import small_network
from browser import opened

from ich_tf import files
from ich_tf.app import sessions, work
from ich_tf.prediction import inputs, many, saving
from ich_tf.synthetic import layouts

TAG = "<img src=x onerror=alert(1)>"
HOSTILE = f"{TAG}.nii"


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory):
    return small_network.ship(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    folder = tmp_path_factory.mktemp("head")
    layouts.write_phantom("ct-ich", folder, cases=1, seed=3, slices=6, size=64)
    return folder / "ct_scans" / "049.nii"


def test_uploads_become_numbered_scans_and_are_deleted(head, weights_dir, tmp_path):
    path = shutil.copy(head, tmp_path / HOSTILE)
    packed = tmp_path / "b.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(head, "Doe 1950/scan.nii")
    (tmp_path / "other").write_text("no scan")
    out = tmp_path / "results"
    out.mkdir()
    told = []
    settings = many.PredictionSettings(weights_dir=weights_dir)
    uploads = [path, packed]
    answer = work.predict(uploads, out, settings, lambda *said: told.append(said))
    assert list(answer.pages) == ["scan-001", "scan-002"]
    assert not path.exists() and not packed.exists()
    assert [share for share, _ in told] == [0.0, 0.0, 0.5, 1.0]
    names = set(zipfile.ZipFile(answer.results).namelist())
    assert {many.TABLE, f"scan-001/{saving.PAGE}", f"scan-002/{saving.MASK}"} <= names
    assert not any("Doe" in name or ".ich-tf" in name for name in names)
    assert {entry.name for entry in tmp_path.iterdir()} == {"other", "results"}


def test_a_pair_stays_together_and_what_is_not_read_is_named(
    head, weights_dir, tmp_path
):
    image = nibabel.load(head)
    pair = nibabel.Nifti1Pair(np.asarray(image.dataobj), image.affine)
    pair.to_filename(tmp_path / "b.img")
    (tmp_path / "c.nrrd").write_bytes(b"NRRD0004")
    uploads = [tmp_path / "b.hdr", tmp_path / "c.nrrd", tmp_path / "b.img"]
    out = tmp_path / "results"
    out.mkdir()
    settings = many.PredictionSettings(weights_dir=weights_dir)
    answer = work.predict(uploads, out, settings, lambda *said: None)
    assert list(answer.pages) == ["scan-001"]
    assert ["NRRD" in reason for reason in answer.unread.values()] == [True]


def test_a_hostile_archive_is_refused_and_deleted(tmp_path):
    packed, out = tmp_path / "a.zip", tmp_path / "results"
    out.mkdir()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../evil", "1")
    with pytest.raises(ValueError, match="leads out"):
        work.predict([packed], out, many.PredictionSettings(), lambda *said: None)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    with pytest.raises(ValueError, match="first"):
        work.predict([], out, many.PredictionSettings(), lambda *said: None)


def test_a_closed_page_leaves_nothing(tmp_path):
    open_pages = sessions.Sessions(tmp_path / "results")
    both, own = tmp_path / "both.nii", tmp_path / "own.nii"
    for upload in (both, own):
        upload.touch()
    open_pages.keep("a", [str(both), str(own)])
    open_pages.keep("b", [str(both)])
    with open_pages.working("a") as first:
        (first / "mask").touch()
    with open_pages.working("a") as second:
        (second / "mask").touch()
    assert not first.exists() and open_pages.results("a") == second
    open_pages.end("a")
    assert both.exists() and not own.exists() and not second.exists()
    with pytest.raises(sessions.PageClosed), open_pages.working("b") as third:
        open_pages.end("b")
        third.mkdir(exist_ok=True)
    assert not both.exists() and not any((tmp_path / "results").iterdir())


def test_messages_name_uploads_by_position_and_name(head, weights_dir, tmp_path):
    image = nibabel.load(head)
    air = nibabel.Nifti1Image(np.full(image.shape, -1000, np.int16), image.affine)
    air.to_filename(tmp_path / "air.nii.gz")
    (tmp_path / "c.nrrd").write_bytes(b"NRRD0004")
    shutil.copy(head, tmp_path / "a.nii")
    uploads = [tmp_path / name for name in ("a.nii", "air.nii.gz", "c.nrrd")]
    out = tmp_path / "results"
    out.mkdir()
    settings = many.PredictionSettings(weights_dir=weights_dir)
    answer = work.predict(uploads, out, settings, lambda *said: None)
    good, refused = answer.outcomes
    assert good.reason == ""
    assert refused.reason.startswith("file 2 of 3, air.nii.gz is refused")
    assert inputs.FORCE in refused.reason
    assert list(answer.unread) == ["file 3 of 3, c.nrrd"]
    # What is downloaded does not hold the user's names.
    table = zipfile.ZipFile(answer.results).read(many.TABLE).decode()
    first, second = csv.DictReader(table.splitlines())
    assert first["reason"] == "" and "air" not in table
    assert second["reason"].startswith("upload/00001.nii.gz ")


def test_errors_name_uploads_by_position_and_name(tmp_path):
    settings, out = many.PredictionSettings(), tmp_path / "results"
    out.mkdir()
    packed = tmp_path / "b.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../evil", "1")
    with pytest.raises(ValueError, match="^file 1 of 1, b.zip: a name in the ZIP"):
        work.predict([packed], out, settings, lambda *said: None)
    with pytest.raises(ValueError, match="^file 1 of 1, b.zip is gone; drop"):
        work.predict([packed], out, settings, lambda *said: None)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def address(weights_dir, temporary):
    pytest.importorskip("gradio", reason="needs ich_tf[app]")
    from ich_tf.app import server

    with server.serving(0, many.PredictionSettings(weights_dir=weights_dir)) as address:
        yield address


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Gradio's own.
def test_a_scan_is_dropped_predicted_shown_and_downloaded(address, head, tmp_path):
    path = shutil.copy(head, tmp_path / HOSTILE)
    dialogs = []

    def dismiss(dialog):
        dialogs.append(dialog.message)
        dialog.dismiss()

    with opened(address) as (page, logged, requested):
        page.on("dialog", dismiss)
        page.set_input_files("#uploads input[type=file]", path)
        page.wait_for_selector("#uploads table, #uploads .file-preview")
        page.click("#start")
        frame = page.frame_locator("#page iframe")
        frame.locator("#slice-number").wait_for(timeout=240_000)
        assert frame.locator("#slice-number").inner_text().endswith("of 6")
        assert frame.locator("#show-mask").is_checked()
        with page.expect_download() as download:
            page.click("#results a[download]")
        names = zipfile.ZipFile(download.value.path()).namelist()
        assert f"scan-001/{saving.RESULT}" in names
        outside = [
            url
            for url in requested
            if not url.startswith((address, "data:", "blob:", "about:"))
        ]
        assert dialogs == []
        page.evaluate("alert('a dialog is noticed')")
        assert dialogs == ["a dialog is noticed"]
        # The policy stops what Gradio's page refers to; nothing is answered.
        assert outside == []


def content(folder):
    """Files with content; Gradio leaves empty ones with names of chance."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in paths if path.stat().st_size]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_a_page_stored_goes_when_it_is_closed(address, head, temporary):
    with opened(address) as (page, logged, requested):
        page.set_input_files("#uploads input[type=file]", head)
        page.wait_for_selector("#uploads table, #uploads .file-preview")
        page.click("#start")
        frame = page.frame_locator("#page iframe")
        frame.locator("#slice-number").wait_for(timeout=240_000)
        page.set_input_files("#uploads input[type=file]", head)
        page.wait_for_selector("#uploads table, #uploads .file-preview")
        assert {"mask.nii.gz", "results.zip"} <= {p.name for p in content(temporary)}
    end = time.monotonic() + 30
    while content(temporary) and time.monotonic() < end:
        time.sleep(0.1)
    assert content(temporary) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_error_is_one_message_on_the_page(address, tmp_path, capfd):
    packed = tmp_path / "b.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(TAG, "no scan")
    with opened(address) as (page, logged, requested):
        page.set_input_files("#uploads input[type=file]", packed)
        page.wait_for_selector("#uploads table, #uploads .file-preview")
        page.click("#start")
        alert = page.locator("#said [role=alert]")
        alert.wait_for(timeout=60_000)
        assert f"1 of 1, b.zip/{TAG} is" in alert.inner_text()
        assert "<patient>" in alert.inner_text()
        assert page.locator("#said img").count() == 0
        assert page.locator(".toast-body, .error, footer").count() == 0
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_app_as_ctrl_c_does(temporary, name):
    pytest.importorskip("gradio", reason="needs ich_tf[app]")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    own = files.partial_name("").replace(f"-{os.getpid()}.", f"-{gone.pid}.")
    left = temporary / f"ich-tf-app-killed{own}"
    living = temporary / f"ich-tf-app-living{files.partial_name('')}"
    for folder in (left, living):
        folder.mkdir()
    command = [sys.executable, "-m", "ich_tf", "app", "--port", "0", "--no-browser"]
    app = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        # Under nohup the tests ignore SIGHUP, and so would the app.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    assert app.stdout.readline().startswith("http://127.0.0.1")
    assert not left.exists() and len(list(temporary.glob("ich-tf-app-*"))) == 2
    app.send_signal(getattr(signal, name))
    said, _ = app.communicate(timeout=60)
    assert app.returncode == 0 and "are deleted" in said
    assert list(temporary.glob("ich-tf-app-*")) == [living]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_page_is_closed_to_other_names_and_forgets(address, head):
    request = urllib.request.Request(address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400
    with urllib.request.urlopen(address) as answer:
        policy = answer.headers["Content-Security-Policy"]
        sources = dict(part.split(maxsplit=1) for part in policy.split("; "))
        assert sources["default-src"].split()[0] == "'self'"
    with urllib.request.urlopen(f"{address}config") as answer:
        told = json.load(answer)
    assert told["analytics_enabled"] is False
    assert pathlib.Path(head).exists()
