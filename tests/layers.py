"""The recurrent layers of the library, in one table that the shared suites run over.

A new layer is one more row: everything that is tested of all layers is then tested of it, against the
equations of its `network`.
"""

from typing import Any, NamedTuple

import d2lrnn as d2l


class Network(NamedTuple):
    """What a layer computes: a kind of `d2lrnn.cells.GATES`, in layers, in two directions or one."""

    kind: str = "rnn"
    num_layers: int = 1
    two_way: bool = False


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
        """Of a state in `model.states`: H, or each of the pair (H, C) of an LSTM."""
        num_states = self.network.num_layers * (1 + self.network.two_way)
        return (num_states, batch_size, num_hiddens)


BOTH = ("tanh", "relu")
LAYERS = {
    # sigma: large enough for the state to matter
    "RNNScratch": Layer("RNNScratch", "RNNLMScratch", options={"sigma": 0.5}, activations=BOTH),
    "RNN": Layer("RNN", "RNNLM", activations=BOTH),
}

# Two layers that compute the same: from scratch, and the framework's.
PAIRS = [
    (one, other)
    for one in LAYERS
    for other in LAYERS
    if one < other and LAYERS[one].network == LAYERS[other].network
]
