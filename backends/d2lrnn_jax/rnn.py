"""The recurrent network on a linen cell that `nn.scan` runs over time (book, section 9.6)."""

from dataclasses import field

import jax
from flax import linen as nn
from flax.linen.initializers import lecun_normal, orthogonal

from d2lrnn.hyperparameters import check_inputs, check_one_of, check_sizes
from d2lrnn.module import single_state

from .module import Module, mode_for
from .ops import expand_dims, matmul, swapaxes, zeros
from .parameters import seeded
from .rnn_scratch import ACTIVATIONS, RNNLMScratch


class RNNCell(nn.Module):
    """One time step: H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU."""

    num_hiddens: int
    activation: str = "tanh"
    seed: int | None = 0

    @nn.compact
    def __call__(self, H, X):
        """H_t, as state and as output, of H (batch_size, num_hiddens) and X (batch_size, num_inputs)."""
        h = self.num_hiddens  # and the initialisers are those of linen's `SimpleCell`
        W_xh = self.param("W_xh", seeded(self, "W_xh", lecun_normal()), (X.shape[-1], h))
        W_hh = self.param("W_hh", seeded(self, "W_hh", orthogonal()), (h, h))
        b_h = self.param("b_h", nn.initializers.zeros, (h,))
        H = ACTIVATIONS[self.activation](matmul(X, W_xh) + matmul(H, W_hh) + b_h)
        return H, H


def run(cell, state, inputs):
    """`cell` over all inputs (num_steps, batch_size, num_inputs) from `state`: last state, all outputs."""
    scan = nn.scan(type(cell).__call__, variable_broadcast="params", split_rngs={"params": False})
    return scan(cell, state, inputs)


class RNN(Module):
    """A recurrent layer: `RNNCell`, run over time by `nn.scan` (book, section 9.6.1).

    The arguments are those of `RNNScratch`; `num_inputs`, if left out, is taken from the first input.
    """

    num_hiddens: int
    num_inputs: int | None = field(default=None, kw_only=True)
    activation: str = field(default="tanh", kw_only=True)
    seed: int | None = field(default=0, kw_only=True)

    def __post_init__(self):
        given = 1 if self.num_inputs is None else self.num_inputs
        check_sizes(num_hiddens=self.num_hiddens, num_inputs=given)
        check_one_of("activation", self.activation, ACTIVATIONS)
        super().__post_init__()

    def layer(self):  # the cell that is run over time
        return RNNCell(self.num_hiddens, self.activation, self.seed, name="cell")

    @nn.compact
    def forward(self, inputs, state=None, training=False):  # which changes nothing here
        """Run over inputs (num_steps, batch_size, num_inputs) from a state (1, batch_size, num_hiddens).

        Returns all outputs (num_steps, batch_size, num_hiddens), and the last state (1, ...).
        """
        check_inputs(inputs.shape[-1], self.num_inputs or inputs.shape[-1])
        start = zeros((inputs.shape[1], self.num_hiddens)) if state is None else single_state(state)
        state, outputs = run(self.layer(), start, inputs)
        return outputs, jax.tree.map(lambda H: expand_dims(H, 0), state)


class RNNLM(RNNLMScratch):
    """As `RNNLMScratch`, on Flax's own layers (book, section 9.6.1): `RNN`, then `nn.Dense`."""

    training: bool = (
        True  # what the recurrent layer is told by its third argument; a trainer sets it
    )

    def init_params(self):
        self.linear = nn.Dense(self.vocab_size, kernel_init=seeded(self, "W_hq", lecun_normal()))

    def output_layer(self, hiddens):
        """Outputs (num_steps, batch_size, num_hiddens) to logits (batch_size, num_steps, vocab_size)."""
        return swapaxes(self.linear(hiddens), 0, 1)

    def forward(self, X, state=None):
        rnn_outputs, _ = self.rnn(self.one_hot(X), state, *mode_for(self.rnn, self.training))
        return self.output_layer(rnn_outputs)
