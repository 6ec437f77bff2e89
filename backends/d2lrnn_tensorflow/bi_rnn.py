"""Recurrent networks in both directions, from scratch and on `keras.layers.Bidirectional` (section 10.4)."""

from tensorflow.keras.layers import Bidirectional

from d2lrnn.module import draw_by_path

from .gru import GRU
from .lstm import LSTM
from .module import Module
from .ops import concat
from .rnn_scratch import RNNScratch


class BiRNNScratch(Module):
    """Two layers, of which one reads from the first step and the other from the last (section 10.4.1).

    H_t = [forward H_t, backward H_t], of size 2 num_hiddens. At the step t both have read X_t.

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of H_t in one direction; as an attribute, that of both.
        sigma: standard deviation of the initial weights.
        seed: of the initial weights, which are the same on every backend.
    """

    bidirectional = True

    def __init__(self, num_inputs, num_hiddens, sigma=0.01, *, seed=0):
        super().__init__()
        self.save_hyperparameters()
        self.f_rnn = RNNScratch(num_inputs, num_hiddens, sigma, seed=seed)
        self.b_rnn = RNNScratch(num_inputs, num_hiddens, sigma, seed=seed)
        draw_by_path(self, "rnn")  # of one seed they are copies
        self.num_hiddens *= 2  # the size of its outputs

    def forward(self, inputs, Hs=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from the states `Hs`, by default zeros.

        Returns a list of num_steps outputs (batch_size, 2 num_hiddens), and the list of the last state
        (batch_size, num_hiddens) of each direction; the backward one's is that at the first step.
        """
        f_H, b_H = (None, None) if Hs is None else (Hs[0], Hs[1])
        f_outputs, f_H = self.f_rnn(inputs, f_H)
        b_outputs, b_H = self.b_rnn(inputs[::-1], b_H)
        both = zip(f_outputs, b_outputs[::-1], strict=True)
        return [concat((f, b), -1) for f, b in both], [f_H, b_H]


class BothDirections:
    """What makes of a layer one in both directions: of each of Keras's, another that reads backward.

    Of H_t the first half is the forward layer's, the second the backward one's. The first axis of a state
    are the directions: layer 0 forward, layer 0 backward, layer 1 forward, ...

    Args:
        num_hiddens: size of H_t in one direction; as an attribute, that of both.
        num_layers, dropout, num_inputs, seed: as those of the layer.
    """

    bidirectional = True

    def __init__(self, num_hiddens, num_layers=1, dropout=0, *, num_inputs=None, seed=0):
        super().__init__(num_hiddens, num_layers, dropout, num_inputs=num_inputs, seed=seed)
        self.num_hiddens *= 2  # the size of its outputs

    def layer(self, start):
        forward, backward = (super(BothDirections, self).layer(start + end) for end in "fb")
        backward.go_backwards = True
        return Bidirectional(forward, backward_layer=backward)


class BiGRU(BothDirections, GRU):
    """`GRU` in both directions (book, section 10.4.2)."""


class BiLSTM(BothDirections, LSTM):
    """`LSTM` in both directions (book, section 10.4.2)."""
