import dataclasses
import re
import shutil

import keras
import numpy as np
import pytest
from test_reproduce import make_small

from ich_tf import cli, files
from ich_tf.experiments import provenance, reproduce, runner
from ich_tf.experiments import results as stored
from ich_tf.report import page, viewer

ROW = "table3/unet-hssayeni"
HOSTILE = "<img src=x onerror=alert(1)>.dcm"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(autouse=True, scope="module")
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A finished row, whose result tells of a file with HTML in its name."""
    folder = tmp_path_factory.mktemp("page")
    folders = runner.Folders(results=folder / "results", weights=folder / "weights")
    reproduce.reproduce([ROW], folders, say=lambda line: None)
    path = stored.result_file(folders.results, "demo", ROW)
    result = files.read_json(path)
    result["left_out"] = {"named": [f"{HOSTILE}: no pixels"]}
    result["title"] = HOSTILE
    files.write_json(path, result)
    return folders


@pytest.fixture(scope="module")
def written(folders):
    path = folders.results / "report.html"
    page.write(folders, path, say=lambda line: None)
    return path


def test_the_page_tells_what_was_run_and_what_was_not(written):
    text = written.read_text()
    assert "1 experiments, profile demo, on phantom." in text
    assert '<span class="verdict not-comparable">not comparable: 4</span>' in text
    assert '<span class="verdict not-run">' in text
    assert "reproduced:" not in text
    assert f"No shipped weights &#39;{'resnext-phantom'}&#39;" in text


def test_an_edited_result_is_no_number_of_the_page(folders, tmp_path):
    copy = dataclasses.replace(folders, results=tmp_path / "results")
    shutil.copytree(folders.results, copy.results)
    path = stored.result_file(copy.results, "demo", ROW)
    result = files.read_json(path)
    result["summary"]["hssayeni2020"]["dice"]["mean"] = 0.777
    result["summary"]["per_volume"]["bleeding_dice"]["mean"] = 0.777
    files.write_json(path, result)
    page.write(copy, tmp_path / "page.html", say=lambda line: None)
    text = (tmp_path / "page.html").read_text()
    assert "0.777" not in text
    assert f"Left out, since their files are faulty: {ROW}." in text
    assert "its summary of hssayeni2020, dice is not what its cases give" in text
    assert '<span class="verdict differs">differs: 4</span>' in text


def test_a_result_that_lacks_a_part_ends_no_page(folders, tmp_path):
    copy = dataclasses.replace(folders, results=tmp_path / "results")
    shutil.copytree(folders.results, copy.results)
    path = stored.result_file(copy.results, "demo", ROW)
    result = files.read_json(path)
    del result["summary"], result["data"]
    files.write_json(path, result)
    page.write(copy, tmp_path / "page.html", say=lambda line: None)
    assert "it is damaged (KeyError" in (tmp_path / "page.html").read_text()


def test_the_same_results_give_the_same_bytes(folders, written, tmp_path):
    page.write(folders, tmp_path / "again.html", say=lambda line: None)
    assert (tmp_path / "again.html").read_bytes() == written.read_bytes()


def test_html_in_a_file_name_stays_text(written):
    text = written.read_text()
    assert HOSTILE not in text
    assert "&lt;img src=x onerror=alert(1)&gt;.dcm: no pixels" in text


def test_the_page_asks_for_nothing_from_outside(written):
    text = written.read_text()
    assert "default-src 'none'" in text
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert addresses
    assert all(
        address[:5] in ("data:", *("#",)) or address[0] == "#" for address in addresses
    )


def test_nothing_run_is_an_error(tmp_path, capsys):
    assert cli.main(["report", "--results", str(tmp_path)]) == 2
    assert "has no result" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_slices_of_other_data_than_the_results(folders, tmp_path):
    copy = dataclasses.replace(folders, results=tmp_path / "results")
    shutil.copytree(folders.results, copy.results)
    path = stored.result_file(copy.results, "demo", ROW)
    result = files.read_json(path)
    result["data"]["slices"] += 1
    result["spec"]["data"] = provenance.digest(result["data"])
    files.write_json(path, result)
    page.write(copy, tmp_path / "page.html", say=lambda line: None)
    text = (tmp_path / "page.html").read_text()
    assert "No slices to show: the data are others by now." in text
    assert "<canvas" not in text


def test_the_viewer_holds_the_case_as_it_is(folders):
    run = reproduce.find_run(ROW, "demo", folders, print)
    result = files.read_json(run.file)
    case, *_ = viewer.cases([run], [result], 1, None, lambda line: None)
    volume = run.dataset.load(case["id"]).volume
    assert (case["slices"], case["height"], case["width"]) == volume.hu.shape
    assert case["truth_ml"] > 0
    sheet = unpacked(case["hu"]).astype(int)
    hu = (sheet[..., 0] * 256 + sheet[..., 1] - 32768).reshape(volume.hu.shape)
    np.testing.assert_array_equal(hu, np.rint(volume.hu))
    truth = unpacked(case["truth"]).reshape(volume.hu.shape)
    mask = run.dataset.load(case["id"]).mask
    np.testing.assert_array_equal(truth, mask * 255)


def unpacked(address):
    import base64
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))


@pytest.fixture
def browser_page(written):
    """The page in headless Chromium, what it logged, and what it asked for."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        opened = browser.new_page(viewport={"width": 390, "height": 800})
        logged, requested = [], []
        opened.on("console", lambda message: logged.append(message.text))
        opened.on("pageerror", lambda error: logged.append(str(error)))
        opened.on("request", lambda request: requested.append(request.url))
        opened.goto(written.as_uri())
        opened.wait_for_function("document.getElementById('slice').width > 8")
        yield opened, logged, requested
        browser.close()


def test_the_viewer_works_in_a_browser(browser_page, written):
    opened, logged, requested = browser_page

    def picture():
        return opened.evaluate("document.getElementById('slice').toDataURL()")

    def number():
        return opened.inner_text("#slice-number")

    opened.focus(".viewer")
    seen = [picture()]
    assert number() == "4 of 6"
    for key in ("ArrowUp", "m", "p", "4"):
        opened.keyboard.press(key)
        seen.append(picture())
    assert number() == "5 of 6"
    assert not opened.is_checked("#show-truth")
    assert opened.inner_text("#width-number") == "2800 HU"
    assert opened.is_disabled("#show-heat")
    assert seen[0] != seen[1]
    assert seen[-1] != seen[-2]
    for _ in range(9):
        opened.keyboard.press("ArrowDown")
    assert number() == "1 of 6"
    opened.locator("#slice").hover()
    opened.mouse.wheel(0, -100)
    opened.wait_for_function(
        "document.getElementById('slice-number').textContent === '2 of 6'"
    )
    first = opened.input_value("#case")
    opened.focus(".viewer")
    opened.keyboard.press("ArrowRight")
    assert opened.input_value("#case") != first
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    assert [url for url in requested if not url.startswith("data:")] == [
        written.as_uri()
    ]
    assert logged == []
    assert HOSTILE in opened.inner_text("#row")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(written, scheme):
    """Contrast, names, roles and what the keyboard reaches, every section open."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    from axe_playwright_python.sync_playwright import Axe
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        # The page's own policy would keep the checker's script out.
        context = browser.new_context(color_scheme=scheme, bypass_csp=True)
        opened = context.new_page()
        opened.goto(written.as_uri())
        opened.wait_for_function("document.getElementById('slice').width > 8")
        opened.evaluate("document.querySelectorAll('details').forEach(d => d.open = 1)")
        violations = Axe().run(opened).response["violations"]
        browser.close()
    assert [violation["id"] for violation in violations] == []
