"""Recurrent layers above each other from scratch, and dropout between gluon's (book, section 10.3)."""

from mxnet import autograd, npx
from mxnet.gluon import nn

from d2lrnn.module import draw_by_path

from .module import Module
from .ops import concat, reshape, stack
from .rnn_scratch import RNNScratch
from .weights import has_sizes


class StackedRNNScratch(Module):
    """Recurrent layers above each other (book, section 10.3.1); on gluon's, `RNN` with `num_layers`.

    H_t^(l) = tanh(H_t^(l-1) W_xh^(l) + H_{t-1}^(l) W_hh^(l) + b_h^(l)),  H_t^(0) = X_t.

    The state is a list of num_layers states (batch_size, num_hiddens).

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of the H_t of each layer.
        num_layers: how many.
        sigma: standard deviation of the initial weights.
        seed: of the initial weights, which are the same on every backend; see `draw`.
    """

    def __init__(self, num_inputs, num_hiddens, num_layers, sigma=0.01, *, seed=0):
        super().__init__()
        self.save_hyperparameters()
        sizes = [num_inputs] + [num_hiddens] * (num_layers - 1)
        self.rnns = nn.Sequential()
        self.rnns.add(*(RNNScratch(size, num_hiddens, sigma, seed=seed) for size in sizes))
        draw_by_path(self, "rnn")  # no two start as copies

    def forward(self, inputs, Hs=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from the states `Hs`, by default zeros.

        Returns the last layer's outputs (num_steps, batch_size, num_hiddens), and a list of the last states.
        """
        outputs, Hs = inputs, [None] * self.num_layers if Hs is None else list(Hs)
        for i, rnn in enumerate(self.rnns):
            outputs, Hs[i] = rnn(outputs, Hs[i])
            outputs = stack(outputs, 0)  # (num_steps, batch_size, num_hiddens)
        return outputs, Hs


def with_dropout(layer, dropout, inputs, state):
    """Gluon's `layer` over `inputs` and, in training, with dropout between the layers that it is made of.

    Told of dropout, gluon's own drops nothing on a CPU; so in training its layers are run one by one. The
    state is an array or several, by default zeros; a list of them is returned.
    """
    if state is None:
        state = layer.begin_state(inputs.shape[1], ctx=inputs.ctx)
    state = state if isinstance(state, tuple | list) else [state]
    if not (dropout and autograd.is_training()):
        return layer(inputs, state)
    if not has_sizes(layer):
        layer(inputs, state)
    n, outputs, last = layer._dir, inputs, []  # n: directions
    kind = {"mode": layer._mode, "state_size": layer._hidden_size, "bidirectional": n == 2}
    parts = [(d, g, what) for what in ("weight", "bias") for d in "lr"[:n] for g in ("i2h", "h2h")]
    for i in range(layer._num_layers):
        if i > 0:
            outputs = npx.dropout(outputs, dropout)
        arrays = [getattr(layer, f"{d}{i}_{g}_{what}").data() for d, g, what in parts]
        weights = concat([reshape(array, -1) for array in arrays])
        H_C = [S[n * i : n * (i + 1)] for S in state]  # each (n, batch_size, num_hiddens)
        # (num_steps, batch_size, n * num_hiddens)
        outputs, *H_C = npx.rnn(outputs, weights, *H_C, num_layers=1, state_outputs=True, **kind)
        last.append(H_C)
    return outputs, [concat(S) for S in zip(*last, strict=True)]  # (num_layers * n, ...)
