"""The recurrent network on a linen cell that `nn.scan` runs over time (book, section 9.6)."""

from dataclasses import field

import jax
from flax import linen as nn
from flax.linen.initializers import lecun_normal, orthogonal

from d2lrnn.hyperparameters import check_inputs
from d2lrnn.module import single_state

from .deep_rnn import above_each_other, one_step
from .module import Module
from .ops import expand_dims, matmul, swapaxes, zeros
from .parameters import seeded
from .rnn_scratch import ACTIVATIONS, RNNLMScratch


class RNNCell(nn.Module):
    """One time step: H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU."""

    num_hiddens: int
    activation: str = "tanh"
    seed: int | None = 0
    kernel_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, H, X):
        """H_t, as state and as output, of H (batch_size, num_hiddens) and X (batch_size, num_inputs)."""
        h, init = self.num_hiddens, self.kernel_init  # by default as of linen's `SimpleCell`
        W_xh = self.param("W_xh", seeded(self, "W_xh", init or lecun_normal()), (X.shape[-1], h))
        W_hh = self.param("W_hh", seeded(self, "W_hh", init or orthogonal()), (h, h))
        b_h = self.param("b_h", nn.initializers.zeros, (h,))
        H = ACTIVATIONS[self.activation](matmul(X, W_xh) + matmul(H, W_hh) + b_h)
        return H, H


class RNN(Module):
    """A recurrent layer: `RNNCell`, run over time by `nn.scan` (book, section 9.6.1).

    Args:
        num_hiddens: size of H_t.
        num_layers: how many; each but the first runs over the outputs of the one below.
        dropout: the share of these outputs that is dropped, between two layers, in training.
        num_inputs: size of X_t; if left out, taken from the first input.
        activation: 'tanh' or 'relu'.
        seed: of the initial weights; None leaves them to the key of `init`. `kernel_init` draws W_x, W_h.
    """

    num_hiddens: int
    num_layers: int = 1
    dropout: float = 0
    num_inputs: int | None = field(default=None, kw_only=True)
    activation: str = field(default="tanh", kw_only=True)
    seed: int | None = field(default=0, kw_only=True)
    kernel_init: nn.initializers.Initializer | None = field(default=None, kw_only=True)

    def layer(self):  # the cell that is run over time
        return RNNCell(self.num_hiddens, self.activation, self.seed, self.kernel_init, name="cell")

    def begin_state(self, batch_size):
        return zeros((batch_size, self.num_hiddens))

    @nn.compact
    def forward(self, inputs, state=None, training=False):
        """Run over inputs (num_steps, batch_size, num_inputs) from a state (num_layers, batch_size, ...).

        Returns all outputs (num_steps, batch_size, num_hiddens), and the last state.
        """
        if self.num_layers > 1:
            return above_each_other(self, inputs, state, training)
        check_inputs(inputs.shape[-1], self.num_inputs or inputs.shape[-1])
        state = self.begin_state(inputs.shape[1]) if state is None else single_state(state)
        cell, run, split_rngs = self.layer(), one_step, {"params": False}
        if len(inputs) > 1:  # a step by itself needs no loop, which takes its time to compile
            run = nn.scan(type(cell).__call__, variable_broadcast="params", split_rngs=split_rngs)
        state, outputs = run(cell, state, inputs)
        return outputs, jax.tree.map(lambda H: expand_dims(H, 0), state)


class RNNLM(RNNLMScratch):
    """As `RNNLMScratch`, on Flax's own layers (book, section 9.6.1): `RNN`, then `nn.Dense`."""

    def init_params(self):
        self.linear = nn.Dense(self.vocab_size, kernel_init=seeded(self, "W_hq", lecun_normal()))

    def output_layer(self, hiddens):
        """Outputs (num_steps, batch_size, num_hiddens) to logits (batch_size, num_steps, vocab_size)."""
        return swapaxes(self.linear(hiddens), 0, 1)
