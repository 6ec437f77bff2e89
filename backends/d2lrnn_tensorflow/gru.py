"""Gated recurrent units, from scratch and on `keras.layers.GRU` (book, sections 10.2 and 10.3)."""

import tensorflow as tf
from tensorflow import keras

from .ops import matmul, sigmoid, tanh
from .rnn import RNN
from .rnn_scratch import RNNScratch
from .variables import recurrent_options
from .weights import directions


class GRUScratch(RNNScratch):
    """A GRU written out (book, section 10.2.4).

    Z_t = sigmoid(X_t W_xz + H_{t-1} W_hz + b_z),  R_t likewise
    H_t = Z_t * H_{t-1} + (1 - Z_t) * tanh(X_t W_xh + (R_t * H_{t-1}) W_hh + b_h)

    The reset gate R acts before the product with W_hh; in `GRU`, as in every framework, after it.

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of H_t.
        sigma: standard deviation of the initial weights.
        seed: of the initial weights, which are the same on every backend.
    """

    def __init__(self, num_inputs, num_hiddens, sigma=0.01, *, seed=0):
        super().__init__(num_inputs, num_hiddens, sigma, seed=seed)

    def init_params(self):
        self.W_xz, self.W_hz, self.b_z = self.triple("z")  # update gate
        self.W_xr, self.W_hr, self.b_r = self.triple("r")  # reset gate
        self.W_xh, self.W_hh, self.b_h = self.triple("h")  # candidate hidden state

    def step(self, X, H):
        """H_t, as state and as output, of X_t (batch_size, num_inputs) and H_{t-1}."""
        Z = sigmoid(matmul(X, self.W_xz) + matmul(H, self.W_hz) + self.b_z)
        R = sigmoid(matmul(X, self.W_xr) + matmul(H, self.W_hr) + self.b_r)
        H_tilde = tanh(matmul(X, self.W_xh) + matmul(R * H, self.W_hh) + self.b_h)
        H = Z * H + (1 - Z) * H_tilde  # as all of these, (batch_size, num_hiddens)
        return H, H


class GRU(RNN):
    """GRUs above each other, on `keras.layers.GRU` (book, sections 10.2.5 and 10.3.2).

    Z_t, R_t as in `GRUScratch`
    H_t = Z_t * H_{t-1} + (1 - Z_t) * tanh(X_t W_xn + R_t * (H_{t-1} W_hn) + b_n)

    Keras adds a second bias to each product with H_{t-1}; it is held at zero.

    Args:
        num_hiddens: size of H_t.
        num_layers: how many; each but the first runs over the outputs of the one below.
        dropout: the share of these outputs that is dropped between two layers, in training.
        num_inputs: size of X_t; left out, that of the vocabulary, or of the first input.
        seed: of Keras's own initialisers; None draws from Keras's global stream.
    """

    def __init__(self, num_hiddens, num_layers=1, dropout=0, *, num_inputs=None, seed=0):
        super().__init__(num_hiddens, num_layers, dropout, num_inputs=num_inputs, seed=seed)

    def layer(self, start):
        return keras.layers.GRU(self.num_hiddens, **recurrent_options(self.seed, start))

    def build(self, num_inputs):
        super().build(num_inputs)
        for layer in tf.nest.flatten(self.rnn):
            for one in directions(layer):
                one.cell.bias.held = True  # its second row
