"""The active backend reads what every backend has written (by train.py) and says the same of it."""

import json
import os
from pathlib import Path

import pytest
from train import (
    MODELS,
    NUM_PREDS,
    PREFIX,
    SENTENCES,
    TRANSLATORS,
    model_of,
    pairs,
    section_9_6,
    translator_of,
)

import d2lrnn as d2l

FOLDER = Path(os.environ["D2LRNN_EXCHANGE"])
WRITERS = os.environ["D2LRNN_EXCHANGE_BACKENDS"].split(",")

# Where the book's text cannot be had, all of this is done on the story that stands in for it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Using another text:UserWarning", "ignore:Using another list:UserWarning"
)


@pytest.fixture(scope="module")
def data():
    return section_9_6()


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


@pytest.fixture(params=WRITERS)
def written(request, name):
    return json.loads((FOLDER / f"{request.param}-{name}.json").read_text())


@pytest.fixture
def model(written, name, data):
    model = model_of(name, data)
    model.load(FOLDER / f"{written['backend']}-{name}.safetensors")
    return model


def test_the_same_characters_follow(model, written, data):
    assert model.predict(PREFIX, NUM_PREDS, data.vocab) == written["continuation"]
    assert len(written["continuation"]) == len(PREFIX) + NUM_PREDS


def test_the_same_validation_perplexity(model, written, data):
    found = d2l.Trainer(max_epochs=1).validate(model, data)["val_ppl"]
    assert found == pytest.approx(written["validated_ppl"], rel=1e-4)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name_of_translator", TRANSLATORS)
def test_the_same_translations(writer, name_of_translator):
    path, data = FOLDER / f"{writer}-{name_of_translator}.safetensors", pairs()
    told = json.loads(path.with_suffix(".json").read_text())
    model = translator_of(name_of_translator, data)
    model.load(path)
    found = [model.translate(SENTENCES, data, beams) for beams in (1, 3)]
    assert found == told["translations"]
    loss = d2l.Trainer(max_epochs=1).validate(model, data)["val_loss"]
    assert loss == pytest.approx(told["validated_loss"], rel=1e-4)
