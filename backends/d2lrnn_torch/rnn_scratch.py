"""The recurrent network from scratch, in PyTorch (book, section 9.5)."""

from __future__ import annotations

import torch
from torch import nn

from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import check_inputs, check_one_of, check_positive, check_sizes
from d2lrnn.language_model import LanguageModel, single_state
from d2lrnn.weights import draw

from .module import Classifier, Module
from .ops import from_numpy, matmul, numpy, stack, zeros
from .weights import get_gradients

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


class RNNScratch(Module):
    """A recurrent layer written out (book, section 9.5.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of H_t.
        sigma: standard deviation of the initial weights.
        activation: 'tanh' or 'relu'.
        seed: of the initial weights, which are the same on every backend.
    """

    def __init__(self, num_inputs, num_hiddens, sigma=0.01, *, activation="tanh", seed=0):
        super().__init__()
        self.save_hyperparameters()
        check_sizes(num_inputs=num_inputs, num_hiddens=num_hiddens)
        check_positive(sigma=sigma)
        check_one_of("activation", activation, ACTIVATIONS)
        self.W_xh = nn.Parameter(from_numpy(draw("W_xh", (num_inputs, num_hiddens), sigma, seed)))
        self.W_hh = nn.Parameter(from_numpy(draw("W_hh", (num_hiddens, num_hiddens), sigma, seed)))
        self.b_h = nn.Parameter(zeros(num_hiddens))

    def forward(self, inputs, state=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state` (batch_size, num_hiddens).

        Returns a list of num_steps tensors (batch_size, num_hiddens), and the last of them.
        """
        check_inputs(inputs.shape[-1], self.num_inputs)
        phi = ACTIVATIONS[self.activation]
        if state is None:
            H = zeros((inputs.shape[1], self.num_hiddens), device=inputs.device)
        else:
            H = single_state(state)
        outputs = []
        for X in inputs:  # (batch_size, num_inputs)
            H = phi(
                matmul(X, self.W_xh) + matmul(H, self.W_hh) + self.b_h
            )  # (batch_size, num_hiddens)
            outputs.append(H)
        return outputs, H


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
        check_sizes(vocab_size=vocab_size)
        check_positive(lr=lr)
        self.init_params()

    def init_params(self):
        shape = (self.rnn.num_hiddens, self.vocab_size)
        self.W_hq = nn.Parameter(from_numpy(draw("W_hq", shape, self.rnn.sigma, self.seed)))
        self.b_q = nn.Parameter(zeros(self.vocab_size))

    def one_hot(self, X):
        """Tokens (batch_size, num_steps) as vectors (num_steps, batch_size, vocab_size)."""
        # As F.one_hot, which looks for the largest index on the host and makes int64 first.
        vectors = zeros((*X.T.shape, self.vocab_size), device=X.device)
        return vectors.scatter_(2, X.T.unsqueeze(2), 1)

    def output_layer(self, rnn_outputs):
        """Hidden states, num_steps of (batch_size, num_hiddens), to (batch_size, num_steps, vocab_size)."""
        return stack([matmul(H, self.W_hq) + self.b_q for H in rnn_outputs], 1)

    def forward(self, X, state=None):
        """Logits (batch_size, num_steps, vocab_size) of the tokens X (batch_size, num_steps)."""
        embs = self.one_hot(X)
        rnn_outputs, _ = self.rnn(embs, state)
        return self.output_layer(rnn_outputs)

    @torch.no_grad()
    def step(self, token, state, device=None):
        if device is not None and torch.device(device).type != self.device.type:
            raise ArgumentError(
                f"device={device}: the model is on {self.device}. Leave device out, or move the "
                f"model with model.to({str(device)!r})."
            )
        X = torch.tensor([[token]], device=self.device)  # (1, 1)
        rnn_outputs, state = self.rnn(self.one_hot(X), state)
        return numpy(self.output_layer(rnn_outputs)).reshape(-1), state

    @torch.no_grad()
    def recurrence(self, X, state=None):
        outputs, state = self.rnn(self.one_hot(self._tensor(X)), self._state(state))
        outputs = outputs if isinstance(outputs, torch.Tensor) else stack(outputs)
        return numpy(outputs), numpy(state.reshape(-1, *outputs.shape[1:]))

    @torch.no_grad()
    def logits(self, X, state=None):
        return numpy(self(self._tensor(X), self._state(state)))

    def gradients(self, X, Y, state=None):
        self.zero_grad()
        loss = self.loss(self(self._tensor(X), self._state(state)), self._tensor(Y))
        loss.backward()
        gradients = get_gradients(self)
        self.zero_grad()
        return loss.item(), gradients

    def _tensor(self, array):
        return from_numpy(array, self.device)

    def _state(self, state):
        return None if state is None else self._tensor(state)
