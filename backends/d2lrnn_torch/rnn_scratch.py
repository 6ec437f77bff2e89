"""The recurrent network from scratch, in PyTorch (book, section 9.5)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import check_inputs, check_one_of, check_positive, check_sizes
from d2lrnn.language_model import LanguageModel, single_state
from d2lrnn.module import keeps_library_step, library_step
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

    @library_step
    def forward(self, inputs, state=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state` (batch_size, num_hiddens).

        Tokens (num_steps, batch_size) stand for their one-hot vectors.

        Returns a list of num_steps tensors (batch_size, num_hiddens), and the last of them.
        """
        if inputs.ndim == 2:
            inputs_W_xh = F.embedding(inputs, self.W_xh)  # the rows that one-hot vectors pick
        else:
            check_inputs(inputs.shape[-1], self.num_inputs)
            inputs_W_xh = matmul(inputs, self.W_xh)  # (num_steps, batch_size, num_hiddens)
        phi = ACTIVATIONS[self.activation]
        if state is None:
            H = zeros((inputs.shape[1], self.num_hiddens), device=inputs.device)
        else:
            H = single_state(state)
        outputs = []
        for X_W_xh in inputs_W_xh:
            H = phi(X_W_xh + matmul(H, self.W_hh) + self.b_h)  # (batch_size, num_hiddens)
            outputs.append(H)
        return outputs, H

    def is_as_built(self, num_inputs):
        """Whether it is the library's, of inputs of this size, and nothing of it is the reader's."""
        return keeps_library_step(self, "forward") and num_inputs == self.num_inputs


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

    @library_step
    def init_params(self):
        shape = (self.rnn.num_hiddens, self.vocab_size)
        self.W_hq = nn.Parameter(from_numpy(draw("W_hq", shape, self.rnn.sigma, self.seed)))
        self.b_q = nn.Parameter(zeros(self.vocab_size))

    @library_step
    def one_hot(self, X):
        """Tokens (batch_size, num_steps) as vectors (num_steps, batch_size, vocab_size)."""
        # As F.one_hot, which looks for the largest index on the host and makes int64 first.
        vectors = zeros((*X.T.shape, self.vocab_size), device=X.device)
        return vectors.scatter_(2, X.T.unsqueeze(2), 1)

    def layer_inputs(self, X):
        """What the recurrent layer is run over: the one-hot vectors of `X`, or `X` time-major."""
        return X.T if self.picks_rows() else self.one_hot(X)

    @library_step
    def output_layer(self, rnn_outputs):
        """Hidden states, num_steps of (batch_size, num_hiddens), to (batch_size, num_steps, vocab_size)."""
        return matmul(stack(rnn_outputs, 1), self.W_hq) + self.b_q

    def forward(self, X, state=None):
        """Logits (batch_size, num_steps, vocab_size) of the tokens X (batch_size, num_steps)."""
        rnn_outputs, _ = self.rnn(self.layer_inputs(X), state)
        return self.output_layer(rnn_outputs)

    @library_step
    @torch.no_grad()
    def step(self, token, state, device=None):
        self.check_device(device)
        X = torch.tensor([[token]], device=self.device)  # (1, 1)
        rnn_outputs, state = self.rnn(self.layer_inputs(X), state)
        return numpy(self.output_layer(rnn_outputs)).reshape(-1), state

    def stepper(self, device=None):
        if not self.is_as_built():
            return super().stepper(device)
        self.check_device(device)
        W_xh, W_hh, b_h, W_hq, b_q = map(self._tensor, self.get_weights().values())
        rows = W_xh + b_h  # (vocab_size, num_hiddens): what a token adds to the next state
        W_hh, W_hq = W_hh.T.contiguous(), W_hq.T.contiguous()
        phi = ACTIVATIONS[self.rnn.activation]

        @torch.inference_mode()
        def step(token, H):
            H = phi(rows[token] if H is None else torch.addmv(rows[token], W_hh, H))
            return torch.addmv(b_q, W_hq, H).cpu().numpy(), H  # (vocab_size,), (num_hiddens,)

        return step

    def check_device(self, device):
        if device is not None and torch.device(device).type != self.device.type:
            raise ArgumentError(
                f"device={device}: the model is on {self.device}. Leave device out, or move the "
                f"model with model.to({str(device)!r})."
            )

    @torch.no_grad()
    def recurrence(self, X, state=None):
        outputs, state = self.rnn(self.layer_inputs(self._tensor(X)), self._state(state))
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
