"""The page of a comparison, as a reader meets it (d2lrnn/comparison/page)."""

from itertools import pairwise

import pytest

import d2lrnn as d2l

PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def report(write_run, tmp_path_factory):
    """A report with a failure, a warning, four runs, long texts and long lines of source."""
    folder = tmp_path_factory.mktemp("runs")
    epochs = 30
    settings = {"seconds": (1.0, *[0.1] * (epochs - 1))}
    runs = []
    for place, name in enumerate(["torch", "jax", "mxnet", "tensorflow"]):
        ppl = tuple(28 / (1 + 0.2 * e) + 0.01 * place * e for e in range(epochs))
        runs.append(
            write_run(
                folder / name,
                name,
                final=place,
                initial=1 if place < 2 else place,
                ppl=ppl,
                val_ppl=tuple(1.2 * value for value in ppl),
                after=f"a b {'abc ' * 20}{name}",
                source=f"class RNN:\n    name = '{name}'  # {'a long line ' * 20}\n",
                options={"lr": 1.0 + place},
                **settings,
            )
        )
    error = f"ImportError: {'/a/long/path/without/spaces' * 12}"
    failed = {"status": "failed", "error": error}
    runs.append(write_run(folder / "broken", "mlx", config=failed))
    return d2l.compare(runs).write(folder / "report")


def unfold(page):
    page.locator("details").evaluate_all("all => all.forEach((e) => (e.open = true))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["360", "1440"])
def test_nothing_overflows(open_page, report, viewport, scheme):
    page = open_page(report, viewport=viewport, color_scheme=scheme)
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    # What is wider than the page is inside a box that scrolls; all else ends within the page.
    outside = page.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter((e) => !e.closest(".scroll") && e.getBoundingClientRect().width > 0)
            .filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5)
            .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert outside == []


@pytest.mark.parametrize("scheme, dark", [("light", False), ("dark", True)])
def test_light_and_dark(open_page, report, scheme, dark):
    page = open_page(report, viewport=DESKTOP, color_scheme=scheme)
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(c) for c in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    assert (max(channels) < 100) == dark
    # The plots follow, and are drawn on the paper of the page.
    pixel = page.evaluate(
        """async () => {
            const image = document.querySelector("picture img");
            await image.decode();
            const canvas = document.createElement("canvas");
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            return [...context.getImageData(1, 1, 1, 1).data].slice(0, 3);
        }"""
    )
    assert pixel == channels


def test_every_plot_is_drawn_and_described(open_page, report):
    page = open_page(report, viewport=DESKTOP)
    images = page.locator("img").all()
    assert len(images) == 3
    for image in images:
        assert image.evaluate("e => e.complete && e.naturalWidth > 100")
        assert len(image.get_attribute("alt")) > 40


@pytest.mark.parametrize("viewport, beside", [(PHONE, False), (DESKTOP, True)], ids=["360", "1440"])
def test_what_the_distance_tells_stands_by_its_plot(open_page, report, viewport, beside):
    page = open_page(report, viewport=viewport)
    figure = page.locator("figure", has_text="How far apart the runs are")
    image = figure.locator("img").bounding_box()
    note = figure.locator("p").first.bounding_box()
    if beside:
        assert note["x"] > image["x"] + image["width"]
        assert image["y"] < note["y"] < image["y"] + image["height"]
    else:
        assert note["y"] >= image["y"] + image["height"]


@pytest.mark.parametrize("scripts", [True, False])
def test_sources_unfold(open_page, report, scripts):
    page = open_page(report, viewport=PHONE, java_script_enabled=scripts)
    sources = page.locator("details").all()
    assert len(sources) == 8  # RNN and RNNLM of four backends
    for source, name in zip(sources, ["torch", "jax", "mxnet", "tensorflow"] * 2, strict=True):
        assert name in source.locator("summary").inner_text()
        assert not source.locator("pre").is_visible()
    sources[0].locator("summary").focus()
    page.keyboard.press("Enter")
    sources[1].locator("summary").click()
    for source, name in zip(sources[:2], ["torch", "jax"], strict=True):  # both, to be compared
        assert f"name = '{name}'" in source.locator("pre").inner_text()
    assert not sources[2].locator("pre").is_visible()


def test_what_a_screen_reader_is_told(open_page, report):
    page = open_page(report, viewport=PHONE)
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.get_by_role("heading", level=1).count() == 1
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map((e) => +e.tagName[1])")
    steps = [after - before for before, after in pairwise(levels)]
    assert max(steps) <= 1  # no level is left out
    identifiers = page.locator("[id]").evaluate_all("all => all.map((e) => e.id)")
    assert len(identifiers) == len(set(identifiers))
    for table in page.locator("table").all():
        assert table.locator("caption").inner_text().strip()
        assert table.locator("tbody tr > :first-child:not(th[scope=row])").count() == 0
        assert table.locator("thead th:not([scope=col])").count() == 0
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1


def test_a_wide_table_is_scrolled_by_keyboard(open_page, report):
    page = open_page(report, viewport=PHONE)
    box = page.get_by_role("region", name="Time and memory").first
    assert box.evaluate("e => e.scrollWidth > e.clientWidth")
    box.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")
    # The names of the runs stay in sight.
    head = box.locator("tbody th").first.bounding_box()
    assert head["x"] == pytest.approx(box.bounding_box()["x"], abs=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(open_page, low_contrast, report, scheme):
    page = open_page(report, viewport=DESKTOP, color_scheme=scheme)
    unfold(page)
    assert low_contrast(page, "body", ignore=".unseen, script") == []  # WCAG 2, 1.4.3
