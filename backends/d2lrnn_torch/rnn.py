"""The recurrent network on PyTorch's own layer, `torch.nn.RNN` (book, section 9.6)."""

from __future__ import annotations

import contextlib

import torch
from torch import nn
from torch.nn import functional as F

from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import check_inputs, check_one_of, check_sizes
from d2lrnn.module import keeps_library_step, library_step

from .module import Module
from .ops import swapaxes, zeros
from .rnn_scratch import ACTIVATIONS, RNNLMScratch


class RNN(Module):
    """A recurrent layer on `torch.nn.RNN` (book, section 9.6.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    `nn.RNN` carries a second bias, b_hh, beside b_ih = b_h. It is held at zero and not trained.

    Args:
        num_inputs: size of X_t; if left out, taken from the vocabulary of the `RNNLM` around it, or
            from the first input.
        num_hiddens: size of H_t.
        activation: 'tanh' or 'relu'.
        seed: of PyTorch's own initialiser; None draws from PyTorch's global stream.
    """

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

    def build(self, num_inputs):
        """Make the layer for inputs of this size."""
        check_sizes(num_inputs=num_inputs)
        self.num_inputs = num_inputs
        with seeded(self.seed):
            self.rnn = nn.RNN(num_inputs, self.num_hiddens, nonlinearity=self.activation)
        nn.init.zeros_(self.rnn.bias_hh_l0).requires_grad_(False)

    @library_step
    def forward(self, inputs, H=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from H (1, batch_size, num_hiddens).

        Tokens (num_steps, batch_size) stand for their one-hot vectors.

        Returns all hidden states (num_steps, batch_size, num_hiddens), and the last (1, ...).
        """
        if inputs.ndim == 2 and not inputs.is_floating_point():
            return self.run_over_rows(inputs, H)
        if self.rnn is None:
            self.build(inputs.shape[-1])
            self.to(inputs.device)
        check_inputs(inputs.shape[-1], self.num_inputs)
        return self.rnn(inputs, H)

    def run_over_rows(self, tokens, H):
        """`nn.RNN` on the rows of W_xh that `tokens` pick, by its own function, without the layer.

        That function multiplies its inputs by weights; rows of W_xh are multiplied by the identity.
        """
        layer = self.rnn
        rows = F.embedding(tokens, layer.weight_ih_l0.T.contiguous())
        identity = torch.eye(self.num_hiddens, device=rows.device)
        weights = (identity, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)
        if H is None:
            H = zeros((1, tokens.shape[1], self.num_hiddens), device=rows.device)
        run = torch.rnn_tanh if layer.nonlinearity == "tanh" else torch.rnn_relu
        has_biases, num_layers, dropout, bidirectional, batch_first = True, 1, 0.0, False, False
        sizes = (has_biases, num_layers, dropout, layer.training, bidirectional, batch_first)
        return run(rows, H, weights, *sizes)

    def is_as_built(self, num_inputs):
        """Whether it is the library's, of inputs of this size, and nothing of it is the reader's."""
        layer = self.rnn
        return (
            keeps_library_step(self, "forward")
            and type(layer) is nn.RNN  # not another that a reader has put in its place
            and (layer.input_size, layer.hidden_size) == (num_inputs, self.num_hiddens)
            and (layer.num_layers, layer.bidirectional, layer.batch_first) == (1, False, False)
            and layer.bias
        )


class RNNLM(RNNLMScratch):
    """A language model on PyTorch's own layers (book, section 9.6.1): `RNN`, then `torch.nn.Linear`.

    Args:
        rnn: the recurrent layer.
        vocab_size: number of tokens.
        lr: learning rate of SGD.
        seed: of PyTorch's own initialiser; None draws from PyTorch's global stream.
    """

    @library_step
    def init_params(self):
        if isinstance(self.rnn, RNN) and self.rnn.rnn is None:
            self.rnn.build(self.vocab_size)
        with seeded(self.seed, stream=1):
            self.linear = nn.Linear(self.rnn.num_hiddens, self.vocab_size)

    def is_as_built(self):
        return type(self.linear) is nn.Linear and super().is_as_built()

    @library_step
    def output_layer(self, hiddens):
        """Hidden states (num_steps, batch_size, num_hiddens) to (batch_size, num_steps, vocab_size)."""
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
