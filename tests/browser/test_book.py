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
OTHERS = sorted([*SITE.glob("guide/*.html"), *SITE.glob("api/*.html")])
PAGES = [SITE / "index.html", *SECTIONS, *OTHERS]
PHONE = {"width": 360, "height": 740}
TABLET = {"width": 768, "height": 1024}
DESKTOP = {"width": 1440, "height": 900}
FRAMEWORKS = ("torch", "jax", "mxnet", "tensorflow")
MOST_BYTES = 1_500_000

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


def formulas_are_set(page):
    """Wait until MathJax, if the page has formulas, has done its work."""
    page.evaluate("window.MathJax?.startup?.promise")


def shown(page):
    """Of which frameworks something is seen."""
    return page.evaluate(
        """(names) => names.filter((name) => [...document.querySelectorAll(`.for-${name}`)]
            .some((e) => e.checkVisibility()))""",
        FRAMEWORKS,
    )


def choose(page, framework):
    page.locator(f".framework-switch label:has(input[value={framework}])").click()


def section(number):
    return next(path for path in SECTIONS if path.stem.startswith(number))


def test_every_section_is_there_once():
    notebooks = sorted(Path(__file__).parents[2].glob("notebooks/*.ipynb"))
    assert sorted(path.stem for path in SECTIONS) == [path.stem for path in notebooks]


@every_page
def test_nothing_overflows(open_page, path):
    page = open_page(path)
    formulas_are_set(page)
    for viewport in (PHONE, TABLET, DESKTOP):
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
        image.evaluate("e => { e.loading = 'eager'; }")
        assert image.evaluate("e => e.decode().then(() => e.naturalWidth > 100)")
        assert image.get_attribute("alt").startswith("Plot")


@every_page
@pytest.mark.timeout(300)
def test_nothing_stands_in_the_way_of_anyone(open_page, path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    but_formulas = {"exclude": [["mjx-container"]]}  # MathJax's own, thousands of elements
    # A report within the page is of another origin, as files are; test_report.py looks at it by itself.
    options = {"preload": False, "resultTypes": ["violations"], "iframes": False}
    page = open_page(path, viewport=PHONE, color_scheme="dark")
    formulas_are_set(page)
    page.add_style_tag(content="* { transition: none !important; }")
    for viewport, scheme in ((PHONE, "dark"), (DESKTOP, "light")):
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=scheme)
        found = axe.run(page, but_formulas, options).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


@every_page
def test_a_page_is_light(open_page, path):
    page = open_page(SITE / "search.html")
    loaded = {}
    page.on("response", lambda one: loaded.setdefault(one.url, len(one.body())))
    page.goto(path.as_uri())
    formulas_are_set(page)
    assert sum(loaded.values()) < MOST_BYTES, sorted((n, url) for url, n in loaded.items())[-5:]


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


def test_one_switch_for_the_page_and_for_all_pages(open_page):
    page = open_page(section("9.5"))
    assert page.locator(".framework-switch").count() == 1
    assert shown(page) == ["torch"]
    for framework in ("jax", "tensorflow", "mxnet"):
        choose(page, framework)
        assert shown(page) == [framework]
    for path in (section("9.7"), SITE / "index.html", SITE / "api" / "models.html"):
        page.goto(path.as_uri())
        assert shown(page) == ["mxnet"]
    page.goto(section("9.5").as_uri())
    page.reload()
    assert shown(page) == ["mxnet"]


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_switch_stays_in_sight_and_holds_the_readers_place(open_page, viewport):
    page = open_page(section("9.5"), viewport=viewport)
    formulas_are_set(page)
    page.evaluate("document.fonts.ready")
    switch = page.locator(".framework-switch")
    height = page.evaluate("document.documentElement.scrollHeight")
    moved = []
    for share in (0.2, 0.4, 0.6, 0.8):
        page.evaluate("y => scrollTo({ top: y, behavior: 'instant' })", share * height)
        page.wait_for_timeout(100)
        top = switch.bounding_box()["y"]
        assert 0 <= top < 80
        for framework in ("jax", "mxnet", "tensorflow", "torch"):
            moved.append(
                page.evaluate(
                    """(framework) => {
                    const below = document.querySelector(".framework-switch").getBoundingClientRect().bottom;
                    const place = [...document.querySelectorAll("article :is(h2, h3, p, li, .cell, .math)")]
                        .filter((e) => !e.closest(".for-framework") && e.checkVisibility())
                        .find((e) => e.getBoundingClientRect().top >= below);
                    const y = place.getBoundingClientRect().top;
                    document.querySelector(`.framework-switch input[value=${framework}]`).click();
                    return y < innerHeight ? Math.abs(place.getBoundingClientRect().top - y) : 0;
                }""",
                    framework,
                )
            )
    assert max(moved) <= 1


