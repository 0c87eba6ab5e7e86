"""Headless Chromium for tests of pages; skips where it is not installed."""

import contextlib
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def axe_violations(path, scheme: str, width: int) -> list[str]:
    """Ids of the rules of axe that a page breaks, with every `details` open."""
    from axe_playwright_python.sync_playwright import Axe

    context = {"color_scheme": scheme, "viewport": {"width": width, "height": 844}}
    # The page's own policy would keep the checker's script out.
    with opened(path.as_uri(), bypass_csp=True, **context) as (page, *_):
        page.wait_for_function("document.querySelector('#layers input') !== null")
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = 1)")
        found = Axe().run(page).response["violations"]
    return [violation["id"] for violation in found]


@contextlib.contextmanager
def opened(address: str, **context):
    """A page, what it logged, and the addresses it asked for."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(ARGUMENTS)
        )
        page = browser.new_context(**context).new_page()
        logged, requested = [], []
        page.on("console", lambda message: logged.append(message.text))
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(address)
        try:
            yield page, logged, requested
        finally:
            browser.close()
