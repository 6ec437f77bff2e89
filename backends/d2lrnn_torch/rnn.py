"""The recurrent network on PyTorch's own layer, `torch.nn.RNN` (book, section 9.6)."""

from __future__ import annotations

import contextlib
import copy

import torch
from torch import nn

from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import check_inputs, check_one_of, check_sizes
from d2lrnn.weights import seed_at

from .module import Module
from .ops import swapaxes
from .rnn_scratch import ACTIVATIONS, RNNLMScratch
from .weights import arrays


class RNN(Module):
    """A recurrent layer on `torch.nn.RNN` (book, section 9.6.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    Args:
        num_inputs: size of X_t; if left out, taken from the vocabulary of the `RNNLM` around it, or
            from the first input.
        num_hiddens: size of H_t.
        activation: 'tanh' or 'relu'.
        seed: of PyTorch's own initialiser; None draws from PyTorch's global stream.
    """

    path = ""  # below the model, see `draw_by_path`

    def __init__(self, num_inputs=None, num_hiddens=None, *, activation="tanh", seed=0):
        super().__init__()
        self.save_hyperparameters()
        if num_hiddens is None:
            raise ArgumentError(
                "num_hiddens is missing: RNN(num_inputs, num_hiddens), or RNN(num_hiddens=32)."
            )
        check_sizes(num_hiddens=num_hiddens)
        check_one_of("activation", activation, ACTIVATIONS)
        self.rnn = None
        if num_inputs is not None:
            self.build(num_inputs)

    def layer(self, num_inputs):
        """PyTorch's layer for inputs of this size."""
        return nn.RNN(num_inputs, self.num_hiddens, nonlinearity=self.activation)

    def build(self, num_inputs):
        """Make the layer; of its two biases, the second is held at zero and not trained."""
        check_sizes(num_inputs=num_inputs)
        self.num_inputs = num_inputs
        with seeded(seed_at(self.seed, self.path)):
            self.rnn = self.layer(num_inputs)
        for name, parameter in self.rnn.named_parameters():
            if name.startswith("bias_hh"):
                nn.init.zeros_(parameter).requires_grad_(False)

    def initial(self, path):
        """The initial weights of a layer at `path` below the model."""
        if self.rnn is None:
            return {}
        twin = copy.copy(self)
        twin.path, twin._modules = path, {}
        twin.build(self.num_inputs)
        return arrays(twin)

    def forward(self, inputs, state=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state` (1, batch_size, num_hiddens).

        Returns all outputs (num_steps, batch_size, num_hiddens), and the last state (1, ...).
        """
        if self.rnn is None:
            self.build(inputs.shape[-1])
            self.to(inputs.device)
        check_inputs(inputs.shape[-1], self.num_inputs)
        return self.rnn(inputs, state)


class RNNLM(RNNLMScratch):
    """A language model on PyTorch's own layers (book, section 9.6.1): `RNN`, then `torch.nn.Linear`.

    Args:
        rnn: the recurrent layer.
        vocab_size: number of tokens.
        lr: learning rate of SGD.
        seed: of PyTorch's own initialiser; None draws from PyTorch's global stream.
    """

    def init_params(self):
        if isinstance(self.rnn, RNN) and self.rnn.rnn is None:
            self.rnn.build(self.vocab_size)
        with seeded(self.seed, stream=1):
            self.linear = nn.Linear(self.rnn.num_hiddens, self.vocab_size)

    def output_layer(self, hiddens):
        """Outputs (num_steps, batch_size, num_hiddens) to logits (batch_size, num_steps, vocab_size)."""
        return swapaxes(self.linear(hiddens), 0, 1)


@contextlib.contextmanager
def seeded(seed, stream=0):
    """Draw from `seed` inside the block and leave PyTorch's global stream as it was."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2 * seed + stream)
        yield