def test_output_stands_in_the_box_of_its_code(open_page):
    page = open_page(section("9.5"))
    page.evaluate("document.body.dataset.theme = 'light'")
    apart = page.evaluate(
        """() => [...document.querySelectorAll(".for-torch .cell")].filter((e) => e.checkVisibility())
            .filter((e) => e.querySelector(".cell_output") && e.querySelector(".cell_input"))
            .filter((e) => e.querySelector(".cell_output").getBoundingClientRect().top
                < e.querySelector(".cell_input").getBoundingClientRect().bottom).length"""
    )
    assert apart == 0
    assert page.locator(".for-torch .cell_output:visible").count() > 0


def test_without_a_script_all_frameworks_are_seen(open_page):
    page = open_page(section("9.5"), java_script_enabled=False)
    for framework in FRAMEWORKS:
        assert page.locator(f".for-{framework}:visible").count() > 0
    assert page.locator(".framework-switch:visible").count() == 0


def test_an_address_can_name_the_framework(open_page):
    page = open_page(SITE / "index.html")
    page.goto(SECTIONS[-1].as_uri() + "?framework=tensorflow")
    assert shown(page) == ["tensorflow"]
    page.goto((SITE / "api" / "models.html").as_uri() + "#d2lrnn_jax.RNN")
    assert shown(page) == ["jax"]


def test_the_switch_by_keyboard(open_page):
    page = open_page(section("9.5"))
    page.locator(".framework-switch input:checked").focus()
    page.keyboard.press("ArrowRight")
    assert shown(page) == ["jax"]
    page.keyboard.press("ArrowLeft")
    assert shown(page) == ["torch"]


def test_the_first_page_leads_to_every_section_on_every_framework(open_page):
    page = open_page(SITE / "index.html")
    links = page.locator("table.matrix td a, table.matrix th a").evaluate_all(
        "all => all.map((e) => e.href)"
    )
    for path in SECTIONS:
        assert path.as_uri() in links
    link = page.locator("table.matrix td a[href*='9.5']").last
    framework = link.get_attribute("href").partition("=")[2]
    link.click()
    assert "9.5" in page.title() and shown(page) == [framework]


def test_equations_are_linked_by_their_numbers(open_page):
    page = open_page(section("9.5"))
    formulas_are_set(page)
    link = page.locator("article a", has_text=re.compile(r"^\(9\.4\.5\)$")).first
    link.click()
    page.wait_for_url("**/9.4-rnn.html#equation-9-4-5")
    formulas_are_set(page)
    formula = page.locator("#equation-9-4-5 + *")
    assert formula.locator("mjx-container").count() == 1 and "9.4.5" in formula.inner_text()


def test_notebooks_can_be_had(open_page):
    page = open_page(section("9.5"))
    for framework in ("torch", "mxnet"):
        choose(page, framework)
        link = page.locator(f".lesson .for-{framework} a")
        written = Path(link.evaluate("e => decodeURIComponent(new URL(e.href).pathname)"))
        assert f'\\"D2LRNN_BACKEND\\"] = \\"{framework}\\"' in written.read_text(encoding="utf-8")


def test_code_can_be_copied(open_page):
    page = open_page(section("9.5"))
    assert page.locator(".for-torch button.copybtn").count() > 0


def test_every_page_of_short_runs_says_so(open_page):
    is_short = "short run" in (SITE / "index.html").read_text(encoding="utf-8")
    page = open_page(SITE / "index.html")
    for path in (*PAGES, SITE / "search.html", SITE / "genindex.html"):
        page.goto(path.as_uri())
        assert page.locator(".announcement:visible").count() == is_short


def test_a_report_is_shown(open_page):
    page = open_page(SITE / "guide" / "side-by-side.html")
    page.locator("iframe.report").scroll_into_view_if_needed()
    inside = page.frame_locator("iframe.report")
    inside.locator("h1").wait_for()
    assert inside.locator("svg, img").count() > 0


def test_on_paper_there_is_no_navigation_and_all_of_one_framework(open_page):
    page = open_page(section("9.5"), viewport=DESKTOP)
    choose(page, "jax")
    page.emulate_media(media="print")
    assert shown(page) == ["jax"]
    unwanted = ".framework-switch, .sidebar-drawer, .toc-drawer, footer, .copybtn, .lesson"
    assert (
        page.locator(unwanted).evaluate_all("all => all.some((e) => e.checkVisibility())") is False
    )
    cut = page.locator("article .highlight pre").evaluate_all(
        "all => all.filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1).length"
    )
    assert cut == 0


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


def test_a_model_that_runs_in_its_page_writes_what_its_notebook_printed(open_page):
    (path,) = (path for path in SECTIONS if path.stem.startswith("9.6"))
    compared = 0
    for framework in ("torch", "jax", "mxnet", "tensorflow"):
        page = open_page(Path(path), reduced_motion="reduce")
        page.goto(f"{path.as_uri()}?framework={framework}")
        page.locator(".model-in-page").scroll_into_view_if_needed()
        page.locator(".model-of", has_text=re.compile("\\w")).wait_for()
        if page.locator(".model-shown").is_visible():  # else this framework has not been executed
            page.get_by_role("button", name="20 more").click()
            printed = page.locator(".cell_output:visible").all_text_contents()
            assert page.locator(".model-text").first.text_content() in "".join(printed)
            compared += 1
    assert compared
