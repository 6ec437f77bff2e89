"""The examples of a training on the device, and its epochs as graphs, in TensorFlow."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from d2lrnn.data import windows_of
from d2lrnn.errors import UserError

from .module import GRAPH_FAULTS, warn_of
from .ops import from_numpy, numpy

MINIBATCHES_PER_CALL = 16  # between two calls, Ctrl-C is heard
LARGEST_COPY = 2**24  # entries of overlapping windows; gathering from copies is a little faster


def compiled(model, loader, loss_of):
    """A function that runs `loss_of` over the minibatches of the loader's epoch, and gives the losses.

    None, with a warning, where TensorFlow can make no graph of what the reader of `model` has written:
    where it reads a tensor's value, say, or iterates over a tensor.
    """
    examples = [Rows(array) for array in loader.arrays]

    def loss_of_rows(rows):  # (batch_size,)
        loss = loss_of([array[rows] for array in examples])
        return tf.reshape(tf.cast(loss, tf.float32), ())

    @tf.function(autograph=False)
    def losses_of(rows):  # (num_minibatches, batch_size)
        return tf.map_fn(loss_of_rows, rows, parallel_iterations=1, fn_output_signature=tf.float32)

    sizes = {loader.batch_size, loader.num_examples % loader.batch_size} - {0}
    try:
        graphs = {}  # by batch size: one for any size is a tenth slower
        for size in sizes:
            if size <= loader.num_examples:
                rows = tf.TensorSpec((None, size), tf.int64)
                graphs[size] = losses_of.get_concrete_function(rows)
                check_draws(graphs[size])
    except GRAPH_FAULTS as fault:
        if isinstance(fault, UserError):
            raise
        warn_of(model, fault)
        return None

    def epoch():
        order, size = loader.order(), loader.batch_size
        full, rest = np.split(order, [len(order) // size * size])
        full = full.reshape(-1, size)  # (num_minibatches, batch_size)
        calls = np.split(full, range(MINIBATCHES_PER_CALL, len(full), MINIBATCHES_PER_CALL))
        calls = [rows for rows in [*calls, rest[None]] if rows.size]
        losses = [graphs[rows.shape[1]](tf.constant(rows, tf.int64)) for rows in calls]
        return numpy(tf.concat(losses, 0))  # the only place where the host waits for the device

    return epoch


def check_draws(graph):
    """Raise a TypeError if `graph` draws from TensorFlow's own stream, whose seed is fixed in a graph."""
    functions = graph.graph.as_graph_def().library.function
    draws = {node.op for function in functions for node in function.node_def if "seed2" in node.attr}
    if draws:
        raise TypeError(
            f"a graph draws the same numbers in each epoch ({', '.join(sorted(draws))}); Keras's layers "
            "and tf.keras.random draw others."
        )


class Rows:
    """The rows of an array, on the device; overlapping windows, if large, as the sequence they view."""

    def __init__(self, array):
        self.windows = windows_of(array) if array.size > LARGEST_COPY else None
        self.array = from_numpy(array if self.windows is None else self.windows.sequence)

    def __getitem__(self, rows):
        if self.windows is not None:
            steps = tf.range(self.windows.width, dtype=rows.dtype)
            rows = self.windows.hop * rows[:, None] + steps  # (batch_size, num_steps)
        return tf.gather(self.array, rows)
