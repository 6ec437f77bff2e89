"""The examples of a training on the device, and an epoch over them in one compiled call, in JAX."""

import jax
from jax import numpy as jnp

from d2lrnn.data import windows_of

from .ops import from_numpy


def compile_epoch(step, loader, device):
    """A function of a state that runs `step(state, batch)` over all minibatches in one compiled call.

    The examples of `loader` are put on the device here, once; an epoch sends only their order. It
    returns the last state and the losses (num_batches,).
    """
    examples, rows_of = zip(*(on_device(array, device) for array in loader.arrays), strict=True)

    @jax.jit
    def run(state, examples, order):
        def body(state, rows):  # (batch_size,)
            return step(state, [take(x, rows) for x, take in zip(examples, rows_of, strict=True)])

        full = len(order) - len(order) % loader.batch_size
        state, losses = jax.lax.scan(body, state, order[:full].reshape(-1, loader.batch_size))
        if full < len(order):  # the last, smaller minibatch
            state, loss = body(state, order[full:])
            losses = jnp.append(losses, loss)
        return state, losses

    return lambda state: run(state, examples, from_numpy(loader.order(), device))


def on_device(array, device):
    """`array` (num_examples, ...) on the device, and a function that takes rows of it there.

    Overlapping windows of a text are put there as the text: one number a token, whatever num_steps is.
    """
    windows = windows_of(array)
    if windows is None:
        return from_numpy(array, device), lambda values, rows: values[rows]
    text, hop, width = windows

    def rows_of(text, rows):
        return text[hop * rows[:, None] + jnp.arange(width)]  # (batch_size, num_steps)

    return from_numpy(text, device), rows_of
