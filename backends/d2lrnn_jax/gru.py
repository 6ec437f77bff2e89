"""Gated recurrent units, from scratch and on a linen cell (book, section 10.2)."""

from dataclasses import field

from flax import linen as nn
from jax import numpy as jnp

from .lstm import side_by_side
from .ops import matmul, sigmoid, tanh
from .rnn import RNN
from .rnn_scratch import RNNScratch


class GRUScratch(RNNScratch):
    """A GRU written out (book, section 10.2.4).

    Z_t = sigmoid(X_t W_xz + H_{t-1} W_hz + b_z), and so R_t,
    H_t = Z_t * H_{t-1} + (1 - Z_t) * tanh(X_t W_xh + (R_t * H_{t-1}) W_hh + b_h).

    The reset gate acts before the product with W_hh, in `GRU` after it. The arguments are those of
    `RNNScratch`, but for an activation.
    """

    activation: None = field(default=None, init=False)  # there is none to choose

    def init_params(self):
        self.W_xz, self.W_hz, self.b_z = self.triple("z")  # update gate
        self.W_xr, self.W_hr, self.b_r = self.triple("r")  # reset gate
        self.W_xh, self.W_hh, self.b_h = self.triple("h")  # candidate hidden state

    def step(self, X, H):
        # All (batch_size, num_hiddens).
        Z = sigmoid(matmul(X, self.W_xz) + matmul(H, self.W_hz) + self.b_z)
        R = sigmoid(matmul(X, self.W_xr) + matmul(H, self.W_hr) + self.b_r)
        H_tilde = tanh(matmul(X, self.W_xh) + matmul(R * H, self.W_hh) + self.b_h)
        H = Z * H + (1 - Z) * H_tilde
        return H, H


class GRUCell(nn.Module):
    """One time step of a GRU whose reset gate acts after the product with W_hn.

    It is linen's `GRUCell` without a bias inside: H~ = tanh(X_t W_xn + R_t * (H_{t-1} W_hn) + b_n).
    """

    num_hiddens: int
    seed: int | None = field(default=0, kw_only=True)
    kernel_init: nn.initializers.Initializer | None = field(default=None, kw_only=True)

    @nn.compact
    def __call__(self, H, X):
        """H_t, as state and as output, of H (batch_size, num_hiddens) and X (batch_size, num_inputs)."""
        W_x, W_h, b = side_by_side(self, "zrn", X.shape[-1])
        of_X = jnp.split(matmul(X, W_x) + b, 3, -1)  # each (batch_size, num_hiddens)
        of_H = jnp.split(matmul(H, W_h), 3, -1)
        Z, R = sigmoid(of_X[0] + of_H[0]), sigmoid(of_X[1] + of_H[1])
        H = Z * H + (1 - Z) * tanh(of_X[2] + R * of_H[2])
        return H, H


class GRU(RNN):
    """GRU layers: `GRUCell`, run over time (book, sections 10.2.5 and 10.3.2)."""

    activation: None = field(default=None, init=False)  # there is none to choose

    def layer(self):
        options = {"seed": self.seed, "kernel_init": self.kernel_init}
        return GRUCell(self.num_hiddens, **options, name="cell")
