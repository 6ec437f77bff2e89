"""What the shared suite runs on: a small text, and models of sizes that are all different.

The suite names no framework. It runs once in the environment of each backend, which
`D2LRNN_BACKEND` chooses, and compares NumPy arrays.
"""

import numpy as np
import pytest

import d2lrnn as d2l

BATCH_SIZE, NUM_STEPS, NUM_HIDDENS = 6, 5, 9
NUM_TRAIN, NUM_VAL = 20, 13  # neither is a multiple of BATCH_SIZE

TEXT = """The clock on the quay has told the tides since before the town had a name. It has two hands,
one for the ebb and one for the flood, and nobody has ever seen it wrong."""


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "clock.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def data(text_file):
    return d2l.TextFile(text_file, BATCH_SIZE, NUM_STEPS, num_train=NUM_TRAIN, num_val=NUM_VAL)


@pytest.fixture(params=["scratch", "high-level"])
def layers(request):
    return request.param


def make_model(layers, vocab_size, lr=0.5, base=None, **options):
    """A language model on the scratch or on the high-level layers; `base` is a subclass to make."""
    if layers == "scratch":
        rnn = d2l.RNNScratch(num_inputs=vocab_size, num_hiddens=NUM_HIDDENS, sigma=0.5, **options)
        return (base or d2l.RNNLMScratch)(rnn, vocab_size=vocab_size, lr=lr)
    rnn = d2l.RNN(num_inputs=vocab_size, num_hiddens=NUM_HIDDENS, **options)
    return (base or d2l.RNNLM)(rnn, vocab_size=vocab_size, lr=lr)


def base_class(layers):
    return d2l.RNNLMScratch if layers == "scratch" else d2l.RNNLM


@pytest.fixture
def model(layers, data):
    return make_model(layers, len(data.vocab))


def fit(model, data, max_epochs=2, **options):
    trainer = d2l.Trainer(max_epochs=max_epochs, progress=False, **options)
    trainer.fit(model, data)
    return trainer


def assert_same_weights(found, expected):
    """Bit for bit."""
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
