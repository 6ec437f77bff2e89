"""A real browser, without a window."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# It may run as root in a container, and is to ask nothing of any network.
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def missing(what):
    """Skip, with the way out; in CI, where nobody reads what was skipped, fail."""
    message = f"{what} CONTRIBUTING.md tells how to run the tests in a browser."
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def chromium():
    """Chromium: the one that D2LRNN_BROWSER names, or the first on the path."""
    program = os.environ.get("D2LRNN_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        missing("There is no Chromium on the path.")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("Playwright is not installed.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Opens a file and returns the page; until the test ends, nothing may go wrong on its console."""
    contexts, said = [], []

    def open_file(path, **settings):
        context = chromium.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type == "log" or said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
        page.goto(path.as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture
def low_contrast():
    """Finds text of a page that stands out too little from its paper: less than 4.5 to 1."""

    def find(page, within, ignore):
        return page.evaluate(
            """([within, ignore]) => {
                const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
                const luminance = (colour) => channels(colour).slice(0, 3)
                    .map((c) => c / 255)
                    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
                    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
                const paper = (e) => {
                    const colour = getComputedStyle(e).backgroundColor;
                    const alpha = channels(colour)[3] ?? 1;
                    return alpha === 1 || !e.parentElement ? colour : paper(e.parentElement);
                };
                const ratio = (e) => {
                    const both = [luminance(getComputedStyle(e).color), luminance(paper(e))];
                    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
                };
                const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
                return [...document.querySelectorAll(within + " *")]
                    .filter((e) => own(e) && e.checkVisibility() && !e.closest(ignore))
                    .filter((e) => ratio(e) < 4.5)
                    .map((e) => [e.outerHTML.slice(0, 80), ratio(e)]);
            }""",
            [within, ignore],
        )

    return find
