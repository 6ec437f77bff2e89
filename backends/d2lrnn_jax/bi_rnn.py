"""Recurrent networks in both directions, in Flax (book, section 10.4)."""

from dataclasses import field

from flax import linen as nn

from d2lrnn.hyperparameters import check_fields

from .deep_rnn import above_each_other, join, split
from .gru import GRU
from .lstm import LSTM
from .module import Module
from .ops import concat
from .rnn import RNN
from .rnn_scratch import RNNScratch


class TwoWay(Module):
    """What a layer in both directions is besides a layer: its outputs are twice as wide as its states."""

    # What `num_hiddens` was given as. A field, for Flax copies modules by their fields: no copy doubles it.
    half: int | None = field(default=None, kw_only=True)

    bidirectional = True

    def __post_init__(self):
        if self.half is None:
            check_fields(self)
            self.half = self.num_hiddens
        self.num_hiddens = 2 * self.half
        super().__post_init__()


class BiRNNScratch(TwoWay):
    """Two layers, one run from the first step and one from the last (book, section 10.4.1).

    H_t = [forward H_t, backward H_t], of size 2 num_hiddens, which then is `num_hiddens`.

    The arguments are those of `RNNScratch`, but for an activation; `num_hiddens` is the size of each.
    """

    num_inputs: int
    num_hiddens: int
    sigma: float = 0.01
    seed: int | None = field(default=0, kw_only=True)

    activation = "tanh"

    def setup(self):
        self.f_rnn = RNNScratch(self.num_inputs, self.half, self.sigma, seed=self.seed)
        self.b_rnn = RNNScratch(self.num_inputs, self.half, self.sigma, seed=self.seed)

    def forward(self, inputs, Hs=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from a list of two states, forward, backward.

        Returns all outputs (num_steps, batch_size, 2 num_hiddens), and the last states, a list of two.
        """
        return both_ways(self.f_rnn, self.b_rnn, inputs, *([None, None] if Hs is None else Hs))


def both_ways(f_rnn, b_rnn, inputs, f_H, b_H):
    """The outputs of two layers beside each other, the second's turned round again, and their states."""
    f_outputs, f_H = f_rnn(inputs, f_H)  # (num_steps, batch_size, num_hiddens)
    b_outputs, b_H = b_rnn(inputs[::-1], b_H)
    return concat((f_outputs, b_outputs[::-1]), -1), [f_H, b_H]


class BiRecurrent(TwoWay, RNN):
    """Layers of `one_way` in both directions, one above the other.

    The arguments are those of `RNN`, but for an activation. A state is (2 num_layers, batch_size,
    num_hiddens): the lowest layer's forward and backward, then those of the layer above it.
    """

    activation: None = field(default=None, init=False)  # there is none to choose

    @nn.compact
    def forward(self, inputs, state=None, training=False):
        if self.num_layers > 1:
            return above_each_other(self, inputs, state, training)
        options = {
            "num_inputs": self.num_inputs,
            "seed": self.seed,
            "kernel_init": self.kernel_init,
        }
        ways = [self.one_way(self.half, **options, name=f"{d}_rnn") for d in "fb"]
        outputs, states = both_ways(*ways, inputs, *split(state, 2))
        return outputs, join(states)


class BiGRU(BiRecurrent):
    """A GRU in both directions (book, section 10.4.2)."""

    one_way = GRU


class BiLSTM(BiRecurrent):
    """An LSTM in both directions (book, section 10.4); its state is a pair (H, C)."""

    one_way = LSTM
