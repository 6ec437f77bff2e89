"""A faster twin of the loss of sections 9.5 and 9.6, in JAX: the same numbers as the plain model's.

Nothing depends on this file: without it every model trains by its own `batch_loss`.
"""

from functools import partial

import jax
from flax.traverse_util import flatten_dict
from jax import numpy as jnp

from d2lrnn.language_model import NAMES, LanguageModel

from .fast_loss import mean_loss
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


def twin(model):
    """A function equal to `model.batch_loss`, of a whole model of section 9.5 or 9.6; else None."""
    whole = isinstance(model, LanguageModel) and model.is_whole() and model.has_weights(*NAMES)
    if not whole or getattr(model.rnn, "dropout", 0):
        return None
    paths = {name: piece.path for piece in layout(model) for name in piece.names}
    activation = settings(model).get("activation")

    def batch_loss(params, batch, state):
        if len(batch) > 2:  # it begins with a state
            return model.batch_loss(params, batch, state)
        X, Y = (tokens.T for tokens in batch)  # (num_steps, batch_size)
        flat = flatten_dict(params, sep=".")
        W_xh, W_hh, b_h, W_hq, b_q = (flat[paths[name]] for name in NAMES)
        return mean_loss(recurrence(activation, W_xh, W_hh, b_h, X), W_hq, b_q, Y), {}

    return batch_loss
