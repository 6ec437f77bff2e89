"""Long short-term memory, from scratch and on `keras.layers.LSTM` (book, section 10.1)."""

from tensorflow import keras

from .ops import matmul, sigmoid, tanh
from .rnn import RNN
from .rnn_scratch import RNNScratch
from .variables import recurrent_options


class LSTMScratch(RNNScratch):
    """An LSTM written out (book, section 10.1.2); its state is (H, C), each (batch_size, num_hiddens).

    I_t = sigmoid(X_t W_xi + H_{t-1} W_hi + b_i),  F_t and O_t likewise
    C_t = F_t * C_{t-1} + I_t * tanh(X_t W_xc + H_{t-1} W_hc + b_c)
    H_t = O_t * tanh(C_t)

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of H_t and C_t.
        sigma: standard deviation of the initial weights.
        seed: of the initial weights, which are the same on every backend.
    """

    def __init__(self, num_inputs, num_hiddens, sigma=0.01, *, seed=0):
        super().__init__(num_inputs, num_hiddens, sigma, seed=seed)

    def init_params(self):
        self.W_xi, self.W_hi, self.b_i = self.triple("i")  # input gate
        self.W_xf, self.W_hf, self.b_f = self.triple("f")  # forget gate
        self.W_xo, self.W_ho, self.b_o = self.triple("o")  # output gate
        self.W_xc, self.W_hc, self.b_c = self.triple("c")  # input node

    def begin_state(self, batch_size):
        """(H_0, C_0), each (batch_size, num_hiddens), zeros."""
        return super().begin_state(batch_size), super().begin_state(batch_size)

    def step(self, X, H_C):
        """(H_t, C_t) as state and H_t as output, of X_t (batch_size, num_inputs) and (H_{t-1}, C_{t-1})."""
        H, C = H_C
        I = sigmoid(matmul(X, self.W_xi) + matmul(H, self.W_hi) + self.b_i)
        F = sigmoid(matmul(X, self.W_xf) + matmul(H, self.W_hf) + self.b_f)
        O = sigmoid(matmul(X, self.W_xo) + matmul(H, self.W_ho) + self.b_o)
        C_tilde = tanh(matmul(X, self.W_xc) + matmul(H, self.W_hc) + self.b_c)
        C = F * C + I * C_tilde  # as all of these, (batch_size, num_hiddens)
        H = O * tanh(C)
        return (H, C), H


class LSTM(RNN):
    """LSTMs above each other, on `keras.layers.LSTM` (book, section 10.1.3).

    The equations are those of `LSTMScratch`; the state is (H, C), each (num_layers, batch_size,
    num_hiddens). Keras lets the bias b_f of the forget gate start at 1, not at 0: it forgets little at first.

    Args:
        num_hiddens: size of H_t and C_t.
        num_layers: how many; each but the first runs over the outputs of the one below.
        dropout: the share of these outputs that is dropped between two layers, in training.
        num_inputs: size of X_t; left out, that of the vocabulary, or of the first input.
        seed: of Keras's own initialisers; None draws from Keras's global stream.
    """

    def __init__(self, num_hiddens, num_layers=1, dropout=0, *, num_inputs=None, seed=0):
        super().__init__(num_hiddens, num_layers, dropout, num_inputs=num_inputs, seed=seed)

    def layer(self, start):
        return keras.layers.LSTM(self.num_hiddens, **recurrent_options(self.seed, start))
