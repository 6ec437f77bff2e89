"""Recurrent layers above each other from scratch, in PyTorch (book, section 10.3).

On PyTorch's own layers (section 10.3.2) they are `RNN`, `LSTM` and `GRU` with `num_layers`.
"""

from torch import nn

from d2lrnn.module import draw_by_path

from .module import Module
from .ops import stack
from .rnn_scratch import RNNScratch


class StackedRNNScratch(Module):
    """Layers of section 9.5, of which each runs over the outputs of the one below (book, section 10.3.1).

    H_t^(l) = tanh(H_t^(l-1) W_xh^(l) + H_{t-1}^(l) W_hh^(l) + b_h^(l)),  H_t^(0) = X_t.

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of H_t^(l), of every layer l.
        num_layers: how many.
        sigma: standard deviation of the initial weights.
        seed: of the initial weights, which are the same on every backend; see `draw`.
    """

    def __init__(self, num_inputs, num_hiddens, num_layers, sigma=0.01, *, seed=0):
        super().__init__()
        self.save_hyperparameters()
        sizes = [num_inputs] + [num_hiddens] * (num_layers - 1)
        self.rnns = nn.Sequential(*(RNNScratch(d, num_hiddens, sigma, seed=seed) for d in sizes))
        draw_by_path(self, "rnn")  # no two start as copies

    def forward(self, inputs, Hs=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `Hs`, a state for each layer.

        Returns the outputs of the last layer (num_steps, batch_size, num_hiddens), and the list of the
        last states of all, num_layers of (batch_size, num_hiddens).
        """
        outputs, Hs = inputs, [None] * self.num_layers if Hs is None else list(Hs)
        for l, rnn in enumerate(self.rnns):
            outputs, Hs[l] = rnn(outputs, Hs[l])
            outputs = stack(outputs, 0)  # (num_steps, batch_size, num_hiddens)
        return outputs, Hs
