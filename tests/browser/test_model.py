"""The models that run in the pages (book/_static/model.js) compute what the library computes."""

import shutil
import sys
from pathlib import Path

import numpy as np
import oracle
import pytest
import translation

from d2lrnn import cells, decoding
from d2lrnn.data import Vocab
from d2lrnn.data.tokenizer import Tokenizer
from d2lrnn.page_models import PageModels
from d2lrnn.weights import write_weights

BOOK = Path(__file__).parents[2] / "book"
sys.path.insert(0, str(BOOK))
import page_models  # noqa: E402

sys.path.remove(str(BOOK))

LETTERS = Vocab(list("abcdefghijklmnopqrstuvwxyz "), tokenizer=Tokenizer("char", "a-z"))
WORDS = [f"w{i}" for i in range(9)]
PAGE = """<!doctype html><html lang="en"><head><title>A model</title><meta charset="utf-8">
<link rel="stylesheet" href="_static/model.css"></head><body>
<button>Before</button>
<div class="model-in-page" data-model="9-6" {data}><p><img alt="A picture" src="picture.svg"></p></div>
<script src="_static/model.js"></script></body></html>"""


class Saved:
    """A model as far as `PageModels` needs one."""

    def __init__(self, weights, **settings):
        self.weights, self.settings = weights, settings

    def save(self, path):
        write_weights(path, self.weights, **self.settings)


class Data:
    def __init__(self, *vocabs, num_steps=8):
        self.vocab, self.num_steps = vocabs[0], num_steps
        if len(vocabs) > 1:
            self.src_vocab, self.tgt_vocab = vocabs


