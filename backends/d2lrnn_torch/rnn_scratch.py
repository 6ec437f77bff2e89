"""The recurrent network from scratch, in PyTorch (book, section 9.5)."""

import torch
from torch import nn
from torch.nn import functional as F

from d2lrnn.hyperparameters import check_inputs
from d2lrnn.language_model import LanguageModel
from d2lrnn.module import draw_by_path, single_state
from d2lrnn.weights import draw, initial

from .module import Classifier, Module
from .ops import from_numpy, indices, matmul, stack, zeros
from .weights import arrays

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


class RNNScratch(Module):
    """A recurrent layer written out (book, section 9.5.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of H_t.
        sigma: standard deviation of the initial weights.
        activation: 'tanh' or 'relu'.
        seed: of the initial weights, which are the same on every backend; see `draw`.
    """

    def __init__(self, num_inputs, num_hiddens, sigma=0.01, *, activation="tanh", seed=0):
        super().__init__()
        self.save_hyperparameters()
        self.init_params()

    def init_params(self):
        self.W_xh, self.W_hh, self.b_h = self.triple("h")

    def triple(self, gate):
        """W_x (num_inputs, num_hiddens), W_h (num_hiddens, num_hiddens) and b (num_hiddens,) of a gate."""
        W_x = drawn(f"W_x{gate}", (self.num_inputs, self.num_hiddens), self.sigma, self.seed)
        W_h = drawn(f"W_h{gate}", (self.num_hiddens, self.num_hiddens), self.sigma, self.seed)
        return W_x, W_h, nn.Parameter(zeros(self.num_hiddens))

    def initial(self, path):
        """The initial weights of a layer at `path` below the model."""
        return initial(path, arrays(self), self.sigma, self.seed)

    def begin_state(self, batch_size, device=None):
        """H_0 (batch_size, num_hiddens), zeros."""
        return zeros((batch_size, self.num_hiddens), device=device)

    def step(self, X, H):
        """H_t, as state and as output, of X_t (batch_size, num_inputs) and H_{t-1}."""
        phi = ACTIVATIONS[self.activation]
        H = phi(matmul(X, self.W_xh) + matmul(H, self.W_hh) + self.b_h)  # (batch_size, num_hiddens)
        return H, H

    def forward(self, inputs, state=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state` (batch_size, num_hiddens).

        Returns a list of num_steps outputs (batch_size, num_hiddens), and the last state.
        """
        check_inputs(inputs.shape[-1], self.num_inputs)
        if state is None:
            state = self.begin_state(inputs.shape[1], inputs.device)
        state, outputs = single_state(state), []
        for X in inputs:  # (batch_size, num_inputs)
            state, output = self.step(X, state)
            outputs.append(output)
        return outputs, state


class RNNLMScratch(LanguageModel, Classifier):
    """A language model over a recurrent layer (book, section 9.5.2).

    O_t = H_t W_hq + b_q are the logits of the token that follows X_t.

    Args:
        rnn: a recurrent layer: called with (num_steps, batch_size, vocab_size) and a state.
        vocab_size: number of tokens.
        lr: learning rate of SGD.
        seed: of the initial weights, which are the same on every backend.
    """

    def __init__(self, rnn, vocab_size, lr=0.01, *, seed=0):
        super().__init__()
        self.save_hyperparameters()
        self.init_params()
        draw_by_path(self)

    def init_params(self):
        shape = (self.rnn.num_hiddens, self.vocab_size)
        sigma = getattr(self.rnn, "sigma", 0.01)  # which a framework's layer does not have
        self.W_hq = drawn("W_hq", shape, sigma, self.seed)
        self.b_q = nn.Parameter(zeros(self.vocab_size))

    def one_hot(self, X):
        """Tokens (batch_size, num_steps) as vectors (num_steps, batch_size, vocab_size)."""
        return F.one_hot(indices(X.T), self.vocab_size).to(torch.float32)

    def output_layer(self, rnn_outputs):
        """num_steps outputs (batch_size, num_hiddens) to logits (batch_size, num_steps, vocab_size)."""
        return matmul(stack(list(rnn_outputs), 1), self.W_hq) + self.b_q

    def forward(self, X, state=None):
        """Logits (batch_size, num_steps, vocab_size) of the tokens X (batch_size, num_steps)."""
        rnn_outputs, _ = self.rnn(self.one_hot(X), state)
        return self.output_layer(rnn_outputs)


def drawn(name, shape, sigma, seed):
    """A parameter drawn from N(0, sigma^2) by its `name` and `seed`."""
    return nn.Parameter(from_numpy(draw(name, shape, sigma, seed)))
