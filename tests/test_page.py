import dataclasses
import html
import io
import json
import re
import shutil

import numpy as np
import pytest
import small
from browser import axe_violations, opened
from PIL import Image

from ich_tf import cli, files
from ich_tf.evidence import table_cells, tables
from ich_tf.experiments import provenance, runner
from ich_tf.report import page, plots, sections, viewer
from ich_tf.viewer.page import render

ROW = "table3/unet-hssayeni"
HOSTILE = "<img src=x onerror=alert(1)>.dcm"


@pytest.fixture(scope="module")
def folders(finished, tmp_path_factory):
    """A finished row, whose result has HTML in its title and deviations."""
    run = finished(ROW).run
    folder = tmp_path_factory.mktemp("page")
    copied = dataclasses.replace(run.folders, results=folder / "results")
    (copied.results / "demo").mkdir(parents=True)
    (copied.results / "phantom").symlink_to(run.folders.results / "phantom")
    shutil.copytree(run.folder, copied.results / "demo" / ROW)
    content = {**finished(ROW).result.as_json(), "title": HOSTILE}
    content["deviations"] = [f"{HOSTILE}: no pixels"]
    files.write_json(path_of(copied), content)
    return copied


def path_of(folders):
    return folders.results / "demo" / f"{ROW}.json"


def write(folders, out):
    known = {"table3": small.TABLES["table3"]}
    return page.write(folders, out, all_tables=known, say=lambda line: None).read_text()


@pytest.fixture(scope="module")
def written(folders):
    path = folders.results / "report.html"
    write(folders, path)
    return path


@pytest.fixture
def spoilt(folders, tmp_path):
    """The folders with a copy of the result, and how to change it."""
    copied = dataclasses.replace(folders, results=tmp_path / "results")
    shutil.copytree(folders.results, copied.results, symlinks=True)

    def spoil(change):
        content = files.read_json(path_of(copied))
        change(content)
        files.write_json(path_of(copied), content)
        return write(copied, tmp_path / "page.html")

    return spoil


def counted(text):
    """Verdict to the number of cells that the page counts."""
    counts = re.findall(r'<span class="verdict [\w-]+">([^<]+): (\d+)</span>', text)
    return {verdict: int(number) for verdict, number in counts}


def test_the_page_shows_what_was_run_and_what_was_not(written):
    text = written.read_text()
    assert counted(text)["not comparable"] == 4
    assert not counted(text).keys() & {"reproduced", "differs"}
    assert counted(text)["not run"] > 0


def test_an_edited_result_is_no_number_of_the_page(spoilt):
    def change(content):
        content["summary"]["hssayeni2020"]["dice"]["mean"] = 0.777
        content["summary"]["per_volume"]["bleeding_dice"]["mean"] = 0.777

    text = spoilt(change)
    assert "0.777" not in text
    assert f"faulty: {ROW}." in text
    assert counted(text)["differs"] == 4


def test_a_result_that_lacks_a_part_ends_no_page(spoilt):
    def change(content):
        del content["summary"], content["data"]

    assert "lacks <code>data</code>" in spoilt(change)