def drawn(shapes, seed=0, scale=1.0):
    random = np.random.RandomState(seed)
    return {
        name: (scale * random.normal(size=shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def of_language_model(kind, seed=0, recurrent=0.5):
    """Weights with which a text does not stay at one character."""
    W = drawn(oracle.shapes(kind, len(LETTERS), num_hiddens=12), seed)
    return {name: w * (recurrent if name.startswith("rnn.W_h") else 1) for name, w in W.items()}


@pytest.fixture
def model_page(open_page, tmp_path):
    """Opens a page that holds one model, of which only PyTorch has executed the notebook."""

    def make(models, data=None, view="text", attributes="", **settings):
        cell = {"id": "9-6-model-weights", "cell_type": "code", "source": "", "outputs": []}
        output = {"data": PageModels(data or Data(LETTERS), **models)._repr_mimebundle_()}
        copy = {"metadata": {}, "cells": [{**cell, "outputs": [output]}]}
        scripts = tmp_path / "_static" / "models"
        page_models.write({"cells": [cell]}, {"torch": copy}, ["torch", "jax"], scripts)
        for name in ("model.js", "model.css"):
            shutil.copy(BOOK / "_static" / name, tmp_path / "_static")
        shutil.copy(BOOK.parent / "notebooks/figures/lstm-cell.svg", tmp_path / "picture.svg")
        html = PAGE.format(data=f'data-view="{view}" {attributes}')
        (tmp_path / "page.html").write_text(html)
        page = open_page(tmp_path / "page.html", reduced_motion="reduce", **settings)
        if settings.get("java_script_enabled", True):
            page.wait_for_function("d2lrnnModels.views[0]?.data")
        return page

    return make


def texts(page):
    return page.locator(".model-text").all_text_contents()


def steps(page, key):
    return np.array(page.evaluate(f"d2lrnnModels.views[0].tracks[0].steps.map((s) => s.{key})"))


@pytest.mark.parametrize("kind, activation", [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh")])
def test_a_text_is_that_of_predict(model_page, kind, activation):
    """To the letter, the likeliest and drawn ones; states and logits to float32's digits."""
    recurrent = (
        0.15 if activation == "relu" else 0.5
    )  # with larger ones, ReLU's states grow for ever
    trained, untrained = (of_language_model(kind, seed, recurrent) for seed in (0, 1))
    models = {"trained": trained, "untrained": untrained}
    page = model_page({name: Saved(W, activation=activation) for name, W in models.items()})
    page.get_by_label("Prefix").fill("It's  has")
    for _ in range(3):
        page.get_by_role("button", name="20 more").click()
    steppers = [decoding.stepper(W, activation) for W in models.values()]
    greedy = [decoding.continuation(step, "It's  has", 60, LETTERS) for step in steppers]
    network = cells.Network(models["trained"], "rnn.", activation)
    tokens = np.array(page.evaluate("d2lrnnModels.views[0].tracks[0].tokens"))
    H, _ = network.run(tokens[:, None])
    assert np.abs(steps(page, "H") - H[:, 0]).max() < 1e-5
    logits = H[:, 0] @ models["trained"]["linear.W_hq"] + models["trained"]["linear.b_q"]
    assert np.abs(steps(page, "logits") - logits).max() < 1e-4

    assert texts(page) == greedy and len(set(greedy[0][9:])) > 3

    page.get_by_label("drawn").check()
    page.get_by_label("temperature").fill("0.8")
    page.get_by_label("seed").fill("7")
    page.get_by_role("button", name="20 more").click()
    sampled = [decoding.continuation(step, "It's  has", 20, LETTERS, 0.8, 7) for step in steppers]
    assert texts(page) == sampled and sampled[0] != greedy[0][:29]
    p = np.exp(steps(page, "logits")[-1].astype(float) / 0.8)
    p[LETTERS.unk] = 0
    shown = page.locator(".model-bars").first.locator("td:last-child").all_text_contents()
    largest = np.sort(p / p.sum())[::-1][:8]
    assert [float(one.split()[0]) for one in shown] == pytest.approx(100 * largest, abs=0.051)


def test_how_far_back_a_gradient_reaches(model_page):
    W = of_language_model("rnn")
    page = model_page({"trained": Saved(W)}, view="gradient", attributes='data-prefix="the time"')
    tokens = LETTERS[list("the time")]
    layer = cells.layer({name: w.astype(float) for name, w in W.items()}, "rnn.")

    def last(h, following):
        for token in following:
            h = layer.step(layer.drive(np.array(token)), h, layer.W_h)
        return h

    norms = [1.0]
    for t in reversed(range(1, len(tokens))):
        h = last(layer.zero_state(), tokens[:t])
        moved = [
            (last(h + e, tokens[t:]) - last(h - e, tokens[t:])) / 2e-6
            for e in 1e-6 * np.eye(len(h))
        ]
        norms.append(np.linalg.norm(moved, 2))
    found = page.evaluate("d2lrnnModels.views[0].tracks[0].norms")
    assert found == pytest.approx(norms, rel=1e-5)
    page.get_by_text("The numbers").click()
    assert page.locator("tbody tr").count() == len(tokens)


def test_a_translation_and_where_it_looks(model_page):
    source, target = ([*reserved, *WORDS, "<unk>"] for reserved in (["<eos>"], ["<bos>", "<eos>"]))
    source, target = Vocab(source), Vocab(target)
    shapes = translation.shapes("gru_after", 1, True, len(source), len(target), 5, 6)
    W = drawn(shapes, seed=3, scale=1.5)
    page = model_page({"trained": Saved(W)}, Data(source, target), "attention")
    page.get_by_role("textbox", name="Sentence").fill("w3 w1 other w4")
    page.get_by_role("button", name="To the end").click()
    said = texts(page)[0].split()
    src = np.array(source["w3 w1 <unk> w4 <eos>".split()])
    logits, _, weights = translation.of_one(W, src, np.array(target[["<bos>", *said]]))
    assert said == target.to_tokens(logits.argmax(1)[:-1].tolist())
    assert said[-1] == "<eos>" or len(said) == 8
    found = page.evaluate("d2lrnnModels.views[0].track.steps.map((s) => s.attention)")
    assert np.abs(np.array(found) - weights).max() < 1e-5
    assert "other: not in the vocabulary" in page.get_by_role("status").text_content()


def test_by_keyboard_alone(model_page):
    """Everything is reached by Tab, is named, and tells what it did."""
    W = of_language_model("lstm")
    page = model_page({"trained": Saved(W), "untrained": Saved(W)})
    page.get_by_role("button", name="Before").focus()
    names = []
    for _ in range(9):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        names.append(focused.evaluate("e => e.labels?.[0]?.textContent || e.textContent"))
        if names[-1] == "Prefix":
            page.keyboard.press("Control+A")
            page.keyboard.type("ab")
        if "Next" in names[-1]:
            page.keyboard.press("Enter")
            break
    wanted = ["Prefix", "the likeliest", "untrained beside trained", "Shown", "Back", "Next"]
    assert [any(one in name for name in names) for one in wanted] == [True] * 6, names
    text = decoding.continuation(decoding.stepper(W), "ab", 1, LETTERS)
    assert texts(page)[0] == text
    assert (
        page.locator("[aria-live=polite]").text_content() == f"trained: {text}; untrained: {text}"
    )
    image = page.get_by_role("img").first
    assert image.get_attribute("aria-label").startswith("Hidden state of 12 units")
    place = page.get_by_label("Place in the text")
    place.focus()
    page.keyboard.press("Home")
    assert place.get_attribute("aria-valuetext") == "after character 1 of 3"
    page.get_by_label("Shown").select_option("Forget gate")
    assert page.get_by_role("img").first.get_attribute("aria-label").startswith("Forget gate")


def test_the_picture_stands_where_nothing_runs(model_page):
    W = of_language_model("rnn")
    page = model_page({"trained": Saved(W)}, java_script_enabled=False)
    assert page.get_by_role("img", name="A picture").is_visible()
    page = model_page({"trained": Saved(W)})
    picture, frame = page.get_by_role("img", name="A picture"), page.locator(".model-shown")
    assert not picture.is_visible() and frame.is_visible()
    change = "name => document.dispatchEvent(new CustomEvent('d2lrnn:framework', {detail: name}))"
    page.evaluate(change, "jax")  # which has not executed the notebook
    page.get_by_text("JAX: not executed").wait_for()
    assert picture.is_visible() and not frame.is_visible()
    page.evaluate(change, "torch")
    assert page.get_by_text("weights of PyTorch").is_visible() and frame.is_visible()


def test_it_fits_a_phone(model_page):
    W = of_language_model("lstm")
    page = model_page({"trained": Saved(W)}, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
