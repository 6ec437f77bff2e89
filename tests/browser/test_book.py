"""The site of the book, as a reader meets it (book/).

`nox -s book` builds it and runs this; D2LRNN_BOOK says where it lies.
"""

import os
import re
from pathlib import Path

import pytest

if "D2LRNN_BOOK" not in os.environ:
    pytest.skip("There is no site: nox -s book builds it.", allow_module_level=True)

SITE = Path(os.environ["D2LRNN_BOOK"])
SECTIONS = sorted(SITE.glob("chapter-*/*.html"))
LIBRARY = [SITE / "frameworks.html", *sorted(SITE.glob("api/*.html"))]
PAGES = [SITE / "index.html", *SECTIONS, *LIBRARY]
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1440, "height": 900}

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


def formulas_are_set(page):
    """Wait until MathJax, if the page has formulas, has done its work."""
    page.evaluate("window.MathJax?.startup?.promise")


def choices(page):
    """Which tab is open, of each set that is in step."""
    return page.evaluate(
        """() => [...document.querySelectorAll(".sd-tab-set")].map((set) =>
            set.querySelector(":scope > input:checked + label").dataset.syncId)"""
    )


def test_every_section_is_there_once():
    notebooks = sorted(Path(__file__).parents[2].glob("notebooks/*.ipynb"))
    assert sorted(path.stem for path in SECTIONS) == [path.stem for path in notebooks]


@every_page
def test_nothing_overflows(open_page, path):
    page = open_page(path)
    formulas_are_set(page)
    for viewport in (PHONE, DESKTOP):
        page.set_viewport_size(viewport)
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        # What is wider than the page is inside a box that scrolls; all else ends within the page.
        outside = page.evaluate(
            """() => {
                const scrolls = (e) => e && e !== document.body
                    && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
                return [...document.querySelectorAll(".page .content *")]
                    .filter((e) => e.getBoundingClientRect().width > 0)
                    .filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5)
                    .filter((e) => !e.closest("mjx-assistive-mml") && !scrolls(e))
                    .map((e) => e.outerHTML.slice(0, 80));
            }"""
        )
        assert outside == []


@every_page
def test_text_has_enough_contrast(open_page, low_contrast, path):
    page = open_page(path, viewport=DESKTOP)
    page.add_style_tag(content="* { transition: none !important; }")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert low_contrast(page, ".page .content", ignore=".headerlink, button") == []


@every_page
def test_a_page_is_whole_without_a_network(open_page, path):
    page = open_page(path, offline=True)
    loaded = page.locator("script[src], link[rel=stylesheet], img").evaluate_all(
        "all => all.map((e) => e.src || e.href)"
    )
    assert [url for url in loaded if not url.startswith(("file:", "data:"))] == []
    formulas_are_set(page)
    assert page.locator("mjx-container").count() >= page.locator(".math").count()
    assert page.locator("[data-mml-node=merror], mjx-merror").count() == 0
    for image in page.locator(".cell_output img").all():
        assert image.evaluate("e => e.decode().then(() => e.naturalWidth > 100)")
        assert image.get_attribute("alt").startswith("Plot")


@pytest.mark.parametrize("path", SECTIONS, ids=lambda path: path.stem)
def test_every_formula_is_read_as_one(open_page, path):
    text = open_page(path).evaluate(
        """() => {
            const content = document.querySelector(".content").cloneNode(true);
            content.querySelectorAll("pre, code, script").forEach((e) => e.remove());
            return content.textContent;
        }"""
    )
    assert re.findall(r".*\$.*", text) == []


def test_no_style_or_script_names_another_host():
    for path in [*SITE.rglob("*.css"), *SITE.rglob("*.html")]:
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"(?:url\(|@import|src=)\s*[\"']?(?:https?:)?//[^\s\"')]+", text) == []


def test_no_page_names_the_machine_that_built_it():
    here = str(Path(__file__).parents[2])
    for path in SITE.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert [one for one in (here, "/tmp/", "ipykernel_") if one in text] == []


def test_tabs_are_in_step_and_the_choice_is_remembered(open_page):
    first, second = (path for path in SECTIONS if path.stem.startswith(("9.5", "9.7")))
    page = open_page(first)
    sets = page.locator(".sd-tab-set")
    assert set(choices(page)) == {"torch"} and sets.count() > 3
    for framework, label in (("jax", "JAX"), ("tensorflow", "TensorFlow"), ("mxnet", "MXNet")):
        sets.last.get_by_text(label, exact=True).click()
        assert set(choices(page)) == {framework}
        shown = sets.first.locator(":scope > .sd-tab-content:visible")
        assert shown.count() == 1
    for path in (second, SITE / "index.html", SITE / "api" / "models.html"):
        page.goto(path.as_uri())
        assert set(choices(page)) == {"mxnet"}
    page.goto(first.as_uri())
    page.reload()
    assert set(choices(page)) == {"mxnet"}


def test_an_address_can_name_the_framework(open_page):
    page = open_page(SITE / "index.html")
    page.goto(SECTIONS[-1].as_uri() + "?framework=tensorflow")
    assert set(choices(page)) == {"tensorflow"}


def test_tabs_by_keyboard(open_page):
    page = open_page(SECTIONS[-1])
    page.locator(".sd-tab-set > input:checked").first.focus()
    page.keyboard.press("ArrowRight")
    assert set(choices(page)) == {"jax"}
    page.keyboard.press("ArrowLeft")
    assert set(choices(page)) == {"torch"}


def test_search(open_page):
    page = open_page(SITE / "index.html")
    page.get_by_role("searchbox").or_(page.locator("input[name=q]")).first.fill("spectral radius")
    page.keyboard.press("Enter")
    result = page.locator("ul.search li a").first
    result.wait_for()
    result.click()
    assert "9.7" in page.title()


@pytest.mark.parametrize("scheme, dark", [("light", False), ("dark", True)])
def test_light_and_dark(open_page, scheme, dark):
    page = open_page(SECTIONS[0], viewport=DESKTOP, color_scheme=scheme)

    def brightness(expression):
        colour = page.evaluate(f"getComputedStyle({expression}).backgroundColor")
        return max(int(c) for c in re.findall(r"\d+", colour)[:3])

    def plots_turned():
        return "invert" in page.evaluate(
            "getComputedStyle(document.querySelector('.cell_output img')).filter"
        )

    assert (brightness("document.body") < 100) == dark
    assert plots_turned() == dark
    switch = page.locator("button.theme-toggle:visible")
    for _ in range(2):  # of the three states, two differ in what is seen
        if (brightness("document.body") < 100) == dark:
            switch.click()
    assert (brightness("document.body") < 100) != dark
    assert plots_turned() != dark
