"""The recurrent network on a linen cell that `nn.scan` runs over time (book, section 9.6)."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field
from functools import partial

import jax
from flax import linen as nn
from jax import numpy as jnp

from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import check_one_of, check_sizes
from d2lrnn.module import keeps_library_step, library_step

from .module import Module, seeded
from .ops import matmul, reduce_sum, reshape, swapaxes, zeros
from .rnn_scratch import ACTIVATIONS, RNNLMScratch, times

MAX_UNROLLED_STEPS = 64  # unrolled, an epoch is a little faster, and takes seconds more to compile
unrolls = ContextVar("unrolls", default=True)
SLOPES = {"tanh": lambda H: 1 - H * H, "relu": lambda H: H > 0}  # phi'(Z), by H = phi(Z)


class RNNCell(nn.Module):
    """One time step: H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    The initialisers are those of linen's `SimpleCell`: LeCun's normal for W_xh, an orthogonal
    matrix for W_hh, zeros for b_h.
    """

    num_hiddens: int
    activation: str = "tanh"
    seed: int | None = 0

    @nn.compact
    def __call__(self, H, X):
        """H_t, as state and as output, of H (batch_size, num_hiddens) and X (batch_size, num_inputs).

        Once there are weights, tokens X (batch_size,) stand for their one-hot vectors.
        """
        lecun, orthogonal = nn.initializers.lecun_normal(), nn.initializers.orthogonal()
        if X.ndim == 1:
            W_xh = self.get_variable("params", "W_xh")
        else:
            shape = (X.shape[-1], self.num_hiddens)
            W_xh = self.param("W_xh", seeded(lecun, "W_xh", self.seed), shape)
        shape = (self.num_hiddens, self.num_hiddens)
        W_hh = self.param("W_hh", seeded(orthogonal, "W_hh", self.seed), shape)
        b_h = self.param("b_h", nn.initializers.zeros, (self.num_hiddens,))
        H = ACTIVATIONS[self.activation](times(X, W_xh) + matmul(H, W_hh) + b_h)
        return H, H


def run(cell, H, inputs, unroll=1):
    """`cell` over all inputs (num_steps, batch_size, num_inputs) from H: the last state, and all."""
    scan = nn.scan(
        RNNCell.__call__,
        variable_broadcast="params",
        split_rngs={"params": False},
        unroll=unroll,
    )
    return scan(cell, H, inputs)


def run_for_gradients(cell, H, inputs):
    """As `run`, and what `backpropagate` needs of it."""
    last, outputs = run(cell, H, inputs, unroll=steps_a_turn(len(inputs)))
    return (last, outputs), (cell.variables["params"], H, inputs, outputs)


def backpropagate(activation, saved, gradients):
    """The gradients of `run` by its parameters, H and inputs (book, section 9.7).

    Only those by Z_t = X_t W_xh + H_{t-1} W_hh + b_h must be had step by step, from the last to the
    first. A weight's is then one product of matrices over all steps; JAX, differentiating the scan,
    would take and add up a small product at each, which makes an epoch longer by a quarter.
    """
    params, H, inputs, outputs = saved
    W_xh, W_hh, slope = params["W_xh"], params["W_hh"], SLOPES[activation]

    def step(dH, of_step):  # the gradients here are all of the shape of H (batch_size, num_hiddens)
        dO, H = of_step
        dZ = (dH + dO) * slope(H)
        return matmul(dZ, W_hh.T), dZ

    dH_last, d_outputs = gradients
    unroll = steps_a_turn(len(outputs))
    dH, dZ = jax.lax.scan(step, dH_last, (d_outputs, outputs), reverse=True, unroll=unroll)
    dW_hh = matmul(H.T, dZ[0]) + matmul(flat(outputs[:-1]).T, flat(dZ[1:]))
    if inputs.ndim == 2:  # tokens
        dW_xh, d_inputs = jnp.zeros_like(W_xh).at[inputs.reshape(-1)].add(flat(dZ)), None
    else:
        dW_xh, d_inputs = matmul(flat(inputs).T, flat(dZ)), matmul(dZ, W_xh.T)
    dparams = {"W_xh": dW_xh, "W_hh": dW_hh, "b_h": reduce_sum(dZ, (0, 1))}
    return {"params": dparams}, dH, d_inputs


def steps_a_turn(num_steps):
    """How many steps one turn of a scan takes where there are gradients: all, of a short sequence."""
    return num_steps if unrolls.get() and num_steps <= MAX_UNROLLED_STEPS else 1


@contextmanager
def rolled():
    """While this lasts no scan is unrolled: for what runs too rarely to be worth the compilation."""
    token = unrolls.set(False)
    try:
        yield
    finally:
        unrolls.reset(token)


def flat(x):
    """Of x (num_steps, batch_size, n), all steps below each other: (num_steps * batch_size, n)."""
    return reshape(x, (-1, x.shape[-1]))


class RNN(Module):
    """A recurrent layer: `RNNCell`, run over time by `nn.scan` (book, section 9.6.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    It is differentiated in reverse (`jax.grad`, `jax.vjp`), by a rule of its own; for `jax.jvp`, which
    JAX refuses then, run `RNNCell` under a plain `nn.scan`.

    Args:
        num_hiddens: size of H_t.
        num_inputs: size of X_t; if left out, taken from the first input.
        activation: 'tanh' or 'relu'.
        seed: of the initial weights; None leaves them to the key that `init` is given.
    """

    num_hiddens: int
    num_inputs: int | None = field(default=None, kw_only=True)
    activation: str = field(default="tanh", kw_only=True)
    seed: int | None = field(default=0, kw_only=True)

    def __post_init__(self):
        check_sizes(num_hiddens=self.num_hiddens)
        if self.num_inputs is not None:
            check_sizes(num_inputs=self.num_inputs)
        check_one_of("activation", self.activation, ACTIVATIONS)
        super().__post_init__()

    @library_step
    @nn.compact
    def forward(self, inputs, H=None, training=False):
        """Run over inputs (num_steps, batch_size, num_inputs) from H (1, batch_size, num_hiddens).

        Once there are weights, tokens (num_steps, batch_size) stand for their one-hot vectors.

        `training`, which the book's layers are told, changes nothing here.

        Returns all hidden states (num_steps, batch_size, num_hiddens), and the last (1, ...).
        """
        _, batch_size, *num_inputs = inputs.shape
        if num_inputs and self.num_inputs not in (None, *num_inputs):
            raise ArgumentError(
                f"num_inputs={self.num_inputs}: the layer was given inputs of size {num_inputs[0]}. "
                "Leave num_inputs out, or make it the size of the vocabulary."
            )
        cell = RNNCell(self.num_hiddens, self.activation, self.seed, name="cell")
        gradients = partial(backpropagate, self.activation)
        recurrence = nn.custom_vjp(run, run_for_gradients, gradients)
        H = zeros((batch_size, self.num_hiddens)) if H is None else H[0]
        H, outputs = recurrence(cell, H, inputs)
        return outputs, jnp.expand_dims(H, 0)

    def is_as_built(self, num_inputs):
        """Whether it is the library's, of inputs of this size, and nothing of it is the reader's."""
        keeps = all(keeps_library_step(self, method) for method in ("__call__", "forward"))
        return keeps and self.num_inputs in (None, num_inputs)


class RNNLM(RNNLMScratch):
    """A language model on Flax's own layers (book, section 9.6.1): `RNN`, then `nn.Dense`.

    Args:
        rnn: the recurrent layer.
        vocab_size: number of tokens.
        lr: learning rate of SGD.
        training: what the recurrent layer is told by its third argument; a trainer sets it.
        seed: of the initial weights; None leaves them to the key that `init` is given.
    """

    training: bool = True

    @library_step
    def init_params(self):
        kernel_init = seeded(nn.linear.default_kernel_init, "W_hq", self.seed)
        self.linear = nn.Dense(self.vocab_size, kernel_init=kernel_init)

    @library_step
    def output_layer(self, hiddens):
        """States (num_steps, batch_size, num_hiddens) to (batch_size, num_steps, vocab_size)."""
        num_steps, batch_size, _ = hiddens.shape
        logits = self.linear(flat(hiddens))  # over all steps one product, and its gradient too
        return swapaxes(reshape(logits, (num_steps, batch_size, -1)), 0, 1)

    def forward(self, X, state=None):
        training = (self.training,) if takes_training(self.rnn) else ()
        rnn_outputs, _ = self.rnn(self.layer_inputs(X), state, *training)
        return self.output_layer(rnn_outputs)


def takes_training(layer):
    """Whether `layer` has the third argument of the book's layers; a reader may type only two."""
    call = type(layer).__call__
    if call is Module.__call__:
        call = type(layer).forward
    try:
        inspect.signature(call).bind("self", "inputs", "state", "training")
    except TypeError:
        return False
    return True
