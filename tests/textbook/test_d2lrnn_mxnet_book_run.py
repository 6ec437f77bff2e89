"""The MXNet run that the book prints, and what it rests on: MXNet's own initialiser and stream.

MXNet seeds its stream when it is imported, so each run is a process of its own.
"""

import os
import subprocess
import sys

import pytest

# As printed in section 9.6 of the book, for a model that was not trained.
PRINTED = "it hasxlxlxlxlxlxlxlxlxlxl"

# The characters of The Time Machine: any text with all 26 letters has this vocabulary.
VOCAB = "import d2lrnn as d2l; vocab = d2l.Vocab(list(' abcdefghijklmnopqrstuvwxyz'))"

LIBRARY = """
rnn = d2l.RNN(num_hiddens=32, activation="relu", seed=None)
model = d2l.RNNLM(rnn, vocab_size=len(vocab), lr=1, seed=None)
print(model.predict("it has", 20, vocab))
"""

CELLS = """
from mxnet import np, npx
from mxnet.gluon import nn, rnn
npx.set_np()

class RNN(d2l.Module):
    def __init__(self, num_hiddens):
        super().__init__()
        self.save_hyperparameters()
        self.rnn = rnn.RNN(num_hiddens)

    def forward(self, inputs, H=None):
        if H is None:
            H, = self.rnn.begin_state(inputs.shape[1], ctx=inputs.ctx)
        outputs, (H,) = self.rnn(inputs, (H,))
        return outputs, H

class RNNLM(d2l.RNNLMScratch):
    def init_params(self):
        self.linear = nn.Dense(self.vocab_size, flatten=False)
        self.initialize()

    def output_layer(self, hiddens):
        return d2l.swapaxes(self.linear(hiddens), 0, 1)

model = RNNLM(RNN(num_hiddens=32), vocab_size=len(vocab), lr=1)
print(model.predict("it has", 20, vocab))
"""

SEEDED = """
before = d2l.RNNLM(d2l.RNN(num_hiddens=9, seed=5), vocab_size=len(vocab), seed=6)
before.predict("it has", 3, vocab, seed=7)
"""

OTHER_STREAM = """
import mxnet
mxnet.random.seed(1)
"""


def output(*cells):
    environment = {**os.environ, "D2LRNN_BACKEND": "mxnet"}
    environment.pop("MXNET_SEED", None)
    program = "\n".join((VOCAB, *cells))
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("cells", [LIBRARY, CELLS], ids=["library", "cells"])
def test_the_untrained_model_continues_as_the_book_prints(cells):
    assert output(cells) == PRINTED


def test_a_seed_leaves_the_stream_alone():
    assert output(SEEDED, LIBRARY) == PRINTED


def test_without_a_seed_the_stream_decides():
    assert output(OTHER_STREAM, LIBRARY) != PRINTED
