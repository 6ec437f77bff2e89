"""What the twins of language models share, in JAX: the recurrence of 9.5, and the loss.

With many classes the loss is taken step by step. The logits of a word-level minibatch, 600 MB over all its
steps, would go through memory several times.
"""

from functools import partial

import jax
from flax.traverse_util import flatten_dict
from jax import numpy as jnp

from d2lrnn.language_model import NAMES, LanguageModel

from .module import cross_entropy_of
from .rnn_scratch import ACTIVATIONS
from .weights import layout

# Steps that make a turn of a scan: one each is slower, all of them take twice as long to compile.
UNROLL = 4
SLOPES = {"tanh": lambda H: 1 - H * H, "relu": lambda H: H > 0}  # phi'(A), by H = phi(A)
FEW = 128  # up to so many classes, one product over all steps is faster


def is_plain(model):
    """Whether this is a whole language model without dropout."""
    whole = isinstance(model, LanguageModel) and model.is_whole()
    return whole and not getattr(model.rnn, "dropout", 0)


def loss_over(model, outputs_of):
    """A twin: `model.batch_loss` by `outputs_of(weights, X)`, of weights by name and tokens, time-major."""
    paths = {name: piece.path for piece in layout(model) for name in piece.names}

    def batch_loss(params, batch, state):
        if len(batch) > 2:  # it begins with a state
            return model.batch_loss(params, batch, state)
        X, Y = (tokens.T for tokens in batch)  # (num_steps, batch_size)
        flat = flatten_dict(params, sep=".")
        weights = {name: flat[path] for name, path in paths.items()}
        W_hq, b_q = (weights[name] for name in NAMES[3:])
        return mean_loss(outputs_of(weights, X), W_hq, b_q, Y), {}

    return batch_loss


def mean_loss(outputs, W_hq, b_q, Y):
    """The mean loss of outputs (num_steps, batch_size, num_hiddens) and labels Y (num_steps, batch_size).

    They are time-major as they come: a mean has no order.
    """
    if len(b_q) > FEW:
        return of_steps(outputs, W_hq, b_q, Y)
    logits = outputs.reshape(-1, len(W_hq)) @ W_hq + b_q  # (num_steps * batch_size, vocab_size)
    return cross_entropy_of(logits, Y.reshape(-1)).mean()


@jax.custom_vjp
def of_steps(outputs, W_hq, b_q, Y):
    return forward(outputs, W_hq, b_q, Y)[0]


def forward(outputs, W_hq, b_q, Y):
    """The loss and, taken while the logits of a step are there, its gradients."""

    def step(sums, given):
        H, labels = given
        logits = H @ W_hq + b_q  # (batch_size, vocab_size)
        exp = jnp.exp(logits - logits.max(-1, keepdims=True))
        p = exp / exp.sum(-1, keepdims=True)
        of_labels = jnp.take_along_axis(p, labels[:, None], -1)[:, 0]
        losses = jax.lax.cond(
            of_labels.min() > 1e-30,  # else one is too improbable for float32
            lambda: -jnp.log(of_labels),
            lambda: cross_entropy_of(H @ W_hq + b_q, labels),
        )
        d_logits = (p - jax.nn.one_hot(labels, len(b_q))) / Y.size
        share = losses.sum() / Y.size, H.T @ d_logits, d_logits.sum(0)
        return jax.tree.map(jnp.add, sums, share), d_logits @ W_hq.T

    zeros = jax.tree.map(jnp.zeros_like, (0.0, W_hq, b_q))
    (loss, *gradients), d_outputs = jax.lax.scan(step, zeros, (outputs, Y))
    return loss, (d_outputs, *gradients)


def backward(gradients, d_loss):
    return *(d_loss * gradient for gradient in gradients), None


of_steps.defvjp(forward, backward)


# The recurrence ---------------------------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurrence(activation, W_xh, W_hh, b_h, X):
    """H_t = phi(W_xh[X_t] + H_{t-1} W_hh + b_h) from zeros, for tokens X (num_steps, batch_size)."""

    def step(H, tokens):  # which pick rows: the product of their one-hot vectors with W_xh
        H = ACTIVATIONS[activation](W_xh[tokens] + H @ W_hh + b_h)  # (batch_size, num_hiddens)
        return H, H

    _, outputs = jax.lax.scan(step, jnp.zeros((X.shape[1], len(W_hh))), X, unroll=UNROLL)
    return outputs  # (num_steps, batch_size, num_hiddens)


def recurrence_forward(activation, W_xh, W_hh, b_h, X):
    outputs = recurrence(activation, W_xh, W_hh, b_h, X)
    return outputs, (W_xh, W_hh, X, outputs)


def recurrence_backward(activation, saved, d_outputs):
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


recurrence.defvjp(recurrence_forward, recurrence_backward)
