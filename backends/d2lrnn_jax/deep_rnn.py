"""Deep recurrent networks, in Flax (book, section 10.3)."""

from dataclasses import field

import jax
from flax import linen as nn
from jax import numpy as jnp

from .module import Module
from .ops import concat
from .rnn_scratch import RNNScratch


class StackedRNNScratch(Module):
    """Recurrent layers above each other (book, section 10.3.1).

    H_t^(l) = tanh(H_t^(l-1) W_xh^(l) + H_{t-1}^(l) W_hh^(l) + b_h^(l)),  H_t^(0) = X_t.

    The arguments are those of `RNNScratch`, but for an activation, and num_layers, how many layers.
    """

    num_inputs: int
    num_hiddens: int
    num_layers: int
    sigma: float = 0.01
    seed: int | None = field(default=0, kw_only=True)

    activation = "tanh"

    def setup(self):
        sizes = [self.num_inputs] + [self.num_hiddens] * (self.num_layers - 1)
        self.rnns = [
            RNNScratch(size, self.num_hiddens, self.sigma, seed=self.seed) for size in sizes
        ]

    def forward(self, inputs, Hs=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from a list of num_layers states.

        Returns the last layer's outputs (num_steps, batch_size, num_hiddens), and the last states, a
        list of num_layers (batch_size, num_hiddens).
        """
        outputs, Hs = inputs, [None] * self.num_layers if Hs is None else list(Hs)
        for i, rnn in enumerate(self.rnns):
            outputs, Hs[i] = rnn(outputs, Hs[i])  # (num_steps, batch_size, num_hiddens)
        return outputs, Hs


def above_each_other(layer, inputs, state, training):
    """The outputs and the state of `layer.num_layers` layers like `layer` (book, section 10.3.2).

    Each has weights of its own. In training, `layer.dropout` of what goes from one to the next is zeroed.
    """
    outputs, new = inputs, []
    for i, H in enumerate(split(state, layer.num_layers)):
        if i > 0:
            outputs = nn.Dropout(layer.dropout, deterministic=not training)(outputs)
        options = {
            "num_inputs": layer.num_inputs if i == 0 else None,
            "num_layers": 1,
            "dropout": 0,
        }
        rnn = layer.clone(**options, parent=layer, name=f"rnns_{i}")
        outputs, H = rnn(outputs, H)  # (num_steps, batch_size, num_hiddens)
        new.append(H)
    return outputs, join(new)


def split(state, parts):
    """The states (n, batch_size, num_hiddens) of each of the parts that `state` is of; None is of None."""
    return [jax.tree.map(lambda H: jnp.split(H, parts)[i], state) for i in range(parts)]  # noqa: B023


def join(states):
    """The way back, along the first axis."""
    return jax.tree.map(lambda *parts: concat(parts), *states)


def one_step(cell, state, inputs):
    """The state and the outputs of a cell over inputs (1, batch_size, num_inputs)."""
    state, output = cell(state, inputs[0])
    return state, output[None]


def over_time(step):
    """`step(module, state, inputs) -> state, outputs` over all time steps, for modules of several layers."""
    rngs = {"params": False, "dropout": True}  # one mask for each step
    return nn.scan(step, variable_broadcast="params", split_rngs=rngs)
