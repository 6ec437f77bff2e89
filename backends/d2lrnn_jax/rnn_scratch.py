"""The recurrent network from scratch, in Flax (book, section 9.5)."""

from dataclasses import field

import jax
from flax import linen as nn
from jax import numpy as jnp

from d2lrnn.hyperparameters import check_inputs
from d2lrnn.module import single_state

from .module import Classifier, Module, mode_for
from .ops import matmul, stack, zeros
from .parameters import LanguageModel, seeded

ACTIVATIONS = {"tanh": jnp.tanh, "relu": nn.relu}


class RNNScratch(Module):
    """A recurrent layer written out (book, section 9.5.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of H_t.
        sigma: standard deviation of the initial weights.
        activation: 'tanh' or 'relu'.
        seed: of the initial weights, the same on every backend; None leaves them to the key of `init`.
    """

    num_inputs: int
    num_hiddens: int
    sigma: float = 0.01
    activation: str = field(default="tanh", kw_only=True)
    seed: int | None = field(default=0, kw_only=True)

    def setup(self):
        self.init_params()

    def init_params(self):
        self.W_xh, self.W_hh, self.b_h = self.triple("h")

    def triple(self, gate):
        """W_x (num_inputs, num_hiddens), W_h (num_hiddens, num_hiddens) and b (num_hiddens,) of a gate."""
        x, h, b = f"W_x{gate}", f"W_h{gate}", f"b_{gate}"
        W_x = self.param(x, seeded(self, x, self.sigma), (self.num_inputs, self.num_hiddens))
        W_h = self.param(h, seeded(self, h, self.sigma), (self.num_hiddens, self.num_hiddens))
        return W_x, W_h, self.param(b, nn.initializers.zeros, (self.num_hiddens,))

    def begin_state(self, batch_size):
        """H_0 (batch_size, num_hiddens), zeros."""
        return zeros((batch_size, self.num_hiddens))

    def step(self, X, H):
        """H_t, as state and as output, of X_t (batch_size, num_inputs) and H_{t-1}."""
        phi = ACTIVATIONS[self.activation]
        H = phi(matmul(X, self.W_xh) + matmul(H, self.W_hh) + self.b_h)  # (batch_size, num_hiddens)
        return H, H

    def forward(self, inputs, state=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state` (batch_size, num_hiddens).

        Returns all outputs (num_steps, batch_size, num_hiddens), and the last state.
        """
        check_inputs(inputs.shape[-1], self.num_inputs)
        state = self.begin_state(inputs.shape[1]) if state is None else single_state(state)
        # `for X in inputs` would do, but would compile each step of a long sequence by itself.
        state, outputs = jax.lax.scan(lambda state, X: self.step(X, state), state, inputs)
        return outputs, state


class RNNLMScratch(LanguageModel, Classifier):
    """A language model over a recurrent layer (book, section 9.5.2).

    O_t = H_t W_hq + b_q are the logits of the token that follows X_t.

    Args:
        rnn: a recurrent layer: called with (num_steps, batch_size, vocab_size) and a state.
        vocab_size: number of tokens.
        lr: learning rate of SGD.
        seed: of the initial weights, as of `RNNScratch`.
    """

    rnn: nn.Module
    vocab_size: int
    lr: float = 0.01
    training: bool = True  # the third argument of a recurrent layer that drops; a trainer sets it
    seed: int | None = field(default=0, kw_only=True)

    def setup(self):
        self.init_params()

    def init_params(self):
        sigma = getattr(self.rnn, "sigma", 0.01)  # which a framework's layer does not have
        W_hq = seeded(self, "W_hq", sigma)
        self.W_hq = self.param("W_hq", W_hq, (self.rnn.num_hiddens, self.vocab_size))
        self.b_q = self.param("b_q", nn.initializers.zeros, (self.vocab_size,))

    def one_hot(self, X):
        """Tokens (batch_size, num_steps) as vectors (num_steps, batch_size, vocab_size)."""
        return jax.nn.one_hot(X.T, self.vocab_size)

    def output_layer(self, rnn_outputs):
        """num_steps outputs (batch_size, num_hiddens) to logits (batch_size, num_steps, vocab_size)."""
        return matmul(stack(rnn_outputs, 1), self.W_hq) + self.b_q

    def forward(self, X, state=None):
        """Logits (batch_size, num_steps, vocab_size) of the tokens X (batch_size, num_steps)."""
        rnn_outputs, _ = self.rnn(self.one_hot(X), state, *mode_for(self.rnn, self.training))
        return self.output_layer(rnn_outputs)
