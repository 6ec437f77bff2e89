"""Bidirectional recurrent networks, from scratch and on gluon's layers (book, section 10.4)."""

from mxnet import np
from mxnet.gluon import rnn

from d2lrnn.hyperparameters import check_positive, check_sizes
from d2lrnn.module import draw_by_path

from .module import Module
from .ops import concat
from .rnn import RNN
from .rnn_scratch import RNNScratch


class BiRNNScratch(Module):
    """Two layers, one run from the first step on, one from the last one back (book, section 10.4.1).

    H_t = [forward H_t, backward H_t], of which each is a state of `RNNScratch` in its direction.

    The state is a list of two, (batch_size, num_hiddens) each. Of the layer, once made, `num_hiddens` is
    the size of its outputs, twice that.

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of the H_t of each direction.
        sigma: standard deviation of the initial weights.
        seed: of the initial weights, which are the same on every backend; see `draw`.
    """

    bidirectional = True

    def __init__(self, num_inputs, num_hiddens, sigma=0.01, *, seed=0):
        super().__init__()
        self.save_hyperparameters()
        check_sizes(num_inputs=num_inputs, num_hiddens=num_hiddens)
        check_positive(sigma=sigma)
        self.f_rnn = RNNScratch(num_inputs, num_hiddens, sigma, seed=seed)
        self.b_rnn = RNNScratch(num_inputs, num_hiddens, sigma, seed=seed)
        self.num_hiddens *= 2
        draw_by_path(self, "rnn")

    def forward(self, inputs, Hs=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from the states `Hs`, by default zeros.

        Returns a list of num_steps outputs (batch_size, 2 num_hiddens), and a list of the two last states:
        the forward one of the last step, the backward one of the first.
        """
        f_H, b_H = Hs if Hs is not None else (None, None)
        f_outputs, f_H = self.f_rnn(inputs, f_H)
        b_outputs, b_H = self.b_rnn(np.flip(inputs, 0), b_H)
        both = zip(f_outputs, reversed(b_outputs), strict=True)
        return [concat(pair, -1) for pair in both], [f_H, b_H]


class BiGRU(RNN):
    """GRU layers in both directions, on `mxnet.gluon.rnn.GRU` (book, section 10.4.2).

    The state is H (2 num_layers, batch_size, num_hiddens): layer 0 forward, layer 0 backward, layer 1 ...
    Of the layer, once made, `num_hiddens` is the size of its outputs, twice that.

    Args:
        num_hiddens: size of the H_t of each direction.
        num_layers, dropout, num_inputs, seed: as of `RNN`.
    """

    bidirectional = True

    def __init__(self, num_hiddens, num_layers=1, dropout=0, *, num_inputs=None, seed=0):
        super().__init__(num_hiddens, num_layers, dropout, num_inputs=num_inputs, seed=seed)
        self.num_hiddens *= 2

    def layer(self, num_inputs):
        sizes = self.hparams["num_hiddens"], self.num_layers
        return rnn.GRU(*sizes, bidirectional=True, input_size=num_inputs)


class BiLSTM(BiGRU):
    """As `BiGRU`, on `mxnet.gluon.rnn.LSTM`; the state is (H, C), of the same shape each."""

    def layer(self, num_inputs):
        sizes = self.hparams["num_hiddens"], self.num_layers
        return rnn.LSTM(*sizes, bidirectional=True, input_size=num_inputs)
