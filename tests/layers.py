"""The recurrent layers of the library, in one table that the shared suites run over.

A new layer is one more row: everything that is tested of all layers is then tested of it, against the
equations of its `network`.
"""

from typing import Any, NamedTuple

import oracle

import d2lrnn as d2l


class Network(NamedTuple):
    """What a layer computes: a kind of `d2lrnn.cells.GATES`, in layers, in two directions or one."""

    kind: str = "rnn"
    num_layers: int = 1
    two_way: bool = False

    def shapes(self, vocab_size, num_hiddens):
        """The shape of each canonical weight of a language model of it."""
        return oracle.shapes(self.kind, vocab_size, num_hiddens, self.num_layers, self.two_way)


class Layer(NamedTuple):
    """A recurrent layer and the language model of it, by the names of their classes.

    Attributes:
        layer: the class of the layer.
        model: the class of the model.
        network: what it computes.
        options: of the layer, besides its sizes.
        activations: those that it can be told.
    """

    layer: str
    model: str
    network: Network = Network()
    options: dict[str, Any] = {}  # noqa: RUF012
    activations: tuple[str, ...] = ()

    @property
    def model_class(self):
        return getattr(d2l, self.model)

    def make(self, vocab_size, num_hiddens, lr, base=None, seed=0, **options):
        """A language model on this layer; `base` is a subclass to make instead, `options` the layer's."""
        sizes = {"num_inputs": vocab_size, "num_hiddens": num_hiddens, "seed": seed}
        rnn = getattr(d2l, self.layer)(**sizes, **{**self.options, **options})
        return (base or self.model_class)(rnn, vocab_size=vocab_size, lr=lr, seed=seed)

    def state_shape(self, batch_size, num_hiddens):
        """Of a state in `model.states`: H, or each of the pair (H, C) of LSTMs."""
        num_states = self.network.num_layers * (1 + self.network.two_way)
        return (num_states, batch_size, num_hiddens)


BOTH = ("tanh", "relu")
SIGMA = {"sigma": 0.5}  # large enough for the state to matter


def scratch(layer, network, activations=(), **options):
    return Layer(layer, "RNNLMScratch", network, {**SIGMA, **options}, activations)


def high_level(layer, kind, num_layers=1, two_way=False, activations=()):
    options = {"num_layers": num_layers} if num_layers > 1 else {}
    return Layer(layer, "RNNLM", Network(kind, num_layers, two_way), options, activations)


LAYERS = {
    "RNNScratch": scratch("RNNScratch", Network("rnn"), BOTH),
    "RNN": high_level("RNN", "rnn", activations=BOTH),
    "RNN of 2 layers": high_level("RNN", "rnn", 2, activations=BOTH),
    "LSTMScratch": scratch("LSTMScratch", Network("lstm")),
    "LSTM": high_level("LSTM", "lstm"),
    "LSTM of 3 layers": high_level("LSTM", "lstm", 3),
    "GRUScratch": scratch("GRUScratch", Network("gru_before")),
    "GRU": high_level("GRU", "gru_after"),
    "GRU of 3 layers": high_level("GRU", "gru_after", 3),
    "StackedRNNScratch": scratch("StackedRNNScratch", Network("rnn", 2), num_layers=2),
    "BiRNNScratch": scratch("BiRNNScratch", Network("rnn", two_way=True)),
    "BiGRU": high_level("BiGRU", "gru_after", two_way=True),
    "BiLSTM": high_level("BiLSTM", "lstm", two_way=True),
    "BiLSTM of 2 layers": high_level("BiLSTM", "lstm", 2, two_way=True),
}

CHAPTER_9 = ("RNNScratch", "RNN")
# Those over which the suite runs that is of no layer in particular: the book's first, and one whose state
# is a pair. What is of layers alone is tested of all.
FEW_LAYERS = (*CHAPTER_9, "LSTM")

# Two layers that compute the same: from scratch, and the framework's.
PAIRS = [
    (one, other)
    for one in LAYERS
    for other in LAYERS
    if one < other and LAYERS[one].network == LAYERS[other].network
]
