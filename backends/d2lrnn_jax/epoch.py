"""The examples of a training on the device, and an epoch over them in one compiled call, in JAX."""

import jax
import numpy as np
from jax import numpy as jnp

from d2lrnn.data import windows_of

from .ops import from_numpy, numpy


def compile_epoch(step, loader, device):
    """A function of a state that runs `step(state, batch)` over all minibatches in one compiled call.

    The examples of `loader` are put on the device here, once; an epoch sends only their order. If there are
    several blocks of them, they are put there one after another, with a call for each. It returns the last
    state and the losses (num_batches,), in NumPy.
    """
    windows = [windows_of(array) for array in loader.arrays]

    @jax.jit
    def run(state, examples, order):
        def body(state, rows):  # (batch_size,)
            batch = [rows_of(*one, rows) for one in zip(examples, windows, strict=True)]
            return step(state, batch)

        full = len(order) - len(order) % loader.batch_size
        state, losses = jax.lax.scan(body, state, order[:full].reshape(-1, loader.batch_size))
        if full < len(order):  # the last, smaller minibatch
            state, loss = body(state, order[full:])
            losses = jnp.append(losses, loss)
        return state, losses

    kept = on_device(loader, device) if loader.num_blocks == 1 else None

    def epoch(state):
        losses = []
        for block in loader.blocks():
            order = from_numpy(block.order(), device)
            state, of_block = run(state, kept or on_device(block, device), order)
            losses.append(numpy(of_block))  # the host waits for the device here
        return state, np.concatenate(losses)

    return epoch


def on_device(block, device):
    """The arrays of a block on the device: of overlapping windows the text, whatever num_steps is."""
    found = [(array, windows_of(array)) for array in block.arrays]
    return [from_numpy(array if w is None else w.sequence, device) for array, w in found]


def rows_of(values, windows, rows):
    """On the device, these rows of an array that `on_device` has put there."""
    if windows is None:
        return values[rows]
    places = windows.hop * rows[:, None] + jnp.arange(windows.width)  # (batch_size, num_steps)
    return values[places]
