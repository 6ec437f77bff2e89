"""Long short-term memory, from scratch and on a linen cell (book, section 10.1)."""

from dataclasses import field

from flax import linen as nn
from flax.linen.initializers import lecun_normal, orthogonal, zeros_init
from jax import numpy as jnp

from .ops import concat, matmul, sigmoid, tanh
from .parameters import seeded
from .rnn import RNN
from .rnn_scratch import RNNScratch


class LSTMScratch(RNNScratch):
    """An LSTM written out (book, section 10.1.2); its state is (H, C), each (batch_size, num_hiddens).

    I_t = sigmoid(X_t W_xi + H_{t-1} W_hi + b_i), and so F_t and O_t,
    C_t = F_t * C_{t-1} + I_t * tanh(X_t W_xc + H_{t-1} W_hc + b_c),
    H_t = O_t * tanh(C_t).

    The arguments are those of `RNNScratch`, but for an activation.
    """

    activation: None = field(default=None, init=False)  # there is none to choose

    def init_params(self):
        self.W_xi, self.W_hi, self.b_i = self.triple("i")  # input gate
        self.W_xf, self.W_hf, self.b_f = self.triple("f")  # forget gate
        self.W_xo, self.W_ho, self.b_o = self.triple("o")  # output gate
        self.W_xc, self.W_hc, self.b_c = self.triple("c")  # input node

    def begin_state(self, batch_size):
        H = super().begin_state(batch_size)
        return H, H

    def step(self, X, state):
        H, C = state  # each (batch_size, num_hiddens), as all below
        I = sigmoid(matmul(X, self.W_xi) + matmul(H, self.W_hi) + self.b_i)
        F = sigmoid(matmul(X, self.W_xf) + matmul(H, self.W_hf) + self.b_f)
        O = sigmoid(matmul(X, self.W_xo) + matmul(H, self.W_ho) + self.b_o)
        C_tilde = tanh(matmul(X, self.W_xc) + matmul(H, self.W_hc) + self.b_c)
        C = F * C + I * C_tilde
        H = O * tanh(C)
        return (H, C), H


class LSTMCell(nn.Module):
    """One time step of `LSTMScratch`'s equations; the initialisers are those of linen's `LSTMCell`."""

    num_hiddens: int
    seed: int | None = field(default=0, kw_only=True)
    kernel_init: nn.initializers.Initializer | None = field(default=None, kw_only=True)

    @nn.compact
    def __call__(self, state, X):
        """The state (H, C) and the output H, of a state and X (batch_size, num_inputs)."""
        H, C = state
        W_x, W_h, b = side_by_side(self, "ifoc", X.shape[-1])
        gates = matmul(X, W_x) + matmul(H, W_h) + b  # (batch_size, 4 num_hiddens)
        I, F, O, C_tilde = jnp.split(gates, 4, -1)
        C = sigmoid(F) * C + sigmoid(I) * tanh(C_tilde)  # (batch_size, num_hiddens)
        H = sigmoid(O) * tanh(C)
        return (H, C), H


def side_by_side(cell, gates, num_inputs):
    """W_x (num_inputs, num_gates * num_hiddens), W_h and b of all gates of a cell: one product for all."""

    def of_all(letter, initializer, *shape):
        names = [f"{letter}{gate}" for gate in gates]
        return concat([cell.param(n, seeded(cell, n, initializer), shape) for n in names], -1)

    h = cell.num_hiddens
    of_X, of_H = cell.kernel_init or lecun_normal(), cell.kernel_init or orthogonal()
    W_x, W_h = of_all("W_x", of_X, num_inputs, h), of_all("W_h", of_H, h, h)
    return W_x, W_h, of_all("b_", zeros_init(), h)


class LSTM(RNN):
    """LSTM layers: `LSTMCell`, run over time (book, section 10.1.3).

    The state is (H, C), each (num_layers, batch_size, num_hiddens).
    """

    activation: None = field(default=None, init=False)  # there is none to choose

    def begin_state(self, batch_size):
        H = super().begin_state(batch_size)
        return H, H

    def layer(self):
        options = {"seed": self.seed, "kernel_init": self.kernel_init}
        return LSTMCell(self.num_hiddens, **options, name="cell")
