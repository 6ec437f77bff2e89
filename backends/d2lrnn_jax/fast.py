"""Faster twins of the losses of language models, in JAX: the same numbers as the plain models'.

Nothing depends on this file: without it every model trains by its own `batch_loss`.
"""

from functools import partial

import jax
from flax.traverse_util import flatten_dict
from jax import numpy as jnp
from jax.nn import sigmoid

from d2lrnn.cells import GATES, names_of
from d2lrnn.language_model import NAMES, LanguageModel
from d2lrnn.weights import recurrent_parts

from .module import cross_entropy_of
from .rnn_scratch import ACTIVATIONS
from .weights import layout, settings

# Steps that make a turn of a scan: one each is slower, all of them take twice as long to compile.
UNROLL = 4
SLOPES = {"tanh": lambda H: 1 - H * H, "relu": lambda H: H > 0}  # phi'(A), by H = phi(A)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurrence(activation, W_xh, W_hh, b_h, X):
    """H_t = phi(W_xh[X_t] + H_{t-1} W_hh + b_h) from zeros, for tokens X (num_steps, batch_size)."""

    def step(H, tokens):  # which pick rows: the product of their one-hot vectors with W_xh
        H = ACTIVATIONS[activation](W_xh[tokens] + H @ W_hh + b_h)  # (batch_size, num_hiddens)
        return H, H

    _, outputs = jax.lax.scan(step, jnp.zeros((X.shape[1], len(W_hh))), X, unroll=UNROLL)
    return outputs  # (num_steps, batch_size, num_hiddens)


def forward(activation, W_xh, W_hh, b_h, X):
    outputs = recurrence(activation, W_xh, W_hh, b_h, X)
    return outputs, (W_xh, W_hh, X, outputs)


def backward(activation, saved, d_outputs):
    """The gradients by the weights (book, section 9.7): step by step those by the argument A of phi only.

    A weight's is one product over all steps; JAX would add up a small one of each.
    """
    W_xh, W_hh, X, outputs = saved

    def step(dH, of_step):  # the gradients here are all of the shape of H (batch_size, num_hiddens)
        dO, H = of_step
        dA = (dH + dO) * SLOPES[activation](H)
        return dA @ W_hh.T, dA

    options = {"reverse": True, "unroll": UNROLL}
    _, dA = jax.lax.scan(step, jnp.zeros_like(outputs[0]), (d_outputs, outputs), **options)
    before, after = (A.reshape(-1, len(W_hh)) for A in (outputs[:-1], dA[1:]))
    return jnp.zeros_like(W_xh).at[X].add(dA), before.T @ after, dA.sum((0, 1)), None


recurrence.defvjp(forward, backward)


# Layers with gates. What X_t adds to the argument of all gates, A_t (batch_size, gates * num_hiddens), is
# a row that a token picks. JAX finds the gradients by itself, and the scans are not unrolled: anything
# else took longer.


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


def layers(kind, weights, parts, X):
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
    whole = isinstance(model, LanguageModel) and model.is_whole()
    if not whole or getattr(model.rnn, "dropout", 0):
        return None
    parts = [part for *_, part in recurrent_parts("rnn.", getattr(model.rnn, "num_layers", 1))]
    of_kind = {kind: [n for part in parts for n in names_of(kind, part)] for kind in CELLS}
    of_kind["rnn"] = NAMES[:3]
    kind = next((k for k, names in of_kind.items() if model.has_weights(*names, *NAMES[3:])), None)
    if kind is None:
        return None
    paths = {name: piece.path for piece in layout(model) for name in piece.names}
    activation = settings(model).get("activation")

    def batch_loss(params, batch, state):
        if len(batch) > 2:  # it begins with a state
            return model.batch_loss(params, batch, state)
        X, Y = (tokens.T for tokens in batch)  # (num_steps, batch_size)
        flat = flatten_dict(params, sep=".")
        weights = {name: flat[path] for name, path in paths.items()}
        if kind == "rnn":
            outputs = recurrence(activation, *(weights[name] for name in NAMES[:3]), X)
        else:
            outputs = layers(kind, weights, parts, X)
        W_hq, b_q = (weights[name] for name in NAMES[3:])
        # Time-major as they are: a mean has no order. One product over all steps, and one gradient.
        logits = outputs.reshape(-1, len(W_hq)) @ W_hq + b_q  # (num_steps * batch_size, vocab_size)
        return cross_entropy_of(logits, Y.reshape(-1)).mean(), {}

    return batch_loss
