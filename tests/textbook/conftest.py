"""Cells as a reader of the book types them, in the idiom of one framework: one file for each.

A file here is run in the environment of its backend alone. Methods that a cell attaches to the
library's classes are taken off again after each test.
"""

import pytest

import d2lrnn as d2l

ATTACHED_TO = (
    "Classifier DataModule EncoderDecoder Module RNNLM RNNLMScratch RNNScratch Seq2SeqDecoder TimeMachine "
    "Trainer"
).split()

# A small stand-in for the book's text; `TimeMachine` itself needs the real one or the bundled one.
TEXT = """The clock on the quay has told the tides since before the town had a name. It has two hands,
one for the ebb and one for the flood, and nobody has ever seen it wrong. It has the time of the sea."""


@pytest.fixture(autouse=True)
def classes_as_they_were():
    classes = [getattr(d2l, name) for name in ATTACHED_TO]
    before = [dict(vars(cls)) for cls in classes]
    yield
    for cls, members in zip(classes, before, strict=True):
        for name in vars(cls).keys() - members.keys():
            delattr(cls, name)
        for name, member in members.items():
            if vars(cls).get(name) is not member and not name.startswith("__"):
                setattr(cls, name, member)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "clock.txt"
    path.write_text(TEXT, encoding="utf-8")
    return d2l.TextFile(path, batch_size=8, num_steps=6, num_train=64, num_val=16)


@pytest.fixture
def perplexities(data):
    """Train a model, and give the perplexities of the first and the last epoch."""

    def train(model, max_epochs=30):
        trainer = d2l.Trainer(max_epochs=max_epochs, gradient_clip_val=1, num_gpus=1)
        trainer.fit(model, data)
        return trainer.history[0]["train_ppl"], trainer.history[-1]["train_ppl"]

    return train