def test_the_same_results_give_the_same_bytes(folders, written, tmp_path):
    write(folders, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == written.read_bytes()


def test_html_in_a_result_stays_text(written):
    text = written.read_text()
    assert HOSTILE not in text
    assert html.escape(HOSTILE, quote=False) in text


def test_the_page_asks_for_nothing_from_outside(written):
    text = written.read_text()
    assert re.search("default-src 'none'", text)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert addresses
    assert all(
        address[:5] in ("data:", *("#",)) or address[0] == "#" for address in addresses
    )


def test_nothing_run_is_an_error(tmp_path, capsys):
    assert cli.main(["report", "--results", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_slices_of_other_data_than_the_results(spoilt):
    def change(content):
        content["data"]["slices"] += 1
        content["spec"]["data"] = provenance.digest(content["data"])

    text = spoilt(change)
    assert "<canvas" not in text


def test_views_keep_their_order(tmp_path):
    """The best row is the first view, which the page opens with."""
    (tmp_path / "views.html").write_text("{{ views | tojson }}")
    text = render("views.html", tmp_path, views={"second": 1, "first": 2}).decode()
    assert list(json.loads(text)) == ["second", "first"]


def test_the_viewer_holds_the_case_as_it_is(folders):
    run = small.run(ROW, folders)
    result = runner.load(run)
    case, *_ = viewer.cases([run], [result], 1, None, lambda line: None)
    loaded = run.dataset.load(case["id"])
    hu = loaded.volume.hu
    assert (case["slices"], case["height"], case["width"]) == hu.shape
    sheet = unpacked(case["hu"]).astype(int)
    values = sheet[..., 0] * 256 + sheet[..., 1] - 32768
    np.testing.assert_array_equal(slices_of(values, case), np.rint(hu))
    truth = slices_of(unpacked(case["pictures"]["truth"]), case)
    np.testing.assert_array_equal(truth, loaded.mask * 255)
    (view,) = case["views"].values()
    assert [layer["picture"] for layer in view["layers"]] == [
        None,
        "prediction0",
        "truth",
    ]


def slices_of(sheet, case):
    """(z, h, w) from a sheet with all slices row by row."""
    height, width, columns = (case[name] for name in ("height", "width", "columns"))
    rows = sheet.reshape(-1, height, columns, width).swapaxes(1, 2)
    return rows.reshape(-1, height, width)[: case["slices"]]


def unpacked(address):
    import base64
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))


@pytest.fixture
def browser_page(written):
    """The page in headless Chromium, what it logged, and what it asked for."""
    narrow = {"width": 390, "height": 800}
    with opened(written.as_uri(), viewport=narrow) as (page, logged, requested):
        page.wait_for_function("document.getElementById('show-truth') !== null")
        yield page, logged, requested


def test_the_viewer_works_in_a_browser(browser_page, written):
    page, logged, requested = browser_page

    def picture():
        return page.evaluate("document.getElementById('slice').toDataURL()")

    def number():
        return page.inner_text("#slice-number")

    page.focus(".viewer")
    seen = [picture()]
    assert number() == "4 of 6"
    for key in ("ArrowUp", "m", "p", "4"):
        page.keyboard.press(key)
        seen.append(picture())
    assert number() == "5 of 6"
    assert not page.is_checked("#show-truth")
    assert page.inner_text("#width-number") == "2800 HU"
    assert page.is_disabled("#show-heat")
    assert seen[0] != seen[1]
    assert seen[-1] != seen[-2]
    for _ in range(9):
        page.keyboard.press("ArrowDown")
    assert number() == "1 of 6"
    page.locator("#slice").hover()
    page.mouse.wheel(0, -100)
    page.wait_for_function(
        "document.getElementById('slice-number').textContent === '2 of 6'"
    )
    first = page.input_value("#case")
    page.focus(".viewer")
    page.keyboard.press("ArrowRight")
    assert page.input_value("#case") != first
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert [url for url in requested if not url.startswith("data:")] == [
        written.as_uri()
    ]
    assert logged == []
    assert HOSTILE in page.inner_text("#row")


def test_verdicts_are_seen_without_scrolling(written):
    screen = {"viewport": {"width": 1280, "height": 900}}
    with opened(written.as_uri(), **screen) as (page, *_):
        table = page.locator("#tables table").first
        assert "Verdict" in table.inner_text()
        (verdicts, *_) = table.locator("td.verdict").all()
        place = verdicts.bounding_box()
        page_right = page.locator("main").bounding_box()
        assert place["x"] + place["width"] < page_right["x"] + page_right["width"]


def test_a_verdict_follows_the_row_and_an_interval_its_number(tmp_path):
    table = tables.table("table1")
    judged = {"auc_scan": "equivalent", "auc_slice": "worse"}
    cells = [
        dataclasses.replace(
            cell,
            ours=0.75,
            low=0.5,
            high=0.875,
            cases=9,
            undefined=1,
            verdict=judged.get(cell.column, "undecided"),
            trivial=0.25 if cell.column == "accuracy_scan" else None,
        )
        for cell in table_cells.empty(table)
    ]
    made = sections.of_tables([(table, cells)], tmp_path, "demo", ())["tables"][0]
    assert made["header"][:3] == ["Row", "Verdict", "AUC, scans: reported"]
    row = [cell["text"] for cell in made["rows"][1]]
    assert row[1].split("\n")[0] == "AUC, scans: equivalent (-0.232)"
    assert row[3] == "0.7500 (n=9 of 10)\n[0.5000, 0.8750]"
    assert row[7] == f"{row[3]}\nnever predicted:\n0.2500"


def test_commands_are_set_as_code(written):
    text = written.read_text()
    assert "<code>ich-tf report</code>" in text
    shown = re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.DOTALL)
    assert "`" not in shown


def test_figures_are_dark_on_a_dark_page(written):
    with opened(written.as_uri(), color_scheme="dark") as (page, *_):
        figure = page.locator("#tables figure svg").first
        with Image.open(io.BytesIO(figure.screenshot())) as picture:
            assert np.median(np.asarray(picture.convert("L"))) < 64


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(written, scheme, width):
    """Contrast, names, roles and what the keyboard reaches, every section open."""
    assert axe_violations(written, scheme, width) == []


def test_the_page_shows_the_answers_of_the_study(tmp_path):
    answered = {
        "question": "Which loss?",
        "words": f"{HOSTILE} is worse than BCE: Dice 0.30 and 0.60.",
        "seeds": 3,
        "verdict": "worse",
    }
    text = render(
        "report.html",
        page.TEMPLATES,
        title="t",
        summary="s",
        verdicts={},
        sections=[sections.studied([answered])],
        viewer=None,
        footer="f",
    )
    text = text.decode()
    assert "Which loss?" in text and "Dice 0.30 and 0.60" in text
    assert HOSTILE not in text and html.escape(HOSTILE) in text
    verdicts = re.findall(r'<td class="verdict ([\w-]+)">([^<]+)</td>', text)
    assert verdicts == [("worse", "worse")]


@pytest.mark.parametrize("name", ["\udcff", r"$\frac{$", "$x^2$"])
def test_names_in_figures_are_drawn_as_they_are(name):
    scores = {name: np.array([0.2, 0.4])}
    figure = plots.scores_per_case(scores, name)
    figure.axes[0].set_title(name)
    shown = name.replace("\udcff", r"\udcff")
    assert plots.svg(figure).count(shown) >= 3
    assert plots.png(figure).startswith(b"\x89PNG")
