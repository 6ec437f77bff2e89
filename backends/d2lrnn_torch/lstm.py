"""Long short-term memory, from scratch and on `torch.nn.LSTM`, in PyTorch (book, section 10.1)."""

from torch import nn

from .module import Module
from .ops import matmul, sigmoid, tanh
from .rnn import RNN
from .rnn_scratch import RNNScratch


class LSTMScratch(RNNScratch):
    """An LSTM written out (book, section 10.1.2); its state is (H, C), its output H.

    I_t = sigmoid(X_t W_xi + H_{t-1} W_hi + b_i),  F_t and O_t likewise.
    C~_t = tanh(X_t W_xc + H_{t-1} W_hc + b_c)
    C_t = F_t * C_{t-1} + I_t * C~_t
    H_t = O_t * tanh(C_t)

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of H_t and of C_t.
        sigma: standard deviation of the initial weights.
        seed: of the initial weights, which are the same on every backend; see `draw`.
    """

    def __init__(self, num_inputs, num_hiddens, sigma=0.01, *, seed=0):
        Module.__init__(self)
        self.save_hyperparameters()
        self.init_params()

    def init_params(self):
        self.W_xi, self.W_hi, self.b_i = self.triple("i")  # input gate
        self.W_xf, self.W_hf, self.b_f = self.triple("f")  # forget gate
        self.W_xo, self.W_ho, self.b_o = self.triple("o")  # output gate
        self.W_xc, self.W_hc, self.b_c = self.triple("c")  # input node

    def begin_state(self, batch_size, device=None):
        """(H_0, C_0), each (batch_size, num_hiddens), zeros."""
        H = super().begin_state(batch_size, device)
        return H, H

    def step(self, X, H_C):
        """(H_t, C_t) as state and H_t as output, of X_t (batch_size, num_inputs) and (H_{t-1}, C_{t-1})."""
        H, C = H_C
        # All (batch_size, num_hiddens).
        I = sigmoid(matmul(X, self.W_xi) + matmul(H, self.W_hi) + self.b_i)
        F = sigmoid(matmul(X, self.W_xf) + matmul(H, self.W_hf) + self.b_f)
        O = sigmoid(matmul(X, self.W_xo) + matmul(H, self.W_ho) + self.b_o)
        C_tilde = tanh(matmul(X, self.W_xc) + matmul(H, self.W_hc) + self.b_c)
        C = F * C + I * C_tilde
        H = O * tanh(C)
        return (H, C), H


class LSTM(RNN):
    """LSTM layers above each other, on `torch.nn.LSTM` (book, section 10.1.3).

    The equations and, but for `sigma`, the arguments are those of `LSTMScratch`; `num_layers` and `dropout`
    those of `RNN`. The state is (H, C), each (num_layers, batch_size, num_hiddens).
    """

    def __init__(self, num_inputs=None, num_hiddens=None, num_layers=1, dropout=0, *, seed=0):
        Module.__init__(self)
        self.save_hyperparameters()
        self.begin()

    def layer(self, num_inputs):
        return nn.LSTM(num_inputs, self.num_hiddens, self.num_layers, dropout=self.dropout)
