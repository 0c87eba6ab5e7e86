"""The page of one scan: what it says, that it is closed, and that it works."""

import html
import re

import numpy as np
import pytest
from browser import axe_violations, opened
from hand_made import prediction

from ich_tf.prediction import inputs, result, scan_page
from ich_tf.viewer import component, pictures

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(scan_page.render(prediction(note=HOSTILE), title=HOSTILE))
    return path


def test_the_page_holds_the_numbers(page_file):
    text = page_file.read_text()
    assert "0.1 ml" in text and "3 of 4" in text
    assert result.CALIBRATION[True] in text
    assert "60 ± 0 HU" in text
    assert inputs.DISCLAIMER in text


def test_hostile_text_stays_text(page_file):
    text = page_file.read_text()
    assert HOSTILE not in text
    assert text.count(html.escape(HOSTILE, quote=False).replace('"', "&#34;")) >= 2
    # The viewer's own two: its data and its script.
    assert text.count("<script") == 2


def test_the_page_is_closed(page_file):
    text = page_file.read_text()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    sources = dict(part.split(maxsplit=1) for part in policy.split("; "))
    assert sources["default-src"] == "'none'"
    assert html.unescape(sources["script-src"]).startswith("'sha256-")
    assert "http:" not in text and "https:" not in text


def test_warnings_come_before_the_numbers():
    beyond = np.array([True, True, True, False])
    found = prediction(ood_slices=beyond, scan_probability=np.full(6, 0.9))
    said = scan_page.warnings(found)
    assert said[0] == scan_page.OUT_OF_DISTRIBUTION.format(count=3, slices=4)
    assert len(said) == 1 + len(found.contradictions)


def test_nothing_found_is_said_so():
    empty = np.zeros((4, 8, 8), np.uint8)
    found = prediction(mask=empty, subtypes=empty)
    assert scan_page.amount(found) == "No hemorrhage above the threshold 0.5"
    assert b"0 connected parts" in scan_page.render(found)


def test_voxels_in_unmarked_slices_are_not_denied():
    empty = np.zeros((4, 8, 8), np.uint8)
    found = prediction(mask=empty, subtypes=empty, slice_threshold=0.95)
    said = scan_page.amount(found)
    assert said == (
        "No hemorrhage is marked. Slices 2, 3, 4 have voxels above the threshold 0.5, "
        "but a probability below 0.95."
    )
    text = scan_page.render(found).decode()
    assert said in text
    # No millilitres at other thresholds, which leave out the same slices.
    assert "ml at 0.8" not in text
    (note, *_) = scan_page.notes(found)
    assert "slices 2, 3, 4," in note and "0.95" in note


def test_millilitres_at_other_thresholds_say_what_they_leave_out():
    mask = np.zeros((4, 8, 8), np.uint8)
    mask[1:3, 1:3, 1:3] = 1
    found = prediction(mask=mask, subtypes=mask, slice_threshold=0.85)
    text = scan_page.render(found).decode()
    assert re.search(r"\b0\.0 ml at 0\.2,[^.]* 0\.85\.", text)
    (note, *_) = scan_page.notes(found)
    shown = html.unescape(re.sub("</?code>", "`", text))
    assert "slice 4," in note and note in shown


def test_a_sheet_holds_every_slice_row_by_row():
    volume = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((5, 2, 3), np.uint8)
    assert pictures.columns(5) == 3
    sheet = unpacked(pictures.sheet(volume))
    assert sheet.shape == (4, 9)
    assert sheet[0, ::3].tolist() == [0, 1, 2]
    assert sheet[2, ::3].tolist() == [3, 4, 0]


def test_a_layer_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="Unknown kind of layer 'glow'"):
        component.Layer("a", "a", "a", "glow", None)


def unpacked(address):
    import base64
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))


def colours(page, first, last):
    """Every (red, green, blue) drawn from one corner of the 8 x 8 slice to another.

    Args:
        page: The opened page.
        first: Row and column at which the square begins, in pixels of the slice.
        last: Where it ends.
    """
    script = """([first, last]) => {
        const canvas = document.getElementById('slice');
        const scale = canvas.width / 8, side = (last - first) * scale;
        const drawn = canvas.getContext('2d');
        const data = drawn.getImageData(first * scale, first * scale, side, side).data;
        const all = new Set();
        for (let k = 0; k < data.length; k += 4)
            all.add([data[k], data[k + 1], data[k + 2]].join());
        return [...all];
    }"""
    drawn = page.evaluate(script, [first, last])
    return {tuple(map(int, text.split(","))) for text in drawn}


def test_the_page_works_by_key_mouse_and_touch(page_file):
    touch = {"viewport": {"width": 390, "height": 800}, "has_touch": True}
    with opened(page_file.as_uri(), **touch) as (page, logged, requested):
        page.wait_for_function("document.getElementById('show-mask') !== null")
        assert page.title() == HOSTILE
        # It starts at the first slice with most pixels; the epidural's colour is drawn.
        assert page.inner_text("#slice-number") == "2 of 4"
        # The lesion fills rows and columns 1 and 2; its outline is drawn around them.
        epidural = tuple(component.SUBTYPE_COLOURS[0])
        assert epidural in colours(page, 0.5, 3.5)
        assert epidural not in colours(page, 4, 8)
        assert "any 0.90" in page.inner_text("#slice-facts")
        page.focus(".viewer")
        page.keyboard.press("m")
        # 60 HU in the window 40/80 is three quarters of white.
        assert epidural not in colours(page, 0, 8)
        assert (191, 191, 191) in colours(page, 1, 3)
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        assert page.inner_text("#slice-number") == "4 of 4"
        assert "out of distribution" in page.inner_text("#slice-facts")
        page.tap("#lower")
        assert page.inner_text("#slice-number") == "3 of 4"
        page.click("button[data-slice] >> nth=1")
        assert page.inner_text("#slice-number") == "4 of 4"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.is_hidden("#case")
        asked = [url for url in requested if not url.startswith("data:")]
        assert asked == [page_file.as_uri()]
        # Chromium remarks on this test's own reading of pixels.
        assert [text for text in logged if "Canvas2D" not in text] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_on_a_phone(page_file, scheme):
    """The table of lesions is wider than the page, so the keyboard must scroll it."""
    assert axe_violations(page_file, scheme, width=390) == []
