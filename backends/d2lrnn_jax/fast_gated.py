"""Faster twins of the losses of language models over LSTMs and GRUs (sections 10.1 to 10.3), in JAX.

Nothing depends on this file. What X_t adds to the argument of all gates, A_t (batch_size, gates *
num_hiddens), is a row that a token picks. JAX finds the gradients by itself, and the scans are not unrolled:
anything else took longer.
"""

from functools import partial

import jax
from jax import numpy as jnp
from jax.nn import sigmoid

from d2lrnn.cells import GATES, names_of
from d2lrnn.language_model import NAMES
from d2lrnn.weights import recurrent_parts

from .fast_loss import is_plain, loss_over


def lstm(A, state, W_h):
    H, C = state
    I, F, O, C_tilde = jnp.split(A + H @ W_h, 4, -1)
    C = sigmoid(F) * C + sigmoid(I) * jnp.tanh(C_tilde)
    H = sigmoid(O) * jnp.tanh(C)
    return (H, C), H


def gru(A, H, W_h):
    of_X, of_H = jnp.split(A, 3, -1), jnp.split(H @ W_h, 3, -1)
    Z, R = sigmoid(of_X[0] + of_H[0]), sigmoid(of_X[1] + of_H[1])
    H = Z * H + (1 - Z) * jnp.tanh(of_X[2] + R * of_H[2])
    return H, H


CELLS = {"lstm": lstm, "gru_after": gru}


def layers(kind, parts, weights, X):
    """The outputs of layers above each other, of tokens X (num_steps, batch_size)."""
    outputs = X
    for part in parts:
        W_x, W_h, b = (
            jnp.concatenate([weights[part + letter + gate] for gate in GATES[kind]], -1)
            for letter in ("W_x", "W_h", "b_")
        )
        drive = (W_x + b).__getitem__ if outputs is X else partial(affine, W_x, b)
        H = jnp.zeros((X.shape[1], len(W_h)))
        step = partial(one_step, CELLS[kind], drive, W_h)
        _, outputs = jax.lax.scan(step, (H, H) if kind == "lstm" else H, outputs)
    return outputs  # (num_steps, batch_size, num_hiddens)


def affine(W, b, x):
    return x @ W + b


def one_step(cell, drive, W_h, state, x):
    return cell(drive(x), state, W_h)


def twin(model):
    """A function equal to `model.batch_loss`, of a whole model of these layers without dropout; else None."""
    if not is_plain(model):
        return None
    parts = [part for *_, part in recurrent_parts("rnn.", getattr(model.rnn, "num_layers", 1))]
    of_kind = {kind: [n for part in parts for n in names_of(kind, part)] for kind in CELLS}
    kind = next((k for k, names in of_kind.items() if model.has_weights(*names, *NAMES[3:])), None)
    return kind and loss_over(model, partial(layers, kind, parts))
