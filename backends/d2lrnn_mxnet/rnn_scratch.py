"""The recurrent network from scratch, in MXNet (book, section 9.5)."""

from __future__ import annotations

from functools import cache

import mxnet
from mxnet import autograd, np, npx

from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import check_inputs, check_one_of, check_positive, check_sizes
from d2lrnn.language_model import LanguageModel, single_state
from d2lrnn.module import keeps_library_step, library_step
from d2lrnn.weights import draw

from .module import Classifier, Module
from .ops import from_numpy, int32, matmul, numpy, stack, zeros
from .weights import get_gradients, materialise

ACTIVATIONS = {"tanh": np.tanh, "relu": npx.relu}


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
        self.W_xh = trained(draw("W_xh", (num_inputs, num_hiddens), sigma, seed))
        self.W_hh = trained(draw("W_hh", (num_hiddens, num_hiddens), sigma, seed))
        self.b_h = trained(zeros(num_hiddens))

    @library_step
    def forward(self, inputs, state=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state` (batch_size, num_hiddens).

        Tokens (num_steps, batch_size) stand for their one-hot vectors.

        Returns a list of num_steps arrays (batch_size, num_hiddens), and the last of them.
        """
        if inputs.ndim == 2:
            inputs_W_xh = rows(self.W_xh, inputs)  # that one-hot vectors pick
        else:
            check_inputs(inputs.shape[-1], self.num_inputs)
            inputs_W_xh = matmul(inputs, self.W_xh)  # (num_steps, batch_size, num_hiddens)
        phi = ACTIVATIONS[self.activation]
        if state is None:
            H = zeros((inputs.shape[1], self.num_hiddens), ctx=inputs.ctx)
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


def rows(W, indices):
    """The rows of W (n, m) at `indices` (...), as (..., m)."""
    return npx.embedding(indices, W, input_dim=W.shape[0], output_dim=W.shape[1])


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
        self.W_hq = trained(draw("W_hq", shape, self.rnn.sigma, self.seed))
        self.b_q = trained(zeros(self.vocab_size))

    @library_step
    def one_hot(self, X):
        """Tokens (batch_size, num_steps) as vectors (num_steps, batch_size, vocab_size)."""
        return npx.one_hot(X.T, self.vocab_size)

    def layer_inputs(self, X):
        """What the recurrent layer is run over: the one-hot vectors of `X`, or `X` time-major."""
        return X.T if self.picks_rows() else self.one_hot(X)

    @library_step
    def output_layer(self, rnn_outputs):
        """Hidden states, num_steps of (batch_size, num_hiddens), to (batch_size, num_steps, vocab_size)."""
        return matmul(stack(rnn_outputs, 1), self.W_hq) + self.b_q

    @library_step
    def forward(self, X, state=None):
        """Logits (batch_size, num_steps, vocab_size) of the tokens X (batch_size, num_steps)."""
        rnn_outputs, _ = self.rnn(self.layer_inputs(X), state)
        return self.output_layer(rnn_outputs)

    @library_step
    def step(self, token, state, device=None):
        self.check_device(device)
        X = np.array([[token]], dtype=int32, ctx=self.device)  # (1, 1)
        rnn_outputs, state = self.rnn(self.layer_inputs(X), state)
        return numpy(self.output_layer(rnn_outputs)).reshape(-1), state

    def stepper(self, device=None):
        if keeps_library_step(self, "step"):
            materialise(self)  # by a step
        if not self.is_as_built():
            return super().stepper(device)
        self.check_device(device)
        W_xh, W_hh, b_h, W_hq, b_q = map(self._tensor, self.get_weights().values())
        rows = W_xh + b_h  # (vocab_size, num_hiddens): what a token adds to the next state
        W_hh, W_hq = W_hh.T.copy(), W_hq.T.copy()  # as MXNet's operator wants them
        phi, num_hiddens = ACTIVATIONS[self.rnn.activation], self.rnn.num_hiddens
        zero_state = zeros((1, num_hiddens), ctx=rows.ctx)
        row = cache(rows.__getitem__)  # which takes longer than the product with W_hh

        def step(token, H):
            H = zero_state if H is None else H
            H = phi(npx.fully_connected(H, W_hh, row(token), num_hidden=num_hiddens))
            return numpy(npx.fully_connected(H, W_hq, b_q, num_hidden=self.vocab_size))[0], H

        return step

    def check_device(self, device):
        if device is not None and mxnet.Context(device) != self.device:
            raise ArgumentError(
                f"device={device}: the model is on {self.device}. Leave device out, or move the "
                "model with model.reset_ctx(device)."
            )

    def recurrence(self, X, state=None):
        outputs, state = self.rnn(self.layer_inputs(self._tensor(X)), self._state(state))
        outputs = outputs if isinstance(outputs, np.ndarray) else stack(outputs)
        return numpy(outputs), numpy(state.reshape(-1, *outputs.shape[1:]))

    def logits(self, X, state=None):
        return numpy(self(self._tensor(X), self._state(state)))

    def gradients(self, X, Y, state=None):
        X, Y, state = self._tensor(X), self._tensor(Y), self._state(state)
        with autograd.record():
            loss = self.loss(self(X, state), Y)
        loss.backward()
        return loss.item(), get_gradients(self)

    def _tensor(self, array):
        return from_numpy(array, self.device)

    def _state(self, state):
        return None if state is None else self._tensor(state)


def trained(array):
    """An array on the CPU with a gradient attached: a parameter made by hand."""
    array = np.array(array)
    array.attach_grad()
    return array
