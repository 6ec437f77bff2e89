"""Recurrent networks in both directions, from scratch and on PyTorch's layers (book, section 10.4)."""

from torch import nn

from d2lrnn.module import draw_by_path

from .gru import GRU
from .lstm import LSTM
from .module import Module
from .ops import concat
from .rnn_scratch import RNNScratch


class BiRNNScratch(Module):
    """Two layers of section 9.5, the second of which reads from the end (book, section 10.4.1).

    Hf_t = tanh(X_t W_xh^(f) + Hf_{t-1} W_hh^(f) + b_h^(f))
    Hb_t = tanh(X_t W_xh^(b) + Hb_{t+1} W_hh^(b) + b_h^(b))
    H_t = [Hf_t, Hb_t]

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of Hf_t and of Hb_t; the attribute is that of H_t, twice as large.
        sigma: standard deviation of the initial weights.
        seed: of the initial weights, which are the same on every backend; see `draw`.
    """

    bidirectional = True

    def __init__(self, num_inputs, num_hiddens, sigma=0.01, *, seed=0):
        super().__init__()
        self.save_hyperparameters()
        self.f_rnn = RNNScratch(num_inputs, num_hiddens, sigma, seed=seed)
        self.b_rnn = RNNScratch(num_inputs, num_hiddens, sigma, seed=seed)
        self.num_hiddens *= 2
        draw_by_path(self, "rnn")  # the two do not start as copies

    def forward(self, inputs, Hs=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `Hs`, a state for each direction.

        Returns a list of num_steps outputs (batch_size, 2 * num_hiddens of each), and the list of the two
        last states (batch_size, num_hiddens of each): backward, that after the first step.
        """
        f_H, b_H = (None, None) if Hs is None else Hs
        f_outputs, f_H = self.f_rnn(inputs, f_H)
        b_outputs, b_H = self.b_rnn(inputs.flip(0), b_H)
        both = zip(f_outputs, reversed(b_outputs), strict=True)  # of the same step
        return [concat((f, b), -1) for f, b in both], [f_H, b_H]


class BiGRU(GRU):
    """GRU layers in both directions, on `torch.nn.GRU` (book, section 10.4.2).

    Arguments are those of `GRU`; the attribute `num_hiddens` is the size of the outputs, twice the argument.
    The state is (2 * num_layers, batch_size, num_hiddens of each): layer 0 forward, layer 0 backward, ...
    """

    bidirectional = True

    def begin(self):
        super().begin()
        self.num_hiddens *= 2

    def layer(self, num_inputs):
        sizes = num_inputs, self.hparams["num_hiddens"], self.num_layers
        return nn.GRU(*sizes, dropout=self.dropout, bidirectional=True)


class BiLSTM(LSTM):
    """LSTM layers in both directions, on `torch.nn.LSTM`: see `BiGRU`; the state is a pair (H, C) of such."""

    bidirectional = True

    def begin(self):
        super().begin()
        self.num_hiddens *= 2

    def layer(self, num_inputs):
        sizes = num_inputs, self.hparams["num_hiddens"], self.num_layers
        return nn.LSTM(*sizes, dropout=self.dropout, bidirectional=True)
