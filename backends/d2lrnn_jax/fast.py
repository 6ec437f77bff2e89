"""A faster twin of the loss of sections 9.5 and 9.6, in JAX: the same numbers as the plain model's.

Nothing depends on this file: without it every model trains by its own `batch_loss`.
"""

from functools import partial

import jax
from jax import numpy as jnp

from d2lrnn.language_model import NAMES

from .fast_loss import is_plain, loss_over
from .rnn_scratch import ACTIVATIONS
from .weights import settings

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
    if not (is_plain(model) and model.has_weights(*NAMES)):
        return None
    activation = settings(model).get("activation")

    def outputs_of(weights, X):
        return recurrence(activation, *(weights[name] for name in NAMES[:3]), X)

    return loss_over(model, outputs_of)
