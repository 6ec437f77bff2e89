"""Recurrent layers above each other, from scratch and on Keras's (book, section 10.3)."""

import tensorflow as tf

from d2lrnn.module import draw_by_path

from .module import Module
from .ops import stack, swapaxes
from .rnn_scratch import LONGEST_UNROLLED, RNNScratch
from .weights import directions


class StackedRNNScratch(Module):
    """Recurrent layers above each other (book, section 10.3.1).

    H_t^(l) = tanh(H_t^(l-1) W_xh^(l) + H_{t-1}^(l) W_hh^(l) + b_h^(l)),  H_t^(0) = X_t.

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of H_t, in each layer.
        num_layers: how many.
        sigma: standard deviation of the initial weights.
        seed: of the initial weights, which are the same on every backend.
    """

    def __init__(self, num_inputs, num_hiddens, num_layers, sigma=0.01, *, seed=0):
        super().__init__()
        self.save_hyperparameters()
        sizes = [num_inputs] + [num_hiddens] * (num_layers - 1)
        self.rnns = [RNNScratch(size, num_hiddens, sigma, seed=seed) for size in sizes]
        draw_by_path(self, "rnn")  # of one seed they are copies

    def forward(self, inputs, Hs=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from the states `Hs`, by default zeros.

        Returns the last layer's outputs (num_steps, batch_size, num_hiddens), and the list of the last
        state (batch_size, num_hiddens) of each layer.
        """
        outputs, states = inputs, []
        for index, rnn in enumerate(self.rnns):
            outputs, H = rnn(outputs, None if Hs is None else Hs[index])
            outputs = stack(outputs, 0)  # (num_steps, batch_size, num_hiddens)
            states.append(H)
        return outputs, states


def run_layers(layers, inputs, state, mask, drop):
    """Keras's `layers`, one or a list, above each other over `inputs` (book, section 10.3.2).

    Arguments and returned values are those of `RNN.forward`, but for `drop`, the layer between two of them.
    """
    before = tf.nest.flatten(() if state is None else state)  # H, or H and C
    outputs, after = swapaxes(inputs, 0, 1), []  # Keras takes the batch first
    for index, layer in enumerate(tf.nest.flatten(layers)):
        both = directions(layer)
        for one in both:
            one.unroll = 0 < (inputs.shape[0] or 0) <= LONGEST_UNROLLED  # None in some graphs
        rows = range(index * len(both), (index + 1) * len(both))
        start = [H[row] if len(H.shape) == 3 else H for row in rows for H in before] or None
        outputs, *last = layer(drop(outputs) if index else outputs, start, mask=mask)
        after += last
    kinds = len(last) // len(both)  # 2 of an LSTM: H and C
    states = tuple(stack(after[kind::kinds]) for kind in range(kinds))
    return swapaxes(outputs, 0, 1), states if kinds > 1 else states[0]
